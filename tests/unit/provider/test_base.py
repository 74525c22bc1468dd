"""A provider's life: opening, closing, calls in between, and the declared names of the process."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import buoy
from buoy import runtime
from buoy.contract import OPERATION_LIMIT, OTHER, PROVIDER_LIMIT
from buoy.telemetry import setup
from tests.support import virtual_time
from tests.support.eventually import until
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed

URL = "https://api.shop.example/v2"


class Shop(buoy.Provider, base_url=URL):
    """A provider of some operations."""

    product = buoy.get("/products/{id}")
    slow = buoy.get("/slow")
    once = buoy.get("/once")


# Life cycle.


async def test_use_before_entering() -> None:
    """A call on a provider that was not entered is a ``RuntimeError`` that says what to do, and leaves no count."""
    shop = Shop()
    for call in (lambda: shop.product(id=1), lambda: shop.product.call(id=1), lambda: shop.get("/a")):
        with pytest.raises(RuntimeError, match="'shop' has not been entered: use it inside 'async with'"):
            await call()
    assert shop._life.in_flight == 0


async def test_use_after_leaving() -> None:
    """A call on a provider that was left is a ``RuntimeError``."""
    async with Shop() as shop:
        pass
    with pytest.raises(RuntimeError, match="'shop' is closed"):
        await shop.product(id=1)
    with pytest.raises(RuntimeError, match="'shop' is closed"):
        await shop.request("GET", "/a")


async def test_use_in_another_loop() -> None:
    """A provider belongs to the loop that entered it: a call from another one is a ``RuntimeError``."""
    seen: list[BaseException] = []

    async def elsewhere(call: Callable[[], Awaitable[Any]]) -> None:
        with pytest.raises(RuntimeError) as caught:
            await call()
        seen.append(caught.value)

    async with Shop() as shop:
        for call in (lambda: shop.product(id=1), lambda: shop.get("/a")):
            thread = threading.Thread(target=lambda call=call: asyncio.run(elsewhere(call)))
            thread.start()
            await asyncio.to_thread(thread.join, 30)
    assert ["belongs to the event loop that entered it" in str(error) for error in seen] == [True, True]


async def test_entered_twice() -> None:
    """A provider that is open cannot be entered again, and stays open; nor while it is being entered."""
    shop = Shop()
    async with shop:
        with pytest.raises(RuntimeError, match="entered already"):
            await shop.__aenter__()
        assert repr(shop) == f"<Shop shop {URL} open>"
    both = await asyncio.gather(shop.__aenter__(), shop.__aenter__(), return_exceptions=True)
    assert [isinstance(one, RuntimeError) for one in both] == [False, True]
    await shop.__aexit__(None, None, None)


async def test_entering_that_is_cancelled_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider whose entering was cancelled is closed, keeps no session open, and can be entered again."""
    monkeypatch.setattr(setup, "has_news", lambda: True)  # then it waits for an export of its zeros
    shop = Shop()
    task = asyncio.create_task(shop.__aenter__())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert repr(shop) == f"<Shop shop {URL} closed>"
    assert shop._transport is not None
    assert shop._transport._pool.session.closed
    async with shop:
        assert repr(shop) == f"<Shop shop {URL} open>"


