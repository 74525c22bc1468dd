"""Faults of bodies: how long they are, how they are chunked, how they are encoded."""

import gzip
import zlib

from buoy import ErrorType, Outcome
from tests.integration.http.fault_table.row import (
    ANSWERED,
    ANSWERED_LAST,
    BODY,
    BROKEN,
    CANARY,
    EMPTY,
    TRUNCATED,
    Becomes,
    Ending,
    Row,
    Section,
    half_said,
    undecodable,
)
from tests.integration.http.fault_table.wire import JSON, OK, at_once, chunked, in_pieces, on_wire, sized
from tests.support.faults import Peer, say

# An answer without a body; what came after it was thrown away, with the connection.
_EMPTY_LAST = Becomes(Ending(), Ending())


def _status(status: bytes, said: bytes) -> bytes:
    return said.replace(b"200 OK", status)


def _head(fault: str, *parts: bytes, becomes: Becomes) -> Row:
    """Return the row for an answer to HEAD."""
    return Row(fault=fault, stage=on_wire(say(*parts)), becomes=Becomes(becomes.read, None), read_method="HEAD")


LENGTH = Section(
    title="How long the body is",
    text="Two opinions about the length are a fault; so is a body where none can be, and more than was promised. What\n"
    "comes after a complete answer costs the connection only.",
    rows=[
        at_once("two different Content-Length", sized(BODY, b"Content-Length: 4"), BROKEN),
        at_once("two equal Content-Length", sized(BODY, b"Content-Length: 3"), BROKEN),
        at_once("a list of equal lengths", sized(length="3, 3"), BROKEN),
        at_once("Content-Length and chunks", chunked(b"3\r\n[7]\r\n0\r\n\r\n", b"Content-Length: 3"), BROKEN),
        at_once("a negative length", sized(length=-3), BROKEN),
        at_once("a length with a plus", sized(length="+3"), BROKEN),
        at_once("a length that is no number", sized(length=CANARY), BROKEN),
        at_once("a length in hexadecimal", sized(length="0x3"), BROKEN),
        at_once("an empty length", sized(length=""), BROKEN),
        at_once("a length of 26 digits", sized(length="9" * 26), BROKEN),
        at_once("a length of 2**64 - 1", sized(length=2**64 - 1), BROKEN),
        at_once("a length of 2**63", sized(length=2**63), BROKEN),
        Row(
            fault="less than promised, then closed",
            stage=on_wire(say(sized(length=9), end=Peer.close)),
            becomes=TRUNCATED,
        ),
        at_once(
            "a length beyond `sizes=`",
            sized(b"", length=2**26 + 1),
            undecodable("too_large", retried=False, kept=False),
        ),
        at_once("more than promised", sized(BODY + CANARY.encode(), length=3), BROKEN),
        in_pieces("more than promised, later", sized(), b"more", becomes=ANSWERED_LAST),
        at_once("a second answer", sized() + sized(b"[8]"), ANSWERED_LAST),
        at_once("204 with a body", _status(b"204 No Content", sized()), BROKEN),
        in_pieces("204, later a body", _status(b"204 No Content", sized(b"", length=3)), BODY, becomes=_EMPTY_LAST),
        at_once("304 with a body", _status(b"304 Not Modified", sized()), BROKEN),
        in_pieces("304, later a body", _status(b"304 Not Modified", sized(b"", length=3)), BODY, becomes=_EMPTY_LAST),
        _head("HEAD: with a body", sized(), becomes=BROKEN),
        _head("HEAD: later a body", sized(b"", length=3), BODY, becomes=_EMPTY_LAST),
        _head("HEAD: with chunks", chunked(), becomes=BROKEN),
        _head("HEAD: as it should be", sized(b"", length=3), becomes=EMPTY),
    ],
)

_HEAD = chunked(b"")


def _both(fault: str, body: bytes, becomes: Becomes) -> list[Row]:
    """Return the rows for chunks that come with their headers, and after them."""
    return [
        at_once(fault, _HEAD + body, becomes),
        in_pieces(f"{fault}, after the headers", _HEAD, body, becomes=becomes),
    ]


