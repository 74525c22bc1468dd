"""Every name that telemetry has: metrics, spans, attributes and events, with type, unit, meaning and bound.

Exactly what the code emits is here; a test compares. The reference in ``docs/`` is generated from it, and dashboards
and rules take their names from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from buoy import outcome

SCOPE = "buoy"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
OTHER = "_OTHER"

# Attribute sets that one instrument holds as they are; further ones are folded into ``_OTHER``, at most 500 more. The
# OpenTelemetry SDK folds at 2,000 without a word, so we stay below it and count.
SERIES_LIMIT = 1500
PROVIDER_LIMIT = 20
OPERATION_LIMIT = 200
BREAKER_LIMIT = 40


class Instrument(StrEnum):
    """How a metric is kept."""

    COUNTER = "observable counter"
    UP_DOWN_COUNTER = "observable up-down counter"
    GAUGE = "observable gauge"
    HISTOGRAM = "histogram"


class Type(StrEnum):
    """The type of an attribute's value."""

    STRING = "string"
    INT = "int"
    DOUBLE = "double (seconds)"
    BOOL = "bool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute. ``values`` is a closed set, or empty where ``bound`` says the bound."""

    name: str
    type: Type = Type.STRING
    values: tuple[str, ...] = ()
    bound: str = ""
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. ``boundaries`` are seconds; ``limit`` is how many attribute sets declared names can have."""

    name: str
    instrument: Instrument
    unit: str
    attributes: tuple[str, ...]
    limit: int
    prometheus: str
    answers: str
    boundaries: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One kind of span."""

    key: str
    name: str
    kind: str
    ends: str
    start: tuple[str, ...]
    end: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One rare fact: a log (none where ``level`` is ``-``), and an event on the ``span`` it names."""

    name: str
    level: str
    span: str
    fields: tuple[str, ...]


def _values(kind: Iterable[StrEnum]) -> tuple[str, ...]:
    return tuple(str(member) for member in kind)


_REFUSALS = tuple(str(error) for error, facts in outcome.TABLE.items() if facts.category is None)
# A fallback answers neither what the request itself is at fault for nor who left.
_MASKED = tuple(
    str(error)
    for error, facts in outcome.TABLE.items()
    if facts.result in {outcome.CallResult.FAILURE, outcome.CallResult.REFUSED}
)

DURATION_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WAIT_BOUNDARIES = (0.001, *DURATION_BOUNDARIES)

# Attribute names, used by the code that emits them.
PROVIDER = "buoy.provider"
OPERATION = "buoy.operation"
TRANSPORT = "buoy.transport"
SAFETY = "buoy.call.safety"
DEADLINE = "buoy.call.deadline"
REQUEST_ID = "buoy.request.id"
CALL_ATTEMPTS = "buoy.call.attempts"
CALL_SENDS = "buoy.call.sends"
CALL_RESULT = "buoy.call.result"
RESULT_ORIGIN = "buoy.result.origin"
TIME_ATTEMPTS = "buoy.time.attempts"
TIME_BACKOFF = "buoy.time.backoff"
TIME_RATE_LIMIT = "buoy.time.rate_limit"
TIME_CONCURRENCY = "buoy.time.concurrency"
STOP_REASON = "buoy.retry.stop_reason"
DUPLICATE_SOURCE = "buoy.duplicate.source"
FALLBACK_SOURCE = "buoy.fallback.source"
MASKED = "buoy.error.masked"
BREAKER_NAME = "buoy.breaker.name"
BREAKER_STATE = "buoy.breaker.state"
BREAKER_CAUSE = "buoy.breaker.cause"
LIMIT_SOURCE = "buoy.rate_limiter.source"
ATTEMPT_KIND = "buoy.attempt.kind"
ATTEMPT_NUMBER = "buoy.attempt.number"
ATTEMPT_DELAY = "buoy.attempt.delay"
RETRY_REASON = "buoy.retry.reason"
DELAY_SOURCE = "buoy.retry.delay_source"
RETRY_AFTER = "buoy.retry_after"
WAIT_FOR = "buoy.wait.for"
WAIT_DURATION = "buoy.wait.duration"
ERROR_TYPE = "error.type"
ERROR_CATEGORY = "buoy.error.category"
REFUSAL_REASON = "buoy.refusal.reason"
REFUSAL_ENFORCED = "buoy.refusal.enforced"
ERROR_REASON = "buoy.error.reason"
ERROR_OUTCOME = "buoy.error.outcome"
ERROR_PHASE = "buoy.error.phase"
ERROR_LEVEL = "buoy.error.level"
ERROR_RETRYABLE = "buoy.error.retryable"
PROVIDER_REQUEST_ID = "buoy.provider_request_id"
EXCEPTION_TYPE = "exception.type"
VERSION = "buoy.version"
INSTRUMENT = "buoy.telemetry.instrument"
SIGNAL = "buoy.telemetry.signal"
DROP_REASON = "buoy.telemetry.drop_reason"
DRAIN_RESULT = "buoy.telemetry.drain_result"
METHOD = "http.request.method"
STATUS_CODE = "http.response.status_code"
RESEND_COUNT = "http.request.resend_count"
PROTOCOL_VERSION = "network.protocol.version"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
URL_FULL = "url.full"
URL_TEMPLATE = "url.template"

_I, _D, _B = Type.INT, Type.DOUBLE, Type.BOOL

ATTRIBUTES: dict[str, Attribute] = {
    row.name: row
    for row in (
        Attribute(name=PROVIDER, bound=f"declared, at most {PROVIDER_LIMIT}", example="shopify"),
        Attribute(
            name=OPERATION, bound=f"declared, at most {OPERATION_LIMIT} with the provider", example="orders.list"
        ),
        Attribute(name=TRANSPORT, values=_values(outcome.Transport), example="http"),
        Attribute(name=SAFETY, values=_values(outcome.Safety), example="keyed"),
        Attribute(name=DEADLINE, type=_D, bound="seconds from the start of the call", example="30.0"),
        Attribute(name=REQUEST_ID, bound="UUID; spans, logs", example="7d0f5c9e-..."),
        Attribute(name=CALL_ATTEMPTS, type=_I, bound="0 to 20", example="2"),
        Attribute(name=CALL_SENDS, type=_I, bound="0 to 40", example="2"),
        Attribute(name=CALL_RESULT, values=_values(outcome.CallResult), example="success"),
        Attribute(name=RESULT_ORIGIN, values=_values(outcome.Origin), example="live"),
        Attribute(name=TIME_ATTEMPTS, type=_D, bound="seconds", example="0.42"),
        Attribute(name=TIME_BACKOFF, type=_D, bound="seconds", example="0.42"),
        Attribute(name=TIME_RATE_LIMIT, type=_D, bound="seconds", example="0.42"),
        Attribute(name=TIME_CONCURRENCY, type=_D, bound="seconds", example="0.42"),
        Attribute(name=STOP_REASON, values=_values(outcome.StopReason), example="max_attempts"),
        Attribute(name=DUPLICATE_SOURCE, values=_values(outcome.DuplicateSource), example="resend"),
        Attribute(name=FALLBACK_SOURCE, values=_values(outcome.FallbackSource), example="static"),
        Attribute(name=MASKED, values=_MASKED, example="rate_limited"),
        Attribute(name=BREAKER_NAME, bound=f"declared, at most {BREAKER_LIMIT}", example="shopify.write"),
        Attribute(name=BREAKER_STATE, values=_values(outcome.BreakerState), example="open"),
        Attribute(name=BREAKER_CAUSE, values=_values(outcome.BreakerCause), example="slow_rate"),
        Attribute(name=LIMIT_SOURCE, values=_values(outcome.LimitSource), example="server"),
        Attribute(name=ATTEMPT_KIND, values=_values(outcome.AttemptKind), example="retry"),
        Attribute(name=ATTEMPT_NUMBER, type=_I, bound="1 to 20", example="2"),
        Attribute(name=ATTEMPT_DELAY, type=_D, bound="seconds", example="0.42"),
        Attribute(name=RETRY_REASON, values=_values(outcome.Category), example="rate_limiting"),
        Attribute(name=DELAY_SOURCE, values=_values(outcome.DelaySource), example="retry_after"),
        Attribute(name=RETRY_AFTER, type=_D, bound="seconds; logs", example="2.0"),
        Attribute(name=WAIT_FOR, values=_values(outcome.WaitCause), example="backoff"),
        Attribute(name=WAIT_DURATION, type=_D, bound="seconds; span events", example="0.42"),
        Attribute(name=ERROR_TYPE, values=_values(outcome.ErrorType), example="rate_limited"),
        Attribute(name=ERROR_CATEGORY, values=_values(outcome.Category), example="rate_limiting"),
        Attribute(name=REFUSAL_REASON, values=_REFUSALS, example="deadline_exceeded"),
        Attribute(name=REFUSAL_ENFORCED, type=_B, bound="false: a breaker in metrics_only would have", example="true"),
        Attribute(name=ERROR_REASON, bound="a declared word, at most 64; spans, logs", example="refused"),
        Attribute(name=ERROR_OUTCOME, values=_values(outcome.Outcome), example="unknown"),
        Attribute(name=ERROR_PHASE, values=_values(outcome.Phase), example="connect"),
        Attribute(name=ERROR_LEVEL, values=_values(outcome.ErrorLevel), example="call"),
        Attribute(name=ERROR_RETRYABLE, type=_B, bound="true or false", example="true"),
        Attribute(name=PROVIDER_REQUEST_ID, bound="at most 64 of [A-Za-z0-9._:-]; spans, logs", example="req_8Zk"),
        Attribute(name=EXCEPTION_TYPE, bound="a class name; logs", example="TimedOut"),
        Attribute(name=VERSION, bound="the version of the package", example="1.0.0"),
        Attribute(name=INSTRUMENT, bound="a name of the metrics here", example="buoy.client.calls"),
        Attribute(name=SIGNAL, values=_values(outcome.Signal), example="span"),
        Attribute(name=DROP_REASON, values=_values(outcome.DropReason), example="queue_full"),
        Attribute(name=DRAIN_RESULT, values=_values(outcome.DrainResult), example="flushed"),
        Attribute(name=METHOD, bound="the HTTP methods", example="GET"),
        Attribute(name=STATUS_CODE, type=_I, bound="100 to 599", example="429"),
        Attribute(name=RESEND_COUNT, type=_I, bound="1 to 40", example="1"),
        Attribute(name=PROTOCOL_VERSION, bound="1.0, 1.1", example="1.1"),
        Attribute(name=SERVER_ADDRESS, bound="declared hosts", example="api.example.com"),
        Attribute(name=SERVER_PORT, type=_I, bound="declared ports", example="443"),
        Attribute(
            name=URL_FULL,
            bound="scheme, host, the template as path, query values REDACTED; spans",
            example="https://x.com/o/{id}?q=REDACTED",
        ),
        Attribute(name=URL_TEMPLATE, bound="declared per operation", example="/o/{id}"),
    )
}

_E = (ERROR_TYPE, ERROR_CATEGORY, REFUSAL_REASON)
_O = (PROVIDER, OPERATION)

CALLS = Metric(
    name="buoy.client.calls",
    instrument=Instrument.COUNTER,
    unit="{call}",
    attributes=(*_O, CALL_RESULT),
    limit=1000,
    prometheus="buoy_client_calls_total",
    answers="the SLI; every declared operation starts at 0 in all results, so that increase() sees the first failure",
)
CALL_DURATION = Metric(
    name="buoy.client.call.duration",
    instrument=Instrument.HISTOGRAM,
    unit="s",
    attributes=(*_O, TRANSPORT, *_E),
    limit=SERIES_LIMIT,
    prometheus="buoy_client_call_duration_seconds",
    answers="rate, errors and latency of calls; exemplars",
    boundaries=DURATION_BOUNDARIES,
)
ATTEMPT_DURATION = Metric(
    name="buoy.client.attempt.duration",
    instrument=Instrument.HISTOGRAM,
    unit="s",
    attributes=(*_O, ATTEMPT_KIND, *_E),
    limit=SERIES_LIMIT,
    prometheus="buoy_client_attempt_duration_seconds",
    answers="latency of the provider, one record for every send; exemplars",
    boundaries=DURATION_BOUNDARIES,
)
WAIT = Metric(
    name="buoy.client.wait.duration",
    instrument=Instrument.HISTOGRAM,
    unit="s",
    attributes=(PROVIDER, WAIT_FOR),
    limit=80,
    prometheus="buoy_client_wait_duration_seconds",
    answers="our own waiting, by cause; recorded when above 0",
    boundaries=WAIT_BOUNDARIES,
)
CALL_ACTIVE = Metric(
    name="buoy.client.call.active",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{call}",
    attributes=(PROVIDER,),
    limit=20,
    prometheus="buoy_client_call_active",
    answers="calls in flight",
)
ERRORS = Metric(
    name="buoy.client.errors",
    instrument=Instrument.COUNTER,
    unit="{error}",
    attributes=(PROVIDER, *_E, ERROR_LEVEL),
    limit=960,
    prometheus="buoy_client_errors_total",
    answers="errors by type, of sends and of calls; cancellation is none",
)
RETRIES = Metric(
    name="buoy.client.retries",
    instrument=Instrument.COUNTER,
    unit="{retry}",
    attributes=(*_O, RETRY_REASON),
    limit=1400,
    prometheus="buoy_client_retries_total",
    answers="why we retry",
)
ABANDONED = Metric(
    name="buoy.client.retry.abandoned",
    instrument=Instrument.COUNTER,
    unit="{call}",
    attributes=(PROVIDER, STOP_REASON),
    limit=160,
    prometheus="buoy_client_retry_abandoned_total",
    answers="why we gave up",
)
BUDGET_REMAINING = Metric(
    name="buoy.client.retry.budget.remaining",
    instrument=Instrument.GAUGE,
    unit="{retry}",
    attributes=(PROVIDER,),
    limit=20,
    prometheus="buoy_client_retry_budget_remaining",
    answers="retries left; absent while no provider of the name is open",
)
REFUSALS = Metric(
    name="buoy.client.refusals",
    instrument=Instrument.COUNTER,
    unit="{call}",
    attributes=(PROVIDER, REFUSAL_REASON, REFUSAL_ENFORCED),
    limit=240,
    prometheus="buoy_client_refusals_total",
    answers="what we did not send, a call or its retry; not enforced: a breaker in metrics_only would not have",
)
DUPLICATES = Metric(
    name="buoy.client.duplicates",
    instrument=Instrument.COUNTER,
    unit="{call}",
    attributes=(*_O, DUPLICATE_SOURCE),
    limit=800,
    prometheus="buoy_client_duplicates_total",
    answers="repeats avoided (joined an identical call), or possible (resent by the transport)",
)
IN_DOUBT = Metric(
    name="buoy.client.in_doubt",
    instrument=Instrument.COUNTER,
    unit="{call}",
    attributes=_O,
    limit=200,
    prometheus="buoy_client_in_doubt_total",
    answers="calls that may have had their effect, and must not be repeated blindly",
)
FALLBACKS = Metric(
    name="buoy.client.fallbacks",
    instrument=Instrument.COUNTER,
    unit="{call}",
    attributes=(*_O, FALLBACK_SOURCE),
    limit=600,
    prometheus="buoy_client_fallbacks_total",
    answers="degraded results: the call is counted as the failure it was, and the caller got something else",
)
LIMITER_WAITING = Metric(
    name="buoy.rate_limiter.waiting",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{call}",
    attributes=(PROVIDER,),
    limit=20,
    prometheus="buoy_rate_limiter_waiting",
    answers="calls that wait for their turn",
)
QUOTA_REMAINING = Metric(
    name="buoy.rate_limiter.quota.remaining",
    instrument=Instrument.GAUGE,
    unit="{request}",
    attributes=(PROVIDER, LIMIT_SOURCE),
    limit=40,
    prometheus="buoy_rate_limiter_quota_remaining",
    answers="headroom: requests left at once of our own tightest rate, and of the provider's as it said last",
)
QUOTA_LIMIT = Metric(
    name="buoy.rate_limiter.quota.limit",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{request}",
    attributes=(PROVIDER, LIMIT_SOURCE),
    limit=40,
    prometheus="buoy_rate_limiter_quota_limit",
    answers="what the remaining requests are part of: our burst, and the provider's limit; 0 where none is known",
)
BREAKER_STATUS = Metric(
    name="buoy.breaker.status",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="1",
    attributes=(PROVIDER, BREAKER_NAME, BREAKER_STATE),
    limit=240,
    prometheus="buoy_breaker_status",
    answers="1 for the state that the breaker has, 0 for all others",
)
BREAKER_TRANSITIONS = Metric(
    name="buoy.breaker.transitions",
    instrument=Instrument.COUNTER,
    unit="{transition}",
    attributes=(PROVIDER, BREAKER_NAME, BREAKER_STATE, BREAKER_CAUSE),
    limit=SERIES_LIMIT,
    prometheus="buoy_breaker_transitions_total",
    answers="flapping, and why; the state is the new one",
)
CONCURRENCY_USAGE = Metric(
    name="buoy.concurrency.usage",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{call}",
    attributes=(PROVIDER,),
    limit=20,
    prometheus="buoy_concurrency_usage",
    answers="permits taken",
)
CONCURRENCY_LIMIT = Metric(
    name="buoy.concurrency.limit",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{call}",
    attributes=(PROVIDER,),
    limit=20,
    prometheus="buoy_concurrency_limit",
    answers="permits there are",
)
CONCURRENCY_WAITING = Metric(
    name="buoy.concurrency.waiting",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{call}",
    attributes=(PROVIDER,),
    limit=20,
    prometheus="buoy_concurrency_waiting",
    answers="calls that wait for a permit",
)
DROPPED = Metric(
    name="buoy.telemetry.dropped",
    instrument=Instrument.COUNTER,
    unit="{item}",
    attributes=(SIGNAL, DROP_REASON),
    limit=15,
    prometheus="buoy_telemetry_dropped_total",
    answers="spans, metric points and log records that were lost, and why",
)
OVERFLOWS = Metric(
    name="buoy.telemetry.attribute_overflows",
    instrument=Instrument.COUNTER,
    unit="{measurement}",
    attributes=(INSTRUMENT,),
    limit=60,
    prometheus="buoy_telemetry_attribute_overflows_total",
    answers="measurements that were counted under _OTHER because a cap was reached",
)
SDK_INFO = Metric(
    name="buoy.sdk.info",
    instrument=Instrument.UP_DOWN_COUNTER,
    unit="{process}",
    attributes=(VERSION,),
    limit=1,
    prometheus="buoy_sdk_info",
    answers="which version runs; always 1",
)

METRICS: tuple[Metric, ...] = (
    CALLS,
    CALL_DURATION,
    ATTEMPT_DURATION,
    WAIT,
    CALL_ACTIVE,
    ERRORS,
    RETRIES,
    ABANDONED,
    BUDGET_REMAINING,
    REFUSALS,
    DUPLICATES,
    IN_DOUBT,
    FALLBACKS,
    LIMITER_WAITING,
    QUOTA_REMAINING,
    QUOTA_LIMIT,
    BREAKER_STATUS,
    BREAKER_TRANSITIONS,
    CONCURRENCY_USAGE,
    CONCURRENCY_LIMIT,
    CONCURRENCY_WAITING,
    DROPPED,
    OVERFLOWS,
    SDK_INFO,
)

_FAILURE = (*_E, ERROR_REASON, ERROR_OUTCOME, ERROR_PHASE, ERROR_RETRYABLE)
_ATTEMPT_START = (PROVIDER, OPERATION, ATTEMPT_KIND, ATTEMPT_NUMBER, ATTEMPT_DELAY, RETRY_REASON, BREAKER_STATE)

SPANS: tuple[Span, ...] = (
    Span(
        key="call",
        name="{buoy.provider} {buoy.operation}",
        kind="INTERNAL",
        ends="the result is delivered",
        start=(PROVIDER, OPERATION, TRANSPORT, SAFETY, DEADLINE),
        end=(
            REQUEST_ID,
            CALL_ATTEMPTS,
            CALL_SENDS,
            RESULT_ORIGIN,
            TIME_ATTEMPTS,
            TIME_BACKOFF,
            TIME_RATE_LIMIT,
            TIME_CONCURRENCY,
            STOP_REASON,
            DUPLICATE_SOURCE,
            FALLBACK_SOURCE,
            MASKED,
            *_FAILURE,
        ),
    ),
    Span(
        key="HTTP attempt",
        name="{http.request.method} {url.template}",
        kind="CLIENT",
        ends="the body is read or released",
        start=(*_ATTEMPT_START, METHOD, SERVER_ADDRESS, SERVER_PORT, URL_FULL, URL_TEMPLATE, RESEND_COUNT),
        end=(STATUS_CODE, PROTOCOL_VERSION, PROVIDER_REQUEST_ID, *_FAILURE),
    ),
    # Where a redirect led has no template, and its path may be anybody's secret.
    Span(
        key="HTTP redirect",
        name="{http.request.method}",
        kind="CLIENT",
        ends="the body is read or released",
        start=(
            PROVIDER,
            OPERATION,
            ATTEMPT_KIND,
            ATTEMPT_NUMBER,
            BREAKER_STATE,
            METHOD,
            SERVER_ADDRESS,
            SERVER_PORT,
            URL_FULL,
            RESEND_COUNT,
        ),
        end=(STATUS_CODE, PROTOCOL_VERSION, PROVIDER_REQUEST_ID, *_FAILURE),
    ),
    Span(
        key="function attempt",
        name="{buoy.provider} {buoy.operation} attempt",
        kind="INTERNAL",
        ends="the function returned",
        start=_ATTEMPT_START,
        end=_FAILURE,
    ),
)

_EV = (ERROR_TYPE, ERROR_CATEGORY, REFUSAL_REASON)

CALL_FAILED = Event(
    name="buoy.call.failed",
    level="ERROR; refusals WARNING; cancelled DEBUG",
    span="",
    fields=(
        *_EV,
        ERROR_REASON,
        ERROR_OUTCOME,
        ERROR_PHASE,
        CALL_ATTEMPTS,
        "duration",
        STOP_REASON,
        PROVIDER_REQUEST_ID,
        EXCEPTION_TYPE,
    ),
)
CALL_IN_DOUBT = Event(name="buoy.call.in_doubt", level="ERROR", span="", fields=(ERROR_TYPE, ERROR_CATEGORY, SAFETY))
CALL_REFUSED = Event(
    name="buoy.call.refused",
    level="WARNING",
    span="call",
    fields=(REFUSAL_REASON, REFUSAL_ENFORCED, BREAKER_NAME, RETRY_AFTER),
)
RETRY_SCHEDULED = Event(
    name="buoy.retry.scheduled",
    level="INFO",
    span="call",
    fields=(*_EV, ATTEMPT_NUMBER, ATTEMPT_DELAY, RETRY_REASON, DELAY_SOURCE),
)
WAIT_ENDED = Event(name="buoy.wait.ended", level="-", span="call", fields=(WAIT_FOR, WAIT_DURATION))
RESENT = Event(name="buoy.transport.resend", level="WARNING", span="attempt", fields=(METHOD, SAFETY))
FALLBACK_USED = Event(name="buoy.fallback.used", level="WARNING", span="call", fields=(FALLBACK_SOURCE, MASKED))
STREAM_LEFT = Event(name="buoy.stream.left", level="INFO", span="call", fields=())
DUPLICATE_FOUND = Event(name="buoy.duplicate.found", level="INFO", span="call", fields=(DUPLICATE_SOURCE,))
BREAKER_CHANGED = Event(
    name="buoy.breaker.changed",
    level="WARNING",
    span="",
    fields=(BREAKER_NAME, BREAKER_STATE, BREAKER_CAUSE, "previous", "generation", "failures", "calls"),
)
LIMITER_PAUSED = Event(name="buoy.rate_limiter.paused", level="WARNING", span="", fields=(RETRY_AFTER, LIMIT_SOURCE))
CALLS_CUT = Event(name="buoy.provider.drained", level="WARNING", span="", fields=("cut", "finished"))
DRAINED = Event(
    name="buoy.telemetry.drained",
    level="INFO, else WARNING",
    span="",
    fields=(DRAIN_RESULT, "flushed", "dropped", "duration"),
)
LOST = Event(name="buoy.telemetry.dropped", level="WARNING", span="", fields=(SIGNAL, DROP_REASON, "count"))
UNPLUGGED = Event(name="buoy.telemetry.unplugged", level="ERROR, once", span="", fields=(SIGNAL, EXCEPTION_TYPE))
OVERFLOW = Event(name="buoy.telemetry.overflow", level="WARNING, once", span="", fields=(INSTRUMENT,))

EVENTS: tuple[Event, ...] = (
    CALL_FAILED,
    CALL_IN_DOUBT,
    CALL_REFUSED,
    RETRY_SCHEDULED,
    WAIT_ENDED,
    RESENT,
    FALLBACK_USED,
    DUPLICATE_FOUND,
    STREAM_LEFT,
    BREAKER_CHANGED,
    LIMITER_PAUSED,
    CALLS_CUT,
    DRAINED,
    LOST,
    UNPLUGGED,
    OVERFLOW,
)

# On every log, if known.
COMMON_FIELDS = (PROVIDER, OPERATION, REQUEST_ID, "trace_id", "span_id", "suppressed")
