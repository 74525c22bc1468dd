"""The body of an answer as it arrives: decompressed, within limits, and read to its end or not at all.

Neither a parser that gave up nor a reset is an end: aiohttp 3.14 leaves both open.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp import http_exceptions
from aiohttp.client_proto import ResponseHandler

from buoy.http.body import MisfitError
from buoy.http.inflate import Inflater, coding_of
from buoy.http.sizes import Sizes

_AT_ONCE = 32  # pieces of 64 KiB: some 4 ms
_LENGTH_DIGITS = 18  # aiohttp's parser takes 2**64 - 1, the longest of all, for no length


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
    """Reads the bodies of a pool's answers. ``protocol`` is what parses the answer, where that is known.

    What goes wrong is an exception of aiohttp's, or a :class:`~buoy.http.body.MisfitError` for what we do not take.
    """

    __slots__ = ("_watches",)

    def __init__(self) -> None:
        self._watches: WeakKeyDictionary[ResponseHandler, _Watch] = WeakKeyDictionary()

    async def whole(self, response: aiohttp.ClientResponse, protocol: ResponseHandler | None, sizes: Sizes) -> bytes:
        """Return a whole body."""
        length = _told(response)
        # aiohttp reads no more of a body than it says that there is.
        if length is not None and length <= sizes.body and "Content-Encoding" not in response.headers:
            with self._watched(response, protocol):
                body = await response.content.read()
            await response.wait_for_close()
            return body
        pieces = [piece async for piece in self.pieces(response, protocol, sizes)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pieces(
        self, response: aiohttp.ClientResponse, protocol: ResponseHandler | None, sizes: Sizes
    ) -> AsyncGenerator[bytes, None]:
        """Give a body as it arrives."""
        content, longest, read = response.content, sizes.body, 0
        with self._watched(response, protocol):
            if content is aiohttp.EMPTY_PAYLOAD:
                return
            length = _told(response)
            if length is not None and length > longest:
                raise _too_large(longest)
            coding = coding_of(response.headers.get("Content-Encoding", ""))
            inflater = None if coding is None else Inflater(coding, longest=sizes.decompressed)
            while chunk := await content.readany():
                read += len(chunk)
                if read > longest:
                    raise _too_large(longest)
                if inflater is None:
                    yield chunk
                else:
                    for number, piece in enumerate(inflater.feed(chunk)):
                        if number % _AT_ONCE == _AT_ONCE - 1:
                            await asyncio.sleep(0)  # a little that came may be much that comes out: let others go on
                        yield piece
            if inflater is not None:
                inflater.finish()
        # An answer may come whole while its request is still being written: that ends first.
        await response.wait_for_close()

    @contextmanager
    def _watched(self, response: aiohttp.ClientResponse, protocol: ResponseHandler | None) -> Iterator[None]:
        """Watch the connection while its body is read."""
        if protocol is None:
            yield
            return
        if response.status < 200 or len(response.headers.get("Content-Length", "")) > _LENGTH_DIGITS:
            protocol.close()
            raise http_exceptions.BadHttpMessage("no status, or no length, that an answer can have")
        watch, closed = self._watch(protocol), protocol.closed
        watch.content = response.content
        try:
            if closed is None or closed.done():
                watch(closed)
            yield
        finally:
            watch.content = None
        # Where the end of the connection is the end of the body, a reset is none (RFC 9112 section 8).
        lost = protocol.exception()
        if isinstance(lost, aiohttp.ClientOSError) and _ends_with_connection(response):
            raise lost

    def _watch(self, protocol: ResponseHandler) -> _Watch:
        watch = self._watches.get(protocol)
        if watch is None:
            watch = self._watches[protocol] = _Watch()
            if protocol.closed is not None:
                protocol.closed.add_done_callback(watch)
        return watch


def at_once(response: aiohttp.ClientResponse, sizes: Sizes) -> bytes | None:
    """Return a body that came with the headers: there is nothing to wait for, or to watch. ``None`` for any other."""
    content, headers = response.content, response.headers
    if not content.is_eof() or content.total_bytes > sizes.body or response.status < 200:
        return None
    told = headers.get("Content-Length")
    if told is None or len(told) > _LENGTH_DIGITS or "Content-Encoding" in headers:
        return None
    return content.read_nowait()


def _told(response: aiohttp.ClientResponse) -> int | None:
    """Return how long the body is said to be."""
    length = response.headers.get("Content-Length", "")
    return int(length[:_LENGTH_DIGITS]) if length.isascii() and length.isdecimal() else None


def _too_large(longest: int) -> MisfitError:
    return MisfitError("too_large", f"the body is longer than {longest} bytes, the limit of sizes=")


def _ends_with_connection(response: aiohttp.ClientResponse) -> bool:
    if response.content is aiohttp.EMPTY_PAYLOAD or "Content-Length" in response.headers:
        return False
    return "chunked" not in response.headers.get("Transfer-Encoding", "").lower()
