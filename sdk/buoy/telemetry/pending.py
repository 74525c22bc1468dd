"""Histogram records on their way to OpenTelemetry, in small batches: one after another they cost half as much each.

A record keeps its span context, so exemplars are the same. It waits a quarter of a second at most, and is handed over
when the provider is left, when telemetry is flushed and when the interpreter ends.
"""

import asyncio
from collections import deque

from opentelemetry.context import Context

from buoy.telemetry.meters import Timer

_BATCH = 32
_LONGEST = 0.25


class Pending:
    """The records of one event loop. Its loop's thread adds; any thread may flush."""

    __slots__ = ("_loop", "_records")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._records: deque[tuple[Timer, float, Context | None]] = deque()

    def add(self, timer: Timer, seconds: float, context: Context | None) -> None:
        """Keep one record until the next flush."""
        records = self._records
        records.append((timer, seconds, context))
        if len(records) == 1:
            self._loop.call_later(_LONGEST, self.flush)
        elif len(records) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over all that is kept. Appending and taking are atomic, so that no thread loses a record."""
        records = self._records
        while records:
            try:
                timer, seconds, context = records.popleft()
            except IndexError:
                return  # another thread was faster
            timer.histogram.record(seconds, timer.attributes, context)
