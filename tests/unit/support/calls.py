"""What one made-up call and its sends are, and what spans, metrics and callers say of its error. Makes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span

# error.type -> category, and what a caller sees raised, as far as a run needs it
CATEGORY = {
    "network_error": "network",
    "timeout": "network",
    "service_unavailable": "server_error",
    "server_error": "server_error",
    "rate_limited": "rate_limiting",
    "not_found": "not_found",
}
RAISED = {
    "network_error": "NetworkError",
    "timeout": "TimedOut",
    "breaker_open": "BreakerOpen",
    "rate_limited_locally": "RateLimitedLocally",
    "concurrency_limited": "ConcurrencyLimited",
    "deadline_exceeded": "DeadlineExceeded",
    "cancelled": "CancelledError",
}
CALLER_ERRORS = ("not_found",)


@dataclass(frozen=True, kw_only=True)
class Send:
    """One request on the wire, and what the server says of it; ``read=False``: it says nothing.

    A ``retry`` waits for ``backoff`` seconds before it is sent; a ``redirect`` goes to ``site``, with ``method``. The
    server sent ``size`` bytes, or ``items``.
    """

    kind: str = "first"
    number: int = 1
    status: int | None = None
    error: str | None = None
    phase: str | None = None
    outcome: str | None = None
    reason: str | None = None
    backoff: float = 0.01
    retry_after: int | None = None
    breaker: str | None = None
    fault: str = "ok"
    sent: str = "whole"
    left: bool = False
    read: bool = True
    key: int | None = None
    why: str | None = None
    site: str = "shop"
    method: str = ""
    size: int = 0
    items: int = 0


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What policies did with a call. ``refused``: by what, and for how long; ``waits`` are before its first send.

    ``joins`` is the span of the call that it joined; ``given_up``: seconds of the backoff before a refused retry.
    ``once``: its body could be sent once. The caller read ``size`` bytes of text, or ``items`` of a stream, which was
    ``early`` left before its end.
    """

    stop: str = ""
    refused: str = ""
    retry_after: float | None = None
    shadow: str = ""
    fallback: str = ""
    joins: Span | None = None
    waits: Mapping[str, float] = field(default_factory=dict)
    given_up: float = 0.0
    in_doubt: bool = False
    once: bool = False
    size: int | None = None
    items: int | None = None
    early: bool = False


PLAIN = Ending()


def labels(error: str | None) -> dict[str, str]:
    """Return what spans and metrics say of an error."""
    if not error:
        return {}
    what = "buoy.error.category" if error in CATEGORY else "buoy.refusal.reason"
    return {"error.type": error, what: CATEGORY.get(error, error)}


def result_of(error: str) -> str:
    """Return the result that a call counts as."""
    if not error or error == "cancelled":
        return error or "success"
    if error in CATEGORY:
        return "caller_error" if error in CALLER_ERRORS else "failure"
    return "refused"
