"""Our own waiting, by cause: on the call's span in seconds, in the histogram, and as an event where it was notable."""

import asyncio
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.pipeline import run
from tests.support.telemetry import Observed
from tests.support.virtual_time import now, virtually
from tests.unit.telemetry.bank import attributes, bank, counted
from tests.unit.telemetry.shop import failing

TIMES = (contract.TIME_ATTEMPTS, contract.TIME_BACKOFF, contract.TIME_RATE_LIMIT, contract.TIME_CONCURRENCY)


def sums(observed: Observed) -> dict[Any, Any]:
    """Return the seconds that the histogram has of each cause."""
    points = observed.points(contract.WAIT.name)
    return {point.attributes[contract.WAIT_FOR]: pytest.approx(point.sum) for point in points}


@virtually
async def test_each_wait_has_its_cause(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that waited for its turn, for a permit and for its retry says how long for each, and so do the metrics."""
    monkeypatch.setattr(run, "random", lambda: 1.0)
    limited: dict[str, Any] = {"limit": buoy.RateLimit(1), "concurrency": buoy.Concurrency(1)}
    provider, ask = bank(retry=buoy.Retry(max_attempts=2, base=4.0), **limited)
    async with provider:
        first = asyncio.create_task(ask(3))
        await asyncio.sleep(0)
        await failing(ask(0.5, ConnectionResetError()))  # a turn after 1 s, a permit after 2 s more, a retry after 4 s
        await first
    (quick, slow) = observed.calls()
    assert {name: pytest.approx(attributes(slow)[name]) for name in TIMES} == {
        contract.TIME_ATTEMPTS: 1.0,
        contract.TIME_BACKOFF: 4.0,
        contract.TIME_RATE_LIMIT: 1.0,
        contract.TIME_CONCURRENCY: 2.0,
    }
    assert [name for name in TIMES if name in attributes(quick)] == [contract.TIME_ATTEMPTS]
    events = [attributes(event) for event in slow.events if event.name == "buoy.wait.ended"]
    assert [event[contract.WAIT_FOR] for event in events] == ["rate_limit", "concurrency", "backoff"]
    assert [event[contract.WAIT_DURATION] for event in events] == pytest.approx([1.0, 2.0, 4.0])
    by = (contract.PROVIDER, contract.WAIT_FOR)
    assert counted(observed, contract.WAIT, *by) == dict.fromkeys(
        [("bank", "rate_limit"), ("bank", "concurrency"), ("bank", "backoff")], 1
    )
    assert sums(observed) == {"rate_limit": 1.0, "concurrency": 2.0, "backoff": 4.0}


@virtually
async def test_a_short_wait_is_no_event(observed: Observed) -> None:
    """A wait below 10 ms is in the histogram and on the span, and no event."""
    provider, ask = bank(limit=buoy.RateLimit(200, burst=1))
    async with provider:
        await ask()
        await ask()
    assert [span.events for span in observed.calls()] == [(), ()]
    assert attributes(observed.calls()[1])[contract.TIME_RATE_LIMIT] == pytest.approx(0.005)
    assert sums(observed) == {"rate_limit": 0.005}


@virtually
async def test_a_wait_in_vain_is_a_wait(observed: Observed) -> None:
    """Whoever was refused after a wait, or left during it, has waited."""
    provider, ask = bank(limit=buoy.RateLimit(100), concurrency=buoy.Concurrency(1, max_wait=2))
    async with provider:
        first = asyncio.create_task(ask(9))
        await asyncio.sleep(0)
        assert isinstance(await failing(ask()), buoy.ConcurrencyLimited)
        leaving = asyncio.create_task(ask())
        await asyncio.sleep(1)
        leaving.cancel()
        await failing(leaving)
        provider.control.limiter.penalize(now() + 5)
        paused = asyncio.create_task(ask())
        await asyncio.sleep(1.5)
        paused.cancel()
        await failing(paused)
        await first
    refused, left, held, _ = observed.calls()
    assert [attributes(span)[contract.TIME_CONCURRENCY] for span in (refused, left)] == [2.0, 1.0]
    assert attributes(held)[contract.TIME_RATE_LIMIT] == 1.5
    assert [attributes(span)[contract.CALL_SENDS] for span in (refused, left, held)] == [0, 0, 0]
    assert sums(observed) == {"concurrency": 3.0, "rate_limit": 1.5}
