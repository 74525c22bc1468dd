"""Faults of what comes first: no HTTP at all, status lines, interim answers, headers."""

from buoy import ErrorType, Outcome
from tests.integration.http.fault_table.row import (
    ANSWERED,
    ANSWERED_LAST,
    BODY,
    BROKEN,
    CANARY,
    EMPTY,
    Section,
    said,
)
from tests.integration.http.fault_table.wire import at_once, in_pieces, sized


def _status(line: bytes) -> bytes:
    """Return a whole answer with another status line."""
    return sized().replace(b"HTTP/1.1 200 OK", line)


GARBAGE = Section(
    title="What is not HTTP",
    text="One look at it is enough: the connection is closed, and aiohttp repeats nothing.",
    rows=[
        at_once("a banner of SSH", f"SSH-2.0-{CANARY}\r\n".encode(), BROKEN),
        at_once("a banner of SMTP", f"220 {CANARY} ESMTP ready\r\n".encode(), BROKEN),
        at_once("bytes of nothing", bytes(64), BROKEN),
        at_once("a page without a head", b"<!doctype html><title>It works</title>\r\n\r\n", BROKEN),
        at_once("an alert of TLS", bytes.fromhex("15030100020246"), BROKEN),
        at_once("a handshake of TLS", bytes.fromhex("160303007a0200007603"), BROKEN),
        at_once("the settings frame of HTTP/2", bytes.fromhex("000012040000000000000300000064"), BROKEN),
        at_once("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BROKEN),
        at_once("a status line of 100 kB", _status(b"HTTP/1.1 200 " + b"x" * 100_000), BROKEN),
    ],
)

STATUS = Section(
    title="Status lines and interim answers",
    text="A status is three digits, and an answer's is at least 200: what is less is not the answer yet.",
    rows=[
        at_once("no status", _status(b"HTTP/1.1"), BROKEN),
        at_once("a status of two digits", _status(b"HTTP/1.1 20 OK"), BROKEN),
        at_once("a status of four digits", _status(f"HTTP/1.1 2000 {CANARY}".encode()), BROKEN),
        at_once("a negative status", _status(b"HTTP/1.1 -200 OK"), BROKEN),
        at_once("status 000", _status(b"HTTP/1.1 000 OK"), BROKEN),
        at_once("status 099", _status(b"HTTP/1.1 099 OK"), BROKEN),
        at_once("status 999", _status(b"HTTP/1.1 999 What"), said(ErrorType.UNKNOWN, Outcome.UNKNOWN)),
        at_once("HTTP/1.9", _status(b"HTTP/1.9 200 OK"), BROKEN),
        at_once("HTTP/9.9", _status(b"HTTP/9.9 200 OK"), BROKEN),
        at_once("HTTP/2.0", _status(b"HTTP/2.0 200 OK"), ANSWERED_LAST),
        at_once("HTTP/1.0", _status(b"HTTP/1.0 200 OK"), ANSWERED_LAST),
        at_once("a status without words", _status(b"HTTP/1.1 200"), ANSWERED),
        at_once("empty lines, then the answer", b"\r\n\r\n\r\n" + sized(), ANSWERED),
        at_once("`100 Continue`, then the answer", b"HTTP/1.1 100 Continue\r\n\r\n" + sized(), ANSWERED),
        in_pieces(
            "`103 Early Hints`, later the answer",
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
            sized(),
            becomes=ANSWERED,
        ),
        at_once(
            "a hundred interim answers, then the answer", b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + sized(), ANSWERED
        ),
        at_once(
            "`101 Switching Protocols` that nobody asked for",
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            BROKEN,
        ),
        at_once("`101` without a protocol, then an answer", b"HTTP/1.1 101 Why\r\n\r\n" + sized(), BROKEN),
    ],
)

_MANY = 1000
_LONG = 2**20


def _with(*fields: bytes) -> bytes:
    """Return a whole answer with further headers."""
    return sized(BODY, *fields)


HEADERS = Section(
    title="Headers",
    text="What could be read in two ways is not read at all; what is odd and has one meaning is read. The limits are\n"
    "aiohttp's: 8190 bytes for a header, 128 headers.",
    rows=[
        at_once("a header without a colon", _with(CANARY.encode()), BROKEN),
        at_once("a header without a name", _with(b": x"), BROKEN),
        at_once("a space before the colon", _with(b"X-Odd : x"), BROKEN),
        at_once("NUL in a name", _with(b"X-\0Odd: x"), BROKEN),
        at_once("NUL in a value", _with(f"X-Odd: {CANARY}\0b".encode()), BROKEN),
        at_once("a lone CR in a value", _with(b"X-Odd: a\rb"), BROKEN),
        at_once("lines that end with CR alone", sized().replace(b"\r\n", b"\r"), BROKEN),
        at_once("a header of 1 MiB", _with(b"X-Odd: " + b"x" * _LONG), BROKEN),
        at_once("1 MiB of headers", _with(*[b"X-%d: %s" % (n, b"x" * 8000) for n in range(_LONG // 8000)]), BROKEN),
        at_once("1,000 headers", _with(*[b"X-%d: x" % n for n in range(_MANY)]), BROKEN),
        at_once("100 headers", _with(*[b"X-%d: x" % n for n in range(100)]), ANSWERED),
        at_once("a folded header", _with(b"X-Odd: a", b"  b"), ANSWERED),
        at_once("lines that end with LF alone", sized().replace(b"\r\n", b"\n"), ANSWERED),
        at_once("control characters in a value", _with(b"X-Odd: \x01\x7f"), ANSWERED),
        at_once("a value that is no UTF-8", _with(b"X-Odd: \xe9\xff"), ANSWERED),
        at_once("a header many times", _with(*[b"X-Odd: x"] * 100), ANSWERED),
        at_once("a 204 without any header", b"HTTP/1.1 204 No Content\r\n\r\n", EMPTY),
    ],
)
