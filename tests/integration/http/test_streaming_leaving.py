"""How the block of a streamed answer is left: early, by an exception, twice; and what cannot be done with one."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import buoy
from buoy import contract
from buoy.outcome import CallResult
from tests.integration.http.shop import kinds
from tests.integration.http.streams import Feed, Tap, collected, feeding, whole
from tests.support.eventually import until
from tests.support.faults import BOUND, close_read, hang, raw, truncated
from tests.support.telemetry import Observed, logs


class OwnError(Exception):
    """A user's own."""


async def by_break(feed: Feed) -> str:
    """Leave when there is enough."""
    found = ""
    async with feed.read.stream(id=1) as stream:
        async for line in stream.lines():
            found = line
            break
    assert not stream.complete
    return found


async def by_return(feed: Feed) -> str:
    """Leave from within the loop."""
    async with feed.read.stream(id=1) as stream:
        async for line in stream.lines():
            return line
    pytest.fail("there is a line")


async def by_exception(feed: Feed) -> str:
    """Leave by an exception of one's own, which passes as it is."""
    came, own = [], OwnError()

    async def use() -> None:
        async with feed.read.stream(id=1) as stream:
            async for line in stream.lines():
                came.append(line)
                raise own

    with pytest.raises(OwnError) as caught:
        await use()
    assert (caught.value, caught.value.__cause__, caught.value.__context__) == (own, None, None)
    return came[0]


async def unread(feed: Feed) -> str:
    """Leave without having read anything."""
    async with feed.read.stream(id=1) as stream:
        assert stream.status == 200
    return "one"


async def by_generator(feed: Feed) -> str:
    """Leave by closing a generator of one's own around it."""

    async def lines() -> AsyncIterator[str]:
        async with feed.read.stream(id=1) as stream:
            async for line in stream.lines():
                yield line

    generator = lines()
    line = await anext(generator)
    await generator.aclose()  # type: ignore[attr-defined]  # it is an AsyncGenerator
    return line


async def by_own_timeout(feed: Feed) -> str:
    """Give up waiting by a timer of one's own, inside the block."""
    async with feed.read.stream(id=1) as stream:
        lines = stream.lines()
        line = await anext(lines)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(lines)
    return line


async def while_another_reads(feed: Feed) -> str:
    """Leave while a task of one's own waits for the next line: it is told."""
    async with feed.read.stream(id=1) as stream:
        lines = stream.lines()
        line = await anext(lines)
        other = asyncio.ensure_future(anext(lines))
        await asyncio.wait([other], timeout=0)
    with pytest.raises(RuntimeError, match="was left before its end"):
        await other
    return line


WAYS: list[Callable[[Feed], Awaitable[str]]] = [
    by_break,
    by_return,
    by_exception,
    unread,
    by_generator,
    by_own_timeout,
    while_another_reads,
]


@pytest.mark.parametrize("way", WAYS)
async def test_leaving_early(way: Callable[[Feed], Awaitable[str]], observed: Observed) -> None:
    """The connection is closed, permit and lease are back, the call is a success, and that it was left is told."""
    tap = Tap(200, b"one\ntw")
    breaker = buoy.Breaker(minimum_calls=1)
    async with feeding([tap], concurrency=buoy.Concurrency(1, max_wait=0), breaker=breaker) as (server, feed):
        with logs() as seen:
            assert await way(feed) == "one"
        await tap.left()
        snapshot = feed.snapshot()
        assert await feed.read(id=2) == {}
    assert snapshot.concurrency is not None
    assert snapshot.breaker is not None
    assert (snapshot.active, snapshot.concurrency.used) == (0, 0)
    assert (snapshot.breaker.calls, snapshot.breaker.failed) == (1, 0)
    assert [request.connection for request in server.received] == [0, 1]
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == observed.value("buoy.client.calls") == 2
    assert observed.value("buoy.client.call.active") == 0
    assert [event.name for event in observed.calls()[0].events] == [contract.STREAM_LEFT.name]
    assert kinds(observed) == ["first", "first"]
    assert [record.levelname for record in seen.of(contract.STREAM_LEFT)] == ["INFO"]
    assert seen.of(contract.CALL_FAILED) == []


async def test_a_whole_stream_is_not_left(observed: Observed) -> None:
    """Who has read all of it is done: nothing is told, and what goes wrong in the block then is the user's alone."""

    async def use(feed: Feed) -> None:
        async with feed.read.stream(id=1) as stream:
            assert await collected(stream.bytes()) == [b"x"]
            assert len(observed.calls()) == 1
            assert await feed.read(id=2) == {}  # the permit is back before the block ends
            raise OwnError

    async with feeding([whole(b"x")], concurrency=buoy.Concurrency(1, max_wait=0)) as (server, feed):
        with logs() as seen, pytest.raises(OwnError):
            await use(feed)
    assert [request.connection for request in server.received] == [0, 0]
    assert [list(span.events) for span in observed.calls()] == [[], []]
    assert seen.of(contract.STREAM_LEFT) == []


