"""Events as logs: through structlog where the service configured it, else through ``logging`` without any handler, and
over OTLP where ``setup`` exports logs.

An event's name is the message; there is no free text. The same event of the same provider and error type is logged at
most once per 10 seconds, with the number of those left out.
"""  # noqa: D205  # one sentence says where they go

import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext, set_span_in_context

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

NAME = "buoy"
INTERVAL = 10.0

_SEVERITIES = {
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
}
_UNTRACED = set_span_in_context(INVALID_SPAN, Context())


def _to_logging(_: "WrappedLogger", __: str, event: "EventDict") -> tuple[tuple[str], dict[str, Any]]:
    """Hand an event to ``logging``: readable as text, and with every field as ``extra`` for formatters."""
    name = event.pop("event")
    text = " ".join([name, *(f"{key}={value}" for key, value in event.items())])
    return (text,), {"extra": dict(event)}


class Log:
    """Where events go; ``exporter`` is OpenTelemetry's logger, where ours exports: it gets them from INFO on."""

    def __init__(self) -> None:
        # Imported with the first provider, not with buoy: it brings rich and pygments along where they are installed.
        import structlog  # noqa: PLC0415

        self.exporter: Logger | None = None
        self._structlog = structlog
        self._plain = structlog.wrap_logger(
            logging.getLogger(NAME), processors=[_to_logging], wrapper_class=structlog.stdlib.BoundLogger
        )
        self.clear()

    def clear(self) -> None:
        """Forget what was logged, as a forked child does."""
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str, str], float] = {}
        self._suppressed: dict[tuple[str, str, str], int] = {}

    def emit(self, level: int, event: str, provider: str, error_type: str, fields: Mapping[str, Any]) -> None:
        """Log ``event``, unless the same was logged less than 10 seconds ago."""
        logger: Any = self._structlog.get_logger(NAME) if self._structlog.is_configured() else self._plain
        is_heard = logger is not self._plain or logging.getLogger(NAME).isEnabledFor(level)
        exporter = self.exporter if level in _SEVERITIES else None
        if not is_heard and exporter is None:
            return
        key = (event, provider, error_type)
        now = time.monotonic()
        with self._lock:
            last = self._last.get(key)
            if last is not None and now - last < INTERVAL:
                self._suppressed[key] = self._suppressed.get(key, 0) + 1
                return
            self._last[key] = now
            suppressed = self._suppressed.pop(key, 0)
        told = {**fields, **({"suppressed": suppressed} if suppressed else {})}
        try:
            if is_heard:
                logger.log(level, event, **told)
            if exporter is not None:
                _export(exporter, level, event, told)
        except Exception as error:  # noqa: BLE001  # a processor of the service's own must not break its calls
            if logging.raiseExceptions and sys.stderr is not None:  # as logging treats its handlers
                sys.stderr.write(f"buoy: {event} could not be logged: {type(error).__name__}\n")


def _export(exporter: Logger, level: int, event: str, fields: dict[str, Any]) -> None:
    trace, span = fields.pop("trace_id", None), fields.pop("span_id", None)
    context = _UNTRACED
    if trace is not None and span is not None:
        where = NonRecordingSpan(SpanContext(int(trace, 16), int(span, 16), is_remote=False))
        context = set_span_in_context(where, Context())
    exporter.emit(
        timestamp=time.time_ns(),
        context=context,
        severity_number=_SEVERITIES[level],
        severity_text=logging.getLevelName(level),
        body=event,
        attributes=fields,
        event_name=event,
    )
