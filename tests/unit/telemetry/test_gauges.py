"""How the policies stand: read while a provider is open, summed over its instances, gone or 0 when it is closed."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.contract import Metric
from buoy.outcome import BreakerState
from tests.support.eventually import until
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed
from tests.support.virtual_time import virtually
from tests.unit.telemetry.bank import attributes, bank, counted, told
from tests.unit.telemetry.shop import failing

STATE = (contract.BREAKER_NAME, contract.BREAKER_STATE)
SOURCE = (contract.PROVIDER, contract.LIMIT_SOURCE)
CONCURRENCY = (contract.CONCURRENCY_USAGE, contract.CONCURRENCY_LIMIT, contract.CONCURRENCY_WAITING)
# In an order in which every step is allowed.
STATES = ("open", "half_open", "closed", "forced_open", "disabled", "metrics_only")


def value(observed: Observed, metric: Metric) -> float | None:
    """Return what a metric of one provider says, ``None`` when it says nothing."""
    return told(observed, metric).get(())


def silent(observed: Observed) -> list[str]:
    """Return the metrics about policies that say nothing at all, or 0 of all that they knew."""
    known = [metric for metric in contract.METRICS if metric.name.startswith(("buoy.breaker.", "buoy.rate_limiter."))]
    return [
        metric.name
        for metric in (*known, *CONCURRENCY, contract.BUDGET_REMAINING)
        if metric is not contract.BREAKER_TRANSITIONS and not any(told(observed, metric, *metric.attributes).values())
    ]


ALL = {
    "buoy.breaker.status",
    "buoy.rate_limiter.waiting",
    "buoy.rate_limiter.quota.remaining",
    "buoy.rate_limiter.quota.limit",
    "buoy.concurrency.usage",
    "buoy.concurrency.limit",
    "buoy.concurrency.waiting",
    "buoy.client.retry.budget.remaining",
}


# The breaker.


@virtually
async def test_a_breaker_is_in_one_state(observed: Observed) -> None:
    """Of the six states one is 1 and five are 0, whatever the state is; an attempt says it unless it is closed."""
    provider, ask = bank(breaker=buoy.Breaker())
    async with provider:
        for state in ("closed", *STATES):
            provider.control.breaker.force(state)
            expected = {("bank", str(other)): int(state == other) for other in BreakerState}
            assert expected == told(observed, contract.BREAKER_STATUS, *STATE)
            observed.clear()
            if state not in {"open", "forced_open"}:
                await ask()
                (attempt,) = observed.attempts()
                assert (None if state == "closed" else state) == attributes(attempt).get(contract.BREAKER_STATE)
                provider.control.breaker.force("open")


@virtually
async def test_a_closed_provider_has_no_breaker(observed: Observed) -> None:
    """When the block is left all six states are 0, also where somebody still holds the breaker's control."""
    provider, _ = bank(breaker=buoy.Breaker())
    async with provider:
        held = provider.control
        assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "closed"): 1}
    assert {("bank", str(state)): 0 for state in BreakerState} == told(observed, contract.BREAKER_STATUS, *STATE)
    del held


@virtually
async def test_two_instances_of_one_name_are_summed(observed: Observed) -> None:
    """Two open providers of one name have two breakers of one name: the states say how many are in each."""
    first, second = (bank(breaker=buoy.Breaker())[0] for _ in range(2))
    async with first:
        async with second:
            assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "closed"): 2}
            second.control.breaker.force("open")
            expected = {("bank", "closed"): 1, ("bank", "open"): 1}
            assert expected == counted(observed, contract.BREAKER_STATUS, *STATE)
        assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "closed"): 1}
    assert counted(observed, contract.BREAKER_STATUS) == {}


@virtually
async def test_every_breaker_of_a_provider_is_told(observed: Observed) -> None:
    """An operation with a breaker of its own has it beside the provider's, by its name."""
    provider, _ = bank(breaker=buoy.Breaker(), own={"breaker": buoy.Breaker(mode="disabled")})
    async with provider:
        expected = {("bank", "closed"): 1, ("bank.ask", "disabled"): 1}
        assert expected == counted(observed, contract.BREAKER_STATUS, *STATE)


