"""The record of one call and of each of its sends: times and counts, read by telemetry, handed out as ``Meta``.

All times are readings of the event loop's clock. Nothing here waits or decides.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from random import getrandbits
from types import MappingProxyType
from typing import Any, NamedTuple

from buoy.errors import BuoyError
from buoy.events import Event, Recorder
from buoy.outcome import (
    AttemptKind,
    BreakerState,
    DuplicateSource,
    ErrorType,
    FallbackSource,
    Origin,
    Outcome,
    Phase,
    Safety,
    StopReason,
    Transport,
    Verdict,
    WaitCause,
)
from buoy.pipeline.gates import BreakerGate, LimiterGate, PermitGate
from buoy.pipeline.tally import Tally
from buoy.policies import deadline
from buoy.policies.budget import Budget
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.result import Meta, Quota

CANCELLED = Verdict(ErrorType.CANCELLED, Outcome.UNKNOWN, Phase.LOCAL)
LATE = Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="timer")
UNKNOWN = Verdict(ErrorType.UNKNOWN, Outcome.UNKNOWN, Phase.LOCAL)
NO_WAITS: Mapping[WaitCause, float] = MappingProxyType({})

# Looking up a member of an enum is slow on Python 3.11.
_LIVE, _FIRST, _RETRY = Origin.LIVE, AttemptKind.FIRST, AttemptKind.RETRY

current: ContextVar["Call | None"] = ContextVar("buoy_current_call", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is the same for every call of one operation of one provider: its names, policies and gates.

    A try above ``slow_over`` seconds is slow to the breaker; ``cost`` is in units of the limiter.
    """

    provider: str
    operation: str
    transport: Transport
    safety: Safety
    retry: Retry | None
    timeout: Timeout | None
    recorder: "Recorder[Call, Send]"
    tally: Tally | None = None
    retry_on: tuple[type[Exception], ...] = ()
    budget: Budget | None = None
    breaker: BreakerGate | None = None
    slow_over: float = inf
    limiter: LimiterGate | None = None
    cost: float = 1
    permits: PermitGate | None = None


class Target(NamedTuple):
    """Where a send goes that does not go where its operation says; ``url`` is the form that may be shown."""

    method: str
    url: str
    host: str
    port: int


class Send:
    """One request on the wire. ``traceparent`` and ``span`` are the recorder's; ``target`` is that of a redirect."""

    __slots__ = (
        "ended",
        "failure",
        "kind",
        "number",
        "provider_request_id",
        "span",
        "started",
        "status",
        "target",
        "traceparent",
        "version",
    )

    def __init__(self, number: int, kind: AttemptKind, started: float, target: Target | None = None) -> None:
        self.number = number
        self.kind = kind
        self.target = target
        self.started = started
        self.ended = started
        self.failure: Verdict | None = None
        self.status: int | None = None
        self.version: str | None = None
        self.provider_request_id: str | None = None
        self.traceparent: str | None = None
        self.span: Any = None


