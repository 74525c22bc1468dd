"""With all policies on a call may be cancelled in every waiting state: all that it took is there for the next one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import buoy
from buoy.outcome import BreakerState
from tests.integration.test_cancel_everywhere import BODY, REPAIRED, Open, cancelled, check_counts, nothing_left
from tests.support.cancelling import CancelledAt, Moment
from tests.support.eventually import until
from tests.support.peer import CUT, HANG, Peer, answer
from tests.support.telemetry import Observed

# There is no await between the pause and the question for a turn: the call always meets it.
PAUSE = 0.05
RETRIES = 50
# Turns that do not come back within the test, and probes that are more than it takes for a verdict.
TURNS = 100
PROBES = 30

# The coroutine that waits, innermost first, and the state that a call is in then.
STATES = {
    "LimiterGate.wait": "turn",
    "PermitGate.wait": "permit",
    "_back_off": "backoff",
    "Bodies.whole": "reading",
    "HttpTransport.send": "send",
}


class Guarded(buoy.Provider, base_url="http://replaced.example"):
    """What is called and cancelled, with everything on and a breaker whose leases count."""

    retry = buoy.Retry(base=0.001, budget=buoy.RetryBudget(ratio=0, reserve=RETRIES / 10))
    breaker = buoy.Breaker(minimum_calls=PROBES, half_open_permits=PROBES, half_open_for=3600)
    limit = buoy.RateLimit(1, per=1_000_000, burst=TURNS)
    concurrency = buoy.Concurrency(1)

    product = buoy.get("/products/{id}", fallback=lambda error: {"text": type(error).__name__})
    joined = buoy.get("/joined/{id}", joined=True, fallback=lambda error: {"text": type(error).__name__})


def chain(coroutine: Any) -> list[str]:
    """Return the names of the coroutines that wait for each other, outermost first."""
    names = []
    while hasattr(coroutine, "cr_await"):
        names.append(coroutine.__qualname__)
        coroutine = coroutine.cr_await
    return names


def states() -> set[str]:
    """Return the states in which calls are now."""
    names = {name for task in asyncio.all_tasks() for name in chain(task.get_coro())}
    inner = {STATES[name] for name in STATES.keys() & names}
    return inner - {"send"} if "reading" in inner else inner


class Stateful(CancelledAt[object]):
    """Notes in which state the call is when it is cancelled."""

    state = "none"

    def _cancel(self, waiting: Any) -> None:
        names = chain(self._coroutine)
        self.state = next((state for name, state in STATES.items() if name in names), "none")
        super()._cancel(waiting)


class House:
    """A guarded provider, entered, in which somebody else has the only permit until room is made."""

    def __init__(self, shop: Guarded) -> None:
        self.shop = shop
        self.over = False
        self._left = asyncio.Event()
        self._others: list[asyncio.Task[Any]] = []

        @shop.operation("hold", timeout=None)
        async def hold() -> None:
            await self._left.wait()

        self._hold = hold

    async def take_the_permit(self) -> None:
        """Let somebody have the permit."""
        self._others.append(asyncio.create_task(self._hold()))
        await until(lambda: self.shop.control.concurrency.used == 1)

    async def make_room_when_asked(self) -> None:
        """Give it back as soon as somebody queues for it, or it is over."""
        await until(lambda: self.over or self.shop.control.concurrency.waiting == 1)
        self._left.set()

    async def product(self) -> object:
        """Make the call, when nobody has a turn for a moment."""
        self.shop.control.limiter.penalize(asyncio.get_running_loop().time() + PAUSE)
        return len((await self.shop.product(id=7))["text"])

    async def end(self) -> None:
        """Let the others end."""
        self.over = True
        self._left.set()
        await asyncio.gather(*self._others)

    def check_at_rest(self, *, others: int, state: str, late: bool = False) -> None:
        """Check that what the call has used up, beside ``others``, is what it sent, and that all else is there.

        ``state`` is where it was cancelled. A send that was cancelled says nothing to the breaker.
        """
        shop, snapshot = self.shop, self.shop.snapshot()
        live, attempts = shop._live, snapshot.attempts - others
        assert live is not None
        assert live.permits is not None
        assert (snapshot.active, live.permits.permits.used, live.permits.permits.waiting) == (0, 0, 0)
        assert (live.limiter.waiting, [*live.limiter.limiter._waiting()]) == (0, [])
        assert snapshot.retries_left == RETRIES - max(0, attempts - 1)
        assert snapshot.breaker is not None
        assert snapshot.breaker.state is BreakerState.HALF_OPEN
        assert snapshot.breaker.calls == others + attempts - (state in {"send", "reading"})
        assert live.breakers["guarded"]._circuit._permits == PROBES - snapshot.breaker.calls
        # A turn that has passed does not come back.
        passed = state == "permit" or (state == "turn" and late)
        assert snapshot.limiter.remaining in {TURNS - others - attempts, TURNS - others - attempts - passed}


@asynccontextmanager
async def house(peer: Peer) -> AsyncIterator[House]:
    """Enter a guarded provider whose breaker is half-open, and check that it leaves nothing."""
    async with nothing_left(peer), Guarded(base_url=peer.url) as shop:
        shop.control.breaker.force("open")
        shop.control.breaker.force("half_open")
        yield House(shop)


@pytest.mark.parametrize("moment", Moment)
async def test_cancelled_at_every_point(moment: Moment, observed: Observed) -> None:
    """A call that waits for its turn, for a permit, for a 503, before the retry and for a long body, at each point."""
    spans, number, reached, seen = Open(), 0, True, set()
    observed.traces.add_span_processor(spans)
    async with Peer() as peer:
        while reached:
            number += 1
            async with house(peer) as home:
                await home.take_the_permit()
                room = asyncio.create_task(home.make_room_when_asked())
                peer.script.extend(REPAIRED)
                steps = Stateful(home.product(), number, moment)
                value = await cancelled(steps)
                await home.end()
                await room
                assert value == (None if steps.reached else len(BODY) - 12)
                home.check_at_rest(others=1, state=steps.state, late=moment is Moment.LATE)
                assert spans.spans == set()
                peer.script.clear()
                assert await home.shop.product(id=8) == {}
                home.check_at_rest(others=2, state=steps.state, late=moment is Moment.LATE)
                seen.add(steps.state)
                reached = steps.reached
    assert seen == {*STATES.values(), "none"}
    check_counts(observed, 3 * number, number - 1)
    assert observed.value("buoy.client.fallbacks") == 0


SAID: dict[str, bytes] = {
    "turn": answer(),
    "permit": answer(),
    "backoff": answer(503, Retry_After="25"),
    "send": HANG,
    "reading": answer(length=10**6).removesuffix(CUT),
}


@pytest.mark.parametrize("state", SAID)
@pytest.mark.parametrize("operation", ["product", "joined"])
async def test_cancelled_in_every_waiting_state(operation: str, state: str, observed: Observed) -> None:
    """Whatever it waits for, a cancelled call, or a flight that its last caller leaves, leaves all back at rest."""
    spans = Open()
    observed.traces.add_span_processor(spans)
    async with Peer(SAID[state]) as peer, house(peer) as home:
        if state == "turn":
            home.shop.control.limiter.penalize(asyncio.get_running_loop().time() + 25)
        if state == "permit":
            await home.take_the_permit()
        call = getattr(home.shop, operation)
        callers = [asyncio.create_task(call(id=7)) for _ in range(1 + (operation == "joined"))]
        for caller in callers:
            await until(lambda: states() == {state})
            caller.cancel()
            await asyncio.wait([caller])
            assert caller.cancelled()
        assert states() == set()
        await home.end()
        home.check_at_rest(others=int(state == "permit"), state=state)
        assert spans.spans == set()
    assert observed.value("buoy.client.calls", result="cancelled") == len(callers)
    assert observed.value("buoy.client.call.active") == 0
    assert observed.value("buoy.client.refusals") == 0
