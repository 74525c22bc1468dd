"""Who streams may be cancelled at any await point: nothing leaks, nothing is counted twice, and the next call works."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

import buoy
from buoy.outcome import CallResult
from buoy.pipeline.call import Call
from tests.integration.test_cancel_everywhere import Open, cancelled, nothing_left
from tests.support.cancelling import CancelledAt, Moment
from tests.support.eventually import until
from tests.support.peer import HANG, Peer, answer
from tests.support.telemetry import Observed

LINES = 10
BODY = (b"x" * 30_000 + b"\n") * LINES


class Feed(buoy.Provider, base_url="http://replaced.example"):
    """What is streamed and cancelled: a permit that is not given back would be missed by the next call."""

    retry = buoy.Retry(base=0.001, throttled_base=0.001)
    concurrency = buoy.Concurrency(1, max_wait=0)

    read = buoy.get("/items/{id}")


class OwnError(Exception):
    """A user's own."""


async def whole(feed: Feed) -> object:
    """Read all of it."""
    async with feed.read.stream(id=7) as stream:
        return len([line async for line in stream.lines()])


async def in_part(feed: Feed) -> object:
    """Leave when there is enough."""
    async with feed.read.stream(id=7) as stream:
        async for _ in stream.bytes():
            return LINES
    pytest.fail("there is something")


async def by_exception(feed: Feed) -> object:
    """Leave by an exception."""
    try:
        async with feed.read.stream(id=7) as stream:
            await anext(stream.lines())
            raise OwnError
    except OwnError:
        return LINES


async def broken(feed: Feed) -> object:
    """Read until it breaks off."""
    try:
        return await whole(feed)
    except buoy.NetworkError:
        return LINES


async def busily(feed: Feed) -> object:
    """Do something else between the pieces, and after them."""
    async with feed.read.stream(id=7) as stream:
        count = 0
        async for _ in stream.lines():
            count += 1
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return count


@dataclass(frozen=True)
class Scenario:
    """A use of a stream, what the peer says to it, and whether a connection waits in the pool when it begins."""

    use: Callable[[Feed], Coroutine[Any, Any, object]]
    script: tuple[bytes, ...]
    pooled: bool = True


REPAIRED = (answer(503, b"{}", Retry_After="0"), answer(body=BODY))
SCENARIOS = {
    "whole": Scenario(whole, (answer(body=BODY),)),
    "whole, first connection": Scenario(whole, (answer(body=BODY),), pooled=False),
    "503, then whole": Scenario(whole, REPAIRED),
    "503, then whole, first connection": Scenario(whole, REPAIRED, pooled=False),
    "in part": Scenario(in_part, (answer(body=BODY),)),
    "by exception": Scenario(by_exception, (answer(body=BODY),)),
    "broken": Scenario(broken, (answer(body=BODY, length=len(BODY) + 1),)),
    "busily": Scenario(busily, (answer(body=BODY),)),
}


class CutFromWithin(CancelledAt[None]):
    """Follows the task of the call, and cancels its user when it has come to the point."""

    def __init__(self, call: Awaitable[None], number: int, moment: Moment, user: "asyncio.Task[Any]") -> None:
        assert isinstance(call, Coroutine)
        super().__init__(call, number, moment)
        self._user = user

    def _cancel(self, waiting: Any) -> None:
        user = self._user
        if self._moment is Moment.EARLY or waiting is None:
            user.cancel()
            return
        waiting.add_done_callback(lambda _: user.cancel())


async def check_at_rest(feed: Feed, peer: Peer) -> None:
    """Check that nothing is in flight or held, and every connection is either closed or waits in the pool."""
    assert feed._transport is not None
    connector = feed._transport._pool.session.connector
    assert connector is not None
    await until(lambda: not connector._acquired)
    await until(lambda: peer.connections == sum(len(waiting) for waiting in connector._conns.values()))
    snapshot = feed.snapshot()
    assert snapshot.concurrency is not None
    assert (snapshot.active, snapshot.concurrency.used) == (0, 0)


async def check_works(feed: Feed, peer: Peer, spans: Open) -> None:
    """Check that all is at rest, and that the next stream and the next call work."""
    await check_at_rest(feed, peer)
    assert spans.spans == set()
    peer.script.clear()
    async with feed.read.stream(id=8) as stream:
        assert [piece async for piece in stream.bytes()] == [b"{}"]
    assert await feed.read(id=9) == {}
    await check_at_rest(feed, peer)


