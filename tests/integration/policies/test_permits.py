"""The permits for sends at once, and how many the server saw at once."""

import asyncio
from collections import Counter

import buoy
from buoy.outcome import CallResult
from tests.integration.policies.conftest import Tell
from tests.support.counting_server import CountingServer
from tests.support.eventually import until
from tests.support.peer import answer
from tests.support.telemetry import Observed

PERMITS, CALLERS = 20, 200


class Shop(buoy.Provider):
    """Retries come at once, so that they meet the queue; who fails is up to the server."""

    retry = buoy.Retry(max_attempts=3, base=0, budget=None)
    timeout = buoy.Timeout(total=20, attempt=20)
    breaker = None
    concurrency = buoy.Concurrency(PERMITS)
    read = buoy.get("/items/{id}")


def failures(item: int) -> int:
    """Return how often an item fails before it is well: every fifth once, every eighth twice."""
    return 2 if item % 8 == 0 else 1 if item % 5 == 0 else 0


def _expected(shop: Shop) -> int:
    """Return how many are to be at the server: all permits are used while anybody waits for one."""
    permits = shop.control.concurrency
    return PERMITS if permits.waiting else permits.used


async def test_the_server_never_sees_more_than_the_permits_at_once(observed: Observed, tell: Tell) -> None:
    """Of 200 callers 20 are at the server, and 180 queue; all are answered, retries included, and permits are back."""
    asked: Counter[str] = Counter()

    def says(target: str) -> bytes:
        asked[target] += 1
        return answer(200 if asked[target] > failures(int(target.rpartition("/")[2])) else 504 - asked[target])

    async with CountingServer(says) as server, Shop(base_url=server.url) as shop:
        server.hold()
        calls = asyncio.gather(*[shop.read.call(id=item) for item in range(CALLERS)])
        # Everybody has asked, and as many as may are there.
        await until(lambda: shop.control.concurrency.waiting == CALLERS - PERMITS and server.at_once == PERMITS)
        usage = {name: observed.value(f"buoy.concurrency.{name}") for name in ("usage", "limit", "waiting")}
        while not calls.done():
            await server.let_go(server.at_once)
            await until(lambda: calls.done() or 0 < server.at_once == _expected(shop))
        results = await calls
        snapshot = shop.snapshot()
    fails = Counter(failures(item) for item in range(CALLERS))
    retries = fails[1] + 2 * fails[2]
    assert (server.most_at_once, server.most_connections) == (PERMITS, PERMITS)
    assert {200: CALLERS, 503: fails[1] + fails[2], 502: fails[2]} == server.statuses
    # Nobody is lost, and nothing is kept.
    assert [1 + failures(item) for item in range(CALLERS)] == [result.meta.attempts for result in results]
    assert (CALLERS, CALLERS + retries) == (snapshot.calls[CallResult.SUCCESS], snapshot.sends)
    assert snapshot.concurrency is not None
    assert (snapshot.concurrency.used, snapshot.concurrency.waiting) == (0, 0)
    # And Buoy said the same while it lasted.
    assert usage == {"usage": PERMITS, "limit": PERMITS, "waiting": CALLERS - PERMITS}
    assert observed.value("buoy.client.wait.duration", **{"buoy.wait.for": "concurrency"}) >= CALLERS - PERMITS
    tell(f"permits: {CALLERS} callers, {server.requests} requests ({retries} retries), {server.most_at_once} at once")
