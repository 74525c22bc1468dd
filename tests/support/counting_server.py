"""A real HTTP server in the test's own loop that counts what reaches it, says what it is told, and can go away.

It reads requests without a body. What it counts is a second opinion on what Buoy says of itself.
"""

import asyncio
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.eventually import until

_ABORT = struct.pack("ii", 1, 0)  # closing with SO_LINGER at 0 is a reset

# From a request's target to the whole answer.
Says = Callable[[str], bytes]


class CountingServer:
    """Answers each request with ``says(target)``, asked when the answer goes out; while held back, nothing goes out."""

    def __init__(self, says: Says) -> None:
        self.says = says
        self.targets: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.at_once = self.most_at_once = 0
        self.connections = self.most_connections = 0
        self._holding = False
        self._held: deque[asyncio.Future[None]] = deque()
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @property
    def requests(self) -> int:
        """How many requests have been read."""
        return self.targets.total()

    @property
    def listening(self) -> bool:
        """Whether it is there."""
        return self._server is not None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def hold(self) -> None:
        """Answer nobody until :meth:`release`."""
        self._holding = True

    def release(self) -> None:
        """Answer everybody who waits, and whoever comes."""
        self._holding = False
        self._let_go(len(self._held))

    async def let_go(self, number: int) -> None:
        """Answer the first so many of those who wait, and go on holding back the others and whoever comes."""
        answered = self.statuses.total() + number
        self._let_go(number)
        await until(lambda: self.statuses.total() == answered)

    async def refuse(self) -> None:
        """Go away: reset all connections and refuse new ones. The port stays ours."""
        assert self._server is not None
        self._server.close()
        self._server = None
        for task, writer in list(self._serving.items()):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def listen(self) -> None:
        """Come back on the same port."""
        self._server = await asyncio.start_server(self._serve, sock=_bound(self.port))

    async def __aenter__(self) -> Self:
        """Listen on a free port of the loopback."""
        # This socket never listens: it keeps the port while the server is away.
        self._guard = _bound(0)
        self.port: int = self._guard.getsockname()[1]
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            await self.refuse()
        self._guard.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                said = await self._answer(head.split(b" ", 2)[1].decode())
                writer.write(said)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or we go away
        finally:
            self.connections -= 1
            del self._serving[task]
            writer.close()

    async def _answer(self, target: str) -> bytes:
        self.targets[target] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self._holding:
                self._held.append(asyncio.get_running_loop().create_future())
                await self._held[-1]
        finally:
            self.at_once -= 1
        said = self.says(target)
        self.statuses[int(said.split(b" ", 2)[1])] += 1
        return said

    def _let_go(self, number: int) -> None:
        for _ in range(number):
            held = self._held.popleft()
            if not held.done():  # cancelled: we went away
                held.set_result(None)


def _bound(port: int) -> socket.socket:
    """Return a socket bound to the port; several may be, as long as one listens."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)  # noqa: FBT003  # the name of the method says what it is
    bound.bind(("127.0.0.1", port))
    return bound
