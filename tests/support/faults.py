"""A server on a bare socket whose connections misbehave on purpose, in the loop of the test.

Connection n follows script n, step by step, and then answers 200 until the client leaves; so does every connection
beyond the scripts. It is no HTTP implementation: it reads what aiohttp writes, and writes what a test asks for.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from multidict import CIMultiDict

# Nothing here takes a second; this is only where a broken test stops waiting.
BOUND = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request, read to its end."""

    connection: int
    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


async def turns(count: int = 4) -> None:
    """Let the loop turn: what either end of a loopback connection wrote has then reached the other."""
    for _ in range(count):
        await asyncio.sleep(0)


class Peer:
    """One connection, as a step sees it."""

    def __init__(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: "FaultyServer"
    ) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self._log = log
        self._first = b""

    async def first(self) -> bytes:
        """Wait for the first byte of a request, which has arrived then, whatever becomes of the rest."""
        if not self._first:
            self._first = await self.reader.readexactly(1)
            self._log.arrived += 1
        return self._first

    async def read(self) -> Received:
        """Read and record one request. Raises ``IncompleteReadError`` when the client left."""
        head = (await self.first() + await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(": ")
            headers.add(name, value)
        request = Received(self.number, method, target, headers, await self._body(headers))
        self._first = b""
        self._log.record(request)
        return request

    async def _body(self, headers: CIMultiDict[str]) -> bytes:
        if headers.get("Transfer-Encoding") != "chunked":
            return await self.reader.readexactly(int(headers.get("Content-Length", "0")))
        body = b""
        while size := int(await self.reader.readuntil(b"\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def write(self, said: bytes) -> None:
        """Write, and let the client take it in before anything else is written."""
        self.writer.write(said)
        await self.writer.drain()
        await turns()

    def close(self) -> None:
        """Close properly."""
        self.writer.close()

    def reset(self) -> None:
        """Close with a reset instead of a proper end: what the client sent or will read is lost."""
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def cut(self) -> None:
        """End the connection this very moment, before the client's loop can take notice of it."""
        self._socket().shutdown(socket.SHUT_RDWR)

    def _socket(self) -> socket.socket:
        found: socket.socket = self.writer.get_extra_info("socket")
        return found


Step = Callable[[Peer], Awaitable[None]]
End = Callable[[Peer], None]


def message(status: int, body: bytes, headers: dict[str, str], *, length: int | None = None) -> bytes:
    """Return an answer as bytes; ``length`` is what its Content-Length claims."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body) if length is None else length)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**fields, **headers}.items() if value)
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode("latin-1") + body


def answer(status: int = 200, body: bytes = b"{}", /, **headers: str) -> Step:
    """Read a request and answer it; header names are written with ``_`` for ``-``, an empty value takes one away."""

    async def step(peer: Peer) -> None:
        request = await peer.read()
        bodiless = request.method == "HEAD" or status in {204, 304}
        said = message(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
        peer.writer.write(said[: -len(body)] if bodiless and body else said)
        await peer.writer.drain()

    return step


def raw(said: bytes) -> Step:
    """Read a request and write these bytes."""

    async def step(peer: Peer) -> None:
        await peer.read()
        peer.writer.write(said)
        await peer.writer.drain()

    return step


def say(*parts: bytes, end: End | None = None) -> Step:
    """Read a request and write each part as a segment of its own; then keep the connection, or ``end`` it."""

    async def step(peer: Peer) -> None:
        await peer.read()
        for part in parts:
            await peer.write(part)
        if end is not None:
            end(peer)

    return step


def drip(head: bytes, rest: bytes, *, every: float) -> Step:
    """Read a request, write ``head``, and then a byte of the ``rest`` ``every`` so many seconds."""

    async def step(peer: Peer) -> None:
        await peer.read()
        await peer.write(head)
        for byte in rest:
            await peer.write(bytes([byte]))
            await asyncio.sleep(every)  # slowness is the fault, and the client's timer is what ends it

    return step


def endless(head: bytes, piece: bytes) -> Step:
    """Read a request, write ``head`` and then ``piece`` for as long as the client takes it."""

    async def step(peer: Peer) -> None:
        await peer.read()
        await peer.write(head)
        while not peer.writer.is_closing():
            await peer.write(piece)

    return step


def truncated(body: bytes = b'{"id": 1', length: int = 1000) -> Step:
    """Read a request, promise ``length`` bytes and close after ``body``."""

    async def step(peer: Peer) -> None:
        await peer.read()
        peer.writer.write(message(200, body, {}, length=length))
        peer.writer.close()

    return step


async def reset_unread(peer: Peer) -> None:
    """Reset the connection as soon as the first byte of a request is there, without reading it."""
    await peer.first()
    peer.reset()


async def reset_read(peer: Peer) -> None:
    """Read a request and reset the connection."""
    await peer.read()
    peer.reset()


async def close_read(peer: Peer) -> None:
    """Read a request and close the connection without an answer."""
    await peer.read()
    peer.writer.close()


async def hang(peer: Peer) -> None:
    """Read a request and say nothing until the client leaves."""
    await peer.read()
    await _until_gone(peer)


async def hang_in_body(peer: Peer) -> None:
    """Read a request, begin an answer and never end it."""
    await peer.read()
    peer.writer.write(message(200, b'{"id":', {}, length=1000))
    await _until_gone(peer)


async def _until_gone(peer: Peer) -> None:
    async with asyncio.timeout(BOUND):  # a client that waits for ever must fail its test, not stop the run
        await peer.reader.read()


_OK = answer()


class FaultyServer:
    """The server. Entered, it listens on a free port of 127.0.0.1; left, all its connections are gone.

    ``arrived`` counts the requests of which at least a byte was read. With ``tls`` it speaks https.
    """

    def __init__(self, *scripts: Sequence[Step], tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.connections: list[Peer] = []
        self.arrived = 0
        self._busy = 0
        self._scripts = list(scripts)
        self._tls = tls
        self._changed = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen; a port that was used before is used again."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening and end every connection."""
        self.stop_listening()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)
        self._server = None

    def stop_listening(self) -> None:
        """Refuse further connections; those that are there stay."""
        assert self._server is not None
        self._server.close()

    def add(self, *scripts: Sequence[Step]) -> None:
        """Give scripts to the connections after those that have one."""
        self._scripts += scripts

    def record(self, request: Received) -> None:
        """Keep a request that was read."""
        self.received.append(request)
        self._changed.set()

    async def wait_for(self, count: int) -> None:
        """Wait until ``count`` requests have been read."""
        await self._until(lambda: len(self.received) >= count)

    async def said_all(self) -> None:
        """Wait until every connection is through with its script."""
        await self._until(lambda: self._busy == 0)
        await turns()

    async def left_alone(self) -> None:
        """Wait until the client has left every connection."""
        await self._until(lambda: not self._handlers)

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND):
            while not reached():
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        number = len(self.connections)
        peer = Peer(number, reader, writer, self)
        self.connections.append(peer)
        try:
            await self._play(peer)
            while not writer.is_closing():
                await _OK(peer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.close()
            self._handlers.discard(task)
            self._changed.set()

    async def _play(self, peer: Peer) -> None:
        self._busy += 1
        try:
            for step in self._scripts[peer.number] if peer.number < len(self._scripts) else ():
                await step(peer)
        finally:
            self._busy -= 1
            self._changed.set()
