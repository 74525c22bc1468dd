"""Identical calls in flight share their tries, in virtual time: who is answered by what, and who may leave."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.errors import (
    BreakerOpen,
    BuoyError,
    RateLimitedLocally,
)
from buoy.events import CallRefused, Joined, RetryScheduled
from buoy.outcome import DuplicateSource, Origin, StopReason, WaitCause
from buoy.pipeline.call import CANCELLED
from buoy.policies.breaker import Breaker
from buoy.policies.budget import RetryBudget
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from buoy.result import Quota
from tests.support import virtual_time
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates
from tests.unit.pipeline.joining import WHO, Desk, all_of, ends, later
from tests.unit.pipeline.scripted import PLAN, Step, busy, lost, missing, refused, throttled

# Sharing.


@virtually
async def test_identical_calls_share_one_send() -> None:
    """A hundred callers that ask for the same while it is on its way get the one answer of one send."""
    desk = Desk(Step(seconds=1))
    assert await all_of(*(later(n / 200, desk.ask()) for n in range(100))) == [1] * 100
    assert desk.sends == [0.0]
    desk.check_at_rest()


@virtually
async def test_different_calls_are_sent_each() -> None:
    """Who asks for something else has a send of its own."""
    desk = Desk(Step(seconds=1))
    assert sorted(await all_of(*(desk.ask(n) for n in "abcab"))) == [1, 1, 2, 2, 3]


@virtually
async def test_after_the_landing_a_new_one_starts() -> None:
    """An answer is for those who waited for it, and for nobody later."""
    desk = Desk(Step(seconds=1))
    assert [await desk.ask(), await desk.ask(), *await all_of(desk.ask(), desk.ask())] == [1, 2, 3, 3]


@virtually
async def test_the_very_tick_of_the_landing() -> None:
    """Who asks when the answer is there already, though nobody was told of it yet, is too late for it."""
    desk = Desk(Step(seconds=1))

    async def at_the_bell() -> int:
        await desk.bell
        (flight,) = desk.flights._flights.values()
        assert flight.task.done()
        return await desk.ask()

    assert await all_of(desk.ask(), desk.ask(), at_the_bell()) == [1, 1, 2]
    desk.check_at_rest()


@virtually
async def test_retries_belong_to_the_flight() -> None:
    """What is tried again is tried again once for all, also for those who join during the wait."""
    plan = replace(PLAN, retry=Retry(throttled_base=0))
    desk = Desk(Step(busy(retry_after=5), seconds=1), Step(seconds=1), plan=plan)
    assert await all_of(desk.ask(), desk.ask(), later(3, desk.ask()), later(6.5, desk.ask())) == [2] * 4
    assert desk.sends == [0.0, 6.0]
    assert [call.attempt for call in desk.calls] == [2, 0, 0, 0]
    scheduled = [call for call, event in desk.listening.told if isinstance(event, RetryScheduled)]
    assert [call.request_id for call in scheduled] == [desk.calls[0].request_id]


@virtually
async def test_the_flight_runs_in_the_context_of_the_first_caller() -> None:
    """Context variables are those of the caller whose send it is."""
    desk = Desk(Step(seconds=1))

    async def ask_as(name: str) -> int:
        WHO.set(name)
        return await desk.ask()

    await ends(asyncio.create_task(ask_as("first")), asyncio.create_task(ask_as("second")))
    assert desk.seen == ["first"]


# The story that each caller gets.


@virtually
async def test_the_story_of_the_first_and_of_the_joined() -> None:
    """The tries are the first caller's; a joined one has none, says that it is a duplicate, and how long it took."""
    plan = replace(PLAN, retry=Retry(base=0))
    desk = Desk(Step(busy(), seconds=1), Step(seconds=1), plan=plan)
    await all_of(desk.ask(), later(0.5, desk.ask()))
    first, joined = (call.meta() for call in desk.calls)
    assert (first.attempts, first.sends, first.duration, first.duplicate_source) == (2, 2, 2.0, None)
    assert (first.waited, first.origin) == ({WaitCause.BACKOFF: 0.0}, Origin.LIVE)
    assert (joined.attempts, joined.sends, joined.duration, joined.origin) == (0, 0, 1.5, Origin.LIVE)
    assert (joined.duplicate, joined.duplicate_source) == (True, DuplicateSource.IN_FLIGHT)
    assert joined.waited == {}
    assert first.request_id != joined.request_id
    assert [(call.stop_reason, call.failure) for call in desk.calls] == [(None, None)] * 2
    assert [call.attempts_time for call in desk.calls] == [2.0, 1.5]


