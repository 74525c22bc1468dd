"""A scripted HTTP peer in the test's own loop, on a real socket: it keeps what it read and answers as it was told."""

import asyncio
from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

CUT = b"cut"  # close the connection without an answer
HANG = b"hang"  # read the request and say nothing


def answer(status: int = 200, body: bytes = b"{}", *, length: int | None = None, **headers: str) -> bytes:
    """Return an answer; ``length`` above the body's own makes it a truncated one, ``_`` in a header's name is ``-``."""
    lines = [f"HTTP/1.1 {status} Said"]
    headers = {"Content_Type": "application/json", **headers, "Content_Length": str(length or len(body))}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body + (CUT if length else b"")


class Heard(NamedTuple):
    """One request as it came in."""

    line: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """Answers each request with the next line of ``script``, and with an empty object when there is none."""

    def __init__(self, *script: bytes) -> None:
        self.script = deque(script)
        self.heard: list[Heard] = []
        self.url = ""
        self.reading = asyncio.Event()
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def __aenter__(self) -> Self:
        """Listen on a free port of the loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up on everybody."""
        self._server.close()
        serving = [task for task in self._open.values() if task is not None]
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.gather(*serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        try:
            while True:
                self.heard.append(await _request(reader))
                said = self.script.popleft() if self.script else answer()
                if said == HANG:
                    self.reading.set()
                    continue
                writer.write(said.removesuffix(CUT))
                await writer.drain()
                if said.endswith(CUT):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            del self._open[writer]
            writer.close()


async def _request(reader: asyncio.StreamReader) -> Heard:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return Heard(head[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))
