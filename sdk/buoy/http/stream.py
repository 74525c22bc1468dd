"""An answer that is used as it arrives: as bytes, lines, JSON lines or server-sent events."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import aiohttp

from buoy.http.body import Decoder, charset_of
from buoy.http.lines import JsonLines, TextLines
from buoy.http.sse import Events, ServerSentEvent
from buoy.result import Meta

T = TypeVar("T")
ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", covariant=True)


class Parser(Protocol[ItemT_co]):
    """Makes items of the bytes of a body."""

    def feed(self, chunk: bytes, /) -> Iterator[ItemT_co]:
        """Give what ``chunk`` completes."""

    def finish(self) -> Iterator[ItemT_co]:
        """Give what the end of the body completes."""


class _Whole:
    """Bytes as they come."""

    @staticmethod
    def feed(chunk: bytes) -> Iterator[bytes]:
        yield chunk

    @staticmethod
    def finish() -> Iterator[bytes]:
        return iter(())


class Stream(Generic[T]):
    """A streamed answer: ``status``, ``headers``, and its body in one of four forms, once.

    ``complete`` says whether all of it came, ``meta`` is the story of the call so far. What goes wrong on the way is
    raised where it is read, as by a call.
    """

    __slots__ = ("_decoder", "_ended", "_left", "_meta", "_pieces", "_taken", "complete", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, pieces: AsyncGenerator[bytes, None], decoder: Decoder[T]
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.complete = False
        self._pieces = pieces
        self._decoder = decoder
        self._taken = False
        self._left = False
        self._meta: Callable[[], Meta]
        self._ended: Callable[[Exception | None], Awaitable[None]]

    def __repr__(self) -> str:
        return f"<Stream {self.status}{' complete' if self.complete else ''}>"

    def attach(self, meta: Callable[[], Meta], ended: Callable[[Exception | None], Awaitable[None]]) -> None:
        """Say who tells the story of the call, and who is told how the body ended.

        ``ended`` raises what the caller is to see of a failure.
        """
        self._meta = meta
        self._ended = ended

    @property
    def meta(self) -> Meta:
        """The story of the call so far."""
        return self._meta()

    def bytes(self) -> AsyncIterator[bytes]:
        """Give the body in pieces as they arrive, decompressed."""
        return self._read(_Whole)

    def lines(self) -> AsyncIterator[str]:
        """Give its lines as text, without their ends."""
        return self._read(lambda: TextLines(charset_of(self.headers.get("Content-Type", ""))))

    def json_lines(self) -> AsyncIterator[T]:
        """Give the values of its lines (NDJSON, JSON Lines), each as the operation's model."""
        return self._read(lambda: JsonLines(self._decoder))

    def events(self) -> AsyncIterator[ServerSentEvent]:
        """Give its server-sent events."""
        return self._read(Events)

    def _read(self, make: Callable[[], Parser[ItemT]]) -> AsyncGenerator[ItemT, None]:
        if self._taken or self._left:
            msg = "a streamed answer is read once, and within its 'async with' block."
            raise RuntimeError(msg)
        self._taken = True
        return self._items(make)

    async def _items(self, make: Callable[[], Parser[ItemT]]) -> AsyncGenerator[ItemT, None]:
        try:
            parser = make()
            async for chunk in self._pieces:
                for item in parser.feed(chunk):
                    yield item
                    self._check_open()
            self._check_open()
            for item in parser.finish():
                yield item
                self._check_open()
        except Exception as error:
            self._check_open()
            await self._ended(error)
            raise
        self.complete = True
        await self._ended(None)

    def _check_open(self) -> None:
        if self._left:
            msg = "the 'async with' block of a streamed answer was left before its end."
            raise RuntimeError(msg) from None

    async def close(self) -> None:
        """Read no more of it."""
        self._left = True
        with suppress(RuntimeError):  # another task waits for a piece this moment: the end of the connection wakes it
            await self._pieces.aclose()
