"""The public API as callers use it. Never run: mypy and pyright, both strict, read it and must agree with each line."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, assert_type

from pydantic import BaseModel

import buoy


class Product(BaseModel):
    """A model."""

    sku: str


class Receipt(BaseModel):
    """Another."""

    number: int


# 1. The first minute.


class GitHub(buoy.Provider, base_url="https://api.github.com"):
    """A provider in two lines."""

    repo = buoy.get("/repos/{owner}/{name}")


async def first_minute() -> None:
    """Enter, call, print."""
    async with GitHub() as github:
        assert_type(github, GitHub)
        print(await github.repo(owner="python", name="cpython"))
        assert_type(await github.repo.call(owner="python", name="cpython"), buoy.HttpResult[Any])


async def without_a_class() -> None:
    """Call what no class declares."""
    async with buoy.Provider("github", base_url="https://api.github.com") as github:
        assert_type(github, buoy.Provider)
        assert_type(await github.get("/x/{a}", Product, a=1), Product)
        assert_type(await github.post("/x", Product, json={"a": 1}), Product)
        assert_type(await github.put("/x", Product, data=b""), Product)
        assert_type(await github.patch("/x", Product, params={"model": "x"}), Product)
        assert_type(await github.delete("/x/{a}", Product, a=1, deadline=3), Product)
        assert_type(await github.get("/x", list[Product], tag=["a", "b"]), list[Product])
        assert_type(await github.get("/x", dict[str, Product]), dict[str, Product])
        assert_type(await github.get("/x", str), str)
        print(await github.get("/x/{a}", a=1))
        assert_type(await github.request("GET", "/x/{a}", Product, a=1), buoy.HttpResult[Product])
        assert_type(await github.request("GET", "/x", list[Product]), buoy.HttpResult[list[Product]])
        assert_type(await github.request("GET", "/x/{a}", a=1), buoy.HttpResult[Any])


# 2. A provider that means it.


def older(error: Exception) -> Product:
    """Stand in for a failure."""
    return Product(sku=str(error))


async def ask_for(error: Exception) -> Product:
    """Stand in for a failure, after asking elsewhere."""
    return Product(sku=type(error).__name__)


class Shop(buoy.Provider, base_url="https://api.shop.example/v2"):
    """A provider with policies and operations of each kind."""

    retry = buoy.Retry(max_attempts=4, budget=buoy.RetryBudget(ratio=0.1))
    timeout = buoy.Timeout(total=30, attempt=10)
    breaker = buoy.Breaker(failure_rate=0.5, window=30, minimum_calls=10)
    limit = buoy.RateLimit(50, burst=100)
    concurrency = buoy.Concurrency(20)

    product = buoy.get("/products/{id}", Product, name="products.get")
    products = buoy.get("/products", list[Product])
    prices = buoy.get("/prices", dict[str, float], retry=None)
    either = buoy.get("/either", Product | Receipt)
    create = buoy.post("/products", Product, key_header="Idempotency-Key", timeout=buoy.Timeout(total=60))
    search = buoy.post("/search", list[Product], safety="safe", retry=buoy.Retry(max_attempts=2))
    replace = buoy.put("/products/{id}", Product, safety=buoy.Safety.IDEMPOTENT)
    change = buoy.patch("/products/{id}", Product, retry=None, timeout=None)
    remove = buoy.delete("/products/{id}")


class Quick(
    buoy.Provider, base_url="https://api.shop.example", name="quick", retry=None, timeout=buoy.Timeout(total=3)
):
    """Policies as class keywords."""

    auth = buoy.Bearer("token")
    ping = buoy.get("/ping", str)


class BigShop(Shop, retry=None):
    """A child, with one operation more and one policy less."""

    order = buoy.get("/orders/{id}", Receipt)


class Bare(buoy.Provider, base_url="https://api.shop.example"):
    """All of them off."""

    retry = None
    timeout = None
    breaker = None
    limit = None
    concurrency = None


class Careful(
    Shop,
    breaker=buoy.Breaker(last=100, mode="metrics_only", name="careful"),
    limit=(buoy.RateLimit(50), buoy.RateLimit(1000, per=60, max_wait=1)),
    concurrency=buoy.Concurrency(5, max_wait=0),
    propagate=False,
    auth=buoy.Bearer("token"),
):
    """Other policies as class keywords, and operations with their own."""

    write = buoy.post("/products", Product, breaker=buoy.Breaker(name="careful.write"), joined=False)
    change = buoy.patch("/products/{id}", Product, breaker="careful.write", limit=buoy.RateLimit(5))
    report = buoy.get("/report", list[Product], cost=20, limit=(buoy.RateLimit(20), buoy.RateLimit(100, per=60)))
    quiet = buoy.get("/quiet", breaker=None, limit=None, concurrency=None, joined=True)
    prices = buoy.get("/prices", dict[str, float], joined=True, fallback={"all": 0.0})
    latest = buoy.get("/latest", Product, fallback=older)
    asked = buoy.get("/asked", Product, fallback=ask_for)
    none = buoy.get("/none", fallback=None, concurrency=buoy.Concurrency(1))


class Off(Shop, retry=None, timeout=None, breaker=None, limit=None, concurrency=None):
    """All that a parent has off: a class keyword, because the parent's attributes have narrower types by now."""


