"""Spans and log records of OpenTelemetry's SDK on their way into our queues."""

import time
from copy import copy

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from buoy.outcome import DropReason
from buoy.telemetry.queue import Queue


class QueuedSpans(SpanProcessor):
    """Queues every sampled span that ends."""

    def __init__(self, queue: Queue[ReadableSpan]) -> None:
        self.queue = queue
        self._born = 0

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue it."""
        if not span.context.trace_flags.sampled:
            return
        if self._born and (span.start_time or 0) < self._born:
            # It began in the parent, which ends and exports it as well: two spans of one id.
            self.queue.account.drop(DropReason.FORK, 1)
            return
        self.queue.put(span)

    def revive(self) -> None:
        """Go on in a forked child."""
        self._born = time.time_ns()
        self.queue.revive()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what waits."""
        return self.queue.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Take no more."""
        self.queue.close()


class QueuedLogs(LogRecordProcessor):
    """Queues every log record."""

    def __init__(self, queue: Queue[ReadableLogRecord]) -> None:
        self.queue = queue

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue it, without its context: that may hold much, and other processors may need it."""
        record = copy(log_record.log_record)
        record.context = Context()
        resource = log_record.resource or Resource.get_empty()
        self.queue.put(ReadableLogRecord(record, resource, log_record.instrumentation_scope, log_record.limits))

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export what waits."""
        return self.queue.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Take no more."""
        self.queue.close()
