"""Server-sent events as the standard reads them, whatever the chunks they come in, and never more of them than fits."""

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.http.body import MisfitError
from buoy.http.sse import Events
from buoy.http.sse import ServerSentEvent as Event
from tests.unit.http.chunks import anywhere, outcome

CANARY = b"canary-3c9e"


def read(stream: bytes, *, cuts: Iterable[int] = (), longest: int = 2**16) -> list[Event]:
    """Return the events of a stream that comes in chunks, cut at these places."""
    events, error = outcome(Events(longest=longest), stream, cuts)
    assert error is None
    return events


def standard(stream: bytes) -> list[Event]:
    """Return the events of a whole stream, step by step as section 9.2.6 says; the slow way, to compare with."""
    text = stream.decode(errors="replace").removeprefix("\ufeff")
    data, kind, identifier, retry = "", "", "", None
    events = []
    for line in re.split(r"\r\n|\n|\r", text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append(Event(data.removesuffix("\n"), kind or "message", identifier, retry))
            data = kind = ""
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            identifier = value
        elif name == "retry" and re.fullmatch("[0-9]+", value) and len(value.lstrip("0")) <= 10:
            retry = int(value) / 1000
    return events


# What Python takes for the end of a line, and the standard does not.
ODD_ENDS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"

# The streams of the web platform's own tests (eventsource/), and those that libraries were seen to read in other ways.
STREAMS = {
    "one": (b"data: hello\n\n", [Event("hello")]),
    "no space": (b"data:hello\n\n", [Event("hello")]),
    "one space only": (b"data:  hello\n\n", [Event(" hello")]),
    "a tab is no space": (b"data:\thello\n\n", [Event("\thello")]),
    "several lines": (b"data: a\ndata: b\ndata\n\n", [Event("a\nb\n")]),
    "no colon": (b"data\n\n", [Event("")]),
    "two without a colon": (b"data\ndata\n\n", [Event("\n")]),
    "colons inside": (b"data:a:b: c\n\n", [Event("a:b: c")]),
    "ends": (b"data:a\r\rdata:b\n\ndata:c\r\n\r\ndata:d\r\n\n", [Event("a"), Event("b"), Event("c"), Event("d")]),
    "mixed ends": (b"data:a\rdata:b\r\ndata:c\n\r\n", [Event("a\nb\nc")]),
    "comment": (b":data:no\n:\n: \0\ndata:a\n:x\n\n", [Event("a")]),
    "comment only": (b":" + b"x" * 5000 + b"\n\n", []),
    "unknown fields": (b"data:a\n data:b\ndata\0:c\nDATA:d\ntest:e\ndata \n\n", [Event("a")]),
    "type": (b"event:test\ndata:x\n\ndata:y\n\n", [Event("x", "test"), Event("y")]),
    "empty type": (b"event:test\nevent:\ndata:x\n\n", [Event("x")]),
    "type without data": (b"event:test\n\ndata:x\n\n", [Event("x")]),
    "id stays": (b"id:1\ndata:a\n\ndata:b\n\n", [Event("a", id="1"), Event("b", id="1")]),
    "id without data": (b"id:1\n\ndata:b\n\n", [Event("b", id="1")]),
    "id reset": (b"id:1\ndata:a\n\nid\ndata:b\n\n", [Event("a", id="1"), Event("b")]),
    "id with NUL": (b"id:1\nid:2\0\ndata:a\n\n", [Event("a", id="1")]),
    "id in UTF-8": ("id:…\ndata:a\n\n".encode(), [Event("a", id="…")]),
    "retry": (b"retry:3000\ndata:a\n\n", [Event("a", retry=3.0)]),
    "retry stays": (b"retry:03000\n\ndata:a\n\n", [Event("a", retry=3.0)]),
    "retry zero": (b"retry:0\ndata:a\n\n", [Event("a", retry=0.0)]),
    "retry bogus": (b"retry:1000x\nretry:+5\nretry:1_0\nretry:-1\nretry:\nretry:  1\ndata:a\n\n", [Event("a")]),
    "retry in other digits": ("retry:٣٣\ndata:a\n\n".encode(), [Event("a")]),
    "retry beyond reason": (b"retry:" + b"9" * 5000 + b"\ndata:a\n\n", [Event("a")]),
    "BOM": (b"\xef\xbb\xbfdata:a\n\n", [Event("a")]),
    "two BOMs": (b"\xef\xbb\xbf\xef\xbb\xbfdata:a\n\ndata:b\n\n", [Event("b")]),
    "BOM later": (b"data:a\n\n\xef\xbb\xbfdata:b\n\n", [Event("a")]),
    "half a BOM": (b"\xef\xbbdata:a\n\n", []),
    "NUL": (b"data:\0\n\n", [Event("\0")]),
    "UTF-8": ("data:ok…\n\n".encode(), [Event("ok…")]),
    "no UTF-8": (b"data:\xff\xe2\x80\n\n", [Event("��")]),
    "other line ends are none": (f"data:{ODD_ENDS}\n\n".encode(), [Event(ODD_ENDS)]),
    "cut off event": (b"data:a\n\ndata:b\n", [Event("a")]),
    "cut off line": (b"data:a\n\ndata:b", [Event("a")]),
    "cut off after CR": (b"data:a\r\n\r", [Event("a")]),
    "blank lines": (b"\n\n\r\r\r\n\r\ndata:a\n\n\n\n", [Event("a")]),
    "nothing": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 2**20])
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[Event], chunk: int) -> None:
    """Fields, comments, ids, types, retry, ends of lines and the byte order mark are those of the standard."""
    assert events == read(stream, cuts=range(0, len(stream), chunk))


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_the_comparison_is_right(stream: bytes, events: list[Event]) -> None:
    """What the laws compare with gives the same for all examples."""
    assert events == standard(stream)


