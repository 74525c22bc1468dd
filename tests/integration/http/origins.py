"""Origins that lead from one to the other: servers whose answers are told by path, in the loop of the test."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import buoy
from tests.support.faults import BOUND, FaultyServer, Peer, Received, message

# Told instead of an answer.
Act = Callable[[Peer], Awaitable[None]]
Said = bytes | Act


def say(status: int = 200, body: bytes = b"{}", /, **headers: str) -> bytes:
    """Return an answer; header names are written with ``_`` for ``-``."""
    return message(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def to(location: str, status: int = 302, **headers: str) -> bytes:
    """Return a redirect without a body, so that its connection is kept."""
    return say(status, b"", Location=location, **headers)


async def cut(peer: Peer) -> None:
    """Close the connection."""
    peer.close()


async def hang(peer: Peer) -> None:
    """Say nothing until the client leaves."""
    async with asyncio.timeout(BOUND):
        await peer.reader.read()


class Place(FaultyServer):
    """One origin. ``told`` has the answers of a path, one after the other, the last again and again; others are 200.

    ``localhost`` is the same server as another origin.
    """

    def __init__(self, told: dict[str, list[Said]] | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.told = told or {}

    @property
    def localhost(self) -> str:
        """The same under another name."""
        return self.url.replace("127.0.0.1", "localhost")

    @property
    def lines(self) -> list[str]:
        """Method and target of each request."""
        return [f"{request.method} {request.target}" for request in self.received]

    def names(self, number: int = -1) -> set[str]:
        """Return the names of a request's headers in lower case."""
        return {name.lower() for name in self.received[number].headers}

    async def _play(self, peer: Peer) -> None:
        while not peer.writer.is_closing():
            request = await peer.read()
            said = self._answer(request)
            if callable(said):
                await said(peer)
            else:
                head, _, body = said.partition(b"\r\n\r\n")
                bodiless = request.method == "HEAD" or b" 204 " in head[:14]
                peer.writer.write(head + b"\r\n\r\n" + (b"" if bodiless else body))
                await peer.writer.drain()

    def _answer(self, request: Received) -> Said:
        answers = self.told.get(request.target.partition("?")[0], [say()])
        return answers.pop(0) if len(answers) > 1 else answers[0]


class Caller(buoy.Provider):
    """Calls a path by each method; retries do not wait, and the breaker is none of the matter."""

    retry = buoy.Retry(base=0, throttled_base=0)
    timeout = buoy.Timeout(total=60, attempt=20)
    breaker = None

    read = buoy.get("/{path}")
    make = buoy.post("/{path}")
    keyed = buoy.post("/{path}", name="keyed", key_header="X-Once")
    replace = buoy.put("/{path}")
    free = buoy.get("/{path}", name="free", limit=None)


def caller(place: FaultyServer, **options: Any) -> Caller:
    """Return the provider at its first origin."""
    return Caller(base_url=place.url, **options)


def chain(count: int) -> dict[str, list[Any]]:
    """Return redirects from ``/0`` over ``count`` hops to ``/<count>``."""
    return {f"/{number}": [to(f"/{number + 1}")] for number in range(count)}


def refused(caught: Any) -> tuple[int, str, str]:
    """Return status, type and reason of an error."""
    error: buoy.HttpError = caught.value
    return error.status, str(error.error_type), str(error.reason)
