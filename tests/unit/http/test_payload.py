"""Bodies of every kind: whole on the wire, as often as they say; what cannot be sent is refused before anything is."""

import asyncio
import gc
import gzip
import io
import os
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.http.multipart import Multipart
from buoy.http.payload import NOTHING, Whole, prepare
from tests.unit.http.receiver import Receiver

OWNER = "shop products.upload"
CANARY = "canary-b60e"
LARGE = bytes(range(256)) * 2**13  # 2 MiB


async def numbers() -> AsyncIterator[bytes]:
    """Give a few pieces, one of them empty and one of them large."""
    for piece in (b"one", b"", bytearray(b"two"), memoryview(b"three"), b"x" * 100_000):
        yield piece  # type: ignore[misc]  # what is like bytes is taken too


NUMBERS = b"onetwothree" + b"x" * 100_000


@pytest.mark.parametrize(
    ("data", "body", "content_type", "framing"),
    [
        (None, b"", "application/octet-stream", "0"),
        (b"", b"", "application/octet-stream", "0"),
        (b"abc", b"abc", "application/octet-stream", "3"),
        (bytearray(b"abc"), b"abc", "application/octet-stream", "3"),
        (memoryview(b"abc"), b"abc", "application/octet-stream", "3"),
        ("é", b"\xc3\xa9", "text/plain; charset=utf-8", "2"),
        ({"a": ["1", "2"]}, b"a=1&a=2", "application/x-www-form-urlencoded", "7"),
        (LARGE, LARGE, "application/octet-stream", "2097152"),
        (lambda: b"made", b"made", "application/octet-stream", "4"),
        (lambda: None, b"", "application/octet-stream", "0"),
        (lambda: {"a": "1"}, b"a=1", "application/x-www-form-urlencoded", "3"),
        (numbers, NUMBERS, "application/octet-stream", "chunked"),
        (lambda: io.BytesIO(b"file"), b"file", "application/octet-stream", "4"),
        (io.BytesIO(LARGE), LARGE, "application/octet-stream", "2097152"),
    ],
    ids=range(14),
)
async def test_a_body_comes_whole_each_time_it_is_sent(data: Any, body: bytes, content_type: str, framing: str) -> None:
    """The server gets the same bytes on every send, with a length that fits or in chunks, and with their type."""
    payload = prepare(OWNER, data=data)
    async with Receiver() as receiver:
        for _ in range(2):
            assert (payload.replayable, payload.spent) == (True, False)
            await receiver.send(payload)
        assert [(body, content_type, framing)] * 2 == [
            (got.body, got.headers["Content-Type"], got.framing) for got in receiver.got
        ]


async def test_json_is_a_body_too() -> None:
    """``json=`` is written once and sent as it was."""
    async with Receiver() as receiver:
        await receiver.send(prepare(OWNER, json_value={"a": [1, None]}))
        assert [got.body for got in receiver.got] == [b'{"a":[1,null]}']
        assert receiver.got[0].headers["Content-Type"] == "application/json"
    with pytest.raises(TypeError, match="give json= or data=, not both"):
        prepare(OWNER, json_value={}, data=b"x")


async def test_what_an_async_function_makes_is_sent() -> None:
    """A factory may wait, and is asked again for every send."""
    count = 0

    async def make() -> bytes:
        nonlocal count
        await asyncio.sleep(0)
        count += 1
        return b"%d" % count

    async with Receiver() as receiver:
        payload = prepare(OWNER, data=make)
        await receiver.send(payload)
        await receiver.send(payload)
        assert [got.body for got in receiver.got] == [b"1", b"2"]


async def test_a_file_is_sent_from_where_it_stands_and_stays_open(tmp_path: Path) -> None:
    """An open file is sent from its position, again from there, and is the caller's to close."""
    path = tmp_path / "file"
    path.write_bytes(b"head" + LARGE)
    async with Receiver() as receiver:
        with path.open("rb") as file:
            file.seek(4)
            payload = prepare(OWNER, data=file)
            await receiver.send(payload)
            await receiver.send(payload)
            assert not file.closed
        assert [(LARGE, str(len(LARGE)))] * 2 == [(got.body, got.framing) for got in receiver.got]


