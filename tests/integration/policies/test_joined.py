"""Identical safe calls in flight, and how many requests the server saw of them."""

import asyncio

import buoy
from buoy.outcome import DuplicateSource
from tests.integration.policies.conftest import Tell
from tests.support.counting_server import CountingServer
from tests.support.eventually import until
from tests.support.peer import answer
from tests.support.telemetry import Observed

CALLERS = 100


class Shop(buoy.Provider):
    """Identical reads are one request."""

    read = buoy.get("/items/{id}", joined=True)


async def test_a_hundred_identical_calls_are_one_request(observed: Observed, tell: Tell) -> None:
    """Who asks for what is on its way already gets the same answer; who asks for something else has a request."""
    async with (
        CountingServer(lambda target: answer(200, f'"{target}"'.encode())) as server,
        Shop(base_url=server.url) as shop,
    ):
        server.hold()
        calls = asyncio.gather(*[shop.read.call(id=item) for item in (7, 8) for _ in range(CALLERS)])
        await until(lambda: shop.snapshot().active == 2 * CALLERS and server.requests == 2)
        server.release()
        results = await calls
        assert await shop.read(id=7) == "/items/7"  # what has landed is no longer in flight
        snapshot = shop.snapshot()
    assert [result.value for result in results] == ["/items/7"] * CALLERS + ["/items/8"] * CALLERS
    assert server.targets == {"/items/7": 2, "/items/8": 1}
    assert snapshot.sends == 3
    sources = [result.meta.duplicate_source for result in results]
    assert [None] + [DuplicateSource.IN_FLIGHT] * (CALLERS - 1) == sources[:CALLERS] == sources[CALLERS:]
    assert observed.value("buoy.client.duplicates", source="in_flight") == 2 * (CALLERS - 1)
    tell(f"joined: 2 x {CALLERS} identical calls at once, {server.requests - 1} requests")
