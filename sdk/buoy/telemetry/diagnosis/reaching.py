"""Whether an endpoint takes OTLP: an empty request is sent to it, and what becomes of that is told apart.

Sent by ``requests``, as the exporters do: proxies and certificates of the environment count.
"""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urlsplit

import requests

_PROTOBUF = "application/x-protobuf"
_BODY_KEPT = 65536  # bytes of an answer that are looked at


class Answer(StrEnum):
    """What became of an empty OTLP request."""

    ACCEPTED = "accepted"
    LISTENS = "listens"
    UNKNOWN_HOST = "unknown_host"
    REFUSED = "refused"
    SILENT = "silent"
    UNTRUSTED = "untrusted"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    NOT_OTLP = "not_otlp"
    FAILING = "failing"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Reached:
    """What became of it, and a few words on why: none that the other side wrote."""

    answer: Answer
    detail: str = ""


def ask(url: str, signal: str, headers: Mapping[str, str], *, timeout: float) -> Reached:
    """POST an empty request of ``signal`` to ``url``; gives up after ``timeout`` seconds without a byte."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return Reached(Answer.INVALID, "it does not begin with http:// or https:// and a host")
    try:
        with requests.Session() as session:
            answer = session.post(
                url,
                data=b"",
                headers={**headers, "Content-Type": _PROTOBUF, "Content-Encoding": "identity"},
                timeout=timeout,
                allow_redirects=False,
                stream=True,
                verify=_named(signal, "CERTIFICATE") or True,
                cert=_client_certificate(signal),
            )
            body = answer.raw.read(_BODY_KEPT)
    except (requests.RequestException, OSError, ValueError) as error:
        return _failed(error)
    return _judged(answer.status_code, answer.headers.get("Content-Type", "").partition(";")[0].strip().lower(), body)


def listens(address: str, *, timeout: float) -> Reached:
    """Connect to a gRPC exporter's endpoint; what speaks there is not asked."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or 4317), timeout).close()
    except (OSError, ValueError) as error:
        return _failed(error)
    return Reached(Answer.LISTENS, "connected; gRPC is not spoken by buoy doctor")


def _judged(status: int, content_type: str, body: bytes) -> Reached:
    said = f"HTTP {status}"
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.PROXY_AUTHENTICATION_REQUIRED}:
        return Reached(Answer.UNAUTHORIZED, said)
    if status == HTTPStatus.NOT_FOUND:
        return Reached(Answer.NOT_FOUND, said)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reached(Answer.FAILING, said)
    is_success = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    if is_success and (content_type == _PROTOBUF or not body):
        return Reached(Answer.ACCEPTED, said)
    if status == HTTPStatus.BAD_REQUEST and content_type == _PROTOBUF:
        return Reached(Answer.ACCEPTED, f"{said} in OTLP: it takes no empty request")
    return Reached(Answer.NOT_OTLP, f"{said}, {'no type' if not content_type else 'another type than protobuf'}")


def _failed(error: BaseException) -> Reached:
    causes = list(_causes(error))
    for kind, answer in _CAUSES:
        found = next((cause for cause in causes if isinstance(cause, kind)), None)
        if found is not None:
            return Reached(answer, _named_cause(found))
    return Reached(Answer.UNREACHABLE, type(causes[-1]).__name__)


# In this order: a later one may be the cause of an earlier one.
_CAUSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Answer], ...] = (
    (socket.gaierror, Answer.UNKNOWN_HOST),
    (ssl.SSLError, Answer.UNTRUSTED),
    (ConnectionRefusedError, Answer.REFUSED),
    (HTTPException, Answer.NOT_OTLP),
    ((TimeoutError, requests.Timeout), Answer.SILENT),
    ((requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, ValueError), Answer.INVALID),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to an error: requests and urllib3 hide it as an argument, a reason, a cause or a context."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        hidden = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        waiting += [other for other in hidden if isinstance(other, BaseException)]


def _named_cause(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not pass: {error.verify_message}"
    if isinstance(error, TimeoutError | requests.Timeout):
        return "it does not answer"
    if isinstance(error, HTTPException):
        return "what speaks there is not HTTP"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or type(error).__name__}".lower().replace("_", " ")
    return _PLAIN.get(type(error), type(error).__name__)


_PLAIN: Mapping[type[BaseException], str] = {
    socket.gaierror: "its name has no address",
    ConnectionRefusedError: "the connection is refused",
}


def _named(signal: str, what: str) -> str | None:
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"):
        if os.environ.get(name):
            return os.environ[name]
    return None


def _client_certificate(signal: str) -> tuple[str, str] | str | None:
    certificate, key = _named(signal, "CLIENT_CERTIFICATE"), _named(signal, "CLIENT_KEY")
    return certificate if certificate is None or key is None else (certificate, key)
