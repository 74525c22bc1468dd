"""Wrapped coroutines: the same calls around code that is not ours, its keys, its errors, and what it can ask."""

import asyncio
import contextlib
import gc
import inspect
import weakref
from collections.abc import Callable
from math import inf
from typing import Any
from uuid import UUID

import aiohttp
import httpx
import pytest
import requests
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

import buoy
from tests.support import virtual_time
from tests.support.telemetry import Observed

QUICK = buoy.Retry(max_attempts=3, base=0, throttled_base=0)


async def enter(bank: buoy.Provider, call: Callable[[], Any]) -> Any:
    """Enter ``bank`` and return what the call returns."""
    async with bank:
        return await call()


def use(bank: buoy.Provider, call: Callable[[], Any]) -> Any:
    """Do it in virtual time."""
    return virtual_time.run(enter(bank, call))


def raising(error: BaseException, **options: Any) -> tuple[buoy.Provider, Callable[[], Any]]:
    """Return a bank and its operation that only raises ``error``."""
    bank = buoy.Provider("bank", retry=QUICK)

    @bank.operation("charge", **options)
    async def charge() -> None:
        raise error

    return bank, charge


# Calling.


def test_value_and_result() -> None:
    """A wrapped function returns what it returned; ``.call`` returns it with the story of the call."""
    bank = buoy.Provider("bank")

    @bank.operation("charge")
    async def charge(amount: int, *, currency: str = "EUR") -> str:
        await asyncio.sleep(2)
        return f"{amount} {currency}"

    assert use(bank, lambda: charge(100)) == "100 EUR"
    result = use(bank, lambda: charge.call(5, currency="USD"))
    assert result.value == "5 USD"
    meta = result.meta
    assert (meta.provider, meta.operation, meta.attempts, meta.sends, meta.duration) == ("bank", "charge", 1, 1, 2)
    assert "5 USD" not in repr(result)


def test_it_looks_like_the_function() -> None:
    """The operation has name, docstring and signature of what it wraps, and a repr of its own."""
    bank = buoy.Provider("bank")

    @bank.operation("charge.card")
    async def charge(amount: int) -> int:
        """Charge."""
        return amount

    assert (charge.__name__, charge.__doc__) == ("charge", "Charge.")  # type: ignore[attr-defined]
    assert str(inspect.signature(charge)) == "(amount: int) -> int"
    assert repr(charge) == f"<operation bank charge.card: {charge.__qualname__}>"  # type: ignore[attr-defined]
    assert (charge.name, charge.safety) == ("charge.card", "unsafe")


def test_on_methods() -> None:
    """A wrapped method is bound to its instance, on each instance anew; on the class it is the operation."""
    bank = buoy.Provider("bank")

    class Till:
        def __init__(self, place: str) -> None:
            self.place = place

        @bank.operation("charge")
        async def charge(self, amount: int) -> str:
            return f"{amount} {self.place}"

    async def scenario() -> None:
        async with bank:
            assert await Till("a").charge(1) == "1 a"
            assert (await Till("b").charge.call(amount=2)).value == "2 b"
            assert await Till.charge(Till("c"), 3) == "3 c"

    virtual_time.run(scenario())
    assert isinstance(Till.charge, buoy.FunctionOperation)


def test_two_calls_at_once_do_not_meet() -> None:
    """Concurrent calls of one operation have a live call each."""
    bank = buoy.Provider("bank", retry=QUICK)
    seen: list[tuple[int, int]] = []

    @bank.operation("charge", safety="safe")
    async def charge(number: int, failures: int) -> None:
        await asyncio.sleep(number)
        seen.append((number, buoy.current_call().attempt))
        if buoy.current_call().attempt <= failures:
            raise ConnectionResetError

    async def both() -> None:
        async with bank:
            await asyncio.gather(charge(3, 1), charge(2, 0), charge(1, 2))

    virtual_time.run(both())
    assert sorted(seen) == [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2)]


