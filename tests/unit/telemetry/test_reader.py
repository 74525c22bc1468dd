"""Our reader of metrics, below the SDK's real meter provider: what is read is exported, or counted as lost."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    Sum,
)

from buoy import contract
from buoy.outcome import DropReason, Signal
from buoy.telemetry.account import Account
from buoy.telemetry.exporting import Sender
from buoy.telemetry.reader import Reader

BOUND = 10.0
NEVER = 3600.0


class Exporter(MetricExporter):
    """Keeps what it is given, and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.exports: list[dict[tuple[str, str], float]] = []
        self.result = MetricExportResult.SUCCESS
        self.came = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        """Keep the values by scope and name."""
        del timeout_millis
        self.exports.append(
            {
                (scope.scope.name, metric.name): sum(_number(point) for point in metric.data.data_points)
                for resource in metrics_data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
            }
        )
        self.came.release()
        assert self.may_end.wait(BOUND)
        return self.result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        """Do nothing."""


def _number(point: Any) -> float:
    return float(point.count if hasattr(point, "count") else point.value)


class Reading:
    """A meter provider with our reader, and where it exports."""

    def __init__(self) -> None:
        self.exporters: list[Exporter] = []
        self.more: list[Metric] = []
        self.losses: Counter[DropReason] = Counter()
        self.account = Account(Signal.METRIC, self._lost)
        self.sender: Sender[MetricsData] = Sender(Signal.METRIC, lambda _: self._exporter())
        self.reader = Reader(self.sender, self.account, interval=NEVER, more=lambda: self.more)
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def _exporter(self) -> Exporter:
        self.exporters.append(Exporter())
        return self.exporters[-1]

    def _lost(self, _: Signal, reason: DropReason, count: int) -> None:
        self.losses[reason] += count


@pytest.fixture
def reading() -> Iterator[Reading]:
    """Read, and stop at the end."""
    reading = Reading()
    yield reading
    for exporter in reading.exporters:
        exporter.may_end.set()
    reading.provider.shutdown()


def test_everything_is_read_and_counted(reading: Reading) -> None:
    """Counters, histograms and what observes arrive, with our own metrics in our scope; each point counts as one."""
    meter = reading.provider.get_meter("service")
    meter.create_counter("asked").add(2, {"a": 1})
    meter.create_histogram("took").record(3)
    meter.create_observable_gauge("left", [lambda _: [Observation(5), Observation(6, {"b": 1})]])
    reading.provider.get_meter(contract.SCOPE).create_counter("ours").add(7)
    points = [NumberDataPoint({}, 0, 1, 8)]
    reading.more = [Metric("more", "", "", Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True))]
    assert reading.reader.flush(BOUND)
    assert reading.exporters[0].exports == [
        {
            ("service", "asked"): 2,
            ("service", "took"): 1,
            ("service", "left"): 11,
            (contract.SCOPE, "ours"): 7,
            (contract.SCOPE, "more"): 8,
        }
    ]
    assert (reading.account.delivered, reading.losses) == (6, {})


def test_the_provider_s_own_flush_is_this(reading: Reading) -> None:
    """Who flushes the meter provider exports everything, too."""
    reading.provider.get_meter("service").create_counter("asked").add(1)
    assert reading.provider.force_flush()
    assert reading.exporters[0].exports == [{("service", "asked"): 1}]


def test_what_does_not_arrive_is_counted(reading: Reading) -> None:
    """Each point of a failed export is lost; the next one tells that the receiver is reached again."""
    counter = reading.provider.get_meter("service").create_counter("asked")
    counter.add(1)
    counter.add(1, {"a": 1})
    reading.exporters[0].result = MetricExportResult.FAILURE
    assert reading.reader.flush(BOUND)
    assert (reading.account.delivered, reading.losses) == (0, {DropReason.EXPORT_FAILED: 2})
    assert not reading.reader.is_reached
    reading.exporters[0].result = MetricExportResult.SUCCESS
    assert reading.reader.flush(BOUND)
    assert (reading.account.delivered, reading.reader.is_reached) == (2, True)


def test_an_export_that_hangs_can_be_given_up(reading: Reading) -> None:
    """A flush ends at its deadline; what is being exported is counted as lost once, however it ends."""
    reading.provider.get_meter("service").create_counter("asked").add(1)
    reading.exporters[0].may_end.clear()
    turn = reading.reader.worker.ask()
    assert reading.exporters[0].came.acquire(timeout=BOUND)
    assert not reading.reader.flush(0)
    assert reading.reader.give_up() == 1
    reading.exporters[0].may_end.set()
    assert reading.reader.worker.has_done(turn, BOUND)
    assert reading.reader.flush(BOUND)
    assert reading.account.delivered == len(reading.exporters[0].exports) - 1
    assert reading.losses == {DropReason.SHUTDOWN: 1}


def test_a_callback_that_raises_stops_nothing(reading: Reading, caplog: pytest.LogCaptureFixture) -> None:
    """A service's own instrument that fails takes no other with it, and not the thread."""

    def broken(_: CallbackOptions) -> list[Observation]:
        raise LookupError

    caplog.set_level(logging.CRITICAL)
    meter = reading.provider.get_meter("service")
    meter.create_observable_gauge("left", [broken])
    meter.create_counter("asked").add(1)
    assert reading.reader.flush(BOUND)
    assert reading.reader.flush(BOUND)
    assert reading.reader.worker.has_done(reading.reader.worker.ask(), BOUND)


def test_a_forked_child_reads_from_zero(reading: Reading) -> None:
    """Its reader begins with no sums, exports by an exporter of its own, and asks nothing of the inherited one."""
    meter = reading.provider.get_meter("service")
    asked, took = meter.create_counter("asked"), meter.create_histogram("took")
    asked.add(5)
    took.record(1)
    assert reading.reader.hold()
    child = reading.reader.successor()
    reading.reader.release()
    reading.reader._settling.acquire()  # by a thread that the child does not have
    reading.provider.remove_metric_reader(reading.reader)
    reading.provider.add_metric_reader(child)
    asked.add(1)
    assert child.flush(BOUND)
    assert len(reading.exporters) == 2
    assert reading.exporters[1].exports == [{("service", "asked"): 1}]
    assert (reading.account.delivered, reading.exporters[0].exports) == (1, [])


def test_a_fork_waits_for_a_collection(reading: Reading) -> None:
    """As long as metrics are collected no fork may happen; while they are exported it may."""
    collecting, may_end = threading.Event(), threading.Event()

    def slow(_: CallbackOptions) -> list[Observation]:
        collecting.set()
        assert may_end.wait(BOUND)
        return []

    reading.exporters[0].may_end.clear()
    meter = reading.provider.get_meter("service")
    meter.create_observable_gauge("left", [slow])
    meter.create_counter("asked").add(1)
    turn = reading.reader.worker.ask()
    assert collecting.wait(BOUND)
    assert not reading.reader._collecting.acquire(blocking=False)
    may_end.set()
    assert reading.exporters[0].came.acquire(timeout=BOUND)
    assert reading.reader.hold()
    reading.reader.release()
    reading.exporters[0].may_end.set()
    assert reading.reader.worker.has_done(turn, BOUND)
