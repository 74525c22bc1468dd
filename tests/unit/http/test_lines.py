"""Text lines and JSON lines, whatever the chunks and the charset, and never more of them than fits."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from buoy.http.body import Decoder, MisfitError
from buoy.http.lines import JsonLines, Lines, TextLines
from tests.unit.http.chunks import anywhere, outcome

CANARY = "canary-90d2"
OWNER = "shop products.export"
EVERY = range(100)  # a cut after every byte


class Row(BaseModel):
    """One line of an export."""

    id: int


def values() -> JsonLines[Any]:
    """Return a decoder for lines without a model."""
    return JsonLines(Decoder(OWNER, None), longest=40)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\n\nb\n\n", ["a", "", "b", ""]),
        (b"\r\n", [""]),
        (b"\r\r\n", ["\r"]),
        (b"a\rb\n", ["a\rb"]),
        (b"a\r", ["a\r"]),
        ("a\u2028b\x85c\x0bd\n".encode(), ["a\u2028b\x85c\x0bd"]),
        ("é…🎈\n🎈".encode(), ["é…🎈", "🎈"]),
        (b"\xef\xbb\xbfa\n", ["\ufeffa"]),
    ],
    ids=repr,
)
def test_lines_end_with_a_line_feed(body: bytes, lines: list[str]) -> None:
    """A line ends with LF or CRLF and with nothing else, the last one also with the body."""
    assert (lines, None) == outcome(TextLines(), body, [])
    assert (lines, None) == outcome(TextLines(), body, EVERY)


ALPHABET = st.sampled_from(
    [b"a", b"\n", b"\r", b"\r\n", b"\xc3", b"\xa9", b"\xff", b"{", b"1", b" ", b"\0", b"\xef\xbb\xbf"]
)
bodies = st.lists(ALPHABET | st.binary(max_size=3), max_size=30).map(b"".join)


@given(bodies, anywhere, st.integers(min_value=1, max_value=12))
def test_chunks_make_no_difference_to_bytes(body: bytes, cuts: list[int], longest: int) -> None:
    """The same lines come before the same error, wherever the body is cut, and without an error nothing is lost."""
    whole, error = outcome(Lines(longest), body, [])
    assert (whole, error) == outcome(Lines(longest), body, cuts)
    if error is None:
        assert [line.removesuffix(b"\r") for line in body.split(b"\n")[:-1]] == whole[: body.count(b"\n")]
        assert max(map(len, whole), default=0) <= longest


@given(
    bodies,
    anywhere,
    st.sampled_from(["utf-8", "latin-1", "utf-16", "utf-16-le", "utf-32", "shift_jis", "gb18030", "iso2022_jp"]),
)
def test_chunks_make_no_difference_to_text(body: bytes, cuts: list[int], charset: str) -> None:
    """Whatever the bytes and the charset: the same lines and the same error, which is one of ours."""
    whole = outcome(TextLines(charset, longest=40), body, [])
    assert whole == outcome(TextLines(charset, longest=40), body, cuts)


@given(st.text(st.characters(codec="utf-8")), anywhere, st.sampled_from(["utf-8", "utf-16", "utf-32-be", "gb18030"]))
def test_text_comes_out_as_it_went_in(text: str, cuts: list[int], charset: str) -> None:
    """In every charset that can write it, text is the same after the way, line by line."""
    lines, error = outcome(TextLines(charset), text.encode(charset), cuts)
    assert error is None
    assert [line.removesuffix("\r") for line in text.split("\n")[:-1]] == lines[: text.count("\n")]
    assert lines[text.count("\n") :] == [last for last in text.split("\n")[-1:] if last]


def test_a_fault_in_the_text_is_that_of_its_line() -> None:
    """The lines before one that is no text are given, and the error names that one by its number only."""
    for charset, bad in (("utf-8", b"\xff"), ("ascii", b"\xe9"), ("shift_jis", b"\x81\x00")):
        body = b"a\n" + CANARY.encode() + bad + b"\nb\n"
        expected = (["a"], "malformed: line 2 is not text in the charset that the body declares")
        assert expected == outcome(TextLines(charset), body, [])


def test_text_that_ends_in_the_middle_of_a_character_is_none() -> None:
    """A last character without its end is an error in every charset, not silently less text."""
    for charset in ("utf-8", "utf-16-le", "utf-32-be", "gb18030"):
        lines, error = outcome(TextLines(charset), "a\n🎈".encode(charset)[:-1], [])
        assert (lines, error) == (["a"], "malformed: line 2 is not text in the charset that the body declares")


@pytest.mark.parametrize(
    "charset",
    [
        "",
        "nonesuch",
        "zlib",
        "hex",
        "rot13",
        "idna",
        "punycode",
        "unicode_escape",
        "undefined",
        "utf-7",
        "a\0b",
        CANARY,
    ],
)
def test_a_charset_that_is_none_is_refused(charset: str) -> None:
    """What is no charset, Python's codecs for other things included, is an error that does not repeat the header."""
    with pytest.raises(MisfitError) as caught:
        TextLines(charset)
    assert (caught.value.reason, caught.value.text) == ("malformed", "the body declares a charset that does not exist")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"x" * 13, "line 1 is longer than 12 bytes"),
        (b"x" * 13 + b"\n", "line 1 is longer than 12 bytes"),
        (b"a\n\n" + CANARY.encode() + b"xx", "line 3 is longer than 12 bytes"),
        (b"x" * 12 + b"\r", "line 1 is longer than 12 bytes"),
        ("ä".encode("latin-1") * 7, "line 1 is longer than 12 bytes"),
    ],
    ids=repr,
)
def test_a_line_that_is_too_long_is_refused(body: bytes, text: str) -> None:
    """A line above the limit, counted in UTF-8, is an error that says where, and nothing of what."""
    charset = "latin-1" if b"\xe4" in body else "utf-8"
    assert outcome(TextLines(charset, longest=12), body, [])[1] == f"too_large: {text}"


