"""Which policies hold for an operation: those of its class, of its instance, or its own; and whose state it shares."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

import pytest

import buoy
from buoy.outcome import BreakerState
from buoy.pipeline.call import Plan
from buoy.pipeline.fallback import Fallback
from buoy.pipeline.join import Flights
from buoy.pipeline.run import tries
from buoy.provider.function import FunctionOperation
from buoy.provider.policies import PolicyOptions
from tests.support.peer import Peer
from tests.support.virtual_time import now, virtually
from tests.unit.telemetry.bank import bank

URL = "https://api.shop.example/v2"


class Held(NamedTuple):
    """The policies that hold for an operation; a breaker without its name."""

    retry: buoy.Retry | None = buoy.Retry()
    timeout: buoy.Timeout | None = buoy.Timeout()
    breaker: buoy.Breaker | None = buoy.Breaker()
    limit: tuple[buoy.RateLimit, ...] = ()
    concurrency: buoy.Concurrency | None = None


def held(operation: "buoy.BoundOperation[Any] | FunctionOperation[..., Any]") -> Held:
    """Return what holds for an operation of an open provider."""
    plan = operation.plan
    assert plan.limiter is not None
    breaker = None if plan.breaker is None else replace(plan.breaker.policy, name=None)
    permits = None if plan.permits is None else plan.permits.policy
    return Held(plan.retry, plan.timeout, breaker, plan.limiter.rates, permits)


NOTHING = Held(None, None, None, (), None)
OFF: PolicyOptions = {"retry": None, "timeout": None, "breaker": None, "limit": None, "concurrency": None}

PROVIDERS: dict[str, Any] = {
    "retry": buoy.Retry(max_attempts=4),
    "timeout": buoy.Timeout(total=20, attempt=5),
    "breaker": buoy.Breaker(wait=7),
    "limit": buoy.RateLimit(50),
    "concurrency": buoy.Concurrency(20),
}
OTHERS: dict[str, Any] = {
    "retry": buoy.Retry(max_attempts=2),
    "timeout": buoy.Timeout(total=60),
    "breaker": buoy.Breaker(wait=8),
    "limit": (buoy.RateLimit(5), buoy.RateLimit(100, per=60)),
    "concurrency": buoy.Concurrency(2),
}


def said(policies: Mapping[str, Any]) -> Held:
    """Return what should hold where these policies are given and nothing else."""
    limit = policies.get("limit") or ()
    given = {**policies, "limit": limit if isinstance(limit, tuple) else (limit,)}
    return Held(**given)


class Shop(buoy.Provider, base_url=URL):
    """A provider that says all of it in its body, and operations that override all of it."""

    retry = PROVIDERS["retry"]
    timeout = PROVIDERS["timeout"]
    breaker = PROVIDERS["breaker"]
    limit = PROVIDERS["limit"]
    concurrency = PROVIDERS["concurrency"]

    item = buoy.get("/items/{id}")
    other = buoy.get("/other", **OTHERS)
    bare = buoy.get("/bare", **OFF)


# Whose policies hold.


async def test_the_defaults() -> None:
    """Retry, timeout and breaker are on by default, limit and concurrency are off."""
    async with buoy.Provider("shop", base_url=URL) as shop:
        assert Held() == held(shop.find("GET", "/a", None))


async def test_class_attributes_and_overrides_of_operations() -> None:
    """An operation has its class's policies, those that it names itself, or none where it says ``None``."""
    async with Shop() as shop:
        assert said(PROVIDERS) == held(shop.item)
        assert said(OTHERS) == held(shop.other)
        assert held(shop.bare) == NOTHING


async def test_class_keywords() -> None:
    """A class keyword is the same as a class attribute."""

    class Keyed(buoy.Provider, base_url=URL, **PROVIDERS):
        item = buoy.get("/items/{id}")

    async with Keyed() as shop:
        assert said(PROVIDERS) == held(shop.item)
    assert vars(Keyed)["limit"] == Shop.limit


async def test_arguments_of_an_instance() -> None:
    """An instance may have other policies than its class; other instances do not see them, and overrides stay."""
    async with Shop("shop_eu", **OTHERS) as shop:
        assert said(OTHERS) == held(shop.item)
        assert held(shop.bare) == NOTHING
    async with Shop() as shop:
        assert said(PROVIDERS) == held(shop.item)


async def test_overrides_of_wrapped_functions() -> None:
    """A wrapped function has its provider's policies, those that it names itself, or none."""
    provider = buoy.Provider("bank", **PROVIDERS)

    async def nothing() -> None: ...

    plain = provider.operation("plain")(nothing)
    other = provider.operation("other", **OTHERS)(nothing)
    bare = provider.operation("bare", **OFF)(nothing)
    async with provider:
        assert [held(plain), held(other), held(bare)] == [said(PROVIDERS), said(OTHERS), NOTHING]


