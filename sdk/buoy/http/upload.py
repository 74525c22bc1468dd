"""Bodies that are written piece by piece: files and async iterators, in the form that aiohttp sends.

aiohttp's own payloads close the caller's file, give up on a file that has no number, and call what the source of a body
raised a broken connection. These leave a file open that is not theirs, and keep what the source raised.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from threading import Lock
from typing import Any, Protocol, TypeVar

import aiohttp
from multidict import CIMultiDict

T = TypeVar("T")

_PIECE = 2**16


class Opened:
    """The body of one send.

    ``body`` is what aiohttp takes as ``data=``, ``headers`` are those that belong to it; ``data`` are its bytes where
    they are known in advance (empty without a body), else ``None``. When the send is over, call ``close``. If it
    failed, look at ``fault`` first: it is what the source of the body raised, which is no fault of the connection.
    """

    __slots__ = ("_faults", "_release", "_within", "body", "data", "headers")

    def __init__(
        self,
        body: Any,
        headers: dict[str, str],
        data: bytes | None = None,
        *,
        faults: Sequence[BaseException] = (),
        release: Callable[[], object] | None = None,
        within: Sequence["Opened"] = (),
    ) -> None:
        self.body = body
        self.headers = headers
        self.data = data
        self._faults = faults
        self._release = release
        self._within = within

    def add_to(self, headers: CIMultiDict[str]) -> None:
        """Add the headers of the body. A type that the caller has given stands, unless it lacks the boundary."""
        for name, value in self.headers.items():
            if name != "Content-Type" or value.startswith("multipart/"):
                headers[name] = value
            else:
                headers.setdefault(name, value)

    @property
    def fault(self) -> BaseException | None:
        """What the source of the body raised while it was sent."""
        faults = [*self._faults, *(opened.fault for opened in self._within)]
        return next((fault for fault in faults if fault is not None), None)

    def close(self) -> None:
        """Close what was opened for this send, without waiting."""
        for opened in self._within:
            opened.close()
        if self._release is not None:
            self._release()
            self._release = None


class Payload(Protocol):
    """The body of a call, whatever it is made of.

    ``replayable`` says whether every send can have it anew. One that is not can be sent until it is ``spent``, which is
    when its first piece was asked for.
    """

    @property
    def replayable(self) -> bool:
        """Whether it can be sent any number of times."""

    @property
    def spent(self) -> bool:
        """Whether it can not be sent again."""

    async def open(self) -> Opened:
        """Return it for one send. Raises what opening a file or calling a factory raises, before anything is sent."""


class Source(Protocol):
    """Where the pieces come from."""

    size: int | None
    replayable: bool
    spent: bool

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give all of it from its start."""

    def close(self) -> None:
        """Close it, without waiting."""


class Upload(aiohttp.Payload):
    """One source as aiohttp sends it, for one send."""

    def __init__(self, owner: str, source: Source, faults: list[BaseException]) -> None:
        super().__init__(source, content_type="application/octet-stream")
        self._owner = owner
        self._source = source
        self._faults = faults
        self._size = source.size

    @property
    def autoclose(self) -> bool:
        """Nothing is left for aiohttp to close."""
        return True

    @property
    def consumed(self) -> bool:
        """Whether aiohttp must not send it again by itself."""
        return self._source.spent

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse: the pieces are for the wire."""
        del encoding, errors
        msg = f"{self._owner}: a body that is sent in pieces has no text."
        raise TypeError(msg)

    async def write(self, writer: Any) -> None:
        """Write all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        """Write all of it, which is as long as ``size`` has said, or raise."""
        del content_length  # aiohttp has it from `size`
        written = 0
        pieces = self._source.pieces()
        try:
            while piece := await self._noted(anext(pieces, b"")):
                await writer.write(piece)
                written += len(piece)
        finally:
            await self._noted(pieces.aclose())
        if self._size is not None and written < self._size:
            self._faults.append(ValueError(f"{self._owner}: the file of the body became shorter while it was sent."))
            raise self._faults[0]

    async def _noted(self, step: Awaitable[T]) -> T:
        try:
            return await step
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self._faults.append(error)  # nobody has cancelled the writing: it is what the source was waiting for
            raise
        except Exception as error:
            self._faults.append(error)
            raise


class StreamSource:
    """An async iterator of bytes: used once, and of a length that nobody knows."""

    size: int | None = None
    replayable = False

    def __init__(self, owner: str, iterable: AsyncIterable[bytes]) -> None:
        self.spent = False
        self._owner = owner
        self._iterable = iterable

    def close(self) -> None:
        """Nothing to close: the iterator is when it is left."""

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give what the iterator gives."""
        self.spent = True
        iterator = aiter(self._iterable)
        try:
            async for piece in iterator:
                if not isinstance(piece, bytes | bytearray | memoryview):
                    msg = f"{self._owner}: the iterator of the body must give bytes, not {type(piece).__name__}."
                    raise TypeError(msg)
                if len(piece):
                    yield bytes(piece)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()


class FileSource:
    """An open file in binary mode, from where it stands; the reading is done in threads."""

    def __init__(self, owner: str, file: Any) -> None:
        self.spent = False
        self.size: int | None = None
        self.replayable = callable(getattr(file, "seekable", None)) and bool(file.seekable())
        self._owner = owner
        self._file = file
        self._start = 0
        # The thread of a send that was cut may still read when the next send begins.
        self._lock = Lock()
        if self.replayable:
            self._start = file.tell()
            self.size = max(0, file.seek(0, os.SEEK_END) - self._start)
            file.seek(self._start)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Give what was in the file when it was looked at, or less if there is less."""
        self.spent = not self.replayable
        done = 0
        while self.size is None or done < self.size:
            wanted = _PIECE if self.size is None else min(_PIECE, self.size - done)
            piece = await asyncio.to_thread(self._read, self._start + done, wanted)
            if not piece:
                return
            yield piece
            done += len(piece)

    def close(self) -> None:
        """Close it in a thread, after what is being read."""
        asyncio.get_running_loop().run_in_executor(None, self._close)

    def _read(self, position: int, wanted: int) -> bytes:
        with self._lock:
            if self.replayable:
                self._file.seek(position)
            piece = self._file.read(wanted)
        if not isinstance(piece, bytes):  # None, of a file that does not wait
            msg = f"{self._owner}: the file of the body gave {type(piece).__name__} instead of bytes."
            raise TypeError(msg)
        return piece

    def _close(self) -> None:
        with self._lock:
            self._file.close()
