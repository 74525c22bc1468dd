"""The order in which a call happens, in virtual time: tries, waits, deadlines, and how it ends."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.errors import BuoyError, DeadlineExceeded, Failed, HttpError, OutcomeUnknown
from buoy.events import RetryScheduled, Silent, WaitEnded
from buoy.outcome import DelaySource, ErrorType, Outcome, Safety, StopReason, WaitCause
from buoy.pipeline.call import UNKNOWN, Call
from buoy.pipeline.run import run
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from tests.support import virtual_time
from tests.unit.pipeline.scripted import ANSWER, PATIENT, PLAN, Scenario, Step, busy, late, lost, missing, refused


def delays_of(scenario: Scenario) -> list[float]:
    """Return the waits that were decided."""
    return [event.delay for event in scenario.recording.events if isinstance(event, RetryScheduled)]


def waits_of(scenario: Scenario) -> list[float]:
    """Return the waits that were waited."""
    return [event.seconds for event in scenario.recording.events if isinstance(event, WaitEnded)]


# Order.


def test_a_call_without_trouble() -> None:
    """A call that succeeds is one try with one send, and nothing rare happens."""
    scenario = Scenario([Step(seconds=2)])
    assert virtual_time.run(scenario.run()) == ANSWER
    assert scenario.recording.lines == ["call started", "send 1 started first", "send 1 ended well", "call ended well"]
    call = scenario.call
    assert (call.attempt, call.sends, call.failure, call.stop_reason, dict(call.waited)) == (1, 1, None, None, {})
    assert (call.attempts_time, call.meta().duration) == (2, 2)


def test_a_call_that_a_retry_repaired() -> None:
    """A failed try is judged after its send has ended, waited for, and followed by the next; the call ends well."""
    scenario = Scenario([Step(busy(), seconds=1), Step(seconds=1)])
    assert virtual_time.run(scenario.run()) == ANSWER
    assert scenario.recording.lines == [
        "call started",
        "send 1 started first",
        "send 1 ended service_unavailable",
        "RetryScheduled",
        "WaitEnded",
        "send 2 started retry",
        "send 2 ended well",
        "call ended well",
    ]
    assert (scenario.call.failure, scenario.call.stop_reason, scenario.call.exception) == (None, None, None)


def test_a_retry_is_announced_with_its_cause() -> None:
    """The scheduled retry names the try it leads to, the failure behind it and who chose the wait."""
    scenario = Scenario([Step(busy()), Step(busy(retry_after=7)), Step()])
    virtual_time.run(scenario.run())
    first, second = [event for event in scenario.recording.events if isinstance(event, RetryScheduled)]
    assert (2, DelaySource.BACKOFF, busy().verdict) == (first.attempt, first.source, first.verdict)
    assert (second.attempt, second.source, second.delay) == (3, DelaySource.RETRY_AFTER, 7)
    assert (busy(retry_after=7).verdict, 7) == scenario.call.retry


# Waits.


def test_waits_are_the_decided_delays() -> None:
    """The call waits as long as was decided before each retry, neither more nor less, and accounts for it."""
    scenario = Scenario([Step(busy())] * 9 + [Step()], retry=Retry(max_attempts=10, base=1, cap=20), timeout=PATIENT)
    virtual_time.run(scenario.run())
    assert len(delays_of(scenario)) == 9
    assert waits_of(scenario) == pytest.approx(delays_of(scenario), abs=1e-6)
    assert scenario.call.waited == {WaitCause.BACKOFF: pytest.approx(sum(delays_of(scenario)), abs=1e-6)}
    for number, delay in enumerate(delays_of(scenario)):
        assert 0 <= delay <= min(20, 2**number)


def test_a_wait_may_be_no_time() -> None:
    """With a base of 0 the retries follow at once, and the wait of 0 is told."""
    scenario = Scenario([Step(busy()), Step()], retry=Retry(base=0))
    virtual_time.run(scenario.run())
    assert waits_of(scenario) == [0.0]


@pytest.mark.parametrize("asked", [6.9, 7.0])
def test_a_wait_beyond_the_time_left_is_never_begun(asked: float) -> None:
    """A Retry-After that reaches the deadline stops the call now, while the caller can still use the time."""
    scenario = Scenario([Step(busy(retry_after=7))], asked=asked)
    error = virtual_time.run(scenario.caught())
    assert isinstance(error, HttpError)
    assert (scenario.call.stop_reason, scenario.call.ended, error.retry_after) == (StopReason.RETRY_AFTER, 0, 7)
    assert waits_of(scenario) == []


def test_a_backoff_that_reaches_the_deadline_is_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backoff that would reach the deadline stops the call at once, with the reason ``deadline``."""
    monkeypatch.setattr("buoy.pipeline.run.random", lambda: 1.0)
    retry = Retry(max_attempts=9, base=4, cap=4)
    scenario = Scenario([Step(busy())], retry=retry, timeout=Timeout(total=8, attempt=1))
    virtual_time.run(scenario.caught())
    # 8 s: a wait of 4 fits once, the second would end at the deadline itself.
    assert (scenario.sends, scenario.call.ended, scenario.call.stop_reason) == (2, 4.0, StopReason.DEADLINE)