@pytest.mark.parametrize("option", [*PROVIDERS])
async def test_each_policy_is_overridden_alone(option: str) -> None:
    """An operation that names one policy inherits all others; so does one that switches one off."""
    given: dict[str, Any] = {option: OTHERS[option]}
    off: dict[str, Any] = {option: None}

    class Some(buoy.Provider, base_url=URL, **PROVIDERS):
        other = buoy.get("/other", **given)
        bare = buoy.get("/bare", **off)

    async with Some() as shop:
        assert said({**PROVIDERS, **given}) == held(shop.other)
        assert said({**PROVIDERS, **off}) == held(shop.bare)


@pytest.mark.parametrize("option", [*PROVIDERS])
async def test_none_switches_off_wherever_it_is_said(option: str) -> None:
    """``None`` switches a policy off: as class attribute, as class keyword, as argument."""
    off: dict[str, Any] = {option: None}

    class Body(Shop):
        locals()[option] = None

    class Keyword(Shop, **off):
        """Says it as a keyword."""

    for provider in (Body(), Keyword(), Shop(**off)):
        async with provider as shop:
            assert said({**PROVIDERS, **off}) == held(shop.item)


async def test_children_inherit_and_replace() -> None:
    """A child has its parent's policies, may replace some, and its child may switch one on again."""

    class Careful(Shop, concurrency=None):
        limit = (buoy.RateLimit(1), buoy.RateLimit(2))

    class Quick(Careful, retry=None, concurrency=OTHERS["concurrency"]):
        """Says no more about limits."""

    async with Careful() as careful, Quick() as quick:
        expected = said({**PROVIDERS, "limit": (buoy.RateLimit(1), buoy.RateLimit(2)), "concurrency": None})
        assert expected == held(careful.item)
        assert expected._replace(retry=None, concurrency=OTHERS["concurrency"]) == held(quick.item)
        assert said(OTHERS) == held(quick.other)


async def test_several_parents() -> None:
    """Of several parents the first that says something of a policy wins, as for any attribute."""

    class Patient(buoy.Provider, timeout=buoy.Timeout(total=90)):
        """Says one thing."""

    class Both(Patient, Shop, base_url=URL):
        """Says nothing."""

    async with Both() as shop:
        assert said({**PROVIDERS, "timeout": buoy.Timeout(total=90)}) == held(shop.item)


@pytest.mark.parametrize("limit", [buoy.RateLimit(5), (buoy.RateLimit(5),)])
async def test_one_rate_or_a_tuple(limit: Any) -> None:
    """A limit is one rate or a tuple of them, on a provider as on an operation."""

    class One(buoy.Provider, base_url=URL, limit=limit):
        item = buoy.get("/items")
        other = buoy.get("/other", limit=limit)

    async with One() as shop:
        assert [held(operation).limit for operation in (shop.item, shop.other)] == [(buoy.RateLimit(5),)] * 2


async def test_what_is_slow_follows_from_the_operation() -> None:
    """A try is slow after 0.8 of its operation's attempt timeout, also where operations share a breaker."""

    class Slow(buoy.Provider, base_url=URL):
        quick = buoy.get("/quick", timeout=buoy.Timeout(total=5))
        patient = buoy.get("/patient", timeout=buoy.Timeout(total=100, attempt=50))
        endless = buoy.get("/endless", timeout=None)
        bare = buoy.get("/bare", breaker=None)

    async with Slow() as shop:
        limits = [operation.plan.slow_over for operation in (shop.quick, shop.patient, shop.endless, shop.bare)]
    assert limits == pytest.approx([4, 40, inf, inf])


# What it costs, and how often.


@virtually
async def test_cost_is_per_operation() -> None:
    """An operation takes as many units of the provider's limit as it costs, 1 unless it says so."""
    provider = buoy.Provider("bank", limit=buoy.RateLimit(2, burst=4))
    sent: list[tuple[str, float]] = []

    @provider.operation("report", cost=3)
    async def report() -> None:
        sent.append(("report", now()))

    @provider.operation("look")
    async def look() -> None:
        sent.append(("look", now()))

    async with provider:
        await asyncio.gather(report(), look(), look(), report())
    assert sent == [("report", 0), ("look", 0), ("look", 0.5), ("report", 2)]


@virtually
async def test_of_several_rates_each_holds() -> None:
    """With several rates the one that is used up first makes calls wait, whichever it is."""
    provider, ask = bank(limit=(buoy.RateLimit(2), buoy.RateLimit(3, per=60)), timeout=None)
    times: list[float] = []
    async with provider:
        for _ in range(4):
            await ask()
            times.append(now())
    assert times == [0, 0, 0.5, 20]


# Whose state it shares.


def gates(operation: "buoy.BoundOperation[Any] | FunctionOperation[..., Any]") -> tuple[object, object, object]:
    """Return what an operation shares with others: breaker, limiter, permits."""
    plan: Plan = operation.plan
    return plan.breaker, plan.limiter, plan.permits