def test_use_before_entering_and_after_leaving() -> None:
    """A wrapped function can be called while its provider is open, and at no other time."""
    bank = buoy.Provider("bank")

    @bank.operation("charge")
    async def charge() -> None: ...

    async def scenario() -> None:
        with pytest.raises(RuntimeError, match="'bank' has not been entered"):
            await charge()
        async with bank:
            await charge()
        with pytest.raises(RuntimeError, match="'bank' is closed"):
            await charge.call()

    virtual_time.run(scenario())


def test_declared_while_open() -> None:
    """A function may be wrapped while its provider is open, and called at once."""
    bank = buoy.Provider("bank")

    async def scenario() -> int:
        async with bank:

            @bank.operation("charge")
            async def charge() -> int:
                return 1

            return await charge()

    assert virtual_time.run(scenario()) == 1


# The live call.


def test_current_call() -> None:
    """Inside, ``current_call()`` tells the try and the time left; outside it is a ``RuntimeError`` that says so."""
    bank = buoy.Provider("bank", retry=buoy.Retry(base=0), timeout=buoy.Timeout(total=10, attempt=4))
    seen: list[tuple[int, float]] = []

    @bank.operation("charge", safety="idempotent")
    async def charge() -> None:
        call = buoy.current_call()
        seen.append((call.attempt, call.time_left))
        await asyncio.sleep(3)
        raise ConnectionResetError

    with pytest.raises(buoy.NetworkError):
        use(bank, charge)
    assert seen == [(1, 10), (2, 7), (3, 4)]
    with pytest.raises(RuntimeError, match="inside a function wrapped by"):
        buoy.current_call()


def test_calls_inside_calls() -> None:
    """In a call inside another the inner one is the live call; afterwards the outer one is again."""
    bank, shop = buoy.Provider("bank"), buoy.Provider("shop", timeout=None)

    @shop.operation("price")
    async def price() -> float:
        return buoy.current_call().time_left

    @bank.operation("charge")
    async def charge() -> tuple[float, float]:
        return await price(), buoy.current_call().time_left

    async def scenario() -> tuple[float, float]:
        async with bank, shop:
            return await charge()

    assert virtual_time.run(scenario()) == (inf, 30)


# Time.


def test_a_try_is_cut() -> None:
    """A try that takes longer than its limit is ``TimedOut`` with the cut as cause, and the next one begins."""
    bank = buoy.Provider("bank", retry=QUICK, timeout=buoy.Timeout(total=10, attempt=4))
    lengths = [9.0, 1.0]

    @bank.operation("charge", safety="idempotent")
    async def charge() -> str:
        await asyncio.sleep(lengths.pop(0))
        return "done"

    result = use(bank, charge.call)
    assert (result.value, result.meta.attempts, result.meta.duration) == ("done", 2, 5)


def test_the_last_try_gets_what_is_left() -> None:
    """Tries end at the total deadline at the latest; an unsafe operation that was cut is in doubt."""
    bank = buoy.Provider("bank", retry=QUICK, timeout=buoy.Timeout(total=5, attempt=4))

    @bank.operation("read", safety="safe")
    async def read() -> None:
        await asyncio.sleep(9)

    @bank.operation("charge")
    async def charge() -> None:
        await asyncio.sleep(9)

    with pytest.raises(buoy.TimedOut, match="bank read: the try took longer than 1 s") as late:
        use(bank, read)
    assert isinstance(late.value.__cause__, TimeoutError)
    assert late.value.meta is not None
    assert (late.value.meta.attempts, late.value.meta.duration) == (2, 5)
    with pytest.raises(buoy.OutcomeUnknown, match="may have happened"):
        use(bank, charge)


def test_without_a_timeout() -> None:
    """``timeout=None`` lets a try take as long as it takes."""
    bank = buoy.Provider("bank", timeout=None)

    @bank.operation("charge")
    async def charge() -> float:
        await asyncio.sleep(1e6)
        return buoy.current_call().time_left

    assert use(bank, charge) == inf


