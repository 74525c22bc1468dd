"""Faults before the request leaves: names, addresses, ports, TLS. Nothing arrives, so everything may be retried."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from tests.integration.http.fault_table.row import (
    ANSWERED,
    CANARY,
    LATE_UNSENT,
    Becomes,
    Customer,
    Ending,
    Row,
    Scene,
    Section,
    Stage,
    unsent,
)
from tests.integration.http.fault_table.wire import sized
from tests.support import certificates
from tests.support.faults import FaultyServer, Peer, Step, say

_ATTEMPT = 0.05  # none of these can be too short: whenever it ends, nothing was sent


def connector_of(customer: Customer) -> aiohttp.TCPConnector:
    """Return the pool of connections of a provider that is open."""
    assert customer._transport is not None
    connector = customer._transport._pool.session.connector
    assert isinstance(connector, aiohttp.TCPConnector)
    return connector


class Place:
    """An address where something is wrong, until a good server takes it over."""

    def __init__(
        self, url: str, servers: list[FaultyServer], mend: Callable[[Customer], Awaitable[None]], *, trusted: bool
    ) -> None:
        self.url = url
        self._servers = servers
        self._mend = mend
        self._trusted = trusted

    @property
    def arrived(self) -> int:
        """How many requests arrived."""
        return sum(server.arrived for server in self._servers)

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return sum(len(server.connections) for server in self._servers)

    async def prepare(self, customer: Customer) -> None:
        """Let the client trust the authority of the tests."""
        if self._trusted:
            connector_of(customer)._ssl = certificates.trusting()

    async def heal(self, customer: Customer) -> None:
        """Let the good server take over."""
        await self._mend(customer)

    async def left_alone(self) -> None:
        """Wait until every connection is left."""
        for server in self._servers:
            await server.left_alone()


def _taken_over(*script: Step, tls: bool, certificate: Callable[[], ssl.SSLContext] | None = None) -> Stage:
    """Return the stage for a port where a bad server listens, and later a good one: ``tls`` is what the client wants.

    With a ``certificate`` the bad server speaks TLS, too.
    """

    @asynccontextmanager
    async def stage(ending: Ending) -> AsyncIterator[Scene]:
        good = FaultyServer(tls=certificates.good() if tls else None)
        bad = FaultyServer(*[script] * ending.connections, tls=None if certificate is None else certificate())
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(AsyncExitStack())
            await first.enter_async_context(bad)

            async def mend(customer: Customer) -> None:
                del customer
                await first.aclose()
                good.port = bad.port
                await stack.enter_async_context(good)

            url = f"{'https' if tls else 'http'}://127.0.0.1:{bad.port}"
            yield Place(url, [bad, good], mend, trusted=tls)

    return stage


@asynccontextmanager
async def _as_it_should_be(ending: Ending) -> AsyncIterator[Scene]:
    """Serve with a certificate that is good: if this failed, the others would fail for the wrong reason."""
    del ending

    async def mend(customer: Customer) -> None:
        del customer

    async with FaultyServer([say(sized())], tls=certificates.good()) as server:
        yield Place(server.url, [server], mend, trusted=True)


@contextmanager
def _not_listening() -> Iterator[socket.socket]:
    """Take a port and do not listen: it refuses, and nobody else can have it."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        yield taken


@contextmanager
def _never_accepting() -> Iterator[socket.socket]:
    """Listen with a queue that is full: whoever comes is not answered at all."""
    with _not_listening() as taken, socket.socket() as first, socket.socket() as second:
        taken.listen(0)
        for waiting in (first, second):
            waiting.settimeout(0)
            waiting.connect_ex(taken.getsockname())
        yield taken


def _closed_port(taking: Callable[[], Any]) -> Stage:
    """Return the stage for a port that does not serve, until a good server listens there."""

    @asynccontextmanager
    async def stage(ending: Ending) -> AsyncIterator[Scene]:
        del ending
        good = FaultyServer()
        async with AsyncExitStack() as stack:
            taken = stack.enter_context(taking())
            good.port = taken.getsockname()[1]

            async def mend(customer: Customer) -> None:
                del customer
                taken.close()
                await stack.enter_async_context(good)

            yield Place(good.url, [good], mend, trusted=False)

    return stage


Resolve = Callable[..., Awaitable[list[Any]]]


