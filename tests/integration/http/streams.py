"""Answers that arrive piece by piece, when a test says so, and the provider that reads them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel

import buoy
from tests.integration.http.shop import AT_ONCE
from tests.support.faults import BOUND, FaultyServer, Peer, Step

END = b"0\r\n\r\n"


class Item(BaseModel):
    """What a line is."""

    n: int


class Feed(buoy.Provider):
    """Operations whose answers are streamed, of each kind of safety; retries do not wait."""

    retry = AT_ONCE
    timeout = buoy.Timeout(total=60, attempt=20)

    read = buoy.get("/items/{id}")
    items = buoy.get("/items", Item)
    tell = buoy.post("/orders", Item)
    order = buoy.post("/keyed", key_header="Idempotency-Key")


def head(status: int = 200, /, **headers: str) -> bytes:
    """Return the head of a chunked answer; header names are written with ``_`` for ``-``."""
    fields = {"Content-Type": "text/plain", "Transfer-Encoding": "chunked"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(*pieces: bytes, **headers: str) -> Step:
    """Read a request and answer it by these chunks, each in a segment of its own."""
    return said(head(**headers), *map(chunk, pieces), END)


def said(*parts: bytes) -> Step:
    """Read a request and write each part as a segment of its own."""

    async def step(peer: Peer) -> None:
        await peer.read()
        for part in parts:
            await peer.write(part)

    return step


class Tap:
    """A step: an answer whose head comes at once and whose body when the test says so.

    ``begun`` is set when the head is written, ``gone`` when the client has left before the end.
    """

    def __init__(self, status: int = 200, /, *first: bytes, **headers: str) -> None:
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()
        self._head = head(status, **headers) + b"".join(map(chunk, first))
        self._ended = asyncio.Event()
        self._peer: Peer

    async def __call__(self, peer: Peer) -> None:
        """Answer, until the test or the client ends it."""
        await peer.read()
        self._peer = peer
        await peer.write(self._head)
        self.begun.set()
        waits = [asyncio.create_task(peer.reader.read(1)), asyncio.create_task(self._ended.wait())]
        try:
            await asyncio.wait(waits, timeout=BOUND, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.wait(waits)
        if not self._ended.is_set():
            self.gone.set()

    async def pour(self, *pieces: bytes) -> None:
        """Send pieces of the body."""
        await self._peer.write(b"".join(map(chunk, pieces)))

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        await self._peer.write(data)

    async def end(self, *pieces: bytes) -> None:
        """Send the last pieces, and the end of the body."""
        self._ended.set()
        await self._peer.write(b"".join(map(chunk, pieces)) + END)

    def cut(self) -> None:
        """Close the connection where the body is."""
        self._ended.set()
        self._peer.close()

    async def left(self) -> None:
        """Wait until the client has left."""
        async with asyncio.timeout(BOUND):
            await self.gone.wait()


def skip(seconds: float) -> None:
    """Let the loop's clock jump: whatever timer is due by then fires, and nobody has waited."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    setattr(loop, "time", lambda: clock() + seconds)  # noqa: B010  # a method


@asynccontextmanager
async def feeding(*scripts: Sequence[Step], **options: Any) -> AsyncIterator[tuple[FaultyServer, Feed]]:
    """Open a server and a provider for it."""
    async with FaultyServer(*scripts) as server, Feed(base_url=server.url, **options) as feed:
        yield server, feed


async def collected(items: AsyncIterator[Any]) -> list[Any]:
    """Read to the end."""
    async with asyncio.timeout(BOUND):
        return [item async for item in items]