class Shadow(buoy.Provider, base_url="https://api.shop.example"):
    """A breaker that only looks on."""

    breaker = buoy.Breaker(mode="disabled")


async def declared() -> None:
    """Call declared operations."""
    async with Shop(
        "shop_eu",
        base_url="https://eu.shop.example",
        auth=buoy.Bearer("token"),
        headers={"X-Tenant": "a"},
        retry=None,
        timeout=buoy.Timeout(total=5),
        breaker=buoy.Breaker(slow_after=2, slow_rate=None),
        limit=(buoy.RateLimit(5), buoy.RateLimit(100, per=60)),
        concurrency=None,
        propagate=False,
    ) as shop:
        assert_type(Shop.product, buoy.Operation[Product])
        assert_type(shop.product, buoy.BoundOperation[Product])
        assert_type(await shop.product(id="7"), Product)
        assert_type(await shop.product(id=7, color=None, tags=["a"], sold=True, weight=1.5), Product)
        assert_type(await shop.products(status="active", params={"json": "x"}), list[Product])
        assert_type(await shop.prices(), dict[str, float])
        assert_type(await shop.search(json={"q": "x"}, headers={"X": "y"}, deadline=2.5), list[Product])
        assert_type(await shop.replace(id="7", json=Product(sku="x")), Product)
        assert_type(await shop.change(id="7", json={}), Product)
        either: Product | Receipt = await shop.either()
        print(either, await shop.remove(id="7"))
        made = await shop.create.call(json=Product(sku="x"), idempotency_key="x")
        assert_type(made, buoy.HttpResult[Product])
        assert_type(made.value, Product)
        assert_type(made.status, int)
        assert_type(made.headers, Mapping[str, str])
        print(made.value.sku, made.meta.attempts, made.meta.duplicate)
    async with Quick() as quick:
        assert_type(await quick.ping(), str)
    async with Careful(breaker=None, limit=buoy.RateLimit(1), concurrency=buoy.Concurrency(1)) as careful:
        assert_type(careful, Careful)
        assert_type(await careful.write(json={}), Product)
        assert_type(await careful.report(), list[Product])
        assert_type(await careful.prices(), dict[str, float])
        assert_type(await careful.latest.call(), buoy.HttpResult[Product])
        assert_type(await careful.asked(), Product)
        print(await careful.none(), await careful.quiet())
    async with BigShop() as big:
        assert_type(big, BigShop)
        assert_type(await big.order(id=1), Receipt)
        assert_type(await big.product(id=1), Product)


async def handed_on(product: buoy.BoundOperation[Product], provider: buoy.Provider) -> Product:
    """Take an operation as an argument, and what there is on every provider."""
    assert_type(provider.retry, buoy.Retry | None)
    assert_type(provider.timeout, buoy.Timeout | None)
    assert_type(provider.breaker, buoy.Breaker | None)
    assert_type(provider.limit, buoy.RateLimit | tuple[buoy.RateLimit, ...] | None)
    assert_type(provider.concurrency, buoy.Concurrency | None)
    assert_type(provider.label, str)
    return await product(id="7")


async def stacked() -> None:
    """Open several providers at once."""
    async with AsyncExitStack() as stack:
        assert_type(await stack.enter_async_context(Shop()), Shop)


# 3. Anything else.

bank = buoy.Provider("bank", retry=buoy.Retry())


@bank.operation("charge", safety="keyed")
async def charge(amount: int, *, idempotency_key: str = "") -> Receipt:
    """Wrap a function that takes a key."""
    call = buoy.current_call()
    assert_type(call.attempt, int)
    assert_type(call.time_left, float)
    return Receipt(number=amount + len(idempotency_key))


@bank.operation("refund", safety=buoy.Safety.IDEMPOTENT, retry_on=(KeyError, ValueError), retry=None, timeout=None)
async def refund(number: int, reason: str | None = None) -> None:
    """Wrap a function that returns nothing."""


