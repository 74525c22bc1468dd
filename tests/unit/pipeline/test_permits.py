"""The gate of the permits: first come, first served; who leaves is gone; and no permit is lost or doubled."""

import asyncio
from dataclasses import dataclass
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.pipeline.gates import PermitGate
from buoy.policies.concurrency import Concurrency
from tests.support import virtual_time
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import cancelled


def gate_of(limit: int, max_wait: float | None = None) -> PermitGate:
    """Return a gate in the running loop."""
    return PermitGate(asyncio.get_running_loop(), Concurrency(limit, max_wait=max_wait))


def state(gate: PermitGate) -> tuple[int, int]:
    """Return how many permits are taken, and how many callers wait."""
    return gate.permits.used, gate.permits.waiting


@virtually
async def test_permits_are_taken_while_there_are_any() -> None:
    """As many as there are may be taken, and one that comes back is there for the next."""
    gate = gate_of(2)
    assert [gate.take() for _ in range(3)] == [True, True, False]
    gate.give_back()
    assert [gate.take() for _ in range(2)] == [True, False]


@virtually
async def test_first_come_first_served() -> None:
    """Permits go to those who wait in the order in which they came, each as it comes back."""
    gate, served = gate_of(1), list[int]()
    assert gate.take()

    async def work(number: int) -> None:
        assert await gate.wait(inf)
        served.append(number)
        await asyncio.sleep(1)
        gate.give_back()

    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(work(number))
        await asyncio.sleep(1)
        assert (served, state(gate)) == ([], (1, 5))
        gate.give_back()
        assert not gate.take()  # a newcomer overtakes nobody
    assert (served, state(gate), now()) == ([0, 1, 2, 3, 4], (0, 0), 6)


@pytest.mark.parametrize(("max_wait", "left"), [(0.0, 10.0), (0.0, inf), (None, 0.0), (None, -1.0), (5.0, 0.0)])
@virtually
async def test_who_may_not_wait_is_refused_at_once(max_wait: float | None, left: float) -> None:
    """Without any time to wait the answer is no: nobody queues, and nothing else runs in between."""
    gate = gate_of(1, max_wait)
    gate.take()
    asyncio.get_running_loop().call_soon(gate.give_back)  # it would come back a moment later
    assert not await gate.wait(left)
    assert (now(), state(gate)) == (0, (1, 0))


@pytest.mark.parametrize(("max_wait", "left", "waits"), [(3.0, 10.0, 3), (None, 4.0, 4), (9.0, 2.0, 2)])
@virtually
async def test_out_of_time(max_wait: float | None, left: float, waits: float) -> None:
    """A caller waits as long as it is allowed, and then it is out of the queue: the permit goes to the next."""
    gate = gate_of(1, max_wait)
    gate.take()
    assert not await gate.wait(left)
    assert (now(), state(gate)) == (waits, (1, 0))
    gate.give_back()
    assert state(gate) == (0, 0)


@virtually
async def test_no_timer_stays_behind() -> None:
    """The timer of a caller that was served, or left, is cancelled, and one without a deadline has none."""
    gate = gate_of(1)
    gate.take()
    waiting = [asyncio.ensure_future(gate.wait(left)) for left in (60, 60, inf)]
    await asyncio.sleep(0)
    await cancelled(waiting[1])
    gate.give_back()
    assert await waiting[0]
    gate.give_back()
    assert await waiting[2]
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, virtual_time.VirtualTimeLoop)
    assert [timer for timer in loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]  # asyncio's


@virtually
async def test_granted_and_cancelled_passes_on() -> None:
    """Who is cancelled after the permit was granted and before it woke passes it on, to the next or to the pool."""
    gate = gate_of(1)
    gate.take()
    first, second, third = (asyncio.ensure_future(gate.wait(inf)) for _ in range(3))
    await asyncio.sleep(0)
    gate.give_back()
    first.cancel()
    second.cancel()
    assert await third
    assert (first.cancelled(), second.cancelled(), state(gate)) == (True, True, (1, 0))
    last = asyncio.ensure_future(gate.wait(inf))
    await asyncio.sleep(0)
    gate.give_back()
    await cancelled(last)
    assert state(gate) == (0, 0)


