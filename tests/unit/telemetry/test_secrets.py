"""What policies tell has no secret in it: neither of what was asked nor of what was said or given instead."""

import asyncio
from typing import Any

import buoy
from buoy import contract
from tests.support.peer import Peer, answer
from tests.support.telemetry import Logs, Observed, logs
from tests.support.virtual_time import virtually
from tests.unit.telemetry.shop import failing

MARK = "c4n4ry"


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None, auth=buoy.Bearer(MARK)):
    """Operations that are shared, and answered otherwise."""

    item = buoy.get("/items/{id}", joined=True)
    list = buoy.get("/items", fallback={MARK: MARK})


def shown(observed: Observed, seen: Logs) -> list[str]:
    """Return every text that was exported or logged, and that has a secret in it."""
    texts = [span.to_json() for span in observed.spans()]
    texts += [metric.to_json() for metric in observed.collected()]
    texts += [f"{record.getMessage()} {vars(record)}" for record in seen.records]
    assert len(texts) > 20
    return [text for text in texts if MARK in text]


async def test_no_secret_is_told_of_calls_over_http(observed: Observed) -> None:
    """Joined calls, masked failures, quotas, pauses and opened breakers show no value, header or body."""
    policy: dict[str, Any] = {"RateLimit_Policy": f'"{MARK}";q=9;w=9;pk=:{MARK}00:', "RateLimit": f'"{MARK}";r=0;t=9'}
    outage: dict[str, Any] = {"Retry_After": "3600", "X_RateLimit_Remaining": MARK, "X_RateLimit_Limit": MARK}
    with logs() as seen:
        async with Peer(answer(), answer(503, MARK.encode(), **outage)) as peer, Shop(base_url=peer.url) as shop:
            await asyncio.gather(shop.item(id=MARK, page=MARK), shop.item(id=MARK, page=MARK))
            assert await shop.list(page=MARK) == {MARK: MARK}
            await failing(shop.item(id=MARK, headers={"X-Given": MARK}))
            shop.control.breaker.reset()
            peer.script.append(answer(429, MARK.encode(), **policy))
            assert await shop.list() == {MARK: MARK}
            told = [contract.DUPLICATE_FOUND, contract.FALLBACK_USED, contract.BREAKER_CHANGED, contract.CALL_REFUSED]
            assert [event.name for event in (*told, contract.LIMITER_PAUSED) if not seen.of(event)] == []
            assert shown(observed, seen) == []


@virtually
async def test_no_secret_is_told_of_wrapped_functions(observed: Observed) -> None:
    """Neither arguments by which calls are joined, nor texts of errors, nor what stands in for them."""
    bank = buoy.Provider("bank", retry=None, breaker=buoy.Breaker(minimum_calls=1))

    @bank.operation("share", safety="safe", joined=True, fallback=lambda error: f"{error} {MARK}")
    async def share(card: str) -> str:
        await asyncio.sleep(1)
        raise ConnectionResetError(card)

    with logs() as seen:
        async with bank:
            told = await asyncio.gather(share(MARK), share(MARK))
            assert all(MARK in text for text in told)
            await share(MARK)
            events = [contract.DUPLICATE_FOUND, contract.FALLBACK_USED, contract.BREAKER_CHANGED, contract.CALL_REFUSED]
            assert [event.name for event in events if not seen.of(event)] == []
            assert shown(observed, seen) == []
