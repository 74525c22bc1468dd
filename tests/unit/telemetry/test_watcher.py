"""What happens to the policies that calls share: transitions are counted with their cause, and changes are logged."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.outcome import BreakerState
from tests.support.peer import Peer, answer
from tests.support.telemetry import Logs, Observed, logs
from tests.support.virtual_time import now, virtually
from tests.unit.telemetry.bank import bank, counted
from tests.unit.telemetry.shop import failing

TRANSITION = (contract.BREAKER_NAME, contract.BREAKER_STATE, contract.BREAKER_CAUSE)
CHANGE = (contract.BREAKER_NAME, "previous", contract.BREAKER_STATE, contract.BREAKER_CAUSE)
ONE_STRIKE = buoy.Breaker(minimum_calls=1, half_open_permits=1, slow_after=1.0)
FAILING = ConnectionResetError()


def fields(record: logging.LogRecord, *names: str) -> tuple[Any, ...]:
    """Return some fields of a record."""
    return tuple(vars(record)[name] for name in names)


@virtually
async def test_every_transition_is_counted_with_its_cause(observed: Observed) -> None:
    """Each change of state is one count of the new state and of what caused it."""
    provider, ask = bank(breaker=ONE_STRIKE)
    async with provider:
        await failing(ask(error=FAILING))
        for error in (FAILING, None):
            await asyncio.sleep(60)
            await (ask() if error is None else failing(ask(error=error)))
        await ask(2)
        provider.control.breaker.reset()
    assert counted(observed, contract.BREAKER_TRANSITIONS, contract.PROVIDER, *TRANSITION) == {
        ("bank", "bank", "open", "failure_rate"): 1,
        ("bank", "bank", "half_open", "wait_elapsed"): 2,
        ("bank", "bank", "open", "probe_failed"): 1,
        ("bank", "bank", "closed", "probe_succeeded"): 1,
        ("bank", "bank", "open", "slow_rate"): 1,
        ("bank", "bank", "closed", "manual"): 1,
    }


@virtually
async def test_what_changes_nothing_is_not_counted(observed: Observed, seen: Logs) -> None:
    """Calls in one state, and forcing the state that it has, are no transitions."""
    provider, ask = bank(breaker=buoy.Breaker())
    async with provider:
        await ask()
        provider.control.breaker.force("closed")
        await failing(ask(error=FAILING))
    assert counted(observed, contract.BREAKER_TRANSITIONS) == {}
    assert seen.of(contract.BREAKER_CHANGED) == []


@virtually
async def test_counts_of_transitions_outlive_the_provider(observed: Observed) -> None:
    """A provider that is entered again goes on counting where the last one of its name stopped."""
    for expected in (1, 2):
        provider, _ = bank(breaker=buoy.Breaker())
        async with provider:
            provider.control.breaker.force("forced_open")
        assert counted(observed, contract.BREAKER_TRANSITIONS, *TRANSITION) == {
            ("bank", "forced_open", "manual"): expected
        }


@virtually
async def test_a_change_is_logged_with_what_led_to_it(seen: Logs) -> None:
    """The warning has name, both states, cause, the number of the period, and the window of the state that it left."""
    provider, ask = bank(breaker=buoy.Breaker(minimum_calls=4, failure_rate=0.75, name="ledger"))
    async with provider:
        await ask()
        for _ in range(3):
            await failing(ask(error=FAILING))
    (record,) = seen.of(contract.BREAKER_CHANGED)
    assert record.levelname == "WARNING"
    assert fields(record, contract.PROVIDER, *CHANGE) == ("bank", "ledger", "closed", "open", "failure_rate")
    assert fields(record, "generation", "failures", "calls") == (1, 3, 4)
    assert contract.OPERATION not in vars(record)


@virtually
async def test_each_state_of_each_breaker_is_news(clock: SimpleNamespace) -> None:
    """Within ten seconds every state of every breaker is logged; the same again is left out, and counted."""
    provider, _ = bank(breaker=buoy.Breaker(), own={"breaker": buoy.Breaker(name="own")})
    with logs() as seen:
        async with provider:
            shared, own = provider.control.breaker, provider.control.operation("ask").breaker
            for hand in (shared, own):
                hand.force("open")
                hand.force("half_open")
                hand.force("closed")
            shared.force("open")
            clock.now += 10
            shared.force("closed")
            shared.force("open")
    states = ["open", "half_open", "closed"]
    expected = [*(("bank", state) for state in states), *(("own", state) for state in states)]
    told = [
        fields(record, contract.BREAKER_NAME, contract.BREAKER_STATE) for record in seen.of(contract.BREAKER_CHANGED)
    ]
    assert [*expected, ("bank", "closed"), ("bank", "open")] == told
    assert [vars(record).get("suppressed") for record in seen.of(contract.BREAKER_CHANGED)] == [None] * 7 + [1]


@virtually
async def test_every_state_can_be_logged(observed: Observed, seen: Logs) -> None:
    """All six states that a hand can set are told by their names."""
    provider, _ = bank(breaker=buoy.Breaker())
    order = ["open", "half_open", "forced_open", "disabled", "metrics_only", "closed"]
    assert set(BreakerState) == set(order)
    async with provider:
        for state in order:
            provider.control.breaker.force(state)
    assert order == [vars(record)[contract.BREAKER_STATE] for record in seen.of(contract.BREAKER_CHANGED)]
    assert {("bank", state, "manual"): 1 for state in order} == counted(
        observed, contract.BREAKER_TRANSITIONS, *TRANSITION
    )


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None):
    """Two operations, of which one has a limit of its own."""

    item = buoy.get("/items/{id}")
    list = buoy.get("/items", limit=buoy.RateLimit(1000))


@pytest.mark.parametrize(
    "said",
    [
        {"Retry_After": "30"},
        {"Retry_After": "30", "RateLimit_Limit": "10", "RateLimit_Remaining": "0", "RateLimit_Reset": "30"},
        {"RateLimit_Limit": "10", "RateLimit_Remaining": "0", "RateLimit_Reset": "30"},
    ],
    ids=["Retry-After", "both", "quota"],
)
async def test_a_429_pauses_and_says_so_once(said: dict[str, Any], seen: Logs) -> None:
    """However the provider says when to come back, one warning has the seconds and that it was the provider's word."""
    async with Peer(answer(429, **said)) as peer, Shop(base_url=peer.url) as shop:
        await failing(shop.item(id="1"))
        assert 29 < shop.control.operation("list").limiter.paused_for <= 30
    (record,) = seen.of(contract.LIMITER_PAUSED)
    assert record.levelname == "WARNING"
    assert fields(record, contract.PROVIDER, contract.LIMIT_SOURCE) == ("shop", "server")
    assert fields(record, contract.RETRY_AFTER) == (pytest.approx(30, abs=1),)
    assert contract.OPERATION not in vars(record)


