"""Limits of an answer on real sockets: how large it may be, and how long the provider may be silent."""

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

import buoy
from tests.integration.http.shop import AT_ONCE, attribute
from tests.integration.http.streams import Tap, feeding, skip
from tests.support.eventually import until
from tests.support.faults import BOUND, FaultyServer, Peer, Step, answer, endless, hang, message, raw, say
from tests.support.memory import peak
from tests.support.telemetry import Observed

LIMIT = 2000
MOST = b'"%s"' % (b"x" * (LIMIT - 2))
OVER = b'"%s"' % (b"x" * (LIMIT - 1))


class Store(buoy.Provider):
    """Reads and writes within small limits; one operation has its own."""

    retry = AT_ONCE
    timeout = buoy.Timeout(total=60, attempt=20)
    sizes = buoy.Sizes(body=LIMIT, decompressed=4 * LIMIT)

    read = buoy.get("/items")
    make = buoy.post("/items")
    export = buoy.get("/export", sizes=buoy.Sizes(body=LIMIT + 1, headers=20_000))


def chunked(*chunks: bytes, last: bool = True) -> bytes:
    """Return an answer in chunks."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + (b"0\r\n\r\n" if last else b"")


def sized(body: bytes, **headers: str) -> bytes:
    """Return an answer with its length."""
    return message(200, body, {name.replace("_", "-"): value for name, value in headers.items()})


def unbounded(body: bytes) -> bytes:
    """Return an answer that ends with the connection."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body


# Sizes.


@pytest.mark.parametrize(
    "answered",
    [sized(MOST), chunked(MOST), chunked(MOST[:1], MOST[1:-1], MOST[-1:]), unbounded(MOST)],
    ids=["length", "a chunk", "chunks", "no length"],
)
async def test_a_body_may_be_as_long_as_the_limit(answered: bytes) -> None:
    """The limit itself is allowed, however the body is framed."""
    async with FaultyServer([say(answered, end=Peer.close)]) as server, Store(base_url=server.url) as store:
        assert await store.read() == "x" * (LIMIT - 2)


LARGE: dict[str, Step] = {
    # Nothing of it comes: who waited for it would wait for ever.
    "by its length": say(message(200, b"", {}, length=LIMIT + 1)),
    "by a length of terabytes": say(message(200, b"", {}, length=2**50)),
    "by its chunks": say(chunked(OVER)),
    "by chunks without end": endless(chunked(last=False), b"400\r\n" + b"x" * 1024 + b"\r\n"),
    "without a length": endless(unbounded(b""), b"x" * 1024),
}


@pytest.mark.parametrize("method", ["read", "make"])
@pytest.mark.parametrize("step", LARGE.values(), ids=LARGE)
async def test_a_body_beyond_the_limit_is_not_read(step: Step, method: str, observed: Observed) -> None:
    """It is refused when its length says so, or where it passes the limit; it was applied, so nothing is in doubt."""
    async with FaultyServer([step]) as server, Store(base_url=server.url) as store:
        with pytest.raises(buoy.Undecodable, match="the body is longer than 2000 bytes, the limit of sizes=") as caught:
            await asyncio.wait_for(getattr(store, method)(), BOUND)
        error = caught.value
        assert (error.error_type, error.reason, error.outcome) == ("server_error", "too_large", "applied")
        assert error.meta is not None
        assert error.meta.attempts == 1
        assert attribute(observed, "buoy.retry.stop_reason") == "not_retryable"
        assert await store.read() == {}
    assert len(server.connections) == 2
    await server.left_alone()


async def test_an_operation_has_limits_of_its_own() -> None:
    """``sizes=`` of an operation stands instead of its provider's, and for it only."""
    async with FaultyServer([say(sized(OVER)), say(sized(OVER))]) as server, Store(base_url=server.url) as store:
        assert await store.export() == "x" * (LIMIT - 1)
        with pytest.raises(buoy.Undecodable, match="longer than 2000 bytes"):
            await store.read()