async def test_files_of_all_kinds_are_files() -> None:
    """Temporary, spooled and raw files are sent like others; one that stands behind its end is empty."""
    with tempfile.TemporaryFile() as plain, tempfile.SpooledTemporaryFile() as spooled, tempfile.NamedTemporaryFile() as named:  # fmt: skip  # noqa: E501  # they belong together
        async with Receiver() as receiver:
            for file in (plain, spooled, named):
                file.write(b"content")
                file.seek(3)
                await receiver.send(prepare(OWNER, data=file))
                file.seek(30)
                await receiver.send(prepare(OWNER, data=file))
            with Path(named.name).open("rb", buffering=0) as raw:  # noqa: ASYNC230  # it is there and small
                await receiver.send(prepare(OWNER, data=raw))
            assert [got.body for got in receiver.got] == [b"tent", b""] * 3 + [b"content"]


async def test_a_path_is_opened_for_each_send(tmp_path: Path) -> None:
    """What is in the file when it is sent is what goes out, and a file that is not there is told before that."""
    path = tmp_path / "file"
    payload = prepare(OWNER, data=path)
    assert (payload.replayable, payload.spent) == (True, False)
    with pytest.raises(FileNotFoundError):
        await payload.open()
    with pytest.raises(IsADirectoryError):
        await prepare(OWNER, data=tmp_path).open()
    async with Receiver() as receiver:
        for content in (b"first", b"", b"the second"):
            path.write_bytes(content)
            await receiver.send(payload)
        assert [(got.body, got.framing) for got in receiver.got] == [(b"first", "5"), (b"", "0"), (b"the second", "10")]


@pytest.mark.parametrize("kind", ["generator", "iterator", "pipe"])
async def test_what_can_be_read_once_is_sent_once(kind: str) -> None:
    """An async iterator or a pipe is sent in chunks, once; the second time is refused with what to do instead."""

    class Iterator:
        def __init__(self) -> None:
            self.left = [b"b", b"a"]

        def __aiter__(self) -> "Iterator":
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    read, write = os.pipe()
    os.write(write, b"pipe")
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123, ASYNC230  # a descriptor has no path, and opening it does not wait
        data, body = {"generator": (numbers(), NUMBERS), "iterator": (Iterator(), b"ab"), "pipe": (pipe, b"pipe")}[kind]
        payload = prepare(OWNER, data=data)
        assert (payload.replayable, payload.spent) == (False, False)
        async with Receiver() as receiver:
            await receiver.send(payload)
            assert [(body, "chunked")] == [(got.body, got.framing) for got in receiver.got]
        assert (payload.replayable, payload.spent) == (False, True)
        with pytest.raises(TypeError, match=f"{OWNER}: the body can be sent once, and was; give a function"):
            await payload.open()


@pytest.mark.parametrize(
    "data",
    [
        7,
        1.5,
        True,
        object(),
        [b"a"],
        (b"a",),
        {b"a"},
        (piece for piece in [b"a"]),
        iter([b"a"]),
        range(3),
        dict,
        io.BytesIO,
        ValueError(CANARY),
    ],
    ids=range(13),
)
def test_what_is_no_body_is_refused_by_its_kind(data: Any) -> None:
    """Anything else is a ``TypeError`` that names the operation, what would do, and nothing of the value."""
    with pytest.raises(TypeError) as caught:
        prepare(OWNER, data=data)
    assert str(caught.value).startswith(f"{OWNER}: the body must be bytes, str, a mapping (a form), Multipart, a path")
    assert str(caught.value).endswith(f", not {type(data).__name__}.")
    assert CANARY not in str(caught.value)


async def test_a_factory_that_makes_no_body_is_refused_by_its_kind() -> None:
    """What a function returns is looked at like what is given; a function that returns a function is none."""
    for made in (7, [b"a"], lambda: b"x"):
        with pytest.raises(TypeError, match=f"^{OWNER}: the body must be .* not {type(made).__name__}"):
            await prepare(OWNER, data=lambda made=made: made).open()


def test_a_file_that_cannot_be_read_as_bytes_is_refused(tmp_path: Path) -> None:
    """Text mode, a closed file, one for writing only and one that must be awaited are told at once."""
    path = tmp_path / "file"
    path.write_text("x")
    with (
        path.open(encoding="utf-8") as file,
        pytest.raises(TypeError, match=rf"{OWNER}: .* opened as text; .*\('rb'\)"),
    ):
        prepare(OWNER, data=file)
    with pytest.raises(TypeError, match="opened as text"):
        prepare(OWNER, data=io.StringIO("x"))
    with pytest.raises(ValueError, match=f"{OWNER}: the file of the body is closed, or"):
        prepare(OWNER, data=file)
    with path.open("wb") as written, pytest.raises(ValueError, match="not opened for reading"):
        prepare(OWNER, data=written)

    class Later:
        async def read(self, _: int = -1) -> bytes:
            return b""

    with pytest.raises(TypeError, match="not Later"):
        prepare(OWNER, data=Later())


