"""A call may be cancelled at any await point: nothing leaks, nothing is counted twice, and the next call works."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

import buoy
from buoy.outcome import CallResult
from tests.support.cancelling import CancelledAt, Moment
from tests.support.eventually import until
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed

BODY = b'{"text": "' + b"x" * 300_000 + b'"}'


class Shop(buoy.Provider, base_url="http://replaced.example"):
    """What is called and cancelled."""

    retry = buoy.Retry(base=0.001, throttled_base=0.001)

    product = buoy.get("/products/{id}")
    create = buoy.post("/products", key_header="Idempotency-Key")


class Open(SpanProcessor):
    """Keeps the spans that have started and not ended."""

    def __init__(self) -> None:
        self.spans: set[int] = set()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add it."""
        del parent_context
        self.spans.add(span.context.span_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Take it out."""
        assert span.context is not None
        self.spans.remove(span.context.span_id)


@dataclass(frozen=True)
class Scenario:
    """A call, what the peer says to it, and whether a connection waits in the pool when it begins."""

    call: Callable[[Shop], Coroutine[Any, Any, object]]
    script: tuple[bytes, ...]
    pooled: bool


async def get(shop: Shop) -> object:
    """Call by GET."""
    return len((await shop.product(id=7))["text"])


async def post(shop: Shop) -> object:
    """Call by POST, with a key."""
    return len((await shop.create(json={"sku": "x" * 100_000}))["text"])


async def function(shop: Shop) -> object:
    """Call a wrapped function, which fails once."""
    operation = shop._functions["work"]
    return await operation()


REPAIRED = (answer(503, b"{}", Retry_After="0"), answer(body=BODY))
SCENARIOS = {
    "first connection": Scenario(get, (answer(body=BODY),), pooled=False),
    "503, then a body": Scenario(get, REPAIRED, pooled=True),
    "503, then a body, first connection": Scenario(get, REPAIRED, pooled=False),
    "post with a key": Scenario(post, REPAIRED, pooled=True),
    "post with a key, first connection": Scenario(post, REPAIRED, pooled=False),
    "wrapped function": Scenario(function, (), pooled=False),
}


def declare(shop: Shop) -> None:
    """Give the shop its wrapped function."""

    @shop.operation("work", safety="safe")
    async def work() -> int:
        await asyncio.sleep(0)
        done = asyncio.Event()
        asyncio.get_running_loop().call_soon(done.set)
        await done.wait()
        if buoy.current_call().attempt == 1:
            raise ConnectionResetError
        return len(BODY) - 12


@asynccontextmanager
async def nothing_left(peer: Peer) -> AsyncIterator[None]:
    """Check that tasks and file descriptors are back to what they were."""
    tasks, descriptors = ours(), open_descriptors()
    yield
    await until(lambda: ours() == tasks)
    await until(lambda: not peer.connections)
    await until(lambda: open_descriptors() == descriptors)


def ours() -> set["asyncio.Task[Any]"]:
    """Return all tasks but those of the peer."""
    return {task for task in asyncio.all_tasks() if "Peer" not in repr(task.get_coro())}


def open_descriptors() -> int:
    """Return how many file descriptors the process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  # only their number counts


async def cancelled(steps: CancelledAt[object]) -> object:
    """Run to the cancellation or, where there is no such point any more, to the end; return the value, or ``None``."""

    async def drive() -> object:
        return await steps

    task = asyncio.create_task(drive())
    await asyncio.wait([task])
    assert task.cancelled() == steps.reached
    return None if task.cancelled() else task.result()


async def check_at_rest(shop: Shop, peer: Peer) -> None:
    """Check that no call is in flight and every connection is either closed or waits in the pool."""
    assert shop._transport is not None
    connector = shop._transport._pool.session.connector
    assert connector is not None
    await until(lambda: not connector._acquired)
    await until(lambda: peer.connections == sum(len(waiting) for waiting in connector._conns.values()))
    assert shop._life.in_flight == 0


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_call_cancelled_at_every_point(name: str, moment: Moment, observed: Observed) -> None:
    """Wherever a call is cancelled the caller sees it, all is back at rest, and the next call on the provider works."""
    scenario, spans, calls, number = SCENARIOS[name], Open(), 0, 0
    observed.traces.add_span_processor(spans)
    async with Peer() as peer:
        reached = True
        while reached:
            number += 1
            async with nothing_left(peer), Shop(base_url=peer.url) as shop:
                declare(shop)
                if scenario.pooled:
                    await shop.product(id=0)
                peer.script.extend(scenario.script)
                steps = CancelledAt(scenario.call(shop), number, moment)
                value = await cancelled(steps)
                assert value == (None if steps.reached else len(BODY) - 12)
                await check_at_rest(shop, peer)
                assert spans.spans == set()
                peer.script.clear()
                assert await shop.product(id=8) == {}
                await check_at_rest(shop, peer)
                calls += 2 + scenario.pooled
                reached = steps.reached
    print(f"{name}, {moment.value}: cancelled at each of {number - 1} points")
    assert number > 3
    check_counts(observed, calls, number - 1)


def check_counts(observed: Observed, calls: int, cancellations: int) -> None:
    """Check that each call was counted once, as what it was, and none is active."""
    assert observed.value("buoy.client.call.active") == 0
    assert observed.value("buoy.client.calls") == calls
    assert observed.value("buoy.client.calls", result=CallResult.CANCELLED) == cancellations
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == calls - cancellations
    assert len(observed.calls()) == calls


@pytest.mark.parametrize("moment", Moment)
async def test_a_whole_life_cancelled_at_every_point(moment: Moment, observed: Observed) -> None:
    """Wherever opening, calling and leaving is cancelled, the provider ends closed and can be entered again."""
    spans, number, reached = Open(), 0, True
    observed.traces.add_span_processor(spans)
    async with Peer() as peer:

        async def life(shop: Shop) -> object:
            async with shop:
                return await shop.product(id=7)

        while reached:
            number += 1
            shop = Shop(base_url=peer.url)
            async with nothing_left(peer):
                steps = CancelledAt(life(shop), number, moment)
                await cancelled(steps)
                assert repr(shop).endswith(" closed>")
                assert (spans.spans, shop._life.in_flight) == (set(), 0)
                assert await life(shop) == {}
                reached = steps.reached
    gc.collect()  # a session that was left open would warn here, and a warning is an error
    assert number > 3
    assert observed.value("buoy.client.call.active") == 0


async def test_leaving_while_calls_are_cancelled(observed: Observed) -> None:
    """Calls that are cancelled all at once let the provider be left, and are all counted as cancelled."""
    async with Peer(*[b"hang"] * 5) as peer, nothing_left(peer):
        async with Shop(base_url=peer.url) as shop:
            calls: list[asyncio.Future[Any]] = [asyncio.ensure_future(shop.product(id=id_)) for id_ in range(5)]
            await until(lambda: len(peer.heard) == 5)
            for call in calls:
                call.cancel()
        results: list[Awaitable[Any] | Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 5
    check_counts(observed, 5, 5)
