"""The order in which a call happens, in two functions. What a policy decides, this floor carries out.

:func:`run` is the call as the caller sees it; :func:`tries` is the loop inside. What stands between them (joining, a
fallback) is composed when the provider is built, and absent when unused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from random import random
from typing import Any, TypeVar

from buoy.errors import BuoyError, DeadlineExceeded, NetworkError, OutcomeUnknown, Refused, TimedOut
from buoy.events import CallRefused, RetryScheduled, WaitEnded
from buoy.outcome import TABLE, Outcome, Safety, StopReason, Verdict, WaitCause
from buoy.pipeline.admission import Admission, Refusal, TurnedAwayError
from buoy.pipeline.call import CANCELLED, Call
from buoy.policies import retry

T = TypeVar("T")
# One try of a call. It raises what went wrong.
Try = Callable[[Call], Awaitable[T]]
# All of a call: its tries, or what stands around them.
Work = Callable[[Call, Try[Any]], Coroutine[Any, Any, Any]]


async def tries(call: Call, send: Try[T]) -> T:
    """Try, judge, wait, try again. Raises what the last try raised, or what refused the first one."""
    admission = Admission()
    failure: Exception | None = None
    delay: float | None = None
    try:
        while True:
            refusal: Refusal | None = None
            verdict: Verdict | None = CANCELLED
            try:
                if delay is not None:
                    await _back_off(call, delay)
                refusal = admission.obtain(call)  # breaker, turn, permit; with all of them the try begins
                if admission.waits:
                    refusal = await admission.wait(call)  # the turn, a permit, the breaker again
                if refusal is None:
                    answer = await send(call)
                    verdict = None
                    return answer
            except TurnedAwayError as away:
                refusal = away.refusal
            except Exception as error:
                if call.abandoned:
                    raise
                failure = error
                verdict = call.judge(error)
            finally:
                admission.settle(call, verdict)
            if refusal is not None:
                raise turned_away(call, refusal, failure)
            assert failure is not None  # noqa: S101  # nothing else leads here
            decision = _judge(call, admission, failure)
            if decision.stop is not None:
                raise _stopped(call, decision.stop, failure)
            delay = decision.delay
    finally:
        del failure  # an exception kept in a local of its own frame is a reference cycle


async def run(call: Call, send: Try[T], work: Work = tries) -> T:
    """Run ``call`` from its span's begin to its end. ``send`` does one try, ``work`` all of them.

    Raises whatever the last try raised, with ``meta`` on ours; a :class:`Refused` when nothing was sent at all;
    :class:`OutcomeUnknown` when it may have happened and must not be repeated.
    """
    recorder, tally = call.plan.recorder, call.plan.tally
    recorder.call_started(call)
    if tally is not None:
        tally.active[call] = asyncio.current_task(call.loop)
    try:
        answer: T = await work(call, send)
    except BaseException as error:
        call.end(call.judge(error))
        call.exception = type(error).__name__
        if isinstance(error, BuoyError) and not call.own:
            error.meta = call.meta()
        raise
    else:
        call.end(call.masked)
        return answer
    finally:
        recorder.call_ended(call)
        if tally is not None:
            del tally.active[call]
            seconds = call.ended - call.started
            tally.add(call.failure, call.attempt, call.sends, seconds)


def _judge(call: Call, admission: Admission, error: Exception) -> retry.Decision:
    plan = call.plan
    verdict = call.judge(error)
    if isinstance(error, plan.retry_on):
        verdict = replace(verdict, retryable=True)
    if call.answered is not None:  # the caller has had some of it
        return retry.Decision(StopReason.NOT_RETRYABLE if call.time_left > 0 else StopReason.DEADLINE)
    decision = retry.decide(
        plan.retry, verdict, attempt=call.attempt, safety=plan.safety, left=call.time_left, random=random()
    )
    call.judged = call.loop.time()
    if decision.stop is None and call.spent:
        return retry.Decision(StopReason.NOT_REPLAYABLE)
    if decision.stop is None and plan.budget is not None:
        if not plan.budget.withdraw(call.judged):
            return retry.Decision(StopReason.BUDGET)
        admission.paid = call.judged
    if decision.stop is None:
        call.retry = (verdict, decision.delay)
        call.unsettled |= plan.safety is not Safety.SAFE and verdict.outcome is Outcome.UNKNOWN
        call.happened(
            RetryScheduled(attempt=call.attempt + 1, delay=decision.delay, source=decision.source, verdict=verdict)
        )
    return decision


async def _back_off(call: Call, delay: float) -> None:
    """Wait before a retry, from the moment it was decided on."""
    try:
        await asyncio.sleep(delay)
    finally:
        seconds = call.loop.time() - call.judged
        call.add_wait(WaitCause.BACKOFF, seconds)
        call.happened(WaitEnded(cause=WaitCause.BACKOFF, seconds=seconds))


def turned_away(call: Call, refusal: Refusal, failure: Exception | None) -> Exception:
    """Return what the caller sees of a try that was not sent: what went wrong before, or else the refusal."""
    late = refusal.error is DeadlineExceeded
    stop = StopReason.DEADLINE if late else StopReason.REFUSED
    if failure is not None and late:
        return _stopped(call, stop, failure)
    verdict = replace(refusal.error.default, retry_after=refusal.retry_after)
    call.happened(CallRefused(reason=verdict.error_type, breaker=refusal.breaker, retry_after=refusal.retry_after))
    if failure is not None:
        return _stopped(call, stop, failure)
    plan = call.plan
    text = f"{plan.provider} {plan.operation}: {TABLE[verdict.error_type].sentence}"
    if call.sends:
        text += ", after a redirect"
    if refusal.breaker is not None:
        text += f" (breaker {refusal.breaker})"
    if refusal.retry_after is not None:
        text += f"; try again in {refusal.retry_after:.3g} s"
    error = refusal.error(f"{text}.", verdict=verdict, provider=plan.provider, operation=plan.operation)
    return _stopped(call, stop, error)


def _stopped(call: Call, reason: StopReason, error: Exception) -> Exception:
    """Return what the caller sees. It is raised elsewhere, so that no frame of its traceback has it in a local."""
    call.stop_reason = reason
    if call.own:
        return error
    if call.unsettled and isinstance(error, BuoyError):
        # An earlier try may have had its effect, or an earlier request of this one. That the last had none does not
        # undo it.
        error.verdict = replace(error.verdict, outcome=Outcome.UNKNOWN)
    if not isinstance(error, NetworkError | TimedOut | Refused) or retry.repeatable(error.outcome, call.plan.safety):
        return error
    call.in_doubt = True
    doubt = OutcomeUnknown(
        f"{error} It may have happened: repeating it is not safe.",
        cause=error,
        verdict=error.verdict,
        provider=error.provider,
        operation=error.operation,
        advice="Ask the provider whether it happened before sending it again; declare key_header= if the "
        "provider honours idempotency keys.",
    )
    doubt.__cause__ = error
    return doubt
