"""The recorder of one operation: its calls and sends become spans, metrics and logs, by the names of the contract.

It uses the OpenTelemetry API alone. What is the same for every call is made once; what nobody records is not built.
"""

import logging
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from buoy import contract
from buoy.events import CallRefused, Event, FallbackUsed, Joined, Resent, RetryScheduled, StreamLeft, WaitEnded
from buoy.outcome import (
    TABLE,
    AttemptKind,
    CallResult,
    DuplicateSource,
    ErrorLevel,
    ErrorType,
    FallbackSource,
    StopReason,
    Verdict,
    WaitCause,
    result_of,
)
from buoy.pipeline.call import Call, Send
from buoy.telemetry import describe
from buoy.telemetry.describe import Values
from buoy.telemetry.logs import Log
from buoy.telemetry.meters import Attributes, Shard, Slot, Timer
from buoy.telemetry.names import OperationNames
from buoy.telemetry.pending import Pending

# The shortest wait worth an event on the span (seconds).
_NOTABLE_WAIT = 0.01
# The context of a record without a recorded span. With none at all the SDK would take the one that is current when the
# record is handed over, and show a foreign trace as its exemplar.
_UNTRACED = set_span_in_context(INVALID_SPAN, Context())
_FOREVER = float("inf")
_STATUS = {error: Status(StatusCode.ERROR, facts.sentence) for error, facts in TABLE.items()}


