"""The virtual-time loop keeps what it promises: order and distance of events, no waiting, no hanging."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import virtual_time


def test_an_hour_takes_no_time() -> None:
    """An hour of sleep passes on the loop's clock, and next to nothing on the real one."""

    async def sleep() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    begun = time.monotonic()
    assert virtual_time.run(sleep()) == pytest.approx(3600)
    assert time.monotonic() - begun < 60


@given(st.lists(st.floats(0, 1e6), max_size=8))
def test_sleepers_wake_in_the_order_of_their_deadlines(delays: list[float]) -> None:
    """Whatever sleeps are begun together, they end by length, each at its own time."""
    woken: list[tuple[float, float]] = []

    async def sleep(delay: float) -> None:
        await asyncio.sleep(delay)
        woken.append((delay, asyncio.get_running_loop().time()))

    async def all_of_them() -> None:
        await asyncio.gather(*(sleep(delay) for delay in delays))

    virtual_time.run(all_of_them())
    assert sorted(delay for delay, _ in woken) == sorted(delays)
    assert [at for _, at in woken] == pytest.approx([delay for delay, _ in woken], abs=1e-8)
    ended = [at for _, at in woken]
    assert sorted(ended) == ended


def test_timeouts_are_in_virtual_time() -> None:
    """``asyncio.timeout`` ends a long sleep at its own virtual deadline."""

    async def cut() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(100)
        return asyncio.get_running_loop().time()

    assert virtual_time.run(cut()) == pytest.approx(5)


def test_waiting_for_ever_raises() -> None:
    """Waiting for what nobody will ever do is an error at once, not a hanging test."""

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="wait for ever"):
        virtual_time.run(wait())


def test_threads_run_on_the_spot() -> None:
    """Work for a thread is done before the next line, and its error reaches the one who awaits it."""

    async def work() -> int:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return await asyncio.to_thread(max, 3, 4)

    assert virtual_time.run(work()) == 4


def test_time_passes_where_the_test_says_so() -> None:
    """A tick makes each reading of the clock take time; ``pass_time`` lets time pass while nothing runs."""

    async def read() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        first, second = loop.time(), loop.time()
        virtual_time.pass_time(10)
        return first, second, loop.time()

    first, second, third = virtual_time.run(read(), tick=1.0)
    assert (second - first, third - second) == (1.0, 11.0)
