"""What a status or an exception means: the two tables of HTTP, and nothing that acts on them.

Sources: telemetry contract section 1 (status -> error type); RFC 9110 section 9.2.2 and 15; for what an exception of
aiohttp proves about the request, its source at 3.14.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
from aiohttp import http_exceptions

from buoy.outcome import ErrorType, Outcome, Phase, Verdict

_E = ErrorType

STATUS: dict[int, ErrorType] = {
    400: _E.BAD_REQUEST,
    401: _E.UNAUTHORIZED,
    403: _E.FORBIDDEN,
    404: _E.NOT_FOUND,
    405: _E.METHOD_NOT_ALLOWED,
    408: _E.TIMEOUT,
    409: _E.CONFLICT,
    410: _E.NOT_FOUND,
    412: _E.CONFLICT,
    422: _E.UNPROCESSABLE_ENTITY,
    423: _E.CONFLICT,
    429: _E.RATE_LIMITED,
    430: _E.RATE_LIMITED,
    500: _E.INTERNAL_SERVER_ERROR,
    501: _E.METHOD_NOT_ALLOWED,
    502: _E.BAD_GATEWAY,
    503: _E.SERVICE_UNAVAILABLE,
    504: _E.GATEWAY_TIMEOUT,
    520: _E.BAD_GATEWAY,
    521: _E.BAD_GATEWAY,
    522: _E.GATEWAY_TIMEOUT,
    523: _E.BAD_GATEWAY,
    524: _E.GATEWAY_TIMEOUT,
    525: _E.BAD_GATEWAY,
    526: _E.BAD_GATEWAY,
    527: _E.BAD_GATEWAY,
    529: _E.RATE_LIMITED,
    530: _E.BAD_GATEWAY,
}

RETRYABLE = frozenset(
    {
        _E.TIMEOUT,
        _E.RATE_LIMITED,
        _E.INTERNAL_SERVER_ERROR,
        _E.BAD_GATEWAY,
        _E.SERVICE_UNAVAILABLE,
        _E.GATEWAY_TIMEOUT,
        _E.SERVER_ERROR,
    }
)

# 409: the first try with this key is still running (a retry only with a key). 425: sent too early in a TLS handshake
# (RFC 8470), to be repeated.
_REASONS = {409: "in_progress", 410: "gone", 425: "too_early"}

# What these say is that the request was not carried out; every other status from 500 on leaves it open.
_REJECTED_5XX = frozenset({501, 529})


def status(code: int, *, retry_after: float | None = None, should_retry: bool | None = None) -> Verdict:
    """Return the verdict on an answer with error status ``code`` (400 or more).

    ``retry_after`` is in seconds; ``should_retry`` is what the provider itself says about trying again, and wins.
    """
    if code in STATUS:
        error_type = STATUS[code]
    elif 400 <= code < 500:
        error_type = _E.CLIENT_ERROR
    elif 500 <= code < 600:
        error_type = _E.SERVER_ERROR
    else:
        error_type = _E.UNKNOWN
    retryable = error_type in RETRYABLE or code == 425
    reason = _REASONS.get(code)
    if code == 409 and should_retry is False:
        reason = None  # the provider itself calls it final: no first try is still running
    return Verdict(
        error_type,
        _outcome(code, retry_after),
        Phase.RECEIVE,
        retryable if should_retry is None else should_retry,
        reason,
        retry_after,
    )


def _outcome(code: int, retry_after: float | None) -> Outcome:
    if code == 408 or code >= 600:
        return Outcome.UNKNOWN
    if code < 500 or code in _REJECTED_5XX or (code == 503 and retry_after is not None):
        return Outcome.REJECTED
    return Outcome.UNKNOWN


class Fault(NamedTuple):
    """What an exception class means. ``sent=None``: it depends on whether the request was on its way."""

    error_type: ErrorType
    outcome: Outcome | None
    phase: Phase | None
    retryable: bool
    reason: str
    text: str


def _not_sent(reason: str, text: str, *, retryable: bool = True) -> Fault:
    return Fault(_E.NETWORK_ERROR, Outcome.NOT_SENT, Phase.CONNECT, retryable, reason, text)


def _lost(reason: str, text: str) -> Fault:
    return Fault(_E.NETWORK_ERROR, None, None, True, reason, text)


def _late(text: str, *, phase: Phase | None = None, outcome: Outcome | None = None) -> Fault:
    return Fault(_E.TIMEOUT, outcome, phase, True, "timer", text)


def _ours(reason: str, text: str) -> Fault:
    return Fault(_E.UNKNOWN, Outcome.NOT_SENT, Phase.LOCAL, False, reason, text)


_BROKEN = Fault(_E.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, True, "broken_answer", "the answer is not valid HTTP")
_PROXY = _not_sent("proxy", "the proxy refused")
_REDIRECT = Fault(
    _E.SERVER_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, False, "redirect_refused", "the redirect cannot be followed"
)
_WEBSOCKET = Fault(
    _E.UNKNOWN, Outcome.UNKNOWN, Phase.RECEIVE, False, "websocket", "a WebSocket error where none was opened"
)

# The most telling class wins: an exception is looked up by its method resolution order. A test proves that every
# exception class of the installed aiohttp has a row here, its own or a parent's that was meant to cover it.
FAULTS: dict[type[BaseException], Fault] = {
    # aiohttp: before the request left
    aiohttp.ClientConnectorDNSError: _not_sent("dns", "the host name could not be resolved"),
    aiohttp.ClientConnectorCertificateError: _not_sent(
        "certificate", "the server's certificate is not valid for this host", retryable=False
    ),
    aiohttp.ClientConnectorSSLError: _not_sent("tls", "the TLS handshake failed"),
    aiohttp.ClientSSLError: _not_sent("tls", "the TLS handshake failed"),
    aiohttp.ServerFingerprintMismatch: _not_sent(
        "certificate", "the server's certificate is not the pinned one", retryable=False
    ),
    aiohttp.ClientProxyConnectionError: _not_sent("proxy", "the proxy could not be reached"),
    aiohttp.ClientHttpProxyError: _PROXY,
    aiohttp.ClientConnectorError: _not_sent("connect", "the connection was not established"),
    aiohttp.ConnectionTimeoutError: _late(
        "the connection was not established in time", phase=Phase.CONNECT, outcome=Outcome.NOT_SENT
    ),
    aiohttp.InvalidURL: _ours("invalid_url", "the URL is not valid"),
    aiohttp.NonHttpUrlClientError: _ours("invalid_url", "the URL is not http or https"),
    # aiohttp: on the way or in the answer
    aiohttp.ServerDisconnectedError: _lost("disconnected", "the server closed the connection without an answer"),
    aiohttp.ClientConnectionResetError: _lost("reset", "the connection was reset"),
    aiohttp.ClientOSError: _lost("connection_lost", "the connection was lost"),
    aiohttp.SocketTimeoutError: _late("nothing came for too long"),
    aiohttp.ServerTimeoutError: _late("the server did not answer in time"),
    aiohttp.ServerConnectionError: _lost("connection_lost", "the connection was lost"),
    aiohttp.ClientConnectionError: _lost("connection_lost", "the connection was lost"),
    aiohttp.ClientPayloadError: Fault(
        _E.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, True, "truncated", "the body of the answer is incomplete"
    ),
    aiohttp.UploadAbortedError: Fault(
        _E.NETWORK_ERROR, Outcome.UNKNOWN, Phase.SEND, True, "upload_aborted", "the request body was not sent whole"
    ),
    aiohttp.TooManyRedirects: Fault(
        _E.SERVER_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, False, "redirect_refused", "too many redirects"
    ),
    aiohttp.InvalidUrlRedirectClientError: _REDIRECT,
    aiohttp.NonHttpUrlRedirectClientError: _REDIRECT,
    aiohttp.RedirectClientError: _REDIRECT,
    aiohttp.ContentTypeError: Fault(
        _E.SERVER_ERROR, Outcome.APPLIED, Phase.DECODE, False, "content_type", "the answer has another content type"
    ),
    aiohttp.WSServerHandshakeError: _WEBSOCKET,
    aiohttp.WSMessageTypeError: _WEBSOCKET,
    aiohttp.ClientResponseError: _BROKEN,
    http_exceptions.HttpProcessingError: _BROKEN,
    aiohttp.ClientError: Fault(
        _E.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, True, "http_client", "the HTTP client failed"
    ),
    # the standard library
    socket.gaierror: _not_sent("dns", "the host name could not be resolved"),
    socket.herror: _not_sent("dns", "the host name could not be resolved"),
    ssl.SSLCertVerificationError: _not_sent("certificate", "the certificate is not valid", retryable=False),
    ssl.SSLError: _lost("tls", "TLS failed"),
    ConnectionRefusedError: _not_sent("refused", "the connection was refused"),
    ConnectionError: _lost("reset", "the connection was reset"),
    asyncio.IncompleteReadError: _lost("truncated", "the answer ended early"),
    TimeoutError: _late("no complete answer came in time"),
}

# HTTP libraries that a wrapped function may use, by name: none of them is imported, or needed.
FOREIGN: Mapping[str, Fault] = {
    "httpx.ConnectTimeout": _late("the connection was not established in time", outcome=Outcome.NOT_SENT),
    "httpx.PoolTimeout": _late("no connection was free in time", outcome=Outcome.NOT_SENT),
    "httpx.TimeoutException": _late("no complete answer came in time"),
    "httpx.ConnectError": _not_sent("connect", "the connection was not established"),
    "httpx.ProxyError": _PROXY,
    "httpx.LocalProtocolError": _ours("invalid_request", "the request is not valid HTTP"),
    "httpx.UnsupportedProtocol": _ours("invalid_url", "the URL is not http or https"),
    "httpx.InvalidURL": _ours("invalid_url", "the URL is not valid"),
    "httpx.TooManyRedirects": _REDIRECT,
    "httpx.DecodingError": _BROKEN,
    "httpx.TransportError": _lost("connection_lost", "the connection was lost"),
    "requests.exceptions.ConnectTimeout": _late("the connection was not established in time", outcome=Outcome.NOT_SENT),
    "requests.exceptions.Timeout": _late("no complete answer came in time"),
    "requests.exceptions.ProxyError": _PROXY,
    "requests.exceptions.SSLError": _lost("tls", "TLS failed"),
    "requests.exceptions.ConnectionError": _lost("connection_lost", "the connection was lost"),
    "requests.exceptions.ChunkedEncodingError": _lost("truncated", "the answer ended early"),
    "requests.exceptions.ContentDecodingError": _BROKEN,
    "requests.exceptions.TooManyRedirects": _REDIRECT,
    "requests.exceptions.InvalidURL": _ours("invalid_url", "the URL is not valid"),
    "requests.exceptions.InvalidSchema": _ours("invalid_url", "the URL is not http or https"),
    "requests.exceptions.MissingSchema": _ours("invalid_url", "the URL is not http or https"),
    "urllib3.exceptions.NewConnectionError": _not_sent("connect", "the connection was not established"),
    "urllib3.exceptions.ConnectTimeoutError": _late(
        "the connection was not established in time", outcome=Outcome.NOT_SENT
    ),
    "urllib3.exceptions.TimeoutError": _late("no complete answer came in time"),
    "urllib3.exceptions.ProtocolError": _lost("connection_lost", "the connection was lost"),
}


# A plain OSError is mostly a matter of this machine; these are not.
_UNREACHABLE = frozenset({errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH})
_LOST_WAY = _lost("unreachable", "the network or the host cannot be reached")
_NO_WAY = _not_sent("unreachable", _LOST_WAY.text)

# What a server says that wants a client certificate, or another one. With TLS 1.3 it says so to a request that it has
# not read, for the client is through with the handshake first (RFC 8446 section 4.4.2.4 and appendix E.1).
_OF_THE_CLIENT = frozenset(
    {
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_UNKNOWN_CA",
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    }
)
_UNWELCOME = _not_sent("client_certificate", "the server did not accept the client's certificate", retryable=False)
# What a proxy will say again: it wants other credentials, or does not let this request through at all.
_FINAL = frozenset(range(400, 500)) - {408, 429}
_REFUSED_BY_PROXY = _PROXY._replace(retryable=False)


def fault_of(error: BaseException) -> Fault | None:
    """Return the row of the most telling class of ``error``, or ``None`` where the tables know none of them."""
    if type(error) is OSError:
        return _plain(error)
    # aiohttp wraps what the socket said, or the parser: they are more telling than what it makes of them.
    if type(error) is aiohttp.ClientConnectorError:
        return _connecting(error.os_error)
    special = _special(error)
    if special is not None:
        return special
    for cls in type(error).__mro__:
        row = FAULTS.get(cls) or FOREIGN.get(f"{cls.__module__}.{cls.__name__}")
        if row is not None:
            return row
    return None


def _special(error: BaseException) -> Fault | None:
    if isinstance(error, aiohttp.ClientPayloadError) and _is_broken(error.__cause__):
        return _BROKEN
    if isinstance(error, aiohttp.ClientOSError) and _alert(error) in _OF_THE_CLIENT:
        return _UNWELCOME
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status in _FINAL:
        return _REFUSED_BY_PROXY
    return None


def _connecting(error: OSError) -> Fault:
    if error.errno == errno.ECONNREFUSED:
        return FAULTS[ConnectionRefusedError]
    if error.errno in _UNREACHABLE:
        return _NO_WAY
    # Who refuses a connection does not reset it: it was there, and broke off within the TLS handshake.
    if isinstance(error, ConnectionError):
        return FAULTS[aiohttp.ClientSSLError]
    return FAULTS[aiohttp.ClientConnectorError]


def _alert(error: aiohttp.ClientOSError) -> str | None:
    cause = getattr(error, "os_error", error.__cause__)
    return getattr(cause, "reason", None) if isinstance(cause, ssl.SSLError) else None


def _is_broken(cause: BaseException | None) -> bool:
    """Tell whether a body is not what it should be; else there is too little of it."""
    too_little = http_exceptions.ContentLengthError | http_exceptions.TransferEncodingError
    return isinstance(cause, http_exceptions.HttpProcessingError) and not isinstance(cause, too_little)


def _plain(error: OSError) -> Fault | None:
    if error.errno in _UNREACHABLE:
        return _LOST_WAY
    # asyncio's create_connection says no more than this where each of several addresses failed in its own way.
    if error.errno is None and str(error).startswith("Multiple exceptions: "):
        return FAULTS[aiohttp.ClientConnectorError]
    return None


def exception(error: BaseException, *, sending: bool) -> Verdict | None:
    """Return the verdict on an exception; ``sending`` tells whether the request had begun to leave.

    ``None`` where the tables do not know it.
    """
    fault = fault_of(error)
    if fault is None:
        return None
    outcome = fault.outcome or (Outcome.UNKNOWN if sending else Outcome.NOT_SENT)
    phase = fault.phase or (Phase.RECEIVE if sending else Phase.CONNECT)
    return Verdict(fault.error_type, outcome, phase, fault.retryable, fault.reason)


def answer_of(error: BaseException) -> tuple[int, Mapping[str, str]] | None:
    """Return status and headers where the exception is a library's way to say that an answer had an error status."""
    if not any(f"{cls.__module__}.{cls.__name__}" in _STATUS_ERRORS for cls in type(error).__mro__):
        return None
    # httpx and requests keep the answer on the exception; aiohttp's exception has status and headers itself. The
    # answer of requests is false when its status is an error, so None is what must be asked for.
    response = getattr(error, "response", None)
    source: Any = error if response is None else response
    status = getattr(source, "status_code", None) or getattr(source, "status", None)
    headers = getattr(source, "headers", None)
    if not isinstance(status, int) or status < 400:
        return None
    return status, headers if isinstance(headers, Mapping) else {}


_STATUS_ERRORS = frozenset(
    {"aiohttp.client_exceptions.ClientResponseError", "httpx.HTTPStatusError", "requests.exceptions.HTTPError"}
)
