"""Which breaker an operation has: its provider's, one of its own, one that it shares by name, or none."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import buoy
from buoy.contract import BREAKER_LIMIT
from buoy.outcome import BreakerState
from tests.support.virtual_time import virtually
from tests.unit.provider.refusal import refused
from tests.unit.telemetry.bank import bank

URL = "https://api.shop.example"
WRITE = buoy.Breaker(name="shop.write", wait=5)


class Shop(buoy.Provider, base_url=URL):
    """Operations on all kinds of breakers; those that share one stand before and after the one that brings it."""

    breaker = buoy.Breaker(wait=7)

    inherits = buoy.get("/inherits")
    by_label = buoy.get("/by_label", breaker="shop")
    early = buoy.post("/early", breaker="shop.write")
    write = buoy.post("/write", breaker=WRITE)
    again = buoy.post("/again", breaker=buoy.Breaker(name="shop.write", wait=5))
    own = buoy.get("/own", name="own.read", breaker=buoy.Breaker(wait=9))
    by_operation = buoy.get("/by_operation", breaker="shop.own.read")
    bare = buoy.get("/bare", breaker=None)


async def test_whose_breaker_it_is() -> None:
    """A name is one breaker, whoever brings it and whoever says it, in whatever order."""
    async with Shop() as shop:
        names = {
            name: None if operation.plan.breaker is None else operation.plan.breaker.name
            for name, (operation, _) in shop._bound.items()
        }
        gates = {operation.plan.breaker for operation, _ in shop._bound.values()}
        waits = {name: gate.policy.wait for name, gate in shop._live.breakers.items()} if shop._live else {}
    assert names == {
        "inherits": "shop",
        "by_label": "shop",
        "early": "shop.write",
        "write": "shop.write",
        "again": "shop.write",
        "own.read": "shop.own.read",
        "by_operation": "shop.own.read",
        "bare": None,
    }
    assert len(gates) == 4
    assert waits == {"shop": 7, "shop.write": 5, "shop.own.read": 9}


async def test_a_provider_may_name_its_breaker() -> None:
    """A provider's breaker has the provider's name unless it has one itself; its operations may say either object."""
    shared = buoy.Breaker(name="all")

    class Named(buoy.Provider, base_url=URL, breaker=shared):
        by_name = buoy.get("/by_name", breaker="all")
        by_value = buoy.get("/by_value", breaker=shared)

    async with Named() as named:
        assert [*named.snapshot().breakers] == ["all"]
        assert named.control.breaker.name == "all"
        assert named.by_name.plan.breaker is named.by_value.plan.breaker is named.control.breaker._gate


async def test_a_name_may_be_said_or_left_out() -> None:
    """A breaker that says the name which it would have anyway is the same one."""

    class Same(buoy.Provider, base_url=URL):
        breaker = buoy.Breaker(wait=7)
        item = buoy.get("/items", breaker=buoy.Breaker(wait=7, name="same"))

    async with Same() as same:
        assert [*same.snapshot().breakers] == ["same"]


@virtually
async def test_a_shared_breaker_opens_for_all_of_it_and_for_nobody_else() -> None:
    """Failures of one operation open the breaker for all that share it; the others go on."""
    provider = buoy.Provider("bank", retry=None, breaker=buoy.Breaker(minimum_calls=2))
    strict = buoy.Breaker(name="ledger", minimum_calls=1)

    async def act(error: Exception | None = None) -> None:
        if error is not None:
            raise error

    debit = provider.operation("debit", breaker=strict)(act)
    credit = provider.operation("credit", breaker="ledger")(act)
    look = provider.operation("look")(act)
    async with provider:
        with pytest.raises(buoy.OutcomeUnknown):
            await debit(ConnectionResetError())
        with pytest.raises(buoy.BreakerOpen, match=r"bank credit: .*\(breaker ledger\)"):
            await credit()
        await look()
        states = {name: breaker.state for name, breaker in provider.snapshot().breakers.items()}
    assert states == {"bank": BreakerState.CLOSED, "ledger": BreakerState.OPEN}


async def test_an_instance_replaces_what_is_inherited_only() -> None:
    """Another breaker of an instance is that of the operations that inherit; the others keep theirs."""
    other = buoy.Breaker(name="other", wait=3)
    without = Shop.by_label.spec.policies.breaker
    assert without == "shop"
    refused(lambda: Shop(breaker=other), "shop by_label", "breaker='shop'", "'other', 'shop.write', 'shop.own.read'")

    class Plain(buoy.Provider, base_url=URL):
        item = buoy.get("/items")
        own = buoy.get("/own", breaker=WRITE)

    async with Plain(breaker=other) as plain:
        assert plain.item.plan.breaker is not None
        assert plain.item.plan.breaker.policy == other
        assert [*plain.snapshot().breakers] == ["other", "shop.write"]


async def test_two_providers_may_have_breakers_of_one_name() -> None:
    """A breaker's name is its provider's: another provider's breaker of that name is another one."""
    first, second = (buoy.Provider(name, breaker=buoy.Breaker(name="shared")) for name in ("first", "second"))
    async with first, second:
        first.control.breaker.force("forced_open")
        assert second.control.breaker.state is BreakerState.CLOSED


# What cannot be.


def declared(**operations: Any) -> type[buoy.Provider]:
    """Return a provider of operations with these breakers."""

    class Made(buoy.Provider, base_url=URL, name="shop"):
        for _name, _breaker in operations.items():
            locals()[_name] = buoy.get(f"/{_name}", breaker=_breaker)

    return Made


