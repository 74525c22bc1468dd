"""Secrets in the body of a streamed answer, however its reading ends: nothing but the items that its user asked for."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

import buoy
from tests.integration.http.streams import Item, chunk, feeding, head, said, skip, whole
from tests.integration.test_canaries import SAID, Ears, secret, told
from tests.support.faults import Peer, Step, say
from tests.support.telemetry import Observed

LINE = SAID.encode() + b"\n"
ITEM = b'{"n": 1, "%b": "%b"}\n' % (SAID.encode(), SAID.encode())
EVENT = b"id: %b\ndata: %b\n\n" % (SAID.encode(), SAID.encode())
DEADLINE = 5.0
SIZES = buoy.Sizes(body=10 * len(ITEM))
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Secret: %b\r\n\r\n" % SAID.encode()

Read = Callable[["buoy.Stream[Any]"], AsyncIterator[Any]]


@dataclass(frozen=True)
class Story:
    """What the server says, and how it is read."""

    step: Step
    read: Read
    leave: Callable[[], BaseException] | None = None
    goes_on: bool = False


async def _until_silent(peer: Peer) -> None:
    """Begin a body that does not go on."""
    await peer.read()
    await peer.write(head() + chunk(LINE))
    await peer.reader.read()


async def _until_late(peer: Peer) -> None:
    """Begin a body that does not go on before the deadline."""
    await peer.read()
    await peer.write(head() + chunk(LINE))
    skip(2 * DEADLINE)
    await peer.reader.read()


async def _never(peer: Peer) -> None:
    """Say nothing before the deadline."""
    await peer.read()
    skip(2 * DEADLINE)
    await peer.reader.read()


def _lines(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.lines()


def _json(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.json_lines()


def _events(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.events()


def _bytes(stream: "buoy.Stream[Any]") -> AsyncIterator[Any]:
    return stream.bytes()


STORIES = {
    "bytes": Story(whole(LINE, LINE), _bytes),
    "lines": Story(whole(LINE, LINE), _lines),
    "JSON lines": Story(whole(ITEM, ITEM), _json),
    "events": Story(whole(EVENT, EVENT), _events),
    "left": Story(whole(LINE, LINE, LINE[:3]), _lines, leave=lambda: LookupError("mine")),
    "cancelled": Story(_until_silent, _lines, leave=asyncio.CancelledError),
    "read after the block": Story(whole(LINE, LINE), _lines, goes_on=True),
    "cut": Story(say(CUT, LINE, end=Peer.close), _lines),
    "reset": Story(say(CUT, LINE, end=Peer.reset), _bytes),
    "broken chunk": Story(said(head(), chunk(LINE), LINE), _lines),
    "broken gzip": Story(whole(gzip.compress(LINE)[:-4], LINE, Content_Encoding="gzip"), _lines),
    "coding": Story(whole(LINE, Content_Encoding=SAID), _lines),
    "charset": Story(whole(LINE, Content_Type=f"text/plain; charset={SAID}"), _lines),
    "no text": Story(whole(LINE, b"\xff" + LINE), _lines),
    "no JSON": Story(whole(ITEM, LINE), _json),
    "misfit": Story(whole(ITEM, ITEM.replace(b"1", b'"%b"' % SAID.encode())), _json),
    "too long": Story(whole(*[ITEM] * 11), _json),
    "late": Story(_until_late, _lines),
    "late, no answer": Story(_never, _lines),
    "error status": Story(said(head(503), chunk(LINE), b"0\r\n\r\n"), _lines),
}


@pytest.mark.parametrize("operation", ["items", "tell"])
@pytest.mark.parametrize("name", STORIES)
async def test_no_secret_of_a_streamed_body_is_shown(
    name: str, operation: str, observed: Observed, caplog: pytest.LogCaptureFixture
) -> None:
    """No span, metric, log, repr or traceback has any of it, nor of what was sent; the items have, for their user."""
    story, ears = STORIES[name], Ears()
    caplog.set_level(logging.DEBUG)
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    async with feeding([story.step], sizes=SIZES, auth=buoy.Bearer(secret("token")), retry=None) as (server, feed):
        opening = getattr(feed, operation).stream(
            headers={"X-Given": secret("header")},
            params={"cursor": secret("query")},
            json={"card": secret("body")} if operation == "tell" else None,
            deadline=DEADLINE,
        )
        await told(ears, _use(story, opening, ears))
        ears.hear("object", feed, opening)
    assert secret("token") in server.received[0].headers["Authorization"]
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    ears.hear("complaint", *complaints)
    assert ears.secrets() == []
    assert {"span", "metric", "object"} <= {where for where, _ in ears.shown}


async def _use(story: Story, opening: Any, ears: Ears) -> None:
    """Read as the story says, and take the texts of all but the items."""
    async with opening as stream:
        items = story.read(stream)
        ears.hear("object", stream, items)
        async for item in items:
            if isinstance(item, buoy.ServerSentEvent):
                ears.hear("item", item)
                item = item.data  # noqa: PLW2901  # what the secret is in
            assert isinstance(item, Item) or SAID in str(item)
            if story.leave is not None:
                raise story.leave()
            if story.goes_on:
                break
    ears.hear("object", stream, stream.meta)
    if story.goes_on:
        await anext(items)
