"""A receiver of OTLP over HTTP that is not ours: the standard library's server, and the protocol's own messages."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received:
    """What came in, by signal, in order; ``headers`` of each request too."""

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._traces: list[ExportTraceServiceRequest] = []
        self._metrics: list[ExportMetricsServiceRequest] = []
        self._logs: list[ExportLogsServiceRequest] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Decode one request."""
        self.paths.append(path)
        self.headers.append(headers)
        if path.endswith("/v1/traces"):
            self._traces.append(ExportTraceServiceRequest.FromString(body))
        elif path.endswith("/v1/logs"):
            self._logs.append(ExportLogsServiceRequest.FromString(body))
        else:
            self._metrics.append(ExportMetricsServiceRequest.FromString(body))

    def spans(self) -> list[str]:
        """Return the names of all spans."""
        return [
            span.name
            for request in self._traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self) -> list[Any]:
        """Return all log records."""
        return [
            record
            for request in self._logs
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def resources(self) -> list[dict[str, str]]:
        """Return who sent them, by request."""
        groups: list[Any] = [group for request in self._traces for group in request.resource_spans]
        groups += [group for request in self._metrics for group in request.resource_metrics]
        return [{item.key: item.value.string_value for item in group.resource.attributes} for group in groups]

    def values(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the last value of each attribute set of a metric; of a histogram, the number of its records."""
        found: dict[tuple[tuple[str, str], ...], float] = {}
        for request in self._metrics:
            for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
                if metric.name == name:
                    points: Any = metric.sum.data_points or metric.histogram.data_points
                    for point in points:
                        key = tuple(sorted((item.key, item.value.string_value) for item in point.attributes))
                        found[key] = point.count if metric.histogram.data_points else point.as_int
        return found


@contextmanager
def receiving() -> Iterator[Received]:
    """Receive on a free port of the loopback."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        """Takes every POST."""

        def do_POST(self) -> None:  # the standard library's name for it
            """Decode the body and answer with an empty message, which means success."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
