"""Request bodies on real sockets: what arrives, and what a retry sends."""

import asyncio
import gzip
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import buoy
from tests.integration.http.body_kinds import AGAIN, CONTENT, KINDS, ONCE, Kind, file_of, path_of, pieces
from tests.integration.http.shop import AT_ONCE, Shop, attribute, first_attribute, kinds
from tests.support.faults import FaultyServer, answer, close_read
from tests.support.telemetry import Observed


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_body_arrives_as_it_was_given(kind: Kind, tmp_path: Path) -> None:
    """Every kind of body comes byte for byte, with its type, and with its length or in chunks."""
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        await shop.make(**kind.give(tmp_path))
    kind.check(server.received[0])


@pytest.mark.parametrize("kind", AGAIN.values(), ids=AGAIN)
async def test_a_retry_sends_the_same_body(kind: Kind, tmp_path: Path, observed: Observed) -> None:
    """A keyed call that is tried again sends the same bytes under the same key."""
    async with FaultyServer([answer(503), answer(503)]) as server, Shop(base_url=server.url) as shop:
        await shop.order(**kind.give(tmp_path))
    assert len(server.received) == 3
    for received in server.received:
        kind.check(received)
    assert len({received.headers["Idempotency-Key"] for received in server.received}) == 1
    assert kinds(observed) == ["first", "retry", "retry"]


@pytest.mark.parametrize("kind", AGAIN.values(), ids=AGAIN)
async def test_the_transports_own_second_send_has_the_same_body(kind: Kind, tmp_path: Path) -> None:
    """A PUT that aiohttp sends again by itself, on another connection, carries all of its body again."""
    async with FaultyServer([close_read]) as server, Shop(base_url=server.url) as shop:
        result = await shop.replace.call(id=1, **kind.give(tmp_path))
    # An iterator that has begun is not its to send again: our own retry makes another one.
    expected = (2, 2, False) if kind.framing == "chunked" else (1, 2, True)
    assert expected == (result.meta.attempts, result.meta.sends, result.meta.duplicate)
    for received in server.received:
        kind.check(received)


async def test_a_type_of_the_callers_own_stands(tmp_path: Path) -> None:
    """The caller's Content-Type is sent, once; only a form's must carry the boundary of what is sent."""
    given = {"content-type": "application/x-ndjson"}
    async with FaultyServer() as server, Shop(base_url=server.url, headers={"Content-Type": "text/csv"}) as shop:
        for data in (b"{}\n", "{}\n", path_of(tmp_path), pieces(b"{}\n"), lambda: b"{}\n"):
            await shop.make(data=data, headers=given)
        await shop.make(json={}, headers=given)
        await shop.make(data=b"a,b")
        await shop.make(data=buoy.Multipart(fields={"a": 1}), headers=given)
    types = [received.headers.getall("Content-Type") for received in server.received]
    assert types[:-1] == [["application/x-ndjson"]] * 6 + [["text/csv"]]
    assert len(types[-1]) == 1
    assert types[-1][0].startswith("multipart/form-data; boundary=")


async def test_factories_are_asked_for_every_send_and_their_files_are_closed(tmp_path: Path) -> None:
    """Each send gets what the function makes then, and a file that it opened is closed after the call."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # one after the other
    path, opened = path_of(tmp_path), list[Any]()

    def make() -> Any:
        path.write_bytes(b"%d" % len(opened))
        opened.append(path.open("rb"))
        return opened[-1]

    async with FaultyServer([answer(503), answer(503)]) as server, Shop(base_url=server.url) as shop:
        await shop.order(data=make)
        await shop.make(data=buoy.Multipart(files={"f": make}))
    assert [received.body for received in server.received[:3]] == [b"0", b"1", b"2"]
    await asyncio.to_thread(int)
    assert [file.closed for file in opened] == [True] * 4


async def test_a_file_of_the_callers_stays_open(tmp_path: Path) -> None:
    """An open file is sent from where it stood, again on every try, and is the caller's to close."""
    async with FaultyServer([answer(503)]) as server, Shop(base_url=server.url) as shop:
        with path_of(tmp_path).open("rb") as file:
            file.seek(1000)
            await shop.order(data=file)
            assert not file.closed
    assert [received.body for received in server.received] == [CONTENT[1000:]] * 2


@pytest.mark.parametrize(
    "step",
    [answer(503), answer(503, Retry_After="0"), answer(429, Retry_After="0"), close_read],
    ids=["503", "503 with Retry-After", "429", "closed"],
)
@pytest.mark.parametrize("operation", ["order", "replace"])
@pytest.mark.parametrize("kind", ONCE.values(), ids=ONCE)
async def test_what_can_be_sent_once_is_sent_once(
    kind: Kind, operation: str, step: Any, tmp_path: Path, observed: Observed
) -> None:
    """Once an iterator was begun, neither we nor aiohttp send again, and span and counter say why."""
    async with FaultyServer([step]) as server, Shop(base_url=server.url) as shop:
        fields = {"id": 1} if operation == "replace" else {}
        with pytest.raises(buoy.HttpError if step is not close_read else buoy.NetworkError) as caught:
            await getattr(shop, operation)(**kind.give(tmp_path), **fields)
        assert caught.value.meta is not None
        assert (caught.value.meta.attempts, caught.value.meta.sends) == (1, 1)
        assert await shop.read(id=1) == {}
    assert len(server.received) == 2
    assert first_attribute(observed, "buoy.retry.stop_reason") == "not_replayable"
    assert observed.value("buoy.client.retry.abandoned", stop_reason="not_replayable") == 1
    assert observed.value("buoy.client.retry.abandoned") == 1


