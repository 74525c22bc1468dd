"""Undoes ``Content-Encoding`` while a body arrives, and stops a body that grows too long while it grows.

A body of 10 MB can stand for one of 10 GB. Here at most one piece of 64 KiB exists that nobody has asked for, and the
work done is in proportion to what came and what was given, in whatever chunks it comes.
"""

import zlib
from collections.abc import Iterator

from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import ContentEncodingError

from buoy.http.body import MisfitError

ACCEPTED = "gzip, deflate"
_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}  # RFC 9110 section 8.4.1
# The others of the IANA registry. What stands in this header and is none of them changes no byte of the body: a charset
# that strayed here, or the aws-chunked that S3 keeps of an upload.
_FOREIGN = frozenset({"br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"})

_PIECE = 2**16
# zlib copies what it has not looked at yet, each time that a piece is full or a member ends. From a window the copies
# are small beside the work; from a whole chunk they would grow with its square.
_WINDOW = 2**14

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_BEGINS = 0x1F
_ZLIB_HEADER = 2  # bytes


class TooLargeError(MisfitError):
    """A body that is longer, decompressed, than allowed: ``text`` says which limit, and nothing of the body."""

    def __init__(self, longest: int) -> None:
        super().__init__("too_large", f"the body is longer than {longest} bytes when decompressed, the limit of sizes=")


def coding_of(value: str) -> str | None:
    """Return the coding that a ``Content-Encoding`` names, ``None`` where it names none that there is.

    Raises :class:`~buoy.http.body.MisfitError` for one that nobody asked for, and for several over each other.
    """
    listed = [item.strip(" \t").lower() for item in value.split(",")]
    named = [name for name in listed if name in _CODINGS or name in _FOREIGN]
    if not named:
        return None
    if len(named) > 1 or named[0] in _FOREIGN:
        raise MisfitError("content_encoding", "the body has a Content-Encoding that was not asked for")
    return _CODINGS[named[0]]


class Inflater:
    """One body. ``coding`` is ``gzip`` or ``deflate``; ``longest`` is the bytes that it may have, decompressed.

    Several members of gzip, one after the other, are one body (RFC 1952 section 2.2), and zero bytes after one are
    padding, as gzip itself takes them. Anything else that follows is an error, as for curl: browsers ignore it, and so
    would not notice the loss of a whole member whose first byte is wrong.
    """

    __slots__ = ("_coding", "_ended", "_held", "_left", "_longest", "_stream")

    def __init__(self, coding: str, *, longest: int) -> None:
        self._coding = coding
        self._longest = longest
        self._left = longest
        self._held = b""  # a first byte that alone does not say which kind of deflate it begins
        self._stream: zlib._Decompress | None = None  # what has begun and not ended
        self._ended = False  # one has ended: zeros may follow, and after gzip another one

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give what ``chunk`` decompresses to, 64 KiB at most at a time; to be read to its end before the next comes.

        Raises :class:`TooLargeError` for the first byte beyond the limit, and aiohttp's ``ContentEncodingError`` for
        what is not in that coding.
        """
        rest = memoryview(self._held + chunk if self._held else chunk)
        self._held = b""
        while rest:
            stream = self._stream
            if stream is None:
                rest = self._begun(rest)
                continue
            window = rest[:_WINDOW]
            yield from self._inflated(stream, window)
            if stream.eof:
                self._stream, self._ended = None, True
            rest = rest[len(window) - len(stream.unused_data) :]

    def finish(self) -> None:
        """Raise ``aiohttp.ClientPayloadError`` where the body ends before what is compressed in it does."""
        if self._stream is not None or self._held:
            raise ClientPayloadError("the compressed body is not complete")

    def _begun(self, rest: memoryview) -> memoryview:
        """Begin with the first byte of ``rest`` that has to be decompressed, and return all from there."""
        if self._ended:
            rest = _after_zeros(rest)
        if not rest:
            return rest
        if self._coding == "gzip":
            if rest[0] != _GZIP_BEGINS:  # of one byte alone, zlib would not say so
                raise self._fault()
            self._stream = zlib.decompressobj(_GZIP)
        elif self._ended:
            raise self._fault()
        elif len(rest) < _ZLIB_HEADER:
            self._held = bytes(rest)
            return rest[:0]
        else:
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(rest) else -zlib.MAX_WBITS)
        return rest

    def _inflated(self, stream: "zlib._Decompress", data: memoryview | bytes) -> Iterator[bytes]:
        """Give what ``data`` decompresses to. What zlib has not even begun to write needs no more bytes to come out."""
        more = True
        while more:
            asked = min(_PIECE, self._left) or 1  # of zlib, 0 asks for everything
            try:
                piece = stream.decompress(data, asked)
            except zlib.error:
                raise self._fault() from None
            if len(piece) > self._left:
                raise TooLargeError(self._longest)
            self._left -= len(piece)
            if piece:
                yield piece
            data = stream.unconsumed_tail
            more = not stream.eof and (bool(data) or len(piece) == asked)

    def _fault(self) -> ContentEncodingError:
        return ContentEncodingError(f"the body is not {self._coding}, as its Content-Encoding says")


def _after_zeros(rest: memoryview) -> memoryview:
    """Return ``rest`` from its first byte that is not zero."""
    while rest and not rest[0]:
        window = bytes(rest[:_WINDOW])
        rest = rest[len(window) - len(window.lstrip(b"\0")) :]
    return rest


def _is_zlib(data: memoryview) -> bool:
    """Tell deflate as it should be, in zlib's wrapper (RFC 1950 section 2.2), from what some servers send: without."""
    return data[0] & 0x8F == 0x08 and (data[0] << 8 | data[1]) % 31 == 0
