"""A real server on a free port that answers what a test tells it to, request by request, and keeps what it read."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    """One answer. ``more`` may repeat headers; ``cut`` closes the connection instead, ``hold`` does so at the end."""

    status: int = 200
    body: bytes = b'{"a":1}'
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)
    more: tuple[tuple[str, str], ...] = ()
    cut: bool = False
    hold: bool = False


@dataclass(frozen=True)
class Read:
    """One request as it arrived."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """Answers ``script`` in order, then plain successes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Reply] = []
        self.requests: list[Read] = []
        self.arrived = threading.Event()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        """The origin to call."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        target = self.requestline.split()[1]  # self.path has lost a second slash at its start
        read = Read(self.command, target, dict(self.headers), self.rfile.read(length))
        self.server.requests.append(read)
        reply = self.server.script.pop(0) if self.server.script else Reply()
        self.server.arrived.set()
        if reply.hold:
            self.server.released.wait(60)
        if reply.cut or reply.hold:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in (*reply.headers.items(), *reply.more, ("Content-Length", str(len(reply.body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815  # the base class finds them by these names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server in a thread for as long as the block lasts."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def unused_port() -> int:
    """Return a port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
