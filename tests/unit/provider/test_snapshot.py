"""The present figures of a provider: exact after a known sequence of calls, frozen, and without anything secret."""

import asyncio
import json
from collections.abc import MutableMapping
from dataclasses import FrozenInstanceError, fields
from typing import Any, cast

import pytest

import buoy
from buoy.outcome import BreakerState, CallResult, ErrorType, Outcome, Phase, Verdict
from buoy.provider.snapshot import BreakerSnapshot, ConcurrencySnapshot, LimiterSnapshot
from buoy.result import Quota
from tests.support.peer import CUT, Peer, answer
from tests.support.virtual_time import now, virtually
from tests.unit.telemetry.bank import bank

RESET = ConnectionResetError()
MISSING = buoy.HttpError(
    "bank ask: missing.", status=404, verdict=Verdict(ErrorType.NOT_FOUND, Outcome.REJECTED, Phase.RECEIVE)
)
# No time in these tests is long enough for one unit to come back.
SCARCE = buoy.RateLimit(20, per=1e6)

POLICIES: dict[str, Any] = {
    "retry": buoy.Retry(max_attempts=2, base=0, budget=buoy.RetryBudget(ratio=0, reserve=1)),
    "breaker": buoy.Breaker(minimum_calls=5, failure_rate=0.9, slow_after=8, window=100),
    "limit": SCARCE,
    "concurrency": buoy.Concurrency(3),
}


def results(**counts: int) -> dict[CallResult, int]:
    """Return the calls by result; what is not named is 0."""
    return {result: counts.get(result.value, 0) for result in CallResult}


@virtually
async def test_before_the_first_call() -> None:
    """All counts are 0, each result has one, everything is free, and what nobody knows is ``None``."""
    provider, _ = bank(**POLICIES)
    async with provider:
        breaker = BreakerSnapshot(
            name="bank",
            state=BreakerState.CLOSED,
            calls=0,
            failed=0,
            slow=0,
            failure_rate=None,
            slow_rate=None,
            refused=0,
        )
        assert provider.snapshot() == buoy.Snapshot(
            provider="bank",
            calls=results(),
            attempts=0,
            sends=0,
            active=0,
            p95=None,
            breaker=breaker,
            breakers={"bank": breaker},
            limiter=LimiterSnapshot(remaining=20, waiting=0, paused_for=0),
            concurrency=ConcurrencySnapshot(limit=3, used=0, waiting=0),
            quota=None,
            retries_left=10,
        )


@virtually
async def test_where_nothing_is_on() -> None:
    """What is switched off is ``None``; the limiter is there, because a provider may ask for pauses."""
    provider, ask = bank(timeout=None)
    async with provider:
        await ask()
        shown = provider.snapshot()
    assert (shown.breaker, shown.breakers, shown.concurrency, shown.retries_left) == (None, {}, None, None)
    assert shown.limiter == LimiterSnapshot(remaining=None, waiting=0, paused_for=0)
    assert shown.calls == results(success=1)


@virtually
async def test_an_operations_breaker_is_not_the_providers() -> None:
    """Where only an operation has a breaker, it is among all of them, and the provider's own is ``None``."""
    provider, _ = bank(own={"breaker": buoy.Breaker()})
    async with provider:
        shown = provider.snapshot()
    assert (shown.breaker, [*shown.breakers]) == (None, ["bank.ask"])


async def test_a_send_is_not_a_try() -> None:
    """Every request on the wire is a send, also one that the transport repeats within a try."""
    async with Peer(CUT, answer()) as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        await shop.get("/a")
        shown = shop.snapshot()
    assert (shown.calls, shown.attempts, shown.sends, len(peer.heard)) == (results(success=1), 1, 2, 2)


