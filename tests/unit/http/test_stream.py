"""A streamed answer without a call around it: what its reader is given, and who is told how it ended."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from buoy.http.body import Decoder, MisfitError
from buoy.http.lines import JsonLines, TextLines
from buoy.http.sse import Events
from buoy.http.stream import Stream
from buoy.result import Meta
from tests.support.virtual_time import run, virtually
from tests.unit.http.chunks import anywhere, outcome

META = Meta(request_id="1", provider="shop", operation="list", attempts=1, sends=1, duration=0)


class ToldError(Exception):
    """What the caller is to see of a failure."""


class Reading:
    """A stream over these pieces, of which the last may be what goes wrong, and what was told of its end."""

    def __init__(self, *pieces: bytes | Exception, content_type: str = "text/plain") -> None:
        self.told: list[Exception | None] = []
        self.closed = False
        response: Any = SimpleNamespace(status=200, headers=CIMultiDict({"Content-Type": content_type}))
        self.stream: Stream[Any] = Stream(response, self._pieces(pieces), Decoder("shop list", None))
        self.stream.attach(lambda: META, self._ended)

    async def _pieces(self, pieces: Iterable[bytes | Exception]) -> AsyncGenerator[bytes, None]:
        try:
            for piece in pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield piece
        finally:
            self.closed = True

    async def _ended(self, fault: Exception | None) -> None:
        self.told.append(fault)
        if isinstance(fault, ConnectionError):
            raise ToldError


async def drained(items: AsyncIterator[Any]) -> tuple[list[Any], str | None]:
    """Return the items, and the words of the misfit that ended them."""
    got: list[Any] = []
    try:
        async for item in items:
            got.append(item)  # noqa: PERF401  # what came before an error counts
    except MisfitError as misfit:
        return got, f"{misfit.reason}: {misfit.text}"
    return got, None


class Bytes:
    """Pieces as they are."""

    @staticmethod
    def feed(chunk: bytes) -> Iterable[bytes]:
        """Give it."""
        return [chunk]

    @staticmethod
    def finish() -> Iterable[bytes]:
        """Give nothing."""
        return ()


FORMS: dict[str, tuple[Callable[[Stream[Any]], AsyncIterator[Any]], Callable[[], Any]]] = {
    "bytes": (lambda stream: stream.bytes(), Bytes),
    "lines": (lambda stream: stream.lines(), TextLines),
    "json_lines": (lambda stream: stream.json_lines(), lambda: JsonLines(Decoder("shop list", None))),
    "events": (lambda stream: stream.events(), Events),
}
TEXT = st.lists(st.sampled_from([b"{}", b"1", b"data: x", b"\n", b"\r\n", b"\xc3", b"\xa4", b"id: 7", b"{"])).map(
    b"".join
)


@pytest.mark.parametrize("form", FORMS)
@given(body=TEXT, cuts=anywhere)
def test_a_stream_gives_what_its_parser_gives(form: str, body: bytes, cuts: list[int]) -> None:
    """Items and error of each form are those of the parser alone, and the end is told once, with what went wrong."""
    read, parser = FORMS[form]
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    pieces = [body[start:end] for start, end in pairwise(places)]

    async def scenario() -> None:
        reading = Reading(*pieces)
        expected = outcome(parser(), body, [place for place in places if 0 < place < len(body)])
        if not body:
            expected = ([], None)
        got = await drained(read(reading.stream))
        assert got == expected
        assert reading.stream.complete == (got[1] is None)
        assert [type(told) for told in reading.told] == [type(None) if got[1] is None else MisfitError]

    run(scenario())


@virtually
async def test_who_is_told_says_what_is_raised() -> None:
    """What goes wrong with the connection is told once, and the reader sees what the call makes of it."""
    reading = Reading(b"one\ntw", ConnectionResetError())
    lines = reading.stream.lines()
    assert await anext(lines) == "one"
    with pytest.raises(ToldError):
        await anext(lines)
    with pytest.raises(StopAsyncIteration):
        await anext(lines)
    assert [type(told) for told in reading.told] == [ConnectionResetError]
    assert not reading.stream.complete


@virtually
async def test_a_fault_that_is_nobody_elses_passes() -> None:
    """Where the call makes nothing of a fault, the reader gets it as it is."""
    fault = LookupError()
    reading = Reading(fault)
    with pytest.raises(LookupError) as caught:
        await anext(reading.stream.bytes())
    assert (caught.value, reading.told) == (fault, [fault])


@virtually
async def test_a_charset_that_does_not_exist_is_told_where_it_is_read() -> None:
    """Asking for lines raises nothing; reading the first does, and is an end like any other."""
    reading = Reading(b"one\n", content_type="text/plain; charset=none-such")
    lines = reading.stream.lines()
    with pytest.raises(MisfitError):
        await anext(lines)
    assert [type(told) for told in reading.told] == [MisfitError]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_closed_stream_gives_nothing(form: str, begun: bool) -> None:  # noqa: FBT001  # a table
    """Once it is closed its reader gets a ``RuntimeError``, also for what had come, and nobody is told of an end."""
    read, _ = FORMS[form]

    async def scenario() -> None:
        reading = Reading(b"data: 1\n\n2\n" if form == "events" else b"1\n2\n3", b"4")
        items = read(reading.stream)
        if begun:
            await anext(items)
        await reading.stream.close()
        with pytest.raises(RuntimeError, match="was left before its end"):
            await anext(items)
        with pytest.raises(RuntimeError, match="is read once"):
            read(reading.stream)
        assert (reading.told, reading.stream.complete, reading.closed) == ([], False, begun)

    run(scenario())


@virtually
async def test_an_item_of_the_end_is_none_after_the_block() -> None:
    """The block is left between two items that the end of the body completed: the second is not given."""
    reading = Reading(b"1")
    lines = reading.stream.lines()
    assert await anext(lines) == "1"
    await reading.stream.close()
    with pytest.raises(RuntimeError, match="was left before its end"):
        await anext(lines)
    assert (reading.told, reading.stream.complete) == ([], False)


@virtually
async def test_a_stream_is_read_in_one_form_once() -> None:
    """The second question for items is refused, whatever the form, and the first goes on."""
    reading = Reading(b"1\n", b"2\n")
    lines = reading.stream.lines()
    for read, _ in FORMS.values():
        with pytest.raises(RuntimeError, match="is read once"):
            read(reading.stream)
    assert await drained(lines) == (["1", "2"], None)
    assert reading.told == [None]


@virtually
async def test_what_a_stream_tells_of_itself() -> None:
    """Status, headers in any case and the story of the call; nothing of the body or of a header in its repr."""
    reading = Reading(b"secret", content_type="text/secret")
    stream = reading.stream
    assert (stream.status, stream.headers["content-TYPE"], stream.meta) == (200, "text/secret", META)
    assert repr(stream) == "<Stream 200>"
    assert await drained(stream.bytes()) == ([b"secret"], None)
    assert repr(stream) == "<Stream 200 complete>"