class Call:
    """One logical request of a caller. Public inside a wrapped function: ``attempt`` and ``time_left``.

    ``masked`` is the failure that a ``fallback`` stands in for; ``shadowed``: a breaker in ``metrics_only`` would have
    refused it. ``answered`` is when the caller got an answer whose body is still to come, and ``spent`` says that the
    request's body cannot be sent again: either ends the retrying. ``own``: what ended the try is the caller's own code,
    whose error passes as it is, be it one of ours. ``abandoned``: its loop stands still, and it is ended from outside:
    whatever comes out of that is no more than its cancellation. ``request`` is the transport's; ``span``, ``context``
    and ``trace_id`` are the recorder's; ``url`` is the form that may be shown.
    """

    __slots__ = (
        "_request_id",
        "abandoned",
        "answered",
        "asked",
        "attempt",
        "attempts_time",
        "breaker_state",
        "context",
        "deadline",
        "duplicate",
        "ended",
        "exception",
        "failure",
        "fallback",
        "in_doubt",
        "judged",
        "limit",
        "loop",
        "masked",
        "origin",
        "own",
        "plan",
        "provider_request_id",
        "quota",
        "request",
        "retry",
        "sends",
        "shadowed",
        "span",
        "spent",
        "started",
        "stop_reason",
        "trace_id",
        "try_started",
        "unsettled",
        "url",
        "waited",
    )

    def __init__(  # on the way of every call: positions cost half of what names do
        self,
        plan: Plan,
        loop: asyncio.AbstractEventLoop,
        request: Any = None,
        url: str | None = None,
        asked: float | None = None,
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.request = request
        self.url = url
        self.asked = asked
        self.started = self.try_started = self.ended = self.judged = now = loop.time()
        self.deadline = deadline.deadline_at(plan.timeout, now, asked)
        self.limit = 0.0
        self.answered: float | None = None
        self.spent = False
        self.own = False
        self.abandoned = False
        self.attempt = 0
        self.sends = 0
        self.attempts_time = 0.0
        self.waited = NO_WAITS
        self.retry: tuple[Verdict, float] | None = None
        self.failure: Verdict | None = None
        self.stop_reason: StopReason | None = None
        self.duplicate: DuplicateSource | None = None
        self.origin = _LIVE
        self.masked: Verdict | None = None
        self.fallback: FallbackSource | None = None
        self.quota: Quota | None = None
        self.breaker_state: BreakerState | None = None
        self.shadowed = False
        self.in_doubt = False
        self.unsettled = False
        self.exception: str | None = None
        self.provider_request_id: str | None = None
        self.span: Any = None
        self.context: Any = None
        self.trace_id = 0
        self._request_id: str | None = None

    def __repr__(self) -> str:
        return f"<Call {self.plan.provider} {self.plan.operation} attempt={self.attempt} sends={self.sends}>"

    @property
    def time_left(self) -> float:
        """Seconds until the total deadline; 0 when it has passed, infinite where there is none."""
        return deadline.time_left(self.deadline, now=self.loop.time())

    @property
    def try_left(self) -> float:
        """Seconds until the limit of the try, less than 0 when it has passed; infinite where there is none."""
        return self.limit - (self.loop.time() - self.try_started)

    @property
    def request_id(self) -> str:
        """A random UUID (version 4, RFC 9562), made when somebody first asks for it."""
        if self._request_id is None:
            bits = getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (4 << 76) | (2 << 62)
            text = f"{bits:032x}"
            self._request_id = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
        return self._request_id

    def begin_try(self, now: float) -> bool:
        """Start the next try; ``False``, and nothing started, when no time is left for it."""
        left = self.deadline - now
        if left <= 0:
            return False
        self.attempt += 1
        self.own = False
        self.try_started = now
        self.limit = deadline.attempt_limit(self.plan.timeout, left)
        return True

    def end_try(self, now: float) -> None:
        """Account for the time of the try."""
        self.attempts_time += now - self.try_started

    def begin_send(self, kind: AttemptKind | None = None, target: Target | None = None) -> Send:
        """Start one request on the wire; without ``kind`` it is the try's own, to where its operation says."""
        if kind is None:
            kind = _FIRST if self.attempt == 1 else _RETRY
        send = Send(self.attempt, kind, self.loop.time(), target)
        self.sends += 1
        self.plan.recorder.send_started(self, send)
        return send

    def end_send(self, send: Send, failure: Verdict | None) -> None:
        """End one request on the wire."""
        send.ended = self.loop.time()
        send.failure = failure
        self.plan.recorder.send_ended(self, send)

    def happened(self, event: Event) -> None:
        """Tell the recorder of something rare."""
        self.plan.recorder.happened(self, event)

    def add_wait(self, cause: WaitCause, seconds: float) -> None:
        """Account for time spent waiting before a send."""
        if self.waited is NO_WAITS:
            self.waited = {}
        self.waited = {**self.waited, cause: self.waited.get(cause, 0.0) + seconds}

    def judge(self, error: BaseException) -> Verdict:
        """Return what an exception that leaves a try or the call says of the provider."""
        if self.abandoned:
            return CANCELLED
        return UNKNOWN if self.own and isinstance(error, Exception) else verdict_of(error)

    def heed(self, quota: Quota, window: float | None = None) -> None:
        """Note what the provider says of its own limit, and slow down if need be."""
        self.quota = quota
        if self.plan.limiter is not None:
            self.plan.limiter.heed(quota, window, self.loop.time())

    def end(self, failure: Verdict | None = None) -> None:
        """Note how the call ended, and when."""
        self.ended = self.loop.time()
        self.failure = failure

    def meta(self) -> Meta:
        """Return the story of the call so far."""
        return Meta(
            request_id=self.request_id,
            provider=self.plan.provider,
            operation=self.plan.operation,
            attempts=self.attempt,
            sends=self.sends,
            duration=self.ended - self.started,
            duplicate=self.duplicate is not None,
            duplicate_source=self.duplicate,
            origin=self.origin,
            waited=dict(self.waited),
            quota=self.quota,
            trace_id=f"{self.trace_id:032x}" if self.trace_id else None,
        )


def verdict_of(error: BaseException) -> Verdict:
    """Return what the table says of an exception that leaves a try or a call."""
    if isinstance(error, BuoyError):
        return error.verdict
    return UNKNOWN if isinstance(error, Exception) else CANCELLED
