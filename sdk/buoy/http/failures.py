"""From what went wrong to one of our errors, with the words for it: where, what, and nothing of a body or a URL."""

import time
from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict

from buoy.errors import Failed, HttpError, NetworkError, TimedOut, Undecodable
from buoy.http import classify
from buoy.http.body import MisfitError
from buoy.http.dialects import COMMON
from buoy.http.rules import Judgement, judge
from buoy.outcome import TABLE, ErrorType, Outcome, Phase, Verdict
from buoy.pipeline.call import LATE, UNKNOWN, Plan

_KINDS: dict[ErrorType, type[Failed]] = {ErrorType.NETWORK_ERROR: NetworkError, ErrorType.TIMEOUT: TimedOut}
_UNFOLLOWED = Verdict(ErrorType.SERVER_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, reason="redirect_refused")
_UNPREPARED = Verdict(ErrorType.TIMEOUT, Outcome.NOT_SENT, Phase.LOCAL, retryable=True, reason="timer")


def answered(
    plan: Plan,
    status: int,
    answer: Mapping[str, str],
    problem: Mapping[str, Any] | None = None,
    judged: Judgement | None = None,
) -> HttpError:
    """Return the error for an answer that says that the request failed; ``answer`` is its headers.

    Without a judgement they and the status are all that is known of it.
    """
    if judged is None:
        judged = judge(status, CIMultiDict(answer), b"", COMMON, now=time.time())
    verdict = judged.verdict or UNKNOWN
    text = f"HTTP {status}, {TABLE[verdict.error_type].sentence}"
    if verdict.reason is not None:
        text += f" ({verdict.reason})"
    if verdict.retry_after is not None:
        text += f"; retry after {verdict.retry_after:g} s"
    error = HttpError(
        _said(plan, text),
        status=status,
        headers=CIMultiDict(answer),
        problem=problem,
        code=judged.code,
        verdict=verdict,
        provider=plan.provider,
        operation=plan.operation,
    )
    for rule in judged.broken:
        error.add_note(f"The rule {rule!r} raised on this answer and was left out.")
    return error


def broken(plan: Plan, error: BaseException, verdict: Verdict) -> Failed:
    """Return the error for an exception that the tables know, by its class and number: its text may carry anything."""
    fault = classify.fault_of(error)
    text = TABLE[verdict.error_type].sentence if fault is None else fault.text
    number = getattr(getattr(error, "os_error", error), "errno", None)
    detail = type(error).__name__ + (f", errno {number}" if isinstance(number, int) else "")
    kind = _KINDS.get(verdict.error_type, Failed)
    return kind(_said(plan, f"{text} ({detail})"), verdict=verdict, provider=plan.provider, operation=plan.operation)


def late(plan: Plan, limit: float) -> TimedOut:
    """Return the error for a try that was cut after ``limit`` seconds."""
    text = _said(plan, f"the try took longer than {limit:g} s")
    return TimedOut(text, verdict=LATE, provider=plan.provider, operation=plan.operation)


def unprepared(plan: Plan, limit: float, what: str) -> TimedOut:
    """Return the error for a try for which ``what`` was not done after ``limit`` seconds: nothing was sent."""
    text = _said(plan, f"not sent, {what} took longer than {limit:g} s")
    return TimedOut(text, verdict=_UNPREPARED, provider=plan.provider, operation=plan.operation)


def unfollowed(plan: Plan, status: int, answer: Mapping[str, str], why: str) -> HttpError:
    """Return the error for a redirect that is not followed. Where it leads is on the exception, and only there."""
    return HttpError(
        _said(plan, f"HTTP {status}, but {why}"),
        status=status,
        headers=CIMultiDict(answer),
        problem=None,
        code=None,
        verdict=_UNFOLLOWED,
        provider=plan.provider,
        operation=plan.operation,
    )


def undecodable(plan: Plan, status: int, misfit: MisfitError) -> Undecodable:
    """Return the error for a body that is not what was declared.

    One that is no JSON at all may be a proxy's page, and gone next time; one that misfits the model will misfit again.
    """
    verdict = Verdict(
        ErrorType.SERVER_ERROR, Outcome.APPLIED, Phase.DECODE, misfit.reason == "malformed", misfit.reason
    )
    text = _said(plan, f"HTTP {status}, but {misfit.text}")
    return Undecodable(text, verdict=verdict, provider=plan.provider, operation=plan.operation)


def _said(plan: Plan, text: str) -> str:
    return f"{plan.provider} {plan.operation}: {text}."
