"""The table of exceptions, against all that the installed libraries and Python itself can raise."""

import asyncio
import builtins
import errno
import importlib
import inspect
import pkgutil
import socket
import ssl
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import Mock

import aiohttp
import httpx
import pytest
import requests
import urllib3
from aiohttp import http_exceptions

from buoy.http import classify
from buoy.outcome import ErrorType, Outcome, Phase, Verdict

# What is of aiohttp and not of its client: servers and test tools.
FOREIGN_MODULES = ("aiohttp.web", "aiohttp.worker", "aiohttp.test_utils", "aiohttp.pytest_plugin")

# Covered on purpose by the row of a parent, which says all there is to say.
BY_PARENT: dict[str, type[BaseException]] = {
    "aiohttp.client_exceptions.InvalidUrlClientError": aiohttp.InvalidURL,
    "aiohttp.client_exceptions.UnixClientConnectorError": aiohttp.ClientConnectorError,
    "aiohttp.http_exceptions.BadHttpMessage": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.BadHttpMethod": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.BadStatusLine": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.ContentEncodingError": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.ContentLengthError": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.DecompressSizeError": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.HttpBadRequest": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.InvalidHeader": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.InvalidURLError": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.LineTooLong": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.PayloadEncodingError": http_exceptions.HttpProcessingError,
    "aiohttp.http_exceptions.TransferEncodingError": http_exceptions.HttpProcessingError,
}

# Never leave a request: aiohttp catches them itself, or they belong to what we do not use.
INTERNAL = {
    "aiohttp._websocket.models.WSHandshakeError": "WebSockets",
    "aiohttp._websocket.models.WebSocketError": "WebSockets",
    "aiohttp.compression_utils.TooManyMembersError": "the parser turns it into ContentEncodingError",
    "aiohttp.multipart.BadContentDispositionHeader": "a warning",
    "aiohttp.multipart.BadContentDispositionParam": "a warning",
    "aiohttp.payload.LookupError": "the payload registry",
    "aiohttp.streams.EofStream": "WebSockets",
}


def full_name(cls: type) -> str:
    """Return the name under which the tables know a class."""
    return f"{cls.__module__}.{cls.__name__}"


def client_modules() -> Iterator[ModuleType]:
    """Import every module of the installed aiohttp that a client may run."""
    yield aiohttp
    for found in pkgutil.walk_packages(aiohttp.__path__, "aiohttp."):
        if not found.name.startswith(FOREIGN_MODULES):
            yield importlib.import_module(found.name)


def exceptions_of(modules: Iterator[ModuleType], package: str) -> list[type[BaseException]]:
    """Return the exception classes that a package itself defines, by name."""
    found = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__.split(".")[0] == package
    }
    return sorted(found, key=full_name)


AIOHTTP = exceptions_of(client_modules(), "aiohttp")


def test_the_walk_finds_aiohttps_exceptions() -> None:
    """The enumeration is not empty by accident: it has what everybody knows."""
    assert {aiohttp.ClientError, aiohttp.ServerDisconnectedError, http_exceptions.BadStatusLine} <= set(AIOHTTP)
    assert len(AIOHTTP) > 40


@pytest.mark.parametrize("cls", AIOHTTP, ids=full_name)
def test_every_exception_of_the_installed_aiohttp_has_a_row(cls: type[BaseException]) -> None:
    """Each class has a row of its own or a parent's that was meant; a new class in a new aiohttp fails here."""
    name = full_name(cls)
    if cls in classify.FAULTS:
        assert name not in BY_PARENT
        assert name not in INTERNAL
        return
    assert name in BY_PARENT or name in INTERNAL, f"{name} is in no table: decide what it means"
    row = next((parent for parent in cls.__mro__ if parent in classify.FAULTS), None)
    assert BY_PARENT.get(name) is row


def test_no_exemption_outlives_its_class() -> None:
    """What is exempted here exists in the installed aiohttp."""
    assert set() == {*BY_PARENT, *INTERNAL} - {full_name(cls) for cls in AIOHTTP}


