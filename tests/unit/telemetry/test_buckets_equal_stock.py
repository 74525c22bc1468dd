"""Our histograms and the SDK's export the same bytes: points, temporality, extremes, exemplars, and over many loops."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics._internal import _view_instrument_match, instrument, metric_reader_storage
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, StaticSampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, set_span_in_context

from buoy import contract
from buoy.telemetry import buckets
from buoy.telemetry.buckets import Buckets, BucketTimer
from buoy.telemetry.meters import Registry
from buoy.telemetry.pending import Deferred
from buoy.telemetry.slots import Key, Slot, Timer
from tests.contract import http, policies, scenarios
from tests.support import virtual_time
from tests.support.telemetry import Observed, observe
from tests.unit.telemetry.doubles import WHO

DELTA, CUMULATIVE = AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE
SCOPE = InstrumentationScope(contract.SCOPE)
HISTOGRAMS = [metric for metric in contract.METRICS if metric.instrument is contract.Instrument.HISTOGRAM]
KEYS: list[Key] = [((contract.PROVIDER, name),) for name in ("shop", "bank")]


def _span(number: int, *, sampled: bool) -> Span:
    return NonRecordingSpan(SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(sampled)))


SPANS: list[Span | None] = [None, _span(1, sampled=True), _span(2, sampled=False), _span(3, sampled=True)]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give the test a loop that does not run."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


class Clock:
    """Ticks when told to: the SDK and we do not look equally often."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        """Return the present nanosecond."""
        return self.now


class Both:
    """The same durations in the SDK's histograms and in ours."""

    def __init__(self, temporality: AggregationTemporality = CUMULATIVE) -> None:
        self.clock = Clock()
        self._reader = InMemoryMetricReader(preferred_temporality={Histogram: temporality})
        meter = MeterProvider([self._reader], resource=WHO, shutdown_on_exit=False).get_meter(contract.SCOPE)
        self._stock = {
            metric: meter.create_histogram(
                metric.name,
                metric.unit,
                metric.answers,
                explicit_bucket_boundaries_advisory=list(metric.boundaries),
            )
            for metric in HISTOGRAMS
        }
        self._ours = Buckets(temporality=temporality)
        self._timers: dict[tuple[object, ...], Timer] = {}

    def record(self, loop: asyncio.AbstractEventLoop, metric: Any, key: Key, seconds: float, span: Span | None) -> None:
        """Record one duration in both."""
        self.clock.now += 1
        timer = self._timers.get((loop, metric, key))
        with _Patched(self.clock):
            if timer is None:
                timer = self._timers[loop, metric, key] = self._ours.timer(loop, metric, key, None)
            context = set_span_in_context(span or trace.INVALID_SPAN)
            self._stock[metric].record(seconds, dict(key), context)
            timer.record(seconds, span)

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that a loop is closed."""
        self._ours.retire(loop)
        for known in [known for known in self._timers if known[0] is loop]:
            del self._timers[known]

    def collect(self) -> tuple[bytes, bytes]:
        """Return what both export now."""
        self.clock.now += 1
        with _Patched(self.clock):
            data = self._reader.get_metrics_data()
            ours = self._ours.collect()
        stock = [] if data is None else list(data.resource_metrics[0].scope_metrics[0].metrics)
        return _bytes(stock), _bytes(ours)


class _Patched:
    """Sets the clock of both."""

    def __init__(self, clock: Clock) -> None:
        places = (buckets, instrument, metric_reader_storage, _view_instrument_match)
        self._patches = [patch.object(place, "time_ns", clock) for place in places]

    def __enter__(self) -> None:
        for one in self._patches:
            one.start()

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()


def _attributes(point: Any) -> str:
    return str(point.attributes)


def _bytes(metrics: Sequence[Metric]) -> bytes:
    """Return the request of an exporter, with metrics and points in an order of its own: it means nothing."""
    ordered: list[Metric] = []
    for metric in sorted(metrics, key=lambda metric: metric.name):
        kept: Any = metric.data
        ordered.append(replace(metric, data=replace(kept, data_points=sorted(kept.data_points, key=_attributes))))
    data = MetricsData([ResourceMetrics(WHO, [ScopeMetrics(SCOPE, ordered, "")], "")])
    return encode_metrics(data).SerializeToString(deterministic=True)


@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
def test_a_day_of_durations(temporality: AggregationTemporality, loop: asyncio.AbstractEventLoop) -> None:
    """Collection after collection, idle ones and new attribute sets among them, both export the same."""
    both = Both(temporality)
    # Sums of these do not depend on their order: what is new in an interval is a difference of sums with us.
    seconds = [0.0, *(2.0**power for power in range(-9, 5)), 3600.0]
    for metric in HISTOGRAMS:
        for number, span in enumerate(SPANS * 4):
            both.record(loop, metric, KEYS[0], seconds[number], span)
        stock, ours = both.collect()
        assert stock == ours
        stock, ours = both.collect()
        assert stock == ours
        both.record(loop, metric, KEYS[1], 0.25, SPANS[1])
        both.record(loop, metric, KEYS[0], 0.25, None)
        stock, ours = both.collect()
        assert stock == ours
        assert stock != _bytes([])


def test_every_bound_is_inclusive(loop: asyncio.AbstractEventLoop) -> None:
    """A duration on a boundary is in the bucket below it, one above in the next."""
    for metric in HISTOGRAMS:
        both = Both()
        for bound in metric.boundaries:
            both.record(loop, metric, KEYS[0], bound, None)
            both.record(loop, metric, KEYS[0], bound * 1.125, None)
        stock, ours = both.collect()
        assert stock == ours


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf"), -0.5, -1e-9])
def test_what_is_no_duration(seconds: float, loop: asyncio.AbstractEventLoop) -> None:
    """What is not finite, or below 0, is left out."""
    both = Both()
    both.record(loop, contract.WAIT, KEYS[0], 0.5, SPANS[1])
    both.record(loop, contract.WAIT, KEYS[0], seconds, SPANS[3])
    stock, ours = both.collect()
    assert stock == ours


@pytest.mark.parametrize("exemplars", ["trace_based", "always_on", "always_off", None])
def test_exemplars_of_the_environment(
    exemplars: str | None, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``OTEL_METRICS_EXEMPLAR_FILTER`` decides which exemplars there are."""
    monkeypatch.delenv("OTEL_METRICS_EXEMPLAR_FILTER", raising=False)
    if exemplars is not None:
        monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", exemplars)
    both = Both()
    for order in (SPANS, SPANS[::-1]):
        for number, span in enumerate(order):
            both.record(loop, contract.CALL_DURATION, KEYS[0], 0.25 * number, span)
            # Not after a traced one in the same bucket: the SDK (1.45) then shows the ids of that one.
            both.record(loop, contract.CALL_DURATION, KEYS[0], 0.25 if span else 60.0, span)
        stock, ours = both.collect()
        assert stock == ours


