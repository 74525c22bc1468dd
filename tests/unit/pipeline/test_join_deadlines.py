"""Each of those who share a flight keeps its own deadline, in virtual time."""

import asyncio
from dataclasses import replace

import pytest

from buoy.errors import (
    BreakerOpen,
    ConcurrencyLimited,
    DeadlineExceeded,
    TimedOut,
)
from buoy.events import CallRefused
from buoy.outcome import ErrorType, StopReason
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from tests.support import virtual_time
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates
from tests.unit.pipeline.joining import ONCE, Desk, all_of, ends, later
from tests.unit.pipeline.scripted import PLAN, Step

LATE = ErrorType.TIMEOUT


@virtually
async def test_a_joiner_with_less_time_leaves_alone() -> None:
    """Whose deadline passes gets its timeout then; the others wait on, and nothing is sent twice."""
    desk = Desk(Step(seconds=5))
    answers = await ends(desk.ask(), desk.ask(deadline=2), later(1, desk.ask(deadline=3)), desk.ask())
    assert [answers[0], answers[3]] == [1, 1]
    for error, call, ended in ((answers[1], desk.calls[1], 2.0), (answers[2], desk.calls[3], 4.0)):
        assert isinstance(error, TimedOut)
        assert (error.error_type, error.reason, error.provider, error.operation) == (LATE, "timer", "shop", "list")
        assert (call.ended, call.stop_reason, call.failure) == (ended, StopReason.DEADLINE, error.verdict)
        assert error.meta == call.meta()
        assert "before the deadline" in str(error)
    assert (len(desk.sends), desk.calls[0].stop_reason) == (1, None)
    desk.check_at_rest()


@virtually
async def test_a_joiner_with_more_time_puts_the_end_off() -> None:
    """The first caller's short deadline is its own: the send under way goes on for who has more time."""
    desk = Desk(Step(seconds=5), plan=ONCE)
    first, joined, third = await ends(desk.ask(deadline=2), later(1, desk.ask(deadline=3)), later(1.5, desk.ask()))
    assert [type(first), type(joined), third] == [TimedOut, TimedOut, 1]
    assert [call.ended for call in desk.calls] == [2.0, 4.0, 5.0]
    assert len(desk.sends) == 1
    assert (desk.calls[0].attempt, desk.calls[0].sends, desk.calls[0].attempts_time) == (1, 1, 2.0)
    desk.check_at_rest()


@virtually
async def test_a_deadline_put_off_to_never() -> None:
    """A call without any deadline keeps the flight going as long as it takes."""
    desk = Desk(Step(seconds=500), plan=replace(ONCE, timeout=None))
    assert [type(end) for end in await ends(desk.ask(deadline=2), desk.ask())] == [TimedOut, int]


@virtually
async def test_the_attempt_timeout_holds_for_the_flight() -> None:
    """However much time the joined have, a try takes no longer than the policy allows, and then there is a retry."""
    desk = Desk(Step(seconds=50), Step(seconds=1), plan=replace(PLAN, retry=Retry(base=0)))
    assert await all_of(desk.ask(), later(5, desk.ask())) == [2, 2]
    assert desk.sends == [0.0, 10.0]


@pytest.mark.parametrize("asked", [0.0, -3.0])
@pytest.mark.parametrize("order", ["first", "joined"])
def test_a_call_without_time_is_refused_and_disturbs_nobody(asked: float, order: str) -> None:
    """A deadline that has passed is refused as ever, without a flight of its own and without joining one."""

    async def scenario() -> None:
        desk = Desk(Step(seconds=1))
        calls = [desk.ask(deadline=asked), desk.ask()]
        answers = await ends(*(calls if order == "first" else reversed(calls)))
        error, answer = answers if order == "first" else reversed(answers)
        assert isinstance(error, DeadlineExceeded)
        assert (answer, len(desk.sends)) == (1, 1)
        assert error.meta is not None
        assert (error.meta.duplicate, error.meta.duration) == (False, 0)
        assert [event for _, event in desk.listening.told] == [CallRefused(reason=ErrorType.DEADLINE_EXCEEDED)]

    virtual_time.run(scenario())


@virtually
async def test_a_joiner_whose_time_ends_before_anything_was_sent_is_refused() -> None:
    """While the flight still queues, a deadline that passes is a refusal of that caller, and told as one."""
    gates = Gates(rates=(RateLimit(1, per=10),))
    desk = Desk(Step(seconds=1), plan=gates.plan)
    assert await desk.ask("other") == 1
    first, joined = await ends(desk.ask(), desk.ask(deadline=2))
    assert (first, type(joined)) == (2, DeadlineExceeded)
    call = desk.calls[2]
    assert (call.ended, call.stop_reason, call.sends) == (3.0, StopReason.DEADLINE, 0)
    assert desk.listening.told[-2:-1] == [(call, CallRefused(reason=ErrorType.DEADLINE_EXCEEDED))]
    gates.check_at_rest()