async def test_compression_is_for_what_gets_shorter() -> None:
    """From the given length on, bytes go out in gzip with a length that fits; others and incompressible ones do not."""
    cases = [(b"a" * 999, "none"), (b"a" * 1000, "gzip"), (os.urandom(5000), "none"), (LARGE, "gzip"), (b"", "none")]
    async with Receiver() as receiver:
        for body, coding in cases:
            payload = prepare(OWNER, data=body, compress=1000)
            opened = await receiver.send(payload)
            got = receiver.got[-1]
            assert (body, coding) == (got.body, got.headers.get("Content-Encoding", "none"))
            assert opened.data is not None
            assert int(got.framing) == len(opened.data)
            assert body == (gzip.decompress(opened.data) if coding == "gzip" else opened.data)
            assert opened.data is (await payload.open()).data or coding == "none"


async def test_compression_gives_the_same_for_the_same() -> None:
    """Identical bodies stay identical: no time of day is in them."""
    first, second = [await prepare(OWNER, json_value="a" * 5000, compress=10).open() for _ in range(2)]
    assert first.data == second.data
    assert first.data is not None
    assert first.data[4:8] == b"\0\0\0\0"
    made = await prepare(OWNER, data=lambda: b"a" * 5000, compress=10).open()
    assert made.headers["Content-Encoding"] == "gzip"


async def test_the_bytes_are_known_where_they_are_known_in_advance() -> None:
    """Who signs a body gets its bytes, empty without one; of what is sent in pieces nobody has them."""
    known = [(await prepare(OWNER, data=data).open()).data for data in (None, b"", b"x", LARGE, lambda: "x")]
    assert known == [b"", b"", b"x", LARGE, b"x"]
    for data in (numbers(), io.BytesIO(b"x"), Multipart(fields={"a": 1})):
        assert (await prepare(OWNER, data=data).open()).data is None


def test_identical_requests_have_equal_bodies() -> None:
    """What was given and its type are kept, for who compares requests; no body is one and the same object."""
    assert NOTHING is prepare(OWNER)
    payload = prepare(OWNER, data="é")
    assert isinstance(payload, Whole)
    assert payload.identity == ("text/plain; charset=utf-8", b"\xc3\xa9")


async def test_a_body_without_a_type_has_no_header() -> None:
    """Bytes whose type nobody said go without one, as the fields of a form do."""
    assert (await Whole(b"x", None).open()).headers == {}


@given(st.binary(max_size=3000), st.integers(min_value=0, max_value=3000))
def test_compressed_or_not_the_bytes_are_the_same(data: bytes, threshold: int) -> None:
    """Whatever the bytes and the threshold, what arrives is what was given, and never longer."""
    opened = asyncio.run(prepare(OWNER, data=data, compress=threshold).open())
    assert opened.data is not None
    assert len(opened.data) <= len(data)
    assert data == (gzip.decompress(opened.data) if "Content-Encoding" in opened.headers else opened.data)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
async def test_an_opening_that_is_given_up_leaves_no_file_open(tmp_path: Path) -> None:
    """Where the wait for a file is cancelled, the file is closed when it does open."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    opening = asyncio.create_task(prepare(OWNER, data=path).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)  # returns when the other end is open, too
    loop = asyncio.get_running_loop()
    hung_up = loop.create_future()
    loop.add_reader(writer, hung_up.set_result, None)  # the end of a pipe that nobody reads reports an error
    try:
        await asyncio.wait_for(hung_up, 30)
    finally:
        loop.remove_reader(writer)
        os.close(writer)


async def test_an_opening_that_is_given_up_may_fail(tmp_path: Path) -> None:
    """Where nobody waits for a file any more, that it cannot be opened is nobody's surprise."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))  # one after the other
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    opening = asyncio.create_task(prepare(OWNER, data=tmp_path / "missing").open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await asyncio.to_thread(int)
    gc.collect()
    assert complaints == []
