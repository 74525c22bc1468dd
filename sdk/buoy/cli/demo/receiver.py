"""The demo's OTLP receiver: a process that takes what the SDK exports, keeps it as it came, and serves live figures.

``python -m buoy.cli.demo.receiver --port 0 --out DIR`` appends every request to ``DIR/otlp.jsonl``, begun anew by each
run, and answers ``GET /figures``. It decodes the real protobuf; what the figures mean is in ``figures.py``. Nothing of
the SDK is used.
"""

import argparse
import base64
import gzip
import json
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from buoy.cli.demo.figures import Figures
from buoy.cli.demo.lifeline import announce, on_end

HOST = "127.0.0.1"
PROTOBUF = "application/x-protobuf"
SIGNALS: dict[str, tuple[str, type[Message], type[Message]]] = {
    "/v1/traces": ("traces", ExportTraceServiceRequest, ExportTraceServiceResponse),
    "/v1/metrics": ("metrics", ExportMetricsServiceRequest, ExportMetricsServiceResponse),
    "/v1/logs": ("logs", ExportLogsServiceRequest, ExportLogsServiceResponse),
}


class Received:
    """The file of one run's raw requests and the figures over them; many threads write."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = (directory / "otlp.jsonl").open("w", encoding="utf-8")
        self._figures = Figures()
        self._requests = {name: 0 for name, _, _ in SIGNALS.values()}
        self._lock = threading.Lock()

    def add(self, signal: str, body: bytes, message: Message) -> None:
        """Keep one request; it is on disk before the exporter hears of success."""
        line = json.dumps({"signal": signal, "body": base64.b64encode(body).decode()})
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()
            self._requests[signal] += 1
            if isinstance(message, ExportTraceServiceRequest):
                self._figures.add_traces(message, now=time.monotonic())
            elif isinstance(message, ExportMetricsServiceRequest):
                self._figures.add_metrics(message)

    def figures(self) -> dict[str, object]:
        """Return the figures so far."""
        with self._lock:
            return {**self._figures.snapshot(now=time.monotonic()), "requests": dict(self._requests)}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


class Handler(BaseHTTPRequestHandler):
    """One connection of an exporter or of the live view."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one write for head and body: two small ones cost 40 ms of delayed acknowledgement
    server: "Receiver"

    def do_POST(self) -> None:
        """Take one export request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path not in SIGNALS:
            self._reply(404, "text/plain", b"no such signal\n")
            return
        if self.headers.get_content_type() != PROTOBUF:
            self._reply(415, "text/plain", b"only protobuf is understood\n")
            return
        signal, request, response = SIGNALS[self.path]
        message = request()
        try:
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            message.ParseFromString(body)
        except (DecodeError, OSError, EOFError, zlib.error):
            self._reply(400, "text/plain", b"not the protobuf of this signal\n")
            return
        self.server.received.add(signal, body, message)
        self._reply(200, PROTOBUF, response().SerializeToString())

    def do_GET(self) -> None:
        """Serve the figures."""
        if self.path == "/figures":
            self._reply(200, "application/json", json.dumps(self.server.received.figures()).encode())
        else:
            self._reply(404, "text/plain", b"only /figures\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        """Say nothing: the terminal belongs to the demo."""

    def _reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Receiver(ThreadingHTTPServer):
    """The listening socket."""

    daemon_threads = True

    def __init__(self, port: int, received: Received) -> None:
        super().__init__((HOST, port), Handler)
        self.received = received


def main() -> None:
    """Receive until told to stop."""
    parser = argparse.ArgumentParser(prog="buoy.cli.demo.receiver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory for otlp.jsonl")
    options = parser.parse_args()
    # A queue, not an Event: its put() may be called by a signal handler in the middle of the get() that waits for it.
    ended: SimpleQueue[None] = SimpleQueue()
    on_end(lambda: ended.put(None))
    received = Received(options.out)
    receiver = Receiver(options.port, received)
    threading.Thread(target=receiver.serve_forever, name="receiver", daemon=True).start()
    announce(receiver.server_port)
    ended.get()
    receiver.shutdown()
    received.close()


if __name__ == "__main__":
    main()
