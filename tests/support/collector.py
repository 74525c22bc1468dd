"""An OTLP http/protobuf receiver that can be told how to behave: to refuse, to hold back, to reject, to be away.

What it answers with 2xx it has taken, and decodes; everything else it forgets. Its connections are kept alive, as those
of a real one are: two processes that share one by a fork would be noticed.
"""

import gzip
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.servers import bound

BOUND = 60.0  # seconds; where a broken test stops waiting

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


class Answer(NamedTuple):
    """What is said to one export. ``rejected`` is a ``partial_success``: so many items of it are not taken."""

    status: int = 200
    rejected: int = 0
    headers: tuple[tuple[str, str], ...] = ()


OK = Answer()


class Span(NamedTuple):
    """A span that was taken."""

    instance: str
    name: str
    attributes: dict[str, Any]


class Point(NamedTuple):
    """A data point that was taken: the value of a sum or gauge, or how many records a histogram has."""

    instance: str
    metric: str
    attributes: dict[str, Any]
    value: float


class LogRecord(NamedTuple):
    """A log record that was taken."""

    instance: str
    body: str
    attributes: dict[str, Any]


# From the signal and how many requests of it came before to what is answered.
Says = Callable[[str, int], Answer]


class Collector:
    """A receiver on a port of its own. ``says`` decides on each request; by default all is taken."""

    def __init__(self) -> None:
        self.says: Says = lambda _signal, _before: OK
        self.spans: list[Span] = []
        self.points: list[Point] = []
        self.logs: list[LogRecord] = []
        self.arrived: Counter[str] = Counter()  # requests, by signal
        self._resources: dict[str, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._held: set[str] = set()
        self._waiting: Counter[str] = Counter()
        self._closing = False
        # This socket never listens: it keeps the port while the receiver is away.
        self._guard = bound()
        self.port: int = self._guard.getsockname()[1]
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    # How it behaves.

    def listen(self) -> None:
        """Come up, or up again."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def refuse(self) -> None:
        """Go away: hang up on everybody, and refuse who comes."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self._changed:
            connections, self._connections = self._connections, set()
        for connection in connections:
            _hang_up(connection)

    def hold(self, *signals: str) -> None:
        """Answer no more requests of these signals until :meth:`release`."""
        with self._changed:
            self._held.update(signals)

    def release(self) -> None:
        """Answer whoever waits, and whoever comes."""
        with self._changed:
            self._held.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Go away for good; who still waits gets no answer, and what it sent is not taken."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.refuse()
        self._guard.close()

    # What came.

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, which is asked anew whenever a request has come or was answered."""
        with self._changed:
            if not self._changed.wait_for(condition, BOUND):
                msg = f"never came; arrived so far: {dict(self.arrived)}"
                raise AssertionError(msg)

    def holds(self, signal: str) -> bool:
        """Tell whether a request of that signal waits for its answer."""
        return self._waiting[signal] > 0

    @property
    def instances(self) -> set[str]:
        """Every ``service.instance.id`` that something was taken from."""
        return {item.instance for items in (self.spans, self.points, self.logs) for item in items}

    def resource(self, instance: str) -> dict[str, Any]:
        """Return the resource attributes of an instance."""
        return self._resources[instance]

    def last(self, instance: str, metric: str) -> dict[tuple[tuple[str, Any], ...], float]:
        """Return the final value of each attribute set of a metric of one instance."""
        found = [point for point in self.points if (point.instance, point.metric) == (instance, metric)]
        return {tuple(sorted(point.attributes.items())): point.value for point in found}

    def by(self, instance: str, metric: str, *names: str) -> dict[Any, float]:
        """Return the final values of one instance, summed by some attributes; sums of 0 are left out."""
        sums: Counter[Any] = Counter()
        for point, value in self.last(instance, metric).items():
            key = tuple(dict(point).get(name) for name in names)
            sums[key if len(names) > 1 else key[0]] += value  # type: ignore[assignment]  # typeshed knows int only
        return {key: value for key, value in sums.items() if value}

    # One request.

    def serve(self, signal: str, body: bytes) -> tuple[Answer, bytes] | None:
        """Return the answer and its body; ``None`` where the receiver went away before there was one."""
        with self._changed:
            before = self.arrived[signal]
            self.arrived[signal] += 1
            self._waiting[signal] += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing or signal not in self._held)
            self._waiting[signal] -= 1
            if self._closing:
                return None
            answer = self.says(signal, before)
            if answer.status < 300:
                self._take(REQUESTS[signal].FromString(body), answer.rejected)
            self._changed.notify_all()
        return answer, _said(signal, answer.rejected)

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection."""
        with self._changed:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._changed:
            self._connections.discard(connection)

    def _take(self, request: Any, rejected: int) -> None:
        spans, points, logs = _spans(self._resources, request), _points(self._resources, request), []
        if isinstance(request, ExportLogsServiceRequest):
            logs = _logs(self._resources, request)
        for kept, came in ((self.spans, spans), (self.points, points), (self.logs, logs)):
            kept.extend(came[: len(came) - rejected] if came else [])


def _spans(resources: dict[str, dict[str, Any]], request: Any) -> list[Any]:
    return [
        Span(_instance(resources, group), span.name, _plain(span.attributes))
        for group in (request.resource_spans if isinstance(request, ExportTraceServiceRequest) else ())
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _points(resources: dict[str, dict[str, Any]], request: Any) -> list[Any]:
    found = []
    for group in request.resource_metrics if isinstance(request, ExportMetricsServiceRequest) else ():
        for metric in (metric for scope in group.scope_metrics for metric in scope.metrics):
            instance = _instance(resources, group)
            data = getattr(metric, metric.WhichOneof("data") or "sum")
            for point in data.data_points:
                value = point.count if hasattr(point, "count") else point.as_int or point.as_double
                found.append(Point(instance, metric.name, _plain(point.attributes), value))
    return found


def _logs(resources: dict[str, dict[str, Any]], request: Any) -> list[Any]:
    return [
        LogRecord(_instance(resources, group), record.event_name or record.body.string_value, _plain(record.attributes))
        for group in request.resource_logs
        for scope in group.scope_logs
        for record in scope.log_records
    ]


def _instance(resources: dict[str, dict[str, Any]], group: Any) -> str:
    attributes = _plain(group.resource.attributes)
    instance = str(attributes.get("service.instance.id", ""))
    resources[instance] = attributes
    return instance


def _plain(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value") or "string_value") for item in attributes}


def _said(signal: str, rejected: int) -> bytes:
    """Return the body of a successful answer."""
    said: Any
    if signal == "traces":
        said = ExportTraceServiceResponse()
        field = "rejected_spans"
    elif signal == "metrics":
        said = ExportMetricsServiceResponse()
        field = "rejected_data_points"
    else:
        said = ExportLogsServiceResponse()
        field = "rejected_log_records"
    if rejected:
        setattr(said.partial_success, field, rejected)
    data: bytes = said.SerializeToString()
    return data


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # it has left already
        connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that break: clients may end at any time."""


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            collector.opened(self.connection)

        def finish(self) -> None:
            collector.closed(self.connection)
            super().finish()

        def do_POST(self) -> None:  # the standard library's name for it
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            served = collector.serve(self.path.rpartition("/")[2], body)
            if served is None:
                self.close_connection = True
                return
            answer, said = served
            said = said if answer.status < 300 else b""
            self.send_response(answer.status)
            for name, value in (("Content-Type", "application/x-protobuf"), *answer.headers):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def collecting(*, up: bool = True) -> Iterator[Collector]:
    """Receive on a free port of the loopback; with ``up=False`` whoever connects is refused until it listens."""
    collector = Collector()
    if up:
        collector.listen()
    try:
        yield collector
    finally:
        collector.close()
