"""Histogram records on their way to the SDK: in batches, a quarter of a second late at most, none lost or mixed up."""

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter, NoOpMeter
from opentelemetry.trace import INVALID_SPAN, Span, get_current_span

from buoy import contract
from buoy.telemetry.pending import Deferred, DeferredTimer, Pending
from buoy.telemetry.slots import Slot
from tests.support import virtual_time
from tests.support.telemetry import Observed

CALL = ((contract.PROVIDER, "shop"),)


class Recording(Histogram):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Span]] = []

    def record(self, amount: float, attributes: Any = None, context: Context | None = None) -> None:
        """Keep it."""
        del attributes
        self.taken.append((amount, get_current_span(context)))


class Foreign(NoOpMeter):
    """A meter with one histogram; without, it cannot make any."""

    def __init__(self, histogram: Histogram | None) -> None:
        super().__init__("foreign")
        self._histogram = histogram

    def create_histogram(self, *_: Any, **__: Any) -> Histogram:
        """Return the one given."""
        if self._histogram is None:
            raise LookupError
        return self._histogram


def _timer(loop: asyncio.AbstractEventLoop, histogram: Histogram, folded: Slot | None = None) -> DeferredTimer:
    return Deferred(Foreign(histogram)).timer(loop, contract.CALL_DURATION, CALL, folded)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give the test a loop that does not run."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_record_waits_a_quarter_of_a_second_at_most(observed: Observed) -> None:
    """The first record starts the clock; with it go all that came meanwhile, in order, each with its own span."""
    span = observed.tracer.start_span("call")

    async def scenario() -> None:
        histogram = Recording()
        timer = _timer(asyncio.get_running_loop(), histogram)
        for moment in range(2):
            timer.record(1.0, span)
            await asyncio.sleep(0.24)
            timer.record(2.0, None)
            assert len(histogram.taken) == 2 * moment
            await asyncio.sleep(0.02)
            assert histogram.taken[2 * moment :] == [(1.0, span), (2.0, INVALID_SPAN)]

    virtual_time.run(scenario())


def test_a_full_batch_goes_at_once() -> None:
    """Thirty-two records do not wait for the clock."""

    async def scenario() -> None:
        histogram = Recording()
        durations = Deferred(Foreign(histogram))
        timer = durations.timer(asyncio.get_running_loop(), contract.CALL_DURATION, CALL, None)
        for number in range(33):
            timer.record(float(number), None)
        assert [float(number) for number in range(32)] == [seconds for seconds, _ in histogram.taken]
        durations.flush()
        assert len(histogram.taken) == 33

    virtual_time.run(scenario())


def test_another_thread_may_be_faster(monkeypatch: pytest.MonkeyPatch, loop: asyncio.AbstractEventLoop) -> None:
    """A flush that finds the last record taken by another thread ends in peace."""

    class Emptied(deque[Any]):
        """Looks full, and is empty when one takes: another thread was between."""

        def __bool__(self) -> bool:
            return True

    pending = Pending(loop)
    monkeypatch.setattr(Pending, "_records", Emptied())
    pending.flush()


def test_exemplars_are_those_of_the_call(observed: Observed, loop: asyncio.AbstractEventLoop) -> None:
    """A record handed over late leads to its own span, ended as that is, and not to the one current by then."""
    durations = observed.scope.registry.durations
    timer = durations.timer(loop, contract.CALL_DURATION, CALL, None)
    mine = observed.tracer.start_span("mine")
    timer.record(0.03, mine)
    mine.end()
    timer.record(0.3, None)
    with observed.tracer.start_as_current_span("foreign"):
        durations.flush()
    (point,) = observed.points(contract.CALL_DURATION.name)
    context = mine.get_span_context()
    assert [(0.03, context.trace_id, context.span_id)] == [
        (example.value, example.trace_id, example.span_id) for example in point.exemplars
    ]
    assert point.count == 2


def test_what_a_closed_loop_left_behind_is_handed_over(observed: Observed) -> None:
    """The next loop's first timer hands over the records of loops that are gone, and lets go of them."""
    durations = observed.scope.registry.durations
    assert isinstance(durations, Deferred)
    gone, present = asyncio.new_event_loop(), asyncio.new_event_loop()
    durations.timer(gone, contract.CALL_DURATION, CALL, None).record(1.0, None)
    gone.close()
    durations.retire(gone)
    durations.timer(present, contract.CALL_DURATION, CALL, None)
    (point,) = (
        point
        for resource in getattr(observed.reader.get_metrics_data(), "resource_metrics", [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == contract.CALL_DURATION.name
        for point in metric.data.data_points
    )
    assert point.count == 1
    assert list(durations._pending) == [present]
    present.close()


def test_what_is_folded_is_counted(loop: asyncio.AbstractEventLoop) -> None:
    """Each record that lands in a folded attribute set counts as an overflow, whether it is kept or not."""
    folded = Slot()
    timer = _timer(loop, Recording(), folded)
    timer.record(1.0, None)
    timer.record(1.0, None)
    assert folded.value == 2


class Broken(Histogram):
    """Raises."""

    def __init__(self) -> None:
        self.asked = 0

    def record(self, *_: Any, **__: Any) -> None:
        """Raise."""
        self.asked += 1
        raise LookupError


def _record_all(meter: Meter, loop: asyncio.AbstractEventLoop) -> list[type[Exception]]:
    told: list[type[Exception]] = []
    durations = Deferred(meter, lambda error: told.append(type(error)))
    for metric in (contract.CALL_DURATION, contract.ATTEMPT_DURATION):
        timer = durations.timer(loop, metric, CALL, None)
        for _ in range(40):
            timer.record(1.0, None)
    durations.flush()
    return told


def test_a_histogram_that_raises_is_used_no_more(loop: asyncio.AbstractEventLoop) -> None:
    """It is asked once, which is told; the other histograms go on."""
    broken = Broken()
    assert _record_all(Foreign(broken), loop) == [LookupError] * 2
    assert broken.asked == 2


def test_a_histogram_that_cannot_be_made_is_missed_by_nobody(loop: asyncio.AbstractEventLoop) -> None:
    """A meter that raises is told of, and timers without a histogram record in peace."""
    histograms = [metric for metric in contract.METRICS if metric.instrument is contract.Instrument.HISTOGRAM]
    assert _record_all(Foreign(None), loop) == [LookupError] * len(histograms)
