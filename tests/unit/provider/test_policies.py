"""What may be said of policies on a provider and on an operation, and every way in which that can be wrong."""

import types
from collections.abc import Callable
from math import inf, nan
from typing import Any, cast

import pytest

import buoy
from buoy.options import INHERIT
from buoy.outcome import Safety
from buoy.provider.policies import Policies, check_cost, chosen, own, rates
from tests.unit.provider.refusal import refused

URL = "https://api.shop.example"
RATE = buoy.RateLimit(5)

ALLOWED = {
    "retry": "a Retry or None",
    "timeout": "a Timeout or None",
    "breaker": "a Breaker or None",
    "limit": "a RateLimit, a tuple of them, or None",
    "concurrency": "a Concurrency or None",
}
# What is no policy of any kind.
NONE_AT_ALL: list[Any] = [0, 3, -1, nan, True, b"x", [], {}, object]
WRONG: list[tuple[str, Any]] = [
    *((option, value) for option in ALLOWED for value in NONE_AT_ALL),
    *((option, "on") for option in ALLOWED if option != "breaker"),
    *(("limit", value) for value in ((), [RATE], (RATE, 5), (5,), (RATE, None), ((RATE,),), buoy.RateLimit)),
    ("retry", buoy.Retry),
    ("retry", buoy.RetryBudget()),
    ("timeout", buoy.Retry()),
    ("breaker", buoy.Breaker),
    ("breaker", (buoy.Breaker(),)),
    ("concurrency", RATE),
]


def provider_class(body: dict[str, Any], /, **keywords: Any) -> type[buoy.Provider]:
    """Return a provider class ``Shop`` with this body."""
    return types.new_class(
        "Shop", (buoy.Provider,), {"base_url": URL, **keywords}, lambda namespace: namespace.update(body)
    )


async def nothing() -> None:
    """Do nothing."""


def wrapped(provider: buoy.Provider | None = None, **given: Any) -> Callable[[], object]:
    """Return what wraps a safe function with these options, named in errors as ``bank ask``."""
    given = {"safety": "safe", **given}
    return lambda: (provider or buoy.Provider("bank")).operation("ask", **given)(nothing)


# Of providers.


@pytest.mark.parametrize(("option", "value"), [*WRONG, ("breaker", "shop")])
def test_a_policy_of_a_provider_that_is_none(option: str, value: Any) -> None:
    """It is refused as class attribute and class keyword when the class is made, and as argument, in the same words."""
    text = f"{option}={value!r} is not allowed; it must be {ALLOWED[option]}."
    assert refused(lambda: provider_class({option: value})) == f"Shop: {text}"
    assert refused(lambda: provider_class({}, **{option: value})) == f"Shop: {text}"
    assert refused(lambda: buoy.Provider("bank", **cast("Any", {option: value}))) == f"bank: {text}"


def test_what_belongs_to_operations_only() -> None:
    """Cost, joining and fallback are no options of a provider."""
    refused(lambda: provider_class({}, cost=1, joined=True), "Shop: unknown class keyword cost, joined; allowed are")
    for option in ("cost", "joined", "fallback"):
        with pytest.raises(TypeError, match=option):
            buoy.Provider("bank", **cast("Any", {option: 1}))


# Of operations.


@pytest.mark.parametrize(("option", "value"), WRONG)
def test_a_policy_of_an_operation_that_is_none(option: str, value: Any) -> None:
    """It is refused when the operation is declared or the function wrapped, by owner, option, value and range."""
    allowed = "a Breaker, the name of one, or None" if option == "breaker" else ALLOWED[option]
    text = f"{option}={value!r} is not allowed; it must be {allowed}."
    assert refused(lambda: buoy.get("/a", **cast("Any", {option: value}))) == f"GET /a: {text}"
    assert refused(wrapped(**{option: value})) == f"bank ask: {text}"


@pytest.mark.parametrize("cost", [0, -1, -0.5, nan, inf, -inf, 1.1e9, "1", None, True, [1], 1j])
def test_a_cost_that_is_none(cost: Any) -> None:
    """A cost is a finite number above 0."""
    text = f"cost={cost!r} is not allowed; it must be a number above 0 and at most 1e+09."
    assert refused(lambda: buoy.get("/a", cost=cost)) == f"GET /a: {text}"
    assert refused(wrapped(cost=cost)) == f"bank ask: {text}"


@pytest.mark.parametrize("joined", [1, 0, "yes", None, INHERIT])
def test_joined_is_a_bool(joined: Any) -> None:
    """``joined`` is a bool and nothing that looks like one."""
    text = f"joined={joined!r} is not allowed; it must be a bool."
    assert refused(lambda: buoy.get("/a", joined=joined)) == f"GET /a: {text}"
    assert refused(wrapped(joined=joined)) == f"bank ask: {text}"


@pytest.mark.parametrize(
    ("declare", "given"),
    [
        (buoy.post, {}),
        (buoy.put, {}),
        (buoy.delete, {}),
        (buoy.post, {"key_header": "Idempotency-Key"}),
        (buoy.get, {"safety": "unsafe"}),
    ],
    ids=repr,
)
def test_only_safe_operations_are_joined(declare: Any, given: dict[str, Any]) -> None:
    """Two calls that change something are never one, whether repeating is harmless or not."""
    owner = f"{declare.method} /a"
    refused(lambda: declare("/a", joined=True, **given), f"{owner}: joined=True is for safe operations")


@pytest.mark.parametrize("safety", ["unsafe", "idempotent"])
def test_only_safe_functions_are_joined(safety: str) -> None:
    """A wrapped function is unsafe unless it says so, and then it is not joined either."""
    refused(wrapped(joined=True, safety=safety), "bank ask: joined=True is for safe operations")