NOT_SENT_CLASSES = [
    aiohttp.ClientConnectorError,
    aiohttp.ClientConnectorDNSError,
    aiohttp.ClientConnectorSSLError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientSSLError,
    aiohttp.ClientProxyConnectionError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    socket.gaierror,
    socket.herror,
    ssl.SSLCertVerificationError,
    ConnectionRefusedError,
]


def test_only_what_cannot_have_sent_anything_says_so() -> None:
    """Exactly the classes raised before the request leaves say ``not_sent`` by themselves, without being asked."""
    assert set(NOT_SENT_CLASSES) == {cls for cls, row in classify.FAULTS.items() if row.outcome is Outcome.NOT_SENT}


CONNECTION_KEY = Mock(spec=["host", "port", "ssl", "is_ssl"], host="api.example", port=443, ssl=True, is_ssl=True)
REFUSED = OSError(errno.ECONNREFUSED, "Connect call failed")
RESET = OSError(errno.ECONNRESET, "Connection reset by peer")
UNREACHABLE = OSError(errno.EHOSTUNREACH, "No route to host")
CERTIFICATE = ssl.SSLCertVerificationError("hostname mismatch")

N, T, U, S = ErrorType.NETWORK_ERROR, ErrorType.TIMEOUT, ErrorType.UNKNOWN, ErrorType.SERVER_ERROR

SURE, OPEN = (Outcome.NOT_SENT, Phase.CONNECT), (Outcome.UNKNOWN, Phase.RECEIVE)
LOCAL_ONLY = (Outcome.NOT_SENT, Phase.LOCAL)


class Meaning(NamedTuple):
    """What an exception means: ``before`` and ``after`` are outcome and phase, by whether the request was leaving."""

    error: BaseException
    error_type: ErrorType
    reason: str
    before: tuple[Outcome, Phase]
    after: tuple[Outcome, Phase]
    retryable: bool = True


def connector(cls: type[aiohttp.ClientConnectorError], error: OSError) -> aiohttp.ClientConnectorError:
    """Return an error of aiohttp's connector."""
    return cls(CONNECTION_KEY, error)


def payload(cause: BaseException) -> aiohttp.ClientPayloadError:
    """Return aiohttp's error for a body, as it raises it from what its parser said."""
    error = aiohttp.ClientPayloadError(str(cause))
    error.__cause__ = cause
    return error


MEANING = [
    Meaning(connector(aiohttp.ClientConnectorError, REFUSED), N, "refused", SURE, SURE),
    # Who refuses a connection does not reset it, so this one broke off in the TLS handshake.
    Meaning(connector(aiohttp.ClientConnectorError, RESET), N, "tls", SURE, SURE),
    Meaning(connector(aiohttp.ClientConnectorError, UNREACHABLE), N, "unreachable", SURE, SURE),
    Meaning(connector(aiohttp.ClientConnectorError, OSError(errno.ETIMEDOUT, "late")), N, "connect", SURE, SURE),
    Meaning(connector(aiohttp.ClientConnectorDNSError, REFUSED), N, "dns", SURE, SURE),
    Meaning(
        aiohttp.ClientConnectorCertificateError(CONNECTION_KEY, CERTIFICATE),
        N,
        "certificate",
        SURE,
        SURE,
        retryable=False,
    ),
    Meaning(aiohttp.ClientConnectorSSLError(CONNECTION_KEY, ssl.SSLError("handshake")), N, "tls", SURE, SURE),
    Meaning(aiohttp.ConnectionTimeoutError(), T, "timer", SURE, SURE),
    Meaning(aiohttp.SocketTimeoutError(), T, "timer", SURE, OPEN),
    Meaning(aiohttp.ServerDisconnectedError(), N, "disconnected", SURE, OPEN),
    Meaning(aiohttp.ClientOSError(errno.EPIPE, "Broken pipe"), N, "connection_lost", SURE, OPEN),
    Meaning(aiohttp.ClientConnectionResetError("closing"), N, "reset", SURE, OPEN),
    Meaning(aiohttp.ClientPayloadError("incomplete"), N, "truncated", OPEN, OPEN),
    Meaning(payload(http_exceptions.ContentLengthError("3 of 9")), N, "truncated", OPEN, OPEN),
    Meaning(payload(http_exceptions.TransferEncodingError("no last chunk")), N, "truncated", OPEN, OPEN),
    Meaning(payload(http_exceptions.ContentEncodingError("no gzip")), N, "broken_answer", OPEN, OPEN),
    Meaning(payload(http_exceptions.BadHttpMessage("too many trailers")), N, "broken_answer", OPEN, OPEN),
    Meaning(aiohttp.InvalidUrlClientError("canary"), U, "invalid_url", LOCAL_ONLY, LOCAL_ONLY, retryable=False),
    Meaning(aiohttp.ClientError("other"), N, "http_client", OPEN, OPEN),
    Meaning(http_exceptions.BadStatusLine("canary"), N, "broken_answer", OPEN, OPEN),
    Meaning(TimeoutError(), T, "timer", SURE, OPEN),
    Meaning(socket.gaierror(socket.EAI_NONAME, "no such host"), N, "dns", SURE, SURE),
    Meaning(socket.herror(1, "no such host"), N, "dns", SURE, SURE),
    Meaning(CERTIFICATE, N, "certificate", SURE, SURE, retryable=False),
    Meaning(ssl.SSLEOFError(), N, "tls", SURE, OPEN),
    Meaning(ConnectionRefusedError(), N, "refused", SURE, SURE),
    Meaning(BrokenPipeError(), N, "reset", SURE, OPEN),
    Meaning(asyncio.IncompleteReadError(b"canary", 9), N, "truncated", SURE, OPEN),
    Meaning(OSError(errno.ENETUNREACH, "Network is unreachable"), N, "unreachable", SURE, OPEN),
]


