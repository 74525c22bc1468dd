"""A receiver of OTLP over HTTP that is not ours: the standard library's server, the protocol's messages, and exemplars.

The processes that send to it run one service each, so that the last value of a series is the value of that service.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

from tests.integration.telemetry.loopback import listening

Labels = frozenset[tuple[str, str | bool | int | float]]


@dataclass(frozen=True, slots=True)
class Span:
    """One exported span; ids in hex, times in Unix nanoseconds."""

    scope: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        """How long it lasted by the wall clock."""
        return (self.end - self.start) / 1e9


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One measurement that a histogram kept; ids in hex, empty where it has none."""

    trace_id: str
    span_id: str
    value: float


@dataclass(frozen=True, slots=True)
class Point:
    """One series at one export: the value of a number, or the count of a histogram with what else it has."""

    value: float
    bounds: Sequence[float] = ()
    buckets: Sequence[int] = ()
    exemplars: Sequence[Exemplar] = ()

    def bucket_of(self, value: float) -> int:
        """Return the bucket that a value belongs to: the first whose bound is not below it."""
        return sum(1 for bound in self.bounds if bound < value)


Export = Mapping[str, Mapping[Labels, Point]]


class Sink:
    """What came in, in order."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[tuple[str, bytes]] = []

    @cached_property
    def spans(self) -> list[Span]:
        """All spans; to be asked for when the program has ended, for they are decoded once."""
        requests = [ExportTraceServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/traces"]
        return [span for request in requests for span in _spans(request)]

    @cached_property
    def exports(self) -> list[Export]:
        """The metrics of each export; as ``spans``."""
        requests = [ExportMetricsServiceRequest.FromString(body) for path, body in self.bodies if path == "/v1/metrics"]
        return [_export(request) for request in requests]

    def last(self, metric: str) -> dict[Labels, Point]:
        """Return the last point of each series of a metric."""
        return {labels: point for export in self.exports for labels, point in export.get(metric, {}).items()}

    def numbers(self, metric: str) -> dict[Labels, float]:
        """Return the last value of each series, without those that stand at 0."""
        return {labels: point.value for labels, point in self.last(metric).items() if point.value}

    def metrics(self) -> set[str]:
        """Return the names of all metrics that came."""
        return {name for export in self.exports for name in export}

    def most_sets(self) -> dict[str, int]:
        """Return the most series that one export had of each metric."""
        return {name: max(len(export.get(name, ())) for export in self.exports) for name in self.metrics()}

    def falls(self, metric: str) -> list[tuple[Labels, float, float]]:
        """Return the series of a cumulative metric that went down between two exports."""
        return [
            (labels, before[metric][labels].value, point.value)
            for before, after in pairwise(self.exports)
            for labels, point in after.get(metric, {}).items()
            if labels in before.get(metric, {}) and before[metric][labels].value > point.value
        ]


@contextmanager
def receiving() -> Iterator[Sink]:
    """Receive on a free port of the loopback."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        """Takes every POST, and says that all of it was taken."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the standard library's name for it
            """Keep the body, answer with an empty message."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            sink.bodies.append((self.path, body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as url:
        sink.url = url
        yield sink


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(scope.scope.name, span)


def _span(scope: str, span: SpanMessage) -> Span:
    return Span(
        scope,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        dict(_plain(span.attributes)),
    )


def _export(request: ExportMetricsServiceRequest) -> Export:
    return {
        metric.name: dict(_points(metric))
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def _points(metric: Metric) -> Iterator[tuple[Labels, Point]]:
    for number in (*metric.sum.data_points, *metric.gauge.data_points):
        value = number.as_int if number.HasField("as_int") else number.as_double
        yield frozenset(_plain(number.attributes)), Point(value)
    for counts in metric.histogram.data_points:
        exemplars = [
            Exemplar(exemplar.trace_id.hex(), exemplar.span_id.hex(), exemplar.as_double)
            for exemplar in counts.exemplars
        ]
        yield (
            frozenset(_plain(counts.attributes)),
            Point(counts.count, list(counts.explicit_bounds), list(counts.bucket_counts), exemplars),
        )


def _plain(attributes: Iterable[KeyValue]) -> Iterator[tuple[str, Any]]:
    for item in attributes:
        kind = item.value.WhichOneof("value")
        yield item.key, None if kind is None else getattr(item.value, kind)