@pytest.mark.parametrize(
    ("preference", "expected"),
    [(None, CUMULATIVE), ("", CUMULATIVE), ("delta", DELTA), (" LowMemory ", DELTA), ("cumulative", CUMULATIVE)],
)
def test_temporality_of_the_environment(
    preference: str | None,
    expected: AggregationTemporality,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exporter's preference is ours."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", raising=False)
    if preference is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", preference)
    ours = Buckets()
    ours.timer(loop, contract.WAIT, KEYS[0], None).record(1.0, None)
    (metric,) = ours.collect()
    assert expected is getattr(metric.data, "aggregation_temporality", None)


@pytest.mark.parametrize(
    ("aggregation", "views", "expected"),
    [
        (None, [], True),
        ("explicit_bucket_histogram", [], True),
        ("base2_exponential_bucket_histogram", [], False),
        ("unheard-of", [], True),
        (None, [View(instrument_name="*")], False),
    ],
)
def test_who_asks_for_other_histograms_gets_the_sdks(
    aggregation: str | None, views: list[View], *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exponential histograms and views are the SDK's: ours step back."""
    name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    monkeypatch.delenv(name, raising=False)
    if aggregation is not None:
        monkeypatch.setenv(name, aggregation)
    assert buckets.fits(views) is expected


def test_a_fork_begins_at_zero(loop: asyncio.AbstractEventLoop) -> None:
    """After ``clear`` nothing of before is told, not even what a timer of before goes on to record."""
    ours = Buckets()
    before = ours.timer(loop, contract.WAIT, KEYS[0], None)
    before.record(1.0, None)
    ours.clear()
    before.record(1.0, None)
    assert ours.collect() == []
    ours.timer(loop, contract.WAIT, KEYS[0], None).record(2.0, None)
    (metric,) = ours.collect()
    assert [(point.count, point.sum) for point in metric.data.data_points] == [(1, 2.0)]  # type: ignore[union-attr]


def test_what_is_folded_is_counted(loop: asyncio.AbstractEventLoop) -> None:
    """Each record that lands in a folded attribute set counts as an overflow."""
    folded = Slot()
    Buckets().timer(loop, contract.WAIT, KEYS[0], folded).record(1.0, None)
    assert folded.value == 1


def test_of_several_loops_the_last_exemplar_is_shown() -> None:
    """Of exemplars of one bucket the latest is told, whichever loop it is of, one that is gone included."""
    for latest in range(3):
        both, loops = Both(), [asyncio.new_event_loop() for _ in range(3)]
        for loop in loops:
            both.record(loop, contract.WAIT, KEYS[0], 0.25, SPANS[1])
        both.record(loops[latest], contract.WAIT, KEYS[0], 0.2421875, SPANS[3])
        both.retire(loops[1])
        stock, ours = both.collect()
        assert stock == ours
        for loop in loops:
            loop.close()


def test_a_record_in_the_middle_of_a_reading() -> None:
    """Counts and sum are of the same moment, also where a record comes between the two."""
    timer = BucketTimer((1.0,), "always_off")

    class Interrupted(list[int]):
        def copy(self) -> list[int]:
            counts = list(self)
            timer.counts = list(self)
            timer.record(0.5, None)
            return counts

    timer.counts = Interrupted([0, 0])
    assert timer.read() == ([1, 0], 0.5)


def test_the_registry_lets_go_of_closed_loops(observed: Observed) -> None:
    """A thousand loops that come and go leave their counts behind, and nothing that grows."""
    ours = Buckets()
    registry = Registry(observed.metrics.get_meter("another"), buckets=ours)
    for _ in range(1000):
        loop = asyncio.new_event_loop()
        registry.shard(loop).timer(contract.WAIT, dict(KEYS[0])).record(0.25, SPANS[1])
        loop.close()
    loop = asyncio.new_event_loop()
    registry.shard(loop)
    loop.close()
    (metric,) = ours.collect()
    (point,) = metric.data.data_points
    assert (point.count, point.sum) == (1000, 250.0)  # type: ignore[union-attr]
    assert len(point.exemplars) == 1
    assert not any(series.timers for known in ours._series.values() for series in known.values())


def test_threads_lose_nothing() -> None:
    """While loops in several threads record, another collects: in the end every duration was told once."""
    ours = Buckets(temporality=DELTA)
    threads, records, told = 4, 5000, [0, 0.0]
    together, done = threading.Barrier(threads + 1), threading.Event()

    def run() -> None:
        loop = asyncio.new_event_loop()
        timer = ours.timer(loop, contract.WAIT, KEYS[0], None)
        together.wait()
        for number in range(records):
            timer.record((number % 7) / 8, SPANS[1])
        loop.close()
        ours.retire(loop)

    def collect() -> None:
        for metric in ours.collect():
            for point in metric.data.data_points:
                told[0] += point.count  # type: ignore[union-attr]
                told[1] += point.sum  # type: ignore[union-attr]
                assert sum(point.bucket_counts) == point.count  # type: ignore[union-attr]

    def keep_collecting() -> None:
        together.wait()
        while not done.is_set():
            collect()

    working = [threading.Thread(target=run) for _ in range(threads)]
    collecting = threading.Thread(target=keep_collecting)
    for thread in (*working, collecting):
        thread.start()
    for thread in working:
        thread.join(60)
    done.set()
    collecting.join(60)
    collect()
    assert told == [threads * records, threads * sum((number % 7) / 8 for number in range(records))]


steps = st.lists(
    st.tuples(
        st.sampled_from(HISTOGRAMS),
        st.sampled_from(KEYS),
        st.integers(0, 70 * 1024).map(lambda number: number / 1024),  # so that a sum does not depend on its order
        st.sampled_from(SPANS),
        st.integers(0, 2),
    )
    | st.just("collect")
    | st.integers(0, 2),
    max_size=30,
)


@given(steps=steps, temporality=st.sampled_from([CUMULATIVE, DELTA]))
def test_any_story(steps: list[Any], temporality: AggregationTemporality) -> None:
    """Records, collections and loops that close, in any order: both export the same."""
    both = Both(temporality)
    loops = [asyncio.new_event_loop() for _ in range(3)]
    for step in (*steps, "collect"):
        if step == "collect":
            stock, ours = both.collect()
            assert stock == ours
        elif isinstance(step, int):
            both.retire(loops[step])
        else:
            metric, key, seconds, span, number = step
            both.record(loops[number], metric, key, seconds, span)
    for loop in loops:
        loop.close()


# The whole contract, as it happens.


class BothTimer:
    """Records in both."""

    def __init__(self, *timers: Timer) -> None:
        self.folded: Slot | None = None
        self._timers = timers

    def record(self, seconds: float, span: Span | None) -> None:
        """Record it in both."""
        for timer in self._timers:
            timer.record(seconds, span)


class BothDurations:
    """Keeps durations twice."""

    def __init__(self, stock: Deferred, ours: Buckets) -> None:
        self._both = (stock, ours)

    def timer(self, loop: asyncio.AbstractEventLoop, metric: Any, key: Key, folded: Slot | None) -> Timer:
        """Return a timer of both; the first counts what is folded."""
        stock, ours = self._both
        return BothTimer(stock.timer(loop, metric, key, folded), ours.timer(loop, metric, key, None))

    def flush(self) -> None:
        """Hand over what is kept back."""
        for durations in self._both:
            durations.flush()

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of a loop."""
        for durations in self._both:
            durations.retire(loop)

    def clear(self) -> None:
        """Begin at 0."""
        for durations in self._both:
            durations.clear()


def _points(metrics: Sequence[Metric]) -> dict[object, tuple[object, ...]]:
    return {
        (metric.name, metric.unit, metric.description, frozenset((point.attributes or {}).items())): (
            point.count,
            tuple(point.bucket_counts),
            tuple(point.explicit_bounds),
            point.min,
            point.max,
            pytest.approx(point.sum),
            [(example.value, example.trace_id, example.span_id) for example in point.exemplars],
        )
        for metric in metrics
        for point in metric.data.data_points
        if isinstance(point, HistogramDataPoint)
    }


@pytest.mark.parametrize("sampler", [ALWAYS_ON, StaticSampler(Decision.RECORD_ONLY)], ids=["sampled", "recorded only"])
def test_the_whole_contract(sampler: StaticSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every duration of every scenario of the contract is in the same bucket, with the same exemplars."""
    with observe(monkeypatch, sampler) as observed:
        ours = Buckets()
        registry = observed.scope.registry
        stock = registry.durations
        assert isinstance(stock, Deferred)
        monkeypatch.setattr(registry, "durations", BothDurations(stock, ours))
        asyncio.run(scenarios.everything())
        asyncio.run(policies.over_http())
        asyncio.run(http.everything())
        virtual_time.run(policies.in_virtual_time())
        stock.flush()
        expected, found = _points(observed.collected()), _points(ours.collect())
    assert len(found) > 100
    assert expected == found
