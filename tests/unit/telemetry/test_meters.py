"""The registry of metrics: counts that never fall, loops summed, zero starts, and the cap."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import buoy
from buoy import contract
from buoy.outcome import CallResult, ErrorLevel, StopReason
from buoy.telemetry.meters import Registry
from tests.support.telemetry import Observed, logs

CALLS = "buoy.client.calls"
OVERFLOWS = "buoy.telemetry.attribute_overflows"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Lend a loop that does not run."""
    lent = asyncio.new_event_loop()
    yield lent
    lent.close()


def bank(name: str = "bank") -> buoy.Provider:
    """Return a provider with one operation that works."""
    provider = buoy.Provider(name)

    @provider.operation("balance", safety="safe")
    async def balance() -> None:
        await asyncio.sleep(0)

    return provider


async def use(provider: buoy.Provider, times: int = 1) -> None:
    """Enter the provider and call it."""
    async with provider:
        for _ in range(times):
            await provider._functions["balance"]()


def test_dropping_one_of_two_clients_takes_no_count_away(observed: Observed) -> None:
    """Two providers of one name share their counters; one that is collected leaves its calls counted."""
    first, second = bank(), bank()
    asyncio.run(use(first, 3))
    asyncio.run(use(second, 2))
    assert observed.value(CALLS, result="success") == 5
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
    assert observed.value(CALLS, result="success") == 5
    asyncio.run(use(second))
    assert observed.value(CALLS, result="success") == 6


def test_closing_loops_takes_no_count_away(observed: Observed) -> None:
    """A loop that is closed leaves its counts; the next one goes on from there, read between or not."""
    for expected in (1, 2):
        asyncio.run(use(bank()))
        assert expected == observed.value(CALLS, result="success")
    asyncio.run(use(bank()))
    asyncio.run(use(bank()))
    assert observed.value(CALLS, result="success") == 4
    assert observed.value("buoy.client.call.duration") == 4


def test_loops_in_threads_are_summed(observed: Observed) -> None:
    """Each of four threads counts in slots of its own loop; what is read is the sum, also while all are open."""
    together = threading.Barrier(4)
    sums: list[float] = []

    async def serve(number: int) -> None:
        async with (provider := bank()):
            for _ in range(50):
                await provider._functions["balance"]()
            await asyncio.to_thread(together.wait)
            if number == 0:
                sums.append(observed.value(CALLS, result="success"))
            await asyncio.to_thread(together.wait)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(asyncio.run, serve(number)) for number in range(4)]:
            done.result()
    assert sums == [200]
    assert observed.value(CALLS, result="success") == 200


async def test_calls_in_flight_are_counted_up_and_down(observed: Observed) -> None:
    """``call.active`` is 1 while a call runs and 0 when it has ended, however it ended."""
    provider = buoy.Provider("bank", retry=None)
    inside: list[float] = []

    @provider.operation("charge")
    async def charge() -> None:
        inside.append(observed.value("buoy.client.call.active"))
        raise LookupError

    async with provider:
        with pytest.raises(LookupError):
            await charge()
    assert inside == [1]
    assert observed.value("buoy.client.call.active") == 0


def test_the_gauges_of_a_closed_loop_are_zero(observed: Observed, loop: asyncio.AbstractEventLoop) -> None:
    """What was in flight when a loop was closed is in flight no more; its counts stay."""
    shard = observed.scope.registry.shard(loop)
    shard.slot(contract.CALL_ACTIVE, {contract.PROVIDER: "bank"}).add(3)
    shard.slot(contract.ABANDONED, {contract.PROVIDER: "bank", contract.STOP_REASON: "deadline"}).add(3)
    assert observed.value("buoy.client.call.active") == 3
    loop.close()
    assert observed.value("buoy.client.call.active") == 0
    assert observed.value("buoy.client.retry.abandoned") == 3


def test_closed_loops_are_let_go_where_nobody_reads(fresh_scope: object) -> None:
    """Without an SDK nothing reads the counters; a program that runs many loops keeps none of them."""
    del fresh_scope
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def once() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await use(bank())

    for _ in range(3):
        asyncio.run(once())
    gc.collect()
    assert [loop() is None for loop in loops[:-1]] == [True, True]


async def test_declared_operations_start_at_zero(observed: Observed) -> None:
    """Once a provider is entered its operations are there in all five results, before any call."""
    async with bank():
        counted = observed.metric(CALLS)
        abandoned = observed.metric("buoy.client.retry.abandoned")
        overflows = observed.metric(OVERFLOWS)
    assert {str(result): 0 for result in CallResult} == {
        dict(key)[contract.CALL_RESULT]: n for key, n in counted.items()
    }
    assert {str(stop): 0 for stop in StopReason} == {dict(key)[contract.STOP_REASON]: n for key, n in abandoned.items()}
    assert {metric.name: 0 for metric in contract.METRICS} == {
        dict(key)[contract.INSTRUMENT]: n for key, n in overflows.items()
    }


def test_the_sdk_tells_its_version(observed: Observed) -> None:
    """``buoy.sdk.info`` is 1, with the version of the package."""
    assert {frozenset({(contract.VERSION, buoy.__version__)}): 1} == observed.metric("buoy.sdk.info")


