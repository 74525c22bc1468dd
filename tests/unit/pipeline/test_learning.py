"""What the gates learn of a try: its result, whether it was slow, and what a Retry-After asks of everybody."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

import buoy
from buoy.errors import BreakerOpen, HttpError, RateLimitedLocally
from buoy.events import BreakerChanged, LimiterPaused
from buoy.outcome import BreakerCause, BreakerState, ErrorType, LimitSource, StopReason
from buoy.pipeline.gates import LimiterGate
from buoy.policies.breaker import Breaker, Mode
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates, begun, cancelled
from tests.unit.pipeline.scripted import PATIENT, Step, busy, late, lost, missing, refused, throttled

CLOSED, OPEN = BreakerState.CLOSED, BreakerState.OPEN
NEVER = Breaker(minimum_calls=100)
T30 = Timeout(total=30)


def failing(*, retry_after: float) -> HttpError:
    """Return a 500 that names a time, which is no word about an outage."""
    error = busy(retry_after=retry_after)
    error.verdict = replace(error.verdict, error_type=ErrorType.INTERNAL_SERVER_ERROR)
    return error


# Results.


@pytest.mark.parametrize(
    ("error", "calls", "failed"),
    [
        (None, 1, 0),
        (busy(), 1, 1),
        (lost(), 1, 1),
        (refused(), 1, 1),
        (late(), 1, 1),
        (missing(), 0, 0),
        (throttled(), 0, 0),
        (KeyError("x"), 0, 0),
    ],
)
@virtually
async def test_what_counts_for_the_breaker(error: Exception | None, calls: int, failed: int) -> None:
    """An answer and a failure over there are counted; what the request is at fault for, or nobody knows, is not."""
    gates = Gates(breaker=NEVER)
    assert gates.circuit is not None
    await gates.scenario(Step(error), retry=None).caught()
    figures = gates.circuit.figures(0)
    assert (figures.buffered, figures.failed, figures.slow) == (calls, failed, 0)


@virtually
async def test_each_try_counts() -> None:
    """The breaker sees tries, not calls: a call that a retry repaired is a failure and a success."""
    gates = Gates(breaker=NEVER)
    assert gates.circuit is not None
    await gates.scenario(Step(busy()), Step(), retry=Retry(base=0)).run()
    assert gates.circuit.figures(0)[:2] == (2, 1)


@virtually
async def test_a_cancelled_try_says_nothing() -> None:
    """That the caller left is no word about the provider, however long it took."""
    gates = Gates(breaker=NEVER)
    gates.plan = replace(gates.plan, slow_over=1)
    assert gates.circuit is not None
    task = begun(gates.scenario(Step(seconds=50)))
    await asyncio.sleep(20)
    await cancelled(task)
    assert gates.circuit.figures(20).buffered == 0


# Slow.


@pytest.mark.parametrize(
    ("error", "seconds", "slow"), [(None, 8, 0), (None, 8.25, 1), (busy(), 9, 1), (missing(), 9, 0)]
)
@virtually
async def test_slow_is_a_matter_of_the_try_alone(error: Exception | None, seconds: float, slow: int) -> None:
    """A try is slow by its own time, above the limit and not at it, and not by what the call waited for before."""
    gates = Gates(breaker=NEVER, rates=(RateLimit(1),))
    assert gates.circuit is not None
    gates.plan = replace(gates.plan, slow_over=NEVER.slow_over(10))
    gates.limiter.pause(15, 0, LimitSource.LOCAL)
    await gates.scenario(Step(error, seconds=seconds), retry=None).caught()
    assert (gates.circuit.figures(now()).slow, now()) == (slow, 15 + seconds)


@virtually
async def test_operations_that_share_a_breaker_have_their_own_idea_of_slow() -> None:
    """Slow is above 0.8 of the operation's own attempt timeout; what ``slow_after`` says is the same for all."""

    async def slow_calls(breaker: Breaker) -> int:
        bank = buoy.Provider("bank", breaker=breaker)

        @bank.operation("quick", timeout=Timeout(total=1))
        async def quick(seconds: float) -> None:
            await asyncio.sleep(seconds)

        @bank.operation("patient", timeout=Timeout(total=20, attempt=10))
        async def patient(seconds: float) -> None:
            await asyncio.sleep(seconds)

        async with bank:
            for seconds in (0.5, 0.875):
                await quick(seconds)
            for seconds in (0.875, 7, 8.5, 9):
                await patient(seconds)
            figures = bank.snapshot().breaker
            assert figures is not None
            return figures.slow

    assert await slow_calls(NEVER) == 3
    assert await slow_calls(Breaker(minimum_calls=100, slow_after=0.75)) == 5


