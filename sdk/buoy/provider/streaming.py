"""A streamed call as its user sees it: an ``async with`` block around an answer whose body is still arriving."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Generic, TypeVar

from buoy.events import StreamLeft
from buoy.http.stream import Stream
from buoy.http.transport import HandOver
from buoy.pipeline.call import Call
from buoy.pipeline.handover import Handover
from buoy.provider.lifetime import Lifetime

T = TypeVar("T")


class Streaming(Generic[T]):
    """One streamed call: enter it once. ``begin`` makes the call, ``send`` does one try of it."""

    __slots__ = ("_begin", "_call", "_handover", "_life", "_send", "_stream")

    def __init__(
        self,
        life: Lifetime,
        begin: Callable[[asyncio.AbstractEventLoop], Call],
        send: Callable[[Call, HandOver], Awaitable[None]],
    ) -> None:
        self._life = life
        self._begin = begin
        self._send = send
        self._call: Call | None = None
        self._handover: Handover[Stream[T]]
        self._stream: Stream[T]

    async def __aenter__(self) -> Stream[T]:
        """Call, and return the answer when its headers have come. Raises as a plain call does."""
        if self._call is not None:
            msg = "a streamed call is entered once; call stream(...) again for another one."
            raise RuntimeError(msg)
        loop = self._life.enter_call()
        try:
            self._call = self._begin(loop)
            self._handover = Handover(self._call, self._send)
            self._stream = await self._handover.begin()
            self._stream.attach(self._call.meta, self._handover.end)
        except BaseException:
            self._life.leave_call()
            raise
        return self._stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the answer. One whose body was not read to its end takes its connection along, and says so."""
        try:
            await self._stream.close()
            if error is not None and not isinstance(error, Exception | GeneratorExit):
                await self._handover.cancel()
                return
            if self._call is not None and not self._handover.is_over:
                self._call.happened(StreamLeft())
            await self._handover.leave()
        finally:
            self._life.leave_call()