async def test_operations_share_what_they_inherit() -> None:
    """Operations, wrapped functions (before and after entering) and ad-hoc calls share one of each of the provider's.

    An operation's own policy is its own, also where another says the same.
    """
    shop = Shop()

    async def nothing() -> None: ...

    early = shop.operation("early")(nothing)
    async with shop:
        late, also = (shop.operation(name)(nothing) for name in ("late", "also"))
        live = shop._live
        assert live is not None
        shared = (live.breakers["shop"], live.limiter, live.permits)
        for operation in (shop.item, early, late, also, shop.find("GET", "/adhoc", None)):
            assert [mine is provider for mine, provider in zip(gates(operation), shared, strict=True)] == [True] * 3
        same = shop.operation("same", limit=Shop.limit, concurrency=Shop.concurrency, breaker=Shop.breaker)(nothing)
        own = [mine is provider for mine, provider in zip(gates(same), shared, strict=True)]
    assert own == [False] * 3


async def test_a_function_that_comes_late_brings_its_own() -> None:
    """A function wrapped while the provider is open may bring every policy, and shares those that came before."""
    async with buoy.Provider("bank") as provider:

        async def nothing() -> None: ...

        other = provider.operation("other", **OTHERS)(nothing)
        sharing = provider.operation("sharing", breaker="bank.other")(nothing)
        assert held(other) == said(OTHERS)
        assert sharing.plan.breaker is other.plan.breaker
        assert [*provider.snapshot().breakers] == ["bank", "bank.other"]


@virtually
async def test_two_instances_of_a_class_share_nothing() -> None:
    """What happened to one instance (open, paused, full, used up) another one of the class knows nothing of."""
    policies: dict[str, Any] = {"limit": buoy.RateLimit(2, per=3600), "concurrency": buoy.Concurrency(1)}
    (first, ask), (second, _) = (bank(breaker=buoy.Breaker(), retry=buoy.Retry(), **policies) for _ in range(2))
    async with first, second:
        untouched = second.snapshot()
        task = asyncio.create_task(ask(9))
        await asyncio.sleep(1)
        first.control.breaker.force("forced_open")
        first.control.limiter.penalize(now() + 60)
        assert second.snapshot() == untouched
        await task
        assert second.snapshot() == untouched
    assert untouched.limiter.remaining == 2


@virtually
async def test_entering_again_begins_anew() -> None:
    """A provider that is entered again has nothing of the time before: neither breaker, limiter, pause nor figures."""
    provider, ask = bank(
        breaker=buoy.Breaker(), limit=buoy.RateLimit(3, per=3600), retry=buoy.Retry(), own={"breaker": buoy.Breaker()}
    )
    async with provider:
        fresh, before = provider.snapshot(), gates(ask)
        await ask()
        provider.control.breaker.force("forced_open")
        provider.control.operation("ask").breaker.force("open")
        provider.control.limiter.penalize(now() + 3600)
        assert provider.snapshot() != fresh
    async with provider:
        assert fresh == provider.snapshot()
        assert [was is is_now for was, is_now in zip(before[:2], gates(ask)[:2], strict=True)] == [False, False]
        await ask()
        assert now() == 0


async def test_adhoc_calls_of_the_time_before_are_wired_anew() -> None:
    """An ad-hoc operation that was kept belongs to the time before: the next call has the policies that live now."""
    async with Peer() as peer:
        shop = buoy.Provider("shop", base_url=peer.url)
        async with shop:
            await shop.get("/a")
            shop.control.breaker.force("forced_open")
        async with shop:
            assert await shop.get("/a") == {}
            assert shop.control.breaker.state is BreakerState.CLOSED


# What stands around the tries.


async def test_what_nobody_asked_for_is_absent() -> None:
    """Joining and fallback stand around the tries of the operations that ask for them, the fallback outside."""

    class Some(buoy.Provider, base_url=URL):
        plain = buoy.get("/plain")
        joined = buoy.get("/joined", joined=True)
        fallen = buoy.get("/fallen", fallback=None)
        both = buoy.get("/both", joined=True, fallback=[])

    async with Some() as shop:
        assert shop.plain.work is tries
        assert isinstance(shop.joined.work, Flights)
        assert isinstance(shop.fallen.work, Fallback)
        assert shop.fallen.work._work is tries
        assert isinstance(shop.both.work, Fallback)
        assert isinstance(shop.both.work._work, Flights)


async def test_none_is_a_fallback_like_any_other() -> None:
    """``fallback=None`` gives ``None`` instead of a failure; it does not say that there is none."""
    async with Peer() as peer:
        url = peer.url

    class Gone(buoy.Provider, base_url=url, retry=None):
        item = buoy.get("/items", fallback=None)
        other = buoy.get("/other")

    async with Gone() as gone:
        result = await gone.item.call()
        assert (result.value, result.meta.origin, result.status, result.headers) == (None, "fallback", 0, {})
        with pytest.raises(buoy.NetworkError):
            await gone.other()
