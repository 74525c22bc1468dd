"""Reading a body within limits, without a socket: whatever the chunks are, and to the byte."""

import asyncio
import gzip
import zlib
from typing import Any

import aiohttp
import pytest
from aiohttp import http_exceptions
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from buoy.http.body import MisfitError
from buoy.http.reading import Bodies, at_once
from buoy.http.sizes import Sizes


class Protocol:
    """What an answer has of its connection."""

    def __init__(self) -> None:
        self.closed: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self.was_closed = False
        self.lost: Exception | None = None
        self._reading_paused = False
        self.connected = True

    def close(self) -> None:
        """Close it."""
        self.was_closed = True

    def exception(self) -> Exception | None:
        """Return what ended it."""
        return self.lost

    def pause_reading(self) -> None:
        """Be fed all the same."""

    def resume_reading(self, **_: object) -> None:
        """Be fed all the same."""


class Response:
    """An answer whose chunks have come, or will."""

    def __init__(
        self, *chunks: bytes, ended: bool = True, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.status = status
        self.headers = CIMultiDict(headers or {})
        self.protocol = Protocol()
        self.content = aiohttp.StreamReader(self.protocol, 2**16, loop=asyncio.get_running_loop())  # type: ignore[arg-type]
        for chunk in chunks:
            self.content.feed_data(chunk)
        if ended:
            self.content.feed_eof()
        self.waited = False

    async def wait_for_close(self) -> None:
        """Note that it was waited for the request to end."""
        self.waited = True


def whole(*chunks: bytes, sizes: Sizes, headers: dict[str, str] | None = None) -> bytes:
    """Read a body on a loop of its own."""

    async def reading() -> bytes:
        response: Any = Response(*chunks, headers=headers)
        try:
            return await Bodies().whole(response, response.protocol, sizes)
        finally:
            assert response.protocol.closed is not None
            response.protocol.closed.cancel()

    return asyncio.run(reading())


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.sampled_from(["", "length", "deflate", "gzip"]))
def test_a_body_is_what_its_chunks_are(chunks: list[bytes], framing: str) -> None:
    """However a body is cut and coded, it is read whole."""
    body, headers = b"".join(chunks), dict[str, str]()
    if framing == "length":
        headers["Content-Length"] = str(len(body))
    elif framing:
        packed = gzip.compress(body) if framing == "gzip" else zlib.compress(body)
        chunks = [packed[place : place + 7] for place in range(0, len(packed), 7)]
        headers["Content-Encoding"] = framing
    assert body == whole(*chunks, sizes=Sizes(body=10_000), headers=headers)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(min_value=1, max_value=600))
def test_the_limit_is_met_to_the_byte(chunks: list[bytes], limit: int) -> None:
    """A body as long as the limit is read, one that is a byte longer is not, and no piece beyond it is given."""
    body = b"".join(chunks)
    if len(body) <= limit:
        assert body == whole(*chunks, sizes=Sizes(body=limit))
        return
    with pytest.raises(MisfitError) as caught:
        whole(*chunks, sizes=Sizes(body=limit))
    assert (caught.value.reason, caught.value.text) == (
        "too_large",
        f"the body is longer than {limit} bytes, the limit of sizes=",
    )


@given(st.binary(min_size=1, max_size=500), st.integers(min_value=1, max_value=600))
def test_the_limit_after_decompression_is_another(body: bytes, limit: int) -> None:
    """It counts what a body becomes, and not what came."""
    sizes = Sizes(body=10_000, decompressed=limit)
    if len(body) <= limit:
        assert body == whole(gzip.compress(body), sizes=sizes, headers={"Content-Encoding": "gzip"})
        return
    with pytest.raises(MisfitError, match="when decompressed"):
        whole(gzip.compress(body), sizes=sizes, headers={"Content-Encoding": "gzip"})


async def test_a_length_beyond_the_limit_is_refused_unread() -> None:
    """No chunk is waited for where the length says that it will be too long."""
    response: Any = Response(ended=False, headers={"Content-Length": "11"})
    with pytest.raises(MisfitError):
        await Bodies().whole(response, response.protocol, Sizes(body=10))
    assert not response.waited


@pytest.mark.parametrize(
    ("status", "length", "text"),
    [(99, "2", "no status, or no length"), (200, "1" + "0" * 18, "no status, or no length")],
    ids=["status", "length"],
)
async def test_what_no_answer_can_have_closes_the_connection(status: int, length: str, text: str) -> None:
    """A status below 200 and a length of 19 digits are taken for no answer: aiohttp's parser lets them through."""
    response: Any = Response(b"{}", status=status, headers={"Content-Length": length})
    with pytest.raises(http_exceptions.BadHttpMessage, match=text):
        await Bodies().whole(response, response.protocol, Sizes())
    assert response.protocol.was_closed