@bank.operation(
    "balance",
    safety="safe",
    joined=True,
    fallback=0,
    cost=2.5,
    breaker=buoy.Breaker(name="bank.read"),
    limit=buoy.RateLimit(10),
    concurrency=buoy.Concurrency(2),
)
async def balance(account: str) -> int:
    """Wrap a function with policies of its own."""
    return len(account)


@bank.operation("history", safety="safe", breaker="bank.read", fallback=lambda error: [str(error)], limit=None)
async def history(account: str) -> list[str]:
    """Wrap a function that shares a breaker."""
    return [account]


class Till:
    """Has a wrapped method."""

    @bank.operation("close_day", retry_on=KeyError, safety="safe")
    async def close_day(self, day: int, *, strict: bool = False) -> list[Receipt]:
        """Wrap a method."""
        return [Receipt(number=day)] if strict else []


async def wrapped(till: Till) -> None:
    """Call wrapped functions and methods, with their own signatures."""
    async with bank:
        assert_type(await charge(100), Receipt)
        assert_type(await charge(100, idempotency_key="order-42"), Receipt)
        assert_type(await charge.call(100, idempotency_key="order-42"), buoy.Result[Receipt])
        assert_type((await charge.call(amount=100)).value, Receipt)
        assert_type(await refund.call(1, reason="late"), buoy.Result[None])
        assert_type(await balance("a"), int)
        assert_type(await balance.call("a"), buoy.Result[int])
        assert_type(await history(account="a"), list[str])
        assert_type(await till.close_day(1, strict=True), list[Receipt])
        assert_type(await till.close_day.call(day=1), buoy.Result[list[Receipt]])


