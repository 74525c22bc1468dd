"""The SDK's histograms. Records reach them in small batches: one after another they cost half as much each.

A record keeps its span, so that exemplars are the same. It waits a quarter of a second at most, and is handed over when
the provider is left, when telemetry is flushed and when the interpreter ends.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter, NoOpHistogram
from opentelemetry.trace import INVALID_SPAN, Span, set_span_in_context

from buoy import contract
from buoy.contract import Instrument, Metric
from buoy.telemetry.slots import Attributes, Key, Slot

_BATCH = 32
_LONGEST = 0.25
# The context of a record without a recorded span. With none at all the SDK would take the one that is current when the
# record is handed over, and show a foreign trace as its exemplar.
_UNTRACED = set_span_in_context(INVALID_SPAN, Context())

OnFailure = Callable[[Exception], None]


class Pending:
    """The records of one event loop. Its loop's thread adds; any thread may flush."""

    __slots__ = ("_loop", "_records")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._records: deque[tuple[DeferredTimer, float, Span | None]] = deque()

    def add(self, record: "tuple[DeferredTimer, float, Span | None]") -> None:
        """Keep one record until the next flush."""
        self._records.append(record)
        count = len(self._records)
        if count == 1:
            self._loop.call_later(_LONGEST, self.flush)
        elif count >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over all that is kept. Appending and taking are atomic, so that no thread loses a record."""
        records = self._records
        while records:
            try:
                timer, seconds, span = records.popleft()
            except IndexError:
                return  # another thread was faster
            # Of the context the span alone: that is what an exemplar shows, and baggage is not to get into metrics.
            context = _UNTRACED if span is None else set_span_in_context(span, Context())
            try:
                timer.kept.histogram.record(seconds, timer.attributes, context)
            except Exception as error:  # noqa: BLE001  # a view, a filter or a reservoir of the service's own
                timer.kept.unplug(error)


class Kept:
    """One histogram. When it raises it is used no more, and ``on_failure`` is told."""

    def __init__(self, meter: Meter, metric: Metric, on_failure: OnFailure) -> None:
        self._name = metric.name
        self._on_failure = on_failure
        self.histogram: Histogram
        try:
            self.histogram = meter.create_histogram(
                metric.name,
                unit=metric.unit,
                description=metric.answers,
                explicit_bucket_boundaries_advisory=list(metric.boundaries),
            )
        except Exception as error:  # noqa: BLE001  # of whatever foreign meter
            self.unplug(error)

    def unplug(self, error: Exception) -> None:
        """Let nothing be recorded any more."""
        self.histogram = NoOpHistogram(self._name)
        self._on_failure(error)


class DeferredTimer:
    """Implements ``Timer``, with the dict of its attributes made once."""

    __slots__ = ("_pending", "attributes", "folded", "kept")

    def __init__(self, pending: Pending, kept: Kept, attributes: Attributes, folded: Slot | None = None) -> None:
        self._pending = pending
        self.kept = kept
        self.attributes = attributes
        self.folded = folded

    def record(self, seconds: float, span: Span | None) -> None:
        """Keep a duration for the next batch."""
        if self.folded is not None:
            self.folded.add()
        self._pending.add((self, seconds, span))


class Deferred:
    """Implements ``Durations``, with histograms of ``meter``; ``on_failure`` is told of one that raises."""

    def __init__(self, meter: Meter, on_failure: OnFailure = lambda _: None) -> None:
        self._kept = {
            metric: Kept(meter, metric, on_failure)
            for metric in contract.METRICS
            if metric.instrument is Instrument.HISTOGRAM
        }
        self.clear()

    def clear(self) -> None:
        """Begin anew, as a forked child does: what is kept is its parent's."""
        self._lock = threading.Lock()
        self._pending: dict[asyncio.AbstractEventLoop, Pending] = {}

    def timer(self, loop: asyncio.AbstractEventLoop, metric: Metric, key: Key, folded: Slot | None) -> DeferredTimer:
        """Return a new timer of ``loop``."""
        with self._lock:
            closed = [self._pending.pop(known) for known in list(self._pending) if known.is_closed()]
            pending = self._pending.get(loop)
            if pending is None:
                pending = self._pending[loop] = Pending(loop)
        for left_behind in closed:
            left_behind.flush()
        return DeferredTimer(pending, self._kept[metric], dict(key), folded)

    def flush(self) -> None:
        """Hand over what is kept back."""
        with self._lock:
            waiting = list(self._pending.values())
        for pending in waiting:
            pending.flush()

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do nothing yet: this may be inside a collection, where an SDK need not allow for records."""