@virtually
async def test_reading_changes_no_breaker(observed: Observed) -> None:
    """A wait that has passed is ended by the next call and by no collection: until then it is open."""
    provider, ask = bank(breaker=buoy.Breaker(wait=1))
    async with provider:
        provider.control.breaker.force("open")
        await asyncio.sleep(60)
        assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "open"): 1}
        assert counted(observed, contract.BREAKER_TRANSITIONS, contract.BREAKER_STATE) == {("open",): 1}
        await ask()
        assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "half_open"): 1}
        await asyncio.sleep(60)  # the probes had a second
        assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "open"): 1}


# The limiter.


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None):
    """Something that tells its limit."""

    item = buoy.get("/items/{id}")


async def test_both_quotas_are_told(observed: Observed) -> None:
    """Ours from the first moment, theirs once they said it: what is left, and of how much."""
    said = answer(RateLimit_Limit="5000", RateLimit_Remaining="4000", RateLimit_Reset="60")
    async with Peer(said) as peer, Shop(base_url=peer.url, limit=buoy.RateLimit(0.001, burst=9)) as shop:
        assert told(observed, contract.QUOTA_REMAINING, *SOURCE) == {("shop", "local"): 9}
        assert told(observed, contract.QUOTA_LIMIT, *SOURCE) == {("shop", "local"): 9}
        await shop.item(id="1")
        expected = {("shop", "local"): 8, ("shop", "server"): 4000}
        assert expected == told(observed, contract.QUOTA_REMAINING, *SOURCE)
        assert told(observed, contract.QUOTA_LIMIT, *SOURCE) == {("shop", "local"): 9, ("shop", "server"): 5000}
    assert told(observed, contract.QUOTA_REMAINING, *SOURCE) == {}
    assert told(observed, contract.QUOTA_LIMIT, *SOURCE) == {("shop", "local"): 0, ("shop", "server"): 0}


async def test_who_says_nothing_has_no_quota(observed: Observed) -> None:
    """Without a rate of ours and a word of theirs nobody claims that nothing, or anything, is left."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        await shop.item(id="1")
        assert told(observed, contract.QUOTA_REMAINING, *SOURCE) == {}
        assert told(observed, contract.QUOTA_LIMIT, *SOURCE) == {}
        assert value(observed, contract.LIMITER_WAITING) == 0


@virtually
async def test_the_tightest_of_several_rates_is_told(observed: Observed) -> None:
    """Of an operation's own limit and the provider's, the one with the smaller part left is the headroom."""
    own = buoy.RateLimit(0.001, burst=4)
    provider, ask = bank(limit=buoy.RateLimit(0.001, burst=100), own={"limit": own})
    async with provider:
        for _ in range(3):
            await ask()
        assert told(observed, contract.QUOTA_REMAINING, *SOURCE) == {("bank", "local"): 1}
        assert told(observed, contract.QUOTA_LIMIT, *SOURCE) == {("bank", "local"): 4}


@virtually
async def test_calls_that_wait_for_a_turn_are_told(observed: Observed) -> None:
    """Each call that waits for its turn is one, until it goes or leaves."""
    provider, ask = bank(limit=buoy.RateLimit(1))
    async with provider:
        calls = [asyncio.create_task(ask()) for _ in range(4)]
        for expected in (3, 2):
            await asyncio.sleep(0.5)
            assert expected == value(observed, contract.LIMITER_WAITING)
            await asyncio.sleep(0.5)
        calls[-1].cancel()
        await failing(calls[-1])
        await asyncio.gather(*calls[:-1])
        assert value(observed, contract.LIMITER_WAITING) == 0


# The permits.


@virtually
async def test_permits_are_told(observed: Observed) -> None:
    """How many are taken, how many there are, and how many calls wait for one; when it is closed, 0 of each."""
    provider, ask = bank(concurrency=buoy.Concurrency(2))
    async with provider:
        calls = [asyncio.create_task(ask(1)) for _ in range(5)]
        for expected in ([2, 2, 3], [2, 2, 1], [1, 2, 0], [0, 2, 0]):
            await asyncio.sleep(0.5)
            assert expected == [value(observed, metric) for metric in CONCURRENCY]
            await asyncio.sleep(0.5)
        await asyncio.gather(*calls)
    assert [value(observed, metric) for metric in CONCURRENCY] == [0, 0, 0]


@virtually
async def test_without_permits_nothing_is_said_of_them(observed: Observed) -> None:
    """Where sends are not limited there is no limit of 0."""
    provider, ask = bank()
    async with provider:
        await ask()
        assert [value(observed, metric) for metric in CONCURRENCY] == [None, None, None]


# All of them.


async def test_all_is_over_with_the_provider(observed: Observed) -> None:
    """Whatever it said while it was open, a closed provider has nothing left, nothing taken and nobody waiting."""
    said = answer(RateLimit_Limit="5000", RateLimit_Remaining="4000", RateLimit_Reset="60")
    policies: dict[str, Any] = {"limit": buoy.RateLimit(9), "concurrency": buoy.Concurrency(5), "retry": buoy.Retry()}
    async with Peer(said) as peer, Shop(base_url=peer.url, **policies) as shop:
        await shop.item(id="1")
        idle = {"buoy.rate_limiter.waiting", "buoy.concurrency.usage", "buoy.concurrency.waiting"}
        assert idle == set(silent(observed))
        held = (shop.control, shop.snapshot())
    assert set(silent(observed)) == ALL
    del held


@pytest.fixture
def complaints() -> Iterator[list[logging.LogRecord]]:
    """Collect what the SDK says when one of our callbacks raised: it reports no other way."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    kept: list[logging.LogRecord] = []
    logger, handler = logging.getLogger("opentelemetry"), Keep()
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)


