"""``buoy.drain``: all providers of the process end their calls, in whichever loop, and what came of it is reported."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.provider import lifetime
from tests.support.telemetry import Observed, logs

BOUND = 10.0


@pytest.fixture(autouse=True)
def nobody_else() -> Iterator[None]:
    """Let no provider be left open by another test, nor by this one."""
    lifetime._entered.clear()
    yield
    lifetime._entered.clear()


def bank(name: str = "bank") -> tuple[buoy.Provider, Callable[[asyncio.Event], Awaitable[int]]]:
    """Return a provider with an operation that waits for an event."""
    provider = buoy.Provider(name)

    @provider.operation("wait", safety="safe")
    async def wait(event: asyncio.Event) -> int:
        begun.set()
        await event.wait()
        return 1

    begun = asyncio.Event()
    wait.begun = begun  # type: ignore[attr-defined]
    return provider, wait


async def begin(wait: Any, event: asyncio.Event) -> "asyncio.Task[int]":
    """Return a call that is in flight."""
    task = asyncio.create_task(wait(event))
    await wait.begun.wait()
    wait.begun.clear()
    return task


async def test_calls_in_flight_end_first(observed: Observed) -> None:
    """A drain waits for them; further ones are refused, and the report counts those that finished."""
    provider, wait = bank()
    async with provider:
        event = asyncio.Event()
        task = await begin(wait, event)
        draining = asyncio.create_task(buoy.drain(BOUND))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="'bank' is closing"):
            await wait(event)
        event.set()
        report = await draining
        assert await task == 1
    assert (report.result, report.calls_finished, report.calls_cut) == (buoy.DrainResult.FLUSHED, 1, 0)
    assert 0 < report.duration < BOUND
    assert observed.value("buoy.client.calls", result="success") == 1


async def test_what_does_not_end_in_time_is_cut(observed: Observed) -> None:
    """At its deadline the drain cancels them: their spans end as cancelled, and the report counts them."""
    providers = [bank(name) for name in ("bank", "shop")]
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for provider, wait in providers:
            await stack.enter_async_context(provider)
            tasks.append(await begin(wait, asyncio.Event()))
        report = await buoy.drain(0)
        assert [task.cancelled() for task in tasks] == [True, True]
    assert (report.calls_finished, report.calls_cut) == (0, 2)
    assert {"cancelled"} == {(span.attributes or {})[contract.ERROR_TYPE] for span in observed.spans()}
    assert observed.value("buoy.client.calls", result="cancelled") == 2
    assert observed.value("buoy.client.call.active") == 0


async def test_calls_of_other_loops_end_too(observed: Observed) -> None:
    """A provider that is open in the loop of another thread is drained there."""
    provider, wait = bank()
    begun, stop = threading.Event(), threading.Event()
    ended: list[str] = []

    async def elsewhere() -> None:
        async with provider:
            task = await begin(wait, asyncio.Event())
            begun.set()
            try:
                await task
            except asyncio.CancelledError:
                ended.append("cancelled")
            await asyncio.to_thread(stop.wait, BOUND)

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    assert await asyncio.to_thread(begun.wait, BOUND)
    report = await buoy.drain(0.2)
    stop.set()
    await asyncio.to_thread(thread.join, BOUND)
    assert (report.calls_cut, ended) == (1, ["cancelled"])
    assert observed.value("buoy.client.calls", result="cancelled") == 1


async def test_calls_of_a_loop_that_stands_still_are_ended(observed: Observed) -> None:
    """Where a loop was stopped, or closed, with calls in flight, they end as cancelled, with all that they held."""
    provider, wait = bank()
    provider.concurrency = buoy.Concurrency(5)

    async def leave_behind() -> None:
        await provider.__aenter__()
        await begin(wait, asyncio.Event())

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave_behind())
        left.append(loop)

    left: list[asyncio.AbstractEventLoop] = []
    await asyncio.to_thread(elsewhere)
    report = await buoy.drain(BOUND)
    assert (report.calls_finished, report.calls_cut) == (0, 1)
    assert [span.name for span in observed.spans()] == ["bank wait attempt", "bank wait"]
    assert observed.value("buoy.client.calls", result="cancelled") == 1
    assert observed.value("buoy.client.call.active") == 0
    assert observed.value("buoy.concurrency.usage") == 0
    left[0].close()


async def test_it_may_be_asked_for_in_a_call() -> None:
    """A wrapped function that drains is not cancelled by that; it is what the drain waits for in vain."""
    provider = buoy.Provider("bank")

    @provider.operation("last", safety="safe")
    async def last() -> buoy.DrainReport:
        return await buoy.drain(0)

    async with provider:
        report = await last()
    assert (report.calls_finished, report.calls_cut) == (0, 1)


async def test_it_may_be_asked_for_twice_at_once() -> None:
    """Both wait for the same calls, and both report them."""
    provider, wait = bank()
    async with provider:
        event = asyncio.Event()
        task = await begin(wait, event)
        draining = [asyncio.create_task(buoy.drain(BOUND)) for _ in range(2)]
        await asyncio.sleep(0)
        event.set()
        assert [(await each).calls_finished for each in draining] == [1, 1]
        await task


async def test_a_cancelled_drain_leaves_the_rest_to_the_next() -> None:
    """Whoever waits for a drain may leave; providers take no calls from then on, and can be drained again."""
    provider, wait = bank()
    async with provider:
        event = asyncio.Event()
        task = await begin(wait, event)
        draining = asyncio.create_task(buoy.drain(BOUND))
        await asyncio.sleep(0)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        event.set()
        assert (await buoy.drain(BOUND)).calls_finished == 1
        await task


async def test_without_an_sdk_nothing_was_delivered() -> None:
    """The report says nothing of figures that nobody knows, and is logged as the contract says."""
    with logs(logging.INFO) as seen:
        report = await buoy.drain(1)
    nothing = buoy.Delivered()
    assert (report.spans, report.metrics, report.logs) == (nothing, nothing, nothing)
    assert (nothing.flushed, dict(nothing.dropped), report.flushed, report.dropped) == (None, {}, 0, 0)
    (record,) = seen.of(contract.DRAINED)
    assert (record.levelname, vars(record)[contract.DRAIN_RESULT]) == ("INFO", "flushed")


async def test_a_deadline_that_is_none_is_refused() -> None:
    """Seconds, from 0 on: before anything is drained."""
    provider, wait = bank()
    async with provider:
        for deadline in (-1, float("nan"), "8", True):
            with pytest.raises(buoy.ConfigurationError, match="drain: deadline="):
                await buoy.drain(deadline)  # type: ignore[arg-type]
            with pytest.raises(buoy.ConfigurationError, match="drain_on_signals: deadline="):
                buoy.drain_on_signals(deadline)  # type: ignore[arg-type]
        event = asyncio.Event()
        event.set()
        assert await wait(event) == 1


async def test_signals_are_heard_in_the_main_thread_alone() -> None:
    """Elsewhere it is an error, and no handler is changed."""
    before = signal.getsignal(signal.SIGTERM)

    async def ask() -> None:
        buoy.drain_on_signals()

    with pytest.raises(RuntimeError, match="only the main thread"):
        await asyncio.to_thread(asyncio.run, ask())
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_need_a_loop() -> None:
    """Without a loop there is nothing to drain in."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        buoy.drain_on_signals()
