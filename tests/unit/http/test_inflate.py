"""Decompression while a body arrives: the same bytes whatever the chunks, no half bodies, and no bomb that goes off."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise

import pytest
from aiohttp import ClientPayloadError
from aiohttp.http_exceptions import ContentEncodingError
from hypothesis import given
from hypothesis import strategies as st

from buoy.http.body import MisfitError
from buoy.http.inflate import Inflater, TooLargeError, coding_of
from tests.unit.http.chunks import anywhere

CANARY = b"canary-3f71"
MIB = 2**20
PIECE = 2**16
PLENTY = 16 * MIB

INCOMPLETE = "the compressed body is not complete"
NO_GZIP = "the body is not gzip, as its Content-Encoding says"
NO_DEFLATE = "the body is not deflate, as its Content-Encoding says"


def member(data: bytes) -> bytes:
    """Return a member of gzip, the same on every day."""
    return gzip.compress(data, mtime=0)


def raw(data: bytes) -> bytes:
    """Return deflate without zlib's wrapper, as some servers send it."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@cache
def bomb(size: int, wbits: int) -> bytes:
    """Return what becomes ``size`` MiB of zeros, made without them."""
    stream = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(size)) + stream.flush()


def pieces(body: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """Cut a body at these places."""
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return (body[start:end] for start, end in pairwise(places))


def outcome(coding: str, chunks: Iterable[bytes], longest: int = PLENTY) -> tuple[bytes, str | None]:
    """Return all that came out, and the words of the error that ended it."""
    inflater = Inflater(coding, longest=longest)
    got = bytearray()
    try:
        for chunk in chunks:
            for piece in inflater.feed(chunk):
                assert 0 < len(piece) <= PIECE
                got += piece
        inflater.finish()
    except TooLargeError as error:
        return bytes(got), error.text
    except ContentEncodingError as error:
        return bytes(got), error.message
    except ClientPayloadError as error:
        return bytes(got), str(error)
    return bytes(got), None


BODIES = {
    "gzip": ("gzip", member(CANARY * 3)),
    "gzip of two members": ("gzip", member(CANARY) + member(CANARY * 2)),
    "zlib": ("deflate", zlib.compress(CANARY * 3)),
    "raw deflate": ("deflate", raw(CANARY * 3)),
}
bodies = pytest.mark.parametrize(("coding", "body"), BODIES.values(), ids=BODIES)

data = st.binary(max_size=200) | st.builds(bytes.__mul__, st.binary(max_size=8), st.integers(0, 40_000))


@given(st.lists(data, max_size=4), st.integers(0, 3), anywhere)
def test_chunks_make_no_difference_to_gzip(members: list[bytes], padding: int, cuts: list[int]) -> None:
    """Wherever it is cut, a body of any number of members, padded or not, is what ``gzip.decompress`` makes of it."""
    body = b"".join(member(each) + bytes(padding) for each in members)
    assert (gzip.decompress(body), None) == outcome("gzip", pieces(body, cuts))


@given(data, st.sampled_from([zlib.compress, raw]), anywhere)
def test_chunks_make_no_difference_to_deflate(body: bytes, written: Callable[[bytes], bytes], cuts: list[int]) -> None:
    """With zlib's wrapper or without it, and wherever it is cut, deflate is what it was made from."""
    assert (body, None) == outcome("deflate", pieces(written(body), cuts))


@pytest.mark.parametrize("wbits", [zlib.MAX_WBITS, -zlib.MAX_WBITS])
def test_nothing_is_held_back(wbits: int) -> None:
    """Wherever a chunk ends, all that it makes known is given, also what zlib had no room for in a piece."""
    stream = zlib.compressobj(wbits=wbits)
    body = stream.compress(bytes(PIECE + 4000)) + stream.flush()
    for end in range(2, len(body) + 1):
        known = zlib.decompressobj(wbits).decompress(body[:end])
        assert known == b"".join(Inflater("deflate", longest=PLENTY).feed(body[:end])), end


@bodies
def test_a_body_that_is_cut_is_incomplete(coding: str, body: bytes) -> None:
    """Every proper beginning of a body is told as incomplete, except at the end of a member and where nothing came."""
    whole = {0, len(member(CANARY))} if body.startswith(member(CANARY)) else {0}
    for end in range(len(body)):
        assert (None if end in whole else INCOMPLETE) == outcome(coding, [body[:end]])[1], end


@bodies
def test_corruption_is_noticed(coding: str, body: bytes) -> None:
    """Whatever becomes of a byte, an error that is named comes, or what is checked by a sum is the same as before."""
    untouched, _ = outcome(coding, [body])
    for place in range(len(body)):
        for byte in range(256):
            got, error = outcome(coding, [body[:place] + bytes([byte]) + body[place + 1 :]])
            assert error in {None, INCOMPLETE, NO_GZIP, NO_DEFLATE}
            if error is None and body != BODIES["raw deflate"][1]:
                assert untouched == got


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=64), anywhere)
def test_garbage_is_an_error_that_is_named(coding: str, garbage: bytes, cuts: list[int]) -> None:
    """Any bytes at all end in a body or in a named error, and the chunks make no difference to which."""
    assert outcome(coding, [garbage])[1] == outcome(coding, pieces(garbage, cuts))[1]


