"""A call may be cancelled at any await point of any hop: nothing leaks, and the next call works."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

import buoy
from buoy.outcome import CallResult
from tests.integration.http.origins import Caller, Place, hang, to
from tests.integration.test_cancel_everywhere import Open, cancelled
from tests.support.cancelling import CancelledAt, Moment
from tests.support.eventually import until
from tests.support.telemetry import Observed


@dataclass(frozen=True)
class Scenario:
    """A call, and what the provider is told."""

    call: Callable[[Caller], Coroutine[Any, Any, object]]
    options: dict[str, Any] = field(default_factory=dict)


async def get(shop: Caller) -> object:
    """Follow from here to there and back."""
    return await shop.read(path="a")


async def post(shop: Caller) -> object:
    """Take a body along."""
    return await shop.keyed(path="a", data=make)


async def stream(shop: Caller) -> object:
    """Read what comes at the end of the chain piece by piece."""
    async with shop.read.stream(path="a") as answer:
        (item,) = [item async for item in answer.json_lines()]
        return item


async def make() -> bytes:
    """Make a body."""
    return b"x" * 100_000


async def sign(request: buoy.Outgoing) -> None:
    """Sign for a request."""
    request.headers["X-Signed"] = "1"


SCENARIOS = {
    "get": Scenario(get),
    "post": Scenario(post),
    "stream": Scenario(stream),
    "signed, with cookies": Scenario(get, {"auth": sign, "cookies": True}),
    # A turn is there every 2 ms, so each hop waits for its own.
    "waiting for turns": Scenario(get, {"limit": buoy.RateLimit(500, burst=1), "concurrency": buoy.Concurrency(1)}),
}


async def check_at_rest(shop: Caller, spans: Open) -> None:
    """Check that no connection is taken, no permit held, and no call or span open."""
    assert shop._transport is not None
    connector = shop._transport._pool.session.connector
    assert connector is not None
    await until(lambda: not connector._acquired)
    permits = shop.snapshot().concurrency
    assert permits is None or permits.used == 0
    assert (shop._life.in_flight, spans.spans) == (0, set())


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_chain_cancelled_at_every_point(name: str, moment: Moment, observed: Observed) -> None:
    """Wherever a chain over two origins is cancelled, all is back at rest, and the next call works."""
    scenario, spans, number, reached = SCENARIOS[name], Open(), 0, True
    observed.traces.add_span_processor(spans)
    async with Place() as other, Place() as place:
        place.told = {"/a": [to("/b", 307)], "/b": [to(f"{other.url}/c", 307)], "/d": [to("/e", 307)]}
        other.told = {"/c": [to(f"{place.url}/d", 307)]}
        while reached:
            number += 1
            async with Caller(base_url=place.url, **scenario.options) as shop:
                steps = CancelledAt(scenario.call(shop), number, moment)
                assert await cancelled(steps) == (None if steps.reached else {})
                await check_at_rest(shop, spans)
                assert await shop.read(path="ok") == {}
                await check_at_rest(shop, spans)
                reached = steps.reached
    assert number > 3
    calls = {result: observed.value("buoy.client.calls", result=result) for result in CallResult}
    assert calls[CallResult.CANCELLED] + calls[CallResult.SUCCESS] == sum(calls.values()) == 2 * number
    sends = observed.value("buoy.client.attempt.duration")
    assert sends == len(observed.attempts()) >= len(place.received) + len(other.received)


@pytest.mark.parametrize("hop", [1, 2, 3])
async def test_a_chain_cancelled_while_a_hop_hangs(hop: int, observed: Observed) -> None:
    """Whoever leaves while the target says nothing leaves no connection taken, and one send is cancelled."""
    async with Place({f"/{number}": [to(f"/{number + 1}")] for number in range(hop)}) as place:
        place.told[f"/{hop}"] = [hang]
        async with Caller(base_url=place.url) as shop:
            call = asyncio.ensure_future(shop.read(path="0"))
            await place.wait_for(hop + 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await place.left_alone()
            assert await shop.read(path="ok") == {}
    status = [span.status.status_code.name for span in observed.attempts()]
    assert status == ["UNSET"] * (hop + 2)
    assert observed.value("buoy.client.attempt.duration", **{"error.type": "cancelled"}) == 1