@pytest.mark.parametrize(
    "row", MEANING, ids=[f"{number}-{type(row.error).__name__}-{row.reason}" for number, row in enumerate(MEANING)]
)
def test_what_an_exception_proves(row: Meaning) -> None:
    """The type follows from the class; whether it may have happened also from whether the request was leaving."""
    for sending, (outcome, phase) in ((False, row.before), (True, row.after)):
        expected = Verdict(row.error_type, outcome, phase, row.retryable, row.reason)
        assert expected == classify.exception(row.error, sending=sending)


def subclasses(cls: type[BaseException], module: str) -> list[type[BaseException]]:
    """Return a class and all below it that one module defines."""
    below = [found for child in cls.__subclasses__() for found in subclasses(child, module)]
    return ([cls] if cls.__module__ == module else []) + below


# Local trouble of whoever raises it: files, processes, signals. No table knows these, and they pass through unchanged.
LOCAL = {
    BlockingIOError,
    ChildProcessError,
    FileExistsError,
    FileNotFoundError,
    InterruptedError,
    IsADirectoryError,
    NotADirectoryError,
    OSError,  # without an errno of the network
    PermissionError,
    ProcessLookupError,
}


@pytest.mark.parametrize("cls", subclasses(OSError, "builtins"), ids=full_name)
def test_every_builtin_os_error_is_decided(cls: type[OSError]) -> None:
    """Connections and timers are known, files and processes are not, and Python has no third kind."""
    assert (cls in LOCAL) is (classify.fault_of(cls()) is None)


@pytest.mark.parametrize("module", [socket, ssl], ids=["socket", "ssl"])
def test_every_exception_of_socket_and_ssl_is_known(module: ModuleType) -> None:
    """Whatever class the socket and ssl modules define, one of our rows covers it."""
    classes = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, OSError)]
    specific = [cls for cls in classes if cls not in LOCAL]
    assert len(specific) >= 3
    assert [cls for cls in specific if classify.fault_of(cls()) is None] == []


# Mistakes in a program's own use of asyncio, which no repetition repairs; CancelledError is no error at all.
MISUSE = {
    "BrokenBarrierError",
    "CancelledError",
    "InvalidStateError",
    "LimitOverrunError",
    "QueueEmpty",
    "QueueFull",
    "QueueShutDown",
    "SendfileNotAvailableError",
}