def test_a_search_by_post_may_be_joined() -> None:
    """What counts is what repeating does, not the method."""
    assert buoy.post("/search", joined=True, safety="safe").spec.policies.joined
    assert buoy.post("/a", joined=False).spec.policies == Policies()


def two(first: object, second: object) -> tuple[object, object]:
    """Take two arguments."""
    return first, second


def named(*, error: object) -> object:
    """Take one by name."""
    return error


def one(error: object, more: object = None) -> tuple[object, object]:
    """Take one argument, or two."""
    return error, more


def any_number(*errors: object) -> tuple[object, ...]:
    """Take any number."""
    return errors


@pytest.mark.parametrize("fallback", [two, named, nothing])
def test_a_fallback_that_takes_no_error(fallback: Any) -> None:
    """A function that cannot be called with the error would fail in the middle of a call: it is refused before."""
    text = f"fallback={fallback!r} is not allowed; it must be a value, or a function of one argument, the error."
    assert refused(lambda: buoy.get("/a", fallback=fallback)) == f"GET /a: {text}"
    assert refused(wrapped(fallback=fallback)) == f"bank ask: {text}"


@pytest.mark.parametrize(
    "fallback",
    [None, 0, "", [], {"a": 1}, str, repr, type, one, any_number],
    ids=repr,
)
def test_anything_else_is_a_fallback(fallback: Any) -> None:
    """Any value is one, ``None`` as well, and any function of the error."""
    assert buoy.get("/a", fallback=fallback).spec.policies.fallback is fallback


# What a limit could never admit.


@pytest.mark.parametrize(
    ("limit", "cost", "burst"),
    [
        (RATE, 5.5, "5"),
        (buoy.RateLimit(5, burst=2), 3, "2"),
        (buoy.RateLimit(0.1), 1.5, "1"),
        ((buoy.RateLimit(100), buoy.RateLimit(1000, per=60, burst=2.5)), 3, "2.5"),
        ((buoy.RateLimit(1), buoy.RateLimit(1000)), 2, "1"),
    ],
)
def test_a_cost_above_the_burst(limit: Any, cost: float, burst: str) -> None:
    """An operation that costs more than any of its rates ever has at once could never be sent, and is refused."""
    text = f"cost={cost!r} is not allowed; it must be at most {burst}, the burst of its limit: it could never be sent."
    assert refused(lambda: buoy.get("/a", cost=cost, limit=limit)) == f"GET /a: {text}"
    assert refused(wrapped(cost=cost, limit=limit)) == f"bank ask: {text}"
    assert refused(wrapped(buoy.Provider("bank", limit=limit), cost=cost)) == f"bank ask: {text}"
    shop = provider_class({"limit": limit, "a": buoy.get("/a", cost=cost)})
    assert refused(shop) == f"shop a: {text}"
    shop(limit=None)
    shop("shop_two", limit=buoy.RateLimit(1000))


def test_a_cost_above_the_burst_of_an_instance() -> None:
    """What fits the limit of the class is refused by an instance whose limit is lower; an override is its own limit."""
    shop = provider_class(
        {"limit": RATE, "a": buoy.get("/a", cost=5), "b": buoy.get("/b", cost=9, limit=buoy.RateLimit(9))}
    )
    shop()
    assert shop(limit=buoy.RateLimit(1, burst=5)).limit == buoy.RateLimit(1, burst=5)
    refused(lambda: shop(limit=buoy.RateLimit(4)), "shop a: cost=5 is not allowed", "at most 4")
    refused(lambda: shop(limit=(RATE, buoy.RateLimit(4))), "shop a: cost=5 is not allowed", "at most 4")
    unlimited = provider_class({"a": buoy.get("/a", cost=1e9)}, name="unlimited")
    unlimited()
    refused(lambda: unlimited(limit=RATE), "unlimited a: cost=1000000000.0 is not allowed", "at most 5")


# The parts.


def test_what_is_not_said_is_inherited() -> None:
    """An operation that says nothing has its provider's policies, costs 1, is not joined and has no fallback."""
    assert own("ask", Safety.UNSAFE) == Policies()
    assert Policies() == Policies(
        retry=INHERIT,
        timeout=INHERIT,
        breaker=INHERIT,
        limit=INHERIT,
        concurrency=INHERIT,
        cost=1,
        joined=False,
        fallback=INHERIT,
    )
    assert own("ask", Safety.SAFE, retry=INHERIT, breaker=INHERIT, limit=INHERIT, fallback=INHERIT) == Policies()


def test_what_is_said_holds() -> None:
    """What an operation says stands before what its provider says; ``None`` is said."""
    assert [chosen(1, 2), chosen(INHERIT, 2), chosen(None, 2), chosen(INHERIT, None)] == [1, 2, None, None]


@pytest.mark.parametrize(
    ("limit", "expected"), [(None, ()), (RATE, (RATE,)), ((RATE,), (RATE,)), ((RATE, RATE), (RATE, RATE))]
)
def test_a_limit_as_rates(limit: Any, expected: tuple[buoy.RateLimit, ...]) -> None:
    """A limit is any number of rates."""
    assert expected == rates(limit)


@pytest.mark.parametrize(
    ("limit", "cost"), [(None, 1e9), (RATE, 5), (buoy.RateLimit(0.1), 1), ((RATE, buoy.RateLimit(9)), 5)]
)
def test_what_a_limit_admits(limit: Any, cost: float) -> None:
    """A cost of the whole burst is admitted, and any where there is no limit."""
    check_cost("shop a", cost, limit)
