"""A program for the instrumentor's environment: it makes calls of each kind and prints what telemetry each has left.

It runs where no test tool is installed, and imports none.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.aiohttp_client import (  # type: ignore[import-not-found]  # see above
    AioHttpClientInstrumentor,
    create_trace_config,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import buoy

SPANS = InMemorySpanExporter()
METRICS = InMemoryMetricReader()
SEND_DURATIONS = {"http.client.request.duration", "buoy.client.attempt.duration"}  # the instrumentor's, and ours
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Shop(buoy.Provider):
    """A provider whose every call is one send."""

    read = buoy.get("/items/{id}")
    make = buoy.post("/items")


class Server:
    """Answers everything, and keeps the ``traceparent`` of each request."""

    def __init__(self) -> None:
        self.parents: list[list[str]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                fields = [line.partition(": ") for line in head[1:] if line]
                self.parents.append([value for name, _, value in fields if name == "traceparent"])
                if ("transfer-encoding", ": ", "chunked") in fields:
                    await reader.readuntil(b"0\r\n\r\n")
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def plain(session: aiohttp.ClientSession, url: str) -> None:
    """Make a call that has nothing to do with Buoy."""
    async with session.get(url) as response:
        await response.read()


async def own(url: str) -> None:
    """Call over connections of the provider's own."""
    async with Shop(base_url=url) as shop:
        await shop.read(id=1)


async def streamed(url: str) -> None:
    """Call, and read the answer as it comes."""
    async with Shop(base_url=url) as shop, shop.read.stream(id=1) as answer:
        async for _ in answer.bytes():
            pass


async def handed_in(url: str) -> None:
    """Call over a session that was handed in, which the instrumentor has in hand."""
    async with aiohttp.ClientSession() as session, Shop(base_url=url, session=session) as shop:
        await shop.read(id=1)


async def by_hand(url: str) -> None:
    """Call over a session into which the caller put the instrumentor's hooks as well."""
    hooks = [create_trace_config()]
    async with aiohttp.ClientSession(trace_configs=hooks) as session, Shop(base_url=url, session=session) as shop:
        await shop.read(id=1)


async def foreign(url: str) -> None:
    """Call without Buoy, in a session of its own and in one that a provider has, while it has it and after."""
    async with aiohttp.ClientSession() as session:
        await plain(session, url)
        async with Shop(base_url=url, session=session):
            await plain(session, url)
        await plain(session, url)


async def nested(url: str) -> None:
    """Call with a body that comes from a call without Buoy."""

    async def body() -> AsyncIterator[bytes]:
        async with aiohttp.ClientSession() as session:
            await plain(session, url)
        yield b"7"

    async with Shop(base_url=url) as shop:
        await shop.make(data=body())


def left() -> dict[str, Any]:
    """Return the spans and the recorded durations of sends by who made them; only spans are forgotten."""
    spans = Counter(
        span.instrumentation_scope.name for span in SPANS.get_finished_spans() if span.instrumentation_scope
    )
    sends = [
        f"{span.context.span_id:016x}" for span in SPANS.get_finished_spans() if span.kind is trace.SpanKind.CLIENT
    ]
    SPANS.clear()
    data = METRICS.get_metrics_data()
    records = Counter[str]()
    for resource in () if data is None else data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name in SEND_DURATIONS:
                    points: Any = metric.data.data_points
                    records[scope.scope.name] += sum(point.count for point in points)
    return {"spans": dict(spans), "records": dict(records), "sends": sorted(sends)}


async def run() -> None:
    """Make the calls, and print what each has left as a line of JSON."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    kinds: list[Callable[[str], Awaitable[None]]] = [own, streamed, handed_in, by_hand, foreign, nested]
    for kind in kinds:
        before = left()["records"]
        await kind(url)
        found = left()
        found["records"] = {who: count - before.get(who, 0) for who, count in found["records"].items()}
        found["parents"] = sorted(value.split("-")[2] for values in server.parents for value in values)
        server.parents.clear()
        print(json.dumps({kind.__name__: found}))
    listening.close()


if __name__ == "__main__":
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(SPANS))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider([METRICS]))
    AioHttpClientInstrumentor().instrument()
    asyncio.run(run())
    sys.exit(0)
