"""Events as logs, through structlog where the service configured it, else through ``logging`` without any handler.

An event's name is the message; there is no free text. The same event of the same provider and error type is logged at
most once per 10 seconds, with the number of those left out.
"""

import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

NAME = "buoy"
INTERVAL = 10.0


def _to_logging(_: "WrappedLogger", __: str, event: "EventDict") -> tuple[tuple[str], dict[str, Any]]:
    """Hand an event to ``logging``: readable as text, and with every field as ``extra`` for formatters."""
    name = event.pop("event")
    text = " ".join([name, *(f"{key}={value}" for key, value in event.items())])
    return (text,), {"extra": dict(event)}


class Log:
    """Where events go."""

    def __init__(self) -> None:
        # Imported with the first provider, not with buoy: it brings rich and pygments along where they are installed.
        import structlog  # noqa: PLC0415

        self._structlog = structlog
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str, str], float] = {}
        self._suppressed: dict[tuple[str, str, str], int] = {}
        self._plain = structlog.wrap_logger(
            logging.getLogger(NAME), processors=[_to_logging], wrapper_class=structlog.stdlib.BoundLogger
        )

    def emit(self, level: int, event: str, provider: str, error_type: str, fields: Mapping[str, Any]) -> None:
        """Log ``event``, unless the same was logged less than 10 seconds ago."""
        logger: Any = self._structlog.get_logger(NAME) if self._structlog.is_configured() else self._plain
        if logger is self._plain and not logging.getLogger(NAME).isEnabledFor(level):
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
        try:
            logger.log(level, event, **fields, **({"suppressed": suppressed} if suppressed else {}))
        except Exception as error:  # noqa: BLE001  # a processor of the service's own must not break its calls
            if logging.raiseExceptions and sys.stderr is not None:  # as logging treats its handlers
                sys.stderr.write(f"buoy: {event} could not be logged: {type(error).__name__}\n")