def check_counts(observed: Observed, calls: int) -> None:
    """Check that each call was counted once and none is active, in spans as in metrics."""
    assert observed.value("buoy.client.call.active") == 0
    assert observed.value("buoy.client.calls") == len(observed.calls()) == calls
    assert observed.value("buoy.client.attempt.duration") == len(observed.attempts())


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_user_of_a_stream_cancelled_at_every_point(name: str, moment: Moment, observed: Observed) -> None:
    """Opening, reading or leaving: the user is cancelled, all is back at rest, and the next stream works."""
    scenario, spans, calls, number, reached = SCENARIOS[name], Open(), 0, 0, True
    observed.traces.add_span_processor(spans)
    complaints = _complaints()
    async with Peer() as peer:
        while reached:
            number += 1
            async with nothing_left(peer), Feed(base_url=peer.url) as feed:
                if scenario.pooled:
                    await feed.read(id=0)
                peer.script.extend(scenario.script)
                steps = CancelledAt(scenario.use(feed), number, moment)
                value = await cancelled(steps)
                assert value == (None if steps.reached else LINES)
                await check_works(feed, peer, spans)
                calls += 3 + scenario.pooled
                reached = steps.reached
    check_counts(observed, calls)
    gc.collect()  # an error that nobody has asked for would complain now
    assert complaints == []
    print(f"{name}, {moment.value}: cancelled at each of {number - 1} points")
    assert number > 2


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_the_user_of_a_stream_cancelled_at_every_point_of_its_call(
    name: str, moment: Moment, observed: Observed
) -> None:
    """Wherever the call is that goes on beside its user: the user's cancellation ends both."""
    scenario, spans, calls, number, reached = SCENARIOS[name], Open(), 0, 0, True
    observed.traces.add_span_processor(spans)
    complaints = _complaints()
    async with Peer() as peer:
        while reached:
            number += 1
            async with nothing_left(peer), Feed(base_url=peer.url) as feed:
                if scenario.pooled:
                    await feed.read(id=0)
                peer.script.extend(scenario.script)
                user = asyncio.create_task(scenario.use(feed))
                followed = _follow(feed, number, moment, user)
                await asyncio.wait([user])
                reached = any(steps.reached for steps in followed)
                assert user.cancelled() or user.result() == LINES
                await check_works(feed, peer, spans)
                calls += 3 + scenario.pooled
    check_counts(observed, calls)
    gc.collect()
    assert complaints == []
    print(f"{name}, {moment.value}: cancelled at each of {number - 1} points of the call")
    assert number > 2
    assert observed.value("buoy.client.calls", result=CallResult.CANCELLED) > 0


def _follow(feed: Feed, number: int, moment: Moment, user: "asyncio.Task[Any]") -> list[CutFromWithin]:
    """Count the points of the tries of the next call, each from the first on; return those that were followed."""
    send, followed = feed.read.open, list[CutFromWithin]()

    async def following(call: Call, hand_over: Any) -> None:
        if followed and (followed[0].reached or call is not first[0]):
            await send(call, hand_over)
            return
        first.append(call)
        before = followed[-1].count if followed else 0
        steps = CutFromWithin(send(call, hand_over), number - before, moment, user)
        followed.append(steps)
        await steps

    first: list[Call] = []
    feed.read.open = following
    return followed


def _complaints() -> list[str]:
    """Return where the loop will say what nobody was told."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))
    return said


async def test_streams_cancelled_all_at_once(observed: Observed) -> None:
    """Streams whose users are cancelled together are all counted as cancelled, and let the provider be left."""
    begun = [asyncio.Event() for _ in range(20)]

    async def use(feed: Feed, event: asyncio.Event) -> None:
        async with feed.read.stream(id=1) as stream:
            async for _ in stream.bytes():
                event.set()

    endless = answer(body=b"x", length=1000).removesuffix(b"cut")
    async with (
        Peer(*[endless] * len(begun)) as peer,
        nothing_left(peer),
        Feed(base_url=peer.url, concurrency=None) as feed,
    ):
        users = [asyncio.create_task(use(feed, event)) for event in begun]
        await asyncio.gather(*[event.wait() for event in begun])
        for user in users:
            user.cancel()
        await asyncio.wait(users)
    assert all(user.cancelled() for user in users)
    assert observed.value("buoy.client.calls", result=CallResult.CANCELLED) == len(users)
    check_counts(observed, len(users))


async def test_a_stream_whose_opening_is_given_up() -> None:
    """A timer of the user's own around the block ends the call while its answer does not come."""

    async def give_up(feed: Feed, hanging: asyncio.Event) -> None:
        async with asyncio.timeout(None) as timer:
            waiting = asyncio.create_task(hanging.wait())
            waiting.add_done_callback(lambda _: timer.reschedule(0))
            async with feed.read.stream(id=1):
                pytest.fail("there is no answer")

    async with Peer(HANG) as peer, nothing_left(peer), Feed(base_url=peer.url) as feed:
        with pytest.raises(TimeoutError):
            await give_up(feed, peer.reading)
        await check_at_rest(feed, peer)
        assert feed.snapshot().calls[CallResult.CANCELLED] == 1