async def test_an_unsafe_iterator_that_was_cut_is_in_doubt(observed: Observed) -> None:
    """That a body can not be sent again makes nothing certain: a POST without a key may have happened."""
    async with FaultyServer([close_read]) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.OutcomeUnknown):
            await shop.make(data=pieces())
    assert len(server.received) == 1
    assert attribute(observed, "buoy.retry.stop_reason") == "not_idempotent"


@pytest.mark.parametrize("kind", ONCE.values(), ids=ONCE)
async def test_what_nobody_asked_for_can_still_be_sent(kind: Kind, tmp_path: Path, observed: Observed) -> None:
    """Where the connection was refused, nothing of an iterator is lost: the next try sends it, also of a POST."""
    async with AsyncExitStack() as stack:
        server = FaultyServer()
        async with server:
            pass  # the port is known now, and closed
        tries = 0

        async def auth(_: buoy.Outgoing) -> None:
            nonlocal tries
            tries += 1
            if tries == 2:
                await stack.enter_async_context(server)

        async with Shop(base_url=server.url, auth=auth) as shop:
            await shop.make(**kind.give(tmp_path))
    assert kinds(observed) == ["first", "retry"]
    assert len(server.received) == 1
    kind.check(server.received[0])


async def test_signing_sees_the_bytes() -> None:
    """An auth function gets what will be sent, on every try; ``None`` for what nobody knows in advance."""
    seen: list[bytes | None] = []

    async def auth(request: buoy.Outgoing) -> None:
        seen.append(request.body)

    async with FaultyServer([answer(503)]) as server, Shop(base_url=server.url, auth=auth) as shop:
        await shop.order(json={"a": 1})
        for data in (b"bytes", "text", {"a": "1"}, lambda: b"made"):
            await shop.make(data=data)
        await shop.make()
        for unknown in (pieces(), file_of(b"x"), buoy.Multipart(fields={"a": 1})):
            await shop.make(data=unknown)
    assert seen == [b'{"a":1}', b'{"a":1}', b"bytes", b"text", b"a=1", b"made", b"", None, None, None]


@pytest.mark.parametrize("give", [lambda data: data, lambda data: lambda: data], ids=["bytes", "factory"])
async def test_bodies_are_compressed_where_that_is_shorter(
    give: Callable[[bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the size that ``compress=`` says on, gzip is sent where it saves something, and what is signed is sent."""
    seen: list[bytes | None] = []
    calls: list[int] = []
    compress = gzip.compress

    def counted(data: bytes, **options: Any) -> bytes:
        calls.append(len(data))
        return compress(data, **options)

    async def auth(request: buoy.Outgoing) -> None:
        seen.append(request.body)

    monkeypatch.setattr("buoy.http.payload.gzip.compress", counted)
    noise = random.Random(5).randbytes(2000)
    bodies = [b"x" * 1023, b"x" * 1024, noise]
    async with (
        FaultyServer([answer(503), answer(503)]) as server,
        Shop(base_url=server.url, auth=auth, compress=1024) as shop,
    ):
        await shop.order(data=give(bodies[1]))
        for body in bodies:
            await shop.make(data=give(body))
        await shop.make(data=give(bodies[1]), headers={"content-encoding": "identity"})
        await shop.make(data=form_of(bodies[1]))
    assert seen[:-1] == [received.body for received in server.received[:-1]]
    packed, plain = server.received[:3], server.received[3:]
    for received in packed:
        assert (received.headers["Content-Encoding"], gzip.decompress(received.body)) == ("gzip", bodies[1])
        assert received.headers["Content-Length"] == str(len(received.body))
    assert len({received.body for received in packed}) == 1
    codings = [received.headers.getall("Content-Encoding", []) for received in plain]
    assert codings == [[], ["gzip"], [], ["identity"], []]
    assert [received.body for received in plain[:3:2]] == [bodies[0], noise]
    # Once for all tries where the bytes are known; a function makes new ones for each.
    assert len([size for size in calls if size == 1024]) == (2 if give(b"") == b"" else 4)


def form_of(body: bytes) -> buoy.Multipart:
    """Return a form that would be worth compressing."""
    return buoy.Multipart(files={"f": body})


class Odd(buoy.Provider):
    """Methods that seldom have a body."""

    retry = AT_ONCE

    change = buoy.patch("/items")
    remove = buoy.delete("/items")
    search = buoy.get("/items")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_any_method_may_have_a_body(kind: Kind, tmp_path: Path) -> None:
    """What a body is does not depend on the method, and none is sent where a function makes none."""
    async with FaultyServer() as server, Odd(base_url=server.url) as odd:
        for operation in (odd.change, odd.remove, odd.search):
            await operation(**kind.give(tmp_path))
        await odd.change(data=lambda: None)
    for received in server.received[:3]:
        kind.check(received)
    assert [received.method for received in server.received] == ["PATCH", "DELETE", "GET", "PATCH"]
    assert (server.received[3].headers["Content-Length"], server.received[3].body) == ("0", b"")
