"""What goes wrong while a body is sent in pieces: whose fault it is, what stays open, and that nothing is mixed up."""

import asyncio
import io
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from buoy.http.multipart import File, Multipart
from buoy.http.payload import prepare
from buoy.http.upload import FileSource, Opened, StreamSource, Upload
from tests.unit.http.receiver import Receiver

OWNER = "shop products.upload"
LARGE = bytes(range(256)) * 2**13  # 2 MiB


class Wire:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent = b""

    async def write(self, piece: bytes) -> None:
        """Take one piece."""
        self.sent += piece


async def failing(error: Exception) -> AsyncIterator[bytes]:
    """Give one piece, and fail."""
    yield b"piece"
    raise error


async def test_what_the_source_raises_is_not_taken_for_the_network() -> None:
    """The error of an iterator is kept as it is, and the server does not get a request that looks whole."""
    error = OSError(5, "the disk of the caller")
    async with Receiver() as receiver:
        opened = await receiver.send(prepare(OWNER, data=failing(error)))
        assert error is opened.fault
        within = await receiver.send(prepare(OWNER, data=Multipart(fields={"a": 1}, files={"f": failing(error)})))
        assert error is within.fault
        assert receiver.got == []
        await receiver.send(prepare(OWNER, data=b"the next one"))
        assert [got.body for got in receiver.got] == [b"the next one"]


async def test_a_body_that_was_sent_has_no_fault() -> None:
    """After a send that went well there is nothing to look at."""
    async with Receiver() as receiver:
        opened = await receiver.send(prepare(OWNER, data=Multipart(files={"f": io.BytesIO(b"x")})))
        assert opened.fault is None


@pytest.mark.parametrize("piece", ["text", 7, None, [b"x"]], ids=repr)
async def test_pieces_must_be_bytes(piece: Any) -> None:
    """An iterator that gives anything else is told so, by the name of the operation."""

    async def pieces() -> AsyncIterator[Any]:
        yield piece

    async with Receiver() as receiver:
        opened = await receiver.send(prepare(OWNER, data=pieces()))
        kind = type(piece).__name__
        assert isinstance(opened.fault, TypeError)
        assert str(opened.fault) == f"{OWNER}: the iterator of the body must give bytes, not {kind}."
        assert receiver.got == []


async def test_a_file_that_shrinks_is_not_sent_as_if_it_were_whole(tmp_path: Path) -> None:
    """Fewer bytes than Content-Length has said end the request, with an error that says why."""
    path = tmp_path / "file"
    path.write_bytes(LARGE)
    async with Receiver() as receiver:
        payload = prepare(OWNER, data=path)

        class Shrinking:
            replayable, spent = True, False

            async def open(self) -> Opened:
                opened = await payload.open()
                path.write_bytes(b"short")
                return opened

        opened = await receiver.send(Shrinking())
        assert str(opened.fault) == f"{OWNER}: the file of the body became shorter while it was sent."
        assert receiver.got == []


async def test_a_file_that_grows_is_sent_as_it_was(tmp_path: Path) -> None:
    """What is added to a file after it was looked at is not part of the body."""
    path = tmp_path / "file"
    path.write_bytes(b"before")
    opened = await prepare(OWNER, data=path).open()
    path.write_bytes(b"before and after")
    wire = Wire()
    await opened.body.write(wire)
    opened.close()
    assert (wire.sent, opened.body.size) == (b"before", 6)


async def test_a_file_that_does_not_wait_is_told() -> None:
    """A raw file without anything to read says ``None``, which is not the end of it."""

    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> Any:
            return b"" if size == 0 else None

    opened = await prepare(OWNER, data=Raw()).open()
    with pytest.raises(TypeError, match=f"{OWNER}: the file of the body gave NoneType instead of bytes"):
        await opened.body.write(Wire())
    assert isinstance(opened.fault, TypeError)


async def test_what_was_opened_for_a_send_is_closed_after_it(tmp_path: Path) -> None:
    """Files that a path or a function has opened are closed; closing twice, and without a send, is fine."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # one after the other
    path = tmp_path / "file"
    path.write_bytes(b"x")
    files: list[Any] = []

    def make() -> Any:
        files.append(path.open("rb"))
        return files[-1]

    def form() -> Multipart:
        return Multipart(files={"a": make(), "b": File(make)})

    async with Receiver() as receiver:
        for data in (make, form):
            await receiver.send(prepare(OWNER, data=data))
        opened = await prepare(OWNER, data=make).open()
        opened.close()
        opened.close()
        await asyncio.to_thread(int)
        assert [file.closed for file in files] == [True] * 4


async def test_a_form_that_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    """Where a later part is missing, the earlier ones are closed again."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    path = tmp_path / "file"
    path.write_bytes(b"x")
    files: list[Any] = []

    def make() -> Any:
        files.append(path.open("rb"))
        return files[-1]

    with pytest.raises(FileNotFoundError):
        await prepare(OWNER, data=Multipart(files={"a": make, "b": tmp_path / "missing"})).open()
    await asyncio.to_thread(int)
    assert [file.closed for file in files] == [True]