@virtually
async def test_every_joined_call_is_told_once() -> None:
    """Each call that joins is told as a duplicate of the first caller's, and its answer tells of the quota, too."""
    desk = Desk(Step(seconds=1))

    async def hear() -> None:
        await asyncio.sleep(0.5)
        (flight,) = desk.flights._flights.values()
        flight.record.heed(Quota(remaining=7))
        flight.record.provider_request_id = "req-1"
        flight.record.duplicate = DuplicateSource.RESEND

    await all_of(*(desk.ask() for _ in range(3)), hear())
    first, *joined = desk.calls
    assert [(call, event) for call, event in desk.listening.told if isinstance(event, Joined)] == [
        (call, Joined(first=first)) for call in joined
    ]
    assert [call.quota for call in desk.calls] == [Quota(remaining=7)] * 3
    assert [call.provider_request_id for call in desk.calls] == ["req-1"] * 3
    assert [call.duplicate for call in desk.calls] == [DuplicateSource.RESEND, *[DuplicateSource.IN_FLIGHT] * 2]


@virtually
async def test_calls_are_counted_each_and_sends_once() -> None:
    """Every caller's call begins and ends once; the sends under them are those of one call."""
    desk = Desk(Step(seconds=1))
    await all_of(*(desk.ask() for _ in range(3)))
    lines = desk.listening.lines
    assert (lines.count("call started"), lines.count("call ended well")) == (3, 3)
    assert (lines.count("send 1 started first"), lines.count("send 1 ended well")) == (1, 1)


# Leaving.


@pytest.mark.parametrize("leaver", [0, 1, 2])
def test_a_cancelled_caller_leaves_the_others_undisturbed(leaver: int) -> None:
    """Whoever is cancelled, be it the first, leaves at once; the rest get the answer of the same send."""

    async def scenario() -> None:
        desk = Desk(Step(seconds=5))
        tasks = [desk.begin() for _ in range(3)]
        await asyncio.sleep(2)
        tasks[leaver].cancel("canary")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert tasks[leaver].cancelled()
        answers = await ends(*tasks)
        assert [type(answers.pop(leaver)), answers, desk.sends] == [asyncio.CancelledError, [1, 1], [0.0]]
        call = desk.calls[leaver]
        assert call.failure is CANCELLED
        assert (call.ended, call.sends, call.stop_reason) == (2.0, int(leaver == 0), None)
        assert (desk.calls[0].attempts_time, now()) == (2.0 if leaver == 0 else 5.0, 5.0)
        desk.check_at_rest()

    virtual_time.run(scenario())


@virtually
async def test_the_flight_goes_on_to_a_retry_without_its_first_caller() -> None:
    """When the first caller has left, those who joined still get their retries."""
    desk = Desk(Step(busy(), seconds=5), Step(seconds=5), plan=replace(PLAN, retry=Retry(base=0)))
    first, joined = desk.begin(), desk.begin()
    await asyncio.sleep(1)
    first.cancel()
    assert (await joined, len(desk.sends), desk.calls[0].sends) == (2, 2, 1)


@virtually
async def test_the_last_who_leaves_ends_the_flight() -> None:
    """Nobody waits: the send is cancelled, and its end awaited before the last caller goes."""
    gates = Gates(breaker=Breaker(), rates=(RateLimit(100),), concurrency=Concurrency(1))
    gates.half_open()
    leases = gates.leases_left()
    desk = Desk(Step(seconds=50), plan=gates.plan, cleanup=3)
    first, joined = desk.begin(), desk.begin()
    await asyncio.sleep(1)
    joined.cancel()
    await asyncio.wait([joined])
    assert now() == 1.0
    first.cancel()
    await asyncio.wait([first])
    assert (now(), first.cancelled(), desk.calls[0].sends, desk.listening.ended) == (4.0, True, 1, [CANCELLED])
    desk.check_at_rest()
    gates.check_at_rest()
    assert gates.leases_left() == leases