# 429: everybody waits.


@pytest.mark.parametrize("rates", [(), (RateLimit(10),)])
@virtually
async def test_a_429_pauses_everybody(rates: tuple[RateLimit, ...]) -> None:
    """After a 429 nobody of the provider is sent before its Retry-After, whatever the rates."""
    gates = Gates(rates=rates, breaker=NEVER)
    assert gates.circuit is not None
    other = LimiterGate(asyncio.get_running_loop(), (RateLimit(3),), gates.watching, gates.limiters)
    own = replace(gates.plan, limiter=other)
    told = gates.scenario(Step(throttled(retry_after=5), seconds=1), Step(), retry=Retry(throttled_base=0))
    task = begun(told)
    await asyncio.sleep(2)
    late_ones = [gates.scenario(plan=plan) for plan in (gates.plan, own, own)]
    await asyncio.wait([task, *map(begun, late_ones)])
    assert told.sent_at == [0, 6]
    assert [scenario.sent_at for scenario in late_ones] == [[6]] * 3
    assert gates.watching.events == [LimiterPaused(seconds=5, source=LimitSource.SERVER)]
    assert gates.circuit.figures(6)[:2] == (4, 0)


@pytest.mark.parametrize("error", [throttled(), busy(retry_after=5), failing(retry_after=5)])
@virtually
async def test_nothing_else_pauses(error: HttpError) -> None:
    """A 429 that names no time, and any other answer that does, pause nobody: the breaker is there for those."""
    gates = Gates(breaker=NEVER)
    await gates.scenario(Step(error), retry=None).caught()
    scenario = gates.scenario()
    await scenario.run()
    assert (scenario.sent_at, gates.watching.events) == ([0], [])


@virtually
async def test_a_429_beyond_the_time_left() -> None:
    """A pause longer than the time left ends the call now, with the provider's word; others are refused at once."""
    gates = Gates()
    told = gates.scenario(Step(throttled(retry_after=3600)), timeout=T30)
    error = await told.caught()
    assert isinstance(error, HttpError)
    assert (error.retry_after, told.call.stop_reason, now()) == (3600, StopReason.RETRY_AFTER, 0)
    refusal = await gates.scenario(timeout=T30).caught()
    assert isinstance(refusal, RateLimitedLocally)
    assert (refusal.retry_after, now()) == (3570, 0)


# 503: a long Retry-After is an outage.


