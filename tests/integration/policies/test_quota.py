"""A provider that enforces 50 requests per second: how many of its 429 there are, counted by the provider."""

import asyncio
from typing import Any

import pytest

import buoy
from buoy.outcome import CallResult
from tests.integration.policies.conftest import Tell
from tests.support.counting_server import CountingServer
from tests.support.eventually import until
from tests.support.quota_server import Dialect, QuotaServer, epoch, retry_after, structured
from tests.support.telemetry import Observed

QUOTA, CALLERS, CALLS = 50, 100, 200


class Shop(buoy.Provider):
    """A refused call comes again when it was told; the budget would refuse some of a first rush of retries."""

    retry = buoy.Retry(max_attempts=8, throttled_base=0, budget=None)
    timeout = buoy.Timeout(total=60, attempt=30)
    read = buoy.get("/items/{id}", str)


async def rush(shop: Shop, callers: int, calls: int) -> list[buoy.HttpResult[str]]:
    """Make the calls, ``callers`` at once, and return the results in order of the items."""
    items = iter(range(calls))
    results: dict[int, Any] = {}

    async def one() -> None:
        for item in items:
            results[item] = await shop.read.call(id=item)

    await asyncio.gather(*[one() for _ in range(callers)])
    assert [f"/items/{item}" for item in range(calls)] == [results[item].value for item in range(calls)]
    return [results[item] for item in range(calls)]


@pytest.mark.parametrize(("dialect", "calls"), [(structured, 300), (epoch, 200)], ids=["structured", "epoch"])
async def test_headers_spare_every_429_after_the_first_window(
    dialect: Dialect, calls: int, observed: Observed, tell: Tell
) -> None:
    """Without any limit of ours the provider's headers alone pace all callers: 429 only before it was heard."""
    quota = QuotaServer(QUOTA, dialect)
    async with CountingServer(quota) as server, Shop(base_url=server.url) as shop:
        results = await rush(shop, CALLERS, calls)
        limit = observed.value("buoy.rate_limiter.quota.limit", source="server")
        snapshot = shop.snapshot()
    (_, early), *later = quota.windows
    assert {0} == {refused for _, refused in later}
    assert calls == sum(accepted for accepted, _ in quota.windows) == snapshot.calls[CallResult.SUCCESS]
    # Every call in the first window was refused at most once, and those of the first rush beyond the quota were.
    assert CALLERS - QUOTA <= early <= CALLERS
    assert (calls + early, calls + early) == (server.requests, snapshot.sends)
    assert early == observed.value("buoy.client.retries", reason="rate_limiting")
    assert {QUOTA} == {result.meta.quota.limit for result in results if result.meta.quota is not None} == {limit}
    tell(f"quota {QUOTA}/s, {dialect.__name__}: {calls} calls of {CALLERS} callers, windows [ok, 429] {quota.windows}")


async def test_who_was_told_before_a_rush_sees_no_429(tell: Tell) -> None:
    """After one answer the quota is known: of a hundred callers as many go as are left, and the others go later."""
    quota = QuotaServer(QUOTA, structured)
    async with CountingServer(quota) as server, Shop(base_url=server.url, retry=None) as shop:
        assert await shop.read(id=0) == "/items/0"
        await rush(shop, CALLERS, CALLERS)
    assert (quota.refused, server.requests) == (0, 1 + CALLERS)
    tell(f"quota {QUOTA}/s, 1 call and then {CALLERS} at once: windows [ok, 429] {quota.windows}")


async def test_one_429_stops_everybody(tell: Tell) -> None:
    """Without quota headers one caller is refused, and the others wait for its Retry-After without being told."""
    quota = QuotaServer(QUOTA, retry_after)
    async with CountingServer(quota) as server, Shop(base_url=server.url) as shop:
        first = asyncio.ensure_future(rush(shop, QUOTA + 1, QUOTA + 1))
        await until(lambda: shop.snapshot().limiter.paused_for > 0)
        await rush(shop, QUOTA - 1, QUOTA - 1)
        await first
    assert (quota.refused, server.requests) == (1, 2 * QUOTA + 1)
    tell(f"quota {QUOTA}/s, Retry-After alone, {QUOTA + 1} calls and then {QUOTA - 1}: [ok, 429] {quota.windows}")


async def test_without_headers_a_call_is_refused_once_in_a_window(tell: Tell) -> None:
    """Nobody knows the quota before it is used up, but who was refused is quiet until the window is over."""
    quota = QuotaServer(QUOTA, retry_after)
    async with CountingServer(quota) as server, Shop(base_url=server.url) as shop:
        results = await rush(shop, CALLERS, CALLS)
    # So at most all callers are refused in a window, and only as many as still have a call when it is over.
    done = 0
    for accepted, refused in quota.windows:
        done += accepted
        assert refused <= min(CALLERS, CALLS - done)
    assert (CALLS, CALLS + quota.refused) == (done, server.requests)
    assert max(result.meta.attempts for result in results) <= len(quota.windows)
    tell(f"quota {QUOTA}/s, Retry-After alone: {CALLS} calls, {quota.refused} times 429, [ok, 429] {quota.windows}")


async def test_a_limit_of_ours_within_the_quota_spares_every_429(tell: Tell) -> None:
    """With ``burst + rate * window`` within the quota no window of any provider sees more than its quota."""
    ours = buoy.RateLimit(25, burst=5)  # at most 30 in a second: even a halt of 0.8 s on the way makes it 50
    quota = QuotaServer(QUOTA, retry_after)
    async with CountingServer(quota) as server, Shop(base_url=server.url, limit=ours, retry=None) as shop:
        await rush(shop, 60, 60)
    assert (quota.refused, server.requests) == (0, 60)
    tell(f"quota {QUOTA}/s, our limit 25/s with a burst of 5, 60 calls at once: [ok, 429] {quota.windows}")
