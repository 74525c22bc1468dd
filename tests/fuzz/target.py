"""What a target is, and how bytes become what a parser is given. The targets themselves are in ``targets``."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from multidict import CIMultiDict

# What an error says of what it read: words of ours, short and in ASCII.
_OURS = re.compile(r"[ -~]{0,160}")
_STATUS = re.compile(rb"[1-5][0-9][0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place where bytes from outside are read.

    ``read`` asserts what has to be true of anything it makes of them, and raises what is ``allowed`` or nothing.
    ``seeds`` are inputs that mean something there, ``words`` what inputs are made of.
    """

    name: str
    read: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...] = ()
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...]

    def __call__(self, data: bytes) -> None:
        """Let ``data`` be read. Raises what must not come out."""
        said = ""
        try:
            self.read(data)
        except self.allowed as error:
            said = str(error.args[0])
        assert _OURS.fullmatch(said), said


def text(data: bytes) -> str:
    """Return bytes of a header as aiohttp does: what is no UTF-8 becomes lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


def first_line(data: bytes) -> tuple[str, bytes]:
    """Return the first line, as the value of a header, and what follows it."""
    line, _, rest = data.partition(b"\n")
    return text(line), rest


def lines(data: bytes) -> list[bytes]:
    """Return the lines, without their ends."""
    return data.split(b"\n")


def headers(data: bytes) -> CIMultiDict[str]:
    """Return headers, one a line; a line without a colon is a name without a value."""
    found: CIMultiDict[str] = CIMultiDict()
    for line in lines(data):
        name, _, value = line.partition(b":")
        found.add(text(name), text(value).strip(" \t"))
    return found


def answer(data: bytes) -> tuple[int, CIMultiDict[str], bytes]:
    """Return the status, the headers and the body of an answer: a line, lines, and all after an empty line."""
    head, _, body = data.partition(b"\n\n")
    status, _, said = head.partition(b"\n")
    return int(status) if _STATUS.fullmatch(status) else 400, headers(said), body


def chunks(data: bytes) -> Iterator[bytes]:
    """Cut a body into chunks as long as its first byte says: the same bytes always come in the same chunks."""
    size = max(1, data[0]) if data else 1
    return (data[place : place + size] for place in range(0, len(data), size))