PIECES = [b"data", b"event", b"id", b"retry", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\0", b"12"]
texts = st.text(st.characters(codec="utf-8"), max_size=3).map(str.encode)
streams = st.lists(st.sampled_from(PIECES) | st.binary(max_size=4) | texts, max_size=40).map(b"".join)


@given(streams, anywhere)
def test_any_chunks_give_what_the_standard_gives(stream: bytes, cuts: list[int]) -> None:
    """Whatever the bytes and wherever they are cut, the events are those of the standard, and nothing is raised."""
    assert standard(stream) == read(stream, cuts=cuts)


@given(streams, anywhere, st.integers(1, 20))
def test_limits_do_not_depend_on_chunks(stream: bytes, cuts: list[int], longest: int) -> None:
    """The same events come before the same error, wherever the stream is cut."""
    assert outcome(Events(longest=longest), stream, []) == outcome(Events(longest=longest), stream, cuts)


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"data:" + CANARY, "line 1 is longer than 12 bytes"),
        (b"data:a\n\n:\r\ndata:" + CANARY + b"\n\n", "line 4 is longer than 12 bytes"),
        (b"x:\ndata:123456\ndata:78901\ndata:2\n\n", "the event at line 4 is longer than 12 bytes"),
        (b"data\n" * 14, "the event at line 14 is longer than 12 bytes"),
    ],
)
def test_what_is_too_long_is_refused_by_its_line(stream: bytes, text: str) -> None:
    """A line or an event above the limit is an error that says where, and nothing of what."""
    assert outcome(Events(longest=12), stream, [])[1] == f"too_large: {text}"


def test_what_fits_exactly_is_given() -> None:
    """A line and an event of just the allowed length are fine."""
    assert [Event("1234567"), Event("123456\n12345")] == read(
        b"data:1234567\n\ndata:123456\ndata:12345\n\n", longest=12
    )


def test_keep_alives_take_no_room() -> None:
    """Comments without end, and events one after the other, stay below the limit of one."""
    events = Events(longest=12)
    got = [event for _ in range(1000) for event in events.feed(b": keep\ndata:1234567\n\n")]
    assert [Event("1234567")] * 1000 == got


def test_an_endless_line_is_not_kept() -> None:
    """The error comes as soon as the limit is passed, without waiting for the end of the line."""
    events = Events(longest=100)
    assert list(events.feed(b"x" * 100)) == []
    with pytest.raises(MisfitError):
        next(events.feed(b"x"))


def test_a_long_line_in_small_chunks_is_looked_through_once() -> None:
    """The work for a line that comes in many chunks grows with its length, not with the square of it."""
    events, line = Events(), b"data:" + b"x" * 2_000_000
    got = [event for at in range(0, len(line), 100) for event in events.feed(line[at : at + 100])]
    got += events.feed(b"\n\n")
    assert [len(event.data) for event in got] == [2_000_000]


def test_a_stream_tells_where_to_resume() -> None:
    """The last id and the time to wait are known of the stream, also when no event followed them."""
    events = Events()
    assert list(events.feed(b"id: 7\nretry: 1500\n\nid: 8\n")) == []
    assert (events.last_event_id, events.retry) == ("7", 1.5)


def test_an_event_is_no_text_for_logs() -> None:
    """What an event carries is not part of its repr."""
    (event,) = read(b"id:" + CANARY + b"\ndata:" + CANARY + b"\n\n")
    assert repr(event) == "ServerSentEvent(event='message', retry=None)"