def test_every_exception_of_asyncio_is_decided() -> None:
    """Timers and cut streams are known; misuse of asyncio is not, and Python has no third kind."""
    public = {name: value for name, value in vars(asyncio).items() if inspect.isclass(value)}
    names = {name for name, cls in public.items() if issubclass(cls, BaseException)}
    assert {"TimeoutError", "IncompleteReadError"} == names - MISUSE
    for name in names & MISUSE:
        assert not any(parent in classify.FAULTS for parent in public[name].__mro__)


@pytest.mark.parametrize("code", [errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH])
def test_an_unreachable_network_is_a_network_error(code: int) -> None:
    """An ``OSError`` that has no class of its own is known by its number where that speaks of the network."""
    verdict = Verdict(N, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="unreachable")
    assert verdict == classify.exception(OSError(code, "unreachable"), sending=True)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EMFILE, errno.EIO])
def test_an_os_error_of_the_machine_is_not_the_networks(code: int) -> None:
    """A full disk is no network error."""
    assert classify.exception(OSError(code, "local"), sending=True) is None


async def test_several_failed_addresses_are_one_failed_connection() -> None:
    """Asyncio's plain ``OSError`` for a host of which no address answers is a connection that was not made."""
    loop = asyncio.get_running_loop()
    with socket.socket() as first, socket.socket() as second:
        addresses = []
        for taken in (first, second):  # bound and not listening: a connection is refused, and nobody else gets the port
            taken.bind(("127.0.0.1", 0))
            addresses.append((socket.AF_INET, socket.SOCK_STREAM, 0, "", taken.getsockname()))

        async def both(*_: Any, **__: Any) -> list[Any]:
            return addresses

        loop.getaddrinfo = both  # type: ignore[method-assign]
        with pytest.raises(OSError, match="Multiple exceptions") as caught:
            await loop.create_connection(asyncio.Protocol, "two.example", 1)
    assert Verdict(N, Outcome.NOT_SENT, Phase.CONNECT, retryable=True, reason="connect") == classify.exception(
        caught.value, sending=True
    )


# What of httpx and requests ends a request without an answer. All else of theirs is a mistake of the program, or
# an answer with a status, which is judged by its status.
HTTPX: dict[type[BaseException], tuple[ErrorType, str] | None] = {
    httpx.ConnectTimeout: (T, "not_sent"),
    httpx.PoolTimeout: (T, "not_sent"),
    httpx.ReadTimeout: (T, "unknown"),
    httpx.WriteTimeout: (T, "unknown"),
    httpx.TimeoutException: (T, "unknown"),
    httpx.ConnectError: (N, "not_sent"),
    httpx.ProxyError: (N, "not_sent"),
    httpx.ReadError: (N, "unknown"),
    httpx.WriteError: (N, "unknown"),
    httpx.CloseError: (N, "unknown"),
    httpx.NetworkError: (N, "unknown"),
    httpx.ProtocolError: (N, "unknown"),
    httpx.RemoteProtocolError: (N, "unknown"),
    httpx.TransportError: (N, "unknown"),
    httpx.LocalProtocolError: (U, "not_sent"),
    httpx.UnsupportedProtocol: (U, "not_sent"),
    httpx.InvalidURL: (U, "not_sent"),
    httpx.TooManyRedirects: (S, "unknown"),
    httpx.DecodingError: (N, "unknown"),
    httpx.HTTPStatusError: None,
    httpx.HTTPError: None,
    httpx.RequestError: None,
    httpx.CookieConflict: None,
    httpx.StreamError: None,
    httpx.StreamClosed: None,
    httpx.StreamConsumed: None,
    httpx.ResponseNotRead: None,
    httpx.RequestNotRead: None,
}