@pytest.mark.parametrize("part", ["Live", "announce"])
async def test_entering_that_fails_leaves_nothing_open(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails while a provider is entered, it is closed, and can be entered again."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    shop = Shop()
    with monkeypatch.context() as patched:
        patched.setattr(runtime, part, fail)
        with pytest.raises(ZeroDivisionError):
            await shop.__aenter__()
    assert (repr(shop), shop._live) == (f"<Shop shop {URL} closed>", None)
    async with shop:
        assert repr(shop) == f"<Shop shop {URL} open>"


async def test_reentered_after_leaving() -> None:
    """A provider that was left can be entered again and works, with connections of its own."""
    async with Peer() as peer:
        shop = buoy.Provider("shop", base_url=peer.url)
        for _ in range(2):
            async with shop:
                assert await shop.get("/a") == {}
        assert len(peer.heard) == 2


def test_a_provider_may_live_in_one_loop_after_another() -> None:
    """A provider that was left may be entered in another loop, with the plans of its operations made anew."""
    bank = buoy.Provider("bank")

    @bank.operation("count")
    async def count(to: int) -> int:
        await asyncio.sleep(0)
        return to

    async def use() -> int:
        async with bank:
            return await count(3)

    assert [virtual_time.run(use()), virtual_time.run(use())] == [3, 3]


def test_leaving_waits_for_calls_in_flight() -> None:
    """Leaving lets the calls in flight end, and takes no further ones."""
    order: list[str] = []
    bank = buoy.Provider("bank")

    @bank.operation("wait")
    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(f"{seconds:g} s are over")

    async def scenario() -> None:
        async with bank:
            calls = [asyncio.create_task(wait(seconds)) for seconds in (2, 1)]
            await asyncio.sleep(0.5)
            late = asyncio.get_running_loop().call_later(1, lambda: calls.append(asyncio.create_task(wait(3))))
        order.append("left")
        assert late.when() < asyncio.get_running_loop().time()
        with pytest.raises(RuntimeError, match="is closing"):
            await calls[2]

    virtual_time.run(scenario())
    assert order == ["1 s are over", "2 s are over", "left"]


def test_leaving_that_is_cancelled_closes() -> None:
    """Who cannot wait for the calls in flight cancels the leaving: the provider is closed all the same."""
    bank = buoy.Provider("bank")

    @bank.operation("wait")
    async def wait() -> None:
        await asyncio.sleep(9)

    async def scenario() -> None:
        await bank.__aenter__()
        call = asyncio.create_task(wait())
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await bank.__aexit__(None, None, None)
        assert repr(bank) == "<Provider bank closed>"
        await call
        async with bank:
            await wait()

    virtual_time.run(scenario())


async def test_leaving_closes_every_connection() -> None:
    """After leaving no connection of the provider is open."""
    async with Peer() as peer:
        async with buoy.Provider("shop", base_url=peer.url) as shop:
            await asyncio.gather(*(shop.get("/a") for _ in range(3)))
            assert peer.connections == 3
        await until(lambda: not peer.connections)
    gc.collect()  # an unclosed session would warn here, and a warning is an error


# What goes with every request.


@pytest.mark.usefixtures("observed")
async def test_propagation_is_inherited() -> None:
    """Whether ``traceparent`` goes to the provider is said by a class, inherited, and overridden by an instance."""

    class Quiet(buoy.Provider, base_url=URL, propagate=False):
        """Says no."""

    class Child(Quiet):
        """Says nothing."""

    async with Peer() as peer:
        for shop in (Child("a", base_url=peer.url), Child("b", base_url=peer.url, propagate=True)):
            async with shop:
                await shop.get("/a")
    assert ["traceparent" in heard.headers for heard in peer.heard] == [False, True]


async def test_auth_and_headers_go_with_every_request() -> None:
    """Credentials and headers of the provider are on every request; no repr shows them."""
    async with Peer() as peer:
        shop = buoy.Provider("shop", base_url=peer.url, auth=buoy.Bearer("canary"), headers={"X-Tenant": "canary"})
        async with shop:
            await shop.get("/a")
            await shop.get("/b", headers={"x-tenant": "other"})
        first, second = peer.heard
        assert (first.headers["authorization"], first.headers["x-tenant"]) == ("Bearer canary", "canary")
        assert (second.headers["authorization"], second.headers["x-tenant"]) == ("Bearer canary", "other")
        assert "canary" not in f"{shop!r} {shop.auth!r} {shop.__dict__}".replace("'X-Tenant': 'canary'", "")


async def test_credentials_replace_a_header() -> None:
    """Where headers and ``auth=`` both say who is calling, there is one such header on the wire: that of ``auth=``."""
    async with Peer() as peer:
        shop = buoy.Provider("shop", base_url=peer.url, auth=buoy.Bearer("mine"), headers={"authorization": "Basic x"})
        assert shop._remote is not None
        assert "Authorization" not in shop._remote.headers
        async with shop:
            await shop.get("/items")
    assert peer.heard[0].headers["authorization"] == "Bearer mine"


class Signed(buoy.Provider, base_url=URL):
    """A provider whose credentials are the class's."""

    auth = buoy.Bearer("of the class".replace(" ", "-"))


def test_auth_of_an_instance_wins() -> None:
    """``auth=`` of an instance stands before that of its class."""
    mine = buoy.Bearer("mine")
    assert Signed(auth=mine).auth is mine
    assert Signed().auth is Signed.auth


# Names.


def test_two_providers_of_one_name() -> None:
    """Two providers of one name share their counters when they agree in operations, templates and host."""
    assert Shop().label == Shop(retry=None).label == Shop(auth=buoy.Bearer("x")).label


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        pytest.param(lambda: Shop(base_url="https://eu.shop.example/v2"), "base_url", id="host"),
        pytest.param(lambda: Shop(base_url=URL + "/v3"), "base_url", id="path"),
        pytest.param(lambda: buoy.Provider("shop", base_url=URL), "once, product, slow", id="operations"),
        pytest.param(lambda: buoy.Provider("shop"), "base_url, once, product, slow", id="all"),
    ],
)
def test_two_declarations_of_one_name(other: Callable[[], buoy.Provider], differing: str) -> None:
    """Two providers of one name that disagree are refused, with what they disagree in and the way out."""
    Shop()
    with pytest.raises(buoy.ConfigurationError, match=f"'shop' is declared twice .*in: {differing}.*another name="):
        other()
    assert Shop(name="shop_eu", base_url="https://eu.shop.example").label == "shop_eu"


