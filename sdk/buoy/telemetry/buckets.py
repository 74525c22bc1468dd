"""Histograms of our own, where a record costs a tenth of the SDK's. They are collected as the SDK's own public types.

A timer belongs to one event loop, whose thread alone adds to it, so that no lock is on the way of a call. Reading sums
over the loops, those that are gone included: counts never fall.
"""

import asyncio
import os
import threading
from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from time import time_ns

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION,
    OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE,
    OTEL_METRICS_EXEMPLAR_FILTER,
)
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import AggregationTemporality, Histogram, HistogramDataPoint
from opentelemetry.sdk.metrics.export import Metric as Collected
from opentelemetry.sdk.metrics.view import View
from opentelemetry.trace import Span, SpanContext, TraceFlags

from buoy.contract import Metric
from buoy.telemetry.slots import Key, Slot

_SAMPLED = TraceFlags.SAMPLED
# Preferences of the environment under which a histogram tells what is new, and not the sum of all.
_DELTA = frozenset({"DELTA", "LOWMEMORY"})

# The last exemplar of a bucket: value, Unix nanoseconds, and the span's context if it had one.
_Example = tuple[float, int, SpanContext | None]


def fits(views: Sequence[View] = ()) -> bool:
    """Tell whether these histograms are what the environment and the ``views`` of a meter provider ask for."""
    asked = os.environ.get(OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION)
    return asked != "base2_exponential_bucket_histogram" and not views


