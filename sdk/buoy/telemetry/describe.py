"""The attributes of spans and events, built from the records of a call: pure, by the names of the contract."""

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from buoy import contract
from buoy.events import BreakerChanged, CallRefused, FallbackUsed, LimiterPaused, RetryScheduled
from buoy.outcome import (
    TABLE,
    AttemptKind,
    CallResult,
    Category,
    ErrorType,
    Origin,
    Verdict,
    WaitCause,
)
from buoy.pipeline.call import Call, Send, Target
from buoy.telemetry.names import OperationNames
from buoy.telemetry.plain import Plain
from buoy.telemetry.slots import Attributes

Values = dict[str, AttributeValue]

# Looking up a member of an enum, and making a string of it, are slow on Python 3.11.
_LIVE, _LIVE_NAME = Origin.LIVE, str(Origin.LIVE)

_TIMES = {
    WaitCause.BACKOFF: contract.TIME_BACKOFF,
    WaitCause.RATE_LIMIT: contract.TIME_RATE_LIMIT,
    WaitCause.CONCURRENCY: contract.TIME_CONCURRENCY,
}

ERRORS: dict[ErrorType, Attributes] = {
    error: {
        contract.ERROR_TYPE: str(error),
        **(
            {contract.REFUSAL_REASON: str(error)}
            if facts.category is None
            else {contract.ERROR_CATEGORY: str(facts.category)}
        ),
    }
    for error, facts in TABLE.items()
}


def call_constants(names: OperationNames, operation: Attributes, total: float | None) -> Plain:
    """Return the start attributes of a call without a deadline of its own: all constant."""
    start = Plain(
        {**operation, contract.TRANSPORT: str(names.transport), contract.SAFETY: str(names.safety)},
    )
    if total is not None:
        start[contract.DEADLINE] = total
    return start


def send_constants(names: OperationNames, operation: Attributes) -> tuple[str, SpanKind, Plain]:
    """Return name, kind and start attributes of the first send of a call without a query: all constant."""
    start = Plain({**operation, contract.ATTEMPT_KIND: str(AttemptKind.FIRST), contract.ATTEMPT_NUMBER: 1})
    http = names.http
    if http is None:
        return f"{names.provider} {names.operation} attempt", SpanKind.INTERNAL, start
    start.update(
        {
            contract.METHOD: http.method,
            contract.SERVER_ADDRESS: http.host,
            contract.URL_FULL: http.url,
            contract.URL_TEMPLATE: http.template,
        }
    )
    if http.port is not None:
        start[contract.SERVER_PORT] = http.port
    return f"{http.method} {http.template}", SpanKind.CLIENT, start


def elsewhere(target: Target) -> Values:
    """Return where a redirect has led to. No template is known of it, and its path may be anybody's secret."""
    return {
        contract.METHOD: target.method,
        contract.SERVER_ADDRESS: target.host,
        contract.SERVER_PORT: target.port,
        contract.URL_FULL: target.url,
    }


def send_start(call: Call, send: Send, constants: Plain, *, over_http: bool) -> Plain:
    """Return the start attributes of any send."""
    start = Plain(constants)
    start[contract.ATTEMPT_KIND] = str(send.kind)
    start[contract.ATTEMPT_NUMBER] = send.number
    if call.url is not None:
        start[contract.URL_FULL] = call.url
    if send.target is not None:
        start.update(elsewhere(send.target))
        del start[contract.URL_TEMPLATE]
    if call.breaker_state is not None:
        start[contract.BREAKER_STATE] = str(call.breaker_state)
    if call.sends > 1 and over_http:
        start[contract.RESEND_COUNT] = call.sends - 1
    if send.kind is AttemptKind.RETRY and call.retry is not None:
        cause, delay = call.retry
        start[contract.ATTEMPT_DELAY] = delay
        start[contract.RETRY_REASON] = category_of(cause)
    return start


