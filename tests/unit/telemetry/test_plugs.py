"""Foreign parts of telemetry that raise: no call notices, each is used no more and reported once, counters go on."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.metrics import Meter, NoOpMeter
from opentelemetry.sdk.metrics import ExemplarFilter, ExemplarReservoir, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, NoOpTracer, Span, SpanContext, SpanKind, TraceFlags, Tracer

import buoy
from buoy import contract
from buoy.telemetry import logs as log_module
from buoy.telemetry import scope
from buoy.telemetry.light import LightTracer
from buoy.telemetry.scope import Scope
from tests.support.peer import Peer, answer
from tests.support.telemetry import Logs, logs
from tests.unit.telemetry.doubles import Ended
from tests.unit.telemetry.shop import Shop, failing

REMOTE = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))


class Broken(RuntimeError):
    """What foreign parts raise here."""


def _raise(*_: Any, **__: Any) -> Any:
    raise Broken


class BrokenSampler(Sampler):
    """Raises when asked."""

    should_sample = _raise

    def get_description(self) -> str:
        """Say what it is."""
        return "broken"


class BrokenIds(RandomIdGenerator):
    """Has no ids for spans."""

    generate_span_id = _raise


class BrokenAtStart(SpanProcessor):
    """Cannot stand spans that begin."""

    on_start = _raise


class BrokenAtStartOfSends(SpanProcessor):
    """Cannot stand attempts that begin."""

    def on_start(self, span: Any, parent_context: otel.Context | None = None) -> None:
        """Raise for all but calls."""
        del parent_context
        if span.kind is SpanKind.CLIENT:
            raise Broken


class BrokenAtEnd(SpanProcessor):
    """Cannot stand spans that end."""

    on_end = _raise


class BrokenBeforeEnd(SpanProcessor):
    """Cannot stand spans that are about to end."""

    _on_ending = _raise


def _provider(
    processor: SpanProcessor, sampler: Sampler = DEFAULT_ON, ids: RandomIdGenerator | None = None
) -> tuple[TracerProvider, SynchronousMultiSpanProcessor]:
    several = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    several.add_span_processor(processor)
    return (
        TracerProvider(sampler, shutdown_on_exit=False, active_span_processor=several, id_generator=ids),
        several,
    )


BROKEN_TRACES: dict[str, Callable[[], tuple[TracerProvider, SynchronousMultiSpanProcessor]]] = {
    "sampler": lambda: _provider(Ended(), BrokenSampler()),
    "id generator": lambda: _provider(Ended(), ALWAYS_ON, BrokenIds()),
    "processor at the start": lambda: _provider(BrokenAtStart()),
    "processor at the start of sends": lambda: _provider(BrokenAtStartOfSends()),
    "processor at the end": lambda: _provider(BrokenAtEnd()),
    "processor before the end": lambda: _provider(BrokenBeforeEnd()),
}


def _tracer(broken: tuple[TracerProvider, SynchronousMultiSpanProcessor], *, light: bool) -> Tracer:
    provider, several = broken
    if light:
        return LightTracer(provider, several, InstrumentationScope(contract.SCOPE))
    return provider.get_tracer(contract.SCOPE)


class BrokenTracer(Tracer):
    """A tracer of somebody else, which counts how often it is asked."""

    asked = 0

    def start_span(self, *_: Any, **__: Any) -> Any:
        """Raise."""
        self.asked += 1
        raise Broken

    start_as_current_span = _raise


class BrokenFilter(ExemplarFilter):
    """Raises when asked."""

    should_sample = _raise


class BrokenReservoir(ExemplarReservoir):
    """Raises when offered something."""

    offer = _raise

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def collect(self, point_attributes: Any) -> list[Any]:
        """Return nothing."""
        del point_attributes
        return []


class BrokenMeter(NoOpMeter):
    """Makes nothing."""

    create_histogram = create_observable_counter = create_observable_gauge = _raise
    create_observable_up_down_counter = _raise


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    """Let the test see Buoy's errors, also those that say the same as one before."""
    monkeypatch.setattr(log_module, "INTERVAL", -1.0)
    with logs(logging.ERROR) as records:
        yield records


@pytest.fixture
def reader() -> InMemoryMetricReader:
    """Give the test a reader of metrics."""
    return InMemoryMetricReader()


def _reported(seen: Logs) -> list[tuple[str, str]]:
    return [
        (vars(record)[contract.SIGNAL], vars(record)[contract.EXCEPTION_TYPE]) for record in seen.of(contract.UNPLUGGED)
    ]


def _counted(reader: InMemoryMetricReader) -> float:
    data = reader.get_metrics_data()
    return sum(
        point.value
        for resource in ([] if data is None else data.resource_metrics)
        for told in resource.scope_metrics
        for metric in told.metrics
        if metric.name == contract.CALLS.name
        for point in metric.data.data_points
        if hasattr(point, "value")
    )


def _meter(reader: InMemoryMetricReader) -> Meter:
    return MeterProvider([reader], shutdown_on_exit=False).get_meter(contract.SCOPE)