def test_the_functions_own_timeout() -> None:
    """A ``TimeoutError`` of the function itself is ours as well, and does not claim that our timer cut it."""
    bank, charge = raising(TimeoutError("canary"), safety="safe", retry=None)
    with pytest.raises(buoy.TimedOut) as caught:
        use(bank, charge)
    assert "took longer" not in str(caught.value)
    assert "canary" not in str(caught.value)


# Keys.


def test_a_key_is_made_once_per_call() -> None:
    """A keyed function gets a key where none is given: the same on every try, another for each call."""
    bank = buoy.Provider("bank", retry=QUICK)
    keys: list[str] = []

    @bank.operation("charge", safety="keyed")
    async def charge(amount: int, *, idempotency_key: str | None = None) -> int:
        assert idempotency_key is not None
        keys.append(idempotency_key)
        if len(keys) < 3:
            raise ConnectionResetError
        return amount

    assert use(bank, lambda: charge(1)) == 1
    assert use(bank, lambda: charge(2, idempotency_key=None)) == 2
    assert use(bank, lambda: charge(3, idempotency_key="order-42")) == 3
    assert len(keys) == 5
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert UUID(keys[3]).version == 4
    assert keys[4] == "order-42"


async def positional(idempotency_key: str) -> None:
    """Take the key by position."""


async def keyless(amount: int) -> None:
    """Take no key."""


@pytest.mark.parametrize("function", [positional, keyless])
def test_a_keyed_function_takes_a_key(function: Any) -> None:
    """A keyed function must have the keyword-only parameter that carries the key."""
    with pytest.raises(buoy.ConfigurationError, match=r"bank charge: .*keyword-only parameter idempotency_key"):
        buoy.Provider("bank").operation("charge", safety="keyed")(function)


# Errors.


REQUEST = httpx.Request("GET", "https://canary.example")
ASKED = aiohttp.RequestInfo(URL("https://canary.example"), "GET", CIMultiDictProxy(CIMultiDict()), URL("https://x"))


def of_requests(status: int) -> requests.Response:
    """Return an answer of requests."""
    response = requests.Response()
    response.status_code = status
    response.headers["Retry-After"] = "7"
    return response


@pytest.mark.parametrize(
    ("original", "kind", "error_type", "outcome"),
    [
        (ConnectionRefusedError(), buoy.NetworkError, "network_error", "not_sent"),
        (ConnectionResetError(), buoy.NetworkError, "network_error", "unknown"),
        (TimeoutError(), buoy.TimedOut, "timeout", "unknown"),
        (aiohttp.ServerDisconnectedError(), buoy.NetworkError, "network_error", "unknown"),
        (aiohttp.ServerTimeoutError(), buoy.TimedOut, "timeout", "unknown"),
        (aiohttp.InvalidURL("canary"), buoy.Failed, "unknown", "not_sent"),
        (httpx.ConnectError("canary"), buoy.NetworkError, "network_error", "not_sent"),
        (httpx.ConnectTimeout("canary"), buoy.TimedOut, "timeout", "not_sent"),
        (httpx.ReadTimeout("canary"), buoy.TimedOut, "timeout", "unknown"),
        (httpx.ReadError("canary"), buoy.NetworkError, "network_error", "unknown"),
        (requests.ConnectTimeout("canary"), buoy.TimedOut, "timeout", "not_sent"),
        (requests.ReadTimeout("canary"), buoy.TimedOut, "timeout", "unknown"),
        (requests.ConnectionError("canary"), buoy.NetworkError, "network_error", "unknown"),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}" if isinstance(value, Exception) else None,
)
def test_what_the_tables_know(original: Exception, kind: type[buoy.BuoyError], error_type: str, outcome: str) -> None:
    """A failed connection, in the words of any library, is ours: the original is its cause, and not in its text."""
    bank, charge = raising(original, safety="safe", retry=None)
    with pytest.raises(kind) as caught:
        use(bank, charge)
    error = caught.value
    assert original is error.__cause__
    assert (error_type, outcome, "bank", "charge") == (error.error_type, error.outcome, error.provider, error.operation)
    assert f"bank charge: {error}".count("bank charge: ") == 2
    assert "canary" not in f"{error} {error!r}"