@pytest.mark.parametrize("length", [LIMIT + 1, 10**15])
@pytest.mark.parametrize("coding", ["", "gzip"], ids=["plain", "gzip"])
async def test_the_length_that_head_tells_is_none_to_read(length: int, coding: str) -> None:
    """HEAD answers with the length that GET would have; there is no body, and the connection is kept."""
    said = message(200, b"", {"Content-Encoding": coding}, length=length)
    async with FaultyServer([raw(said)]) as server, Store(base_url=server.url) as store:
        result = await store.request("HEAD", "/items")
        assert (result.value, result.headers["Content-Length"]) == (None, str(length))
        assert await store.read() == {}
    assert len(server.connections) == 1


def bomb(size: int) -> bytes:
    """Return zeros in gzip, a thousandth of their length."""
    packing = zlib.compressobj(9, wbits=31)
    piece = bytes(2**20)
    return b"".join(packing.compress(piece) for _ in range(size // len(piece))) + packing.flush()


async def test_a_bomb_is_stopped_while_it_grows() -> None:
    """64 MiB of zeros come as 64 KiB: no more of them exist at a time than the limit and a little."""
    packed = bomb(2**26)
    assert len(packed) < 2**17
    sizes = buoy.Sizes(decompressed=2**20)
    async with (
        FaultyServer([say(sized(packed, Content_Encoding="gzip"))]) as server,
        Store(base_url=server.url, sizes=sizes) as store,
    ):
        text = "the body is longer than 1048576 bytes when decompressed, the limit of sizes="
        with peak() as most, pytest.raises(buoy.Undecodable, match=text) as caught:
            await store.read()
        assert caught.value.reason == "too_large"
        assert await store.read() == {}
    assert most.bytes < 8 * 2**20
    assert len(server.connections) == 2


@pytest.mark.parametrize(("size", "fits"), [(4 * LIMIT, True), (4 * LIMIT + 1, False)])
async def test_a_body_may_be_as_long_as_the_limit_when_decompressed(size: int, *, fits: bool) -> None:
    """What counts is the length after decompression, to the byte; on the wire it is far below the other limit."""
    packing = zlib.compressobj(wbits=31)
    packed = packing.compress(b"x" * size) + packing.flush()
    said = sized(packed, Content_Encoding="gzip", Content_Type="text/plain")
    async with FaultyServer([say(said)]) as server, Store(base_url=server.url) as store:
        if fits:
            assert await store.read() == "x" * size
        else:
            with pytest.raises(buoy.Undecodable, match="longer than 8000 bytes when decompressed"):
                await store.read()


async def test_the_status_of_an_error_counts_without_its_body() -> None:
    """An error whose body is too long is told by its status, with a note; a Retry-After in it is heeded."""
    said = message(503, b"", {"Retry-After": "0"}, length=LIMIT + 1)
    async with FaultyServer(*[[say(said)]] * 3) as server, Store(base_url=server.url) as store:
        with pytest.raises(buoy.HttpError, match="HTTP 503") as caught:
            await store.make()
    assert caught.value.__notes__ == ["The body of this answer did not come whole (MisfitError): no rule has read it."]
    assert [received.connection for received in server.received] == [0, 1, 2]


async def test_the_status_of_an_error_counts_where_its_body_is_late() -> None:
    """An error whose body does not come within the time of its try is told by its status, and its connection closed."""

    async def too_late() -> None:
        await tap.begun.wait()
        for _ in range(10):  # rounds of the loop: the client, too, has the head
            await asyncio.sleep(0)
        skip(10)

    tap = Tap(404, b"x")
    async with feeding([tap], timeout=buoy.Timeout(attempt=5)) as (_, feed), asyncio.TaskGroup() as tasks:
        tasks.create_task(too_late())
        with pytest.raises(buoy.HttpError, match="HTTP 404") as caught:
            await feed.read(id=1)
        await tap.left()
    assert caught.value.__notes__ == ["The body of this answer did not come whole (TimeoutError): no rule has read it."]


@pytest.mark.parametrize("line", ["X-Odd: %s", "Content-Type: text/%s"])
async def test_a_long_header_is_no_answer_unless_allowed(line: str) -> None:
    """A header line of 9,000 bytes is beyond the usual limit: a broken answer. A limit above it lets it through."""
    field = (line % ("x" * 9000)).encode()
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n\r\n{}" % field
    async with (
        FaultyServer([raw(said)], [raw(said)]) as server,
        Store(base_url=server.url, retry=None) as store,
        Store("wide", base_url=server.url, sizes=buoy.Sizes(headers=10_000)) as wide,
    ):
        with pytest.raises(buoy.NetworkError) as caught:
            await store.read()
        assert (caught.value.error_type, caught.value.reason) == ("network_error", "broken_answer")
        assert (await wide.read.call()).status == 200
        assert await store.read() == {}


async def test_an_operation_may_take_longer_headers() -> None:
    """The limit for headers is the operation's, too."""
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Odd: %s\r\n\r\n{}" % (b"x" * 9000)
    async with FaultyServer([raw(said)]) as server, Store(base_url=server.url) as store:
        result = await store.export.call()
    assert len(result.headers["X-Odd"]) == 9000


# Silence. The limits are far below what the server waits, which is for ever, or far above what a test takes.

SHORT, LONG = 0.05, 60.0


def patient(**limits: float) -> buoy.Timeout:
    """Return limits of silence under a total and an attempt that nothing here reaches."""
    return buoy.Timeout(total=2 * LONG, attempt=LONG, **limits)


def protocol_of(store: buoy.Provider) -> Any:
    """Return the only connection of a provider, in use or idle."""
    assert store._transport is not None
    connector: Any = store._transport._pool.session.connector
    idle = [protocol for kept in connector._conns.values() for protocol, _ in kept]
    (protocol,) = list(connector._acquired) + idle
    return protocol


def handle_of(store: buoy.Provider) -> asyncio.TimerHandle | None:
    """Return the timer of silence on the only connection of a provider."""
    handle: asyncio.TimerHandle | None = protocol_of(store)._read_timeout_handle
    return handle


SILENT: dict[str, tuple[buoy.Timeout, Step]] = {
    "no answer": (patient(first_byte=SHORT), hang),
    "no answer, however long a pause may be": (patient(first_byte=SHORT, between_bytes=LONG), hang),
    "half a status line": (patient(first_byte=SHORT), say(b"HTTP/1.1 2")),
    "headers, and no body": (patient(between_bytes=SHORT), say(message(200, b"", {}, length=9))),
    "headers, however long the first may take": (
        patient(first_byte=LONG, between_bytes=SHORT),
        say(message(200, b"[", {}, length=9)),
    ),
    "a chunk, and no more": (patient(between_bytes=SHORT), say(chunked(b"[", last=False))),
    "a body of no length": (patient(between_bytes=SHORT), say(unbounded(b"[7]"))),
    "half of a gzip": (
        patient(between_bytes=SHORT),
        say(message(200, gzip.compress(bytes(range(32, 127)))[:50], {"Content-Encoding": "gzip"}, length=1000)),
    ),
    "one limit for both": (patient(first_byte=SHORT, between_bytes=SHORT), say(chunked(b"[", last=False))),
}


@pytest.mark.parametrize(("limits", "step"), SILENT.values(), ids=SILENT)
async def test_silence_ends_a_try(limits: buoy.Timeout, step: Step, observed: Observed) -> None:
    """Nothing for too long is a timeout: tried again when that is safe, over another connection."""
    async with FaultyServer([step]) as server, Store(base_url=server.url, timeout=limits) as store:
        result = await asyncio.wait_for(store.read.call(), BOUND)
        assert (result.value, result.meta.attempts, result.meta.sends) == ({}, 2, 2)
        assert await store.read() == {}
    assert [received.connection for received in server.received] == [0, 1, 1]
    failed = observed.attempts()[0].attributes or {}
    assert (failed["error.type"], failed["buoy.error.reason"]) == ("timeout", "timer")


@pytest.mark.parametrize(("limits", "step"), SILENT.values(), ids=SILENT)
async def test_silence_after_a_post_is_in_doubt(limits: buoy.Timeout, step: Step) -> None:
    """What must not be repeated is not, and may have happened; the next call works."""
    async with FaultyServer([step]) as server, Store(base_url=server.url, timeout=limits) as store:
        with pytest.raises(buoy.OutcomeUnknown, match="nothing came for too long") as caught:
            await asyncio.wait_for(store.make(json={}), BOUND)
        assert type(caught.value.cause) is buoy.TimedOut
        assert (caught.value.error_type, caught.value.reason) == ("timeout", "timer")
        assert await store.read() == {}
    assert [received.connection for received in server.received] == [0, 1]


async def test_a_status_before_silence_counts() -> None:
    """An error whose body never comes is told by its status, and heeded; the connection is dropped."""
    said = say(message(503, b"{", {"Retry-After": "0"}, length=9))
    limits = patient(between_bytes=SHORT)
    async with FaultyServer(*[[said]] * 3) as server, Store(base_url=server.url, timeout=limits) as store:
        with pytest.raises(buoy.HttpError, match="HTTP 503") as caught:
            await asyncio.wait_for(store.make(), BOUND)
        assert len(caught.value.__notes__) == 1
        assert await store.read() == {}
    assert [received.connection for received in server.received] == [0, 1, 2, 3]


@pytest.mark.parametrize("step", [hang, say(message(200, b"", {}, length=9))], ids=["no answer", "no body"])
async def test_the_deadline_of_a_call_wins(step: Step, observed: Observed) -> None:
    """Limits of silence lengthen nothing: a call ends at its deadline."""
    limits = patient(first_byte=LONG, between_bytes=LONG)
    async with FaultyServer([step]) as server, Store(base_url=server.url, timeout=limits) as store:
        with pytest.raises(buoy.TimedOut):
            await asyncio.wait_for(store.read(deadline=SHORT), BOUND)
    assert attribute(observed, "buoy.retry.stop_reason") == "deadline"


Watching = Callable[[], asyncio.TimerHandle | None]


async def watched(
    limits: buoy.Timeout, step: Callable[[Peer, Watching], Awaitable[None]], call: Callable[[Store], Awaitable[Any]]
) -> Any:
    """Make a call whose server may look at the client's timer of silence, and return what came of it."""

    async def watching(peer: Peer) -> None:
        await step(peer, lambda: handle_of(store))

    async with FaultyServer([watching]) as server, Store(base_url=server.url, timeout=limits) as store:
        value = await asyncio.wait_for(call(store), BOUND)
        assert handle_of(store) is None
        assert await store.read() == {}
    assert len(server.connections) == 1
    return value


async def test_an_upload_does_not_count_as_silence() -> None:
    """``first_byte`` is timed from when the request is sent: no timer runs while its body is on the way."""
    seen: list[float | None] = []

    async def step(peer: Peer, timer: Watching) -> None:
        await peer.first()
        await peer.reader.readuntil(b"\r\n\r\n")
        seen.append(when(timer()))
        body = await peer.reader.readexactly(2**20)
        seen.append(when(timer()))
        await peer.reader.readexactly(2**24 - len(body))
        while timer() is None:  # noqa: ASYNC110  # the writer has to notice that all has left
            await asyncio.sleep(0)
        seen.append(when(timer()))
        await peer.write(message(200, b"7", {}))

    assert await watched(patient(first_byte=LONG), step, lambda store: store.make(data=bytes(2**24))) == 7
    assert seen[:2] == [None, None]
    assert seen[2] is not None


def when(handle: asyncio.TimerHandle | None) -> float | None:
    """Return when a timer ends, ``None`` where none runs."""
    return None if handle is None else handle.when()


async def test_every_byte_begins_the_limit_anew() -> None:
    """A slow answer that keeps coming is no silence: the limit is for each pause, and not for the whole."""
    ends: list[float] = []

    async def step(peer: Peer, timer: Watching) -> None:
        await peer.read()
        for byte in message(200, b"[1, 2, 3]", {}):
            handle = timer()
            assert handle is not None
            ends.append(handle.when())
            await peer.write(bytes([byte]))

    assert await watched(patient(first_byte=LONG, between_bytes=LONG), step, lambda store: store.read()) == [1, 2, 3]
    assert ends == sorted(set(ends))


@pytest.mark.parametrize(
    ("limits", "before", "after"),
    [
        (patient(first_byte=10), 10, None),
        (patient(between_bytes=10), None, 10),
        (patient(first_byte=10, between_bytes=30), 10, 30),
        (patient(first_byte=30, between_bytes=10), 30, 10),
        (patient(first_byte=10, between_bytes=10), 10, 10),
        (patient(), None, None),
    ],
    ids=["first", "between", "a short first", "a long first", "equal", "none"],
)
async def test_each_limit_has_its_own_time(limits: buoy.Timeout, before: float | None, after: float | None) -> None:
    """``first_byte`` holds until the headers, ``between_bytes`` from then on."""
    loop, seen = asyncio.get_running_loop(), list[float | None]()

    async def step(peer: Peer, timer: Watching) -> None:
        await peer.read()
        for part in (message(200, b"", {}, length=2), b"{", b"}"):
            handle = timer()
            # They are far apart, and each began a moment ago.
            seen.append(None if handle is None else round((handle.when() - loop.time()) / 10 + 0.45) * 10)
            await peer.write(part)

    assert await watched(limits, step, lambda store: store.read()) == {}
    assert seen == [before, after, after]


ANSWERS: dict[str, tuple[str, bytes]] = {
    "with its length": ("GET", message(200, b"{}", {})),
    "in chunks": ("GET", chunked(b"{}")),
    "of no content": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    "empty": ("GET", message(200, b"", {})),
    "to HEAD": ("HEAD", message(200, b"", {}, length=7)),
    "to POST": ("POST", message(201, b"{}", {})),
    "to POST, of no content": ("POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
}


@pytest.mark.parametrize(
    "limits",
    [patient(first_byte=LONG), patient(between_bytes=LONG), patient(first_byte=LONG, between_bytes=9)],
    ids=["first", "between", "both"],
)
@pytest.mark.parametrize(("method", "said"), ANSWERS.values(), ids=ANSWERS)
async def test_no_timer_stays_with_an_idle_connection(method: str, said: bytes, limits: buoy.Timeout) -> None:
    """However long it idles: a connection whose answer was read is as good as before."""

    async def step(peer: Peer, timer: Watching) -> None:
        del timer
        await peer.read()
        await peer.write(said)

    sent: Any = {} if method == "POST" else None
    await watched(limits, step, lambda store: store.request(method, "/items", json=sent))


async def test_a_connection_may_idle_for_longer_than_an_answer_may_pause() -> None:
    """Silence between two calls is nobody's fault: the next one goes over the same connection."""
    async with (
        FaultyServer([answer(), answer()]) as server,
        Store(base_url=server.url, timeout=patient(first_byte=LONG, between_bytes=SHORT)) as store,
    ):
        await store.read()
        idle = asyncio.Event()
        asyncio.get_running_loop().call_later(4 * SHORT, idle.set)
        await idle.wait()
        await store.read()
    assert len(server.connections) == 1


async def test_no_silence_is_counted_while_nobody_reads() -> None:
    """Who takes the time to read holds the provider up: that is not its silence, and the limit holds from there on."""

    async def busy(*_: object) -> None:
        await until(lambda: protocol_of(store)._reading_paused)

    hooks = aiohttp.TraceConfig()
    hooks.on_request_end.append(busy)
    said = message(200, b"x" * 2**22, {"Content-Type": "text/plain"})
    async with (
        FaultyServer([say(said)]) as server,
        aiohttp.ClientSession(trace_configs=[hooks]) as session,
        Store(base_url=server.url, sizes=buoy.Sizes(), timeout=patient(between_bytes=LONG), session=session) as store,
        store.read.stream() as answered,
    ):
        pieces = answered.bytes()
        assert handle_of(store) is None
        assert await anext(pieces)
        assert handle_of(store) is not None