class OperationRecorder:
    """Implements the ``Recorder`` protocol for one operation in one event loop."""

    def __init__(
        self, tracer: Tracer, shard: Shard, pending: Pending, log: Log, names: OperationNames, *, total: float | None
    ) -> None:
        self._tracer = tracer
        self._shard = shard
        self._pending = pending
        self._log = log
        self._names = names
        self._propagate = names.propagate and names.http is not None
        self._provider: Attributes = {contract.PROVIDER: names.provider}
        self._operation: Attributes = {**self._provider, contract.OPERATION: names.operation}
        self._call_name = f"{names.provider} {names.operation}"
        self._call_start: Values = {
            **self._operation,
            contract.TRANSPORT: str(names.transport),
            contract.SAFETY: str(names.safety),
        }
        if total is not None:
            self._call_start[contract.DEADLINE] = total
        self._send_name, self._send_kind, self._send_start = describe.send_constants(names, self._operation)
        self._make_zero()

    def _make_zero(self) -> None:
        shard, folded = self._shard, self._names.folded
        self._active = shard.slot(contract.CALL_ACTIVE, self._provider)
        self._results = {
            result: shard.slot(contract.CALLS, {**self._operation, contract.CALL_RESULT: str(result)}, folded=folded)
            for result in CallResult
        }
        self._abandoned = {
            reason: shard.slot(contract.ABANDONED, {**self._provider, contract.STOP_REASON: str(reason)})
            for reason in StopReason
        }
        self._refused = {
            (reason, enforced): shard.slot(contract.REFUSALS, {**self._provider, **describe.refusal(reason, enforced)})
            for reason, facts in TABLE.items()
            for enforced in (True, False)
            if facts.result is CallResult.REFUSED
        }
        self._in_doubt = shard.slot(contract.IN_DOUBT, self._operation, folded=folded)
        self._duplicates: dict[DuplicateSource, Slot] = {}
        self._fallbacks: dict[FallbackSource, Slot] = {}
        self._waits: dict[WaitCause, Timer] = {}
        self._calls: dict[ErrorType | None, Timer] = {}
        self._sends: dict[tuple[AttemptKind, ErrorType | None], Timer] = {}
        self._errors: dict[tuple[ErrorType, ErrorLevel], Slot] = {}
        self._retries: dict[ErrorType, Slot] = {}

    # The four things that happen to every call.

    def call_started(self, call: Call) -> None:
        """Open the call span below whatever span is current."""
        self._active.add(1)
        start = self._call_start if call.asked is None else self._start_of(call)
        span = call.span = self._tracer.start_span(self._call_name, None, SpanKind.INTERNAL, start)
        call.trace_id = span.get_span_context().trace_id
        if span.is_recording():
            call.context = set_span_in_context(span)

    def call_ended(self, call: Call) -> None:
        """Count the call, end its span, and log what went wrong."""
        failure = call.failure
        # What a fallback answered is counted as the failure it was, and shown as the answer it got.
        shown = failure if call.masked is None else None
        error = None if shown is None else shown.error_type
        self._active.add(-1)
        self._results[result_of(failure)].add()
        timer = self._calls.get(error) or self._call_timer(error)
        self._record(timer, call.ended - call.started, call.context)
        if failure is not None:
            self._count_error(failure, ErrorLevel.CALL)
            if call.stop_reason is not None:
                self._abandoned[call.stop_reason].add()
            if call.in_doubt:
                self._in_doubt.add()
        if call.duplicate is not None:
            self._count_duplicate(call.duplicate)
        span: Span = call.span
        if call.context is not None:
            span.set_attributes(describe.call_end(call))
            _fail(span, shown)
        span.end()
        if shown is not None:
            self._log_failure(call, shown)
        if failure is not None and call.in_doubt:
            doubt: Values = {**describe.ERRORS[failure.error_type], contract.SAFETY: str(self._names.safety)}
            self._emit(logging.ERROR, contract.CALL_IN_DOUBT, call, failure.error_type, doubt)

    def send_started(self, call: Call, send: Send) -> None:
        """Open the span of one request, and tell the provider of it."""
        if send.kind is AttemptKind.RETRY and call.retry is not None:
            self._count_retry(call.retry[0])
        context = call.span.get_span_context()
        if call.context is not None:
            name = self._send_name if send.target is None else send.target.method
            span = send.span = self._tracer.start_span(
                name, call.context, self._send_kind, self._send_attributes(call, send)
            )
            context = span.get_span_context()
        if self._propagate and context.is_valid:
            # Version 00 defines the sampled flag alone (W3C Trace Context, section 3.2.2.5).
            sampled = context.trace_flags & TraceFlags.SAMPLED
            send.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled:02x}"

    def send_ended(self, call: Call, send: Send) -> None:
        """Count the send and end its span."""
        failure = send.failure
        error = None if failure is None else failure.error_type
        timer = self._sends.get((send.kind, error)) or self._send_timer(send.kind, error)
        if failure is not None:
            self._count_error(failure, ErrorLevel.ATTEMPT)
        span: Span | None = send.span
        if span is None:
            self._record(timer, send.ended - send.started, None)
            return
        self._record(timer, send.ended - send.started, set_span_in_context(span, call.context))
        end = describe.send_end(send)
        if end:
            span.set_attributes(end)
        _fail(span, failure)
        span.end()

    def happened(self, call: Call, event: Event) -> None:
        """Tell of a rare fact: an event on the span, a log where the contract has one."""
        match event:
            case RetryScheduled():
                fields = describe.scheduled(event)
                self._add_event(call.span, contract.RETRY_SCHEDULED, fields)
                self._emit(logging.INFO, contract.RETRY_SCHEDULED, call, event.verdict.error_type, fields)
            case WaitEnded() if event.seconds > 0:
                timer = self._waits.get(event.cause) or self._wait_timer(event.cause)
                self._record(timer, event.seconds, call.context)
                if event.seconds >= _NOTABLE_WAIT:
                    fields = {contract.WAIT_FOR: str(event.cause), contract.WAIT_DURATION: event.seconds}
                    self._add_event(call.span, contract.WAIT_ENDED, fields)
            case Resent():
                fields = {contract.METHOD: event.method, contract.SAFETY: str(self._names.safety)}
                self._add_event(event.send.span, contract.RESENT, fields)
                self._emit(logging.WARNING, contract.RESENT, call, None, fields)
            case CallRefused():
                self._refused[event.reason, event.enforced].add()
                fields = describe.refused(event)
                self._add_event(call.span, contract.CALL_REFUSED, fields)
                self._emit(logging.WARNING, contract.CALL_REFUSED, call, event.reason, fields)
            case Joined():
                fields = {contract.DUPLICATE_SOURCE: str(event.source)}
                call.span.add_link(event.first.span.get_span_context())
                self._add_event(call.span, contract.DUPLICATE_FOUND, fields)
                self._emit(logging.INFO, contract.DUPLICATE_FOUND, call, None, fields)
            case FallbackUsed():
                self._count_fallback(event.source)
                fields = describe.fallen_back(event)
                self._add_event(call.span, contract.FALLBACK_USED, fields)
                self._emit(logging.WARNING, contract.FALLBACK_USED, call, event.masked.error_type, fields)
            case StreamLeft():
                self._add_event(call.span, contract.STREAM_LEFT, {})
                self._emit(logging.INFO, contract.STREAM_LEFT, call, None, {})
            case _:
                return

    # Metrics.

    def _record(self, timer: Timer, seconds: float, context: Context | None) -> None:
        if timer.folded is not None:
            timer.folded.add()
        self._pending.add(timer, seconds, context or _UNTRACED)

    def _call_timer(self, error: ErrorType | None) -> Timer:
        attributes = {**self._operation, contract.TRANSPORT: str(self._names.transport), **describe.error_of(error)}
        timer = self._calls[error] = self._shard.timer(contract.CALL_DURATION, attributes, folded=self._names.folded)
        return timer

    def _send_timer(self, kind: AttemptKind, error: ErrorType | None) -> Timer:
        attributes = {**self._operation, contract.ATTEMPT_KIND: str(kind), **describe.error_of(error)}
        timer = self._sends[kind, error] = self._shard.timer(
            contract.ATTEMPT_DURATION, attributes, folded=self._names.folded
        )
        return timer

    def _wait_timer(self, cause: WaitCause) -> Timer:
        timer = self._waits[cause] = self._shard.timer(contract.WAIT, {**self._provider, contract.WAIT_FOR: str(cause)})
        return timer

    def _count_error(self, failure: Verdict, level: ErrorLevel) -> None:
        error = failure.error_type
        if error is ErrorType.CANCELLED:
            return
        slot = self._errors.get((error, level))
        if slot is None:
            attributes = {**self._provider, **describe.ERRORS[error], contract.ERROR_LEVEL: str(level)}
            slot = self._errors[error, level] = self._shard.slot(contract.ERRORS, attributes)
        slot.add()

    def _count_retry(self, cause: Verdict) -> None:
        slot = self._retries.get(cause.error_type)
        if slot is None:
            attributes = {**self._operation, contract.RETRY_REASON: describe.category_of(cause)}
            slot = self._shard.slot(contract.RETRIES, attributes, folded=self._names.folded)
            self._retries[cause.error_type] = slot
        slot.add()

    def _count_duplicate(self, source: DuplicateSource) -> None:
        slot = self._duplicates.get(source)
        if slot is None:
            attributes = {**self._operation, contract.DUPLICATE_SOURCE: str(source)}
            slot = self._duplicates[source] = self._shard.slot(
                contract.DUPLICATES, attributes, folded=self._names.folded
            )
        slot.add()

    def _count_fallback(self, source: FallbackSource) -> None:
        slot = self._fallbacks.get(source)
        if slot is None:
            attributes = {**self._operation, contract.FALLBACK_SOURCE: str(source)}
            slot = self._fallbacks[source] = self._shard.slot(contract.FALLBACKS, attributes, folded=self._names.folded)
        slot.add()

    # Spans.

    def _start_of(self, call: Call) -> Values:
        if call.deadline == _FOREVER:
            return self._call_start
        return {**self._call_start, contract.DEADLINE: call.deadline - call.started}

    def _send_attributes(self, call: Call, send: Send) -> Values:
        if call.sends == 1 and call.url is None and call.breaker_state is None:
            return self._send_start
        attributes = {**self._send_start, contract.ATTEMPT_KIND: str(send.kind), contract.ATTEMPT_NUMBER: send.number}
        if call.url is not None:
            attributes[contract.URL_FULL] = call.url
        if send.target is not None:
            attributes |= describe.elsewhere(send.target)
            del attributes[contract.URL_TEMPLATE]
        if call.breaker_state is not None:
            attributes[contract.BREAKER_STATE] = str(call.breaker_state)
        if call.sends > 1 and self._names.http is not None:
            attributes[contract.RESEND_COUNT] = call.sends - 1
        if send.kind is AttemptKind.RETRY and call.retry is not None:
            cause, delay = call.retry
            attributes[contract.ATTEMPT_DELAY] = delay
            attributes[contract.RETRY_REASON] = describe.category_of(cause)
        return attributes

    @staticmethod
    def _add_event(span: Span | None, event: contract.Event, fields: Values) -> None:
        if span is not None and span.is_recording():
            span.add_event(event.name, fields)

    # Logs.

    def _log_failure(self, call: Call, failure: Verdict) -> None:
        error = failure.error_type
        fields: Values = {**describe.failed(failure), "duration": call.ended - call.started}
        fields.pop(contract.ERROR_RETRYABLE, None)
        fields[contract.CALL_ATTEMPTS] = call.attempt
        for name, value in (
            (contract.STOP_REASON, call.stop_reason),
            (contract.PROVIDER_REQUEST_ID, call.provider_request_id),
            (contract.EXCEPTION_TYPE, call.exception),
        ):
            if value is not None:
                fields[name] = str(value)
        level = logging.ERROR
        if error is ErrorType.CANCELLED:
            level = logging.DEBUG
        elif describe.is_refusal(failure):
            level = logging.WARNING
        self._emit(level, contract.CALL_FAILED, call, error, fields)

    def _emit(self, level: int, event: contract.Event, call: Call, error: ErrorType | None, fields: Values) -> None:
        common: dict[str, Any] = {**self._operation, contract.REQUEST_ID: call.request_id}
        context = call.span.get_span_context()
        if context.is_valid:
            common |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        self._log.emit(level, event.name, self._names.provider, str(error or ""), {**common, **fields})


def _fail(span: Span, failure: Verdict | None) -> None:
    """Set the span's status: unset on success and on cancellation, else an error with the type's fixed sentence."""
    if failure is not None and failure.error_type is not ErrorType.CANCELLED:
        span.set_status(_STATUS[failure.error_type])