class BucketTimer:
    """Implements ``Timer``. ``exemplars`` is one of the values of ``OTEL_METRICS_EXEMPLAR_FILTER``."""

    __slots__ = ("_bounds", "_takes_all", "_takes_sampled", "counts", "examples", "folded", "high", "low", "total")

    def __init__(self, bounds: Sequence[float], exemplars: str, folded: Slot | None = None) -> None:
        self._bounds = bounds
        self._takes_sampled = exemplars == "trace_based"
        self._takes_all = exemplars == "always_on"
        self.folded = folded
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.low = inf
        self.high = -inf
        self.examples: dict[int, _Example] = {}

    def record(self, seconds: float, span: Span | None) -> None:
        """Count a duration; what is no finite number from 0 on is left out, as the SDK does."""
        if not 0 <= seconds < inf:
            return
        if self.folded is not None:
            self.folded.add()
        bucket = bisect_left(self._bounds, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        if seconds < self.low:  # noqa: PLR1730  # a call of min costs as much as all of this
            self.low = seconds
        if seconds > self.high:  # noqa: PLR1730  # the same
            self.high = seconds
        if self._takes_sampled:
            if span is not None:
                context = span.get_span_context()
                if context.trace_flags & _SAMPLED:
                    self.examples[bucket] = seconds, time_ns(), context
        elif self._takes_all:
            self.examples[bucket] = seconds, time_ns(), None if span is None else span.get_span_context()

    def read(self) -> tuple[list[int], float]:
        """Return counts and sum of the same moment: read again if a record came between them."""
        while True:
            counts = self.counts.copy()
            total = self.total
            if counts == self.counts:
                return counts, total

    def take_examples(self) -> dict[int, _Example]:
        """Return the exemplars, which begin anew."""
        examples, self.examples = self.examples, {}
        return examples

    def take_extremes(self) -> tuple[float, float]:
        """Return the lowest and the highest, which begin anew."""
        low, high, self.low, self.high = self.low, self.high, inf, -inf
        return low, high


class _Series:
    """One attribute set of one histogram, over all loops."""

    def __init__(self, bounds: Sequence[float], key: Key) -> None:
        self.timers: dict[asyncio.AbstractEventLoop, BucketTimer] = {}
        self._retired = BucketTimer(bounds, "")
        self._bounds = bounds
        self._key = key
        self._began = time_ns()
        self._counts = [0] * (len(bounds) + 1)  # as told last, and so are these
        self._total = 0.0

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep what a closed loop has recorded, without the loop."""
        gone, kept = self.timers.pop(loop, None), self._retired
        if gone is None:
            return
        counts, total = gone.read()
        low, high = gone.take_extremes()
        kept.counts = [mine + theirs for mine, theirs in zip(kept.counts, counts, strict=True)]
        kept.total += total
        kept.low, kept.high = min(kept.low, low), max(kept.high, high)
        kept.examples = _last([kept.examples, gone.take_examples()])

    def point(self, now: int, previous: int | None, *, delta: bool) -> HistogramDataPoint | None:
        """Return what there is, or what is new since the collection ``previous`` to this; ``None`` if nothing."""
        timers = [self._retired, *self.timers.values()]
        read = [timer.read() for timer in timers]
        counts = [sum(column) for column in zip(*(part for part, _ in read), strict=True)]
        total = sum(part for _, part in read)
        if delta:
            counts, self._counts = [new - old for new, old in zip(counts, self._counts, strict=True)], counts
        count = sum(counts)
        if not count:
            return None
        if delta:
            total, self._total = total - self._total, total
        extremes = [timer.take_extremes() if delta else (timer.low, timer.high) for timer in timers]
        return HistogramDataPoint(
            attributes=dict(self._key),
            start_time_unix_nano=previous if delta and previous is not None else self._began,
            time_unix_nano=now,
            count=count,
            sum=total,
            bucket_counts=tuple(counts),
            explicit_bounds=tuple(self._bounds),
            min=min(low for low, _ in extremes),
            max=max(high for _, high in extremes),
            exemplars=_exemplars(_last([timer.take_examples() for timer in timers])),
        )


class Buckets:
    """Implements ``Durations``. What is not given is as the environment says, read as the SDK reads it."""

    def __init__(self, *, temporality: AggregationTemporality | None = None, exemplars: str | None = None) -> None:
        if temporality is None:
            preferred = os.environ.get(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, "").upper().strip()
            temporality = AggregationTemporality.DELTA if preferred in _DELTA else AggregationTemporality.CUMULATIVE
        self._temporality = temporality
        self._exemplars = exemplars or os.environ.get(OTEL_METRICS_EXEMPLAR_FILTER, "trace_based")
        self.clear()

    def clear(self) -> None:
        """Begin at 0, as a forked child does; timers made before are read no more."""
        self._lock = threading.Lock()
        self._series: dict[Metric, dict[Key, _Series]] = {}
        self._previous: dict[Metric, int] = {}

    def timer(self, loop: asyncio.AbstractEventLoop, metric: Metric, key: Key, folded: Slot | None) -> BucketTimer:
        """Return a new timer of ``loop``."""
        timer = BucketTimer(metric.boundaries, self._exemplars, folded)
        with self._lock:
            known = self._series.setdefault(metric, {})
            series = known.get(key)
            if series is None:
                series = known[key] = _Series(metric.boundaries, key)
            series.timers[loop] = timer
        return timer

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of a closed loop, and not of what it recorded."""
        with self._lock:
            for known in self._series.values():
                for series in known.values():
                    series.retire(loop)

    def collect(self) -> list[Collected]:
        """Return every histogram that has something to say, for one exporter. Any thread may ask, one at a time."""
        now, delta = time_ns(), self._temporality is AggregationTemporality.DELTA
        collected: list[Collected] = []
        with self._lock:
            for metric, known in self._series.items():
                previous = self._previous.get(metric)
                self._previous[metric] = now
                points = [series.point(now, previous, delta=delta) for series in known.values()]
                data = Histogram([point for point in points if point is not None], self._temporality)
                if data.data_points:
                    collected.append(Collected(metric.name, metric.answers, metric.unit, data))
        return collected


def _last(several: Sequence[dict[int, _Example]]) -> dict[int, _Example]:
    """Return the latest example of each bucket."""
    last: dict[int, _Example] = {}
    for examples in several:
        for bucket, example in examples.items():
            if bucket not in last or last[bucket][1] <= example[1]:
                last[bucket] = example
    return last


def _exemplars(examples: dict[int, _Example]) -> list[Exemplar]:
    return [
        Exemplar({}, value, time, *((None, None) if context is None else (context.span_id, context.trace_id)))
        for _, (value, time, context) in sorted(examples.items())
    ]
