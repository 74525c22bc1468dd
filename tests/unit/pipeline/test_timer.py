"""The limits on what tasks do, all of them on one timer of the loop; an hour of them in a millisecond."""

import asyncio
import gc
import weakref
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.pipeline.timer import Timer, Timers
from tests.support.virtual_time import now, run, virtually


def scheduled() -> list[Any]:
    """Return what the loop is to do later and was not cancelled."""
    handles: list[Any] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [handle for handle in handles if not handle.cancelled()]


async def limited(timers: Timers, seconds: float, duration: float) -> tuple[bool, float]:
    """Do something that takes ``duration`` within ``seconds``; return whether it was late, and when it ended."""
    timer = timers.start(seconds)
    assert timer is not None
    try:
        await asyncio.sleep(duration)
    except asyncio.CancelledError:
        return timer.stop(), now()
    return timer.stop(), now()


@virtually
async def test_what_takes_too_long_is_cut_at_its_time() -> None:
    """The task is cancelled when its time is up, that is no cancellation of its own, and it goes on as if none came."""
    timers = Timers(asyncio.get_running_loop())
    assert await limited(timers, 10, 11) == (True, 10)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(5)
    assert now() == 15


@virtually
async def test_what_ends_in_time_is_left_alone() -> None:
    """A timer that was stopped cancels nothing, however long its task goes on."""
    timers = Timers(asyncio.get_running_loop())
    assert await limited(timers, 10, 9) == (False, 9)
    await asyncio.sleep(100)
    assert now() == 109


@virtually
async def test_another_cancellation_wins() -> None:
    """Who is cancelled by somebody else at the moment when the time is up is cancelled, and not late."""
    loop = asyncio.get_running_loop()
    timers = Timers(loop)
    task = loop.create_task(limited(timers, 10, 11))
    loop.call_at(10, task.cancel)
    assert await task == (False, 10)
    assert task.cancelling() == 1


@virtually
async def test_a_cancellation_from_before_stands() -> None:
    """A task that is being cancelled already, and cleans up within a limit, is late at its time all the same."""

    async def cleaning() -> tuple[bool, float]:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            return await limited(timers, 10, 11)
        return False, now()

    timers = Timers(asyncio.get_running_loop())
    task = asyncio.get_running_loop().create_task(cleaning())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == (True, 10)
    assert task.cancelling() == 1


@virtually
async def test_no_limit_is_no_timer() -> None:
    """Infinitely many seconds take nothing of the loop's."""
    assert Timers(asyncio.get_running_loop()).start(inf) is None
    assert scheduled() == []


@pytest.mark.parametrize("seconds", [0, -1])
@virtually
async def test_a_time_that_has_passed_is_up_at_once(seconds: float) -> None:
    """No time left is no time."""
    assert await limited(Timers(asyncio.get_running_loop()), seconds, 1) == (True, 0)


MOMENTS = st.integers(min_value=1, max_value=60)


@given(st.lists(st.tuples(MOMENTS, MOMENTS, MOMENTS), max_size=30))
def test_each_ends_at_its_own_time(given_: list[tuple[int, int, int]]) -> None:
    """Whenever they begin and however long they are, who takes longer than its limit is late at its end, no other."""

    async def one(timers: Timers, begin: int, limit: int, duration: int) -> tuple[bool, float]:
        await asyncio.sleep(begin)
        # A quarter is exact, and never at the same moment as the end of a limit.
        return await limited(timers, limit, duration + 0.25)

    async def every() -> list[tuple[bool, float]]:
        timers = Timers(asyncio.get_running_loop())
        return await asyncio.gather(*(one(timers, *each) for each in given_))

    expected = [
        (limit <= duration, begin + (limit if limit <= duration else duration + 0.25))
        for begin, limit, duration in given_
    ]
    assert expected == run(every())


@virtually
async def test_the_loop_has_one_timer_of_them() -> None:
    """However many are running, the loop has one timer for them, and none when all is over or they were closed."""
    timers = Timers(asyncio.get_running_loop())
    running = [timers.start(seconds) for seconds in (30, 10, 20)]
    [handle] = scheduled()
    assert handle.when() == 10
    for timer in running:
        assert timer is not None
        timer.stop()
    await asyncio.sleep(11)
    assert scheduled() == []
    timers.start(10)
    timers.close()
    assert scheduled() == []


@virtually
async def test_stopped_timers_do_not_pile_up() -> None:
    """Of a million calls within the longest limit no more are kept than some few, beside those that are running."""
    timers = Timers(asyncio.get_running_loop())
    running = [timers.start(3600) for _ in range(50)]
    for _ in range(10_000):
        timer = timers.start(3600)
        assert timer is not None
        timer.stop()
    kept = [each for each in gc.get_objects() if isinstance(each, Timer)]
    assert len(kept) <= 2 * len(running) + 101
    timers.close()


@virtually
async def test_a_stopped_timer_holds_no_task() -> None:
    """What a task did is let go when it is over, and not when its limit would have been."""

    class Kept:
        """Something in a frame of the task."""

    async def work() -> "weakref.ref[Kept]":
        kept = Kept()
        timer = timers.start(3600)
        assert timer is not None
        timer.stop()
        return weakref.ref(kept)

    timers = Timers(asyncio.get_running_loop())
    gc.disable()
    try:
        held = await asyncio.get_running_loop().create_task(work())
        assert held() is None
    finally:
        gc.enable()
    timers.close()