@virtually
async def test_after_a_known_sequence_of_calls() -> None:
    """Every call is one in its result, with its tries and sends; every policy says what the tries did to it."""
    provider, ask = bank(**POLICIES)
    flaky_errors: list[Exception | None] = [RESET, None]

    @provider.operation("flaky", safety="safe")
    async def flaky() -> None:
        error = flaky_errors.pop(0)
        if error is not None:
            raise error

    @provider.operation("guarded", breaker=buoy.Breaker(name="off"))
    async def guarded() -> None: ...

    async with provider:
        await ask(9)  # slow
        await flaky()
        with pytest.raises(buoy.NetworkError):
            await ask(error=RESET)  # two tries
        with pytest.raises(buoy.HttpError):
            await ask(error=MISSING)
        leaving = asyncio.create_task(ask(5))
        await asyncio.sleep(2)
        leaving.cancel()
        await asyncio.wait([leaving])
        provider.control.operation("guarded").breaker.force("forced_open")
        for _ in range(2):
            with pytest.raises(buoy.BreakerOpen):
                await guarded()
        shown = provider.snapshot()
        assert now() == 11
    assert shown.calls == results(success=2, failure=1, caller_error=1, cancelled=1, refused=2)
    assert (shown.attempts, shown.sends, shown.active, shown.p95) == (7, 7, 0, 9)
    assert shown.breaker == BreakerSnapshot(
        name="bank",
        state=BreakerState.CLOSED,
        calls=5,  # tries; the caller's own error and the cancelled one say nothing of the provider
        failed=3,
        slow=1,
        failure_rate=0.6,
        slow_rate=0.2,
        refused=0,
    )
    assert [(name, each.state, each.refused) for name, each in shown.breakers.items()] == [
        ("bank", BreakerState.CLOSED, 0),
        ("off", BreakerState.FORCED_OPEN, 2),
    ]
    assert shown.limiter == LimiterSnapshot(remaining=13, waiting=0, paused_for=0)
    assert shown.concurrency == ConcurrencySnapshot(limit=3, used=0, waiting=0)
    assert shown.retries_left == 8


@virtually
async def test_during_calls() -> None:
    """Calls in flight are active, whatever they wait for, and are counted when they end."""
    provider, ask = bank(**{**POLICIES, "limit": buoy.RateLimit(1, burst=4)})
    async with provider:
        calls = [asyncio.create_task(ask(2)) for _ in range(6)]
        await asyncio.sleep(0.5)
        shown = provider.snapshot()
        assert (shown.active, shown.attempts, shown.calls) == (6, 0, results())
        assert shown.concurrency == ConcurrencySnapshot(limit=3, used=3, waiting=1)
        assert shown.limiter == LimiterSnapshot(remaining=0, waiting=2, paused_for=0)
        provider.control.limiter.penalize(now() + 5)
        assert provider.snapshot().limiter.paused_for == 5
        await asyncio.gather(*calls)
        shown = provider.snapshot()
        assert (shown.active, shown.attempts, shown.calls) == (0, 6, results(success=6))


@virtually
async def test_a_call_that_was_refused_for_its_arguments_is_none() -> None:
    """A call that a ``TypeError`` ends before it began leaves nothing in the figures."""
    provider, _ = bank(**POLICIES)

    @provider.operation("joined", safety="safe", joined=True)
    async def joined(_: object) -> None: ...

    async with provider:
        untouched = provider.snapshot()
        with pytest.raises(TypeError):
            await joined([])
        assert provider.snapshot() == untouched


@virtually
async def test_while_a_breaker_is_open() -> None:
    """An open breaker shows the figures that opened it, and how many it refused since."""
    provider, ask = bank(**{**POLICIES, "retry": None, "breaker": buoy.Breaker(minimum_calls=4)})
    async with provider:
        for error in (None, RESET, None, RESET):
            await asyncio.wait([asyncio.create_task(ask(error=error))])
        for _ in range(3):
            with pytest.raises(buoy.BreakerOpen):
                await ask()
        await asyncio.sleep(1000)
        shown = provider.snapshot().breaker
    assert shown == BreakerSnapshot(
        name="bank",
        state=BreakerState.OPEN,
        calls=4,
        failed=2,
        slow=0,
        failure_rate=0.5,
        slow_rate=0,
        refused=3,
    )


@pytest.mark.parametrize(
    ("durations", "p95"),
    [
        ([3], 3),
        ([*range(1, 21)], 19),
        ([*range(21, 0, -1)], 20),
        ([60] * 51 + [1] * 949, 60),
        ([60] * 50 + [1] * 950, 1),
        ([60] * 1000 + [1] * 950, 1),
    ],
    ids=["one", "twenty", "twenty-one", "51 of 1,000", "50 of 1,000", "50 of the last 1,000"],
)
def test_p95(durations: list[int], p95: float) -> None:
    """It is a duration that there was, the nearest rank, of the last 1,000 calls."""

    @virtually
    async def scenario() -> None:
        provider, ask = bank(timeout=None)
        async with provider:
            for seconds in durations:
                await ask(seconds)
            assert provider.snapshot().p95 == p95

    scenario()


# The provider's own limit.