REQUESTS: dict[str, tuple[ErrorType, str] | None] = {
    "ConnectTimeout": (T, "not_sent"),
    "ReadTimeout": (T, "unknown"),
    "Timeout": (T, "unknown"),
    "ConnectionError": (N, "unknown"),
    "ProxyError": (N, "not_sent"),
    "SSLError": (N, "unknown"),
    "ChunkedEncodingError": (N, "unknown"),
    "ContentDecodingError": (N, "unknown"),
    "TooManyRedirects": (S, "unknown"),
    "InvalidURL": (U, "not_sent"),
    "InvalidProxyURL": (U, "not_sent"),
    "InvalidSchema": (U, "not_sent"),
    "MissingSchema": (U, "not_sent"),
    "HTTPError": None,
    "InvalidHeader": None,
    "InvalidJSONError": None,
    "JSONDecodeError": None,
    "RequestException": None,
    "RetryError": None,
    "StreamConsumedError": None,
    "URLRequired": None,
    "UnrewindableBodyError": None,
    "CompatJSONDecodeError": None,
}


def meaning(cls: type[BaseException]) -> tuple[ErrorType, str] | None:
    """Return type and outcome of an instance of ``cls`` that a wrapped function raised."""
    verdict = classify.exception(cls.__new__(cls), sending=True)
    return None if verdict is None else (verdict.error_type, str(verdict.outcome))


def test_every_exception_of_httpx_is_decided() -> None:
    """The table knows httpx's classes by name, all of them as they are installed here."""
    found = exceptions_of(iter([httpx]), "httpx")
    assert {cls: meaning(cls) for cls in found} == HTTPX


def test_every_exception_of_requests_is_decided() -> None:
    """The table knows requests' classes by name, all of them as they are installed here."""
    found = exceptions_of(iter([requests.exceptions]), "requests")
    errors = [cls for cls in found if not issubclass(cls, Warning)]
    assert {cls.__name__: REQUESTS[cls.__name__] for cls in errors} == {cls.__name__: meaning(cls) for cls in errors}


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (urllib3.exceptions.NewConnectionError, (N, "not_sent")),
        (urllib3.exceptions.NameResolutionError, (N, "not_sent")),
        (urllib3.exceptions.ConnectTimeoutError, (T, "not_sent")),
        (urllib3.exceptions.ReadTimeoutError, (T, "unknown")),
        (urllib3.exceptions.ProtocolError, (N, "unknown")),
        (urllib3.exceptions.LocationParseError, None),
    ],
    ids=str,
)
def test_the_exceptions_of_urllib3(cls: type[BaseException], expected: tuple[ErrorType, str] | None) -> None:
    """What ends a request of urllib3 is known by name, too."""
    assert expected == meaning(cls)


def test_a_name_is_enough_and_nothing_is_imported_for_it() -> None:
    """A class of an HTTP library is known by where it says it comes from, also below one that is listed."""
    listed = type("ReadTimeout", (Exception,), {"__module__": "httpx"})
    parent = type("TimeoutException", (Exception,), {"__module__": "httpx"})
    child = type("Late", (parent,), {"__module__": "somewhere"})
    assert classify.fault_of(listed()) is None  # httpx's own has a listed parent; this one has none
    assert getattr(classify.fault_of(child()), "error_type", None) == ErrorType.TIMEOUT


def test_foreign_names_exist() -> None:
    """Every name in the table is a class of the library it names, as installed here."""
    modules = {"httpx": httpx, "requests.exceptions": requests.exceptions, "urllib3.exceptions": urllib3.exceptions}
    for name in classify.FOREIGN:
        module, _, cls = name.rpartition(".")
        assert name == full_name(getattr(modules[module], cls))


@pytest.mark.parametrize("cls", [ValueError, KeyError, RuntimeError, AssertionError, KeyboardInterrupt, GeneratorExit])
def test_what_is_not_the_networks_is_not_in_the_table(cls: type[BaseException]) -> None:
    """A mistake in somebody's code is nothing this table judges."""
    assert cls in vars(builtins).values()
    assert classify.exception(cls(), sending=True) is None


def test_no_row_shows_what_it_should_not() -> None:
    """Reasons are words of a catalogue (at most 64), texts are fixed: nothing of an exception is in either."""
    rows = [*classify.FAULTS.values(), *classify.FOREIGN.values()]
    reasons = {row.reason for row in rows}
    assert len(reasons) <= 64
    assert all(reason.replace("_", "").isalpha() and reason.islower() for reason in reasons)
    assert all(row.text and "{" not in row.text for row in rows)
