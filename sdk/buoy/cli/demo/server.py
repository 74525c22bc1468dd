"""The demo's provider: a process that serves a site, spoils some answers as the plan says, and logs what it read.

``python -m buoy.cli.demo.server --port 0 --log FILE.jsonl --seed N``. It owns the listening socket and its restarts;
the plan is in ``faults.py``, the log in ``journal.py``. Nothing of the SDK is used: what it logs is a second opinion.
"""

import argparse
import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from buoy.cli.demo.connection import ABORT, Connection, Parts
from buoy.cli.demo.depot import Depot
from buoy.cli.demo.faults import Dice
from buoy.cli.demo.journal import Journal
from buoy.cli.demo.lifeline import announce, on_end
from buoy.cli.demo.quota import Quota
from buoy.cli.demo.shop import Shop
from buoy.cli.demo.site import Site

HOST = "127.0.0.1"
BACKLOG = 128


class Server:
    """The listening socket and all connections. A restart takes ``away`` seconds; ``restarts`` has random ones."""

    def __init__(
        self,
        port: int,
        dice: Dice,
        journal: Journal,
        *,
        away: float,
        restarts: bool,
        quota: int | None = None,
        site: Site | None = None,
    ) -> None:
        # This socket never listens. It holds the port through a restart: the kernel would give it to somebody else, or
        # connect a client that calls it to itself.
        self._guard = _bound(port)
        self.port: int = self._guard.getsockname()[1]
        self._parts = Parts(site=site or Shop(), dice=dice, journal=journal, quota=Quota(quota))
        self._journal = journal
        self._dice = dice
        self._away = away
        self._random_restarts = restarts
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._restarts: list[asyncio.Task[None]] | None = None
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """Accept connections from now on.

        Without asyncio's own server: what that has accepted but not yet handed over when it is closed, it forgets.
        """
        self._socket = _bound(self.port)
        self._socket.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._socket, self._accept, self._socket)
        self._journal.note("listening", port=self.port)

    async def stop(self) -> None:
        """Drop everything and end."""
        restarts = self._restarts or []
        for task in restarts:
            task.cancel()
        failures = await asyncio.gather(*restarts, return_exceptions=True)
        if self._socket is not None:
            self._close(self._socket, "stop")
        await asyncio.gather(*self._tasks)
        self._guard.close()
        for failure in failures:
            if isinstance(failure, Exception):
                raise failure

    def restart(self) -> None:
        """Go away now, and come back on the same port."""
        self._restart_in(0.0)

    def _restart_in(self, seconds: float) -> None:
        if self._restarts is None:
            self._restarts = []
        self._restarts.append(asyncio.get_running_loop().create_task(self._restart(seconds)))

    async def _restart(self, after: float) -> None:
        await asyncio.sleep(after)
        if self._socket is None:
            return  # away already
        self._close(self._socket, "restart")
        await asyncio.sleep(self._away)
        self.listen()

    def _accept(self, listening: socket.socket) -> None:
        if self._restarts is None:
            self._restarts = []
            for seconds in self._dice.restarts() if self._random_restarts else ():
                self._restart_in(seconds)
        for accepted in _waiting(listening):
            task = asyncio.get_running_loop().create_task(self._serve(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        connection = Connection(await _streams(accepted), self._parts, self.restart)
        if self._socket is None:  # accepted just before the restart
            self._journal.note("reset_unread")
            connection.drop("restart")
        self._connections.add(connection)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    def _close(self, listening: socket.socket, reason: str) -> None:
        """Stop listening and reset every connection, noting how many had a request that we have not read."""
        since = time.time_ns()
        unread = in_flight = 0
        asyncio.get_running_loop().remove_reader(listening)
        for waiting in _waiting(listening):
            waiting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            waiting.close()
            unread += 1
        listening.close()
        self._socket = None
        for connection in self._connections:
            in_flight += connection.ending is not None
            unread += connection.ending is None
            connection.drop(reason)
        self._journal.note("closed", reason=reason, since=since, unread=unread, in_flight=in_flight)


def _bound(port: int) -> socket.socket:
    """Return a socket bound to the port, not listening yet; several may be, as long as one listens."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)  # noqa: FBT003  # the name of the method says what it is
    bound.bind((HOST, port))
    return bound


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """Accept the connections that wait now."""
    while True:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        yield accepted


async def _streams(accepted: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    accepted.setblocking(False)  # noqa: FBT003  # the name of the method says what it is
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, protocol = await loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader), accepted)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def stop() -> None:
        loop.call_soon_threadsafe(ended.set)

    on_end(stop)
    is_depot = options.site == Depot.name
    journal = Journal(options.log, heads=is_depot)
    server = Server(
        options.port,
        Dice(options.seed, options.faults),
        journal,
        away=options.away,
        restarts=options.restarts,
        quota=options.quota,
        site=Depot() if is_depot else Shop(options.depot),
    )
    server.listen()
    announce(server.port)
    await ended.wait()
    await server.stop()
    journal.close()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="buoy.cli.demo.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument("--log", type=Path, required=True, help="file for the log, overwritten")
    parser.add_argument("--seed", type=int, default=0, help="seed of the dice")
    parser.add_argument("--faults", choices=("all", "none"), default="all", help="random faults; X-Fault always works")
    parser.add_argument("--restarts", action=argparse.BooleanOptionalAction, default=True, help="random restarts")
    parser.add_argument("--away", type=float, default=1.0, metavar="SECONDS", help="how long a restart takes")
    parser.add_argument(
        "--quota", type=int, metavar="N", help="requests per second, told in headers (default: no quota)"
    )
    parser.add_argument("--site", choices=("shop", Depot.name), default="shop", help="what is served")
    parser.add_argument("--depot", default="", metavar="ORIGIN", help="where the shop sends on who asks for parcels")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
