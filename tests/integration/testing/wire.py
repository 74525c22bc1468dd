"""A client that is no HTTP library: it writes bytes and sees exactly which bytes come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Streams]:
    """Connect, and hang up at the end."""
    target = URL(url)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def request(method: str, path: str, body: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a request; ``length`` above the body's own makes it one that never ends."""
    size = len(body) if length is None else length
    return f"{method} {path} HTTP/1.1\r\nHost: remote\r\nContent-Length: {size}\r\n\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, dict[str, str]]:
    """Return the status line and the headers of an answer, each by its lower-case name."""
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    return line.encode(), {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
