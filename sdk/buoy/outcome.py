"""The shared vocabulary: error types, outcomes, results, and the one table over them.

Category, call result, breaker outcome and advice are functions of the error type, decided here and nowhere else
(telemetry contract, section 1). Nothing in this module knows HTTP, time or telemetry.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class ErrorType(StrEnum):
    """What went wrong, in 24 values: 17 failures, 6 refusals and ``cancelled``. The value of ``error.type``."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    UNPROCESSABLE_ENTITY = "unprocessable_entity"
    RATE_LIMITED = "rate_limited"
    INTERNAL_SERVER_ERROR = "internal_server_error"
    BAD_GATEWAY = "bad_gateway"
    SERVICE_UNAVAILABLE = "service_unavailable"
    GATEWAY_TIMEOUT = "gateway_timeout"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    NETWORK_ERROR = "network_error"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"
    BREAKER_OPEN = "breaker_open"
    RATE_LIMITED_LOCALLY = "rate_limited_locally"
    CONCURRENCY_LIMITED = "concurrency_limited"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    STATE_UNAVAILABLE = "state_unavailable"
    NEEDS_CONSENT = "needs_consent"
    CANCELLED = "cancelled"


class Category(StrEnum):
    """The family of a failure; refusals and cancellation have none."""

    VALIDATION = "validation"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    GENERAL = "general"
    RATE_LIMITING = "rate_limiting"
    SERVER_ERROR = "server_error"
    NETWORK = "network"


class CallResult(StrEnum):
    """How a call ended, as the SLI counts it."""

    SUCCESS = "success"
    FAILURE = "failure"
    REFUSED = "refused"
    CALLER_ERROR = "caller_error"
    CANCELLED = "cancelled"


class BreakerOutcome(StrEnum):
    """What a circuit breaker makes of the result; neutral is not counted."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"


class BreakerState(StrEnum):
    """What the breaker does with calls. The last three are set by hand or by ``mode`` and never end by themselves."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics_only"


class BreakerCause(StrEnum):
    """Why the state changed."""

    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    RETRY_AFTER = "retry_after"
    WAIT_ELAPSED = "wait_elapsed"
    PROBE_SUCCEEDED = "probe_succeeded"
    PROBE_FAILED = "probe_failed"
    MANUAL = "manual"


class Outcome(StrEnum):
    """Whether the effect of a failed request may have happened over there."""

    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    APPLIED = "applied"


class Phase(StrEnum):
    """Where in its life a request failed."""

    LOCAL = "local"
    CONNECT = "connect"
    SEND = "send"
    RECEIVE = "receive"
    DECODE = "decode"


class Safety(StrEnum):
    """What repeating an operation does: safe and idempotent ones may be repeated, keyed ones with the same key."""

    SAFE = "safe"
    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    UNSAFE = "unsafe"


class AttemptKind(StrEnum):
    """Why a request went onto the wire; ``resend`` is the transport's own silent repeat."""

    FIRST = "first"
    RETRY = "retry"
    REDIRECT = "redirect"
    RESEND = "resend"


class StopReason(StrEnum):
    """Why a failed call was not tried again."""

    MAX_ATTEMPTS = "max_attempts"
    DEADLINE = "deadline"
    BUDGET = "budget"
    NOT_RETRYABLE = "not_retryable"
    NOT_IDEMPOTENT = "not_idempotent"
    NOT_REPLAYABLE = "not_replayable"
    RETRY_AFTER = "retry_after"
    REFUSED = "refused"


class DelaySource(StrEnum):
    """Who chose the wait before a retry."""

    BACKOFF = "backoff"
    RETRY_AFTER = "retry_after"


class WaitCause(StrEnum):
    """What a call of ours waits for before it sends."""

    BACKOFF = "backoff"
    RATE_LIMIT = "rate_limit"
    CONCURRENCY = "concurrency"


class Origin(StrEnum):
    """Where a result came from."""

    LIVE = "live"
    FALLBACK = "fallback"


class FallbackSource(StrEnum):
    """What stood in for an answer: a fixed value, or a function of the error."""

    STATIC = "static"
    FUNCTION = "function"


