"""Bodies that come line by line: text and JSON lines, fed with the bytes as they arrive, whatever their chunks.

``feed`` gives what the bytes complete, ``finish`` what the end of the body completes. What cannot be is a
:class:`~buoy.http.body.MisfitError` with the number of the line and nothing of what it says. No line is kept that is
longer than allowed, so memory is bounded whatever the server sends.
"""

import codecs
from collections.abc import Iterator
from itertools import chain
from typing import Generic, TypeVar

from buoy.http.body import NO_CHARSETS, Decoder, MisfitError

T = TypeVar("T")

LONGEST = 16 * 2**20
# JSON's white space (RFC 8259 section 2) beside the end of the line.
_BLANK = b" \t\r"
# What could not be decoded becomes a lone surrogate, which is in no text: so the fault is that of its own line, and the
# lines before it are given away whatever chunk they came in.
_UNREADABLE = "buoy.unreadable"
codecs.register_error(_UNREADABLE, lambda error: ("\udc80", getattr(error, "end", 0)))


def too_long(what: str, longest: int) -> MisfitError:
    """Return the error for a line or an event that is longer than allowed."""
    return MisfitError("too_large", f"{what} is longer than {longest} bytes")


class Lines:
    r"""Bytes into lines that end with ``\n`` or ``\r\n``; a last line without an end counts."""

    __slots__ = ("_kept", "_longest", "number")

    def __init__(self, longest: int = LONGEST) -> None:
        self.number = 0  # of the last line that was given away
        self._kept = bytearray()
        self._longest = longest

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give the lines that ``chunk`` completes; to be read to its end before the next chunk comes."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            line = piece
            if self._kept:
                line = bytes(self._kept) + piece
                self._kept.clear()
            yield self._given(line.removesuffix(b"\r"))
        self._kept += rest
        self._check(len(self._kept) - self._kept.endswith(b"\r"))

    def finish(self) -> Iterator[bytes]:
        """Give the last line, if the body did not end with the end of one."""
        if self._kept:
            yield self._given(bytes(self._kept))

    def _given(self, line: bytes) -> bytes:
        self._check(len(line))
        self.number += 1
        return line

    def _check(self, length: int) -> None:
        if length > self._longest:
            raise too_long(f"line {self.number + 1}", self._longest)


class TextLines:
    """A text body into its lines, without their ends, in the charset that the answer declares."""

    __slots__ = ("_lines", "_recoding")

    def __init__(self, charset: str = "utf-8", *, longest: int = LONGEST) -> None:
        self._lines = Lines(longest)
        self._recoding = _recoding(charset)

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Give the lines that ``chunk`` completes."""
        for line in self._lines.feed(self._utf8(chunk)):
            yield self._text(line)

    def finish(self) -> Iterator[str]:
        """Give the last line, if the body did not end with the end of one."""
        for line in chain(self._lines.feed(self._utf8(b"", final=True)), self._lines.finish()):
            yield self._text(line)

    def _utf8(self, chunk: bytes, *, final: bool = False) -> bytes:
        """Return the chunk in UTF-8, in which no byte of a longer character looks like the end of a line."""
        if self._recoding is None:
            return chunk
        try:
            return self._recoding.decode(chunk, final).encode(errors="surrogatepass")
        except ValueError:  # UTF-16 and UTF-32 without the mark that says in which order
            raise _no_text(self._lines.number + 1) from None

    def _text(self, line: bytes) -> str:
        try:
            return line.decode()
        except ValueError:
            raise _no_text(self._lines.number) from None


def _no_text(number: int) -> MisfitError:
    return MisfitError("malformed", f"line {number} is not text in the charset that the body declares")


def _recoding(charset: str) -> codecs.IncrementalDecoder | None:
    try:
        name = codecs.lookup(charset).name
        if name == "utf-8":
            return None
        if name in NO_CHARSETS:
            raise LookupError
        "".encode(charset)  # refuses codecs that are none of text, like zlib's
        return codecs.getincrementaldecoder(charset)(_UNREADABLE)
    except (LookupError, ValueError):
        raise MisfitError("malformed", "the body declares a charset that does not exist") from None


class JsonLines(Generic[T]):
    """JSON values, one a line (NDJSON, JSON Lines), each as the declared model; blank lines are skipped."""

    __slots__ = ("_decoder", "_lines")

    def __init__(self, decoder: Decoder[T], *, longest: int = LONGEST) -> None:
        self._lines = Lines(longest)
        self._decoder = decoder

    def feed(self, chunk: bytes) -> Iterator[T]:
        """Give the values of the lines that ``chunk`` completes."""
        return self._values(self._lines.feed(chunk))

    def finish(self) -> Iterator[T]:
        """Give the value of the last line, if the body did not end with the end of one."""
        return self._values(self._lines.finish())

    def _values(self, lines: Iterator[bytes]) -> Iterator[T]:
        for line in lines:
            # RFC 8259 section 8.1: a byte order mark may be ignored. A NUL would be taken for a sign of UTF-16.
            written = line.removeprefix(codecs.BOM_UTF8) if self._lines.number == 1 else line
            if written.strip(_BLANK):
                yield self._value(written)

    def _value(self, line: bytes) -> T:
        if 0 in line:
            raise MisfitError("malformed", f"the body is not JSON, in line {self._lines.number}")
        try:
            return self._decoder.decode(line, "application/json")
        except MisfitError as misfit:
            reason, text = misfit.reason, misfit.text
        raise MisfitError(reason, f"{text}, in line {self._lines.number}")
