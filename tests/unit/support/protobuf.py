"""OTLP by hand: plain values into the messages of an export, and back. Knows nothing of calls."""

from collections.abc import Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

BEGIN = 1_800_000_000_000_000_000
SCOPE = InstrumentationScope(name="buoy", version="0")
Value = str | int | float | bool
Labels = tuple[tuple[str, str | bool], ...]
Key = tuple[str, Labels]


def key(metric: str, what: Mapping[str, str | bool]) -> Key:
    """Return the key of a series."""
    return metric, tuple(sorted(what.items()))


def traces(spans: list[Span]) -> ExportTraceServiceRequest:
    """Return an export of spans."""
    scope = ScopeSpans(scope=SCOPE, spans=spans)
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[scope])])


def metrics(
    counters: Mapping[Key, int], histograms: Mapping[Key, tuple[int, float]], gauges: Mapping[Key, int], *, at: int
) -> ExportMetricsServiceRequest:
    """Return an export of metrics; of a histogram there are its count and its sum."""
    made = [_sum(series, value, at, counts=True) for series, value in counters.items()]
    made += [_sum(series, value, at, counts=False) for series, value in gauges.items()]
    made += [_histogram(series, *values, at) for series, values in histograms.items()]
    scope = ScopeMetrics(scope=SCOPE, metrics=made)
    return ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[scope])])


def _sum(series: Key, value: int, at: int, *, counts: bool) -> Metric:
    name, labels = series
    point = NumberDataPoint(as_int=value, attributes=pairs(dict(labels)), time_unix_nano=at)
    point.start_time_unix_nano = BEGIN
    cumulative = AGGREGATION_TEMPORALITY_CUMULATIVE
    return Metric(name=name, sum=Sum(data_points=[point], aggregation_temporality=cumulative, is_monotonic=counts))


def _histogram(series: Key, count: int, total: float, at: int) -> Metric:
    name, labels = series
    point = HistogramDataPoint(count=count, sum=total, attributes=pairs(dict(labels)), time_unix_nano=at)
    point.start_time_unix_nano = BEGIN
    cumulative = AGGREGATION_TEMPORALITY_CUMULATIVE
    return Metric(name=name, histogram=Histogram(data_points=[point], aggregation_temporality=cumulative))


def attributes_of(owner: Span | Span.Event) -> dict[str, Value]:
    """Return the attributes of a span or an event as plain values."""
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in owner.attributes}


def put(owner: Span | Span.Event, **attributes: Value | None) -> None:
    """Replace attributes of a span or an event (``__`` for a dot); ``None`` takes one away."""
    kept = attributes_of(owner)
    for name, value in attributes.items():
        kept.pop(name.replace("__", "."), None)
        if value is not None:
            kept[name.replace("__", ".")] = value
    del owner.attributes[:]
    owner.attributes.extend(pairs(kept))


def pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    """Return plain values as attributes."""
    return [KeyValue(key=name, value=_any(value)) for name, value in attributes.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)
