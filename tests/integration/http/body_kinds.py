"""Every kind of request body, and what should arrive of it."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import buoy
from tests.support.faults import Received

OCTETS = "application/octet-stream"
CONTENT = bytes(range(256)) * 300  # more than one piece of a file
LARGE = bytes(range(256)) * 2**13  # 2 MiB: more than a socket takes at once


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    """Give these pieces."""
    for piece in given or (b"one", b"", CONTENT):
        yield piece


async def waiting() -> bytes:
    """Return a body after a turn of the loop."""
    await asyncio.sleep(0)
    return CONTENT


def path_of(folder: Path) -> Path:
    """Return a file in ``folder``."""
    path = folder / "report.csv"
    path.write_bytes(CONTENT)
    return path


def file_of(content: bytes) -> io.BytesIO:
    """Return an open file."""
    return io.BytesIO(content)


def part(name: str, body: bytes, filename: str | None = None, kind: str = OCTETS) -> bytes:
    """Return one part of a form as it should be on the wire, after its boundary."""
    head = f'Content-Disposition: form-data; name="{name}"'.encode()
    if filename is not None:
        head = f"Content-Type: {kind}\r\n".encode() + head + f'; filename="{filename}"'.encode()
    return head + b"\r\n\r\n" + body


PARTS = (
    part("title", b"a & b"),
    part("tags", b"1"),
    part("tags", b"true"),
    part("data", b"\0\xff", "data"),
    part("report", CONTENT, "report.csv", "text/csv"),
    part("photo", CONTENT, "p.png", "image/png"),
    part("made", b"made", "made"),
)


def form(folder: Path, *more: Any) -> buoy.Multipart:
    """Return a form with fields and all kinds of files."""
    files: dict[str, Any] = {
        "data": b"\0\xff",
        "report": path_of(folder),
        "photo": buoy.File(file_of(CONTENT), filename="p.png"),
        "made": lambda: b"made",
    }
    for content in more:
        files["more"] = buoy.File(content, filename="more", content_type="text/x-log")
    return buoy.Multipart(fields={"title": "a & b", "tags": [1, True], "left": None}, files=files)


class Kind(NamedTuple):
    """A kind of body: the argument that gives it, and what should arrive. A form arrives in ``parts``."""

    give: Callable[[Path], dict[str, Any]]
    content_type: str = OCTETS
    body: bytes | tuple[bytes, ...] = CONTENT
    framing: str | None = str(len(CONTENT))
    replayable: bool = True

    def check(self, received: Received) -> None:
        """Check that exactly this arrived."""
        headers, body = received.headers, self.body
        content_type = headers["Content-Type"]
        if isinstance(body, tuple):
            content_type, _, boundary = content_type.partition("; boundary=")
            between = f"--{boundary}\r\n".encode()
            body = between + (b"\r\n" + between).join(body) + f"\r\n--{boundary}--\r\n".encode()
        assert (content_type, body) == (self.content_type, received.body)
        expected = (None, "chunked") if self.framing == "chunked" else (self.framing or str(len(body)), None)
        assert expected == (headers.get("Content-Length"), headers.get("Transfer-Encoding"))
        assert len(headers.getall("Content-Type")) == 1


MULTIPART = "multipart/form-data"
KINDS = {
    "json": Kind(lambda _: {"json": {"é": [1, None]}}, "application/json", b'{"\\u00e9":[1,null]}', "19"),
    "bytes": Kind(lambda _: {"data": CONTENT}),
    "large bytes": Kind(lambda _: {"data": LARGE}, OCTETS, LARGE, str(len(LARGE))),
    "str": Kind(lambda _: {"data": "é"}, "text/plain; charset=utf-8", b"\xc3\xa9", "2"),
    "form": Kind(
        lambda _: {"data": {"a": "1 2", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", b"a=1+2&b=x&b=y", "13"
    ),
    "path": Kind(lambda folder: {"data": path_of(folder)}),
    "file": Kind(lambda _: {"data": file_of(CONTENT)}),
    "factory": Kind(lambda _: {"data": lambda: CONTENT}),
    "factory of a file": Kind(lambda folder: {"data": lambda: path_of(folder).open("rb")}),
    "async factory": Kind(lambda _: {"data": waiting}),
    "factory of an iterator": Kind(lambda _: {"data": pieces}, OCTETS, b"one" + CONTENT, "chunked"),
    "iterator": Kind(lambda _: {"data": pieces()}, OCTETS, b"one" + CONTENT, "chunked", replayable=False),
    "multipart": Kind(lambda folder: {"data": form(folder)}, MULTIPART, PARTS, None),
    "multipart of fields": Kind(
        lambda _: {"data": buoy.Multipart(fields={"a": 1})}, MULTIPART, (part("a", b"1"),), None
    ),
    "multipart with an iterator": Kind(
        lambda folder: {"data": form(folder, pieces())},
        MULTIPART,
        (*PARTS, part("more", b"one" + CONTENT, "more", "text/x-log")),
        "chunked",
        replayable=False,
    ),
}
AGAIN = {name: kind for name, kind in KINDS.items() if kind.replayable}
ONCE = {name: kind for name, kind in KINDS.items() if not kind.replayable}
