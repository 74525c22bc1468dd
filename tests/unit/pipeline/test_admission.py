"""What a try asks for and in which order; what refuses it at once; and what changes while it waits."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from buoy.errors import BreakerOpen, ConcurrencyLimited, RateLimitedLocally
from buoy.events import CallRefused
from buoy.outcome import BreakerState, ErrorType, LimitSource, StopReason, WaitCause
from buoy.pipeline.call import Call
from buoy.pipeline.run import run
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates, begun, everything
from tests.unit.pipeline.scripted import ANSWER, PATIENT, Step, busy

OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
LOCAL = LimitSource.LOCAL


# The order.

ASKED = {"admit", "holds", "settle", "reserve", "wait", "cancel", "take", "give_back", "deposit", "withdraw"}


class Noted:
    """Stands before a gate and writes down what is asked of it."""

    def __init__(self, name: str, gate: Any, notes: list[str]) -> None:
        self._name = name
        self._gate = gate
        self._notes = notes

    def __getattr__(self, question: str) -> Any:
        answer = getattr(self._gate, question)
        if question not in ASKED:
            return answer

        def noted(*args: Any, **options: Any) -> Any:
            self._notes.append(f"{self._name} {question}")
            return answer(*args, **options)

        return noted


async def noted_call(gates: Gates, *steps: Step, retry: Retry | None = None) -> tuple[list[str], Call]:
    """Run a call of ``steps`` to its end; return what it asked, each thing once where it asked twice in a row."""
    notes: list[str] = []
    noted: Any = partial(Noted, notes=notes)
    plan = replace(
        gates.plan,
        timeout=PATIENT,
        retry=retry,
        budget=noted("budget", gates.account),
        breaker=noted("breaker", gates.circuit),
        limiter=noted("limiter", gates.limiter),
        permits=noted("permits", gates.permits),
    )
    script = iter(steps)

    async def send(call: Call) -> str:
        notes.append(f"send, {call.limit:g} s at most")
        step = next(script)
        await asyncio.sleep(step.seconds)
        if step.error is not None:
            raise step.error
        return ANSWER

    call = Call(plan, asyncio.get_running_loop(), asked=102)
    await run(call, send)
    return [note for index, note in enumerate(notes) if not index or notes[index - 1] != note], call


@virtually
async def test_the_order_of_asking() -> None:
    """Lease, turn, permit, the lease again after a wait, then the attempt limit; and for a retry first its budget."""
    gates = everything()
    holder = begun(gates.scenario(Step(seconds=3)))
    await asyncio.sleep(0)
    notes, call = await noted_call(gates, Step(busy(), seconds=1), Step(seconds=1), retry=Retry(base=0))
    assert notes == [
        "breaker admit",
        "limiter reserve",
        "limiter wait",
        "permits take",
        "permits wait",
        "breaker holds",
        "budget deposit",
        "send, 99 s at most",  # of the 102 s that the caller gave, 3 had passed
        "permits give_back",
        "breaker settle",
        "budget withdraw",
        "breaker admit",
        "limiter reserve",
        "permits take",
        "send, 98 s at most",
        "permits give_back",
        "breaker settle",
    ]
    assert call.waited == {WaitCause.RATE_LIMIT: 1, WaitCause.CONCURRENCY: 2, WaitCause.BACKOFF: 0}
    assert await holder is None


@virtually
async def test_without_a_wait_nothing_is_asked_twice() -> None:
    """A call that need not wait goes through all gates in one step, and asks each once."""
    notes, _ = await noted_call(everything(), Step())
    assert notes == [
        "breaker admit",
        "limiter reserve",
        "permits take",
        "budget deposit",
        "send, 100 s at most",
        "permits give_back",
        "breaker settle",
    ]


@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_the_budget_comes_before_the_wait() -> None:
    """A retry is paid for before its backoff, so that those who wait cannot all count on the same one."""
    gates = everything()
    gates.plan = replace(gates.plan, limiter=None, permits=None)
    scenarios = [gates.scenario(Step(busy()), retry=Retry(base=5), timeout=PATIENT) for _ in range(2)]
    await asyncio.wait([begun(scenario) for scenario in scenarios])
    assert [scenario.sent_at for scenario in scenarios] == [[0, 5], [0]]
    assert [scenario.call.stop_reason for scenario in scenarios] == [StopReason.BUDGET] * 2


@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_who_waits_holds_no_permit() -> None:
    """In the backoff and while waiting for a turn a call holds no permit: others send meanwhile."""
    gates = Gates(concurrency=Concurrency(1), rates=(RateLimit(1, burst=2),))
    slow = begun(gates.scenario(Step(busy()), Step(), retry=Retry(base=4)))
    await asyncio.sleep(0)
    assert await gates.scenario().caught() is None  # during the backoff of the other
    assert now() == 0
    waiting = begun(gates.scenario())
    await asyncio.sleep(0.5)
    assert (gates.limiter.waiting, gates.used) == (1, 0)
    await asyncio.wait([slow, waiting])
    assert now() == 4
    gates.check_at_rest()


# Refused at once.


@virtually
async def test_an_open_breaker_refuses_before_any_queue() -> None:
    """While the breaker is open a call takes no turn, queues for no permit and is refused in no time."""
    gates = everything()
    assert gates.circuit is not None
    gates.circuit.force(OPEN, 0, 7)
    for _ in range(3):
        error = await gates.scenario().caught()
        assert isinstance(error, BreakerOpen)
        assert error.retry_after == 7
    assert (now(), gates.limiter.limiter.remaining(0)) == (0, 1)
    gates.check_at_rest()


@pytest.mark.parametrize(
    ("rate", "total", "cost", "retry_after"),
    [
        (RateLimit(1, burst=1), 0.5, 1, 0.5),
        (RateLimit(1, burst=1, max_wait=0.25), 30, 1, 0.75),
        (RateLimit(1, burst=1, max_wait=0), 30, 1, 1),
        (RateLimit(0.125, burst=1), 7, 1, 1),
        (RateLimit(1, burst=2), 30, 3, None),  # more than fits at any time
    ],
)
@virtually
async def test_a_turn_too_late_is_refused_at_once(
    rate: RateLimit, total: float, cost: float, retry_after: float | None
) -> None:
    """No turn within the time left or ``max_wait`` is a refusal now: no sleep, and the turn stays for others."""
    gates = Gates(breaker=Breaker(), rates=(rate,), cost=cost)
    gates.half_open()
    gates.limiter.reserve(0, 1, 0)
    before = gates.limiter.limiter.peek(0)
    scenario = gates.scenario(timeout=Timeout(total=total))
    error = await scenario.caught()
    assert isinstance(error, RateLimitedLocally)
    assert error.retry_after == retry_after
    assert (now(), scenario.sends, scenario.call.waited) == (0, 0, {})
    assert (gates.limiter.limiter.peek(0), gates.leases_left()) == (before, 3)


@virtually
async def test_no_permit_and_no_time_for_one() -> None:
    """Where nobody may wait for a permit a call without one is refused at once, and its turn is there for the next."""
    gates = everything(max_wait=0)
    holder = begun(gates.scenario(Step(seconds=3)))
    await asyncio.sleep(2)
    scenario = gates.scenario()
    assert isinstance(await scenario.caught(), ConcurrencyLimited)
    assert (now(), scenario.sends, gates.limiter.limiter.remaining(2), gates.leases_left()) == (2, 0, 1, 2)
    await holder
    gates.check_at_rest()


# A breaker in metrics_only.


@virtually
async def test_metrics_only_says_what_it_would_refuse() -> None:
    """A shadow breaker lets every call through, and says once a call that it would have refused it."""
    gates = Gates(breaker=Breaker(mode="metrics_only", minimum_calls=1))
    first = gates.scenario(Step(busy()), retry=Retry(base=0))
    second = gates.scenario(Step(busy()), Step(), retry=Retry(base=0))
    for scenario in (first, second):
        await scenario.caught()
    shadow = CallRefused(reason=ErrorType.BREAKER_OPEN, enforced=False, breaker="shop")
    for scenario, sends in ((first, 3), (second, 2)):
        events = [event for event in scenario.recording.events if isinstance(event, CallRefused)]
        assert (events, scenario.sends) == ([shadow], sends)
