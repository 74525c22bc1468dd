"""What goes wrong with the body of a streamed answer: raised where it is read, told once, and never sent again."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.outcome import CallResult, ErrorType, Outcome, StopReason
from tests.integration.http.shop import attribute, kinds, parents, span_ids
from tests.integration.http.streams import END, Item, Tap, chunk, collected, feeding, head, said, skip, whole
from tests.support.faults import BOUND, FaultyServer, Peer, Step, answer, say
from tests.support.telemetry import Observed, logs

LONG = 10.0  # longer than a limit, shorter than what a server waits for
SQUEEZED = gzip.compress(b"one\ntwo")


Read = Callable[["buoy.Stream[Any]"], AsyncIterator[Any]]


@dataclass(frozen=True)
class Broken:
    """A body, how it is read, the items before the fault, and what the fault is."""

    step: Step
    read: Read
    items: list[Any]
    error: type[buoy.BuoyError]
    reason: str
    sizes: buoy.Sizes = field(default_factory=buoy.Sizes)
    came_whole: bool = False


def _lines(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.lines()


def _json(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.json_lines()


def _events(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.events()


def _cut(first: bytes, length: int) -> Step:
    return say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length, first, end=Peer.close)


async def failing(
    opening: AbstractAsyncContextManager["buoy.Stream[Any]"], read: Read
) -> tuple["buoy.Stream[Any]", list[Any], buoy.Failed]:
    """Read a stream until it fails, as a user does; return it, what came of it, and the error that left the block."""
    items: list[Any] = []
    opened: list[buoy.Stream[Any]] = []
    try:
        async with opening as stream:
            opened.append(stream)
            async for item in read(stream):
                items.append(item)  # noqa: PERF401  # what came before the fault counts
    except buoy.Failed as error:
        return opened[0], items, error
    pytest.fail("nothing went wrong")


NETWORK, WRONG = buoy.NetworkError, buoy.Undecodable
ONE = b'{"n": 1}\n'
FAULTS = {
    "cut": Broken(_cut(b"one\ntw", 100), _lines, ["one"], NETWORK, "truncated"),
    "cut before the last byte": Broken(_cut(b"one\ntwo", 8), _lines, ["one"], NETWORK, "truncated"),
    "cut at once": Broken(_cut(b"", 100), _lines, [], NETWORK, "truncated"),
    "cut in chunks": Broken(
        say(head(), chunk(b"one\n"), b"3\r\ntw", end=Peer.close), _lines, ["one"], NETWORK, "truncated"
    ),
    "cut between chunks": Broken(
        say(head(), chunk(b"one\n"), chunk(b"two"), end=Peer.close), _lines, ["one"], NETWORK, "truncated"
    ),
    "reset": Broken(say(head(), chunk(b"one\n"), end=Peer.reset), _lines, ["one"], NETWORK, "truncated"),
    "broken chunk": Broken(said(head(), chunk(b"one\n"), b"zz\r\ntwo"), _lines, ["one"], NETWORK, "broken_answer"),
    "gzip cut": Broken(whole(SQUEEZED[:-1], Content_Encoding="gzip"), _lines, ["one"], NETWORK, "truncated"),
    "no gzip": Broken(whole(b"one\ntwo\n", Content_Encoding="gzip"), _lines, [], NETWORK, "broken_answer"),
    "not asked for": Broken(whole(b"one\n", Content_Encoding="br"), _lines, [], WRONG, "content_encoding"),
    "JSON": Broken(whole(ONE, b'{"n": \n{"n": 3}\n'), _json, [Item(n=1)], WRONG, "malformed"),
    "JSON cut off": Broken(whole(ONE, b'{"n": 2'), _json, [Item(n=1)], WRONG, "malformed", came_whole=True),
    "model": Broken(whole(ONE, b'{"m": 2}\n'), _json, [Item(n=1)], WRONG, "misfit"),
    "charset": Broken(whole(b"one\n", Content_Type="text/plain; charset=x-none"), _lines, [], WRONG, "malformed"),
    "text": Broken(whole(b"one\n\xff\n"), _lines, ["one"], WRONG, "malformed"),
    "long line": Broken(whole(b"one\n", b"x" * (17 * 2**20)), _lines, ["one"], WRONG, "too_large"),
    "long event": Broken(
        whole(b"data: a\n\n", b"data: " + b"x" * 2**20 + b"\n", *[b"data: " + b"y" * 2**23 + b"\n"] * 2),
        _events,
        [buoy.ServerSentEvent("a")],
        WRONG,
        "too_large",
    ),
    "too long, told": Broken(answer(200, b"one\n" * 9), _lines, [], WRONG, "too_large", sizes=buoy.Sizes(body=35)),
    "too long": Broken(
        said(head(), chunk(b"one\n"), chunk(b"two\n"), END), _lines, ["one"], WRONG, "too_large", buoy.Sizes(body=7)
    ),
    "too long, decompressed": Broken(
        whole(gzip.compress(b"x" * 2**20), Content_Encoding="gzip"),
        _lines,
        [],
        WRONG,
        "too_large",
        buoy.Sizes(decompressed=2**19),
    ),
}


@pytest.mark.parametrize("operation", ["items", "tell"])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_body(name: str, operation: str, observed: Observed) -> None:
    """It is raised where it is read, with the items before it given; sent once, told once, and the next call works.

    Of a POST whose answer broke off it is not known whether it happened, and the error says so.
    """
    fault = FAULTS[name]
    async with feeding([fault.step], sizes=fault.sizes) as (server, feed):
        with logs() as seen:
            opening = feed.items.stream() if operation == "items" else feed.tell.stream(json={})
            stream, items, error = await failing(opening, fault.read)
        assert (stream.complete, feed.snapshot().active) == (False, 0)
        assert await feed.read(id=1) == {}
    in_doubt = operation == "tell" and fault.error is NETWORK
    assert type(error) is (buoy.OutcomeUnknown if in_doubt else fault.error)
    assert error.reason == fault.reason
    assert error.outcome == (Outcome.UNKNOWN if fault.error is NETWORK else Outcome.APPLIED)
    assert (error.meta, items) == (stream.meta, fault.items)
    assert [request.connection for request in server.received] == [0, int(not fault.came_whole)]
    check_one_send(observed, server, seen_failed=len(seen.of(contract.CALL_FAILED)), error=error)


def check_one_send(observed: Observed, server: FaultyServer, *, seen_failed: int, error: buoy.BuoyError) -> None:
    """Check that the call was sent once and failed once, everywhere."""
    assert kinds(observed) == ["first", "first"]
    assert span_ids(observed) == set(parents(server))
    assert observed.value("buoy.client.attempt.duration") == 2
    assert observed.value("buoy.client.calls") == 2
    assert observed.value("buoy.client.calls", result=CallResult.FAILURE) == 1
    assert observed.value("buoy.client.call.active") == 0
    call, send = observed.calls()[0].attributes or {}, observed.attempts()[0].attributes or {}
    assert (call["error.type"], send["error.type"]) == (error.error_type, error.error_type)
    assert send["http.response.status_code"] == 200
    assert (call["buoy.call.sends"], call["buoy.retry.stop_reason"]) == (1, StopReason.NOT_RETRYABLE)
    assert seen_failed == 1


async def test_a_fault_that_is_caught_in_the_block() -> None:
    """Who catches the fault goes on; the call has ended with it, and leaving the block raises nothing."""
    async with feeding([FAULTS["cut"].step], concurrency=buoy.Concurrency(1, max_wait=0)) as (_, feed):
        async with feed.read.stream(id=1) as stream:
            with pytest.raises(buoy.NetworkError):
                await collected(stream.lines())
            assert await feed.read(id=2) == {}  # the permit is back
        assert not stream.complete
        assert feed.snapshot().calls == {**dict.fromkeys(CallResult, 0), CallResult.FAILURE: 1, CallResult.SUCCESS: 1}


TIMERS = {
    "between bytes": buoy.Timeout(total=60, attempt=20, between_bytes=5),
    "first byte and between bytes": buoy.Timeout(total=60, attempt=20, first_byte=5, between_bytes=5),
}


async def late(iterator: AsyncIterator[Any]) -> Any:
    """Await the next item, and let much time pass while it does not come."""
    reading = asyncio.ensure_future(anext(iterator))
    await asyncio.wait([reading], timeout=0)
    skip(LONG)
    return await reading


async def until_silent(tap: Tap, count: int, stream: "buoy.Stream[Any]") -> AsyncIterator[bytes]:
    """Read pieces that together take longer than the limit, each within it, and then one that does not come."""
    pieces = stream.bytes()
    for _ in range(count):
        skip(3)
        await tap.pour(b"x")
        yield await anext(pieces)
    yield await late(pieces)


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("name", TIMERS)
async def test_silence_within_a_stream(name: str, count: int, observed: Observed) -> None:
    """A body that says nothing for longer than ``between_bytes`` is late where it is read, and not sent again."""
    tap = Tap()
    async with feeding([tap], timeout=TIMERS[name]) as (server, feed):
        with logs() as seen:
            stream, items, error = await failing(feed.read.stream(id=1), partial(until_silent, tap, count))
        await tap.left()
        assert await feed.read(id=1) == {}
    assert (type(error), error.reason, error.meta) == (buoy.TimedOut, "timer", stream.meta)
    assert (items, [request.connection for request in server.received]) == ([b"x"] * count, [0, 1])
    check_one_send(observed, server, seen_failed=len(seen.of(contract.CALL_FAILED)), error=error)


async def test_a_first_byte_that_does_not_come() -> None:
    """Before the headers ``first_byte`` is the limit, and what is late then is tried again."""
    silent = asyncio.Event()

    async def hang(peer: Peer) -> None:
        await peer.read()
        silent.set()
        await peer.reader.read()

    timeout = buoy.Timeout(total=60, attempt=20, first_byte=5)
    async with feeding([hang], [whole(b"x")], timeout=timeout) as (_, feed):
        asyncio.get_running_loop().create_task(silent.wait()).add_done_callback(lambda _: skip(LONG))
        async with feed.read.stream(id=1) as stream:
            assert await collected(stream.bytes()) == [b"x"]
            assert stream.meta.sends == 2


@pytest.mark.parametrize("operation", ["items", "tell"])
@pytest.mark.parametrize("doing", ["reading", "something else"])
async def test_the_total_deadline_of_a_stream(doing: str, operation: str, observed: Observed) -> None:
    """It bounds the body too: the connection is closed when it passes, and who reads then is told so."""
    tap = Tap(200, b"one\ntwo\n")

    async def read(stream: "buoy.Stream[Any]") -> AsyncIterator[str]:
        lines = stream.lines()
        yield await anext(lines)
        if doing == "reading":
            yield await anext(lines)
            yield await late(lines)
        skip(LONG)
        await tap.left()
        assert len(observed.calls()) == 1
        async for line in lines:
            yield line

    async with feeding([tap]) as (server, feed):
        with logs() as seen:
            opening = feed.items.stream(deadline=5) if operation == "items" else feed.tell.stream(deadline=5)
            stream, items, error = await failing(opening, read)
        assert (stream.complete, await feed.read(id=1)) == (False, {})
    assert type(error) is (buoy.TimedOut if operation == "items" else buoy.OutcomeUnknown)
    assert (error.error_type, error.meta) == (ErrorType.TIMEOUT, stream.meta)
    assert (items, [request.connection for request in server.received]) == (["one", "two"], [0, 1])
    assert (observed.calls()[0].attributes or {})["buoy.retry.stop_reason"] == StopReason.DEADLINE
    assert observed.value("buoy.client.attempt.duration") == 2
    assert len(seen.of(contract.CALL_FAILED)) == 1


async def test_a_deadline_that_passes_when_nobody_reads_any_more() -> None:
    """Who has what they wanted and lingers is not told; the telemetry has it, and nothing is left behind."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    tap = Tap(200, b"one\n")
    async with feeding([tap]) as (_, feed):
        async with feed.read.stream(id=1, deadline=5) as stream:
            async for _line in stream.lines():
                break
            skip(LONG)
            await tap.left()
        snapshot = feed.snapshot()
    assert (stream.complete, snapshot.active, snapshot.calls[CallResult.FAILURE]) == (False, 0, 1)
    assert complaints == []


async def test_a_stream_beyond_the_limit_of_a_try_ends_at_the_total(observed: Observed) -> None:
    """Only the total bounds a body that never ends, however steadily it comes."""
    tap = Tap()

    async def read(stream: "buoy.Stream[Any]") -> AsyncIterator[bytes]:
        pieces = stream.bytes()
        while True:
            await tap.pour(b"x")
            yield await anext(pieces)
            skip(2)

    async with feeding([tap], timeout=buoy.Timeout(total=9, attempt=2)) as (_, feed), asyncio.timeout(BOUND + 2 * LONG):
        _, items, error = await failing(feed.read.stream(id=1), read)
    assert (type(error), items) == (buoy.TimedOut, [b"x"] * 5)
    assert attribute(observed, "buoy.retry.stop_reason") == StopReason.DEADLINE