@pytest.mark.parametrize("closing", ["before", "later", "known"])
async def test_a_body_ends_with_its_connection(closing: str) -> None:
    """A reader whose connection is gone does not wait for ever, whenever it went."""
    response: Any = Response(b"[", ended=False)
    protocol = response.protocol
    if closing == "known":
        protocol.closed = None
    elif closing == "before":
        protocol.closed.set_exception(OSError())
    else:
        asyncio.get_running_loop().call_soon(protocol.closed.set_result, None)
    with pytest.raises(http_exceptions.PayloadEncodingError):
        await asyncio.wait_for(Bodies().whole(response, protocol, Sizes()), 20)


async def test_a_body_that_has_ended_outlives_its_connection() -> None:
    """What was whole before the connection went is read as it is, and the next one over it is watched anew."""
    bodies, response = Bodies(), Response(b"[7]")
    wanted: Any = response
    assert response.protocol.closed is not None
    response.protocol.closed.set_result(None)
    assert await bodies.whole(wanted, wanted.protocol, Sizes()) == b"[7]"
    assert response.waited
    second: Any = Response(b"[8]")
    second.protocol = wanted.protocol
    assert await bodies.whole(second, second.protocol, Sizes()) == b"[8]"


@pytest.mark.parametrize(
    ("headers", "raises"),
    [({}, True), ({"Content-Length": "3"}, False), ({"Transfer-Encoding": "Chunked"}, False)],
    ids=["no length", "length", "chunks"],
)
async def test_a_reset_is_no_end(headers: dict[str, str], *, raises: bool) -> None:
    """Where the end of the connection is that of the body, a reset is an error; where the body says its end, not."""
    response: Any = Response(b"[7]", headers=headers)
    response.protocol.lost = aiohttp.ClientOSError(104, "reset")
    if raises:
        with pytest.raises(aiohttp.ClientOSError):
            await Bodies().whole(response, response.protocol, Sizes())
    else:
        assert await Bodies().whole(response, response.protocol, Sizes()) == b"[7]"


async def test_without_a_connection_there_is_nothing_to_watch() -> None:
    """A test's session that answers by itself has none; the body is read all the same."""
    response: Any = Response(b"[7]")
    assert await Bodies().whole(response, None, Sizes()) == b"[7]"


async def test_a_coding_that_nobody_asked_for_is_refused() -> None:
    """It is not undone, and not given away as it is."""
    response: Any = Response(b"[7]", headers={"Content-Encoding": "br"})
    with pytest.raises(MisfitError) as caught:
        await Bodies().whole(response, response.protocol, Sizes())
    assert caught.value.reason == "content_encoding"


async def test_no_body_is_none_whatever_the_headers_say() -> None:
    """To HEAD, and with 204 and 304, there is no body: neither its length nor its coding is looked at."""
    response: Any = Response(headers={"Content-Length": "99999", "Content-Encoding": "br"})
    response.content = aiohttp.EMPTY_PAYLOAD
    assert await Bodies().whole(response, response.protocol, Sizes(body=10)) == b""


@pytest.mark.parametrize(
    ("chunks", "headers", "status", "ended", "body"),
    [
        ((b"[7]",), {"Content-Length": "3"}, 200, True, b"[7]"),
        ((b"[", b"7]"), {"Content-Length": "3"}, 404, True, b"[7]"),
        ((), {"Content-Length": "0"}, 200, True, b""),
        ((b"[7]",), {"Content-Length": "3"}, 200, False, None),
        ((b"[7]",), {}, 200, True, None),
        ((b"[7]",), {"Content-Length": "3", "Content-Encoding": "gzip"}, 200, True, None),
        ((b"[0123456789]",), {"Content-Length": "12"}, 200, True, None),
        ((b"[7]",), {"Content-Length": "18446744073709551615"}, 200, True, None),
        ((b"[7]",), {"Content-Length": "3"}, 0, True, None),
    ],
)
async def test_a_body_that_came_with_its_headers_is_there(
    chunks: tuple[bytes, ...],
    headers: dict[str, str],
    status: int,
    ended: bool,  # noqa: FBT001  # a column of the table
    body: bytes | None,
) -> None:
    """It is had without waiting; one that is still to come, to be undone, too long or of no status is not."""
    response: Any = Response(*chunks, headers=headers, status=status, ended=ended)
    assert body == at_once(response, Sizes(body=10))
