"""Request bodies that do not come whole: whose fault it is, what is told, and what stays open."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import buoy
from buoy.outcome import Outcome, Phase, Verdict
from tests.integration.http.body_kinds import CONTENT, LARGE, path_of
from tests.integration.http.shop import Shop, attribute, first_attribute
from tests.support.faults import BOUND, FaultyServer, Peer, hang, message
from tests.support.memory import peak
from tests.support.telemetry import Observed

LOST = buoy.NetworkError("elsewhere: lost.", verdict=Verdict(buoy.ErrorType.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True))  # fmt: skip  # noqa: E501  # one value
FAULTS: dict[str, Exception] = {
    "a mistake": LookupError("mine"),
    "a full disk": OSError(errno.ENOSPC, "mine"),
    "a timeout": TimeoutError("mine"),
    "a reset": ConnectionResetError("mine"),
    "a call to another provider": LOST,
}


def breaking(fault: Exception) -> AsyncIterator[bytes]:
    """Return an iterator that fails in the middle."""

    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise fault

    return broken()


SOURCES: dict[str, Callable[[Exception], Any]] = {
    "iterator": breaking,
    "factory": lambda fault: lambda: breaking(fault),
    "multipart": lambda fault: buoy.Multipart(fields={"a": 1}, files={"f": breaking(fault)}),
}


def is_neutral(shop: buoy.Provider) -> bool:
    """Tell whether the breaker has counted nothing."""
    breaker = shop.snapshot().breaker
    assert breaker is not None
    return (breaker.state, breaker.calls) == ("closed", 0)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_the_source_raises_is_no_fault_of_the_provider(
    fault: Exception, source: Callable[[Exception], Any], observed: Observed
) -> None:
    """It reaches the caller as it is, the half request and its connection are dropped, and nobody is blamed."""
    breaker = buoy.Breaker(minimum_calls=1)
    async with FaultyServer() as server, Shop(base_url=server.url, breaker=breaker) as shop:
        with pytest.raises(type(fault)) as caught:
            await shop.order(data=source(fault))
        assert caught.value is fault
        assert is_neutral(shop)
        assert await shop.read(id=1) == {}
    assert [received.target for received in server.received] == ["/items/1"]
    assert (len(server.connections), server.received[0].connection) == (2, 1)
    assert first_attribute(observed, "error.type") == "unknown"
    assert first_attribute(observed, "buoy.retry.stop_reason") == "not_retryable"
    if isinstance(fault, buoy.BuoyError):
        assert (fault.verdict.error_type, fault.meta) == ("network_error", None)


async def test_a_cancellation_of_the_source_s_own_is_one() -> None:
    """An iterator that waits for a task that is cancelled ends the call as cancelled, and nobody is blamed."""
    waited_for = asyncio.create_task(asyncio.sleep(0))
    waited_for.cancel()

    async def pieces() -> AsyncIterator[bytes]:
        yield CONTENT
        await waited_for

    async with FaultyServer() as server, Shop(base_url=server.url, breaker=buoy.Breaker(minimum_calls=1)) as shop:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(shop.make(data=pieces()), BOUND)
        assert is_neutral(shop)
        assert shop.snapshot().calls[buoy.CallResult.CANCELLED] == 1
        await shop.make(json={})


def raising(fault: Exception) -> Callable[[], Any]:
    """Return a factory that fails."""

    def make() -> Any:
        raise fault

    return make


async def never() -> bytes:
    """Make nothing, for ever."""
    await asyncio.get_running_loop().create_future()
    return b""


MISSING: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "no file": (lambda folder: folder / "none", FileNotFoundError, "none"),
    "no file in a form": (lambda folder: buoy.Multipart(files={"f": folder / "none"}), FileNotFoundError, "none"),
    "a folder": (lambda folder: folder, IsADirectoryError, "directory"),
    "a factory that raises": (lambda _: raising(LookupError("mine")), LookupError, "mine"),
    "a factory that calls another provider": (lambda _: raising(LOST), buoy.NetworkError, "elsewhere: lost."),
    "nonsense": (lambda _: lambda: 7, TypeError, "shop order: the body must be bytes, .*, not int."),
    "a factory of factories": (lambda _: lambda: lambda: b"", TypeError, "not function"),
}


@pytest.mark.parametrize(("give", "kind", "text"), MISSING.values(), ids=MISSING)
async def test_a_body_that_is_not_there_is_told_before_anything_is_sent(
    give: Callable[[Path], Any], kind: type[Exception], text: str, tmp_path: Path, observed: Observed
) -> None:
    """What opening or making a body raises reaches the caller as it is; nothing was sent, and nobody is blamed."""
    breaker = buoy.Breaker(minimum_calls=1)
    async with FaultyServer() as server, Shop(base_url=server.url, breaker=breaker) as shop:
        with pytest.raises(kind, match=text):
            await shop.order(data=give(tmp_path))
        assert is_neutral(shop)
        assert (server.connections, observed.attempts()) == ([], [])
        assert attribute(observed, "error.type") == "unknown"
        assert await shop.order(data=b"") == {}


async def test_a_factory_that_hangs_ends_with_the_try() -> None:
    """The limit of the try bounds what comes before the send, too; nothing was sent, and the error says so."""
    timeout = buoy.Timeout(total=60, attempt=0.02)
    async with FaultyServer() as server, Shop(base_url=server.url, timeout=timeout, retry=None) as shop:
        for call in (shop.make(data=never), shop.make.stream(data=never).__aenter__()):
            with pytest.raises(buoy.TimedOut, match=r"not sent, opening the body took longer than 0\.02 s") as caught:
                await asyncio.wait_for(call, BOUND)
            assert caught.value.outcome == "not_sent"
    assert server.connections == []


def early(status: int, body: bytes) -> Any:
    """Answer when the headers are there, and read nothing of the body."""

    async def step(peer: Peer) -> None:
        await peer.first()
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.write(message(status, body, {"Content-Type": "application/problem+json"}))
        await asyncio.get_running_loop().create_future()

    return step


async def test_an_early_answer_is_told() -> None:
    """A 413 that comes before the body was read is the answer; the source is closed, and so is the connection."""
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield LARGE
        finally:
            closed.set()

    async with FaultyServer([early(413, b'{"title": "too much"}')]) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.HttpError) as caught:
            await shop.make(data=endless())
        assert (caught.value.status, caught.value.problem) == (413, {"title": "too much"})
        assert getattr(caught.value, "__notes__", []) == []
        await asyncio.wait_for(closed.wait(), 20)
        assert await shop.read(id=1) == {}
    assert len(server.connections) == 2


async def test_a_cancelled_upload_leaves_nothing_open(tmp_path: Path) -> None:
    """Whoever is cancelled while the body is sent: the generator is closed, and so is a file that we opened."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    opened, begun, closed = list[Any](), asyncio.Event(), asyncio.Event()

    def make() -> Any:
        opened.append(path_of(tmp_path).open("rb"))
        return opened[-1]

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield LARGE
                begun.set()
        finally:
            closed.set()

    async with FaultyServer([unread], [hang]) as server, Shop(base_url=server.url) as shop:
        task = asyncio.ensure_future(shop.make(data=endless()))
        await asyncio.wait_for(begun.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 20)
        task = asyncio.ensure_future(shop.make(data=make))
        await server.wait_for(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(int)
        assert [file.closed for file in opened] == [True]
        assert await shop.read(id=1) == {}


async def unread(peer: Peer) -> None:
    """Read the headers and then nothing."""
    await peer.first()
    await peer.reader.readuntil(b"\r\n\r\n")
    await asyncio.get_running_loop().create_future()


async def test_an_upload_of_100_mib_is_never_whole_in_memory() -> None:
    """An iterator is asked for the next piece when the last one has left: a few of them exist at a time."""
    size, count, arrived = 2**18, 400, 0

    async def many() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(size)  # each of its own

    async def taking(peer: Peer) -> None:
        nonlocal arrived
        await peer.first()
        await peer.reader.readuntil(b"\r\n\r\n")
        while chunk := int(await peer.reader.readuntil(b"\n"), 16):
            left = chunk + 2
            while left:
                left -= len(await peer.reader.read(min(left, 2**16)))
            arrived += chunk
        await peer.reader.readline()
        await peer.write(b"HTTP/1.1 204 Done\r\n\r\n")

    # No telemetry: what is measured is the way of the bytes.
    timeout = buoy.Timeout(total=300, attempt=300)
    async with FaultyServer([taking]) as server, Shop(base_url=server.url, timeout=timeout) as shop:
        with peak() as most:
            await shop.make(data=many())
    assert arrived == count * size == 100 * 2**20
    assert most.bytes < 8 * 2**20