def call_end(call: Call) -> Plain:
    """Return what is known of a call when it ended."""
    end = Plain()
    end[contract.REQUEST_ID] = call.request_id
    end[contract.CALL_ATTEMPTS] = call.attempt
    end[contract.CALL_SENDS] = call.sends
    end[contract.RESULT_ORIGIN] = _LIVE_NAME if call.origin is _LIVE else str(call.origin)
    if call.attempts_time > 0:
        end[contract.TIME_ATTEMPTS] = call.attempts_time
    if call.waited:
        for cause, seconds in call.waited.items():
            if seconds > 0:
                end[_TIMES[cause]] = seconds
    if call.stop_reason is not None:
        end[contract.STOP_REASON] = str(call.stop_reason)
    if call.duplicate is not None:
        end[contract.DUPLICATE_SOURCE] = str(call.duplicate)
    if call.masked is not None:
        end[contract.FALLBACK_SOURCE] = str(call.fallback)
        end[contract.MASKED] = str(call.masked.error_type)
    elif call.failure is not None:
        end.update(failed(call.failure))
    return end


def send_end(send: Send) -> Plain:
    """Return what is known of a send when it ended."""
    end = Plain()
    if send.status is not None:
        end[contract.STATUS_CODE] = send.status
    if send.version is not None:
        end[contract.PROTOCOL_VERSION] = send.version
    if send.provider_request_id is not None:
        end[contract.PROVIDER_REQUEST_ID] = send.provider_request_id
    if send.failure is not None:
        end.update(failed(send.failure))
    return end


def failed(failure: Verdict) -> Values:
    """Return what went wrong."""
    fields: Values = {**ERRORS[failure.error_type]}
    if TABLE[failure.error_type].category is None:
        return fields
    if failure.reason is not None:
        fields[contract.ERROR_REASON] = failure.reason
    fields[contract.ERROR_OUTCOME] = str(failure.outcome)
    fields[contract.ERROR_PHASE] = str(failure.phase)
    fields[contract.ERROR_RETRYABLE] = failure.retryable
    return fields


def scheduled(event: RetryScheduled) -> Values:
    """Return why a retry is coming, and when."""
    return {
        **ERRORS[event.verdict.error_type],
        contract.ATTEMPT_NUMBER: event.attempt,
        contract.ATTEMPT_DELAY: event.delay,
        contract.RETRY_REASON: category_of(event.verdict),
        contract.DELAY_SOURCE: str(event.source),
    }


def refused(event: CallRefused) -> Values:
    """Return why nothing was sent, or would not have been."""
    fields: Values = {**refusal(event.reason, event.enforced)}
    if event.breaker is not None:
        fields[contract.BREAKER_NAME] = event.breaker
    if event.retry_after is not None:
        fields[contract.RETRY_AFTER] = event.retry_after
    return fields


def refusal(reason: ErrorType, enforced: bool) -> Attributes:  # noqa: FBT001  # a pair of labels
    """Return the labels of a refusal."""
    return {contract.REFUSAL_REASON: str(reason), contract.REFUSAL_ENFORCED: enforced}


def fallen_back(event: FallbackUsed) -> Values:
    """Return what stood in for which failure."""
    return {contract.FALLBACK_SOURCE: str(event.source), contract.MASKED: str(event.masked.error_type)}


def changed(event: BreakerChanged) -> Values:
    """Return how a breaker changed, and why."""
    return {
        contract.BREAKER_NAME: event.name,
        contract.BREAKER_STATE: str(event.state),
        contract.BREAKER_CAUSE: str(event.cause),
        "previous": str(event.previous),
        "generation": event.generation,
        "failures": event.failures,
        "calls": event.calls,
    }


def paused(event: LimiterPaused) -> Values:
    """Return how long nobody sends, and who said so."""
    return {contract.RETRY_AFTER: event.seconds, contract.LIMIT_SOURCE: str(event.source)}


def error_of(error: ErrorType | None) -> Attributes:
    """Return the error type with what follows from it; nothing for success."""
    return {} if error is None else ERRORS[error]


def is_refusal(failure: Verdict) -> bool:
    """Tell whether we did not send."""
    return TABLE[failure.error_type].result is CallResult.REFUSED


def category_of(cause: Verdict) -> str:
    """Return the family of a failure, the reason of a retry."""
    # A refusal has none: a wrapped function whose own provider refused is retried where retry_on= says so.
    return str(TABLE[cause.error_type].category or Category.GENERAL)
