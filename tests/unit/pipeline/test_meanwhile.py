"""What changes while a call waits: it is asked again, without waiting, before it is sent. Stale news does not count.

A call here waits for its turn until 10, or for the permit that comes back at 10.
"""

import asyncio
from dataclasses import replace

import pytest

from buoy.errors import BreakerOpen, RateLimitedLocally
from buoy.outcome import BreakerState, LimitSource, WaitCause
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates, begun, everything
from tests.unit.pipeline.scripted import PATIENT, Step, busy, throttled

OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
WAITING = pytest.mark.parametrize("state", ["turn", "permit"])


def wait_until_10(gates: Gates, state: str) -> None:
    """Let the next call wait until 10, in this state."""
    assert gates.permits is not None
    if state == "turn":
        gates.limiter.pause(10, 0, LimitSource.LOCAL)
    elif state == "permit":
        gates.permits.take()
        asyncio.get_running_loop().call_at(10, gates.permits.give_back)


@WAITING
@virtually
async def test_a_breaker_that_opened_meanwhile_refuses(state: str) -> None:
    """Where the breaker opens while a call waits nothing is sent, and permit and turn go to the next."""
    gates = everything()
    assert gates.circuit is not None
    wait_until_10(gates, state)
    asyncio.get_running_loop().call_at(5, gates.circuit.force, OPEN, 5, 100)
    scenario = gates.scenario()
    error = await scenario.caught()
    assert isinstance(error, BreakerOpen)
    assert (error.retry_after, now(), scenario.sends) == (95, 10, 0)
    assert gates.limiter.limiter.peek(10) == 0
    gates.check_at_rest()


@WAITING
@virtually
async def test_a_breaker_that_opened_and_closed_meanwhile_admits(state: str) -> None:
    """A call whose lease is no longer good asks for another, and sends if it gets one: that one counts."""
    gates = everything()
    assert gates.circuit is not None
    wait_until_10(gates, state)
    asyncio.get_running_loop().call_at(5, gates.circuit.force, OPEN, 5, 1)
    asyncio.get_running_loop().call_at(6, gates.circuit.reset, 6)
    scenario = gates.scenario(Step(busy()), retry=None)
    await scenario.caught()
    assert (scenario.sends, gates.circuit.figures(10).failed) == (1, 1)


# The breaker, from half-open on.


@pytest.mark.parametrize("state", ["turn", "permit", "just come"])
@virtually
async def test_probes_are_exact_under_concurrency(state: str) -> None:
    """Of fifty calls that have waited, or come at once, three are sent: as many as a half-open breaker lets through."""
    gates = Gates(breaker=Breaker(half_open_permits=3), concurrency=Concurrency(10))
    assert gates.circuit is not None
    for _ in range(10):
        wait_until_10(gates, state)
    asyncio.get_running_loop().call_at(5, gates.circuit.force, OPEN, 5, 1)
    await asyncio.sleep(10 if state == "just come" else 0)
    scenarios = [gates.scenario(Step(seconds=1), timeout=PATIENT) for _ in range(50)]
    results = await asyncio.gather(*map(begun, scenarios))
    assert sorted(scenario.sent_at for scenario in scenarios) == [[]] * 47 + [[10]] * 3
    refusals = [result for result in results if result is not None]
    assert {(type(error), getattr(error, "retry_after", 0)) for error in refusals} == {(BreakerOpen, None)}
    assert {scenario.call.ended for scenario in scenarios} == {10, 11}
    assert gates.circuit.state(11) is CLOSED
    gates.check_at_rest()


@virtually
async def test_a_lost_probe_is_another_callers() -> None:
    """A probe that was cancelled, or whose result says nothing, makes room for one more, and for no more than one."""
    gates = everything(half_open_permits=1)
    gates.plan = replace(gates.plan, limiter=None, permits=None)
    lost = begun(gates.scenario(Step(seconds=9)))
    await asyncio.sleep(1)
    assert isinstance(await gates.scenario().caught(), BreakerOpen)
    lost.cancel()
    await asyncio.wait([lost])
    neutral = await gates.scenario(Step(KeyError("x"))).caught()
    assert isinstance(neutral, KeyError)
    last = [gates.scenario(Step(seconds=9)) for _ in range(2)]
    await asyncio.wait([begun(scenario) for scenario in last])
    assert [scenario.sends for scenario in last] == [1, 0]


@virtually
async def test_a_stale_result_does_not_count() -> None:
    """What was sent before the breaker opened says nothing about the time after it, be it good or bad."""
    gates = Gates(breaker=Breaker(minimum_calls=1, half_open_permits=1))
    assert gates.circuit is not None
    early = [begun(gates.scenario(Step(error, seconds=4), retry=None)) for error in (busy(), None)]
    await asyncio.sleep(1)
    gates.half_open()
    probe = begun(gates.scenario(Step(seconds=4)))
    await asyncio.wait(early)
    assert (gates.circuit.state(4), gates.circuit.figures(4).buffered, gates.leases_left()) == (HALF_OPEN, 0, 0)
    await probe
    assert gates.circuit.state(5) is CLOSED


# Pauses.


@virtually
async def test_a_pause_holds_for_those_who_queue_for_a_permit() -> None:
    """A call that had its turn and waited for a permit when everybody was told to pause obeys like all others."""
    gates = Gates(concurrency=Concurrency(1))
    told = gates.scenario(Step(throttled(retry_after=5), seconds=1), retry=None)
    queued = [gates.scenario(Step(seconds=1)) for _ in range(3)]
    impatient = gates.scenario(timeout=Timeout(total=3))
    tasks = [begun(scenario) for scenario in (told, impatient, *queued)]
    await asyncio.wait(tasks)
    assert sorted(scenario.sent_at for scenario in queued) == [[6], [7], [8]]
    refusal = tasks[1].result()
    assert isinstance(refusal, RateLimitedLocally)
    assert (refusal.retry_after, impatient.call.ended, impatient.sends) == (3, 1, 0)
    assert impatient.call.waited == {WaitCause.CONCURRENCY: 1}
    assert sorted(scenario.call.waited[WaitCause.RATE_LIMIT] for scenario in queued) == [5, 5, 5]
    gates.check_at_rest()


@virtually
async def test_a_turn_given_up_for_a_pause_is_not_lost() -> None:
    """Who gives way to a pause in the moment of its turn gives that turn back, and takes another after the pause."""
    gates = Gates(concurrency=Concurrency(1), rates=(RateLimit(1, per=10_000, burst=3),))
    told = gates.scenario(Step(throttled(retry_after=5)), retry=None)
    queued = gates.scenario()
    await asyncio.wait([begun(told), begun(queued)])
    assert (queued.sent_at, gates.limiter.limiter.remaining(5)) == ([5], 1)