AROUND: dict[str, tuple[str, bytes, tuple[bytes, str | None]]] = {
    "nothing, gzip": ("gzip", b"", (b"", None)),
    "nothing, deflate": ("deflate", b"", (b"", None)),
    "one byte of text": ("gzip", b"h", (b"", NO_GZIP)),
    "padding before": ("gzip", b"\0" + member(b"a"), (b"", NO_GZIP)),
    "zlib for gzip": ("gzip", zlib.compress(b"a"), (b"", NO_GZIP)),
    "padding after": ("gzip", member(b"a") + bytes(100_000), (b"a", None)),
    "padding between": ("gzip", member(b"a") + bytes(100_000) + member(b"b"), (b"ab", None)),
    "a line after": ("gzip", member(b"a") + b"\n", (b"a", NO_GZIP)),
    "a line after padding": ("gzip", member(b"a") + b"\0\n", (b"a", NO_GZIP)),
    "a second member of one byte": ("gzip", member(b"a") + b"\x1f", (b"a", INCOMPLETE)),
    "no second member": ("gzip", member(b"a") + b"\x1f\x8c", (b"a", NO_GZIP)),
    "padding after zlib": ("deflate", zlib.compress(b"a") + bytes(3), (b"a", None)),
    "zlib twice": ("deflate", zlib.compress(b"a") + zlib.compress(b"b"), (b"a", NO_DEFLATE)),
    "a line after raw deflate": ("deflate", raw(b"a") + b"\n", (b"a", NO_DEFLATE)),
    "one byte of zlib": ("deflate", b"\x78", (b"", INCOMPLETE)),
    "gzip for deflate": ("deflate", member(b"a"), (b"", NO_DEFLATE)),
    "a dictionary of the server's own": ("deflate", zlib.compressobj(zdict=b"a").flush(), (b"", NO_DEFLATE)),
}


@pytest.mark.parametrize(("coding", "body", "expected"), AROUND.values(), ids=AROUND)
def test_what_is_before_and_after(coding: str, body: bytes, expected: tuple[bytes, str | None]) -> None:
    """After the end zeros are padding and, for gzip, another member is more of the body; anything else is an error."""
    assert expected == outcome(coding, [body])
    assert expected == outcome(coding, (body[place : place + 1] for place in range(len(body))))


