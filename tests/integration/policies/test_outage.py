"""An outage of a provider: what its breaker lets through, counted by the server."""

import asyncio
from collections import Counter
from math import inf
from typing import Any

import pytest

import buoy
from buoy import BreakerOpen
from buoy.outcome import BreakerCause, BreakerState, CallResult
from tests.integration.policies.conftest import Tell
from tests.support.counting_server import CountingServer
from tests.support.eventually import until
from tests.support.peer import answer
from tests.support.telemetry import Observed

MINIMUM, PERMITS, CALLERS = 10, 3, 50
AT_ONCE = buoy.Retry(max_attempts=3, base=0)
# A connection for each request: a server that goes away leaves none in the pool, and aiohttp resends nothing.
WELL = answer(200, Connection="close")


class Shop(buoy.Provider):
    """It is asked again after half a second, and a period of trials ends by its results alone."""

    retry = None
    timeout = buoy.Timeout(total=10, attempt=10)
    breaker = buoy.Breaker(
        minimum_calls=MINIMUM, wait=0.5, wait_factor=1, half_open_permits=PERMITS, half_open_for=60, slow_rate=None
    )
    read = buoy.get("/items/{id}")


class Callers:
    """Callers of a shop, and what they were told."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._tries = 1 if shop.retry is None else shop.retry.max_attempts
        self.told: Counter[str] = Counter()
        self.sends = 0
        # Retries that were not sent: the caller got the failure before.
        self.cut_short = 0

    async def one(self) -> None:
        """Call once."""
        try:
            meta: Any = (await self._shop.read.call(id=1)).meta
            self.told["answered"] += 1
        except BreakerOpen as refusal:
            meta = refusal.meta
            self.told["refused"] += 1
        except buoy.Failed as failure:
            meta = failure.meta
            self.told["failed"] += 1
            self.cut_short += meta.attempts < self._tries
        self.sends += meta.sends

    async def in_turn(self, number: int) -> None:
        """Call one after the other."""
        for _ in range(number):
            await self.one()

    async def at_once(self, number: int) -> None:
        """Call all at the same time."""
        await asyncio.gather(*[self.one() for _ in range(number)])

    def be_refused(self) -> BreakerOpen:
        """Call, and be refused without a wait or a socket: in the first step, before anything is awaited."""
        with pytest.raises(BreakerOpen) as refused:
            self._shop.read(id=1).send(None)
        self.told["refused"] += 1
        return refused.value

    async def hear_one(self, server: CountingServer) -> None:
        """Let one of those who were sent hear its answer, and wait until it is told."""
        told = self.told.total()
        await server.let_go(1)
        await until(lambda: self.told.total() > told)

    async def come_back(self) -> None:
        """Be refused once more, and come back as soon as the refusal says."""
        await asyncio.sleep(self.be_refused().retry_after or inf)


class Outage:
    """The server's side: it answers ``status``, or refuses connections where that is 0."""

    def __init__(self, server: CountingServer, status: int) -> None:
        self._server = server
        self._status = status

    async def begin(self) -> None:
        """Stop serving."""
        self._server.says = lambda _: answer(self._status, Connection="close")
        if not self._status:
            await self._server.refuse()

    async def end(self) -> None:
        """Serve again."""
        self._server.says = lambda _: WELL
        if not self._status:
            await self._server.listen()


async def trial(callers: Callers, server: CountingServer) -> None:
    """Let all callers ask at the same time, and one more after each answer that decides nothing yet."""
    refused = callers.told["refused"]
    server.hold()
    calls = asyncio.ensure_future(callers.at_once(CALLERS))
    await until(lambda: callers.told["refused"] - refused == CALLERS - PERMITS)
    if server.listening:
        await until(lambda: server.at_once == PERMITS)
    for _ in range(1, server.at_once):
        await callers.hear_one(server)
        callers.be_refused()
    server.release()
    await calls


