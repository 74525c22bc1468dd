"""The gates of the breaker and of the limiter: who waits how long, and what the watcher is told."""

import asyncio
from math import inf

import pytest

from buoy.events import BreakerChanged, LimiterPaused
from buoy.outcome import BreakerCause, BreakerOutcome, BreakerState, LimitSource
from buoy.pipeline.gates import BreakerGate, LimiterGate
from buoy.policies.breaker import Breaker
from buoy.policies.circuit import Denied, Lease
from buoy.policies.rate_limit import RateLimit, Rejected, Reservation
from buoy.result import Quota
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates, Watching, cancelled

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
FAILURE, SUCCESS = BreakerOutcome.FAILURE, BreakerOutcome.SUCCESS
LOCAL, SERVER = LimitSource.LOCAL, LimitSource.SERVER
# Opens after two failures, for 4 s.
TWO = Breaker(last=2, minimum_calls=2, wait=4, half_open_permits=1, half_open_for=8)
ONE_A_SECOND = (RateLimit(1, burst=1),)


# The breaker's gate.


def watched() -> tuple[BreakerGate, Watching]:
    """Return a breaker and who watches it."""
    watching = Watching()
    return BreakerGate("shop.write", TWO, watching), watching


def lease(gate: BreakerGate, at: float) -> Lease:
    """Return a lease, which is granted."""
    answer = gate.admit(at)
    assert isinstance(answer, Lease)
    return answer


def told(watching: Watching) -> list[tuple[BreakerState, BreakerState, BreakerCause]]:
    """Return the changes that the watcher was told since the last time."""
    events, watching.events = watching.events, []
    return [(event.previous, event.state, event.cause) for event in events if isinstance(event, BreakerChanged)]


def change(
    previous: BreakerState, state: BreakerState, cause: BreakerCause, *, generation: int, failures: int, calls: int
) -> BreakerChanged:
    """Return the event for a change of the breaker."""
    return BreakerChanged(
        name="shop.write",
        previous=previous,
        state=state,
        cause=cause,
        generation=generation,
        failures=failures,
        calls=calls,
    )


def test_each_change_of_a_breaker_is_told_once() -> None:
    """From closed over open and half-open to closed each change is told when it happens, with its figures, and once."""
    gate, watching = watched()
    for outcome in (FAILURE, FAILURE):
        assert gate.settle(lease(gate, 0), outcome, slow=False, now=0)
    opened = change(CLOSED, OPEN, BreakerCause.FAILURE_RATE, generation=1, failures=2, calls=2)
    assert watching.events == [opened]
    assert gate.admit(1) == Denied(3)
    assert watching.events == [opened]
    probe = lease(gate, 4)
    half_opened = change(OPEN, HALF_OPEN, BreakerCause.WAIT_ELAPSED, generation=2, failures=2, calls=2)
    assert watching.events == [opened, half_opened]
    gate.settle(probe, SUCCESS, slow=False, now=5)
    closed = change(HALF_OPEN, CLOSED, BreakerCause.PROBE_SUCCEEDED, generation=3, failures=0, calls=1)
    assert watching.events == [opened, half_opened, closed]


def test_a_half_open_period_that_ran_out_is_told() -> None:
    """A probe that never came back is told as a failed one by whoever asks next, before the next period."""
    gate, watching = watched()
    gate.open_for(1, 0)
    lost = lease(gate, 1)
    told(watching)
    assert gate.state(9) is OPEN
    assert told(watching) == []  # looking changes nothing
    lease(gate, 50)
    assert told(watching) == [
        (HALF_OPEN, OPEN, BreakerCause.PROBE_FAILED),
        (OPEN, HALF_OPEN, BreakerCause.WAIT_ELAPSED),
    ]
    assert not gate.settle(lost, SUCCESS, slow=False, now=51)
    assert told(watching) == []


def test_an_operators_hand_is_told() -> None:
    """What is set by hand or by the provider is told with its cause; what changes nothing is not."""
    gate, watching = watched()
    gate.force(OPEN, 0, 7)
    assert told(watching) == [(CLOSED, OPEN, BreakerCause.MANUAL)]
    gate.force(OPEN, 0, 9)
    assert told(watching) == []
    assert gate.admit(8) == Denied(1)
    gate.reset(8)
    assert told(watching) == [(OPEN, CLOSED, BreakerCause.MANUAL)]
    gate.reset(8)
    assert told(watching) == []
    gate.open_for(60, 8)
    assert told(watching) == [(CLOSED, OPEN, BreakerCause.RETRY_AFTER)]
    assert gate.figures(8).buffered == 0