def test_beyond_the_cap_provider_and_error_are_kept(observed: Observed, loop: asyncio.AbstractEventLoop) -> None:
    """Set 1,501 keeps what on-call needs; the other strings become ``_OTHER``; each measurement is counted."""
    shard = observed.scope.registry.shard(loop)
    with logs() as seen:
        for number in range(contract.SERIES_LIMIT):
            shard.slot(contract.RETRIES, named("shop", f"op{number}"))
            shard.timer(contract.ATTEMPT_DURATION, named("shop", f"op{number}"))
        assert observed.value(OVERFLOWS) == 0
        beyond = shard.slot(contract.RETRIES, named("shop", "late"))
        beyond.add()
        beyond.add(2)
        shard.slot(contract.RETRIES, named("shop", "later")).add()
        shard.slot(contract.RETRIES, named("shop", "op7")).add()
    folded = {contract.PROVIDER: "shop", contract.OPERATION: "_OTHER", contract.RETRY_REASON: "_OTHER"}
    values = observed.metric("buoy.client.retries")
    assert values[frozenset(folded.items())] == 4
    assert values[frozenset(named("shop", "op7").items())] == 1
    assert len(values) == contract.SERIES_LIMIT + 1
    assert observed.value(OVERFLOWS, instrument="buoy.client.retries") == 3
    assert [vars(record)[contract.INSTRUMENT] for record in seen.of(contract.OVERFLOW)] == ["buoy.client.retries"]
    failed = {**named("shop", "late"), contract.ERROR_TYPE: "timeout", contract.ERROR_CATEGORY: "network"}
    timer = shard.timer(contract.ATTEMPT_DURATION, failed)
    assert timer is shard.timer(contract.ATTEMPT_DURATION, {**failed, contract.OPERATION: "later"})
    timer.record(1.0, None)
    (point,) = observed.points(contract.ATTEMPT_DURATION.name)
    assert {**failed, contract.OPERATION: "_OTHER", contract.RETRY_REASON: "_OTHER"} == point.attributes


def test_what_is_folded_is_bounded_itself(observed: Observed, loop: asyncio.AbstractEventLoop) -> None:
    """Beyond the cap 20 providers and 25 states are 500 sets at most, whatever else differs."""
    shard = observed.scope.registry.shard(loop)
    registry = observed.scope.registry
    registry._sets[contract.ERRORS.name] = {((str(number), ""),) for number in range(contract.SERIES_LIMIT)}
    for provider in range(20):
        for error in buoy.ErrorType:
            for level in ErrorLevel:
                attributes = {
                    contract.PROVIDER: f"p{provider}",
                    contract.ERROR_TYPE: str(error),
                    contract.ERROR_LEVEL: str(level),
                }
                shard.slot(contract.ERRORS, attributes).add()
    assert len(observed.metric("buoy.client.errors")) == 20 * 24
    assert observed.value("buoy.client.errors") == 20 * 24 * 2
    assert observed.value(OVERFLOWS, instrument="buoy.client.errors") == 20 * 24 * 2
    loop.close()


async def test_operations_beyond_the_limit_are_counted_as_other(observed: Observed) -> None:
    """An ad-hoc operation without room is ``_OTHER`` on spans and metrics, and every measurement of it is counted."""
    for number in range(contract.OPERATION_LIMIT):
        observed.scope.names.add("filler", f"op{number}")
    async with buoy.Provider("shop", base_url="http://127.0.0.1:9", retry=None) as shop:
        for _ in range(2):
            with pytest.raises(buoy.NetworkError):
                await shop.get("/products/{id}", id=1)
    assert [span.name for span in observed.calls()] == ["shop _OTHER"] * 2
    assert [span.name for span in observed.attempts()] == ["GET /_OTHER"] * 2
    assert observed.value(CALLS, operation="_OTHER", result="failure") == 2
    expected = {CALLS: 2, "buoy.client.call.duration": 2, "buoy.client.attempt.duration": 2}
    counted = {dict(key)[contract.INSTRUMENT]: value for key, value in observed.metric(OVERFLOWS).items() if value}
    assert expected == counted


def test_the_registry_needs_no_listener_for_its_cap(
    monkeypatch: pytest.MonkeyPatch, observed: Observed, loop: asyncio.AbstractEventLoop
) -> None:
    """A registry that nobody listens to folds without a word."""
    registry = Registry(observed.metrics.get_meter("other"))
    shard = registry.shard(loop)
    monkeypatch.setattr(contract, "SERIES_LIMIT", 0)
    shard.slot(contract.RETRIES, named("shop", "op")).add()
    folded = {contract.PROVIDER: "shop", contract.OPERATION: "_OTHER", contract.RETRY_REASON: "_OTHER"}
    assert registry.read(contract.RETRIES) == {tuple(folded.items()): 1}


def named(provider: str, operation: str) -> dict[str, str]:
    """Return an attribute set of the retries."""
    return {contract.PROVIDER: provider, contract.OPERATION: operation, contract.RETRY_REASON: "network"}