@virtually
async def test_the_last_may_be_one_who_joined() -> None:
    """The last one to leave is not always the first: then, too, the flight ends with it."""
    desk = Desk(Step(seconds=50), cleanup=3)
    first, joined = desk.begin(), desk.begin()
    await asyncio.sleep(1)
    for task in (first, joined):
        task.cancel()
        await asyncio.wait([task])
    assert (now(), len(desk.sends)) == (4.0, 1)
    desk.check_at_rest()


@virtually
async def test_a_second_cancellation_hurries_the_end() -> None:
    """Cancelled again while the send cleans up, the caller passes it on, as in a call that is not joined."""
    desk = Desk(Step(seconds=50), cleanup=30)
    caller = desk.begin()
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.wait([caller])
    assert (now(), caller.cancelled(), desk.calls[0].sends) == (2.0, True, 1)
    desk.check_at_rest()


@virtually
async def test_who_comes_while_the_flight_is_being_cancelled_starts_a_new_one() -> None:
    """A flight that everybody has left is not joined any more, though it still cleans up; both end well."""
    desk = Desk(Step(seconds=5), cleanup=3)
    caller = desk.begin()
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.sleep(0)
    assert not caller.done()
    assert await all_of(desk.ask(), desk.ask(), later(4, desk.ask())) == [2, 2, 2]
    assert (caller.cancelled(), desk.sends) == (True, [0.0, 1.0])
    desk.check_at_rest()


@pytest.mark.parametrize("joins_first", [True, False])
def test_who_comes_in_the_very_tick_of_the_cancellation(joins_first: bool) -> None:  # noqa: FBT001  # a column
    """The newcomer either keeps the flight going or starts its own; it never shares the cancellation."""

    async def scenario() -> None:
        desk = Desk(Step(seconds=5))
        caller = desk.begin()
        await asyncio.sleep(1)
        if joins_first:
            joined = desk.begin()
            caller.cancel()
        else:
            caller.cancel()
            joined = desk.begin()
        assert await joined == (1 if joins_first else 2)
        assert (caller.cancelled(), now()) == (True, 5.0 if joins_first else 6.0)
        desk.check_at_rest()

    virtual_time.run(scenario())


@virtually
async def test_cancelled_as_it_begins() -> None:
    """A flight whose only caller is cancelled in the tick in which it was made ends with it, and leaves nothing."""
    desk = Desk(Step(seconds=5))
    caller = desk.begin()
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    assert (caller.cancelled(), desk.calls[0].sends, desk.listening.ended) == (True, 1, [CANCELLED])
    desk.check_at_rest()


@virtually
async def test_cancelled_in_the_tick_of_a_failure_is_cancelled() -> None:
    """Cancelled wins, also over a failure that has just come: no stop reason, and no error to be told of."""
    desk = Desk(Step(missing(), seconds=1))
    caller = desk.begin()
    await desk.bell
    caller.cancel()
    await ends(caller)
    assert (caller.cancelled(), desk.calls[0].stop_reason, desk.calls[0].failure) == (True, None, CANCELLED)
    desk.check_at_rest()


@virtually
async def test_a_flight_cancelled_from_outside_cancels_who_waits() -> None:
    """At a shutdown that cancels every task nobody is left waiting, and nobody gets an answer that never came."""
    desk = Desk(Step(seconds=5))
    callers = [desk.begin(), desk.begin()]
    await asyncio.sleep(1)
    (flight,) = desk.flights._flights.values()
    flight.task.cancel()
    assert [type(end) for end in await ends(*callers)] == [asyncio.CancelledError] * 2
    desk.check_at_rest()


# The policies of the flight.


@virtually
async def test_a_flight_takes_one_of_each() -> None:
    """However many wait, a flight has one lease, one turn, one permit, and one deposit in the budget."""
    budget = RetryBudget(ratio=1.0, reserve=0)
    gates = Gates(
        breaker=Breaker(half_open_permits=1, minimum_calls=1),
        rates=(RateLimit(1, per=1000, burst=1),),
        concurrency=Concurrency(1, max_wait=0),
        budget=budget,
    )
    gates.half_open()
    desk = Desk(Step(seconds=1), plan=gates.plan)
    assert await all_of(*(desk.ask() for _ in range(20))) == [1] * 20
    assert gates.account is not None
    assert gates.account.remaining(now()) == 1
    assert (gates.tally.attempts, gates.tally.sends, sum(gates.tally.results.values())) == (1, 1, 20)
    gates.check_at_rest()


