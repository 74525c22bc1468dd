"""From what went wrong to one of our errors, with the words for it: where, what, and nothing of a body or a URL."""

import time
from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict

from buoy.errors import Failed, HttpError, NetworkError, TimedOut, Undecodable
from buoy.http import classify, headers, quota
from buoy.http.body import MisfitError
from buoy.outcome import TABLE, ErrorType, Outcome, Phase, Verdict
from buoy.pipeline.call import Plan

_KINDS: dict[ErrorType, type[Failed]] = {ErrorType.NETWORK_ERROR: NetworkError, ErrorType.TIMEOUT: TimedOut}
_LATE = Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="timer")


def answered(plan: Plan, status: int, answer: Mapping[str, str], problem: Mapping[str, Any] | None = None) -> HttpError:
    """Return the error for an answer with an error status; ``answer`` is its headers."""
    wait = _wait_asked(status, answer)
    verdict = classify.status(status, retry_after=wait, should_retry=headers.should_retry(answer))
    text = f"HTTP {status}, {TABLE[verdict.error_type].sentence}"
    if verdict.retry_after is not None:
        text += f"; retry after {verdict.retry_after:g} s"
    return HttpError(
        _said(plan, text),
        status=status,
        headers=CIMultiDict(answer),
        problem=problem,
        verdict=verdict,
        provider=plan.provider,
        operation=plan.operation,
    )


def _wait_asked(status: int, answer: Mapping[str, str]) -> float | None:
    """Return the seconds to wait: Retry-After, or after throttling the time until there is quota again."""
    asked = headers.wait_asked(answer)
    if asked is not None or classify.STATUS.get(status) is not ErrorType.RATE_LIMITED:
        return asked
    said = quota.read(CIMultiDict(answer), now=time.time())
    return None if said is None else said.pause


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
    return TimedOut(text, verdict=_LATE, provider=plan.provider, operation=plan.operation)


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
