"""What a caller is told when a policy says no: who, where, what, and when to come back; and what a retry is told."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest

from buoy.errors import BreakerOpen, BuoyError, ConcurrencyLimited, DeadlineExceeded, HttpError, RateLimitedLocally
from buoy.events import CallRefused
from buoy.outcome import BreakerState, CallResult, ErrorType, LimitSource, Outcome, Safety, StopReason, WaitCause
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from tests.support import virtual_time
from tests.support.virtual_time import now, pass_time, virtually
from tests.unit.pipeline.gated import Gates, everything
from tests.unit.pipeline.scripted import Scenario, Step, busy

OPEN = BreakerState.OPEN
LOCAL = LimitSource.LOCAL
T10 = Timeout(total=10)


def refusals(scenario: Scenario) -> list[CallRefused]:
    """Return the refusals that the recorder was told."""
    return [event for event in scenario.recording.events if isinstance(event, CallRefused)]


# The first try.


def open_breaker(gates: Gates) -> None:
    """Open the breaker for 7 s and a bit."""
    assert gates.circuit is not None
    gates.circuit.force(OPEN, 0, 7.06251)


def all_probes_out(gates: Gates) -> None:
    """Let others have all probes of a half-open breaker."""
    assert gates.circuit is not None
    gates.half_open()
    for _ in range(3):
        gates.circuit.admit(0)


def used_up(gates: Gates) -> None:
    """Let nobody have a turn for 20 s."""
    gates.limiter.pause(20, 0, LOCAL)


def too_dear(gates: Gates) -> None:
    """Let the call cost more than there ever is."""
    gates.plan = replace(gates.plan, cost=2)


def all_taken(gates: Gates) -> None:
    """Let somebody have the only permit."""
    assert gates.permits is not None
    gates.permits.take()


def nothing(gates: Gates) -> None:
    """Leave all as it is."""


@pytest.mark.parametrize(
    ("prepare", "asked", "kind", "retry_after", "message"),
    [
        (open_breaker, None, BreakerOpen, 7.06251, "the circuit breaker is open (breaker shop); try again in 7.06 s."),
        (all_probes_out, None, BreakerOpen, None, "the circuit breaker is open (breaker shop)."),
        (used_up, None, RateLimitedLocally, 10, "our own rate limit leaves no room in time; try again in 10 s."),
        (too_dear, None, RateLimitedLocally, None, "our own rate limit leaves no room in time."),
        (all_taken, None, ConcurrencyLimited, None, "too many calls are in flight."),
        (nothing, 0, DeadlineExceeded, None, "no time was left before the deadline."),
    ],
)
@virtually
async def test_a_refusal_says_all_of_it(
    prepare: Callable[[Gates], None],
    asked: float | None,
    kind: type[BuoyError],
    retry_after: float | None,
    message: str,
) -> None:
    """A refused call says who, where, what and when to come back; it has no try and no send, and is counted so."""
    gates = everything(max_wait=0)
    prepare(gates)
    scenario = gates.scenario(timeout=T10, asked=asked)
    error = await scenario.caught()
    assert type(error) is kind
    assert isinstance(error, BuoyError)
    assert str(error) == f"shop list: not sent: {message}"
    assert (error.provider, error.operation, error.retry_after) == ("shop", "list", retry_after)
    assert (error.outcome, error.category, error.reason) == (Outcome.NOT_SENT, None, str(error.error_type))
    breaker = "shop" if kind is BreakerOpen else None
    assert refusals(scenario) == [CallRefused(reason=error.error_type, breaker=breaker, retry_after=retry_after)]
    assert scenario.recording.lines == ["call started", "CallRefused", f"call ended {error.error_type}"]
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends, error.meta.duration) == (0, 0, 0)
    assert (gates.tally.results[CallResult.REFUSED], gates.tally.attempts, gates.tally.sends) == (1, 0, 0)
    stop = StopReason.DEADLINE if kind is DeadlineExceeded else StopReason.REFUSED
    assert scenario.call.stop_reason == stop


@virtually
async def test_each_refusal_is_an_error_of_its_own() -> None:
    """Two refused calls get two errors, so that no traceback grows; and each is freed without the garbage collector."""
    gates = everything()
    open_breaker(gates)
    errors = [await gates.scenario().caught() for _ in range(2)]
    assert errors[0] is not errors[1]
    gc.collect()
    gc.disable()
    try:
        left = [weakref.ref(error) for error in errors if error is not None]
        errors.clear()
        await asyncio.sleep(0)
        assert [reference() for reference in left] == [None, None]
    finally:
        gc.enable()


# A retry.


@pytest.mark.parametrize(
    ("refuser", "reason", "retry_after"),
    [
        ("breaker", ErrorType.BREAKER_OPEN, 14),
        ("turn", ErrorType.RATE_LIMITED_LOCALLY, 470),
        ("permit", ErrorType.CONCURRENCY_LIMITED, None),
    ],
)
@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_a_refused_retry_raises_the_failure_before(
    refuser: str, reason: ErrorType, retry_after: float | None
) -> None:
    """Where a retry is refused the caller gets what went wrong over there; the refusal is told, and names the stop."""
    gates = everything(max_wait=0)
    assert gates.circuit is not None
    assert gates.permits is not None
    loop, failure = asyncio.get_running_loop(), busy()
    if refuser == "breaker":
        loop.call_at(3, gates.circuit.force, OPEN, 3, 16)
    elif refuser == "turn":
        loop.call_at(3, gates.limiter.pause, 500, 3, LOCAL)
    else:
        loop.call_at(3, gates.permits.take)
    scenario = gates.scenario(Step(failure), Step(), retry=Retry(base=5))
    assert await scenario.caught() is failure
    assert (scenario.call.stop_reason, scenario.call.failure) == (StopReason.REFUSED, failure.verdict)
    breaker = "shop" if refuser == "breaker" else None
    assert refusals(scenario) == [CallRefused(reason=reason, breaker=breaker, retry_after=retry_after)]
    assert failure.meta is not None
    assert (failure.meta.attempts, failure.meta.sends, failure.meta.duration) == (1, 1, 5)
    assert gates.tally.results[CallResult.FAILURE] == 1


@pytest.mark.parametrize("safety", [Safety.IDEMPOTENT, Safety.SAFE])
@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_a_refused_retry_leaves_the_doubt(safety: Safety) -> None:
    """That the retry was not sent does not undo what the try before it may have done."""
    gates = Gates(breaker=Breaker())
    assert gates.circuit is not None
    asyncio.get_running_loop().call_at(3, gates.circuit.force, OPEN, 3)
    error = await gates.scenario(Step(busy()), retry=Retry(base=5), safety=safety).caught()
    assert isinstance(error, HttpError)
    assert error.outcome == Outcome.UNKNOWN


# The deadline, in each waiting state.


@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_the_deadline_passes_in_a_backoff() -> None:
    """Where the loop was blocked in a backoff until the deadline no try begins; that is no refusal of ours."""
    gates = everything()
    asyncio.get_running_loop().call_at(1, pass_time, 60)
    failure = busy()
    scenario = gates.scenario(Step(failure), retry=Retry(base=5), timeout=T10)
    assert await scenario.caught() is failure
    assert (scenario.sends, scenario.call.stop_reason, refusals(scenario)) == (1, StopReason.DEADLINE, [])
    gates.check_at_rest()


@pytest.mark.parametrize(
    ("turn", "blocked", "kind", "ended", "waited"),
    [
        (10.0, 0, DeadlineExceeded, 10, 10),  # a turn at the deadline itself
        (9.0, 60, DeadlineExceeded, 65, 65),
        (12.0, 0, RateLimitedLocally, 0, 0),
    ],
)
@virtually
async def test_the_deadline_passes_before_the_turn(
    turn: float, blocked: float, kind: type[Exception], ended: float, waited: float
) -> None:
    """A call whose turn comes too late is refused, at once where that is known, and nothing is sent."""
    gates = everything()
    gates.limiter.pause(turn, 0, LOCAL)
    asyncio.get_running_loop().call_at(5, pass_time, blocked)
    scenario = gates.scenario(timeout=T10)
    assert type(await scenario.caught()) is kind
    assert (scenario.sends, scenario.call.ended) == (0, ended)
    assert scenario.call.waited.get(WaitCause.RATE_LIMIT, 0) == waited
    assert gates.leases_left() == 3
    gates.check_at_rest()


@virtually
async def test_a_pause_moves_the_turn_beyond_the_deadline() -> None:
    """A call that sleeps until its turn, and wakes to find it moved beyond its deadline, is refused."""
    gates = everything()
    gates.limiter.pause(5, 0, LOCAL)
    asyncio.get_running_loop().call_at(2, gates.limiter.pause, 12, 2, LOCAL)
    scenario = gates.scenario(timeout=T10)
    error = await scenario.caught()
    assert isinstance(error, RateLimitedLocally)
    assert (scenario.sends, error.retry_after, scenario.call.ended) == (0, 2, 5)
    assert gates.leases_left() == 3
    gates.check_at_rest()


@pytest.mark.parametrize(
    ("given_back", "blocked", "kind", "ended"),
    [(20, 0, ConcurrencyLimited, 10), (5, 60, DeadlineExceeded, 65)],
)
@virtually
async def test_the_deadline_passes_in_the_queue_for_a_permit(
    given_back: float, blocked: float, kind: type[Exception], ended: float
) -> None:
    """A call for which no permit comes in time is refused at its deadline, and one that comes too late is no use."""
    gates, loop = everything(), asyncio.get_running_loop()
    assert gates.permits is not None
    gates.permits.take()

    def give_back() -> None:
        assert gates.permits is not None
        gates.permits.give_back()
        pass_time(blocked)

    loop.call_at(given_back, give_back)
    scenario = gates.scenario(timeout=T10)
    assert type(await scenario.caught()) is kind
    assert (scenario.sends, scenario.call.ended, scenario.call.waited) == (0, ended, {WaitCause.CONCURRENCY: ended})
    await asyncio.sleep(100 - now())
    assert gates.leases_left() == 3
    gates.check_at_rest()


def test_a_try_gets_what_the_waits_left() -> None:
    """The attempt limit is the try's own, or what is left of the total after all waits."""

    async def limit(turn: float) -> float:
        gates = Gates(rates=(RateLimit(1),), concurrency=Concurrency(1))
        gates.limiter.pause(turn, 0, LOCAL)
        scenario = gates.scenario(timeout=Timeout(total=30, attempt=10))
        await scenario.run()
        return scenario.call.limit

    assert [virtual_time.run(limit(turn)) for turn in (0, 19, 20, 25)] == [10, 10, 10, 5]