async def test_a_long_outage_opens_the_breaker(observed: Observed, seen: Logs) -> None:
    """A 503 that says to come back in an hour is a transition, and no pause of the limiter."""
    async with Peer(answer(503, Retry_After="3600")) as peer, Shop(base_url=peer.url) as shop:
        await failing(shop.item(id="1"))
    assert counted(observed, contract.BREAKER_TRANSITIONS, *TRANSITION) == {("shop", "open", "retry_after"): 1}
    (record,) = seen.of(contract.BREAKER_CHANGED)
    assert fields(record, *CHANGE, "failures", "calls") == ("shop", "closed", "open", "retry_after", 1, 1)
    assert seen.of(contract.LIMITER_PAUSED) == []


@virtually
async def test_an_operator_s_pause_is_told_as_ours(seen: Logs) -> None:
    """A pause by hand is logged with its seconds; one that is no longer than the present one says nothing new."""
    provider, _ = bank()
    async with provider:
        provider.control.limiter.penalize(now() + 30)
        provider.control.limiter.penalize(now() + 20)
        provider.control.limiter.penalize(now() - 1)
    (record,) = seen.of(contract.LIMITER_PAUSED)
    assert fields(record, contract.LIMIT_SOURCE, contract.RETRY_AFTER) == ("local", 30.0)
