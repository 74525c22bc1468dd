"""The recorder of one operation: its calls and sends become spans, metrics and logs, by the names of the contract.

It uses the OpenTelemetry API alone. What is the same for every call is made once; what nobody records is not built.
"""

import logging
from typing import Any

from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
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
from buoy.telemetry.meters import Shard
from buoy.telemetry.names import OperationNames
from buoy.telemetry.plain import Plain
from buoy.telemetry.plugs import Plugs
from buoy.telemetry.slots import Attributes, Slot, Timer

# The shortest wait worth an event on the span (seconds).
_NOTABLE_WAIT = 0.01
_FOREVER = float("inf")
_STATUS = {error: Status(StatusCode.ERROR, facts.sentence) for error, facts in TABLE.items()}
# Looking up a member of an enum is slow on Python 3.11, and so is using one as a key.
_INTERNAL, _FIRST, _SAMPLED = SpanKind.INTERNAL, AttemptKind.FIRST, TraceFlags.SAMPLED


class OperationRecorder:
    """Implements the ``Recorder`` protocol for one operation in one event loop."""

    def __init__(self, plugs: Plugs, shard: Shard, log: Log, names: OperationNames, *, total: float | None) -> None:
        self._plugs = plugs
        self._shard = shard
        self._log = log
        self._names = names
        self._propagate = names.propagate and names.http is not None
        self._provider: Attributes = {contract.PROVIDER: names.provider}
        self._operation: Attributes = {**self._provider, contract.OPERATION: names.operation}
        self._call_name = f"{names.provider} {names.operation}"
        self._call_start = describe.call_constants(names, self._operation, total)
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
        self._successes = self._results[CallResult.SUCCESS]
        self._call_succeeded: Timer | None = None
        self._first_succeeded: Timer | None = None
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
        self._active.value += 1
        start = self._call_start if call.asked is None else self._start_of(call)
        try:
            span = self._plugs.tracer.start_span(self._call_name, None, _INTERNAL, start)
            call.trace_id = span.get_span_context().trace_id
            if span.is_recording():
                call.context = set_span_in_context(span)
        except Exception as error:  # noqa: BLE001  # of whatever sampler, id generator or processor
            span = self._unplug(error)
            call.trace_id, call.context = span.get_span_context().trace_id, None
        call.span = span

    def call_ended(self, call: Call) -> None:
        """Count the call, end its span, and log what went wrong."""
        failure = call.failure
        # What a fallback answered is counted as the failure it was, and shown as the answer it got.
        shown = failure if call.masked is None else None
        self._active.value -= 1
        if failure is None:
            self._successes.add()
        else:
            self._count_failure(call, failure)
        if call.duplicate is not None:
            self._count_duplicate(call.duplicate)
        span: Span = call.span
        timer = self._call_succeeded if shown is None else self._calls.get(shown.error_type)
        if timer is None:
            timer = self._call_timer(None if shown is None else shown.error_type)
        timer.record(call.ended - call.started, None if call.context is None else span)
        try:
            if call.context is not None:
                span.set_attributes(describe.call_end(call))
                if shown is not None:
                    _fail(span, shown)
            span.end()
        except Exception as error:  # noqa: BLE001  # of whatever processor
            self._unplug(error)
        if shown is not None:
            self._log_failure(call, shown)
        if failure is not None and call.in_doubt:
            doubt: Values = {**describe.ERRORS[failure.error_type], contract.SAFETY: str(self._names.safety)}
            self._emit(logging.ERROR, contract.CALL_IN_DOUBT, call, failure.error_type, doubt)

    def send_started(self, call: Call, send: Send) -> None:
        """Open the span of one request, and tell the provider of it."""
        if send.kind is not _FIRST and send.kind is AttemptKind.RETRY and call.retry is not None:
            self._count_retry(call.retry[0])
        if call.context is None:
            if call.trace_id and self._propagate:
                send.traceparent = _traceparent(call.span.get_span_context())
            return
        name, start = self._send_name, self._send_start
        if call.sends > 1 or call.url is not None or call.breaker_state is not None:
            start = describe.send_start(call, send, start, over_http=self._names.http is not None)
            if send.target is not None:
                name = send.target.method
        try:
            span = send.span = self._plugs.tracer.start_span(name, call.context, self._send_kind, start)
            if self._propagate:
                send.traceparent = _traceparent(span.get_span_context())
        except Exception as error:  # noqa: BLE001  # of whatever sampler, id generator or processor
            self._unplug(error)
            send.span = None
            send.traceparent = _traceparent(call.span.get_span_context()) if self._propagate else None

    def send_ended(self, call: Call, send: Send) -> None:
        """Count the send and end its span."""
        del call
        failure = send.failure
        timer = self._first_succeeded if failure is None and send.kind is _FIRST else None
        if timer is None:
            error = None if failure is None else failure.error_type
            timer = self._sends.get((send.kind, error)) or self._send_timer(send.kind, error)
            if failure is not None:
                self._count_error(failure, ErrorLevel.ATTEMPT)
        span: Span | None = send.span
        timer.record(send.ended - send.started, span)
        if span is None:
            return
        try:
            end = describe.send_end(send)
            if end:
                span.set_attributes(end)
            if failure is not None:
                _fail(span, failure)
            span.end()
        except Exception as error:  # noqa: BLE001  # of whatever processor
            self._unplug(error)

    def happened(self, call: Call, event: Event) -> None:
        """Tell of a rare fact: an event on the span, a log where the contract has one."""
        match event:
            case RetryScheduled():
                fields = describe.scheduled(event)
                self._add_event(call.span, contract.RETRY_SCHEDULED, fields)
                self._emit(logging.INFO, contract.RETRY_SCHEDULED, call, event.verdict.error_type, fields)
            case WaitEnded() if event.seconds > 0:
                timer = self._waits.get(event.cause) or self._wait_timer(event.cause)
                timer.record(event.seconds, None if call.context is None else call.span)
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
                self._add_event(call.span, contract.DUPLICATE_FOUND, fields, link=event.first.span)
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

    def _count_failure(self, call: Call, failure: Verdict) -> None:
        self._results[result_of(failure)].add()
        self._count_error(failure, ErrorLevel.CALL)
        if call.stop_reason is not None:
            self._abandoned[call.stop_reason].add()
        if call.in_doubt:
            self._in_doubt.add()

    def _call_timer(self, error: ErrorType | None) -> Timer:
        attributes = {**self._operation, contract.TRANSPORT: str(self._names.transport), **describe.error_of(error)}
        timer = self._calls[error] = self._shard.timer(contract.CALL_DURATION, attributes, folded=self._names.folded)
        if error is None:
            self._call_succeeded = timer
        return timer

    def _send_timer(self, kind: AttemptKind, error: ErrorType | None) -> Timer:
        attributes = {**self._operation, contract.ATTEMPT_KIND: str(kind), **describe.error_of(error)}
        timer = self._sends[kind, error] = self._shard.timer(
            contract.ATTEMPT_DURATION, attributes, folded=self._names.folded
        )
        if error is None and kind is _FIRST:
            self._first_succeeded = timer
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

    def _start_of(self, call: Call) -> Plain:
        if call.deadline == _FOREVER:
            return self._call_start
        start = Plain(self._call_start)
        start[contract.DEADLINE] = call.deadline - call.started
        return start

    def _add_event(self, span: Span | None, event: contract.Event, fields: Values, link: Span | None = None) -> None:
        try:
            if span is None or not span.is_recording():
                return
            if link is not None:
                span.add_link(link.get_span_context())
            span.add_event(event.name, fields)
        except Exception as error:  # noqa: BLE001  # the tracer is not ours
            self._unplug(error)

    def _unplug(self, error: Exception) -> Span:
        """Use the tracer no more; return a span that stands in for one of its, with the context that is current."""
        try:
            return self._plugs.unplug_tracer(error).start_span(self._call_name)
        except Exception:  # noqa: BLE001  # the current span is not ours either
            return INVALID_SPAN

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


def _fail(span: Span, failure: Verdict) -> None:
    """Set the span's status: unset on cancellation, else an error with the type's fixed sentence."""
    if failure.error_type is not ErrorType.CANCELLED:
        span.set_status(_STATUS[failure.error_type])


def _traceparent(context: SpanContext) -> str | None:
    """Return the header of a span. Version 00 defines the sampled flag alone (W3C Trace Context, section 3.2.2.5)."""
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & _SAMPLED:02x}"