def test_a_step_that_there_is_not() -> None:
    """Forcing a closed breaker to half-open is refused, changes nothing and tells nothing."""
    gate, watching = watched()
    with pytest.raises(ValueError, match="half_open"):
        gate.force(HALF_OPEN, 0)
    assert (gate.state(0), watching.events) == (CLOSED, [])


def test_a_lease_holds_until_its_period_ends() -> None:
    """A lease is good as long as the period that granted it, and a result that comes later does not count."""
    gate, _ = watched()
    early = lease(gate, 0)
    assert gate.holds(early, 3)
    gate.open_for(1, 3)
    assert not gate.holds(early, 3)
    assert not gate.settle(early, FAILURE, slow=False, now=5)


# The limiter's gate: waiting.


async def wait_turn(gate: LimiterGate, *, left: float = 100, deadline: float = inf) -> float | Rejected:
    """Reserve and wait as a call does; return when the turn came, or the rejection."""
    turn = gate.reserve(now(), 1, left)
    if isinstance(turn, Rejected):
        return turn
    try:
        rejected = None if turn.gone else await gate.wait(turn, deadline)
    except asyncio.CancelledError:
        gate.cancel(turn, now())
        raise
    if rejected is not None:
        gate.cancel(turn, now())
    return now() if rejected is None else rejected


@virtually
async def test_turns_come_at_their_time() -> None:
    """Within the burst nobody waits; beyond it each sleeps exactly until its turn, and is counted meanwhile."""
    gate = Gates(rates=(RateLimit(1, burst=2),)).limiter
    waiting = [asyncio.ensure_future(wait_turn(gate)) for _ in range(5)]
    await asyncio.sleep(0.5)
    assert gate.waiting == 3
    assert await asyncio.gather(*waiting) == [0, 0, 1, 2, 3]
    assert gate.waiting == 0


@virtually
async def test_a_wait_beyond_what_is_allowed_is_refused_at_once() -> None:
    """No turn within the time left, or within ``max_wait``: refused now, with the seconds missing, nothing changed."""
    gate = Gates(rates=(RateLimit(1, burst=1, max_wait=3),)).limiter
    turns = [gate.reserve(0, 1, inf) for _ in range(4)]
    assert all(isinstance(turn, Reservation) for turn in turns)
    assert gate.reserve(0, 1, 2.5) == Rejected(1.5)
    assert gate.reserve(0, 1, inf) == Rejected(1)
    assert gate.reserve(0, 1.5, inf) == Rejected(None)
    assert gate.limiter.peek(0) == 4


@virtually
async def test_who_leaves_gives_the_turn_back() -> None:
    """A cancelled sleeper is no longer counted, and the next to come gets the turn that it had."""
    gates = Gates(rates=ONE_A_SECOND)
    first, second = (asyncio.ensure_future(wait_turn(gates.limiter)) for _ in range(2))
    await asyncio.sleep(0.25)
    assert await first == 0
    await cancelled(second)
    gates.check_at_rest()
    assert await wait_turn(gates.limiter) == 1


# The limiter's gate: pauses.


@pytest.mark.parametrize("rates", [(), ONE_A_SECOND])
@virtually
async def test_sleepers_obey_a_later_pause(rates: tuple[RateLimit, ...]) -> None:
    """Who sleeps already sleeps on until the pause is over, as often as one comes; a shorter one changes nothing."""
    gate = Gates(rates=rates).limiter
    gate.pause(1, 0, SERVER)
    waiting = asyncio.ensure_future(wait_turn(gate))
    for at, until in ((0.5, 4), (3.5, 6), (5, 2), (5.5, 6)):
        asyncio.get_running_loop().call_at(at, gate.pause, until, at, SERVER)
    assert await waiting == 6


@virtually
async def test_a_pause_is_the_whole_providers() -> None:
    """A pause told to one operation's limiter holds for those of all others, with and without a rate of their own."""
    gates = Gates(rates=ONE_A_SECOND)
    loop, watching, limiters = asyncio.get_running_loop(), gates.watching, gates.limiters
    others = [LimiterGate(loop, rates, watching, limiters) for rates in ((), (RateLimit(5, burst=1),))]
    await wait_turn(gates.limiter)
    sleeper = asyncio.ensure_future(wait_turn(gates.limiter))
    await asyncio.sleep(0.5)
    others[0].pause(7, 0.5, SERVER)
    assert [gate.is_paused(0.5) for gate in limiters] == [True] * 3
    assert await asyncio.gather(sleeper, *map(wait_turn, others)) == [7, 7, 7]
    assert watching.events == [LimiterPaused(seconds=6.5, source=SERVER)]
    assert [gate.is_paused(7) for gate in limiters] == [False] * 3