@given(data, st.integers(0, 300_000), st.sampled_from(["gzip", "deflate"]), anywhere)
def test_nothing_beyond_the_limit_is_given(body: bytes, longest: int, coding: str, cuts: list[int]) -> None:
    """A body that fits comes whole; of one that does not, just as much as is allowed comes before the error."""
    written = member(body) if coding == "gzip" else zlib.compress(body)
    told = f"the body is longer than {longest} bytes when decompressed, the limit of sizes="
    error = told if len(body) > longest else None
    assert (body[:longest], error) == outcome(coding, pieces(written, cuts), longest)


def test_the_limit_is_that_of_all_members() -> None:
    """Many small members are not more allowed than a large one."""
    got, error = outcome("gzip", [member(CANARY) * 100], 100)
    assert (len(got), error) == (100, "the body is longer than 100 bytes when decompressed, the limit of sizes=")


@pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
@pytest.mark.parametrize("size", [1, 1000, PLENTY], ids="in chunks of {}".format)
def test_a_bomb_is_stopped_while_it_grows(coding: str, wbits: int, size: int) -> None:
    """Of 16 MiB in 16 kB, 2 MiB come and then the error; the memory it takes is that of a few pieces."""
    body = bomb(16, wbits)
    inflater = Inflater(coding, longest=2 * MIB)
    given_away, text = 0, ""
    tracemalloc.start()
    try:
        for place in range(0, len(body), size):
            for piece in inflater.feed(body[place : place + size]):
                given_away += len(piece)
    except TooLargeError as error:
        text = error.text
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert text == "the body is longer than 2097152 bytes when decompressed, the limit of sizes="
    assert given_away == 2 * MIB
    assert peak < 6 * PIECE


class Counted:
    """A decompressor of zlib that counts the bytes it is given, which are those that it may have to copy."""

    def __init__(self, wbits: int) -> None:
        self._stream = REAL(wbits)

    def decompress(self, data: bytes, longest: int) -> bytes:
        """Count, and decompress."""
        COUNTS.append(len(data))
        return self._stream.decompress(data, longest)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


REAL = zlib.decompressobj
COUNTS: list[int] = []


@pytest.mark.parametrize(
    ("body", "longest"),
    [
        (bomb(16, 31) + bytes(4 * MIB), 16 * MIB),
        (bomb(16, 31) * 20, 8 * MIB),
        (member(b"a") * 20_000, MIB),
        ((member(b"a") + b"\0") * 20_000, MIB),
    ],
    ids=["a bomb", "several bombs", "small members", "small members with padding"],
)
def test_the_work_is_in_proportion(monkeypatch: pytest.MonkeyPatch, body: bytes, longest: int) -> None:
    """A body in one chunk is handed to zlib a window at a time: what is left is not copied for every piece."""
    COUNTS.clear()
    monkeypatch.setattr(zlib, "decompressobj", Counted)
    got, _ = outcome("gzip", [body], longest)
    calls = len(got) // PIECE + body.count(b"\x1f\x8b") + len(body) // 2**14 + 2
    assert len(COUNTS) <= 2 * calls
    assert max(COUNTS) <= 2**14


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        ("", None),
        (" ", None),
        ("identity", None),
        ("utf-8", None),
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        (CANARY.decode(), None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("X-GZIP", "gzip"),
        ("\tdeflate ", "deflate"),
        ("gzip,", "gzip"),
        ("identity, gzip", "gzip"),
    ],
)
def test_content_encoding(value: str, coding: str | None) -> None:
    """The codings that we ask for are known in any case and by their old names; one that is none changes nothing."""
    assert coding == coding_of(value)


@pytest.mark.parametrize(
    "value", ["br", "zstd", "compress", "X-Compress", "gzip, gzip", "gzip, deflate", f"{CANARY.decode()}, br"]
)
def test_a_coding_that_nobody_asked_for_is_refused(value: str) -> None:
    """What we did not ask for is an error that does not repeat the header."""
    with pytest.raises(MisfitError) as caught:
        coding_of(value)
    assert caught.value.reason == "content_encoding"
    assert caught.value.text == "the body has a Content-Encoding that was not asked for"