def test_a_line_that_just_fits_is_given() -> None:
    """The end of a line does not count: a line of just the allowed length is fine."""
    assert outcome(TextLines(longest=12), b"x" * 12 + b"\r\n" + b"y" * 12, EVERY) == (["x" * 12, "y" * 12], None)


def test_an_endless_line_is_not_kept() -> None:
    """The error comes as soon as the limit is passed, without waiting for the end of the line."""
    lines = Lines(100)
    assert list(lines.feed(b"x" * 100)) == []
    with pytest.raises(MisfitError):
        next(lines.feed(b"x"))


def test_a_long_line_in_small_chunks_is_looked_through_once() -> None:
    """The work for a line that comes in many chunks grows with its length, not with the square of it."""
    lines, line = Lines(), b"x" * 2_000_000
    got = [one for at in range(0, len(line), 100) for one in lines.feed(line[at : at + 100])]
    assert [len(one) for one in [*got, *lines.feed(b"\n")]] == [2_000_000]


@pytest.mark.parametrize(
    ("body", "got", "error"),
    [
        (b'{"a":1}\n[2]\n"x"\nnull\n', [{"a": 1}, [2], "x", None], None),
        (b"1\r\n2", [1, 2], None),
        (b"\n \n\t\r\n1\n\n", [1], None),
        (b"\xef\xbb\xbf1\n2", [1, 2], None),
        (b"\xef\xbb\xbf\n2", [2], None),
        (b'"\xc3\xa9\xe2\x80\xa8"', ["é\u2028"], None),
        (b"1\n\n{canary}\n2\n", [1], "malformed: the body is not JSON, in line 3"),
        (b'1\n{"a":\n1}\n', [1], "malformed: the body is not JSON, in line 2"),
        (b"1\0\n", [], "malformed: the body is not JSON, in line 1"),
        (b'"\xff"', [], "malformed: the body is not JSON, in line 1"),
        (b"1\n" + b"9" * 41, [1], "too_large: line 2 is longer than 40 bytes"),
    ],
    ids=repr,
)  # fmt: skip
def test_json_comes_line_by_line(body: bytes, got: list[Any], error: str | None) -> None:
    """Each line is a value, blank lines are none, and what is no JSON is named by the number of its line alone."""
    assert (got, error) == outcome(values(), body, [])
    assert (got, error) == outcome(values(), body, EVERY)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"id":1}\n{"id":"canary"}\n', "misfit: the body does not fit the model at $.id (int_parsing), in line 2"),
        (b'{"id":1}\n\n{"id":', "malformed: the body is not JSON, in line 3"),
    ],
)
def test_each_line_is_the_declared_model(body: bytes, error: str) -> None:
    """A model is that of one line; what misfits says in which line and where, and not what."""
    assert ([Row(id=1)], error) == outcome(JsonLines(Decoder[Row](OWNER, Row)), body, [])


@given(bodies, anywhere)
def test_chunks_make_no_difference_to_json(body: bytes, cuts: list[int]) -> None:
    """Whatever the bytes: the same values and the same error, which is one of ours."""
    assert repr(outcome(values(), body, [])) == repr(outcome(values(), body, cuts))


words = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | words
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)


@given(st.lists(json_values, max_size=5), anywhere, st.booleans())
def test_json_comes_out_as_it_went_in(sent: list[Any], cuts: list[int], escaped: bool) -> None:  # noqa: FBT001  # drawn
    """What was written as JSON lines is read as the same values."""
    body = "\n".join(json.dumps(value, ensure_ascii=escaped) for value in sent).encode()
    assert (sent, None) == outcome(JsonLines(Decoder(OWNER, None)), body, cuts)