# Deadlines.


def test_the_total_spans_tries_and_waits() -> None:
    """Tries and waits together end within the total, and the last try gets only the time that is left."""
    retry = Retry(max_attempts=20, base=1, cap=1)
    scenario = Scenario([Step(busy(), seconds=3)], retry=retry, timeout=Timeout(total=10, attempt=3))
    error = virtual_time.run(scenario.caught())
    assert isinstance(error, HttpError)
    assert (scenario.call.stop_reason, scenario.sends in {3, 4}) == (StopReason.DEADLINE, True)
    # The scripted try ignores its limit, so that the last one may end late; the limit itself never reaches beyond.
    assert scenario.call.try_started + scenario.call.limit <= scenario.call.deadline


@pytest.mark.parametrize("asked", [0.0, -5.0])
def test_a_call_without_time_is_refused_before_anything_is_sent(asked: float) -> None:
    """A call whose deadline has passed is refused: nothing is sent, and the error says so."""
    scenario = Scenario([Step()], asked=asked)
    error = virtual_time.run(scenario.caught())
    assert isinstance(error, DeadlineExceeded)
    assert (scenario.sends, scenario.call.attempt, scenario.call.sends) == (0, 0, 0)
    assert scenario.recording.lines == ["call started", "CallRefused", "call ended deadline_exceeded"]
    assert (error.outcome, error.reason) == (Outcome.NOT_SENT, "deadline_exceeded")
    assert (error.provider, error.operation, scenario.call.stop_reason) == ("shop", "list", StopReason.DEADLINE)
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends) == (0, 0)
    assert "not sent" in str(error)


