"""Sending, and the packing exporter, against a receiver that takes, takes in part, refuses, or is not there."""

import gzip
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext

from buoy.outcome import DropReason, Signal
from buoy.telemetry import exporting
from buoy.telemetry.exporting import PackingSpanExporter, Sender

OK = SpanExportResult.SUCCESS
BOUND = 10.0  # seconds after which a test gives up waiting for a thread

Answer = tuple[int, dict[str, str], bytes]


def _partial(rejected: int, message: str = "") -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


class Sink:
    """A receiver of OTLP that answers by a script, and with success when that has ended."""

    def __init__(self) -> None:
        self.url = ""
        self.script: deque[Answer] = deque()
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.answered = threading.Event()

    def take(self, headers: dict[str, str], body: bytes) -> Answer:
        """Keep the request and return what to answer."""
        self.headers.append(headers)
        self.bodies.append(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        return self.script.popleft() if self.script else (200, {}, b"")

    def names(self) -> list[list[str]]:
        """Return the names of the spans of each request."""
        return [
            [span.name for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]
            for request in map(ExportTraceServiceRequest.FromString, self.bodies)
        ]


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Receive on a free port of the loopback."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        """Takes every POST."""

        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # the standard library's name for it
            """Answer by the script."""
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = sink.take({k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()
            sink.answered.set()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()


class Exports(Sender[Sequence[ReadableSpan]]):
    """Sends spans to a URL, by the packing exporter."""

    def __init__(self, url: str | None = None, timeout: float = BOUND) -> None:
        super().__init__(
            Signal.SPAN, lambda session: PackingSpanExporter(endpoint=url, timeout=timeout, session=session)
        )


@pytest.fixture
def exports(sink: Sink) -> Iterator[Exports]:
    """Export to the sink."""
    exports = Exports(sink.url)
    yield exports
    exports.stop()


def _spans(*names: str) -> list[ReadableSpan]:
    who, ids = Resource({"service.name": "t"}), SpanContext(1, 2, is_remote=False)
    return [ReadableSpan(name, ids, resource=who, start_time=1, end_time=2) for name in names]


FAILED, PARTIAL, SHUTDOWN = DropReason.EXPORT_FAILED, DropReason.PARTIAL_SUCCESS, DropReason.SHUTDOWN
Losses = dict[DropReason, int]

ANSWERS: dict[str, tuple[list[Answer], Losses, int]] = {
    "ok": ([], {}, 1),
    "ok, nothing rejected": ([(200, {}, _partial(0, "be careful"))], {}, 1),
    "partly rejected": ([(200, {}, _partial(2, "bad names"))], {PARTIAL: 2}, 1),
    "more rejected than sent": ([(200, {}, _partial(1 << 40))], {PARTIAL: 3}, 1),
    "fewer than none rejected": ([(200, {}, _partial(-5))], {}, 1),
    "an answer that is none": ([(200, {}, b"\xff\xff<html>")], {}, 1),
    "400": ([(400, {}, b"")], {FAILED: 3}, 1),
    "400 with a body": ([(400, {}, _partial(2))], {FAILED: 3}, 1),
    "redirected": ([(302, {"Location": "/"}, b"")], {FAILED: 3}, 1),
    "503, then ok": ([(503, {"Retry-After": "0"}, b"")], {}, 2),
    "429, then partly rejected": ([(429, {"Retry-After": "0"}, b""), (200, {}, _partial(1))], {PARTIAL: 1}, 2),
    "503 for longer than there is time": ([(503, {"Retry-After": "3600"}, b"")], {FAILED: 3}, 1),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_answers(sink: Sink, exports: Exports, case: tuple[list[Answer], Losses, int]) -> None:
    """What the receiver answers decides the result, and every span that it did not take is told of once."""
    answers, losses, times = case
    sink.script.extend(answers)
    assert losses == dict(exports.send(_spans("a", "b", "c"), 3))
    assert sink.names() == [["a", "b", "c"]] * times


def test_a_loss_is_told_of_once(sink: Sink, exports: Exports) -> None:
    """The batches after one that was rejected in part have lost nothing, however success is said."""
    sink.script.extend([(200, {}, _partial(1)), (202, {}, b""), (200, {}, b"")])
    assert [dict(exports.send(_spans(name), 1)) for name in "abc"] == [{PARTIAL: 1}, {}, {}]


def test_nobody_listens() -> None:
    """A refused connection is a failed export of the whole batch."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        exports = Exports(f"http://127.0.0.1:{bound.getsockname()[1]}/v1/traces", timeout=0.5)
        assert dict(exports.send(_spans("a", "b"), 2)) == {FAILED: 2}
        exports.stop()


def test_shutdown_in_the_middle(sink: Sink, exports: Exports) -> None:
    """A shutdown ends the wait for a retry at once; this batch and later ones are told of."""
    sink.script.append((503, {"Retry-After": "9"}, b""))
    results: list[Losses] = []
    thread = threading.Thread(target=lambda: results.append(dict(exports.send(_spans("a", "b"), 2))), daemon=True)
    thread.start()
    assert sink.answered.wait(BOUND)
    exports.stop()
    thread.join(BOUND / 2)
    assert results == [{SHUTDOWN: 2}]
    assert dict(exports.send(_spans("c"), 1)) == {SHUTDOWN: 1}
    assert sink.names() == [["a", "b"]]


def test_what_is_given_up_is_not_tried_again(sink: Sink, exports: Exports) -> None:
    """An abort ends the wait for a retry at once; what is sent later goes by an exporter of its own."""
    sink.script.append((503, {"Retry-After": "9"}, b""))
    results: list[Losses] = []
    thread = threading.Thread(target=lambda: results.append(dict(exports.send(_spans("a", "b"), 2))), daemon=True)
    thread.start()
    assert sink.answered.wait(BOUND)
    exports.abort()
    thread.join(BOUND / 2)
    assert results == [{FAILED: 2}]
    assert exports.send(_spans("c"), 1) == {}
    assert sink.names() == [["a", "b"], ["c"]]


def test_spans_that_cannot_be_encoded(sink: Sink, exports: Exports, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that no encoder takes fails, is told of, and logged by the stock exporter; nothing is sent."""
    assert dict(exports.send(_spans("a", "\ud800"), 2)) == {FAILED: 2}
    assert "Failed to encode span batch" in caplog.text
    assert sink.bodies == []


def test_a_batch_that_is_too_large(sink: Sink, exports: Exports, caplog: pytest.LogCaptureFixture) -> None:
    """A batch above the stock exporter's limit is not sent, told of, and logged."""
    assert isinstance(exports.exporter, PackingSpanExporter)
    exports.exporter._max_request_size = 20
    assert dict(exports.send(_spans("a" * 100), 1)) == {FAILED: 1}
    assert "exceeds max_request_size" in caplog.text
    assert sink.bodies == []


def test_the_environment_is_heard(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint, headers and compression come from the variables that the stock exporter reads."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    exports = Exports()
    assert exports.send(_spans("a"), 1) == {}
    exports.stop()
    assert sink.names() == [["a"]]
    (headers,) = sink.headers
    assert (
        headers["x-tenant"],
        headers["content-encoding"],
        headers["content-type"],
    ) == ("blue", "gzip", "application/x-protobuf")


@pytest.mark.parametrize("part", ["", "TRACES_"])
def test_the_environment_may_name_the_session(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential provider is the stock exporter's to load; one that is not installed is its error."""
    monkeypatch.setenv(f"OTEL_PYTHON_EXPORTER_OTLP_HTTP_{part}CREDENTIAL_PROVIDER", "nobody")
    with pytest.raises(RuntimeError, match="nobody"):
        Exports()


def test_an_exporter_that_raises() -> None:
    """Whatever an exporter raises, what it was given did not arrive, and nothing reaches the thread."""

    class Broken:
        """An exporter that fails in its own way."""

        def export(self, batch: Sequence[ReadableSpan]) -> object:
            """Raise."""
            raise KeyError(len(batch))

        def shutdown(self) -> None:
            """Do nothing."""

    assert dict(Sender(Signal.SPAN, lambda _: Broken()).send(_spans("a"), 7)) == {FAILED: 7}


def test_a_forked_child_has_an_exporter_of_its_own(sink: Sink) -> None:
    """After :meth:`revive` nothing of the inherited exporter is used: its connections are the parent's."""
    exports = Exports(sink.url)
    inherited = exports.exporter
    exports.send(_spans("parent"), 1)
    exports.revive()
    assert exports.exporter is inherited  # made when it is needed: many children export nothing
    assert exports.send(_spans("child"), 1) == {}
    assert exports.exporter is not inherited
    exports.stop()
    assert sink.names() == [["parent"], ["child"]]


def test_a_stock_exporter_of_another_build(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stock exporter has not the parts that we send with, it exports by itself, and losses are still told."""
    monkeypatch.setattr(exporting, "_PARTS", ("_gone",))
    monkeypatch.setattr(exporting, "pack", lambda _: pytest.fail("packed, and then?"))
    exports = Exports(sink.url)
    sink.script.extend([(200, {}, _partial(1)), (400, {}, b"")])
    assert [dict(exports.send(_spans(name), 1)) for name in "ab"] == [{PARTIAL: 1}, {FAILED: 1}]
    exports.stop()


def test_behind_the_batch_processor(sink: Sink) -> None:
    """Spans of the real SDK arrive through its batch processor, and a flush waits for them."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(PackingSpanExporter(endpoint=sink.url, timeout=BOUND)))
    with provider.get_tracer("t").start_as_current_span("outer") as span:
        span.add_event("e")
        provider.get_tracer("t").start_span("inner").end()
    assert provider.force_flush()
    assert sink.names() == [["inner", "outer"]]
    provider.shutdown()


@pytest.mark.parametrize(
    ("signal", "answer"),
    [
        (
            Signal.METRIC,
            ExportMetricsServiceResponse(partial_success=ExportMetricsPartialSuccess(rejected_data_points=2)),
        ),
        (Signal.LOG, ExportLogsServiceResponse(partial_success=ExportLogsPartialSuccess(rejected_log_records=2))),
    ],
    ids=str,
)
def test_what_is_rejected_of_other_signals(signal: Signal, answer: Any, sink: Sink) -> None:
    """Of metrics and logs, too, the receiver's own count of what it rejected is read."""

    class Posts:
        """Posts a body over the session that it was given."""

        def __init__(self, session: requests.Session | None) -> None:
            assert session is not None
            self._session = session

        def export(self, batch: bytes) -> SpanExportResult:
            """Post it."""
            self._session.post(sink.url, data=batch, timeout=BOUND)
            return OK

        def shutdown(self) -> None:
            """Do nothing."""

    sink.script.append((200, {}, answer.SerializeToString()))
    assert dict(Sender(signal, Posts).send(b"", 3)) == {PARTIAL: 2}