class LimitSource(StrEnum):
    """Whose limit it is: ours, or the provider's."""

    LOCAL = "local"
    SERVER = "server"


class DuplicateSource(StrEnum):
    """What makes a call a duplicate, proven or possible."""

    IN_FLIGHT = "in_flight"
    RESEND = "resend"


class Transport(StrEnum):
    """How an operation reaches the other side."""

    HTTP = "http"
    FUNCTION = "function"


class ErrorLevel(StrEnum):
    """Whether an error is one send's or the whole call's."""

    ATTEMPT = "attempt"
    CALL = "call"


class Signal(StrEnum):
    """What kind of telemetry; a metric is counted in data points."""

    SPAN = "span"
    METRIC = "metric"
    LOG = "log"


class DropReason(StrEnum):
    """Why an item of telemetry was lost."""

    QUEUE_FULL = "queue_full"
    EXPORT_FAILED = "export_failed"
    PARTIAL_SUCCESS = "partial_success"
    SHUTDOWN = "shutdown"
    FORK = "fork"


class DrainResult(StrEnum):
    """How a drain of telemetry ended."""

    FLUSHED = "flushed"
    PARTIAL = "partial"
    DEADLINE = "deadline"


class Facts(NamedTuple):
    """What follows from an error type."""

    category: Category | None
    result: CallResult
    breaker: BreakerOutcome
    sentence: str
    advice: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One failure, judged: what it is, whether it may have happened, and whether trying again makes sense.

    ``retryable`` speaks of the kind of failure only; whether repeating is *safe* is the retry policy's question.
    ``retry_after`` is in seconds from the moment the answer came. ``reason`` is a word of a declared catalogue.
    """

    error_type: ErrorType
    outcome: Outcome
    phase: Phase
    retryable: bool = False
    reason: str | None = None
    retry_after: float | None = None


_C, _R, _B = Category, CallResult, BreakerOutcome

TABLE: dict[ErrorType, Facts] = {
    ErrorType.BAD_REQUEST: Facts(
        _C.VALIDATION,
        _R.CALLER_ERROR,
        _B.NEUTRAL,
        "the provider found the request malformed",
        "Check the format and the required parameters of the request.",
    ),
    ErrorType.UNAUTHORIZED: Facts(
        _C.AUTHENTICATION,
        _R.FAILURE,
        _B.NEUTRAL,
        "the provider did not accept the credentials",
        "Check the API key or access token, and that it has not expired.",
    ),
    ErrorType.FORBIDDEN: Facts(
        _C.AUTHENTICATION,
        _R.FAILURE,
        _B.NEUTRAL,
        "the credentials do not allow this",
        "Check that the account has the needed permissions (scopes).",
    ),
    ErrorType.NOT_FOUND: Facts(
        _C.NOT_FOUND,
        _R.CALLER_ERROR,
        _B.NEUTRAL,
        "the provider knows no such thing",
        "Check the identifiers and the path of the operation.",
    ),
    ErrorType.METHOD_NOT_ALLOWED: Facts(
        _C.GENERAL,
        _R.CALLER_ERROR,
        _B.NEUTRAL,
        "the provider does not offer this method here",
        "Check the method and the path of the operation.",
    ),
    ErrorType.CONFLICT: Facts(
        _C.GENERAL,
        _R.CALLER_ERROR,
        _B.NEUTRAL,
        "the request conflicts with the present state",
        "Read the present state and decide again; a repeat with the same idempotency key is safe.",
    ),
    ErrorType.UNPROCESSABLE_ENTITY: Facts(
        _C.VALIDATION,
        _R.CALLER_ERROR,
        _B.NEUTRAL,
        "the provider understood the request and refused its content",
        "Check the types and ranges of the values sent.",
    ),
    ErrorType.RATE_LIMITED: Facts(
        _C.RATE_LIMITING,
        _R.FAILURE,
        _B.NEUTRAL,
        "the provider's rate limit is reached",
        "Lower the request rate, batch or cache; come back after retry_after seconds.",
    ),
    ErrorType.INTERNAL_SERVER_ERROR: Facts(
        _C.SERVER_ERROR,
        _R.FAILURE,
        _B.FAILURE,
        "the provider failed inside",
        "Wait, then retry; report it to the provider with the request id if it lasts.",
    ),
    ErrorType.BAD_GATEWAY: Facts(
        _C.SERVER_ERROR,
        _R.FAILURE,
        _B.FAILURE,
        "a gateway got no valid answer from the provider",
        "Wait, then retry; look at the provider's status page if it lasts.",
    ),
    ErrorType.SERVICE_UNAVAILABLE: Facts(
        _C.SERVER_ERROR,
        _R.FAILURE,
        _B.FAILURE,
        "the provider is not available now",
        "Wait for retry_after seconds where given, then retry.",
    ),
    ErrorType.GATEWAY_TIMEOUT: Facts(
        _C.SERVER_ERROR,
        _R.FAILURE,
        _B.FAILURE,
        "a gateway waited too long for the provider",
        "Wait, then retry; ask for less in one request if it lasts.",
    ),
    ErrorType.CLIENT_ERROR: Facts(
        _C.GENERAL,
        _R.CALLER_ERROR,
        _B.NEUTRAL,
        "the provider refused the request",
        "Check the request against the provider's documentation.",
    ),
    ErrorType.SERVER_ERROR: Facts(
        _C.SERVER_ERROR,
        _R.FAILURE,
        _B.FAILURE,
        "the provider's answer cannot be used",
        "Check the declared model against the provider's documentation; report it to the provider if it lasts.",
    ),
    ErrorType.NETWORK_ERROR: Facts(
        _C.NETWORK,
        _R.FAILURE,
        _B.FAILURE,
        "the connection failed",
        "Check the network, DNS, TLS and proxy settings between this host and the provider.",
    ),
    ErrorType.TIMEOUT: Facts(
        _C.NETWORK,
        _R.FAILURE,
        _B.FAILURE,
        "no complete answer came in time",
        "Raise the attempt timeout if the operation is slow by nature; else look at the provider's latency.",
    ),
    ErrorType.UNKNOWN: Facts(
        _C.GENERAL,
        _R.FAILURE,
        _B.NEUTRAL,
        "an error that is not in the table",
        "Read the exception; name it in retry_on= if trying again helps.",
    ),
    ErrorType.BREAKER_OPEN: Facts(
        None,
        _R.REFUSED,
        _B.NEUTRAL,
        "not sent: the circuit breaker is open",
        "Come back after retry_after seconds; the provider has been failing.",
    ),
    ErrorType.RATE_LIMITED_LOCALLY: Facts(
        None,
        _R.REFUSED,
        _B.NEUTRAL,
        "not sent: our own rate limit leaves no room in time",
        "Spread the calls, or raise the limit if the provider allows it.",
    ),
    ErrorType.CONCURRENCY_LIMITED: Facts(
        None,
        _R.REFUSED,
        _B.NEUTRAL,
        "not sent: too many calls are in flight",
        "Spread the calls, or raise the concurrency limit.",
    ),
    ErrorType.DEADLINE_EXCEEDED: Facts(
        None,
        _R.REFUSED,
        _B.NEUTRAL,
        "not sent: no time was left before the deadline",
        "Give the call a later deadline, or start it earlier.",
    ),
    ErrorType.STATE_UNAVAILABLE: Facts(
        None,
        _R.REFUSED,
        _B.NEUTRAL,
        "not sent: a store that must not be skipped is down",
        "Bring the store back; the call is safe to repeat.",
    ),
    ErrorType.NEEDS_CONSENT: Facts(
        None,
        _R.REFUSED,
        _B.NEUTRAL,
        "not sent: no usable grant",
        "A person must authorize the application again.",
    ),
    ErrorType.CANCELLED: Facts(
        None,
        _R.CANCELLED,
        _B.NEUTRAL,
        "cancelled by the caller",
        "Nothing to do: the caller left.",
    ),
}


# Looking up a member of an enum is slow on Python 3.11.
_SUCCESS = CallResult.SUCCESS


def result_of(failure: Verdict | None) -> CallResult:
    """Return how a call with this failure (or none) is counted."""
    return _SUCCESS if failure is None else TABLE[failure.error_type].result
