"""Faults on a connection that is there: how their rows are set up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.integration.http.fault_table.row import BODY, Becomes, Customer, Ending, Row, Scene, Stage
from tests.support.faults import FaultyServer, Step, answer, say

Meddle = Callable[[FaultyServer], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json\r\n"


def sized(body: bytes = BODY, *fields: bytes, length: object = None) -> bytes:
    """Return an answer whose Content-Length is ``length``, or what it should be."""
    head = OK + JSON + b"".join(line + b"\r\n" for line in fields)
    return head + f"Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def chunked(body: bytes = b"3\r\n[7]\r\n0\r\n\r\n", *fields: bytes) -> bytes:
    """Return an answer whose body says where it ends."""
    return OK + JSON + b"".join(line + b"\r\n" for line in fields) + b"Transfer-Encoding: chunked\r\n\r\n" + body


def unbounded(body: bytes = BODY) -> bytes:
    """Return an answer whose body ends with the connection."""
    return OK + JSON + b"\r\n" + body


class Wire:
    """A server whose first connections are faulty. ``meddle`` is done to it right before the call that suffers."""

    def __init__(self, server: FaultyServer, warm: int, meddle: Meddle | None = None) -> None:
        self._server = server
        self._warm = warm
        self._meddle = meddle

    @property
    def url(self) -> str:
        """The base URL."""
        return self._server.url

    @property
    def arrived(self) -> int:
        """How many requests arrived."""
        return self._server.arrived

    @property
    def connections(self) -> int:
        """How many connections were made."""
        return len(self._server.connections)

    async def prepare(self, customer: Customer) -> None:
        """Open the connections that are to be open."""
        await asyncio.gather(*[customer.calm() for _ in range(self._warm)])
        if self._meddle is not None:
            await self._meddle(self._server)

    async def heal(self, customer: Customer) -> None:
        """Wait until the faults have run their course."""
        del customer
        await self._server.said_all()

    async def left_alone(self) -> None:
        """Wait until every connection is left."""
        await self._server.left_alone()


def on_wire(*script: Step, warm: bool = False) -> Stage:
    """Return the stage for a script; ``warm``: its connections have served a call before."""

    @asynccontextmanager
    async def stage(ending: Ending) -> AsyncIterator[Scene]:
        steps = [*([answer()] if warm else []), *script * ending.times]
        async with FaultyServer(*[steps] * ending.connections) as server:
            yield Wire(server, ending.connections if warm else 0)

    return stage


def on_idle(meddle: Meddle) -> Stage:
    """Return the stage for what happens to one connection between two calls."""

    @asynccontextmanager
    async def stage(ending: Ending) -> AsyncIterator[Scene]:
        del ending
        async with FaultyServer() as server:
            yield Wire(server, 1, meddle)

    return stage


def at_once(fault: str, answered: bytes, becomes: Becomes) -> Row:
    """Return the row for an answer that comes in one piece and leaves the connection open."""
    return Row(fault=fault, stage=on_wire(say(answered)), becomes=becomes)


def in_pieces(fault: str, *parts: bytes, becomes: Becomes) -> Row:
    """Return the row for an answer whose parts come one after another and leave the connection open."""
    return Row(fault=fault, stage=on_wire(say(*parts)), becomes=becomes)
