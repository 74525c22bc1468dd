"""Streamed answers on real sockets: their forms, what is retried before the headers come, and what is told of them."""

import asyncio
import gzip
import math
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import buoy
from buoy.outcome import CallResult, ErrorType
from tests.integration.http.shop import attribute, kinds, parents, span_ids
from tests.integration.http.streams import Feed, Item, Tap, collected, feeding, said, skip, whole
from tests.support.faults import BOUND, FaultyServer, Step, answer, close_read, hang, raw, reset_read, turns
from tests.support.telemetry import Observed

LONG = 10.0  # longer than a try, shorter than what a server waits for
EVENT = buoy.ServerSentEvent
TEXT = "größer\nals\n\nzuvor"

Reading = Callable[["buoy.Stream[Any]"], AsyncIterator[Any]]

FORMS: dict[str, tuple[Step, Reading, list[Any]]] = {
    "bytes": (whole(b"a", b"b\nc"), lambda stream: stream.bytes(), [b"a", b"b\nc"]),
    "lines": (whole(b"on", b"e\r\ntw", b"o\n\nthree"), lambda stream: stream.lines(), ["one", "two", "", "three"]),
    "lines in a charset": (
        whole(TEXT.encode("utf-16-le")[:7], TEXT.encode("utf-16-le")[7:], Content_Type="text/plain; charset=utf-16-le"),
        lambda stream: stream.lines(),
        TEXT.split("\n"),
    ),
    "a character in two pieces": (whole(b"\xc3", b"\xa4\n"), lambda stream: stream.lines(), ["ä"]),
    "JSON lines": (
        whole(b'{"n": 1}\n{"n"', b': 2}\n\n{"n": 3}', Content_Type="application/x-ndjson"),
        lambda stream: stream.json_lines(),
        [Item(n=1), Item(n=2), Item(n=3)],
    ),
    "events": (
        whole(
            b"id: 7\ndata: a\n\nev", b"ent: end\ndata: b\ndata: c\nretry: 1500\n\n", Content_Type="text/event-stream"
        ),
        lambda stream: stream.events(),
        [EVENT("a", id="7"), EVENT("b\nc", event="end", id="7", retry=1.5)],
    ),
    "no body": (answer(204, b"", Content_Length=""), lambda stream: stream.bytes(), []),
    "an empty body": (answer(200, b""), lambda stream: stream.lines(), []),
}


@pytest.mark.parametrize("form", FORMS)
async def test_the_forms_of_a_stream(form: str, observed: Observed) -> None:
    """Bytes, lines, JSON lines as the model, and events arrive whole, whatever the pieces; the connection is kept."""
    step, read, expected = FORMS[form]
    async with feeding([step]) as (server, feed), feed.items.stream() as stream:
        assert not stream.complete
        assert await collected(read(stream)) == expected
        assert stream.complete
        assert (stream.meta.attempts, stream.meta.sends) == (1, 1)
        assert await feed.read(id=1) == {}
    assert [request.connection for request in server.received] == [0, 0]
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == 2
    assert span_ids(observed) == set(parents(server))


@pytest.mark.parametrize("form", ["gzip", "deflate"])
async def test_a_compressed_stream(form: str) -> None:
    """Compressed pieces are decompressed as they arrive: a line is there before the body has ended."""
    squeeze = zlib.compressobj(wbits=31 if form == "gzip" else 15)
    first = squeeze.compress(b"one\n") + squeeze.flush(zlib.Z_SYNC_FLUSH)
    tap = Tap(200, first, Content_Encoding=form)
    async with feeding([tap]) as (server, feed), feed.read.stream(id=1) as stream:
        lines = stream.lines()
        assert await anext(lines) == "one"
        await tap.end(squeeze.compress(b"two\n") + squeeze.flush())
        assert await collected(lines) == ["two"]
        assert stream.complete
    assert server.received[0].headers["Accept-Encoding"] == "gzip, deflate"


async def test_the_pieces_of_one_compressed_segment() -> None:
    """What is much when it is decompressed comes in pieces, and all of it."""
    body = b"x" * 1_000_000
    step = whole(gzip.compress(body), Content_Encoding="gzip")
    async with feeding([step]) as (_, feed), feed.read.stream(id=1) as stream:
        pieces = await collected(stream.bytes())
    assert (body, True) == (b"".join(pieces), max(map(len, pieces)) <= 2**16)


async def test_the_head_of_a_stream_is_there_before_its_body() -> None:
    """Status and headers (in any case) are there as soon as they came, and an item as soon as its bytes are."""
    tap = Tap(201, X_Kind="Feed")
    async with feeding([tap]) as (_, feed), feed.tell.stream(json={}) as stream:
        assert (stream.status, stream.headers["x-kind"], stream.complete) == (201, "Feed", False)
        assert repr(stream) == "<Stream 201>"
        lines = stream.lines()
        for line in (b"a", b"b"):
            await tap.pour(line + b"\n")
            assert await anext(lines) == line.decode()
        await tap.end()
        assert await collected(lines) == []
        assert repr(stream) == "<Stream 201 complete>"