CHUNKS = Section(
    title="Chunks",
    text="Where the parser gives up makes no difference: with the headers or long after them.",
    rows=[
        *_both("a size that is no number", f"{CANARY}\r\n[7]\r\n0\r\n\r\n".encode(), BROKEN),
        *_both("a negative size", b"-3\r\n[7]\r\n0\r\n\r\n", BROKEN),
        *_both("a size of 17 digits", b"f" * 17 + b"\r\n[7]\r\n0\r\n\r\n", BROKEN),
        *_both("a chunk that is longer than its size", b"2\r\n[7]\r\n0\r\n\r\n", BROKEN),
        *_both("a chunk that is shorter than its size", b"5\r\n[7]\r\n0\r\n\r\n", BROKEN),
        *_both("no line break after a chunk", b"3\r\n[7]0\r\n\r\n", BROKEN),
        *_both("lines that end with LF alone", b"3\n[7]\n0\n\n", BROKEN),
        *_both("a trailer without a colon", f"3\r\n[7]\r\n0\r\n{CANARY}\r\n\r\n".encode(), BROKEN),
        *_both("1,000 trailers", b"3\r\n[7]\r\n0\r\n" + b"X-Odd: x\r\n" * 1000 + b"\r\n", BROKEN),
        Row(
            fault="no last chunk, then closed",
            stage=on_wire(say(chunked(b"3\r\n[7]\r\n"), end=Peer.close)),
            becomes=TRUNCATED,
        ),
        *_both("extensions", b'3;a=b;c="d"\r\n[7]\r\n0;e\r\n\r\n', ANSWERED),
        *_both("trailers", b"3\r\n[7]\r\n0\r\nX-Odd: x\r\n\r\n", ANSWERED),
        *_both("a chunk for every byte", b"1\r\n[\r\n1\r\n7\r\n1\r\n]\r\n0\r\n\r\n", ANSWERED),
        at_once("Transfer-Encoding twice", chunked(b"3\r\n[7]\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"), ANSWERED),
        at_once(
            "a transfer encoding nobody asked for",
            OK
            + JSON
            + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
            % (len(packed := gzip.compress(BODY, mtime=0)), packed),
            undecodable("malformed"),
        ),
    ],
)


def _encoded(fault: str, coding: str, body: bytes, becomes: Becomes) -> Row:
    return at_once(fault, sized(body, b"Content-Encoding: " + coding.encode()), becomes)


# Not what was asked for; the connection goes with it.
_FOREIGN = undecodable("content_encoding", retried=False, kept=False)
_GZIP, _ZLIB = gzip.compress(BODY, mtime=0), zlib.compress(BODY)