def test_a_wait_that_took_too_long_is_followed_by_no_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the loop was blocked during a wait until the deadline had passed, no try begins; the failure is raised."""
    monkeypatch.setattr("buoy.pipeline.run.random", lambda: 1.0)
    scenario = Scenario([Step(busy())], retry=Retry(base=1), timeout=Timeout(total=10))

    async def blocked() -> Exception | None:
        asyncio.get_running_loop().call_later(0.5, virtual_time.pass_time, 60)
        return await scenario.caught()

    error = virtual_time.run(blocked())
    assert isinstance(error, HttpError)
    assert (scenario.sends, scenario.call.stop_reason) == (1, StopReason.DEADLINE)
    assert scenario.call.attempt == 1


# Endings.


@pytest.mark.parametrize(
    ("steps", "retry", "safety", "sends", "reason"),
    [
        ([Step(busy())], Retry(max_attempts=4), Safety.SAFE, 4, StopReason.MAX_ATTEMPTS),
        ([Step(busy())], None, Safety.SAFE, 1, StopReason.MAX_ATTEMPTS),
        ([Step(missing())], Retry(), Safety.SAFE, 1, StopReason.NOT_RETRYABLE),
        ([Step(busy()), Step(missing())], Retry(), Safety.SAFE, 2, StopReason.NOT_RETRYABLE),
        ([Step(busy())], Retry(), Safety.UNSAFE, 1, StopReason.NOT_IDEMPOTENT),
        ([Step(busy())], Retry(), Safety.KEYED, 3, StopReason.MAX_ATTEMPTS),
        ([Step(refused())], Retry(), Safety.UNSAFE, 3, StopReason.MAX_ATTEMPTS),
        ([Step(busy(retry_after=1))], Retry(), Safety.UNSAFE, 3, StopReason.MAX_ATTEMPTS),
        ([Step(KeyError("x"))], Retry(), Safety.SAFE, 1, StopReason.NOT_RETRYABLE),
    ],
)
def test_why_retrying_stopped(
    steps: list[Step], retry: Retry | None, safety: Safety, sends: int, reason: StopReason
) -> None:
    """Each way of giving up has its reason, and the caller sees the last failure itself."""
    scenario = Scenario(steps, retry=retry, safety=safety)
    error = virtual_time.run(scenario.caught())
    assert steps[-1].error is error
    assert (sends, reason) == (scenario.sends, scenario.call.stop_reason)
    assert type(error).__name__ == scenario.call.exception


@pytest.mark.parametrize("make", [lost, late])
def test_what_may_have_happened_is_said(make: Callable[[], Failed]) -> None:
    """A lost answer of what must not be repeated is ``OutcomeUnknown``: not sent again, with the failure as cause."""
    failure = make()
    scenario = Scenario([Step(failure)], safety=Safety.UNSAFE)
    error = virtual_time.run(scenario.caught())
    assert isinstance(error, OutcomeUnknown)
    assert (failure, failure) == (error.cause, error.__cause__)
    assert (failure.verdict, failure.provider, failure.operation) == (error.verdict, error.provider, error.operation)
    assert (scenario.sends, scenario.call.in_doubt, scenario.call.stop_reason) == (1, True, StopReason.NOT_IDEMPOTENT)
    assert str(error).startswith(str(failure))
    assert "may have happened" in str(error)
    assert "key_header=" in error.advice
    assert error.meta is not None
    assert error.meta.sends == 1


@pytest.mark.parametrize(
    ("failure", "safety"),
    [
        (lost(), Safety.SAFE),
        (lost(), Safety.IDEMPOTENT),
        (lost(), Safety.KEYED),
        (refused(), Safety.UNSAFE),
        (busy(), Safety.UNSAFE),
    ],
)
def test_nothing_else_is_in_doubt(failure: Failed, safety: Safety) -> None:
    """What may be repeated, what never left and what was answered stays the failure it is."""
    scenario = Scenario([Step(failure)], safety=safety)
    assert failure is virtual_time.run(scenario.caught())
    assert not scenario.call.in_doubt


def test_a_foreign_exception_passes_through_unchanged() -> None:
    """An exception that is not ours reaches the caller as the same object, and is recorded as ``unknown``."""
    foreign = ZeroDivisionError("canary")
    scenario = Scenario([Step(foreign)])
    error = virtual_time.run(scenario.caught())
    assert foreign is error
    assert (scenario.call.failure, scenario.call.exception) == (UNKNOWN, "ZeroDivisionError")
    assert (scenario.recording.lines) == [
        "call started",
        "send 1 started first",
        "send 1 ended unknown",
        "call ended unknown",
    ]
    assert not hasattr(error, "meta")


@pytest.mark.parametrize(
    ("retry_on", "safety", "sends"),
    [
        ((KeyError,), Safety.SAFE, 3),
        ((ValueError, LookupError), Safety.IDEMPOTENT, 3),
        ((ValueError,), Safety.SAFE, 1),
        ((KeyError,), Safety.UNSAFE, 1),
        ((HttpError,), Safety.SAFE, 1),
    ],
)
def test_retry_on(retry_on: tuple[type[Exception], ...], safety: Safety, sends: int) -> None:
    """A named exception, or a child of it, is retried where repeating is safe; the caller still sees it unchanged."""
    foreign = KeyError("x")
    scenario = Scenario([Step(foreign)], retry_on=retry_on, safety=safety)
    assert foreign is virtual_time.run(scenario.caught())
    assert sends == scenario.sends


def test_retry_on_may_name_our_errors() -> None:
    """``retry_on`` also reaches failures that our table says not to retry."""
    scenario = Scenario([Step(missing()), Step()], retry_on=(HttpError,))
    assert virtual_time.run(scenario.run()) == ANSWER
    assert scenario.sends == 2


def test_errors_carry_the_story() -> None:
    """An error of ours has the call's ``meta``: tries, sends, waits, duration, all as they were at the end."""
    scenario = Scenario([Step(busy(), seconds=1)], retry=Retry(max_attempts=3, base=1))
    error = virtual_time.run(scenario.caught())
    assert isinstance(error, HttpError)
    assert scenario.call.meta() == error.meta
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends) == (3, 3)
    assert error.meta.duration == pytest.approx(3 + error.meta.waited[WaitCause.BACKOFF])


# Cancellation.


@pytest.mark.parametrize("at", [0.5, 1.5])
def test_cancelled_wins(at: float) -> None:
    """A call cancelled in a try or in a wait ends as ``cancelled``: no further try, no stop reason, all told ended."""
    scenario = Scenario([Step(busy(retry_after=5), seconds=1), Step()], retry_on=(Exception,))

    async def cancelled() -> None:
        task = asyncio.create_task(scenario.run())
        await asyncio.sleep(at)
        task.cancel("canary")
        with pytest.raises(asyncio.CancelledError, match="canary"):
            await task

    virtual_time.run(cancelled())
    call = scenario.call
    assert (
        scenario.sends,
        call.failure and call.failure.error_type,
        call.stop_reason,
    ) == (1, ErrorType.CANCELLED, None)
    assert scenario.recording.lines[-1] == "call ended cancelled"
    assert at == call.ended


def test_a_cancelled_wait_is_accounted_for() -> None:
    """The part of a wait that passed before the cancellation is told and counted."""
    scenario = Scenario([Step(busy(retry_after=5)), Step()])

    async def cancelled() -> None:
        task = asyncio.create_task(scenario.run())
        await asyncio.sleep(2)
        task.cancel()
        await asyncio.wait([task])

    virtual_time.run(cancelled())
    assert waits_of(scenario) == [2.0]
    assert scenario.call.waited == {WaitCause.BACKOFF: 2.0}