def _plug(monkeypatch: pytest.MonkeyPatch, tracer: Tracer, meter: Meter) -> None:
    monkeypatch.setattr(scope, "_present", Scope(tracer, meter))


async def _call_in_every_way(name: str) -> list[str | None]:
    """Call below a remote parent, with success, retries and failure; return the trace ids that the peer heard."""
    token = otel.attach(trace.set_span_in_context(NonRecordingSpan(REMOTE)))
    try:
        async with (
            Peer(answer(), answer(503), answer(), *[answer(404)] * 2) as peer,
            Shop(name, base_url=peer.url) as shop,
        ):
            await shop.item(id="1")
            await shop.item(id="1")
            assert isinstance(await failing(shop.item(id="1")), buoy.HttpError)
            assert isinstance(await failing(shop.tell(json={})), buoy.HttpError)
            return [request.headers.get("traceparent", "-")[3:35] for request in peer.heard]
    finally:
        otel.detach(token)


@pytest.mark.parametrize("broken", BROKEN_TRACES.values(), ids=BROKEN_TRACES)
@pytest.mark.parametrize("light", [False, True], ids=["stock", "light"])
async def test_spans_that_raise(
    broken: Callable[[], tuple[TracerProvider, SynchronousMultiSpanProcessor]],
    seen: Logs,
    reader: InMemoryMetricReader,
    monkeypatch: pytest.MonkeyPatch,
    *,
    light: bool,
) -> None:
    """Calls go on in the caller's trace, all are counted, and one log for all of them says what was unplugged."""
    _plug(
        monkeypatch,
        _tracer(broken(), light=light),
        _meter(reader),
    )
    for name in ("shop", "another"):
        heard = await _call_in_every_way(name)
        assert heard == [f"{0xABC:032x}"] * 5
    assert _reported(seen) == [("span", "Broken")]
    assert _counted(reader) == 8


async def test_a_tracer_that_raises(seen: Logs, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer of whatever make is treated the same, and asked once."""
    tracer = BrokenTracer()
    _plug(monkeypatch, tracer, _meter(reader))
    for name in ("shop", "another"):
        assert await _call_in_every_way(name) == [f"{0xABC:032x}"] * 5
    assert _reported(seen) == [("span", "Broken")]
    assert tracer.asked == 1
    assert _counted(reader) == 8


class BrokenParent(Span):
    """A current span of somebody else that raises at everything."""

    get_span_context = is_recording = end = set_attributes = set_attribute = _raise
    add_event = update_name = set_status = record_exception = _raise


async def test_a_current_span_that_raises(
    seen: Logs, reader: InMemoryMetricReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a span that raises calls have no trace, and that is all."""
    _plug(monkeypatch, NoOpTracer(), _meter(reader))
    token = otel.attach(trace.set_span_in_context(BrokenParent()))
    try:
        async with Peer() as peer, Shop(base_url=peer.url) as shop:
            result = await shop.item.call(id="1")
    finally:
        otel.detach(token)
    assert result.meta.trace_id is None
    assert "traceparent" not in peer.heard[0].headers
    assert _reported(seen) == [("span", "Broken")]
    assert _counted(reader) == 1


BROKEN_METRICS: dict[str, Callable[[InMemoryMetricReader], MeterProvider]] = {
    "exemplar filter": lambda reader: MeterProvider([reader], exemplar_filter=BrokenFilter(), shutdown_on_exit=False),
    "view": lambda reader: _viewed(reader, _raise),
    "reservoir": lambda reader: _viewed(reader, lambda _: BrokenReservoir),
}


def _viewed(reader: InMemoryMetricReader, factory: Callable[..., Any]) -> MeterProvider:
    view = View(instrument_name="*.duration", exemplar_reservoir_factory=factory)
    return MeterProvider([reader], views=[view], shutdown_on_exit=False)


@pytest.mark.parametrize("broken", BROKEN_METRICS.values(), ids=BROKEN_METRICS)
async def test_histograms_that_raise(
    broken: Callable[[InMemoryMetricReader], MeterProvider],
    seen: Logs,
    reader: InMemoryMetricReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A histogram that raises is skipped and reported once; spans and counters go on."""
    ended = Ended()
    provider, _ = _provider(ended)
    _plug(monkeypatch, provider.get_tracer(contract.SCOPE), broken(reader).get_meter(contract.SCOPE))
    for name in ("shop", "another"):
        await _call_in_every_way(name)
        scope.flush()
    assert _reported(seen) == [("metric", "Broken")]
    assert len(ended.spans) == 18


async def test_a_meter_that_raises(seen: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no instrument can be made, that is reported once, and calls and spans go on."""
    ended = Ended()
    provider, _ = _provider(ended)
    _plug(monkeypatch, provider.get_tracer(contract.SCOPE), BrokenMeter("broken"))
    for name in ("shop", "another"):
        await _call_in_every_way(name)
    assert _reported(seen) == [("metric", "Broken")]
    assert len(ended.spans) == 18