@virtually
async def test_cancelled_and_then_granted_passes_on() -> None:
    """A permit that comes back to one who was cancelled and is still in the queue goes to the next."""
    gate = gate_of(1)
    gate.take()
    first, second = (asyncio.ensure_future(gate.wait(inf)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.give_back()
    assert await second
    assert (first.cancelled(), state(gate)) == (True, (1, 0))


@pytest.mark.parametrize("grant_first", [True, False])
@virtually
async def test_granted_in_the_moment_its_time_is_up(*, grant_first: bool) -> None:
    """Where the permit and the end of the wait come at the same time the first counts, and no permit is lost."""
    gate, loop = gate_of(1), asyncio.get_running_loop()
    gate.take()
    waiting = asyncio.ensure_future(gate.wait(5))
    await asyncio.sleep(0)
    loop.call_at(4 if grant_first else 6, lambda: None)  # the clock stops here on its way
    loop.call_at(5 - 1e-12 if grant_first else 5 + 1e-12, gate.give_back)
    assert grant_first == await waiting
    await asyncio.sleep(1)
    assert state(gate) == (int(grant_first), 0)


@pytest.mark.parametrize("leave", ["cancelled", "out of time"])
@virtually
async def test_a_thousand_leave_together(leave: str) -> None:
    """A thousand callers that leave the queue together leave nothing behind; the permit is for the one who stayed."""
    gate = gate_of(1)
    gate.take()
    waiting = [asyncio.ensure_future(gate.wait(5)) for _ in range(1000)]
    patient = asyncio.ensure_future(gate.wait(60))
    await asyncio.sleep(0)
    assert state(gate) == (1, 1001)
    if leave == "cancelled":
        for waiter in waiting:
            waiter.cancel()
    done, _ = await asyncio.wait(waiting)
    assert [waiter.cancelled() or waiter.result() for waiter in done] == [leave == "cancelled"] * 1000
    assert state(gate) == (1, 1)
    gate.give_back()
    assert await patient
    assert state(gate) == (1, 0)


# The law.


@dataclass(frozen=True)
class Guest:
    """A caller: when it comes, how long it waits and holds a permit, and when it is cancelled. In quarter seconds."""

    comes: int
    patience: int
    holds: int
    cancelled: int | None


GUESTS = st.lists(
    st.builds(Guest, st.integers(0, 12), st.integers(0, 12), st.integers(0, 8), st.none() | st.integers(0, 24)),
    max_size=12,
)


class House:
    """Guests in a house with so many permits, and what becomes of them."""

    def __init__(self, limit: int) -> None:
        self.gate = gate_of(limit)
        self.inside = 0
        self.queued: list[int] = []
        self.served: list[int] = []

    def look(self) -> None:
        """Check that the permits are held by those inside, and nobody waits beside a free one."""
        permits = self.gate.permits
        assert self.inside == permits.used
        assert not permits.waiting or permits.used == permits.limit

    async def visit(self, number: int, guest: Guest) -> None:
        """Come, wait, stay, go."""
        await asyncio.sleep(guest.comes / 4)
        if not self.gate.take():
            self.queued.append(number)
            if not await self.gate.wait(guest.patience / 4):
                return
            self.served.append(number)
        self.inside += 1
        assert self.inside <= self.gate.permits.limit
        try:
            await asyncio.sleep(guest.holds / 4)
        finally:
            self.inside -= 1
            self.gate.give_back()


@given(st.integers(1, 3), GUESTS)
def test_whoever_comes_and_goes(limit: int, guests: list[Guest]) -> None:
    """Never more than the permits are inside, nobody is overtaken or waits in vain, and all permits come back."""

    async def party() -> None:
        house, loop = House(limit), asyncio.get_running_loop()
        tasks = [asyncio.ensure_future(house.visit(number, guest)) for number, guest in enumerate(guests)]
        for task, guest in zip(tasks, guests, strict=True):
            if guest.cancelled is not None:
                loop.call_at(guest.cancelled / 4, task.cancel)
        for _ in range(4 * 40):  # between the moments at which something happens
            await asyncio.sleep(1 / 8)
            house.look()
            await asyncio.sleep(1 / 8)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        assert house.served == [number for number in house.queued if number in house.served]
        assert state(house.gate) == (0, 0)

    virtual_time.run(party())
