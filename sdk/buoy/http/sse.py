"""Server-sent events, fed with the bytes of a ``text/event-stream`` as they arrive, whatever their chunks.

Source: WHATWG HTML section 9.2.6, "Interpreting an event stream". Every sequence of bytes is a valid stream, so only
size can go wrong: a line or an event that is longer than allowed is a :class:`~buoy.http.body.MisfitError` before it
fills the memory.

No library of the registry does this part alone: httpx-sse, httpx2, sseclient-py, launchdarkly-eventsource and
aiohttp-sse-client2 parse for a client of their own, assel shares one UTF-8 decoder among all its streams; and each was
measured to differ from the standard. The tests beside this module have the streams that they differ on.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from buoy.http.lines import LONGEST, too_long

_BOM = codecs.BOM_UTF8
# No wait that anybody would keep has more digits.
_DIGITS = re.compile(rb"0*([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream.

    ``id`` is the last id that the stream has told, with which it can be resumed (``Last-Event-ID``).
    ``retry`` is the time in seconds after which the server wants to be asked again, where it has said one.
    """

    data: str = field(repr=False)
    event: str = "message"
    id: str = field(default="", repr=False)
    retry: float | None = None


class Events:
    """A stream of events. ``last_event_id`` and ``retry`` (seconds) are what it has told so far."""

    __slots__ = (
        "_after_cr",
        "_data",
        "_id",
        "_kept",
        "_longest",
        "_number",
        "_start",
        "_type",
        "last_event_id",
        "retry",
    )

    def __init__(self, *, longest: int = LONGEST) -> None:
        self.last_event_id = ""
        self.retry: float | None = None
        self._longest = longest
        self._number = 1  # of the line that comes next
        self._start: bytes | None = b""  # what may be the byte order mark, until that is known
        self._after_cr = False  # the last byte has ended a line, and a line feed that follows is part of its end
        self._kept = bytearray()
        self._data = bytearray()
        self._type = ""
        self._id = ""

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """Give the events that ``chunk`` completes; to be read to its end before the next chunk comes."""
        # Of bytes, and only of bytes, Python takes for ends of lines what the standard does.
        for piece in self._begun(chunk).splitlines(keepends=True):
            line = piece.rstrip(b"\r\n")
            self._check(f"line {self._number}", len(self._kept) + len(line))
            if len(line) == len(piece):
                self._kept += line
                return
            if self._kept:
                line = bytes(self._kept) + line
                self._kept.clear()
            event = self._line(line)
            if event is not None:
                yield event

    def finish(self) -> Iterator[ServerSentEvent]:
        """Give nothing: an event that the end of the stream cut off is none (section 9.2.6)."""
        return iter(())

    def _begun(self, chunk: bytes) -> bytes:
        """Return the chunk without a byte order mark, and without the rest of an end of line."""
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._start = chunk
                return b""
            self._start = None
            chunk = chunk.removeprefix(_BOM)
        if chunk:
            if self._after_cr:
                chunk = chunk.removeprefix(b"\n")
            self._after_cr = chunk.endswith(b"\r")
        return chunk

    def _line(self, line: bytes) -> ServerSentEvent | None:
        self._number += 1
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        self._field(name, value.removeprefix(b" "))  # of a comment, the name is empty
        return None

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data += value
            self._data += b"\n"
            self._check(f"the event at line {self._number - 1}", len(self._data) - 1)
        elif name == b"event":
            self._type = _text(value)
        elif name == b"id" and b"\0" not in value:
            self._id = _text(value)
        elif name == b"retry" and (digits := _DIGITS.fullmatch(value)) is not None:
            self.retry = int(digits[1]) / 1000

    def _dispatch(self) -> ServerSentEvent | None:
        self.last_event_id = self._id
        event = None
        if self._data:
            text = _text(self._data[:-1])
            event = ServerSentEvent(text, self._type or "message", self.last_event_id, self.retry)
            self._data.clear()
        self._type = ""
        return event

    def _check(self, what: str, length: int) -> None:
        if length > self._longest:
            self._kept.clear()
            self._data.clear()
            raise too_long(what, self._longest)


def _text(value: bytes | bytearray) -> str:
    return value.decode(errors="replace")
