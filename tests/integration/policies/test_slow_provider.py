"""A provider that hangs while a thousand callers wait: what they cost, and that they are told in time."""

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from math import inf

import buoy
from buoy.errors import Refused
from buoy.outcome import ErrorType
from buoy.pipeline.call import Call
from tests.integration.policies.conftest import Tell
from tests.support.counting_server import CountingServer
from tests.support.eventually import until
from tests.support.peer import answer

CALLERS, TOGETHER, PERMITS = 1000, 50, 20
# Seconds. All must wait before the first gives up, also on a busy machine and while memory is traced.
DEADLINE = 4.0
LONG = 30.0  # not waited for
PAUSE = 2.0
LATE = 10.0  # seconds for a thousand refusals at once, on that machine
WAITING = 10 * 1024  # bytes for each who waits: the task, the call, the timer
GONE = 512  # bytes for each who was there: room that lists and caches keep for the next


class Shop(buoy.Provider):
    """All policies are on; its calls may hang for longer than callers wait."""

    timeout = buoy.Timeout(total=120, attempt=60)
    concurrency = buoy.Concurrency(PERMITS)
    limit = buoy.RateLimit(1e6)
    read = buoy.get("/items/{id}")


def _nothing() -> None:
    pass


class Waiters:
    """Callers with a deadline, who keep nothing but why and after how many seconds they were refused."""

    def __init__(self, shop: Shop, deadline: float) -> None:
        self._shop = shop
        self.deadline = deadline
        self.refused: Counter[ErrorType] = Counter()
        self.waited: list[float] = []
        self.memory: list[float] = []

    async def all(
        self, queue: Callable[[], int], *, meanwhile: Callable[[], None] = _nothing, then: Callable[[], None] = _nothing
    ) -> None:
        """Call, until all are in the queue at once, and be refused; note the bytes for each: none, at most, after."""
        gc.collect()
        tracemalloc.start()
        try:
            start = self._note(0)
            async with asyncio.timeout(self.deadline + LATE), asyncio.TaskGroup() as group:
                for several in range(0, CALLERS, TOGETHER):
                    meanwhile()
                    for item in range(several, several + TOGETHER):
                        group.create_task(self._one(item))
                    await asyncio.sleep(0)
                await until(lambda: queue() == CALLERS)
                then()
            self._note(start, peak=True)
            gc.collect()
            self._note(start)
        finally:
            tracemalloc.stop()

    async def _one(self, item: int) -> None:
        try:
            await self._shop.read(id=item, deadline=self.deadline)
        except Refused as refusal:
            self.refused[refusal.error_type] += 1
            self.waited.append(inf if refusal.meta is None else refusal.meta.duration)

    def _note(self, start: int, *, peak: bool = False) -> int:
        bytes_now = tracemalloc.get_traced_memory()[peak]
        self.memory.append((bytes_now - start) / CALLERS)
        return bytes_now

    def figures(self) -> str:
        """Return what was measured."""
        (reason, number), *_ = self.refused.items()
        times = f"after {min(self.waited):.2f} to {max(self.waited):.2f} s of {self.deadline:g}"
        each = f"{self.memory[1] / 1024:.1f} KiB each while they waited, {self.memory[2]:.0f} B after"
        return f"{number} refused ({reason}) {times}; {each}"


async def test_a_thousand_who_wait_for_a_permit_stay_small_and_are_refused_in_time(tell: Tell) -> None:
    """While 20 hang at the provider, a thousand wait for less than 10 KiB each, leave in time, and leave nothing."""
    async with CountingServer(lambda _: answer()) as server, Shop(base_url=server.url) as shop:
        server.hold()
        slow = asyncio.gather(*[shop.read(id=item) for item in range(PERMITS)])
        await until(lambda: server.at_once == PERMITS)
        waiters = Waiters(shop, DEADLINE)
        await waiters.all(lambda: shop.control.concurrency.waiting)
        alive = _alive(shop)
        permits = shop.snapshot().concurrency
        server.release()
        await slow
        rest = shop.snapshot().concurrency
    assert waiters.refused == {ErrorType.CONCURRENCY_LIMITED: CALLERS}
    _assert_small_and_in_time(waiters)
    assert alive == PERMITS  # those that hang
    assert permits is not None
    assert rest is not None
    assert [(each.used, each.waiting) for each in (permits, rest)] == [(PERMITS, 0), (0, 0)]
    assert (server.requests, server.most_connections) == (PERMITS, PERMITS)
    tell(f"slow provider, {PERMITS} permits: {waiters.figures()}; {server.most_connections} connections")


async def test_a_thousand_who_wait_for_their_turn_stay_small_and_are_refused_in_time(tell: Tell) -> None:
    """A thousand wait for a pause to end; when it outlasts them, they leave in time, and leave nothing."""
    async with CountingServer(lambda _: answer()) as server, Shop(base_url=server.url) as shop:
        loop, limiter = asyncio.get_running_loop(), shop.control.limiter
        waiters = Waiters(shop, LONG)
        await waiters.all(
            lambda: limiter.waiting,
            meanwhile=lambda: limiter.penalize(loop.time() + PAUSE),
            then=lambda: limiter.penalize(loop.time() + 2 * LONG),
        )
        alive = _alive(shop)
        waiting = limiter.waiting
    assert waiters.refused == {ErrorType.RATE_LIMITED_LOCALLY: CALLERS}
    _assert_small_and_in_time(waiters)
    assert (alive, waiting, server.requests) == (0, 0, 0)
    tell(f"slow provider, paused: {waiters.figures()}; {server.requests} requests")


def _assert_small_and_in_time(waiters: Waiters) -> None:
    _, waiting, gone = waiters.memory
    assert waiting < WAITING
    assert gone < GONE
    assert max(waiters.waited) < waiters.deadline + LATE


def _alive(shop: Shop) -> int:
    """Return how many records of calls of the shop are still held by somebody."""
    return sum(isinstance(each, Call) and each.plan is shop.read.plan for each in gc.get_objects())
