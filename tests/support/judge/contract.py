"""What the telemetry contract promises, as far as the judge needs it. Written from its text, not from the code.

A second copy is the point: a judge that read the SDK's table would find every mistake of that table correct.
"""

from collections.abc import Mapping
from typing import Final

FAILURE, CALLER_ERROR, REFUSED, CANCELLED = "failure", "caller_error", "refused", "cancelled"
SUCCESS = "success"

# error.type -> (buoy.error.category, buoy.call.result)
FAILURES: Final = {
    "bad_request": ("validation", CALLER_ERROR),
    "unauthorized": ("authentication", FAILURE),
    "forbidden": ("authentication", FAILURE),
    "not_found": ("not_found", CALLER_ERROR),
    "method_not_allowed": ("general", CALLER_ERROR),
    "conflict": ("general", CALLER_ERROR),
    "unprocessable_entity": ("validation", CALLER_ERROR),
    "rate_limited": ("rate_limiting", FAILURE),
    "internal_server_error": ("server_error", FAILURE),
    "bad_gateway": ("server_error", FAILURE),
    "service_unavailable": ("server_error", FAILURE),
    "gateway_timeout": ("server_error", FAILURE),
    "client_error": ("general", CALLER_ERROR),
    "server_error": ("server_error", FAILURE),
    "network_error": ("network", FAILURE),
    "timeout": ("network", FAILURE),
    "unknown": ("general", FAILURE),
}

# error.type = buoy.refusal.reason -> buoy.call.result
REFUSALS: Final = {
    "breaker_open": REFUSED,
    "rate_limited_locally": REFUSED,
    "concurrency_limited": REFUSED,
    "deadline_exceeded": REFUSED,
    "state_unavailable": REFUSED,
    "needs_consent": REFUSED,
    "cancelled": CANCELLED,
}

# What a caller sees raised -> error.type; an HttpError is what its status is.
RAISED: Final = {
    "BreakerOpen": {"breaker_open"},
    "RateLimitedLocally": {"rate_limited_locally"},
    "ConcurrencyLimited": {"concurrency_limited"},
    "DeadlineExceeded": {"deadline_exceeded"},
    "NetworkError": {"network_error"},
    "TimedOut": {"timeout"},
    "OutcomeUnknown": {"network_error", "timeout"},
    "Undecodable": {"server_error"},
    "CancelledError": {"cancelled"},
}

# What may hold back a try; it is no failure of a call whose earlier tries failed.
POLICIES: Final = ("breaker_open", "rate_limited_locally", "concurrency_limited")

# What a breaker may do: state -> why -> the states that it may come from. By hand it may do anything.
TRANSITIONS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "open": {
        "failure_rate": ("closed",),
        "slow_rate": ("closed",),
        "retry_after": ("closed", "half_open"),
        "probe_failed": ("half_open",),
    },
    "half_open": {"wait_elapsed": ("open",)},
    "closed": {"probe_succeeded": ("half_open",)},
}
# Statuses whose answer may lead elsewhere, and how often one try is led.
MOVED: Final = (301, 302, 303, 307, 308)
MOST_REDIRECTS: Final = 5

# The headers that anybody may see. Whatever is none of these may be somebody's credential.
HARMLESS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    }
)

STATES: Final = ("closed", "open", "half_open", "forced_open", "disabled", "metrics_only")

_BY_STATUS: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    409: "conflict",
    410: "not_found",
    412: "conflict",
    422: "unprocessable_entity",
    423: "conflict",
    429: "rate_limited",
    430: "rate_limited",
    500: "internal_server_error",
    501: "method_not_allowed",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
    520: "bad_gateway",
    521: "bad_gateway",
    522: "gateway_timeout",
    523: "bad_gateway",
    524: "gateway_timeout",
    525: "bad_gateway",
    526: "bad_gateway",
    527: "bad_gateway",
    529: "rate_limited",
    530: "bad_gateway",
}


def type_of_status(status: int) -> str | None:
    """Return the ``error.type`` of an answer with this status; ``None`` is success, or a redirect that is followed."""
    if status < 400:
        return None
    return _BY_STATUS.get(status, "client_error" if status < 500 else "server_error")


def result_of(error_type: str | None) -> str:
    """Return the ``buoy.call.result`` of a call that ended so."""
    if error_type is None:
        return SUCCESS
    if error_type in FAILURES:
        return FAILURES[error_type][1]
    return REFUSALS.get(error_type, f"no result for {error_type!r}")
