"""Refusals: each is counted once and told once, with the policy that said no, or that would have."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import product
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.outcome import TABLE, CallResult
from buoy.pipeline import run
from tests.support import virtual_time
from tests.support.telemetry import Logs, Observed, logs
from tests.support.virtual_time import now, virtually
from tests.unit.telemetry.bank import attributes, bank, counted, told
from tests.unit.telemetry.shop import Shop, failing

LABELS = (contract.REFUSAL_REASON, contract.REFUSAL_ENFORCED)
REASONS = [str(error) for error, facts in TABLE.items() if facts.result is CallResult.REFUSED]
ONE_STRIKE = buoy.Breaker(minimum_calls=1)


class Joined(buoy.Provider, base_url="http://127.0.0.1:9", retry=None):
    """Shares what is on its way."""

    item = buoy.get("/items/{id}", joined=True)


Case = Callable[[], Awaitable[BaseException]]


async def by_the_breaker() -> BaseException:
    """Call while the breaker is open for 30 seconds."""
    provider, ask = bank(breaker=buoy.Breaker())
    async with provider:
        provider.control.breaker.force("open", for_s=30)
        return await failing(ask())


async def by_a_forced_breaker() -> BaseException:
    """Call while the breaker is forced open: nobody knows for how long."""
    provider, ask = bank(breaker=buoy.Breaker(name="by_hand"))
    async with provider:
        provider.control.breaker.force("forced_open")
        return await failing(ask())


async def by_the_limiter() -> BaseException:
    """Call for the second time within a second, and do not wait."""
    provider, ask = bank(limit=buoy.RateLimit(1, max_wait=0))
    async with provider:
        await ask()
        return await failing(ask())


async def by_a_pause() -> BaseException:
    """Call while the provider is paused for longer than the call may take."""
    provider, ask = bank()
    async with provider:
        provider.control.limiter.penalize(now() + 90)
        return await failing(ask())


async def by_the_permits() -> BaseException:
    """Call while the only permit is taken, and wait for two seconds in vain."""
    provider, ask = bank(concurrency=buoy.Concurrency(1, max_wait=2))
    async with provider:
        first = asyncio.create_task(ask(5))
        await asyncio.sleep(0)
        error = await failing(ask())
        await first
        return error


async def by_the_deadline() -> BaseException:
    """Call when no time is left."""
    async with Shop("bank") as shop:
        return await failing(shop.item(id="1", deadline=0))


CASES: Mapping[Case, dict[str, Any]] = {
    by_the_breaker: {
        contract.REFUSAL_REASON: "breaker_open",
        contract.BREAKER_NAME: "bank",
        contract.RETRY_AFTER: 30.0,
    },
    by_a_forced_breaker: {contract.REFUSAL_REASON: "breaker_open", contract.BREAKER_NAME: "by_hand"},
    by_the_limiter: {contract.REFUSAL_REASON: "rate_limited_locally", contract.RETRY_AFTER: 1.0},
    by_a_pause: {contract.REFUSAL_REASON: "rate_limited_locally", contract.RETRY_AFTER: 60.0},
    by_the_permits: {contract.REFUSAL_REASON: "concurrency_limited"},
    by_the_deadline: {contract.REFUSAL_REASON: "deadline_exceeded"},
}


@virtually
async def test_every_refusal_starts_at_zero(observed: Observed) -> None:
    """An open provider has all six reasons, enforced and not, before anything is refused."""
    provider, _ = bank()
    async with provider:
        found = told(observed, contract.REFUSALS, contract.PROVIDER, *LABELS)
    assert {("bank", *pair): 0 for pair in product(REASONS, (True, False))} == found
    assert len(REASONS) == 6


@pytest.mark.parametrize(("case", "fields"), CASES.items(), ids=[case.__name__ for case in CASES])
def test_a_refusal_is_counted_and_told_once(case: Case, fields: dict[str, Any], observed: Observed, seen: Logs) -> None:
    """One refusal is one count, one event on the call's span and one warning, both saying who refused and till when."""

    async def refused() -> BaseException:
        return await case()

    error = virtual_time.run(refused())
    assert isinstance(error, buoy.Refused)
    reason = fields[contract.REFUSAL_REASON]
    assert counted(observed, contract.REFUSALS, *LABELS) == {(reason, True): 1}
    assert counted(observed, contract.CALLS, contract.CALL_RESULT)["refused",] == 1
    assert counted(observed, contract.ERRORS, contract.ERROR_TYPE, contract.ERROR_LEVEL) == {(reason, "call"): 1}
    (span,) = [span for span in observed.calls() if span.events]
    (event,) = [event for event in span.events if event.name != contract.WAIT_ENDED.name]
    assert {**fields, contract.REFUSAL_ENFORCED: True} == attributes(event)
    assert contract.CALL_REFUSED.name == event.name
    (record,) = seen.of(contract.CALL_REFUSED)
    assert record.levelname == "WARNING"
    assert {**fields, contract.REFUSAL_ENFORCED: True}.items() <= vars(record).items()
    stop = "deadline" if reason == "deadline_exceeded" else "refused"
    assert (attributes(span)[contract.STOP_REASON], attributes(span)[contract.CALL_ATTEMPTS]) == (stop, 0)


