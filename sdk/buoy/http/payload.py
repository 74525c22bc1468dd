"""What a call's body is made of: a closed set, each kind of which tells whether it can be sent again.

None, JSON, text, forms and bytes are known in advance; files, paths, async iterators and multipart bodies are opened
for each send; a function makes the body of each send anew. Content-Length always fits what is sent: aiohttp writes it
where the length is known, and sends chunks where it is not.
"""

import asyncio
import gzip
import os
from collections.abc import AsyncIterable, Callable, Mapping
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from io import BytesIO
from typing import Any

from buoy.http.body import encode
from buoy.http.multipart import Form, Multipart, parts
from buoy.http.upload import FileSource, Opened, Payload, Source, StreamSource, Upload

_LARGE = 2**20  # from here on aiohttp wants a file, which it writes in pieces
_SLOW = 2**17  # from here on compression takes more than a millisecond

_KINDS = (
    "bytes, str, a mapping (a form), Multipart, a path, a binary file, an async iterator of bytes, "
    "or a function that returns one of these"
)


class Whole:
    """Bytes that are known in advance, or no body. ``compress`` is the length from which on gzip is tried."""

    __slots__ = ("_compress", "_content_type", "_data", "_packed")

    replayable = True
    spent = False

    def __init__(self, data: bytes | None, content_type: str | None, compress: int | None = None) -> None:
        self._data = data
        self._content_type = content_type
        self._compress = compress
        self._packed: bytes | None = None

    @property
    def identity(self) -> tuple[str | None, bytes | None]:
        """What was given, in a form that is equal for identical requests."""
        return self._content_type, self._data

    async def open(self) -> Opened:
        """Return it for one send."""
        data = self._data
        if data is None:
            return Opened(None, {}, b"")
        headers = {} if self._content_type is None else {"Content-Type": self._content_type}
        if self._compress is not None and len(data) >= self._compress:
            if self._packed is None:
                self._packed = await _packed(data)
            if len(self._packed) < len(data):
                data = self._packed
                headers["Content-Encoding"] = "gzip"
        return Opened(BytesIO(data) if len(data) >= _LARGE else data, headers, data)


NOTHING: Payload = Whole(None, None)


async def _packed(data: bytes) -> bytes:
    """Return it in gzip, the same for the same bytes (without the time of day in it)."""
    if len(data) < _SLOW:
        return gzip.compress(data, mtime=0)
    return await asyncio.to_thread(gzip.compress, data, mtime=0)


class Pieces:
    """What is sent in pieces: an open file or an async iterator. Who opened a file closes it, so only ``owned`` is."""

    __slots__ = ("_owned", "_owner", "_source")

    def __init__(self, owner: str, source: Source, *, owned: bool = False) -> None:
        self._owner = owner
        self._source = source
        self._owned = owned

    @property
    def replayable(self) -> bool:
        """Whether it can be sent any number of times."""
        return self._source.replayable

    @property
    def spent(self) -> bool:
        """Whether it can not be sent again."""
        return self._source.spent

    async def open(self) -> Opened:
        """Return it for one send."""
        if self.spent:
            msg = f"{self._owner}: the body can be sent once, and was; give a function that makes it for each send."
            raise TypeError(msg)
        faults: list[BaseException] = []
        upload = Upload(self._owner, self._source, faults)
        headers = {"Content-Type": "application/octet-stream"}
        return Opened(upload, headers, faults=faults, release=self._source.close if self._owned else None)


class OnDisk:
    """A file by its path, opened for each send and closed after it."""

    __slots__ = ("_owner", "_path")

    replayable = True
    spent = False

    def __init__(self, owner: str, path: "os.PathLike[str]") -> None:
        self._owner = owner
        self._path = path

    async def open(self) -> Opened:
        """Return it for one send."""
        return await Pieces(self._owner, FileSource(self._owner, await _opened(self._path)), owned=True).open()


async def _opened(path: "os.PathLike[str]") -> Any:
    """Open a file in a thread, which goes on where the waiting is cancelled: the file is closed then."""
    opening = asyncio.get_running_loop().run_in_executor(None, partial(open, path, "rb"))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_abandoned)
        raise


def _abandoned(opening: "asyncio.Future[Any]") -> None:
    if opening.exception() is None:
        opening.result().close()


class Factory:
    """A function, plain or async, that makes the body of each send; files that it has opened are closed after it."""

    __slots__ = ("_compress", "_make", "_owner")

    replayable = True
    spent = False

    def __init__(self, owner: str, make: Callable[[], object], compress: int | None = None) -> None:
        self._owner = owner
        self._make = make
        self._compress = compress

    async def open(self) -> Opened:
        """Return it for one send."""
        made = self._make()
        if isawaitable(made):
            made = await made
        payload = _payload(self._owner, made, self._compress, owned=True)
        if isinstance(payload, Factory):
            raise _unfit(self._owner, made)
        return await payload.open()


def prepare(owner: str, *, json_value: Any = None, data: Any = None, compress: int | None = None) -> Payload:
    """Return the body of a call.

    ``compress``: bytes that are at least so many are sent in gzip where that is shorter; not for those that the caller
    has encoded. Raises ``TypeError`` or ``ValueError`` for what cannot be sent, before anything is.
    """
    if json_value is not None:
        return Whole(*encode(owner, json_value=json_value, data=data), compress)
    return _payload(owner, data, compress, owned=False)


def _payload(owner: str, data: Any, compress: int | None = None, *, owned: bool) -> Payload:
    if data is None:
        return NOTHING
    if isinstance(data, bytes | bytearray | memoryview | str | Mapping):
        return Whole(*encode(owner, json_value=None, data=data), compress)
    if isinstance(data, Multipart):
        return Form(list(parts(owner, data, lambda content: _payload(owner, content, owned=owned))))
    if isinstance(data, AsyncIterable):
        return Pieces(owner, StreamSource(owner, data))
    if _is_file(data):
        return Pieces(owner, _file(owner, data), owned=owned)
    return _made(owner, data, compress)


def _made(owner: str, data: Any, compress: int | None) -> Payload:
    if isinstance(data, os.PathLike):
        return OnDisk(owner, data)
    if callable(data) and not isinstance(data, type):
        return Factory(owner, data, compress)
    raise _unfit(owner, data)


def _unfit(owner: str, data: object) -> TypeError:
    return TypeError(f"{owner}: the body must be {_KINDS}, not {type(data).__name__}.")


def _is_file(data: object) -> bool:
    read = getattr(data, "read", None)
    return callable(read) and not iscoroutinefunction(read) and not isinstance(data, type)


def _file(owner: str, file: Any) -> FileSource:
    try:
        readable = isinstance(file.read(0), bytes)
    except (OSError, ValueError):
        raise ValueError(f"{owner}: the file of the body is closed, or it was not opened for reading.") from None
    if not readable:
        raise TypeError(f"{owner}: the file of the body was opened as text; open it as binary ('rb').")
    return FileSource(owner, file)
