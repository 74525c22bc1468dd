"""What the SDK said: the raw OTLP requests, decoded into spans, and metrics as they stood at each export."""

import base64
import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

SCOPE = "buoy"
GZIP = b"\x1f\x8b"
# What the demo's credentials, keys and cookies begin with.
SECRET = b"demo-secret"

Value = str | int | float | bool
Key = tuple[str, str]  # trace id and span id, in hex


class SpanEvent(NamedTuple):
    """Something that happened within a span, at ``time`` in Unix nanoseconds."""

    name: str
    time: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One exported span; times are Unix nanoseconds, status is UNSET, OK or ERROR."""

    scope: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    remote_parent: bool
    start: int
    end: int
    status: str
    attributes: Mapping[str, Value]
    events: tuple[SpanEvent, ...] = ()
    links: tuple[Key, ...] = ()

    @property
    def key(self) -> Key:
        """The identity of the span."""
        return self.trace_id, self.span_id

    @property
    def error_type(self) -> str | None:
        """What went wrong, if anything."""
        return self.text("error.type")

    def text(self, name: str) -> str | None:
        """Return a string attribute; ``None`` where it is absent or something else."""
        value = self.attributes.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> int | None:
        """Return an integer attribute; ``None`` where it is absent or something else."""
        value = self.attributes.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def seconds(self, name: str) -> float:
        """Return a number of seconds; 0 where it is absent."""
        value = self.attributes.get(name)
        return value if isinstance(value, float) else 0.0

    def told(self, event: str) -> list[SpanEvent]:
        """Return the events of that name."""
        return [told for told in self.events if told.name == event]

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return (self.end - self.start) / 1e9

    def __str__(self) -> str:
        """Name the span so that it can be found."""
        return f"span {self.name!r} {self.trace_id}/{self.span_id}"


class Point(NamedTuple):
    """A value of one series: the value of a sum or a gauge, or the count of a histogram and the sum of what it saw."""

    labels: Mapping[str, Value]
    value: int
    total: float = 0.0


Readings = Mapping[str, list[Point]]


@dataclass(slots=True)
class Exported:
    """All that was exported. ``metrics`` are the last values of all series, ``exports`` the values of each export."""

    spans: list[Span] = field(default_factory=list)
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    exports: list[Readings] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Series(NamedTuple):
    # The resource and the start time are part of it: a process that starts again counts from 0 again.
    resource: bytes
    metric: str
    labels: frozenset[tuple[str, Value]]
    start: int


class _Sample(NamedTuple):
    time: int
    value: int
    total: float
    may_fall: bool

    def at(self, series: _Series) -> Point:
        """Return it as a point of its series."""
        return Point(dict(series.labels), self.value, self.total)


def load(path: Path) -> Exported:
    """Read and decode everything the receiver kept."""
    exported = Exported()
    samples: defaultdict[_Series, list[_Sample]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        body = base64.b64decode(record["body"])
        if body.startswith(GZIP):
            body = gzip.decompress(body)
        if SECRET in body:
            exported.problems.append(f"{record['signal']} carry what begins with {SECRET.decode()}")
        if record["signal"] == "traces":
            exported.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif record["signal"] == "metrics":
            readings: defaultdict[str, list[Point]] = defaultdict(list)
            for series, sample in _samples(ExportMetricsServiceRequest.FromString(body), exported):
                samples[series].append(sample)
                readings[series.metric].append(sample.at(series))
            exported.exports.append(readings)
    for series, values in samples.items():
        values.sort(key=lambda sample: sample.time)
        exported.problems += _falls(series, values)
        exported.metrics.setdefault(series.metric, []).append(values[-1].at(series))
    return exported


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    scope=scope.scope.name,
                    name=span.name,
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    remote_parent=bool(span.flags & trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    attributes=dict(_plain(span.attributes)),
                    events=tuple(
                        SpanEvent(event.name, event.time_unix_nano, dict(_plain(event.attributes)))
                        for event in span.events
                    ),
                    links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                )


def _samples(request: ExportMetricsServiceRequest, exported: Exported) -> Iterator[tuple[_Series, _Sample]]:
    for resource in request.resource_metrics:
        origin = resource.resource.SerializeToString(deterministic=True)
        for scope in resource.scope_metrics:
            for metric in scope.metrics if scope.scope.name == SCOPE else ():
                if _is_delta(metric):
                    exported.problems.append(f"metric {metric.name} is not cumulative")
                yield from _samples_of(metric, origin)


def _samples_of(metric: metrics_pb2.Metric, origin: bytes) -> Iterator[tuple[_Series, _Sample]]:
    falls = metric.HasField("gauge") or (metric.HasField("sum") and not metric.sum.is_monotonic)
    for numbers in (metric.sum.data_points, metric.gauge.data_points):
        for point in numbers:
            value = point.as_int if point.HasField("as_int") else round(point.as_double)
            yield (
                _Series(origin, metric.name, frozenset(_plain(point.attributes)), point.start_time_unix_nano),
                _Sample(point.time_unix_nano, value, 0.0, falls),
            )
    for counts in (metric.histogram.data_points, metric.exponential_histogram.data_points):
        for count in counts:
            yield (
                _Series(origin, metric.name, frozenset(_plain(count.attributes)), count.start_time_unix_nano),
                _Sample(count.time_unix_nano, count.count, count.sum, may_fall=False),
            )


def _is_delta(metric: metrics_pb2.Metric) -> bool:
    kind = metric.WhichOneof("data")
    if kind not in ("sum", "histogram", "exponential_histogram"):
        return False
    temporality = getattr(metric, kind).aggregation_temporality
    return bool(temporality != metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE)


def _falls(series: _Series, samples: list[_Sample]) -> Iterator[str]:
    for before, after in pairwise(samples):
        if after.value < before.value and not after.may_fall:
            labels = " ".join(f"{name}={value}" for name, value in sorted(series.labels))
            yield f"metric {series.metric} {{{labels}}} fell from {before.value} to {after.value}"


def _plain(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, Value]]:
    for item in attributes:
        yield item.key, _value(item.value)


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    if kind in ("string_value", "bool_value", "int_value", "double_value"):
        plain: Value = getattr(value, kind)
        return plain
    return str(value)