async def test_a_stream_is_read_once() -> None:
    """A second reading, a second reader and a second block are refused, and do not disturb the first."""
    tap = Tap(200, b"one\n")
    async with feeding([tap]) as (_, feed):
        opening = feed.read.stream(id=1)
        async with opening as stream:
            lines = stream.lines()
            for again in (stream.bytes, stream.lines, stream.json_lines, stream.events):
                with pytest.raises(RuntimeError, match="is read once"):
                    again()
            assert await anext(lines) == "one"
            first = asyncio.ensure_future(anext(lines))
            await asyncio.wait([first], timeout=0)
            with pytest.raises(RuntimeError):
                await anext(lines)
            await tap.end(b"two\n")
            assert await first == "two"
            assert await collected(lines) == []
        assert stream.complete
        with pytest.raises(RuntimeError, match="is entered once"):
            await opening.__aenter__()
        assert feed.snapshot().active == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_a_stream_is_read_within_its_block(begun: bool) -> None:  # noqa: FBT001  # a table
    """After the block there is nothing more, not even what had arrived, and it is not complete."""
    async with feeding([whole(b"one\ntwo\nthr")]) as (_, feed):
        async with feed.read.stream(id=1) as stream:
            lines = stream.lines() if begun else None
            if lines is not None:
                assert await anext(lines) == "one"
        if lines is not None:
            with pytest.raises(RuntimeError, match="was left before its end"):
                await anext(lines)
        with pytest.raises(RuntimeError, match="within its 'async with' block"):
            stream.bytes()
        assert (stream.complete, feed.snapshot().active) == (False, 0)


async def test_an_iterator_that_was_not_begun_in_the_block() -> None:
    """One that was asked for in the block and is read after it gives nothing either."""
    async with feeding([whole(b"one\n")]) as (_, feed):
        async with feed.read.stream(id=1) as stream:
            lines = stream.lines()
        with pytest.raises(RuntimeError, match="was left before its end"):
            await anext(lines)
        assert not stream.complete


async def test_whole_answers_are_not_streamed() -> None:
    """Joined callers share an answer and a fallback stands in for one: neither is made for a stream."""

    class Whole(buoy.Provider):
        """Operations for whole answers."""

        joined = buoy.get("/a", joined=True)
        masked = buoy.get("/b", fallback=[])

    async with Whole(base_url="http://127.0.0.1:9") as provider:
        for operation in (provider.joined, provider.masked):
            with pytest.raises(TypeError, match="is not streamed"):
                operation.stream()


@pytest.mark.parametrize("where", ["before the headers", "reading", "something else"])
async def test_draining_cuts_a_stream(where: str, observed: Observed) -> None:
    """Whoever is in a stream when the time of a drain is over is cancelled, and the connection is closed."""
    tap = Tap(200, b"one\n")
    step = hang if where == "before the headers" else tap
    lines: list[str] = []

    async def use(feed: Feed) -> None:
        async with feed.read.stream(id=1) as stream:
            async for line in stream.lines():
                lines.append(line)
                if where == "something else":
                    await asyncio.Event().wait()

    async with feeding([step]) as (server, feed):
        user = asyncio.create_task(use(feed))
        await server.wait_for(1)
        await until(lambda: where == "before the headers" or lines == ["one"])
        drained = await feed.drain(0)
        await asyncio.wait([user])
        await server.left_alone()
    assert (dict(drained.cut), user.cancelled()) == ({"read": 1}, True)
    assert observed.value("buoy.client.calls", result=CallResult.CANCELLED) == observed.value("buoy.client.calls") == 1
    assert [list(span.events) for span in observed.calls()] == [[]]
    assert len(observed.attempts()) == 1


async def test_a_drain_waits_for_a_stream() -> None:
    """A stream that ends in the time of a drain is read to its end."""
    tap = Tap(200, b"one\n")
    async with feeding([tap]) as (_, feed), feed.read.stream(id=1) as stream:
        draining = asyncio.create_task(feed.drain(BOUND))
        await asyncio.wait([draining], timeout=0)
        await tap.end(b"two\n")
        assert await collected(stream.lines()) == ["one", "two"]
        assert not draining.done()  # the block is part of the stream
    assert (await draining).finished == 1


def streams() -> int:
    """Return how many there are."""
    return sum(type(one) is buoy.Stream for one in gc.get_objects())


@pytest.mark.parametrize("way", [by_break, by_return, by_generator])
async def test_a_stream_is_let_go(way: Callable[[Feed], Awaitable[str]]) -> None:
    """A stream that is done with is freed at once, without the garbage collector."""
    async with feeding([Tap(200, b"one\n")]) as (_, feed):
        gc.collect()
        gc.disable()
        try:
            before = streams()  # those of other tests, kept by what pytest keeps of them
            await way(feed)
            await until(lambda: streams() == before)
        finally:
            gc.enable()


ERRORS = {"before the headers": close_read, "in the body": truncated(), "not HTTP": raw(b"?\r\n\r\n")}


@pytest.mark.parametrize("name", ERRORS)
async def test_what_went_wrong_is_let_go(name: str) -> None:
    """An error of a stream, and the frames of its traceback, are gone when nobody holds them any more."""

    async def use(feed: Feed) -> "weakref.ref[Exception]":
        try:
            async with feed.tell.stream(json={}) as stream:
                await collected(stream.bytes())
        except buoy.BuoyError as error:
            return weakref.ref(error)
        pytest.fail("nothing went wrong")

    async with feeding([ERRORS[name]], retry=None) as (_, feed):
        gc.collect()
        gc.disable()
        try:
            gone = await use(feed)
            await until(lambda: gone() is None)
        finally:
            gc.enable()
