"""Whatever ends a try, all that it took and did not use is there for the next: lease, turn, permit, paid retry."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from buoy.errors import BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimitedLocally
from buoy.outcome import BreakerState, LimitSource
from buoy.policies.breaker import Breaker
from buoy.policies.budget import RetryBudget
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from tests.support.cancelling import CancelledAt, Moment
from tests.support.virtual_time import now, pass_time, virtually
from tests.unit.pipeline.gated import Gates, begun, everything
from tests.unit.pipeline.scripted import PATIENT, Scenario, Step, busy

EARLY, LATE = Moment.EARLY, Moment.LATE


def ten_turns() -> Gates:
    """Return one of everything, with ten turns and no more: what is spent of them does not come back with time."""
    gates = Gates(
        breaker=Breaker(minimum_calls=100, half_open_permits=3, half_open_for=1000),
        rates=(RateLimit(1, per=10_000, burst=10),),
        concurrency=Concurrency(1),
        budget=RetryBudget(ratio=0, reserve=0.1, ttl=60),
    )
    gates.half_open()
    return gates


@dataclass(frozen=True)
class Left:
    """How a call that waits for everything twice was left: when it ended, its tries, and what it has used up."""

    ended: float
    attempts: int
    turns: int
    retries: int
    results: int


def waits_for_everything(gates: Gates) -> Scenario:
    """Return a call that waits twice for a turn (until 1 and 8), for a permit (3 and 9) and to be sent (4 and 10)."""
    loop, permits, limiter = asyncio.get_running_loop(), gates.permits, gates.limiter
    assert permits is not None
    for at, until in ((0, 1), (3.5, 8)):
        loop.call_at(at, limiter.pause, until, at, LimitSource.LOCAL)
    for take, give_back in ((0, 3), (5, 9)):
        loop.call_at(take, permits.take)
        loop.call_at(give_back, permits.give_back)
    # Its backoff is from 4 to 4.5.
    return gates.scenario(Step(busy(), seconds=1), Step(seconds=1), retry=Retry(base=0.5), timeout=PATIENT)


@pytest.mark.parametrize(
    ("point", "moment", "left"),
    [
        ("1 turn", EARLY, Left(0, attempts=0, turns=0, retries=0, results=0)),
        ("1 turn", LATE, Left(1, attempts=0, turns=0, retries=0, results=0)),
        ("2 permit", EARLY, Left(1, attempts=0, turns=0, retries=0, results=0)),
        ("2 permit", LATE, Left(3, attempts=0, turns=1, retries=0, results=0)),  # its turn has passed
        ("3 send", EARLY, Left(3, attempts=1, turns=1, retries=0, results=0)),
        ("3 send", LATE, Left(4, attempts=1, turns=1, retries=0, results=0)),
        ("4 backoff", EARLY, Left(4, attempts=1, turns=1, retries=0, results=1)),
        ("4 backoff", LATE, Left(4.5, attempts=1, turns=1, retries=0, results=1)),
        ("5 turn", EARLY, Left(4.5, attempts=1, turns=1, retries=0, results=1)),
        ("5 turn", LATE, Left(8, attempts=1, turns=1, retries=0, results=1)),
        ("6 permit", EARLY, Left(8, attempts=1, turns=1, retries=0, results=1)),
        ("6 permit", LATE, Left(9, attempts=1, turns=2, retries=0, results=1)),
        ("7 send", EARLY, Left(9, attempts=2, turns=2, retries=1, results=1)),
        ("7 send", LATE, Left(10, attempts=2, turns=2, retries=1, results=1)),
        ("8 none", EARLY, Left(10, attempts=2, turns=2, retries=1, results=2)),
    ],
)
@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_cancelled_in_any_waiting_state(point: str, moment: Moment, left: Left) -> None:
    """Wherever a call is cancelled, only what was sent is used up: all else is there again, and nobody waits."""
    gates = ten_turns()
    assert gates.circuit is not None
    assert gates.account is not None
    scenario, retries = waits_for_everything(gates), gates.account.remaining(0)
    await asyncio.sleep(0)  # what begins at 0 comes before the call
    steps = CancelledAt(scenario.run(), int(point[0]), moment)
    task = asyncio.ensure_future(_awaited(steps))
    await asyncio.wait([task])
    await asyncio.sleep(15 - now())
    assert task.cancelled() == steps.reached == (point != "8 none")
    gates.check_at_rest()
    results = gates.circuit.figures(15).buffered
    assert gates.leases_left() + results == 3
    turns = 10 - (gates.limiter.limiter.remaining(15) or 0)
    retries -= gates.account.remaining(15)
    call = scenario.call
    assert left == Left(call.ended, attempts=call.attempt, turns=turns, retries=retries, results=results)
    assert call.sends == call.attempt


async def _awaited(steps: CancelledAt[str]) -> str:
    return await steps


# Refusals.


@pytest.mark.parametrize(
    ("kind", "total"),
    [
        (RateLimitedLocally, 0.75),
        (ConcurrencyLimited, 30.0),
        (DeadlineExceeded, 1.0),  # the turn is at the deadline itself
        (BreakerOpen, 30.0),
    ],
)
@virtually
async def test_a_refused_call_leaves_nothing_taken(kind: type[Exception], total: float) -> None:
    """Whoever refuses it, a call gives back its lease, its turn and its permit, and is no call to the budget."""
    gates = everything(max_wait=0)
    assert gates.permits is not None
    assert gates.circuit is not None
    gates.plan = replace(gates.plan, budget=gates.account)
    if kind is ConcurrencyLimited:
        gates.permits.take()
    elif kind is BreakerOpen:
        gates.limiter.pause(1, 0, LimitSource.LOCAL)
        asyncio.get_running_loop().call_at(0.5, gates.circuit.force, BreakerState.FORCED_OPEN, 0.5)
    else:
        gates.limiter.reserve(0, 1, 0)
    spent = gates.limiter.limiter.full_in(0)
    scenario = gates.scenario(timeout=Timeout(total=total))
    assert type(await scenario.caught()) is kind
    assert (scenario.call.attempt, scenario.sends) == (0, 0)
    if kind is ConcurrencyLimited:
        gates.permits.give_back()
    if kind is BreakerOpen:
        gates.circuit.force(BreakerState.OPEN, now())
        gates.half_open()
    gates.check_at_rest()
    assert gates.leases_left() == 3
    assert gates.limiter.limiter.full_in(now()) == max(0, spent - now())


@pytest.mark.parametrize("refuser", ["breaker", "turn", "permit", "deadline"])
@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_a_refused_retry_gets_its_money_back(refuser: str) -> None:
    """A retry that was paid for and not sent, whoever refused it, is there for the next call."""
    gates = everything(max_wait=0)
    assert gates.account is not None
    assert gates.permits is not None
    assert gates.circuit is not None
    loop = asyncio.get_running_loop()
    if refuser == "breaker":
        loop.call_at(3, gates.circuit.force, BreakerState.OPEN, 3)
    elif refuser == "turn":
        loop.call_at(3, gates.limiter.pause, 500, 3, LimitSource.LOCAL)
    elif refuser == "permit":
        loop.call_at(3, gates.permits.take)
    else:
        loop.call_at(3, pass_time, 60)
    scenario = gates.scenario(Step(busy()), Step(), retry=Retry(base=5))
    task = begun(scenario)
    await asyncio.sleep(2)
    assert gates.account.remaining(2) == 0
    await task
    assert (scenario.sends, gates.account.remaining(now())) == (1, 1)


@virtually
async def test_only_what_was_sent_pays_into_the_budget() -> None:
    """A first try that was sent is a call to the budget; one that was refused, and a retry, are none."""
    gates = Gates(breaker=Breaker(), budget=RetryBudget(ratio=1, reserve=0))
    assert gates.account is not None
    assert gates.circuit is not None
    await gates.scenario(Step(busy()), Step(), retry=Retry(base=0)).run()
    assert gates.account.remaining(0) == 0
    gates.circuit.force(BreakerState.FORCED_OPEN, 0)
    await gates.scenario().caught()
    assert gates.account.remaining(0) == 0
    gates.circuit.force(BreakerState.CLOSED, 0)
    await gates.scenario().run()
    assert gates.account.remaining(0) == 1