@pytest.mark.parametrize(
    "original",
    [
        aiohttp.ClientResponseError(ASKED, (), status=503, message="canary", headers=CIMultiDict({"Retry-After": "7"})),
        httpx.HTTPStatusError(
            "canary", request=REQUEST, response=httpx.Response(503, headers={"Retry-After": "7"}, request=REQUEST)
        ),
        requests.HTTPError("canary", response=of_requests(503)),
    ],
    ids=lambda error: type(error).__module__.partition(".")[0],
)
def test_status_errors_of_other_libraries(original: Exception) -> None:
    """An error status, in the words of any library, is our ``HttpError`` with status, headers and ``retry_after``."""
    bank, charge = raising(original, retry=None)
    with pytest.raises(buoy.HttpError, match="bank charge: HTTP 503") as caught:
        use(bank, charge)
    error = caught.value
    assert original is error.__cause__
    assert (error.status, error.retry_after, error.headers["retry-after"]) == (503, 7, "7")
    assert (error.error_type, error.outcome) == (buoy.ErrorType.SERVICE_UNAVAILABLE, buoy.Outcome.REJECTED)
    assert "canary" not in f"{error} {error!r}"


@pytest.mark.parametrize(
    "original",
    [
        aiohttp.ClientResponseError(ASKED, (), status=0, message="canary"),
        requests.HTTPError("canary"),
    ],
    ids=lambda error: type(error).__module__.partition(".")[0],
)
def test_status_errors_without_a_status(original: Exception) -> None:
    """A status error that carries no status is a failed connection or passes through, and never an ``HttpError``."""
    bank, charge = raising(original, retry=None)
    with pytest.raises((buoy.NetworkError, buoy.OutcomeUnknown, requests.HTTPError)) as caught:
        use(bank, charge)
    assert not isinstance(caught.value, buoy.HttpError)


def test_others_pass_through_unchanged(observed: Observed) -> None:
    """An exception that no table knows reaches the caller as it is, and is recorded as ``unknown``."""
    original = ZeroDivisionError("canary")
    bank, charge = raising(original, safety="safe")
    with pytest.raises(ZeroDivisionError) as caught:
        use(bank, charge)
    assert original is caught.value
    assert (original.__cause__, original.__context__) == (None, None)
    assert observed.value("buoy.client.errors", **{"error.type": "unknown", "level": "attempt"}) == 1
    assert "canary" not in str([span.to_json() for span in observed.spans()])


def test_our_errors_pass_through() -> None:
    """An error of ours that a function raises stays what it is, and gets the story of this call."""
    original = buoy.BreakerOpen("not now", provider="inner")
    bank, charge = raising(original, safety="safe")
    with pytest.raises(buoy.BreakerOpen) as caught:
        use(bank, charge)
    assert original is caught.value
    assert original.provider == "inner"
    assert original.meta is not None
    assert original.meta.attempts == 1


@pytest.mark.parametrize(
    ("options", "attempts"),
    [
        ({"safety": "safe", "retry_on": ZeroDivisionError}, 3),
        ({"safety": "keyless", "retry_on": ZeroDivisionError}, None),
        ({"safety": "idempotent", "retry_on": (KeyError, ArithmeticError)}, 3),
        ({"safety": "safe", "retry_on": KeyError}, 1),
        ({"safety": "safe"}, 1),
    ],
    ids=str,
)
def test_retry_on(options: dict[str, Any], attempts: int | None) -> None:
    """``retry_on`` names exceptions to be retried, or their parents; the last one reaches the caller unchanged."""
    tries: list[int] = []
    bank = buoy.Provider("bank", retry=QUICK)

    async def charge() -> None:
        tries.append(buoy.current_call().attempt)
        raise ZeroDivisionError

    if attempts is None:
        with pytest.raises(buoy.ConfigurationError, match="safety='keyless'"):
            bank.operation("charge", **options)(charge)
        return
    wrapped = bank.operation("charge", **options)(charge)
    with pytest.raises(ZeroDivisionError):
        use(bank, wrapped)
    assert tries == list(range(1, attempts + 1))