async def test_any_thread_may_collect_while_calls_run(observed: Observed, complaints: list[logging.LogRecord]) -> None:
    """A collection in another thread breaks neither itself nor a call, and in the end all is counted."""
    policies: dict[str, Any] = {"limit": buoy.RateLimit(1e6), "concurrency": buoy.Concurrency(3), "retry": buoy.Retry()}
    provider, ask = bank(breaker=buoy.Breaker(), **policies)
    stopped = threading.Event()
    collections: list[int] = []

    def collect() -> None:
        while not stopped.is_set():
            collections.append(len(observed.collected()))

    async with provider:
        thread = threading.Thread(target=collect)
        thread.start()
        try:
            for _ in range(20):
                await asyncio.gather(*(ask() for _ in range(10)))
                provider.control.breaker.force("open")
                provider.control.breaker.reset()
            await until(lambda: len(collections) > 1)
        finally:
            stopped.set()
            await asyncio.to_thread(thread.join)
        assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("success",): 200}
        assert counted(observed, contract.BREAKER_TRANSITIONS, contract.BREAKER_STATE) == {
            ("open",): 20,
            ("closed",): 20,
        }
        assert counted(observed, contract.BREAKER_STATUS, *STATE) == {("bank", "closed"): 1}
    assert complaints == []


@virtually
async def test_what_is_added_meanwhile_breaks_no_reading(observed: Observed) -> None:
    """A collection that is under way when an operation comes with policies of its own goes on to its end."""
    provider, _ = bank(breaker=buoy.Breaker(), limit=buoy.RateLimit(1), concurrency=buoy.Concurrency(1))
    async with provider:
        live = provider._live
        assert live is not None
        for taken in range(sum(1 for _ in live.readings())):
            readings = iter(live.readings())
            for _ in range(taken):
                next(readings)
            own: dict[str, Any] = {
                "retry": buoy.Retry(budget=buoy.RetryBudget(reserve=taken + 1)),
                "breaker": buoy.Breaker(name=f"b{taken}"),
                "limit": buoy.RateLimit(1),
                "concurrency": buoy.Concurrency(1),
            }

            @provider.operation(f"o{taken}", safety="safe", **own)
            async def late() -> None: ...

            assert len(list(readings)) > 0
        assert counted(observed, contract.CONCURRENCY_LIMIT)[()] > 1