async def test_a_send_that_is_cut_closes_the_iterator_and_leaves_the_file() -> None:
    """After a cancelled send the caller's generator is closed, and the same file can be sent again from its start."""
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield LARGE
        finally:
            ended.set()

    file = io.BytesIO(LARGE * 8)
    async with Receiver("do not read", "do not read") as receiver:
        for data in (endless(), file):
            receiver.reading.clear()
            sending = asyncio.create_task(receiver.send(prepare(OWNER, data=data)))
            await receiver.reading.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        await asyncio.wait_for(ended.wait(), 30)
        assert not file.closed
        file.seek(0)
        await receiver.send(prepare(OWNER, data=file))
        assert [got.body for got in receiver.got] == [LARGE * 8]


async def test_the_transport_may_send_again_what_can_be_sent_again() -> None:
    """Aiohttp's own second send of a cut PUT gets a file anew, and no iterator that has begun."""
    async with Receiver("hang up") as receiver:
        await receiver.send(prepare(OWNER, data=io.BytesIO(LARGE)), "PUT")
        assert [got.body for got in receiver.got] == [LARGE, LARGE]

    async def once() -> AsyncIterator[bytes]:
        yield b"once"

    async with Receiver("hang up") as receiver:
        payload = prepare(OWNER, data=once())
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await receiver.send(payload, "PUT")
        assert [got.body for got in receiver.got] == [b"once"]
        assert payload.spent


async def test_an_iterator_that_was_not_begun_can_still_be_sent() -> None:
    """Where no connection came about, nothing of the body is lost."""

    async def once() -> AsyncIterator[bytes]:
        yield b"once"

    payload = prepare(OWNER, data=once())
    async with Receiver() as receiver:
        address, receiver.url = receiver.url, "http://127.0.0.1:1/"
        with pytest.raises(aiohttp.ClientConnectorError):
            await receiver.send(payload)
        assert not payload.spent
        receiver.url = address
        await receiver.send(payload)
        assert [got.body for got in receiver.got] == [b"once"]


async def test_two_sends_of_one_file_do_not_disturb_each_other() -> None:
    """Each reads from its own place: the thread of a cut send may still be reading when the next one has begun."""
    source = FileSource(OWNER, io.BytesIO(LARGE))
    first, second = source.pieces(), source.pieces()
    got = [b"", b""]
    for _ in range(len(LARGE) // 2**16):
        got[0] += await anext(first)
        got[1] += await anext(second)
    assert got == [LARGE, LARGE]
    await first.aclose()
    await second.aclose()


@given(st.binary(max_size=200), st.integers(min_value=0, max_value=220))
def test_a_file_is_as_long_as_it_says(data: bytes, start: int) -> None:
    """Whatever the content and the position: what is written is the rest of the file, of the size that was told."""

    async def written() -> tuple[bytes, int | None]:
        file = io.BytesIO(data)
        file.seek(start)
        upload = Upload(OWNER, FileSource(OWNER, file), [])
        wire = Wire()
        await upload.write_with_length(wire, upload.size)
        return wire.sent, upload.size

    assert (data[start:], len(data[start:])) == asyncio.run(written())


@given(st.lists(st.binary(max_size=20)))
def test_an_iterator_is_written_as_it_gives(pieces: list[bytes]) -> None:
    """All pieces arrive in order, empty ones included."""

    async def given_pieces() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def written() -> bytes:
        wire = Wire()
        await Upload(OWNER, StreamSource(OWNER, given_pieces()), []).write(wire)
        return wire.sent

    assert b"".join(pieces) == asyncio.run(written())


async def test_pieces_have_no_text() -> None:
    """What aiohttp offers for looking into a body is refused: it would use the body up."""
    opened = await prepare(OWNER, data=io.BytesIO(b"x")).open()
    with pytest.raises(TypeError, match=f"{OWNER}: a body that is sent in pieces has no text"):
        opened.body.decode()
    assert (opened.body.autoclose, opened.body.consumed) == (True, False)


async def test_the_end_of_an_iterator_may_fail() -> None:
    """What an iterator raises when it is closed is its fault too."""

    class Odd:
        def __aiter__(self) -> "Odd":
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            raise ValueError(OWNER)

    opened = await prepare(OWNER, data=Odd()).open()
    with pytest.raises(ValueError, match=OWNER):
        await opened.body.write(Wire())
    assert isinstance(opened.fault, ValueError)


async def test_a_type_that_the_caller_gave_stands() -> None:
    """The body's headers are added; its type is only a default, except for the boundary of a form."""
    given = CIMultiDict({"content-type": "image/png", "X": "y"})
    (await prepare(OWNER, data=b"a" * 99, compress=9).open()).add_to(given)
    assert dict(given) == {"content-type": "image/png", "X": "y", "Content-Encoding": "gzip"}
    (await prepare(OWNER, data=Multipart(fields={"a": 1})).open()).add_to(given)
    assert given.getall("Content-Type")[0].startswith("multipart/form-data; boundary=")
    assert len(given.getall("Content-Type")) == 1