@pytest.mark.parametrize(
    ("status", "retry"),
    [(500, None), (503, AT_ONCE), (0, None), (0, AT_ONCE)],
    ids=["500", "503_retries", "refused", "refused_retries"],
)
async def test_an_outage_costs_the_server_the_window_and_the_permits(
    status: int, retry: buoy.Retry | None, observed: Observed, tell: Tell
) -> None:
    """What reaches a server that is down is the failures of one window and the permits of each trial, not one more."""
    async with CountingServer(lambda _: WELL) as server, Shop(base_url=server.url, retry=retry) as shop:
        callers, outage = Callers(shop), Outage(server, status)
        await callers.in_turn(5)
        await outage.begin()
        await callers.in_turn(15)  # 5 of 10 failed: open
        assert callers.sends == MINIMUM
        assert _states(observed) == {"open": 1}
        for period in (1, 2):
            await callers.come_back()
            await trial(callers, server)
            assert MINIMUM + period * PERMITS == callers.sends
            assert shop.control.breaker.state is BreakerState.OPEN
        during = callers.sends - 5
        await callers.come_back()
        await outage.end()
        await trial(callers, server)
        assert shop.control.breaker.state is BreakerState.CLOSED
        asked = callers.told.total() - 5
        await callers.at_once(CALLERS)
        snapshot, states = shop.snapshot(), _states(observed)
    answered, refusals = 5 + PERMITS + CALLERS, callers.told["refused"] + callers.cut_short
    assert (answered, 5 + 2 * PERMITS) == (callers.told["answered"], during)
    # The server counted what the callers counted; nobody counts connections that a closed port refused.
    assert callers.sends - (during if not status else 0) == server.requests
    # And Buoy the same: refusals, changes, calls, sends, and which of them were trials.
    assert refusals == observed.value("buoy.client.refusals", reason="breaker_open", enforced=True)
    assert refusals == observed.value("buoy.client.refusals")
    assert _transitions(observed) == {
        (BreakerState.OPEN, BreakerCause.FAILURE_RATE): 1,
        (BreakerState.HALF_OPEN, BreakerCause.WAIT_ELAPSED): 3,
        (BreakerState.OPEN, BreakerCause.PROBE_FAILED): 2,
        (BreakerState.CLOSED, BreakerCause.PROBE_SUCCEEDED): 1,
    }
    assert states == {"closed": 1}
    assert [callers.sends, answered, callers.told["refused"], callers.told["failed"]] == _counted(snapshot)
    trials = [span for span in observed.attempts() if (span.attributes or {}).get("buoy.breaker.state") == "half_open"]
    assert (3 * PERMITS, callers.sends) == (len(trials), len(observed.attempts()))
    tell(
        f"outage ({status or 'connections refused'}, {'no retries' if retry is None else 'retries'}): {asked} calls "
        f"until it closed: {during} sent while it was down (5 of the window, {PERMITS} in each of 2 trials), "
        f"{PERMITS} trials when it was well, {refusals} refusals; then {CALLERS} of {CALLERS} answered"
    )


async def test_a_long_retry_after_opens_for_that_time(observed: Observed, tell: Tell) -> None:
    """One 503 that asks for longer than the call has left is an outage: nobody calls until then, and then they may."""
    away = answer(503, Retry_After="1", Connection="close")
    async with CountingServer(lambda _: away) as server, Shop(base_url=server.url) as shop:
        callers = Callers(shop)
        with pytest.raises(buoy.HttpError) as caught:
            await shop.read(id=1, deadline=0.9)
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        await callers.at_once(CALLERS)
        assert (server.requests, callers.told) == (1, {"refused": CALLERS})
        server.says = lambda _: WELL
        await callers.come_back()
        await trial(callers, server)
        assert shop.control.breaker.state is BreakerState.CLOSED
    assert server.requests == 1 + PERMITS
    assert _transitions(observed) == {
        (BreakerState.OPEN, BreakerCause.RETRY_AFTER): 1,
        (BreakerState.HALF_OPEN, BreakerCause.WAIT_ELAPSED): 1,
        (BreakerState.CLOSED, BreakerCause.PROBE_SUCCEEDED): 1,
    }
    tell(f"503, Retry-After 1 s, 0.9 s left: 1 request, {CALLERS + 1} refusals, {PERMITS} trials 1 s later, closed")


async def test_a_retry_after_within_the_time_left_opens_nothing(observed: Observed) -> None:
    """A 503 that asks for a moment is a hiccup: the next call is sent."""
    away = answer(503, Retry_After="1", Connection="close")
    async with CountingServer(lambda _: away) as server, Shop(base_url=server.url) as shop:
        callers = Callers(shop)
        await callers.in_turn(MINIMUM - 1)
        assert shop.control.breaker.state is BreakerState.CLOSED
    assert (server.requests, callers.told, _transitions(observed)) == (MINIMUM - 1, {"failed": MINIMUM - 1}, {})


def _counted(snapshot: buoy.Snapshot) -> list[int]:
    results = (CallResult.SUCCESS, CallResult.REFUSED, CallResult.FAILURE)
    return [snapshot.sends, *(snapshot.calls[result] for result in results)]


def _transitions(observed: Observed) -> dict[tuple[str, str], float]:
    return {
        (attributes["buoy.breaker.state"], attributes["buoy.breaker.cause"]): value
        for attributes, value in ((dict(found), value) for found, value in _metric(observed, "transitions"))
    }


def _states(observed: Observed) -> dict[str, float]:
    found = ((dict(attributes), value) for attributes, value in _metric(observed, "status"))
    return {attributes["buoy.breaker.state"]: value for attributes, value in found if value}


def _metric(observed: Observed, name: str) -> Any:
    return observed.metric(f"buoy.breaker.{name}").items()