def test_cancellation_passes_through() -> None:
    """A cancellation reaches the function, passes through untouched, and is never retried."""
    bank = buoy.Provider("bank", retry=QUICK)
    tries: list[int] = []

    @bank.operation("charge", safety="safe", retry_on=Exception)
    async def charge() -> None:
        tries.append(buoy.current_call().attempt)
        await asyncio.sleep(9)

    async def scenario() -> None:
        async with bank:
            task = asyncio.create_task(charge())
            await asyncio.sleep(1)
            task.cancel("canary")
            with pytest.raises(asyncio.CancelledError, match="canary"):
                await task

    virtual_time.run(scenario())
    assert tries == [1]


@pytest.mark.parametrize("original", [ConnectionResetError, ZeroDivisionError])
def test_nothing_is_kept_of_a_failure(original: type[Exception]) -> None:
    """After a failed call its arguments are freed when the caller lets go of the error: nothing keeps them."""

    class Held:
        """What the function has in its hands."""

    witnesses: list[weakref.ref[Held]] = []
    bank = buoy.Provider("bank", retry=None)

    @bank.operation("charge", safety="safe")
    async def charge(held: Held) -> None:
        witnesses.append(weakref.ref(held))
        raise original

    async def scenario() -> None:
        async with bank:
            with contextlib.suppress(Exception):
                await charge(Held())
            assert [witness() for witness in witnesses] == [None]

    gc.collect()
    gc.disable()
    try:
        virtual_time.run(scenario())
    finally:
        gc.enable()


# Declarations that cannot be.


def synchronous() -> None:
    """Not a coroutine function."""


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (synchronous, {}, "function=.*a coroutine function"),
        (None, {}, "function=None"),
        (keyless, {"safety": "yes"}, "safety='yes'.*safe, idempotent, keyed, unsafe"),
        (keyless, {"retry": 3}, "retry=3.*a Retry or None"),
        (keyless, {"timeout": 3}, "timeout=3.*a Timeout or None"),
        (keyless, {"safety": "safe", "retry_on": "KeyError"}, "retry_on=.*exception class"),
        (keyless, {"safety": "safe", "retry_on": (KeyError, 5)}, "retry_on=.*exception class"),
        (keyless, {"safety": "safe", "retry_on": asyncio.CancelledError}, "retry_on=.*exception class"),
        (keyless, {"retry_on": KeyError}, "retry_on= can have no effect on an unsafe operation"),
    ],
    ids=str,
)
def test_what_cannot_be_wrapped(function: Any, options: dict[str, Any], words: str) -> None:
    """A wrong function or option is refused when it is wrapped, by operation, option and value; no name is taken."""
    bank = buoy.Provider("bank")
    with pytest.raises(buoy.ConfigurationError, match=f"bank charge: .*{words}"):
        bank.operation("charge", **options)(function)
    assert bank.operation("charge")(keyless).name == "charge"


def test_two_operations_of_one_name() -> None:
    """A provider's wrapped functions and declared operations have a name each."""

    class Shop(buoy.Provider, base_url="https://api.shop.example"):
        product = buoy.get("/products", name="products.get")

    shop = Shop()
    shop.operation("charge")(keyless)
    for taken in ("charge", "products.get"):
        with pytest.raises(buoy.ConfigurationError, match=f"'shop' has an operation '{taken}' already"):
            shop.operation(taken)(keyless)