@virtually
async def test_every_refused_call_counts(observed: Observed) -> None:
    """Five calls that are refused in a row are five counts, though one log."""
    provider, ask = bank(breaker=buoy.Breaker())
    with logs() as seen:
        async with provider:
            provider.control.breaker.force("forced_open")
            for _ in range(5):
                await failing(ask())
    assert counted(observed, contract.REFUSALS, *LABELS) == {("breaker_open", True): 5}
    assert len(seen.of(contract.CALL_REFUSED)) == 1


@virtually
async def test_a_shadow_refusal_is_no_refusal(observed: Observed, seen: Logs) -> None:
    """In ``metrics_only`` a call that would have been refused is counted once, as not enforced, and goes on."""
    provider, ask = bank(breaker=buoy.Breaker(minimum_calls=1, mode="metrics_only"), retry=buoy.Retry(base=0.0))
    async with provider:
        await failing(ask(error=ConnectionResetError()))  # three tries, of which two would have been refused
        assert counted(observed, contract.REFUSALS, *LABELS) == {("breaker_open", False): 1}
        await ask()
    assert counted(observed, contract.REFUSALS, *LABELS) == {("breaker_open", False): 2}
    assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("failure",): 1, ("success",): 1}
    (event,) = observed.calls()[-1].events
    expected = {
        contract.REFUSAL_REASON: "breaker_open",
        contract.REFUSAL_ENFORCED: False,
        contract.BREAKER_NAME: "bank",
    }
    assert expected == attributes(event)
    assert [record.levelname for record in seen.of(contract.CALL_REFUSED)] == ["WARNING"] * 2
    assert [attributes(span)[contract.BREAKER_STATE] for span in observed.attempts()] == ["metrics_only"] * 4


@virtually
async def test_a_refused_retry_is_a_refusal_of_a_failed_call(observed: Observed) -> None:
    """The call is the failure that it was; that its retry was refused is counted and told as well."""
    provider, ask = bank(breaker=ONE_STRIKE, retry=buoy.Retry(base=0.0))
    async with provider:
        assert isinstance(await failing(ask(error=ConnectionResetError())), buoy.NetworkError)
    assert counted(observed, contract.REFUSALS, *LABELS) == {("breaker_open", True): 1}
    assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("failure",): 1}
    assert counted(observed, contract.ABANDONED, contract.STOP_REASON) == {("refused",): 1}
    assert counted(observed, contract.RETRIES) == {}
    (call,) = observed.calls()
    assert attributes(call)[contract.ERROR_TYPE] == "network_error"
    assert [event.name for event in call.events] == ["buoy.retry.scheduled", "buoy.call.refused"]


@virtually
async def test_a_retry_without_time_is_no_refusal(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time ran out before a retry, the stop reason says so, and no policy refused anything."""
    monkeypatch.setattr(run, "random", lambda: 1.0)
    provider, ask = bank(retry=buoy.Retry(base=5), timeout=buoy.Timeout(total=10))
    async with provider:
        asyncio.get_running_loop().call_later(1, virtual_time.pass_time, 60)
        assert isinstance(await failing(ask(error=ConnectionResetError())), buoy.NetworkError)
    assert counted(observed, contract.REFUSALS) == {}
    assert counted(observed, contract.ABANDONED, contract.STOP_REASON) == {("deadline",): 1}


@virtually
async def test_a_refusal_belongs_to_who_refused(observed: Observed) -> None:
    """What an inner provider refused inside a wrapped function is counted for the inner one alone."""
    inner, ask = bank("inner", breaker=buoy.Breaker())
    outer = buoy.Provider("outer", retry=None, breaker=None)

    @outer.operation("pass_on", safety="safe")
    async def pass_on() -> int:
        return await ask()

    async with inner, outer:
        inner.control.breaker.force("forced_open")
        assert isinstance(await failing(pass_on()), buoy.BreakerOpen)
    assert counted(observed, contract.REFUSALS, contract.PROVIDER) == {("inner",): 1}
    assert counted(observed, contract.CALLS, contract.PROVIDER, contract.CALL_RESULT) == {
        ("inner", "refused"): 1,
        ("outer", "refused"): 1,
    }


@virtually
async def test_a_joined_call_without_time_is_refused(observed: Observed) -> None:
    """A call that joined another and ran out of time before anything was sent is a refusal like any other."""
    async with Joined() as shop:
        shop.control.limiter.penalize(now() + 20)
        first = asyncio.create_task(shop.item(id="1"))
        await asyncio.sleep(0)
        assert isinstance(await failing(shop.item(id="1", deadline=5)), buoy.DeadlineExceeded)
        first.cancel()
        await failing(first)
    assert counted(observed, contract.REFUSALS, *LABELS) == {("deadline_exceeded", True): 1}
    (late, _) = observed.calls()
    assert [event.name for event in late.events] == ["buoy.duplicate.found", "buoy.call.refused"]