CODINGS = Section(
    title="Content codings",
    text="gzip and deflate are asked for; a body that is not what its header says is a broken answer, and one that\n"
    "breaks off is half of one. A coding that nobody asked for is not undone, and not given away as it is.",
    rows=[
        _encoded("gzip", "gzip", _GZIP, ANSWERED),
        _encoded("gzip, written large", "GZIP", _GZIP, ANSWERED),
        _encoded("gzip in two members", "gzip", gzip.compress(b"[", mtime=0) + gzip.compress(b"7]", mtime=0), ANSWERED),
        _encoded("gzip of nothing", "gzip", b"", EMPTY),
        _encoded("deflate with zlib's header", "deflate", _ZLIB, ANSWERED),
        _encoded("deflate without it", "deflate", _ZLIB[2:-4], ANSWERED),
        _encoded("identity", "identity", BODY, ANSWERED),
        _encoded("a coding nobody knows, and plain JSON", "wibble", BODY, ANSWERED),
        _encoded("plain JSON that says it is gzip", "gzip", BODY, BROKEN),
        in_pieces(
            "plain JSON that says it is gzip, after the headers",
            sized(b"", b"Content-Encoding: gzip", length=3),
            BODY,
            becomes=BROKEN,
        ),
        _encoded("plain JSON that says it is deflate", "deflate", BODY, TRUNCATED),
        _encoded("plain JSON that says it is br", "br", BODY, _FOREIGN),
        _encoded("plain JSON that says it is zstd", "zstd", BODY, _FOREIGN),
        _encoded("gzip with a wrong checksum", "gzip", _GZIP[:-8] + bytes(8), BROKEN),
        _encoded("gzip, and more after it", "gzip", _GZIP + b"more", BROKEN),
        _encoded("x-gzip, another name for it", "x-gzip", _GZIP, ANSWERED),
        _encoded("gzip, padded with zeros", "gzip", _GZIP + bytes(512), ANSWERED),
        _encoded("gzip without its trailer", "gzip", _GZIP[:-8], TRUNCATED),
        _encoded("gzip that breaks off", "gzip", gzip.compress(bytes(range(65, 91)) * 100, mtime=0)[:-20], TRUNCATED),
        _encoded("deflate that breaks off", "deflate", _ZLIB[:-3], TRUNCATED),
        in_pieces(
            "deflate that breaks off, after the headers",
            sized(b"", b"Content-Encoding: deflate", length=len(_ZLIB) - 3),
            _ZLIB[:-3],
            becomes=TRUNCATED,
        ),
        _encoded("gzip within gzip", "gzip, gzip", gzip.compress(_GZIP, mtime=0), _FOREIGN),
    ],
)


def _failing(status: str, becomes: Becomes, *fields: bytes) -> list[Row]:
    """Return the rows for an error whose body does not come whole."""
    line, cut = status.encode(), gzip.compress(bytes(range(65, 91)) * 100, mtime=0)[:-20]
    coded = b"Content-Encoding: gzip"
    named = f"{status}, " + "".join(f"{field.decode()}, " for field in fields)
    return [
        Row(
            fault=f"{named}closed within the body",
            stage=on_wire(say(_status(line, sized(BODY, *fields, length=9)), end=Peer.close)),
            becomes=becomes,
        ),
        Row(
            fault=f"{named}reset within the body",
            stage=on_wire(say(_status(line, sized(BODY, *fields, length=9)), end=Peer.reset)),
            becomes=becomes,
        ),
        in_pieces(
            f"{named}a chunk that is longer than its size, after the headers",
            _status(line, chunked(b"", *fields)),
            b"2\r\n[7]\r\n0\r\n\r\n",
            becomes=becomes,
        ),
        at_once(f"{named}plain JSON that says it is gzip", _status(line, sized(BODY, *fields, coded)), becomes),
        at_once(f"{named}gzip that breaks off", _status(line, sized(cut, *fields, coded)), becomes),
        at_once(f"{named}a coding nobody asked for", _status(line, sized(BODY, *fields, coded + b", br")), becomes),
        at_once(f"{named}a length beyond `sizes=`", _status(line, sized(b"", *fields, length=2**26 + 1)), becomes),
    ]


_AT_ONCE = b"Retry-After: 0"
_BUSY = ErrorType.SERVICE_UNAVAILABLE

ERRORS = Section(
    title="Errors whose body does not come whole",
    text="The status counts, and so does a Retry-After. A note on the exception says that the body was not read. Only\n"
    "where the parser gives up on what comes with the headers, aiohttp does not hand out the status.",
    rows=[
        at_once(
            "404 Not Found, a chunk that is longer than its size",
            _status(b"404 Not Found", chunked(b"2\r\n[7]\r\n0\r\n\r\n")),
            BROKEN,
        ),
        *_failing("404 Not Found", half_said(ErrorType.NOT_FOUND, Outcome.REJECTED)),
        *_failing("503 Busy", half_said(_BUSY, Outcome.UNKNOWN, read=True)),
        *_failing("503 Busy", half_said(_BUSY, Outcome.REJECTED, read=True, write=True), _AT_ONCE),
        *_failing("429 Slow", half_said(ErrorType.RATE_LIMITED, Outcome.REJECTED, read=True, write=True), _AT_ONCE),
    ],
)
