"""The lines of a scripted provider: what may be written, in which order it is given, what was missed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.errors import ConfigurationError
from buoy.testing import script
from buoy.testing.script import Fault, Hang, Script


def test_answers_come_in_their_order() -> None:
    """What is written for one method and path is given in that order, each once, whatever is written for others."""
    lines = Script()
    first = lines.add("GET", "/a", Fault.NONE, None)
    other = lines.add("POST", "/a", Fault.NONE, None)
    second = lines.add("GET", "/a", Fault.CUT, None)
    assert [lines.next("GET", "/a"), lines.next("GET", "/a"), lines.next("GET", "/a")] == [first, second, None]
    assert [lines.next("POST", "/a"), lines.next("POST", "/a")] == [other, None]


@given(st.lists(st.integers(1, 4), max_size=5), st.booleans(), st.integers(0, 25))
def test_each_as_often_as_it_says(times: list[int], endless: bool, requests: int) -> None:  # noqa: FBT001
    """Each line is given ``times`` times, the last of all for ever if it says ``always``; the rest is missed."""
    lines = Script()
    written = [lines.add("GET", "/a", Fault.NONE, None, times=count) for count in times]
    expected = [line for line, count in zip(written, times, strict=True) for _ in range(count)]
    if endless:
        expected += [lines.add("GET", "/a", Fault.NONE, None, always=True)] * requests
    got = [lines.next("GET", "/a") for _ in range(requests)]
    assert got == [*expected, *[None] * requests][:requests]
    needed = sum(times) + endless
    assert (requests >= needed) is (list(lines.missed()) == [])


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("/a b/ü", "/a%20b/%C3%BC"),
        ("/a%20b/%c3%bc", "/a%20b/%C3%BC"),
        ("/a%2Fb", "/a%2Fb"),
    ],
)
def test_a_path_is_written_either_way(written: str, asked: str) -> None:
    """A path matches with its characters or their encoding, and the method in any case."""
    lines = Script()
    line = lines.add("get", written, Fault.NONE, None)
    assert lines.next("GET", "/a/b") is None
    assert lines.next("GET", asked) is line


@pytest.mark.parametrize(
    ("said", "asked", "missed"),
    [
        ({}, 0, ["GET /a (answer)"]),
        ({}, 1, []),
        ({"times": 3}, 0, ["GET /a (answer, 0 of 3)"]),
        ({"times": 3}, 2, ["GET /a (answer, 2 of 3)"]),
        ({"times": 3}, 3, []),
        ({"always": True}, 0, ["GET /a (answer)"]),
        ({"always": True}, 1, []),
    ],
)
def test_missed(said: Any, asked: int, missed: list[str]) -> None:
    """What was never asked for is told with how often it was to be; ``always`` means at least once."""
    lines = Script()
    lines.add("GET", "/a", Fault.NONE, None, **said)
    for _ in range(asked):
        lines.next("GET", "/a")
    assert missed == list(lines.missed())


@pytest.mark.parametrize(
    ("said", "body", "kind"),
    [
        ({}, b"", None),
        ({"json": {"id": "7"}}, b'{"id": "7"}', "application/json"),
        ({"json": None}, b"null", "application/json"),
        ({"body": "ü"}, "ü".encode(), "text/plain; charset=utf-8"),
        ({"body": b"\0"}, b"\0", None),
        ({"json": {}, "headers": {"content-type": "application/problem+json"}}, b"{}", "application/problem+json"),
    ],
)
def test_bodies(said: Any, body: bytes, kind: str | None) -> None:
    """A body is JSON, text or bytes, and has the type of its kind unless the headers say another."""
    line = Script().add("GET", "/a", Fault.NONE, None, **said)
    assert (body, kind) == (line.body, line.headers.get("Content-Type"))


@pytest.mark.parametrize(
    ("fault", "after", "said", "words"),
    [
        (Fault.NONE, None, {"status": 99}, "status=99"),
        (Fault.NONE, None, {"status": 600}, "status=600"),
        (Fault.NONE, None, {"times": 0}, "times=0"),
        (Fault.NONE, None, {"times": 2, "always": True}, "not both"),
        (Fault.NONE, None, {"json": 1, "body": "1"}, "not both"),
        (Fault.NONE, None, {"body": ["a"]}, "body="),
        (Fault.NONE, None, {"status": 204, "json": {}}, "status 204 has no body"),
        (Fault.NONE, None, {"headers": {"content-length": "3"}}, "set by the transport"),
        (Fault.NONE, None, {"headers": {"X-A": "a\r\nb"}}, "line break"),
        (Fault.CUT, None, {"json": {}}, "without after= nothing is answered, so json would never be seen"),
        (Fault.CUT, 0, {}, "after= counts bytes of a body, and there is none"),
        (Fault.CUT, 3, {"body": "abc"}, "after=3"),
        (Fault.HANG, -1, {"body": "abc"}, "after=-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(fault: Fault, after: int | None, said: Any, words: str) -> None:
    """A line that would do nothing, or another thing than it says, is refused where it is written."""
    with pytest.raises(ConfigurationError) as caught:
        Script().add("GET", "/a", fault, after, **said)
    assert words in str(caught.value)


@pytest.mark.parametrize("path", ["a", "", "/a?b=1", "/a#b"])
def test_a_path_has_no_query(path: str) -> None:
    """A path begins with a slash and has neither query nor fragment; what is asked for is found on the request."""
    with pytest.raises(ConfigurationError, match="told apart by method and path"):
        Script().add("GET", path, Fault.NONE, None)


def test_nothing_follows_what_is_given_always() -> None:
    """After ``always`` no line can come, so none is taken."""
    lines = Script()
    lines.add("GET", "/a", Fault.NONE, None, always=True)
    with pytest.raises(ConfigurationError, match="nothing can follow"):
        lines.add("GET", "/a", Fault.NONE, None)


async def test_waiting_for_a_request_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that waits for a request that never comes fails, and says for which."""
    monkeypatch.setattr(script, "_PATIENCE", 0)
    with pytest.raises(AssertionError, match="no request came for GET /a"):
        await Hang("GET /a").arrived()
