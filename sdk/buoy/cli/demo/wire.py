"""HTTP/1.1 as the demo servers speak it: requests off a stream, answers into bytes. Knows no faults and no sites.

Our own few lines instead of aiohttp.web, because the server must stop in the middle of what a correct one would finish.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_BODY = 1 << 20
END_OF_HEAD = b"\r\n\r\n"


class MalformedError(Exception):
    """What came is not a request we can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, its body as far as it was read; ``head`` is all that came before it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    head: str
    body: bytes = b""

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. ``pieces`` are what is sent one after the other, each when it is there, instead of ``body``."""

    status: int
    body: bytes = b""
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    pieces: tuple[bytes, ...] = ()
    compressed: bool = False

    @property
    def size(self) -> int:
        """How many bytes of body there are, before they are compressed."""
        return len(self.body) + sum(map(len, self.pieces))


def as_json(status: int, value: object, **headers: str) -> Answer:
    """Return an answer whose body is ``value``."""
    return Answer(status=status, body=json.dumps(value).encode(), headers=headers)


def moved(status: int, location: str) -> Answer:
    """Return an answer that leads elsewhere."""
    return replace(as_json(status, {"moved": True}), location=location)


def head_of(answer: Answer, headers: Mapping[str, str], length: int | None) -> bytes:
    """Return what comes before the body, which has this length or is sent in chunks."""
    fields = {"Content-Type": answer.kind, **headers, **answer.headers}
    if length is None:
        fields["Transfer-Encoding"] = "chunked"
    else:
        fields["Content-Length"] = str(length)
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + END_OF_HEAD


def chunk(piece: bytes) -> bytes:
    """Return one piece as a chunk; an empty one is the end of the body."""
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"


async def read_head(reader: asyncio.StreamReader, first: bytes) -> Request:
    """Read the head of a request whose first bytes were read already.

    Raises :class:`MalformedError`, or :class:`asyncio.IncompleteReadError` where the client left in the middle.
    """
    try:
        head = (first + await reader.readuntil(END_OF_HEAD)).decode("latin-1")
        method, target, headers = _parse_head(head)
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise MalformedError(str(error)) from error
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(method=method, path=unquote(url.path), query=query, headers=headers, head=head)


async def read_body(reader: asyncio.StreamReader, request: Request) -> Request:
    """Return the request with its body. Raises as :func:`read_head` does."""
    try:
        return replace(request, body=await _read_body(reader, request.headers))
    except (ValueError, asyncio.LimitOverrunError) as error:
        raise MalformedError(str(error)) from error


def _parse_head(head: str) -> tuple[str, str, dict[str, str]]:
    first, *rest = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    if version != "HTTP/1.1":
        raise ValueError(f"version {version!r}, not HTTP/1.1")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"header line without a colon: {line!r}")
        headers[name.strip().lower()] = value.strip()
    return method, target, headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY:
        raise ValueError(f"Content-Length {length}: allowed are 0 to {MAX_BODY}")
    return await reader.readexactly(length)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not 0 <= size <= MAX_BODY - len(body):
            raise ValueError(f"a body above {MAX_BODY} bytes")
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return body
        body += chunk[:-2]