@pytest.mark.parametrize(
    ("deadline", "max_wait", "missing"), [(5.0, None, 4.0), (inf, 3.0, 6.0), (5.0, 7.0, 4.0), (9.0, 9.0, None)]
)
@virtually
async def test_a_pause_beyond_what_is_allowed(deadline: float, max_wait: float | None, missing: float | None) -> None:
    """A sleeper whose turn a pause has moved beyond its deadline or ``max_wait`` is refused when it wakes."""
    gate = Gates(rates=(RateLimit(1, burst=1, max_wait=max_wait),)).limiter
    await wait_turn(gate)
    waiting = asyncio.ensure_future(wait_turn(gate, deadline=deadline))
    asyncio.get_running_loop().call_at(0.5, gate.pause, 9, 0.5, SERVER)
    assert await waiting == (9 if missing is None else Rejected(missing))
    assert now() == (9 if missing is None else 1)
    assert gate.waiting == 0


@pytest.mark.parametrize(
    ("pauses", "events"),
    [
        ([(0, 5, SERVER)], [(5, SERVER)]),
        ([(0, 5, SERVER), (1, 5, SERVER)], [(5, SERVER)]),  # told again, by another answer
        ([(0, 5, SERVER), (1, 5.5, SERVER)], [(5, SERVER)]),
        ([(0, 5, SERVER), (1, 6, LOCAL)], [(5, SERVER), (5, LOCAL)]),
        ([(0, 5, SERVER), (1, 3, SERVER)], [(5, SERVER)]),  # no pause shortens another
        ([(0, 5, SERVER), (7, 9, SERVER)], [(5, SERVER), (2, SERVER)]),
        ([(8, 7, LOCAL)], []),  # over before it began
    ],
)
@virtually
async def test_what_the_watcher_hears_of_pauses(
    pauses: list[tuple[float, float, LimitSource]], events: list[tuple[float, LimitSource]]
) -> None:
    """A pause is told once, with its length and who asked for it; the same one told again is not news."""
    gates = Gates()
    for at, until, source in pauses:
        gates.limiter.pause(until, at, source)
    assert gates.watching.events == [LimiterPaused(seconds=seconds, source=source) for seconds, source in events]


# The limiter's gate: the provider's own limit.


@virtually
async def test_the_providers_quota_paces() -> None:
    """What is left of the provider's quota may be sent at once, and the next after its reset; without a reset all."""
    gate = Gates().limiter
    gate.heed(Quota(limit=100, remaining=2), None, 0)
    gate.heed(Quota(limit=100, reset=10), None, 0)
    assert [await wait_turn(gate) for _ in range(4)] == [0] * 4
    gate.heed(Quota(limit=100, remaining=2, reset=10), None, 0)
    assert [await wait_turn(gate) for _ in range(3)] == [0, 0, 10]


@virtually
async def test_a_quota_that_is_used_up_is_a_pause() -> None:
    """With nothing left nobody is sent before the reset, and the watcher hears of it, once."""
    gates = Gates(rates=ONE_A_SECOND)
    gates.limiter.heed(Quota(limit=100, remaining=0, reset=10), None, now())
    await asyncio.sleep(0.25)
    gates.limiter.heed(Quota(limit=100, remaining=0, reset=9.75), None, now())
    assert gates.watching.events == [LimiterPaused(seconds=10, source=SERVER)]
    assert gates.limiter.is_paused(9)
    assert await wait_turn(gates.limiter) == 10


@pytest.mark.parametrize(
    ("said", "at", "expected"),
    [
        (Quota(limit=100, remaining=7, reset=10), 1, Quota(limit=100, remaining=7, reset=10)),
        (Quota(limit=100, remaining=7, reset=10), 4, Quota(limit=100, remaining=7, reset=7)),
        (Quota(limit=100, remaining=7, reset=10), 10.5, Quota(limit=100, remaining=7, reset=0.5)),
        (Quota(limit=100, remaining=7, reset=10), 11, None),
        (Quota(limit=100, remaining=7), 10_000, Quota(limit=100, remaining=7)),
        (Quota(remaining=7, reset=0), 1, None),
    ],
)
@virtually
async def test_a_quota_is_known_as_long_as_it_holds(said: Quota, at: float, expected: Quota | None) -> None:
    """The quota told last is known, with the seconds that are left of it, until its reset."""
    gate = Gates().limiter
    assert gate.quota(0) is None
    gate.heed(said, None, 1)
    assert expected == gate.quota(at)
