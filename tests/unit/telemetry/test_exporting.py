"""The packing exporter against a receiver that takes, takes in part, refuses, hangs back or is not there."""

import gzip
import socket
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanContext

from buoy.telemetry import exporting
from buoy.telemetry.exporting import PackingSpanExporter

OK, FAILURE = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
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


Losses = list[tuple[str, str, int]]


class Exporter(PackingSpanExporter):
    """Keeps what it says of losses."""

    def __init__(self, url: str | None = None, timeout: float = BOUND, session: requests.Session | None = None) -> None:
        self.losses: Losses = []
        super().__init__(
            url, timeout=timeout, session=session, on_loss=lambda *loss: self.losses.append((loss[0], loss[1], loss[2]))
        )

    def close(self) -> None:
        """Shut down; the stock method has no types."""
        self.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture
def exporter(sink: Sink) -> Iterator[Exporter]:
    """Export to the sink."""
    exporter = Exporter(sink.url)
    yield exporter
    exporter.close()


def _spans(*names: str) -> list[ReadableSpan]:
    who, ids = Resource({"service.name": "t"}), SpanContext(1, 2, is_remote=False)
    return [ReadableSpan(name, ids, resource=who, start_time=1, end_time=2) for name in names]


ANSWERS: dict[str, tuple[list[Answer], SpanExportResult, Losses, int]] = {
    "ok": ([], OK, [], 1),
    "ok, nothing rejected": ([(200, {}, _partial(0, "be careful"))], OK, [], 1),
    "partly rejected": ([(200, {}, _partial(2, "bad names"))], OK, [("traces", "partial_success", 2)], 1),
    "more rejected than sent": ([(200, {}, _partial(1 << 40))], OK, [("traces", "partial_success", 3)], 1),
    "fewer than none rejected": ([(200, {}, _partial(-5))], OK, [], 1),
    "an answer that is none": ([(200, {}, b"\xff\xff<html>")], OK, [], 1),
    "400": ([(400, {}, b"")], FAILURE, [("traces", "export_failed", 3)], 1),
    "400 with a body": ([(400, {}, _partial(2))], FAILURE, [("traces", "export_failed", 3)], 1),
    "redirected": ([(302, {"Location": "/"}, b"")], FAILURE, [("traces", "export_failed", 3)], 1),
    "503, then ok": ([(503, {"Retry-After": "0"}, b"")], OK, [], 2),
    "429, then partly rejected": (
        [(429, {"Retry-After": "0"}, b""), (200, {}, _partial(1))],
        OK,
        [("traces", "partial_success", 1)],
        2,
    ),
    "503 for longer than there is time": (
        [(503, {"Retry-After": "3600"}, b"")],
        FAILURE,
        [("traces", "export_failed", 3)],
        1,
    ),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_answers(sink: Sink, exporter: Exporter, case: tuple[list[Answer], SpanExportResult, Losses, int]) -> None:
    """What the receiver answers decides the result, and every span that it did not take is told of once."""
    answers, result, losses, times = case
    sink.script.extend(answers)
    assert exporter.export(_spans("a", "b", "c")) is result
    assert losses == exporter.losses
    assert sink.names() == [["a", "b", "c"]] * times


def test_a_loss_is_told_of_once(sink: Sink, exporter: Exporter) -> None:
    """The batches after one that was rejected in part have lost nothing, however success is said."""
    sink.script.extend([(200, {}, _partial(1)), (202, {}, b""), (200, {}, b"")])
    assert [exporter.export(_spans(name)) for name in "abc"] == [OK, OK, OK]
    assert exporter.losses == [("traces", "partial_success", 1)]


def test_nobody_listens() -> None:
    """A refused connection is a failed export of the whole batch."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        exporter = Exporter(f"http://127.0.0.1:{bound.getsockname()[1]}/v1/traces", timeout=0.5)
        assert FAILURE is exporter.export(_spans("a", "b"))
        exporter.close()
    assert exporter.losses == [("traces", "export_failed", 2)]


def test_shutdown_in_the_middle(sink: Sink, exporter: Exporter) -> None:
    """A shutdown ends the wait for a retry at once; this batch and later ones are told of."""
    sink.script.append((503, {"Retry-After": "9"}, b""))
    results: list[SpanExportResult] = []
    thread = threading.Thread(target=lambda: results.append(exporter.export(_spans("a", "b"))), daemon=True)
    thread.start()
    assert sink.answered.wait(BOUND)
    exporter.close()
    thread.join(BOUND / 2)
    assert results == [FAILURE]
    assert FAILURE is exporter.export(_spans("c"))
    assert exporter.losses == [("traces", "shutdown", 2), ("traces", "shutdown", 1)]
    assert sink.names() == [["a", "b"]]


def test_spans_that_cannot_be_encoded(sink: Sink, exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that no encoder takes fails, is told of, and logged by the stock exporter; nothing is sent."""
    assert FAILURE is exporter.export(_spans("a", "\ud800"))
    assert exporter.losses == [("traces", "export_failed", 2)]
    assert "Failed to encode span batch" in caplog.text
    assert sink.bodies == []


def test_a_batch_that_is_too_large(sink: Sink, exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    """A batch above the stock exporter's limit is not sent, told of, and logged."""
    exporter._max_request_size = 20
    assert FAILURE is exporter.export(_spans("a" * 100))
    assert exporter.losses == [("traces", "export_failed", 1)]
    assert "exceeds max_request_size" in caplog.text
    assert sink.bodies == []


def test_the_environment_is_heard(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint, headers and compression come from the variables that the stock exporter reads."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", sink.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    exporter = Exporter()
    assert OK is exporter.export(_spans("a"))
    exporter.close()
    assert sink.names() == [["a"]]
    (headers,) = sink.headers
    assert (
        headers["x-tenant"],
        headers["content-encoding"],
        headers["content-type"],
    ) == ("blue", "gzip", "application/x-protobuf")


def test_the_environment_may_name_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential provider is the stock exporter's to load; one that is not installed is its error."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "nobody")
    with pytest.raises(RuntimeError, match="nobody"):
        Exporter()


def test_a_session_of_ones_own(sink: Sink) -> None:
    """A session that is given is used, and its answers are read too."""
    session = requests.Session()
    session.headers["x-mine"] = "1"
    exporter = Exporter(sink.url, session=session)
    sink.script.append((200, {}, _partial(1)))
    exporter.export(_spans("a"))
    exporter.close()
    assert sink.headers[0]["x-mine"] == "1"
    assert exporter.losses == [("traces", "partial_success", 1)]


def test_a_stock_exporter_of_another_build(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stock exporter has not the parts that we send with, it exports by itself, and losses are still told."""
    monkeypatch.setattr(exporting, "_PARTS", ("_gone",))
    monkeypatch.setattr(exporting, "pack", lambda _: pytest.fail("packed, and then?"))
    exporter = Exporter(sink.url)
    sink.script.extend([(200, {}, _partial(1)), (400, {}, b"")])
    assert [exporter.export(_spans("a")), exporter.export(_spans("b"))] == [OK, FAILURE]
    exporter.close()
    assert exporter.losses == [("traces", "partial_success", 1), ("traces", "export_failed", 1)]


def test_behind_the_batch_processor(sink: Sink) -> None:
    """Spans of the real SDK arrive through its batch processor, and a flush waits for them."""
    exporter = Exporter(sink.url)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with provider.get_tracer("t").start_as_current_span("outer") as span:
        span.add_event("e")
        provider.get_tracer("t").start_span("inner").end()
    assert provider.force_flush()
    assert sink.names() == [["inner", "outer"]]
    provider.shutdown()
    assert exporter.losses == []