def test_the_same_address_written_otherwise() -> None:
    """A slash at the end makes no other host."""
    assert repr(Shop(base_url=URL + "/")) == repr(Shop()) == f"<Shop shop {URL} new>"


def test_no_more_providers_than_the_limit() -> None:
    """A process has room for 20 providers; the 21st is refused, a known one is not."""
    for number in range(PROVIDER_LIMIT):
        buoy.Provider(f"p{number}")
    with pytest.raises(buoy.ConfigurationError, match="at most 20 providers"):
        buoy.Provider("one_more")
    assert buoy.Provider("p0").label == "p0"


def test_no_more_operations_than_the_limit() -> None:
    """A process has room for 200 operations, declared or wrapped; what passes that is refused, with the number."""
    bank = buoy.Provider("bank")

    async def nothing() -> None: ...

    for number in range(OPERATION_LIMIT - 2):
        bank.operation(f"o{number}")(nothing)
    with pytest.raises(buoy.ConfigurationError, match=r"'shop': at most 200 operations .* it is 201"):
        Shop()
    for number in range(2):
        bank.operation(f"more{number}")(nothing)
    with pytest.raises(buoy.ConfigurationError, match=r"'bank': at most 200 operations .* it is 201"):
        bank.operation("one_more")(nothing)


async def test_ad_hoc_calls_beyond_the_limit_count_as_other(observed: Observed) -> None:
    """An ad-hoc call that finds no room works, and is counted under ``_OTHER``; so are further ones."""
    async with Peer() as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        names = runtime.names()
        for number in range(OPERATION_LIMIT - 1):
            assert names.admit("bank", f"o{number}")
        for path in ("/last", "/more", "/other", "/last", "/more"):
            assert await shop.get(path) == {}
    calls = {
        operation: observed.value("buoy.client.calls", provider="shop", operation=operation, result="success")
        for operation in ("get.last", "get.more", OTHER)
    }
    assert calls == {"get.last": 2, "get.more": 0, OTHER: 3}
    assert {span.name for span in observed.attempts()} == {"GET /last", f"GET /{OTHER}"}


async def test_two_providers_of_one_name_share_counters(observed: Observed) -> None:
    """The counter of an operation is the sum over both providers of that name, also after one is gone."""
    async with Peer(answer(), answer(), answer()) as peer:

        class Local(buoy.Provider, base_url=peer.url, name="shop"):
            product = buoy.get("/products/{id}")

        async with Local() as first, Local() as second:
            await first.product(id=1)
            await second.product(id=2)
        del first
        gc.collect()
        async with second:
            await second.product(id=3)
    assert observed.value("buoy.client.calls", operation="product", result="success") == 3


def test_reprs() -> None:
    """A provider shows its class, name, address and state."""
    assert repr(Shop()) == f"<Shop shop {URL} new>"
    assert repr(buoy.Provider("bank")) == "<Provider bank new>"
