"""Streamed answers as callers use them. Never run: mypy and pyright, both strict, read it and must agree with it."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, assert_type

from pydantic import BaseModel

import buoy


class Line(BaseModel):
    """A model."""

    n: int


class Feed(buoy.Provider, base_url="https://api.feed.example"):
    """Operations with and without a model."""

    lines = buoy.get("/lines", Line)
    ask = buoy.post("/answers", key_header="Idempotency-Key")


async def streamed(feed: Feed) -> None:
    """Every way to read a stream has its own type; that of JSON lines is the model."""
    async with feed.lines.stream() as stream:
        assert_type(stream, buoy.Stream[Line])
        assert_type(stream.status, int)
        assert_type(stream.headers, Mapping[str, str])
        assert_type(stream.meta, buoy.Meta)
        assert_type(stream.complete, bool)
        assert_type(stream.bytes(), AsyncIterator[bytes])
        assert_type(stream.lines(), AsyncIterator[str])
        assert_type(stream.json_lines(), AsyncIterator[Line])
        async for line in stream.json_lines():
            assert_type(line, Line)


async def events(feed: Feed) -> None:
    """Without a model an item may be anything; arguments are those of a plain call."""
    async with feed.ask.stream(
        json={"q": 1}, headers={"Last-Event-ID": "7"}, idempotency_key="k", deadline=60
    ) as stream:
        assert_type(stream, buoy.Stream[Any])
        assert_type(stream.json_lines(), AsyncIterator[Any])
        async for event in stream.events():
            assert_type(event, buoy.ServerSentEvent)
            assert_type(event.data, str)
            assert_type(event.event, str)
            assert_type(event.id, str)
            assert_type(event.retry, float | None)


async def wrong(feed: Feed) -> None:
    """What is no stream is not taken for one."""
    await feed.lines.stream()  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    async with feed.ask.stream(json=1, deadline="soon"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass
    async with feed.lines.stream() as stream:
        for _ in stream.bytes():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
            pass
