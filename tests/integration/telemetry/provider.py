"""A real HTTP provider that is not ours and that has much to say: it keeps a log of every request that it answered."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.integration.telemetry.loopback import listening


class Answer(NamedTuple):
    """What is said to one request."""

    status: int
    text: str = "Said"
    headers: Mapping[str, str] = {}
    body: bytes = b"{}"


class Request(NamedTuple):
    """One request that was read, and the status that it got."""

    path: str
    asked: Mapping[str, str]
    traceparent: str | None
    status: int


class Provider:
    """``log`` has the requests in the order in which they were answered."""

    def __init__(self) -> None:
        self.url = ""
        self.log: list[Request] = []


@contextmanager
def answering(say: Callable[[str, Mapping[str, str]], Answer]) -> Iterator[Provider]:
    """Listen on a free port of the loopback; ``say(path, query)`` decides."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        """Answers every GET."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:  # the standard library's name for it
            """Note the request and answer it."""
            parts = urlsplit(self.path)
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            answer = say(parts.path, asked)
            provider.log.append(Request(parts.path, asked, self.headers.get("traceparent"), answer.status))
            self.send_response(answer.status, answer.text)
            headers = {"Content-Type": "application/json", **answer.headers, "Content-Length": str(len(answer.body))}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with listening(Handler) as url:
        provider.url = url
        yield provider
