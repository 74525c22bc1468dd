"""What a stream holds of the policies, for how long, and what it counts for; and how much memory it takes."""

import asyncio
import tracemalloc

import pytest

import buoy
from buoy.outcome import BreakerState, CallResult, WaitCause
from tests.integration.http.streams import Feed, Tap, collected, feeding, head, skip, whole
from tests.support.eventually import until
from tests.support.faults import Peer, answer, raw
from tests.support.telemetry import Observed

MIB = 2**20
REDIRECT = raw(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")


def used(feed: Feed) -> int:
    """Return how many permits are taken."""
    permits = feed.snapshot().concurrency
    assert permits is not None
    return permits.used


async def test_a_stream_holds_its_permit_to_the_end_of_its_body() -> None:
    """A second call waits while the first one's body comes, and goes as soon as it is read, in the block or not."""
    tap = Tap(200, b"one\n")
    async with feeding([tap], concurrency=buoy.Concurrency(1)) as (server, feed), feed.read.stream(id=1) as stream:
        lines = stream.lines()
        assert await anext(lines) == "one"
        second = asyncio.create_task(feed.read.call(id=2))
        await until(lambda: feed.control.concurrency.waiting == 1)
        assert (used(feed), len(server.received)) == (1, 1)
        await tap.end()
        assert await collected(lines) == []
        assert WaitCause.CONCURRENCY in (await second).meta.waited
        assert used(feed) == 0


async def test_a_call_beside_a_stream_is_refused_where_it_may_not_wait() -> None:
    """With ``max_wait=0`` the permit that a stream holds is one that nobody else has."""
    async with feeding([Tap()], concurrency=buoy.Concurrency(1, max_wait=0)) as (_, feed):
        async with feed.read.stream(id=1):
            with pytest.raises(buoy.ConcurrencyLimited):
                await feed.read(id=2)
            with pytest.raises(buoy.ConcurrencyLimited):
                async with feed.read.stream(id=3):
                    pytest.fail("there is no answer")
        assert await feed.read(id=4) == {}


async def _half_open(feed: Feed) -> None:
    """Let the breaker open by a failure, and its wait pass."""
    with pytest.raises(buoy.HttpError):
        await feed.read(id=0)
    with pytest.raises(buoy.BreakerOpen):
        await feed.read(id=0)
    skip(1.5)


PROBING = buoy.Breaker(minimum_calls=1, wait=1, half_open_permits=1, half_open_for=3600)


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ("read", BreakerState.CLOSED),
        ("left", BreakerState.CLOSED),
        ("cut", BreakerState.OPEN),
        ("cancelled", BreakerState.HALF_OPEN),
    ],
)
async def test_a_stream_as_the_probe_of_a_breaker(end: str, state: BreakerState) -> None:
    """It holds the one lease while its body comes; what it came to is the probe's result, and a cancel is none."""
    tap = Tap(200, b"one\n")

    async def use(feed: Feed) -> None:
        async with feed.read.stream(id=1) as stream:
            lines = stream.lines()
            assert await anext(lines) == "one"
            with pytest.raises(buoy.BreakerOpen):
                await feed.read(id=2)
            if end == "left":
                return
            if end == "cut":
                tap.cut()
            if end == "read":
                await tap.end()
            reading.set()
            await collected(lines)

    reading = asyncio.Event()
    async with feeding([answer(500), tap], breaker=PROBING, retry=None) as (_, feed):
        await _half_open(feed)
        user = asyncio.create_task(use(feed))
        if end == "cancelled":
            await reading.wait()
            user.cancel()
        await asyncio.wait([user])
        error = None if user.cancelled() else user.exception()
        assert (type(error) is buoy.NetworkError) == (end == "cut")
        breaker = feed.snapshot().breaker
        assert breaker is not None
        assert breaker.state == state
        if end != "cut":
            assert await feed.read(id=3) == {}  # also after the cancel: the lease is back


@pytest.mark.parametrize(("late", "slow"), [("headers", 1), ("body", 0)])
async def test_a_long_stream_is_not_slow(late: str, slow: int) -> None:
    """Slow is who lets its headers be waited for; how long the body takes says nothing of the provider."""
    tap = Tap()

    async def dawdle(peer: Peer) -> None:
        await peer.read()
        skip(10)
        await peer.write(head())
        await peer.write(b"0\r\n\r\n")

    timeout, breaker = buoy.Timeout(total=60, attempt=20), buoy.Breaker(slow_after=5)
    async with feeding([dawdle if late == "headers" else tap], timeout=timeout, breaker=breaker) as (_, feed):
        async with feed.read.stream(id=1) as stream:
            if late == "body":
                skip(10)
                await tap.end()
            assert await collected(stream.bytes()) == []
        figures = feed.snapshot().breaker
    assert figures is not None
    assert (figures.calls, figures.slow) == (1, slow)


async def test_the_turn_of_a_redirect_before_a_stream_is_no_time_of_the_try(observed: Observed) -> None:
    """A wait for the rate between two hops counts as that, and does not make the try late."""
    options = {"limit": buoy.RateLimit(1, per=9, burst=1), "timeout": buoy.Timeout(total=60, attempt=5)}
    async with feeding([REDIRECT, whole(b"x")], **options) as (_, feed):

        async def let_time_pass() -> None:
            await until(lambda: feed.snapshot().limiter.waiting == 1)
            skip(10)

        passing = asyncio.create_task(let_time_pass())
        async with feed.read.stream(id=1) as stream:
            assert await collected(stream.bytes()) == [b"x"]
        await passing
    assert stream.meta.waited[WaitCause.RATE_LIMIT] > 5
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == 1


async def _flood(peer: Peer) -> None:
    """Answer with 200 MiB in lines."""
    await peer.read()
    piece = (b"x" * (2**14 - 1) + b"\n") * 4
    await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * MIB))
    for _ in range(200 * MIB // len(piece)):
        peer.writer.write(piece)
        await peer.writer.drain()


@pytest.mark.parametrize("form", ["bytes", "lines"])
async def test_a_long_stream_takes_little_memory(form: str) -> None:
    """Of 200 MiB never more than a few are held at once."""
    count = 0
    async with feeding([answer(), _flood], sizes=buoy.Sizes(body=256 * MIB), timeout=None) as (_, feed):
        await feed.read(id=0)  # whatever is made once is made
        tracemalloc.start()
        try:
            async with feed.read.stream(id=1) as stream:
                if form == "bytes":
                    async for piece in stream.bytes():
                        count += len(piece)
                else:
                    async for line in stream.lines():
                        count += len(line) + 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (count, stream.complete) == (200 * MIB, True)
    assert peak < 4 * MIB
    print(f"{form}: at most {peak / MIB:.1f} MiB of {count / MIB:.0f} at once")
