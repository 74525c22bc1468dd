"""Calls of every kind that end in every way, so that each signal of the contract has an occasion to be emitted.

What policies do to calls is in ``policies``.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp

import buoy
from buoy.outcome import Outcome, Phase, Verdict
from tests.contract.failing import fails
from tests.support.peer import CUT, HANG, Peer, answer

T = TypeVar("T")

STATUSES = (400, 401, 403, 404, 405, 408, 409, 418, 422, 429, 500, 502, 503, 504, 505)
PATIENT = buoy.Retry(max_attempts=2, base=0.02, throttled_base=0.02, budget=buoy.RetryBudget(reserve=100))
PERMITS = buoy.Concurrency(5)


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=PATIENT, breaker=None):
    """One operation of each safety."""

    item = buoy.get("/items/{id}", dict[str, Any], name="items.get")
    put_item = buoy.put("/items/{id}", name="items.put")
    sell = buoy.post("/sales", name="sales.make", key_header="Idempotency-Key")
    tell = buoy.post("/notes", name="notes.make")


async def everything() -> None:
    """Run all scenarios."""
    await over_http()
    await cut_short()
    await functions()


async def over_http() -> None:
    """Succeed, and get every kind of error answer."""
    async with Peer() as peer, Shop("answers", base_url=peer.url) as shop:
        await shop.item(id="1", page=2)
        await shop.put_item(id="1", json={})
        await shop.sell(json={}, deadline=5)
        await shop.tell(json={})
        for status in STATUSES:
            peer.script.extend([answer(status, X_Request_Id="req_1", Retry_After="0")] * 2)
            await fails(shop.item(id="1"))
            peer.script.clear()  # where there was no second try
        peer.script.extend([answer(500), answer()])
        await shop.item(id="1")
        peer.script.append(answer(200, b"[1]"))
        await fails(shop.item(id="1"))
        peer.script.append(answer(429, Retry_After="3600"))
        await fails(shop.item(id="1"))


async def cut_short() -> None:
    """Be refused, cut, cancelled, late, and resent by the transport."""
    async with Shop("nobody") as shop:
        await fails(shop.item(id="1"))
        await fails(shop.item(id="1", deadline=0))
    async with Peer(CUT) as peer, Shop("cut", base_url=peer.url) as shop:
        await fails(shop.tell(json={}))
    async with Peer(CUT, answer()) as peer, Shop("resent", base_url=peer.url) as shop:
        await shop.item(id="1")
    async with Peer(HANG) as peer, Shop("slow", base_url=peer.url, timeout=buoy.Timeout(attempt=0.05)) as shop:
        await fails(shop.tell(json={}))
    async with Peer(HANG) as peer, Shop("left", base_url=peer.url) as shop:
        task = asyncio.ensure_future(shop.item(id="1"))
        await peer.reading.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def functions() -> None:
    """Wrap functions that return, and that raise every error there is, also what another provider refused."""
    bank = buoy.Provider("bank", retry=PATIENT, breaker=None)

    @bank.operation("raise", safety="safe", retry_on=buoy.BuoyError)
    async def fail(error: Exception) -> None:
        raise error

    @bank.operation("refuse", safety="safe")
    async def refuse(error: Exception) -> None:
        raise error

    @bank.operation("balance", safety="safe")
    async def balance() -> int:
        return buoy.current_call().attempt

    async with bank:
        await balance()
        for _ in range(3):  # of which one log is left out, and the next says so
            await fails(fail(LookupError("no such account")))
        await fails(fail(aiohttp.UploadAbortedError(OSError("cut"))))
        for error_type in set(buoy.ErrorType) - {buoy.ErrorType.CANCELLED}:
            verdict = Verdict(error_type, Outcome.REJECTED, Phase.LOCAL, retry_after=0.03)
            await fails(fail(buoy.BuoyError("said so", verdict=verdict)))
            await fails(refuse(buoy.BuoyError("said so", verdict=verdict)))


async def full(look: Callable[[], object], fill: Callable[[], None], collect: Callable[[], T]) -> T:
    """Collect while two providers are open: one with every policy that has a gauge, and one that found no room."""
    first = answer(RateLimit_Limit="100", RateLimit_Remaining="99", RateLimit_Reset="60")
    late = buoy.Provider("late", retry=PATIENT)

    @late.operation("fail", safety="safe")
    async def fail() -> None:
        raise ConnectionResetError

    async with (
        Peer(first) as peer,
        Shop("open", base_url=peer.url, breaker=buoy.Breaker(), limit=buoy.RateLimit(9), concurrency=PERMITS) as shop,
    ):
        await shop.item(id="1")
        look()
        fill()
        async with late:
            await fails(fail())
            return collect()