REDIRECT = raw(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

# What the connections do before the stream comes, and the kinds of the sends then.
BEFORE: dict[str, tuple[list[list[Step]], list[str]]] = {
    "503": ([[answer(503), whole(b"x")]], ["first", "retry"]),
    "429 twice": ([[answer(429), answer(429), whole(b"x")]], ["first", "retry", "retry"]),
    "reset": ([[reset_read], [reset_read], [whole(b"x")]], ["first", "resend", "retry"]),
    "closed": ([[close_read], [close_read], [whole(b"x")]], ["first", "resend", "retry"]),
    "redirect": ([[REDIRECT, whole(b"x")]], ["first", "redirect"]),
    "503, redirect": ([[answer(503), REDIRECT, whole(b"x")]], ["first", "retry", "redirect"]),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_until_its_headers_a_stream_is_retried(name: str, observed: Observed) -> None:
    """What goes wrong before the headers is tried again and followed as for a plain call, each send with its span."""
    scripts, expected = BEFORE[name]
    async with feeding(*scripts) as (server, feed), feed.read.stream(id=1) as stream:
        assert await collected(stream.bytes()) == [b"x"]
    assert expected == kinds(observed)
    assert [len(expected)] * 2 == [len(server.received), stream.meta.sends]
    assert span_ids(observed) == set(parents(server))
    assert observed.value("buoy.client.attempt.duration") == len(expected)
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == observed.value("buoy.client.calls") == 1


async def test_a_refused_connection_is_tried_again(observed: Observed) -> None:
    """Nothing was sent: also the stream of a POST is tried again, and raises in the end as a plain call does."""
    async with feeding() as (server, feed):
        server.stop_listening()
        with pytest.raises(buoy.NetworkError) as caught:
            async with feed.tell.stream(json={}):
                pytest.fail("there is no answer")
    assert caught.value.reason == "refused"
    assert caught.value.meta is not None
    assert (caught.value.meta.attempts, kinds(observed)) == (3, ["first", "retry", "retry"])


async def test_a_try_ends_late_before_the_headers() -> None:
    """The limit of a try holds until the headers: a silent server is left and asked again."""
    timeout = buoy.Timeout(total=60, attempt=5)
    async with feeding([hang], [whole(b"x")], timeout=timeout) as (server, feed):
        asyncio.get_running_loop().create_task(server.wait_for(1)).add_done_callback(lambda _: skip(LONG))
        async with feed.read.stream(id=1) as stream:
            assert await collected(stream.bytes()) == [b"x"]
            assert (stream.meta.attempts, stream.meta.sends) == (2, 2)


async def test_the_limit_of_a_try_holds_for_an_error_answer() -> None:
    """An error answer is read within the time of the try; its status counts also when it does not come whole."""
    tap = Tap(404, b"x")
    async with feeding([tap], timeout=buoy.Timeout(attempt=5)) as (_, feed):
        asyncio.get_running_loop().create_task(tap.begun.wait()).add_done_callback(lambda _: skip(LONG))
        with pytest.raises(buoy.HttpError) as caught:
            async with feed.read.stream(id=1):
                pytest.fail("there is no answer")
        await tap.left()
    assert caught.value.error_type == ErrorType.NOT_FOUND
    assert "did not come whole" in caught.value.__notes__[0]


async def test_auth_that_does_not_come_is_late_before_a_stream() -> None:
    """Credentials are asked for within the time of the try, and that nothing was sent is known."""

    async def auth(request: buoy.Outgoing) -> None:
        assert request.method == "POST"
        asyncio.get_running_loop().call_soon(skip, LONG)
        await asyncio.Event().wait()

    timeout = buoy.Timeout(total=60, attempt=5)
    async with feeding(timeout=timeout, retry=None, auth=auth) as (server, feed):
        with pytest.raises(buoy.TimedOut) as caught:
            async with feed.tell.stream(json={}):
                pytest.fail("there is no answer")
    assert (caught.value.outcome, server.received) == ("not_sent", [])


@pytest.mark.parametrize("total", [60, math.inf])
async def test_a_body_may_take_longer_than_a_try(total: float, observed: Observed) -> None:
    """The limit of a try ends with the headers, and a total of infinity is none at all."""
    tap = Tap()
    timeout = buoy.Timeout(total=total, attempt=5)
    async with feeding([tap], timeout=timeout) as (_, feed), feed.read.stream(id=1) as stream:
        skip(LONG)
        await turns()
        await tap.end(b"x")
        assert await collected(stream.bytes()) == [b"x"]
        assert stream.meta.duration >= LONG
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == 1
    assert kinds(observed) == ["first"]


@pytest.mark.parametrize(
    ("status", "error_type", "code"),
    [(404, ErrorType.NOT_FOUND, "no_such_item"), (200, None, None)],
)
async def test_an_error_answer_is_no_stream(status: int, error_type: ErrorType | None, code: str | None) -> None:
    """An error status is raised where the block begins, with what the provider's rules say of its body."""
    body = b'{"error": {"type": "invalid_request_error", "code": "no_such_item"}}'
    said_of_it: buoy.HttpError | None = None
    async with (
        FaultyServer([answer(status, body)]) as server,
        Feed(base_url=server.url, rules=buoy.rules.stripe) as feed,
    ):
        try:
            async with feed.read.stream(id=1) as stream:
                assert await collected(stream.bytes()) == [body]
        except buoy.HttpError as error:
            said_of_it = error
        assert await feed.read(id=2) == {}
    assert (None if said_of_it is None else said_of_it.error_type) == error_type
    assert (None if said_of_it is None else said_of_it.code) == code
    assert [request.connection for request in server.received] == [0, 0]


async def test_the_spans_of_a_stream_end_with_its_body(observed: Observed) -> None:
    """Call, send and their durations run to the end of the body, and not longer, though the block goes on."""
    tap = Tap()
    async with feeding([tap]) as (_, feed):
        with observed.tracer.start_as_current_span("caller") as caller:
            async with feed.read.stream(id=1) as stream:
                assert observed.spans() == []
                await tap.pour(b"x")
                before_the_end = time.time_ns()
                await tap.end()
                assert await collected(stream.bytes()) == [b"x"]
                (call,), (send,) = observed.calls(), observed.attempts()
    for span in (call, send):
        assert span.end_time is not None
        assert span.start_time is not None
        assert span.end_time >= before_the_end
    assert call.parent == caller.get_span_context()
    assert send.parent == call.context
    assert stream.meta.trace_id == f"{caller.get_span_context().trace_id:032x}"
    assert call.end_time is not None
    assert call.start_time is not None
    assert stream.meta.duration >= (before_the_end - call.start_time) / 1e9 - 0.01
    assert attribute(observed, "buoy.retry.stop_reason") is None


async def test_a_hundred_streams_at_once(observed: Observed) -> None:
    """Each of many streams gets its own items; telemetry, snapshot and the server count the same."""
    taps = [Tap() for _ in range(100)]

    async def read(feed: Feed, number: int) -> list[str]:
        async with feed.read.stream(id=number) as stream:
            return await collected(stream.lines())

    async with feeding(*[[tap] for tap in taps]) as (server, feed):
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(read(feed, number)) for number in range(len(taps))]
            await server.wait_for(len(taps))
            await asyncio.gather(*[tap.begun.wait() for tap in taps])
            assert feed.snapshot().active == len(taps)
            targets = {request.connection: request.target for request in server.received}
            for part in (b"one ", b"two\nthree "):
                await asyncio.gather(*[tap.pour(part) for tap in taps])
            for number, tap in enumerate(taps):
                await tap.end(targets[number].encode())
        lines = [task.result() for task in reads]
        snapshot = feed.snapshot()
    assert [["one two", f"three /items/{number}"] for number in range(len(taps))] == lines
    assert (snapshot.calls[CallResult.SUCCESS], snapshot.sends) == (100, 100)
    assert observed.value("buoy.client.call.active") == 0
    assert observed.value("buoy.client.calls") == observed.value("buoy.client.attempt.duration") == len(server.received)
    assert span_ids(observed) == set(parents(server))


async def test_a_reader_that_is_slow_slows_the_server() -> None:
    """What nobody reads is not taken from the socket: the server waits, and memory stays small."""
    written = 0

    async def flood(peer: Any) -> None:
        nonlocal written
        await peer.read()
        await peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            peer.writer.write(b"x" * 2**16)
            written += 2**16
            await peer.writer.drain()

    sizes = buoy.Sizes(body=2**30)
    async with feeding([flood], sizes=sizes) as (_, feed), feed.read.stream(id=1) as stream:
        before = -1
        while before != written:  # it writes no more
            before = written
            await turns(200)
        assert written < 64 * 2**20
        async with asyncio.timeout(BOUND):
            pieces = stream.bytes()
            while written <= before:
                await anext(pieces)


async def test_parts_of_a_stream_that_cannot_work() -> None:
    """Wrong arguments are refused when the block is entered, and nothing is sent or left behind."""
    async with feeding() as (server, feed):
        for arguments in ({}, {"id": None}, {"id": 1, "deadline": "soon"}, {"id": 1, "headers": {"a": "\n"}}):
            with pytest.raises((TypeError, ValueError)):
                async with feed.read.stream(**arguments):
                    pytest.fail("there is no answer")
        assert feed.snapshot().active == 0
    assert server.received == []
    with pytest.raises(RuntimeError, match="is closed"):
        async with feed.read.stream(id=1):
            pytest.fail("there is no answer")


async def test_a_head_in_pieces() -> None:
    """Interim answers and a head that comes in pieces are as good."""
    parts = b"HTTP/1.1 103 Early\r\n\r\n", b"HTTP/1.1 200 O", b"K\r\nContent-Le", b"ngth: 3\r\n\r\nab", b"c"
    async with feeding([said(*parts)]) as (_, feed), feed.read.stream(id=1) as stream:
        assert b"".join(await collected(stream.bytes())) == b"abc"