@virtually
async def test_quota_only_while_it_holds() -> None:
    """What the provider said last of its limit is shown with the seconds that are left of it, and then no more."""
    provider = buoy.Provider("bank")

    @provider.operation("ask")
    async def ask(quota: Quota) -> None:
        buoy.current_call().heed(quota)

    async with provider:
        assert provider.snapshot().quota is None
        await ask(Quota(limit=100, remaining=40, reset=30))
        await asyncio.sleep(10)
        assert provider.snapshot().quota == Quota(limit=100, remaining=40, reset=20)
        await ask(Quota(limit=100, remaining=39, reset=20))
        await asyncio.sleep(19.5)
        assert provider.snapshot().quota == Quota(limit=100, remaining=39, reset=0.5)
        await asyncio.sleep(0.5)
        assert provider.snapshot().quota is None


async def test_quota_as_told_in_headers() -> None:
    """It is what the headers of an answer said, and the same as in ``meta``."""
    said = answer(RateLimit_Limit="100", RateLimit_Remaining="42", RateLimit_Reset="3600")
    async with Peer(said) as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        result = await shop.request("GET", "/a")
        quota, told = shop.snapshot().quota, result.meta.quota
    assert quota is not None
    assert told == Quota(limit=100, remaining=42, reset=3600)
    assert (quota.limit, quota.remaining) == (100, 42)
    assert quota.reset is not None
    assert 3590 < quota.reset <= 3600


# What it is.


@virtually
async def test_it_is_frozen() -> None:
    """Nobody can change a snapshot, nor what is in it, nor add to it; it does not change by itself."""
    provider, ask = bank(**POLICIES)
    async with provider:
        shown = provider.snapshot()
        copy = shown.as_dict()
        parts = [shown, shown.breaker, shown.limiter, shown.concurrency]
        for part in parts:
            for field in fields(cast("Any", part)):
                with pytest.raises(FrozenInstanceError):
                    setattr(part, field.name, 1)
            assert not hasattr(part, "__dict__")
        for mapping, key in ((shown.calls, CallResult.SUCCESS), (shown.breakers, "bank")):
            changing = cast("MutableMapping[Any, Any]", mapping)
            with pytest.raises(TypeError):
                changing[key] = 1
            with pytest.raises(TypeError):
                del changing[key]
        await ask()
        assert copy == shown.as_dict()
        assert provider.snapshot().calls == results(success=1)


@virtually
async def test_as_a_dict_it_is_json() -> None:
    """``as_dict`` is all of it in plain dicts, words and numbers, for a health endpoint; to change them is harmless."""
    provider, ask = bank(**POLICIES)
    async with provider:
        await ask(1)
        shown = provider.snapshot()
    plain = shown.as_dict()
    assert [*plain] == [field.name for field in fields(buoy.Snapshot)]
    breaker = {
        "name": "bank",
        "state": "closed",
        "calls": 1,
        "failed": 0,
        "slow": 0,
        "failure_rate": None,
        "slow_rate": None,
        "refused": 0,
    }
    assert json.loads(json.dumps(plain)) == {
        "provider": "bank",
        "calls": {"success": 1, "failure": 0, "refused": 0, "caller_error": 0, "cancelled": 0},
        "attempts": 1,
        "sends": 1,
        "active": 0,
        "p95": 1.0,
        "breaker": breaker,
        "breakers": {"bank": breaker},
        "limiter": {"remaining": 19, "waiting": 0, "paused_for": 0.0},
        "concurrency": {"limit": 3, "used": 0, "waiting": 0},
        "quota": None,
        "retries_left": 10,
    }
    plain["calls"]["success"] = 7
    assert shown.calls[CallResult.SUCCESS] == 1


async def test_no_secret_is_shown() -> None:
    """Neither credentials nor headers nor what was asked and answered is in a snapshot, a provider's repr or a dict."""
    body = b'{"canary": 1}'
    async with Peer(answer(body=body), answer(404, body=body)) as peer:
        shop = buoy.Provider("shop", base_url=peer.url, auth=buoy.Bearer("canary"), headers={"X-Tenant": "canary"})
        async with shop:
            await shop.get("/items/{id}", id="canary", q="canary", headers={"X-Other": "canary"})
            with pytest.raises(buoy.HttpError):
                await shop.post("/items", json={"canary": 1})
            shown = shop.snapshot()
            seen = (
                f"{shop!r} {shop} {shown!r} {shown} {shown.as_dict()} {shop.control!r} {shop.find('GET', '/a', None)!r}"
            )
    assert "canary" not in seen
    assert shown.calls == results(success=1, caller_error=1)
