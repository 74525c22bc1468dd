"""A forward proxy on a bare socket, in the loop of the test: it tunnels (CONNECT), and passes on what comes in clear.

It wants credentials where it was told some, refuses or hangs up where it was told to, and keeps what it was asked.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from multidict import CIMultiDict
from yarl import URL


class Asked(NamedTuple):
    """The head of one request as the proxy read it."""

    method: str
    target: str
    headers: CIMultiDict[str]


class ForwardProxy:
    """The proxy. Entered, it listens on a free port of 127.0.0.1; left, all its connections are gone.

    ``credentials``: the ``Proxy-Authorization`` that it wants. ``refuses``: the status it answers everything with, 0 to
    hang up instead. ``hangs_up_in_tunnel``: it grants a tunnel that leads nowhere. ``garbles``: it says no HTTP at all.
    """

    def __init__(
        self,
        *,
        credentials: str | None = None,
        refuses: int | None = None,
        hangs_up_in_tunnel: bool = False,
        garbles: bool = False,
    ) -> None:
        self.credentials = credentials
        self.refuses = refuses
        self.hangs_up_in_tunnel = hangs_up_in_tunnel
        self.garbles = garbles
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._handlers: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Its URL, without credentials."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop listening and end every connection."""
        assert self._server is not None
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        if self._handlers:
            await asyncio.wait(self._handlers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one end left, or the test is over
        finally:
            writer.close()
            self._handlers.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Deal with one request; tell whether the connection goes on."""
        asked = _head(await reader.readuntil(b"\r\n\r\n"))
        self.asked.append(asked)
        status = self.refuses
        if status is None and self.credentials not in {None, asked.headers.get("Proxy-Authorization")}:
            status = 407
        if self.garbles:
            writer.write(b"I am no proxy\r\n\r\n")
            return False
        if status is not None:
            if status:
                writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status)
            return bool(status)
        if asked.method == "CONNECT":
            await self._tunnel(asked, reader, writer)
            return False
        return await _pass_on(asked, reader, writer)

    async def _tunnel(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = asked.target.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if not self.hangs_up_in_tunnel:
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))
        finally:
            far_writer.close()


async def _pass_on(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send one request on, without what was for the proxy, over a connection of its own (RFC 9110 section 7.6)."""
    url = URL(asked.target)
    body = await reader.readexactly(int(asked.headers.get("Content-Length", "0")))
    far_reader, far_writer = await asyncio.open_connection(url.host, url.port)
    kept = [item for item in asked.headers.items() if item[0] not in {"Proxy-Authorization", "Connection"}]
    lines = "".join(f"{name}: {value}\r\n" for name, value in kept)
    far_writer.write(f"{asked.method} {url.raw_path_qs} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
    head = await far_reader.readuntil(b"\r\n\r\n")
    length = int(_fields(head).get("Content-Length", "0"))
    writer.write(head + await far_reader.readexactly(length))
    far_writer.close()
    return True


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(2**16):
            target.write(data)
            await target.drain()
        target.write_eof()


def _head(said: bytes) -> Asked:
    method, target, _ = said.decode("latin-1").split("\r\n", 1)[0].split(" ")
    return Asked(method, target, _fields(said))


def _fields(said: bytes) -> CIMultiDict[str]:
    lines = [line.partition(": ") for line in said.decode("latin-1").rstrip("\r\n").split("\r\n")[1:]]
    return CIMultiDict((name, value) for name, _, value in lines)