@pytest.mark.parametrize(
    ("policies", "kind"),
    [
        ({"breaker": Breaker(minimum_calls=1, wait=60)}, BreakerOpen),
        ({"rates": (RateLimit(1, per=1000, burst=1),)}, RateLimitedLocally),
    ],
    ids=["breaker", "limiter"],
)
def test_a_refusal_is_each_callers_own(policies: dict[str, Any], kind: type[BuoyError]) -> None:
    """Who joined a flight that a policy refuses is refused as well, with the time to come back, and told once each."""

    async def scenario() -> None:
        made = Gates(**policies)
        desk = Desk(Step(busy(), seconds=1), plan=replace(made.plan, retry=None))
        await ends(desk.ask("first"))
        errors = await ends(desk.ask(), desk.ask(), desk.ask())
        assert [type(error) for error in errors] == [kind] * 3
        assert errors[0].retry_after > 0
        assert len({error.retry_after for error in errors}) == 1
        told = [event for _, event in desk.listening.told if isinstance(event, CallRefused)]
        assert [(event.reason, event.retry_after) for event in told] == [
            (kind.default.error_type, errors[0].retry_after)
        ] * 3
        assert [call.stop_reason for call in desk.calls[1:]] == [StopReason.REFUSED] * 3
        assert len(desk.sends) == 1

    virtual_time.run(scenario())


@virtually
async def test_a_pause_during_the_flight_holds_for_it() -> None:
    """A 429 pauses the flight's retry, and everybody in it waits for the same one."""
    gates = Gates()
    desk = Desk(Step(throttled(retry_after=5), seconds=1), Step(seconds=1), plan=gates.plan)
    assert await all_of(desk.ask(), later(2, desk.ask())) == [2, 2]
    first, second = desk.sends
    assert (first, second >= 6) == (0.0, True)


# Laws.

STEPS = st.lists(
    st.builds(
        lambda make, seconds: Step(make and make(), seconds),
        st.none() | st.sampled_from([busy, refused, lost, missing, partial(KeyError, "x")]),
        st.floats(0, 15),
    ),
    min_size=1,
    max_size=6,
)
CALLERS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when it comes
        st.sampled_from("ab"),  # what it asks
        st.none() | st.floats(-1, 25),  # its own deadline
        st.none() | st.floats(0, 20),  # when it is cancelled
    ),
    min_size=1,
    max_size=8,
)


@given(steps=STEPS, callers=CALLERS, permits=st.sampled_from([1, 5]), cleanup=st.sampled_from([0.0, 2.0]))
def test_whoever_comes_and_goes(
    steps: list[Step], callers: list[tuple[float, str, float | None, float | None]], permits: int, cleanup: float
) -> None:
    """Every caller ends by its own deadline or cancellation, and at the end nothing is held, runs or is remembered."""

    async def scenario() -> None:
        gates = Gates(
            breaker=Breaker(half_open_permits=50),
            rates=(RateLimit(1, burst=2),),
            concurrency=Concurrency(permits),
            budget=RetryBudget(),
        )
        gates.half_open()
        plan = replace(gates.plan, timeout=Timeout(total=20, attempt=8))
        desk = Desk(*steps, plan=plan, cleanup=cleanup)

        async def come(at: float, what: str, deadline: float | None, leave_at: float | None) -> None:
            await asyncio.sleep(at)
            task = desk.begin(what, deadline=deadline)
            await asyncio.wait([task], timeout=leave_at)
            cancelled = task.cancel()
            await asyncio.wait([task])
            assert not task.cancelled() or cancelled

        await asyncio.gather(*(come(*caller) for caller in callers))
        for call in desk.calls:
            # The last to leave waits for the cleanup of the send that it cuts.
            assert call.ended <= max(call.deadline, call.started) + cleanup + 1e-6
            failed = call.failure is not None and call.failure is not CANCELLED
            assert failed == (call.stop_reason is not None)
            assert call.duplicate is not DuplicateSource.IN_FLIGHT or (call.attempt, call.sends) == (0, 0)
        assert sum(call.sends for call in desk.calls) <= len(desk.sends)
        desk.check_at_rest()
        gates.check_at_rest()
        lines = desk.listening.lines
        assert sum("started" in line for line in lines) == sum("ended" in line and "Wait" not in line for line in lines)

    virtual_time.run(scenario())
