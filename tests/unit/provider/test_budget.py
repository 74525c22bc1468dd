"""The retry budget of a provider: whose it is, and what is reported of it."""

import pytest

import buoy
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed

ONE = buoy.RetryBudget(ratio=0, reserve=0.1)


class Shop(buoy.Provider, retry=buoy.Retry(base=0, budget=ONE)):
    """Two operations on one budget, and one with a budget of its own."""

    item = buoy.get("/items/{id}", name="items.get")
    stock = buoy.get("/stock/{id}", name="stock.get")
    other = buoy.get("/other/{id}", name="other.get", retry=buoy.Retry(base=0, budget=None))


async def test_operations_of_a_provider_share_it(observed: Observed) -> None:
    """What one operation used up, another of the same provider has not; one without a budget is not bound by it."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        assert observed.value("buoy.client.retry.budget.remaining") == 1
        peer.script.extend([answer(500), answer()])
        await shop.item(id="1")
        peer.script.append(answer(500))
        with pytest.raises(buoy.HttpError):
            await shop.stock(id="1")
        peer.script.extend([answer(500), answer(500), answer()])
        await shop.other(id="1")
        assert observed.value("buoy.client.retry.budget.remaining") == 0
        assert observed.value("buoy.client.retry.abandoned", **{"buoy.retry.stop_reason": "budget"}) == 1


async def test_a_closed_provider_takes_its_gauge_away(observed: Observed) -> None:
    """What is left of a budget is reported only while a provider of the name is open."""
    async with Peer() as peer, Shop(base_url=peer.url):
        assert list(observed.metric("buoy.client.retry.budget.remaining").values()) == [1]
    assert list(observed.metric("buoy.client.retry.budget.remaining").values()) == []
