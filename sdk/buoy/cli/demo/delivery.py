"""An answer on its way: whole, in pieces, or broken off where its fault says so. Does not choose the fault."""

import asyncio
import gzip
from collections.abc import Callable, Mapping

from buoy.cli.demo.faults import Cut
from buoy.cli.demo.journal import Ending
from buoy.cli.demo.wire import Answer, chunk, head_of

_NO_CHUNK = b"oops\r\n"


class Delivery:
    """Answers one request after the other on one connection; ``pause`` says how long the next piece takes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: Callable[[], float]) -> None:
        self._reader = reader
        self._writer = writer
        self._pause = pause

    async def send(self, answer: Answer, headers: Mapping[str, str], cut: Cut, ending: Ending) -> bool:
        """Send an answer as far as ``cut`` allows, and note how far that was; return whether the connection stays."""
        ending.told, ending.size, ending.moved = answer.status, answer.size, answer.location is not None
        ending.sent = "part"
        if cut is Cut.GZIP:
            self._write(*_packed(answer, headers, cut=True))
            return False
        if answer.pieces:
            return await self._stream(answer, headers, cut, ending)
        if cut is Cut.CHUNK:
            half = chunk(answer.body[: len(answer.body) // 2])
            self._write(head_of(answer, headers, None), half, _NO_CHUNK, answer.body)
            return False
        packed = _packed(answer, headers) if answer.compressed else None
        head, body = packed or (head_of(answer, headers, len(answer.body)), answer.body)
        if cut is Cut.BODY:
            self._write(head, body[: len(body) // 2])
            return False
        self._write(head, body)
        return await self._finish(answer, ending)

    async def _stream(self, answer: Answer, headers: Mapping[str, str], cut: Cut, ending: Ending) -> bool:
        """Send pieces as they come to be there."""
        broken = cut in (Cut.BODY, Cut.CHUNK)
        pieces = answer.pieces[: len(answer.pieces) // 2] if broken else answer.pieces
        self._write(head_of(answer, headers, None))
        for piece in pieces:
            await asyncio.sleep(self._pause())
            if self._reader.at_eof() or self._writer.is_closing():
                ending.left = True
                return False
            ending.items += 1
            self._write(chunk(piece))
        if broken:
            self._write(_NO_CHUNK if cut is Cut.CHUNK else b"")
            return False
        self._write(chunk(b""))
        return await self._finish(answer, ending)

    async def _finish(self, answer: Answer, ending: Ending) -> bool:
        await self._writer.drain()
        if self._writer.transport.get_write_buffer_size() == 0:
            ending.status, ending.sent = answer.status, "whole"
        return True

    def _write(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))


def _packed(answer: Answer, headers: Mapping[str, str], *, cut: bool = False) -> tuple[bytes, bytes]:
    """Return head and body in gzip; where it is cut, the length is that of what is sent."""
    body = gzip.compress(b"".join((answer.body, *answer.pieces)), mtime=0)
    if cut:
        body = body[: len(body) // 2]
    return head_of(answer, {**headers, "Content-Encoding": "gzip"}, len(body)), body