@pytest.mark.parametrize(
    ("error", "total", "took", "opens_for"),
    [
        (partial(busy, retry_after=60), 1000, 0, None),  # 60 s is not long yet
        (partial(busy, retry_after=60.5), 1000, 0, 60.5),
        (partial(busy, retry_after=0.5), 1000, 0, None),
        (partial(busy, retry_after=0), 1000, 0, None),
        (busy, 1000, 0, None),
        (partial(busy, retry_after=30), 30, 0, None),  # as long as the time left is not longer
        (partial(busy, retry_after=30.5), 30, 0, 30.5),
        (partial(busy, retry_after=20), 30, 10, None),
        (partial(busy, retry_after=20.5), 30, 10, 20.5),
        (partial(busy, retry_after=0.5), 30, 40, 0.5),  # no time is left at all
        (partial(busy, retry_after=0), 30, 40, None),
        (partial(busy, retry_after=1e300), 30, 0, 1e9),
        (partial(failing, retry_after=100), 30, 0, None),
        (partial(throttled, retry_after=100), 30, 0, None),
    ],
)
@virtually
async def test_a_long_retry_after_of_a_503_opens_the_breaker(
    error: Callable[[], HttpError], total: float, took: float, opens_for: float | None
) -> None:
    """A 503 that asks for more than 60 s, or than the time left, opens the breaker for as long as it asks."""
    gates = Gates(breaker=NEVER)
    assert gates.circuit is not None
    await gates.scenario(Step(error(), seconds=took), retry=None, timeout=Timeout(total=total)).caught()
    assert gates.circuit.state(now()) is (CLOSED if opens_for is None else OPEN)
    changes = [event for event in gates.watching.events if isinstance(event, BreakerChanged)]
    assert [event.cause for event in changes] == ([] if opens_for is None else [BreakerCause.RETRY_AFTER])
    gates.plan = replace(gates.plan, limiter=None)
    refusal = await gates.scenario().caught()
    assert (getattr(refusal, "retry_after", None), type(refusal)) == (
        (None, type(None)) if opens_for is None else (opens_for, BreakerOpen)
    )


@virtually
async def test_the_retry_that_was_asked_for_is_the_trial() -> None:
    """Where the call has the time, its retry comes when the provider asked for it, and is what closes the breaker."""
    gates = Gates(breaker=Breaker(minimum_calls=100, half_open_permits=1))
    assert gates.circuit is not None
    scenario = gates.scenario(Step(busy(retry_after=90), seconds=1), Step(), timeout=PATIENT)
    await scenario.run()
    assert scenario.sent_at == [0, 91]
    assert gates.circuit.state(91) is CLOSED


@pytest.mark.parametrize(("retry_after", "refused_for"), [(100, 100), (31, 50)])
@virtually
async def test_the_longer_wait_holds(retry_after: float, refused_for: float) -> None:
    """Where the same 503 also opens the breaker by its rate, it stays open for the longer of the two."""
    gates = Gates(breaker=Breaker(minimum_calls=1, wait=50))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("buoy.pipeline.admission.random", lambda: 0.5)
        await gates.scenario(Step(busy(retry_after=retry_after)), retry=None, timeout=T30).caught()
    refusal = await gates.scenario().caught()
    assert isinstance(refusal, BreakerOpen)
    assert refusal.retry_after == refused_for


@virtually
async def test_a_probe_that_hears_of_an_outage() -> None:
    """In half-open a long Retry-After of one probe ends the trial, before the others have come back."""
    gates = Gates(breaker=NEVER)
    assert gates.circuit is not None
    gates.half_open()
    await gates.scenario(Step(busy(retry_after=100)), retry=None, timeout=T30).caught()
    assert gates.circuit.state(0) is OPEN


@virtually
async def test_a_stale_answer_opens_nothing() -> None:
    """A long Retry-After on an answer from before the breaker's last change says nothing about now."""
    gates = Gates(breaker=NEVER)
    assert gates.circuit is not None
    task = begun(gates.scenario(Step(busy(retry_after=100), seconds=5), retry=None, timeout=T30))
    await asyncio.sleep(1)
    gates.circuit.reset(1)
    await task
    assert (gates.circuit.state(5), gates.circuit.figures(5).buffered) == (CLOSED, 0)


@pytest.mark.parametrize("mode", ["metrics_only", "disabled"])
@virtually
async def test_what_is_set_by_hand_stays(mode: Mode) -> None:
    """A breaker that only watches, or not even that, is not opened by a Retry-After either."""
    gates = Gates(breaker=Breaker(mode=mode))
    assert gates.circuit is not None
    await gates.scenario(Step(busy(retry_after=100)), retry=None, timeout=T30).caught()
    assert (str(gates.circuit.state(0)), gates.watching.events) == (mode, [])