# What is left behind.


class ForeignError(Exception):
    """An exception that no table knows."""


@pytest.mark.parametrize(
    ("make", "safety"),
    [(missing, Safety.SAFE), (busy, Safety.SAFE), (lost, Safety.UNSAFE), (ForeignError, Safety.SAFE)],
)
def test_a_failure_is_no_reference_cycle(make: Callable[[], Exception], safety: Safety) -> None:
    """After a failed call its error is freed when the caller lets go of it, without the garbage collector."""

    async def fail(call: Call) -> None:
        call.end_send(call.begin_send(), UNKNOWN)
        raise make()

    async def scenario() -> "weakref.ref[Exception] | None":
        plan = replace(PLAN, retry=Retry(base=0), safety=safety)
        try:
            await run(Call(plan, asyncio.get_running_loop()), fail)
        except Exception as error:  # noqa: BLE001  # any failure, and nothing of it is kept
            return weakref.ref(error)
        return None

    gc.collect()
    gc.disable()
    try:
        left = virtual_time.run(scenario())
        assert left is not None
        assert left() is None
    finally:
        gc.enable()


def test_a_silent_recorder_is_enough() -> None:
    """With nobody listening a call takes the same course."""
    scenario = Scenario([Step(busy()), Step()], recorder=Silent())
    assert virtual_time.run(scenario.run()) == ANSWER
    assert scenario.call.sends == 2


# Laws.

FAILURES = st.sampled_from([busy, refused, lost, late, missing, partial(busy, retry_after=3), partial(KeyError, "x")])
STEPS = st.lists(
    st.builds(
        lambda make, seconds: Step(make and make(), seconds),
        st.none() | FAILURES,
        st.floats(0, 20),
    ),
    min_size=1,
    max_size=8,
)
RETRIES = st.none() | st.builds(
    Retry, max_attempts=st.integers(1, 6), base=st.floats(0, 5), cap=st.just(20.0), throttled_base=st.floats(0, 5)
)


@given(
    steps=STEPS,
    retry=RETRIES,
    safety=st.sampled_from(Safety),
    asked=st.none() | st.floats(-1, 60),
    cancel_at=st.none() | st.floats(0, 60),
    tick=st.sampled_from([0.0, 1e-3]),
)
def test_whatever_the_script(  # noqa: PLR0917  # hypothesis gives them by name
    steps: list[Step],
    retry: Retry | None,
    safety: Safety,
    asked: float | None,
    cancel_at: float | None,
    tick: float,
) -> None:
    """Events are well nested, each send ends once, tries stay within their number, and the times add up."""
    scenario = Scenario(steps, retry=retry, safety=safety, asked=asked, retry_on=(KeyError,))

    async def drive() -> None:
        task = asyncio.create_task(scenario.run())
        await asyncio.wait([task], timeout=cancel_at)
        task.cancel()
        await asyncio.wait([task])

    virtual_time.run(drive(), tick=tick)
    if not hasattr(scenario, "call"):
        return  # cancelled before it began
    check_nesting(scenario.recording.lines)
    call = scenario.call
    assert sorted(scenario.recording.times) == scenario.recording.times
    assert call.attempt == call.sends == scenario.sends
    assert scenario.sends <= (1 if retry is None else retry.max_attempts)
    assert len(delays_of(scenario)) == len(waits_of(scenario))
    assert len(delays_of(scenario)) - (scenario.sends - 1) in {0, 1}
    assert call.attempts_time + sum(call.waited.values()) <= call.ended - call.started + 1e-6 * (tick == 0)
    if scenario.sends == 1:
        assert call.attempts_time <= call.ended - call.try_started + 1e-6 * (tick == 0)
    failed = call.failure is not None and call.failure.error_type is not ErrorType.CANCELLED
    assert failed == (call.stop_reason is not None)


def check_nesting(lines: list[str]) -> None:
    """Check that a call begins first and ends last, once, and that within it one send ends before the next begins."""
    assert lines[0] == "call started"
    assert lines[-1].startswith("call ended")
    open_send = False
    for line in lines[1:-1]:
        assert not line.startswith("call")
        if line.startswith("send"):
            assert open_send == ("ended" in line)
            open_send = not open_send
        else:
            assert not open_send
    assert not open_send


def test_every_error_of_ours_has_meta() -> None:
    """Whatever error of ours leaves a call, its ``meta`` is set."""
    for make in (busy, refused, lost, late, missing):
        for safety in Safety:
            error = virtual_time.run(Scenario([Step(make())], safety=safety).caught())
            assert isinstance(error, BuoyError)
            assert error.meta is not None