def _named(wrong: Callable[[asyncio.Event, Resolve], Resolve]) -> Stage:
    """Return the stage for a host name that is not found, until it is: then it leads to a good server."""

    @asynccontextmanager
    async def stage(ending: Ending) -> AsyncIterator[Scene]:
        del ending
        loop: Any = asyncio.get_running_loop()
        real, mended = loop.getaddrinfo, asyncio.Event()

        async def right(host: str, port: int, **hints: Any) -> list[Any]:
            del host
            found: list[Any] = await real("127.0.0.1", port, **hints)
            return found

        async def mend(customer: Customer) -> None:
            mended.set()
            loop.getaddrinfo = right
            connector_of(customer).clear_dns_cache()

        async with FaultyServer() as server:
            loop.getaddrinfo = wrong(mended, right)
            try:
                yield Place(f"http://shop.invalid:{server.port}", [server], mend, trusted=False)
            finally:
                loop.getaddrinfo = real

    return stage


def _unknown(mended: asyncio.Event, right: Resolve) -> Resolve:
    """Answer as a name server does that knows no such name."""
    del mended, right

    async def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, CANARY)

    return resolve


def _silent(mended: asyncio.Event, right: Resolve) -> Resolve:
    """Do not answer until all is well."""

    async def resolve(*arguments: Any, **hints: Any) -> list[Any]:
        await mended.wait()
        return await right(*arguments, **hints)

    return resolve


def _to_a_group(mended: asyncio.Event, right: Resolve) -> Resolve:
    """Lead to a multicast address, to which there is no way by TCP."""
    del mended, right

    async def resolve(host: str, port: int, **hints: Any) -> list[Any]:
        del host, hints
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("224.0.0.1", port))]

    return resolve


def _handshake(said: bytes, end: Callable[[Peer], None] | None) -> Step:
    """Read what a TLS client says first, and answer with this."""

    async def step(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.writer.write(said)
        if end is not None:
            end(peer)
        else:
            await peer.reader.read()

    return step


def _tls(fault: str, said: bytes, end: Callable[[Peer], None] | None, becomes: Becomes) -> Row:
    return Row(
        fault=f"TLS: {fault}",
        stage=_taken_over(_handshake(said, end), tls=True),
        becomes=becomes,
        attempt=_ATTEMPT if end is None else 20.0,
    )


def _certificate(fault: str, made: Callable[[], ssl.SSLContext]) -> Row:
    stage = _taken_over(tls=True, certificate=made)
    return Row(fault=f"TLS: {fault}", stage=stage, becomes=unsent("certificate", retried=False))


_HELLO = bytes.fromhex("160303007a0200007603")  # the begin of a server's answer
_ALERT = bytes.fromhex("15030300020228")  # handshake_failure

BEFORE = Section(
    title="Before the request leaves",
    text="Nothing was sent, so a POST may be tried again as well as a GET. A certificate that is not valid will not\n"
    "be valid the next moment.",
    rows=[
        Row(fault="DNS: no such name", stage=_named(_unknown), becomes=unsent("dns")),
        Row(fault="DNS: no answer", stage=_named(_silent), becomes=LATE_UNSENT, attempt=_ATTEMPT),
        Row(fault="refused", stage=_closed_port(_not_listening), becomes=unsent("refused")),
        Row(fault="no way to the host", stage=_named(_to_a_group), becomes=unsent("unreachable")),
        Row(
            fault="no answer to the connection",
            stage=_closed_port(_never_accepting),
            becomes=LATE_UNSENT,
            attempt=_ATTEMPT,
        ),
        _tls("plain HTTP instead", b"HTTP/1.1 400 Bad Request\r\n\r\n", Peer.close, unsent("tls")),
        _tls("an alert instead", _ALERT, Peer.close, unsent("tls")),
        _tls("closed in the handshake", b"", Peer.close, unsent("tls")),
        _tls("reset in the handshake", b"", Peer.reset, unsent("tls")),
        _tls("closed within the server's hello", _HELLO, Peer.close, unsent("tls")),
        _tls("reset within the server's hello", _HELLO, Peer.reset, unsent("tls")),
        _tls("silence in the handshake", b"", None, LATE_UNSENT),
        _certificate("an expired certificate", certificates.expired),
        _certificate("a certificate for another host", certificates.elsewhere),
        _certificate("a certificate signed by itself", certificates.self_signed),
        Row(fault="TLS: as it should be", stage=_as_it_should_be, becomes=ANSWERED),
    ],
)