def wrapped(provider: buoy.Provider, name: str, breaker: Any) -> Callable[[], object]:
    """Return what wraps a function with this breaker."""

    async def nothing() -> None: ...

    return lambda: provider.operation(name, breaker=breaker)(nothing)


@pytest.mark.parametrize("name", ["shop.wirte", "", "no name at all", "read", "other"])
def test_an_unknown_name_is_refused(name: str) -> None:
    """A name that no breaker has is refused when the provider is built, with option, value and the names there are."""
    make = declared(read=name, write=WRITE)
    refused(make, "shop read: ", f"breaker={name!r} is not allowed", "there is 'shop', 'shop.write'.")


def test_where_there_is_no_breaker_at_all() -> None:
    """A provider that has switched its breaker off has none that could be named."""
    refused(lambda: declared(read="shop")(breaker=None), "shop read: ", "breaker='shop'", "there is none.")


def test_a_function_can_share_only_what_is_there() -> None:
    """A wrapped function names a breaker that was declared before it; a refused one takes no name."""
    provider = buoy.Provider("bank")
    refused(wrapped(provider, "credit", "bank.debit"), "bank credit: ", "breaker='bank.debit'", "there is 'bank'.")
    wrapped(provider, "debit", buoy.Breaker())()
    wrapped(provider, "credit", "bank.debit")()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WRITE, buoy.Breaker(name="shop.write", wait=6)),
        (buoy.Breaker(), buoy.Breaker(name="shop.first", wait=6)),
        (buoy.Breaker(name="shop"), WRITE),
    ],
    ids=["two names", "a name that is one's own", "the provider's"],
)
def test_one_name_with_other_options_is_refused(first: buoy.Breaker, second: buoy.Breaker) -> None:
    """Two breakers of one name must agree in everything, for nobody could say which of them holds."""
    make = declared(first=first, second=second)
    refused(lambda: make(breaker=buoy.Breaker(wait=7)), "there is a breaker 'shop", "with other options", "name=")


def test_one_name_with_other_options_is_refused_late_as_well() -> None:
    """The same holds for a function that is wrapped later; the provider goes on with the breaker that it had."""
    provider = buoy.Provider("bank", breaker=buoy.Breaker(wait=7))
    make = wrapped(provider, "debit", buoy.Breaker(name="bank", wait=8))
    refused(make, "bank debit: there is a breaker 'bank' already, with other options")
    wrapped(provider, "debit", "bank")()
    assert provider._breakers.policies == {"bank": buoy.Breaker(wait=7, name="bank")}


def test_a_name_that_is_too_long_is_refused() -> None:
    """Where provider and operation make a name of more than 48 characters, the breaker needs one of its own."""
    long = "o" * 43
    fits = declared(**{long: buoy.Breaker()})()
    assert [*fits._breakers.policies] == ["shop", f"shop.{long}"]
    over = f"{long}o"
    refused(declared(**{over: buoy.Breaker()}), f"shop {over}: ", f"'shop.{over}'", "too long", "name=", "48")
    declared(**{over: buoy.Breaker(name="short")})("shop_two")


# The limit of the process.


def test_a_breaker_too_many_is_refused() -> None:
    """A provider whose operations bring more breakers than a process may have is refused when it is built."""
    many = {f"o{number}": buoy.Breaker() for number in range(BREAKER_LIMIT)}
    refused(declared(**many), "'shop'", "at most 40 breakers", "name=")
    shared = {f"o{number}": buoy.Breaker(name="all") for number in range(BREAKER_LIMIT)}
    assert len(declared(**shared)("shop_two", breaker=None)._breakers.policies) == 1


def test_a_breaker_too_many_takes_nothing() -> None:
    """A function that is refused because of its breaker leaves no trace: the next one may be wrapped."""
    provider = buoy.Provider("bank")
    for number in range(BREAKER_LIMIT - 1):
        wrapped(provider, f"o{number}", buoy.Breaker())()
    refused(wrapped(provider, "late", buoy.Breaker()), "at most 40 breakers")
    assert len(provider._breakers.policies) == BREAKER_LIMIT
    wrapped(provider, "late", None)()
    wrapped(provider, "later", "bank.o7")()


def test_a_function_refused_for_another_reason_brings_no_breaker() -> None:
    """The breaker of a function that cannot be wrapped is not declared by it."""
    provider, _ = bank(breaker=buoy.Breaker(), limit=buoy.RateLimit(2))

    async def nothing() -> None: ...

    with pytest.raises(buoy.ConfigurationError, match="cost=3"):
        provider.operation("heavy", cost=3, breaker=buoy.Breaker(name="mine"))(nothing)
    wrapped(provider, "light", buoy.Breaker(name="mine", wait=1))()


async def test_a_breaker_that_comes_late_lives_at_once() -> None:
    """A breaker that a function brings while the provider is open has a state, and is anew after entering again."""
    provider = buoy.Provider("bank")
    async with provider:
        wrapped(provider, "debit", buoy.Breaker(name="mine"))()
        provider.control.operation("debit").breaker.force("forced_open")
        await asyncio.sleep(0)
        assert provider.snapshot().breakers["mine"].state is BreakerState.FORCED_OPEN
    async with provider:
        assert provider.snapshot().breakers["mine"].state is BreakerState.CLOSED
