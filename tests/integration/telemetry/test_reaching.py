"""What becomes of an empty OTLP request, told apart: real servers that are no collectors, or that want none of it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from buoy.telemetry.diagnosis import reaching
from buoy.telemetry.diagnosis.reaching import Answer
from tests.integration.telemetry.loopback import listening
from tests.support import certificates

PROTOBUF = "application/x-protobuf"
SECRETS = {"authorization": "Bearer canary-7"}

Server = Callable[[], AbstractContextManager[str]]


def answering(status: int, body: bytes = b"", context: ssl.SSLContext | None = None, **headers: str) -> Server:
    """Return a server that says this to every POST."""

    class Handler(BaseHTTPRequestHandler):
        """Reads the request and answers it."""

        def do_POST(self) -> None:  # the standard library's name for it
            """Answer, if it is asked as exporters ask."""
            right = self.headers["Content-Type"] == PROTOBUF and self.headers["Content-Length"] == "0"
            self.send_response(status if right else 418)
            for name, value in {**headers, "Content_Length": str(len(body))}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return lambda: listening(Handler, context)


@contextmanager
def nobody() -> Iterator[str]:
    """Yield the URL of a port that is taken, and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def silent(greeting: bytes = b"") -> Iterator[str]:
    """Yield the URL of who takes connections, says a greeting, and no more."""
    with socket.socket() as server, ExitStack() as accepted:
        server.bind(("127.0.0.1", 0))
        server.listen()
        if greeting:

            def greet() -> None:
                connection = accepted.enter_context(server.accept()[0])
                connection.sendall(greeting)

            thread = threading.Thread(target=greet)
            thread.start()
            accepted.callback(thread.join)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("server", "answer", "detail"),
    [
        pytest.param(answering(200, Content_Type=PROTOBUF), Answer.ACCEPTED, "HTTP 200", id="collector"),
        pytest.param(answering(204), Answer.ACCEPTED, "HTTP 204", id="without a body"),
        pytest.param(
            answering(400, b"\x08\x03", Content_Type=PROTOBUF),
            Answer.ACCEPTED,
            "HTTP 400 in OTLP: it takes no empty request",
            id="wants more",
        ),
        pytest.param(answering(401), Answer.UNAUTHORIZED, "HTTP 401", id="401"),
        pytest.param(answering(403), Answer.UNAUTHORIZED, "HTTP 403", id="403"),
        pytest.param(answering(404), Answer.NOT_FOUND, "HTTP 404", id="404"),
        pytest.param(answering(429), Answer.FAILING, "HTTP 429", id="429"),
        pytest.param(answering(503), Answer.FAILING, "HTTP 503", id="503"),
        pytest.param(
            answering(200, b"<html>canary-8", Content_Type="text/html"),
            Answer.NOT_OTLP,
            "HTTP 200, another type than protobuf",
            id="a web page",
        ),
        pytest.param(answering(405), Answer.NOT_OTLP, "HTTP 405, no type", id="405"),
        pytest.param(
            answering(302, Location="https://elsewhere.example/canary-8"),
            Answer.NOT_OTLP,
            "HTTP 302, no type",
            id="a redirect",
        ),
        pytest.param(
            lambda: silent(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\r\n"),
            Answer.NOT_OTLP,
            "what speaks there is not HTTP",
            id="gRPC",
        ),
        pytest.param(nobody, Answer.REFUSED, "the connection is refused", id="nobody"),
        pytest.param(silent, Answer.SILENT, "it does not answer", id="silent"),
    ],
)
def test_what_an_endpoint_says_is_told_apart(server: Server, answer: Answer, detail: str) -> None:
    """Each kind of answer, and of none, has a name of its own; no word of the other side is repeated."""
    with server() as url:
        reached = reaching.ask(f"{url}/v1/traces", "traces", SECRETS, timeout=0.5)
    assert (answer, detail) == (reached.answer, reached.detail)


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://nowhere.invalid:4318/v1/traces", Answer.UNKNOWN_HOST),
        ("127.0.0.1:4318", Answer.INVALID),
        ("http://", Answer.INVALID),
        ("grpc://127.0.0.1:4317", Answer.INVALID),
    ],
)
def test_a_url_that_leads_nowhere_is_told_apart(url: str, answer: Answer) -> None:
    """A name without an address, and what is no URL for OTLP over HTTP."""
    assert answer is reaching.ask(url, "traces", {}, timeout=5).answer


def test_tls_that_fails_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that nobody knows, and https where no TLS is spoken; with the authority named it is well."""
    with answering(200, context=certificates.good())() as url:
        reached = reaching.ask(f"{url}/v1/traces", "traces", {}, timeout=5)
        assert reached.answer is Answer.UNTRUSTED
        assert reached.detail.startswith("its certificate does not pass: ")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates.written(tmp_path).ca))
        assert reaching.ask(f"{url}/v1/traces", "traces", {}, timeout=5).answer is Answer.ACCEPTED
    with answering(200)() as plain:
        reached = reaching.ask(plain.replace("http:", "https:"), "traces", {}, timeout=5)
    assert reached.answer is Answer.UNTRUSTED
    assert reached.detail.startswith("no tls: ")


def test_the_client_certificate_of_the_signal_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the endpoint asks who is there, what the environment names for this signal is sent, as exporters do."""
    files = certificates.written(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(files.ca))
    with answering(200, context=certificates.asking())() as url:
        assert reaching.ask(url, "traces", {}, timeout=5).answer is not Answer.ACCEPTED
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", str(files.certificate))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", str(files.key))
        assert reaching.ask(url, "traces", {}, timeout=5).answer is Answer.ACCEPTED


def test_a_grpc_endpoint_is_only_connected_to() -> None:
    """What speaks at a gRPC endpoint is not asked: somebody listens, or nobody does."""
    with silent() as url:
        assert reaching.listens(url, timeout=5).answer is Answer.LISTENS
    with nobody() as url:
        assert reaching.listens(url.removeprefix("http://"), timeout=5).answer is Answer.REFUSED
