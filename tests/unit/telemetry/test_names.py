"""Declared names: the same declaration may come again, another one may not, and there are limits."""

from collections.abc import Mapping

import pytest

import buoy
from buoy.contract import BREAKER_LIMIT, OPERATION_LIMIT, PROVIDER_LIMIT
from buoy.telemetry.names import Names

SHOP = {"items.get": "GET /items/{id}", "base_url": "https://shop.example"}


def test_the_same_declaration_may_come_again() -> None:
    """Two providers of one class share their name and their counters."""
    names = Names()
    names.declare("shop", SHOP)
    names.declare("shop", dict(SHOP))


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        ({**SHOP, "items.get": "GET /things/{id}"}, "items.get"),
        ({**SHOP, "items.put": "PUT /items/{id}"}, "items.put"),
        ({**SHOP, "base_url": "https://other.example"}, "base_url"),
        ({}, "base_url, items.get"),
    ],
    ids=["template", "operations", "host", "nothing"],
)
def test_another_declaration_of_one_name_is_refused(other: Mapping[str, str], differing: str) -> None:
    """The error names the provider and what differs, and says what to do."""
    names = Names()
    names.declare("shop", SHOP)
    with pytest.raises(buoy.ConfigurationError) as caught:
        names.declare("shop", other)
    assert str(caught.value) == (
        f"provider 'shop' is declared twice and differently (in: {differing}); give one of them another name=."
    )


def test_what_is_declared_does_not_follow_its_mapping() -> None:
    """A mapping that is changed later changes no declaration."""
    names = Names()
    declaration = dict(SHOP)
    names.declare("shop", declaration)
    declaration["items.put"] = "PUT /items/{id}"
    names.declare("shop", SHOP)


def test_providers_are_limited() -> None:
    """The twenty-first provider is an error when it is declared; a known one is none."""
    names = Names()
    for number in range(PROVIDER_LIMIT):
        names.declare(f"p{number}", {})
    names.declare("p0", {})
    with pytest.raises(buoy.ConfigurationError, match="provider 'late': at most 20 providers"):
        names.declare("late", {})


def test_operations_are_limited_over_all_providers() -> None:
    """The pair beyond 200 is an error that says how many it would be; nothing of that declaration is kept."""
    names = Names()
    names.declare("shop", {f"op{number}": "" for number in range(OPERATION_LIMIT - 1)})
    with pytest.raises(buoy.ConfigurationError, match=r"provider 'bank': at most 200 operations .* it is 201"):
        names.declare("bank", {"a": "", "b": ""})
    names.declare("bank", {"a": "", "base_url": "https://bank.example"})
    with pytest.raises(buoy.ConfigurationError, match="at most 200"):
        names.add("bank", "b")
    names.add("bank", "a")


def test_what_was_not_declared_is_admitted_while_there_is_room() -> None:
    """An ad-hoc operation takes a free place, keeps it, and is turned away when there is none."""
    names = Names()
    names.declare("shop", {f"op{number}": "" for number in range(OPERATION_LIMIT - 1)})
    assert names.admit("shop", "get.items") is True
    assert names.admit("shop", "get.others") is False
    assert names.admit("shop", "get.items") is True
    assert names.admit("shop", "op0") is True


def test_a_refused_provider_keeps_its_first_declaration() -> None:
    """A second class of one name fails when it is made, and the first still works."""
    buoy.Provider("shop", base_url="https://shop.example")
    with pytest.raises(buoy.ConfigurationError, match="declared twice and differently"):
        buoy.Provider("shop", base_url="https://other.example")
    buoy.Provider("shop", base_url="https://shop.example")


def test_breakers_are_limited_over_all_providers() -> None:
    """The forty-first breaker is an error that says what to do; one that is known may come again."""
    names = Names()
    for number in range(BREAKER_LIMIT):
        names.add_breaker(f"p{number % 4}", f"b{number}")
    names.add_breaker("p0", "b0")
    with pytest.raises(buoy.ConfigurationError, match=r"provider 'p0', breaker 'b1': at most 40 breakers .* by name="):
        names.add_breaker("p0", "b1")  # a breaker of that name, and of another provider
    assert BREAKER_LIMIT == 40


def test_an_operation_too_many_with_a_breaker_is_refused() -> None:
    """A provider whose operations bring more breakers than there may be fails when the last is declared."""
    bank = buoy.Provider("bank")
    for number in range(BREAKER_LIMIT - 1):
        declare(bank, f"o{number}", buoy.Breaker())
    declare(bank, "sharing", "bank.o1")
    with pytest.raises(buoy.ConfigurationError, match="at most 40 breakers"):
        declare(bank, "late", buoy.Breaker())


def declare(provider: buoy.Provider, operation: str, breaker: buoy.Breaker | str) -> None:
    """Declare an operation with a breaker of its own, or of another."""

    @provider.operation(operation, safety="safe", breaker=breaker)
    async def declared() -> None: ...
