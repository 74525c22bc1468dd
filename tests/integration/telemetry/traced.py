"""Calls whose exemplars are looked for, in a process of their own; it says of each what only the caller knows."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, set_span_in_context

import buoy
from tests.integration.telemetry.configured import Flush, configure
from tests.integration.telemetry.outcomes import REMOTE
from tests.integration.telemetry.provider import Answer, answering
from tests.support.peer import Peer

MANY = 40  # more than are handed over at a time
LOOPS = 2


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None, breaker=None):
    """Something to call, by an operation for each occasion."""

    plain = buoy.get("/plain", name="plain")
    inside = buoy.get("/inside", name="inside")
    unsampled = buoy.get("/unsampled", name="unsampled")


def say(**facts: object) -> None:
    """Tell the test, a line at a time: two threads do so."""
    sys.stdout.write(json.dumps(facts) + "\n")


async def _call(operation: buoy.BoundOperation[object]) -> None:
    result = await operation.call()
    say(operation=result.meta.operation, trace=result.meta.trace_id, duration=result.meta.duration)


def main(mode: str) -> None:
    """Call on every occasion, and export within a foreign span, where the loop is gone."""
    flush = configure(mode)
    asyncio.run(_one_loop(flush))
    _several_loops()
    with _foreign():
        flush()


async def _one_loop(flush: Flush) -> None:
    async with Peer() as peer, Shop("one", base_url=peer.url) as shop:
        for _ in range(MANY):
            await _call(shop.plain)
        with _foreign():
            await _call(shop.inside)
            await asyncio.to_thread(flush)
        token = context.attach(set_span_in_context(NonRecordingSpan(REMOTE)))
        await _call(shop.unsampled)
        context.detach(token)
        with _foreign():  # current in this thread, too, when what waits is handed over
            await asyncio.to_thread(flush)
        say(heard=[heard.headers["traceparent"].split("-")[1:3] for heard in peer.heard])


def _several_loops() -> None:
    """Call from two loops at a time, neither of which ends before both have called."""
    together = threading.Barrier(LOOPS)

    async def many(url: str) -> None:
        async with Shop("several", base_url=url) as shop:
            for _ in range(MANY):
                await _call(shop.plain)
            await asyncio.to_thread(together.wait)

    with answering(lambda *_: Answer(200)) as far, ThreadPoolExecutor(LOOPS) as threads:
        for done in [threads.submit(asyncio.run, many(far.url)) for _ in range(LOOPS)]:
            done.result()
        say(heard=[str(request.traceparent).split("-")[1:3] for request in far.log])


@contextmanager
def _foreign() -> Iterator[None]:
    """Make a recorded span current that is not Buoy's."""
    with trace.get_tracer("foreign").start_as_current_span("foreign") as span:
        say(foreign=f"{span.get_span_context().trace_id:032x}")
        yield
