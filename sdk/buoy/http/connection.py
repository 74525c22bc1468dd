"""What aiohttp 3.14 leaves open about a connection: when a request begins to leave, who answers it, where a body ends.

A request goes over no connection that has talked before it was asked. A body is read to its end or not at all: neither
a parser that gave up nor a reset is an end.
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler

_SPOILT = 3  # connections in a row; a server that talks before it is asked spoils each
_LENGTH_DIGITS = 18  # aiohttp's parser takes 2**64 - 1, the longest of all, for no length


class SpoiltError(aiohttp.ServerDisconnectedError):
    """A connection has an answer in it before anything was asked: it is not used, and nothing was sent."""


class Observed(aiohttp.ClientRequest):
    """aiohttp's request, which also tells whether it has begun to leave: that decides what a fault proves.

    ``protocol`` parses the answer; there is none where a test's session answers by itself.
    """

    leaving = False
    protocol: ResponseHandler | None = None

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Begin to send it. Raises :class:`SpoiltError`."""
        # What came over an idle connection answers nothing (RFC 9112 section 9.2). aiohttp 3.14 would hand it to this
        # request (aiohttp#13656).
        if conn.protocol.should_close:
            raise SpoiltError
        self.leaving = True
        self.protocol = conn.protocol
        return await super().send(conn)


async def handed(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send it, over the next connection where one was spoilt."""
    for _ in range(_SPOILT):
        try:
            return await handler(request)
        except SpoiltError:
            continue
    return await handler(request)


class _Watch:
    """Ends the reading of a body when its connection ends: one for each connection, ``content`` is what is read.

    aiohttp 3.14 does not where its parser gave up within the body, and the reader would wait for ever.
    """

    __slots__ = ("content",)

    def __init__(self) -> None:
        self.content: aiohttp.StreamReader | None = None

    def __call__(self, closed: "asyncio.Future[None] | None") -> None:
        if closed is not None and not closed.cancelled():
            closed.exception()  # it is ours now, so nobody else would look at it
        content = self.content
        if content is not None and not content.is_eof() and content.exception() is None:
            content.set_exception(http_exceptions.PayloadEncodingError("the parser gave up"))


class Bodies:
    """Reads the bodies of a pool's answers."""

    __slots__ = ("_watches",)

    def __init__(self) -> None:
        self._watches: WeakKeyDictionary[ResponseHandler, _Watch] = WeakKeyDictionary()

    async def read(self, response: aiohttp.ClientResponse, protocol: ResponseHandler | None) -> bytes:
        """Return a whole body. Raises aiohttp's exceptions, also for what cannot be an answer."""
        if protocol is None:
            return await response.read()
        if response.status < 200 or len(response.headers.get("Content-Length", "")) > _LENGTH_DIGITS:
            protocol.close()
            raise http_exceptions.BadHttpMessage("no status, or no length, that an answer can have")
        watch, closed = self._watch(protocol), protocol.closed
        watch.content = response.content
        try:
            if closed is None or closed.done():
                watch(closed)
            body = await response.read()
        finally:
            watch.content = None
        # Where the end of the connection is the end of the body, a reset is none (RFC 9112 section 8).
        lost = protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError) and _ends_with_connection(response):
            raise lost
        return body

    def _watch(self, protocol: ResponseHandler) -> _Watch:
        watch = self._watches.get(protocol)
        if watch is None:
            watch = self._watches[protocol] = _Watch()
            if protocol.closed is not None:
                protocol.closed.add_done_callback(watch)
        return watch


def _ends_with_connection(response: aiohttp.ClientResponse) -> bool:
    if response.content is aiohttp.EMPTY_PAYLOAD or "Content-Length" in response.headers:
        return False
    return "chunked" not in response.headers.get("Transfer-Encoding", "").lower()
