"""The order in which a call happens, in one function. What a policy decides, this floor carries out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import random
from typing import TypeVar

from buoy.errors import BuoyError, DeadlineExceeded, NetworkError, OutcomeUnknown, TimedOut
from buoy.events import RetryScheduled, WaitEnded
from buoy.outcome import Outcome, Safety, StopReason, WaitCause
from buoy.pipeline.call import Call, verdict_of
from buoy.policies import retry

T = TypeVar("T")


async def run(call: Call, send: Callable[[Call], Awaitable[T]]) -> T:
    """Run ``call``: try, judge, wait, try again. ``send`` does one try and raises what went wrong.

    Raises whatever the last try raised, with ``meta`` on ours; :class:`DeadlineExceeded` when there was no time to send
    anything; :class:`OutcomeUnknown` when it may have happened and must not be repeated.
    """
    failure: Exception | None = None
    recorder = call.plan.recorder
    recorder.call_started(call)
    try:
        if not call.begin_try():
            call.stop_reason = StopReason.DEADLINE
            raise _refused(call)
        if call.plan.budget is not None:
            call.plan.budget.deposit(call.started)
        while True:
            try:
                try:
                    answer = await send(call)
                finally:
                    call.end_try()
            except Exception as error:
                failure = error
            else:
                call.end()
                return answer
            decision = _judge(call, failure)
            if decision.stop is not None:
                raise _stopped(call, decision.stop, failure)
            if not await _next_try(call, decision):
                raise _stopped(call, StopReason.DEADLINE, failure)
    except BaseException as error:
        call.end(verdict_of(error))
        call.exception = type(error).__name__
        if isinstance(error, BuoyError):
            error.meta = call.meta()
        raise
    finally:
        del failure  # an exception kept in a local of its own frame is a reference cycle
        recorder.call_ended(call)


def _judge(call: Call, error: Exception) -> retry.Decision:
    plan = call.plan
    verdict = verdict_of(error)
    if isinstance(error, plan.retry_on):
        verdict = replace(verdict, retryable=True)
    decision = retry.decide(
        plan.retry, verdict, attempt=call.attempt, safety=plan.safety, left=call.time_left, random=random()
    )
    call.judged = call.loop.time()
    if decision.stop is None and plan.budget is not None and not plan.budget.withdraw(call.judged):
        return retry.Decision(StopReason.BUDGET)
    if decision.stop is None:
        call.retry = (verdict, decision.delay)
        call.unsettled |= plan.safety is not Safety.SAFE and verdict.outcome is Outcome.UNKNOWN
        call.happened(
            RetryScheduled(attempt=call.attempt + 1, delay=decision.delay, source=decision.source, verdict=verdict)
        )
    return decision


async def _next_try(call: Call, decision: retry.Decision) -> bool:
    """Wait and begin the next try; ``False`` when the wait took all the time that was left."""
    begun = False
    try:
        await asyncio.sleep(decision.delay)
        begun = call.begin_try()
    finally:
        now = call.loop.time()
        seconds = now - call.judged
        call.add_wait(WaitCause.BACKOFF, seconds)
        call.happened(WaitEnded(cause=WaitCause.BACKOFF, seconds=seconds))
        if not begun and call.plan.budget is not None:
            call.plan.budget.give_back(now, taken=call.judged)  # paid for, and nothing will be sent
    return begun


def _stopped(call: Call, reason: StopReason, error: Exception) -> Exception:
    """Return what the caller sees. It is raised elsewhere, so that no frame of its traceback has it in a local."""
    call.stop_reason = reason
    if call.unsettled and isinstance(error, BuoyError):
        # An earlier try may have had its effect. That the last one had none does not undo it.
        error.verdict = replace(error.verdict, outcome=Outcome.UNKNOWN)
    if not isinstance(error, NetworkError | TimedOut) or retry.repeatable(error.outcome, call.plan.safety):
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


def _refused(call: Call) -> DeadlineExceeded:
    plan = call.plan
    return DeadlineExceeded(
        f"{plan.provider} {plan.operation}: not sent, no time was left before the deadline.",
        provider=plan.provider,
        operation=plan.operation,
    )
