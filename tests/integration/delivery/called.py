"""The provider that the services call. What it saw is the truth: how many calls were made, and which are in flight."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BOUND = 60.0  # seconds; where a broken test stops waiting


class Called:
    """Answers ``/items/...`` at once and ``/held/...`` when it is told to; ``/missing/...`` is not there."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: Counter[str] = Counter()  # requests, by the first part of the path
        self._changed = threading.Condition()
        self._released = False
        self._holding = 0

    def release(self) -> None:
        """Answer those that are held, and all that come."""
        with self._changed:
            self._released = True
            self._changed.notify_all()

    def wait_for_held(self, number: int) -> None:
        """Wait until so many calls are in flight."""
        self._wait(lambda: self._holding == number)

    def answer(self, path: str) -> int:
        """Return the status for a request; blocks while it is held."""
        kind = path.split("/")[1]
        with self._changed:
            self.seen[kind] += 1
            if kind == "held":
                self._holding += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._released)
                self._holding -= 1
        return 404 if kind == "missing" else 200

    def _wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, BOUND), f"in flight: {self._holding}, seen: {self.seen}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing of connections that break: a service may end in the middle of a call."""


@contextmanager
def being_called() -> Iterator[Called]:
    """Listen on a free port of the loopback."""
    called = Called()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:  # the standard library's name for it
            status = called.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        called.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield called
        finally:
            called.release()
            server.shutdown()
            thread.join()