async def wrong_arguments(till: Till, shop: Shop) -> None:
    """Hand over what a signature does not take: each line is an error to both checkers."""
    await charge("100")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await charge()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await charge.call(100, currency="EUR")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await till.close_day("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await till.close_day.call()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await shop.product("7")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await shop.product(id={"a": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    buoy.get("/a", Product, retries=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    buoy.get("/a", retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    buoy.get("/a", breaker=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    buoy.get("/a", limit=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    buoy.get("/a", cost="1")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    buoy.get("/a", joined="yes")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    buoy.RateLimit(50, 100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    buoy.Breaker(mode="off")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    buoy.Breaker(0.5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Shop(breaker="shop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shop(limit=[buoy.RateLimit(5)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shop(cost=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    bank.operation("a", cost=None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shop.control.limiter.penalize("now")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    shop.snapshot().attempts = 0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    shop.snapshot().calls[buoy.CallResult.SUCCESS] = 0  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def wrong_classes() -> None:
    """Say what a class does not take."""

    class Number(buoy.Provider, retry=3):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        breaker = "shop"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    class Unknown(buoy.Provider, retries=3):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        limit = 5  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

    print(Number, Unknown)


# 4. Result and meta.


def told(result: buoy.Result[Product]) -> None:
    """Read the story of a call."""
    assert_type(result.value, Product)
    meta = result.meta
    assert_type(meta, buoy.Meta)
    assert_type(meta.request_id, str)
    assert_type(meta.provider, str)
    assert_type(meta.operation, str)
    assert_type(meta.attempts, int)
    assert_type(meta.sends, int)
    assert_type(meta.duration, float)
    assert_type(meta.duplicate, bool)
    assert_type(meta.duplicate_source, buoy.DuplicateSource | None)
    assert_type(meta.origin, buoy.Origin)
    assert_type(meta.waited, Mapping[buoy.WaitCause, float])
    assert_type(meta.quota, buoy.Quota | None)
    assert_type(meta.stored, bool | None)
    assert_type(meta.trace_id, str | None)


def narrower(result: buoy.HttpResult[Product]) -> buoy.Result[Product]:
    """Take an HTTP result where any result will do."""
    return result


# 5. Errors.


async def failing(shop: Shop) -> str:
    """Catch errors by kind."""
    try:
        await shop.product(id="7")
    except buoy.HttpError as error:
        assert_type(error.status, int)
        assert_type(error.headers, Mapping[str, str])
        assert_type(error.problem, Mapping[str, Any] | None)
        return error.headers.get("x-request-id", "")
    except buoy.OutcomeUnknown as error:
        assert_type(error.cause, buoy.BuoyError | None)
        return error.advice
    except (buoy.NetworkError, buoy.TimedOut, buoy.Undecodable) as error:
        return f"{error.error_type} {error.outcome}"
    except buoy.Refused as error:
        return error.reason or ""
    except buoy.BuoyError as error:
        assert_type(error.provider, str | None)
        assert_type(error.operation, str | None)
        assert_type(error.error_type, buoy.ErrorType)
        assert_type(error.category, buoy.Category | None)
        assert_type(error.reason, str | None)
        assert_type(error.retry_after, float | None)
        assert_type(error.outcome, buoy.Outcome)
        assert_type(error.advice, str)
        assert_type(error.meta, buoy.Meta | None)
        return str(error)
    return ""


def families() -> list[type[buoy.BuoyError]]:
    """Name every error."""
    refused: list[type[buoy.Refused]] = [
        buoy.BreakerOpen,
        buoy.RateLimitedLocally,
        buoy.ConcurrencyLimited,
        buoy.DeadlineExceeded,
        buoy.StateUnavailable,
        buoy.NeedsConsent,
    ]
    failed: list[type[buoy.Failed]] = [
        buoy.HttpError,
        buoy.NetworkError,
        buoy.TimedOut,
        buoy.Undecodable,
        buoy.OutcomeUnknown,
    ]
    wrong: type[ValueError] = buoy.ConfigurationError
    print(wrong)
    return [*refused, *failed, buoy.KeyConflict, buoy.ConfigurationError]


# 6. What lives: figures, an operator's hand, telemetry.


def figures(provider: buoy.Provider) -> buoy.BreakerState | None:
    """Read the present figures."""
    shown = provider.snapshot()
    assert_type(shown, buoy.Snapshot)
    assert_type(shown.calls, Mapping[buoy.CallResult, int])
    assert_type(shown.attempts + shown.sends + shown.active, int)
    assert_type(shown.p95, float | None)
    assert_type(shown.retries_left, int | None)
    assert_type(shown.limiter.remaining, int | None)
    assert_type(shown.limiter.paused_for, float)
    assert_type({name: breaker.failure_rate for name, breaker in shown.breakers.items()}, dict[str, float | None])
    assert_type(shown.as_dict(), dict[str, Any])
    if shown.quota is not None:
        assert_type(shown.quota.remaining, int | None)
        assert_type(shown.quota.reset, float | None)
    if shown.concurrency is not None:
        assert_type(shown.concurrency.used + shown.concurrency.waiting + shown.concurrency.limit, int)
    return None if shown.breaker is None else shown.breaker.state


def operate(provider: buoy.Provider, now: float) -> float:
    """Lay a hand on what lives."""
    control = provider.control
    assert_type(control.breaker.state, buoy.BreakerState)
    assert_type(control.breaker.name, str)
    for word in ("open", "closed", "half_open", "forced_open", "disabled", "metrics_only"):
        control.breaker.force(word)
    control.breaker.force(buoy.BreakerState.OPEN, for_s=600)
    control.breaker.reset()
    control.limiter.penalize(now + 30)
    control.limiter.penalize(until=60)
    assert_type(control.limiter.remaining, int | None)
    assert_type(control.limiter.waiting, int)
    assert_type(control.concurrency.used + control.concurrency.limit + control.concurrency.waiting, int)
    own = control.operation("products.get")
    own.breaker.force("open", for_s=1.5)
    own.limiter.penalize(now)
    assert_type(own.concurrency.used, int)
    return own.limiter.paused_for


def telemetry() -> bool:
    """Set up and flush."""
    assert_type(buoy.setup(service_name="shop"), buoy.Telemetry)
    present = buoy.setup("shop", endpoint="http://127.0.0.1:4318")
    assert_type(present.traces, bool)
    assert_type(present.metrics, bool)
    print(buoy.contract.METRICS, buoy.__version__)
    return present.flush()


def words() -> tuple[str, ...]:
    """Compare enumerations with their words."""
    return (buoy.ErrorType.TIMEOUT, buoy.CallResult.SUCCESS, buoy.Category.NETWORK, buoy.Safety.KEYED)


def made_by(make: Callable[[], Shop]) -> Shop:
    """Take a class as a factory."""
    return make()


print(made_by(Shop))


# 9. The end.


async def the_end() -> None:
    """Drain everything, and read what came of it."""
    buoy.drain_on_signals(deadline=8)
    report = await buoy.drain(deadline=8)
    assert_type(report, buoy.DrainReport)
    assert_type(report.result, buoy.DrainResult)
    assert_type(report.spans, buoy.Delivered)
    assert_type(report.spans.flushed, int | None)
    assert_type(report.spans.dropped, Mapping[str, int])
    assert_type((report.calls_finished, report.calls_cut, report.duration), tuple[int, int, float])
    telemetry = buoy.setup("shop", endpoint="http://127.0.0.1:4318", fast=False)
    assert_type(telemetry, buoy.Telemetry)
    assert_type((telemetry.traces, telemetry.metrics, telemetry.logs, telemetry.fast), tuple[bool, bool, bool, bool])
