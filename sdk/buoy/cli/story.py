"""What one call was, as plain records: they are the ``--json`` output as they stand, and the text is told from them.

Nothing of the request's headers and body is kept, and of the answer only what mattered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from buoy.cli.chronicle import Wait
from buoy.cli.target import redact_url
from buoy.errors import BuoyError, HttpError
from buoy.outcome import (
    TABLE,
    AttemptKind,
    CallResult,
    Category,
    DelaySource,
    ErrorType,
    Outcome,
    Phase,
    StopReason,
    Verdict,
    WaitCause,
    result_of,
)
from buoy.pipeline.call import Call, Send, Target

_RATE_LIMITS = ("ratelimit", "x-ratelimit", "x-rate-limit")
# A header that matters only with the status that asks to look at it.
_TELLING = {"retry-after": None, "location": None, "www-authenticate": 401, "allow": 405}


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one failure is; ``retry_after`` is in seconds."""

    type: ErrorType
    category: Category | None
    reason: str | None
    outcome: Outcome
    phase: Phase
    retry_after: float | None
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SendStep:
    """One request on the wire, of try ``number``: its method, and to which origin (the rest may be secret)."""

    step: Literal["send"] = "send"
    number: int
    kind: AttemptKind
    method: str
    origin: str
    seconds: float
    status: int | None
    http_version: str | None
    provider_request_id: str | None
    error: Judgement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep:
    """A pause before the next try: why, and whose choice its length was."""

    step: Literal["wait"] = "wait"
    cause: WaitCause
    seconds: float
    chosen_by: DelaySource | None
    after: ErrorType | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """The last complete answer; ``bytes`` is the size of its body, ``None`` where the body was not kept."""

    status: int
    content_type: str | None
    bytes: int | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure(Judgement):
    """How a failed call ended. ``says`` is the provider's own explanation (RFC 9457), where it gave one."""

    exception: str
    message: str | None
    stop_reason: StopReason | None
    says: str | None
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """Where the seconds went. ``sends`` includes connecting; ``own`` is what neither wire nor waiting took."""

    total: float
    sends: float
    waits: float
    own: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One call."""

    result: CallResult
    method: str
    url: str
    attempts: int
    sends: int
    steps: Sequence[SendStep | WaitStep]
    answer: Received | None
    error: Failure | None
    time: Time
    duplicate: bool
    request_id: str
    trace_id: str | None


def of(
    call: Call,
    steps: Sequence[Send | Wait],
    *,
    method: str,
    url: str,
    answer: Received | None = None,
    error: BaseException | None = None,
    show_query: bool = False,
) -> Story:
    """Return the story of a call that has ended, well or with ``error``."""
    meta = call.meta()
    home = Target(method, url, "", 0)
    told = [_send(step, step.target or home) if isinstance(step, Send) else _wait(step) for step in steps]
    if isinstance(error, HttpError):
        answer = received(error.status, error.headers, show_query=show_query)
    return Story(
        result=result_of(call.failure),
        method=method,
        url=url,
        attempts=meta.attempts,
        sends=meta.sends,
        steps=told,
        answer=answer,
        error=None if call.failure is None else _failure(call, call.failure, error),
        time=_time(meta.duration, told),
        duplicate=meta.duplicate,
        request_id=meta.request_id,
        trace_id=meta.trace_id,
    )


def received(status: int, headers: Mapping[str, str], *, size: int | None = None, show_query: bool = False) -> Received:
    """Return an answer with those of its headers that mattered; the queries of URLs in them stay hidden."""
    told: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(_RATE_LIMITS) or _TELLING.get(lower, 0) in {None, status}:
            shown = value if lower != "location" or show_query else redact_url(value)
            told[name] = f"{told[name]}, {shown}" if name in told else shown
    return Received(status=status, content_type=headers.get("Content-Type"), bytes=size, headers=told)


def _judgement(verdict: Verdict) -> Judgement:
    facts = TABLE[verdict.error_type]
    return Judgement(
        type=verdict.error_type,
        category=facts.category,
        reason=verdict.reason,
        outcome=verdict.outcome,
        phase=verdict.phase,
        retry_after=verdict.retry_after,
        meaning=facts.sentence,
    )


def _send(send: Send, target: Target) -> SendStep:
    return SendStep(
        number=send.number,
        kind=send.kind,
        method=target.method,
        origin="/".join(target.url.split("/", 3)[:3]),
        seconds=send.ended - send.started,
        status=send.status,
        http_version=send.version,
        provider_request_id=send.provider_request_id,
        error=None if send.failure is None else _judgement(send.failure),
    )


def _wait(wait: Wait) -> WaitStep:
    return WaitStep(cause=wait.cause, seconds=wait.seconds, chosen_by=wait.source, after=wait.after)


def _failure(call: Call, verdict: Verdict, error: BaseException | None) -> Failure:
    ours = isinstance(error, BuoyError)
    return Failure(
        **asdict(_judgement(verdict)),
        exception=call.exception or "",
        # The text of a foreign exception may hold the URL or a header: its class has to do.
        message=str(error).removeprefix(f"{call.plan.provider} {call.plan.operation}: ") if ours else None,
        stop_reason=call.stop_reason,
        says=_explanation(error),
        advice=error.advice if isinstance(error, BuoyError) else TABLE[verdict.error_type].advice,
    )


def _explanation(error: BaseException | None) -> str | None:
    if not isinstance(error, HttpError) or error.problem is None:
        return None
    parts = [error.problem.get(key) for key in ("title", "detail")]
    return ": ".join(part for part in parts if isinstance(part, str) and part) or None


def _time(total: float, steps: Sequence[SendStep | WaitStep]) -> Time:
    sends = sum((step.seconds for step in steps if isinstance(step, SendStep)), 0.0)
    waits = sum((step.seconds for step in steps if isinstance(step, WaitStep)), 0.0)
    return Time(total=total, sends=sends, waits=waits, own=max(0.0, total - sends - waits))