@virtually
async def test_a_deadline_ends_the_flight_as_it_ends_a_call_of_its_own() -> None:
    """Where time runs out for all, the flight ends by itself, in a timeout that the breaker counts."""
    gates = Gates(breaker=Breaker(minimum_calls=1))
    desk = Desk(Step(seconds=50), plan=replace(gates.plan, retry=None))
    first, joined = await ends(desk.ask(deadline=2), desk.ask(deadline=2))
    assert [type(first), type(joined)] == [TimedOut, TimedOut]
    assert [(call.ended, call.stop_reason) for call in desk.calls] == [(2.0, StopReason.MAX_ATTEMPTS)] * 2
    assert [verdict and verdict.error_type for verdict in desk.listening.ended] == [LATE]
    assert isinstance((await ends(desk.ask()))[0], BreakerOpen)


@virtually
async def test_a_queue_that_ends_with_the_time_says_which_it_was() -> None:
    """Where the time runs out in a queue, the first and the joined are refused by that queue, each told once."""
    gates = Gates(concurrency=Concurrency(1))
    desk = Desk(Step(seconds=9), plan=gates.plan)
    other = desk.begin("other")
    await asyncio.sleep(1)
    refusals = await ends(desk.ask(deadline=3), desk.ask(deadline=3))
    assert [type(refusal) for refusal in refusals] == [ConcurrencyLimited] * 2
    told = [call for call, event in desk.listening.told if isinstance(event, CallRefused)]
    assert len(told) == 2
    assert told[-1] is desk.calls[2]
    assert (await other, now()) == (1, 9.0)
    gates.check_at_rest()


@virtually
async def test_a_refusal_after_the_first_caller_has_left_is_the_joiners_alone() -> None:
    """Who left was not refused: the refusal is told once, by the one who got it."""
    gates = Gates(concurrency=Concurrency(1))
    desk = Desk(Step(seconds=9), plan=gates.plan)
    other = desk.begin("other")
    await asyncio.sleep(1)
    first, joined = desk.begin(deadline=4), desk.begin(deadline=4)
    await asyncio.sleep(1)
    first.cancel()
    _, refusal = await ends(first, joined)
    assert isinstance(refusal, ConcurrencyLimited)
    assert [call for call, event in desk.listening.told if isinstance(event, CallRefused)] == [desk.calls[2]]
    assert (await other, now()) == (1, 9.0)
    gates.check_at_rest()


@virtually
async def test_a_joiner_in_the_tick_in_which_time_runs_out_starts_anew() -> None:
    """Whoever comes as the flight is cut, or while it cleans up after that, is not drawn into its end."""
    desk = Desk(Step(seconds=50), Step(seconds=1), plan=ONCE, cleanup=3)
    first = desk.begin(deadline=2)
    answers = await ends(first, later(2, desk.ask()), later(3, desk.ask()), later(4, desk.ask()))
    assert [type(answers[0]), *answers[1:]] == [TimedOut, 2, 2, 3]
    desk.check_at_rest()


@virtually
async def test_a_joiner_in_the_tick_in_which_a_queue_gives_up_starts_anew() -> None:
    """Whoever comes as the flight has waited in vain for a permit is not drawn into that: it has time of its own."""
    gates = Gates(concurrency=Concurrency(1))
    desk = Desk(Step(seconds=9), plan=gates.plan)
    early = asyncio.create_task(later(3, desk.ask()))
    other = desk.begin("other")
    first = asyncio.create_task(later(1, desk.ask(deadline=2)))
    answers = await ends(first, early, later(3, desk.ask()), other)
    assert [type(answers[0]), *answers[1:]] == [ConcurrencyLimited, 2, 2, 1]
    gates.check_at_rest()


@virtually
async def test_a_joiner_on_a_coarse_clock() -> None:
    """Where the loop's timers may be early, a flight that is being cut before its time is not joined either."""
    asyncio.get_running_loop()._clock_resolution = 0.0156  # type: ignore[attr-defined]  # as on Windows
    desk = Desk(Step(seconds=50), Step(seconds=1), plan=ONCE)
    first, late = await ends(desk.ask(deadline=2), later(1.99, desk.ask()))
    assert (type(first), late) == (TimedOut, 2)
    desk.check_at_rest()
