"""The laws of the limiter under any traffic: the rate, the order, the pauses, and that nothing is lost."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from math import inf
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from buoy.policies.rate_limit import Limiter, RateLimit, Rejected, Reservation

# Sums of floats, and the slack of every comparison of times.
CLOSE = 1e-6
# What the limiter takes for the same reset.
JITTER = 0.05

RATES = st.sampled_from([0.5, 1, 3, 10, 40])
LIMITS = st.lists(
    st.builds(RateLimit, RATES, per=st.sampled_from([0.5, 1, 10]), burst=st.sampled_from([None, 1, 2.5, 5, 20])),
    max_size=3,
).map(tuple)
COSTS = st.sampled_from([0, 1, 1, 1, 0.5, 2, 3, 7])
LEFT = st.sampled_from([0, 0.1, 1, 5, inf])
SECONDS = st.sampled_from([0, 0.01, 0.1, 0.3, 1, 2, 5, 20])


def close(got: Sequence[float | None], want: Sequence[float | None]) -> bool:
    """Tell whether two states are the same up to the rounding of floats."""
    return len(got) == len(want) and all(
        one == other or (one is not None and other is not None and abs(one - other) <= CLOSE)
        for one, other in zip(got, want, strict=True)
    )


class Act(NamedTuple):
    """A request that left."""

    at: float
    cost: float
    number: int


class Waiter:
    """A caller as the pipeline has it: it sleeps until its turn, and then asks again."""

    def __init__(self, reservation: Reservation, number: int) -> None:
        self.reservation = reservation
        self.number = number
        self.wakes = reservation.act_at
        self.acted = False


class Traffic(RuleBasedStateMachine):
    """Callers that come, wait, act and give up, and a provider that pauses us and tells us its quota."""

    waiters = Bundle("waiters")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.asleep: list[Waiter] = []
        self.acts: list[Act] = []
        self.came = 0
        self.paused_until = -inf
        # What the provider said last: units, until when, and how many requests had left by then.
        self.quota = (inf, -inf, 0)
        self.limits: tuple[RateLimit, ...] = ()
        self.limiter = Limiter()

    @initialize(limits=LIMITS)
    def begin(self, limits: tuple[RateLimit, ...]) -> None:
        """Any rates, also none."""
        self.limits = limits
        self.limiter = Limiter(limits)

    @rule(target=waiters, cost=COSTS, left=LEFT)
    def come(self, cost: float, left: float) -> Waiter | None:
        """What a caller is told by looking is what it gets by reserving, and it never waits longer than it can."""
        expected = self.limiter.peek(self.now, cost=cost)
        turn = self.limiter.reserve(self.now, cost=cost, left=left)
        if isinstance(turn, Rejected):
            assert close([expected], [None if turn.retry_after is None else turn.retry_after + left])
            return None
        assert close([expected], [turn.act_at - self.now])
        assert turn.act_at <= self.now + left + CLOSE
        waiter = Waiter(turn, self.came)
        self.came += 1
        self.asleep.append(waiter)
        self.wake()
        return waiter

    @rule(waiter=consumes(waiters))
    def give_up(self, waiter: Waiter | None) -> None:
        """A caller is cancelled while it waits."""
        if waiter is not None and not waiter.acted:
            self.asleep.remove(waiter)
            self.limiter.cancel(waiter.reservation, self.now)

    @rule()
    def look(self) -> None:
        """Where it is idle any number of turns is to be had at once, and idle it is without a rate or a word."""
        silent = not self.limits and self.quota[1] == self.paused_until == -inf
        assert self.limiter.is_idle(self.now) or not silent
        if self.limiter.is_idle(self.now):
            other = deepcopy(self.limiter)
            turns = [other.reserve(self.now, cost=100) for _ in range(5)]
            assert [self.now] * 5 == [turn.act_at for turn in turns if isinstance(turn, Reservation)]

    @rule(seconds=SECONDS)
    def pause(self, seconds: float) -> None:
        """No pause shortens an earlier one."""
        self.paused_until = max(self.paused_until, self.now + seconds)
        self.limiter.penalize(self.now + seconds)
        assert self.limiter.paused_until >= self.paused_until

    @rule(
        remaining=st.sampled_from([0, 1, 2, 10, 100]),
        reset=SECONDS.filter(bool),
        limit=st.sampled_from([None, 1, 10, 100]),
        window=st.sampled_from([None, 0.5, 10, 60]),
    )
    def hear(self, remaining: float, reset: float, limit: float | None, window: float | None) -> None:
        """An answer brings the quota; the policy may be told with it."""
        self.limiter.pace(remaining, reset, self.now, limit=limit, window=window)
        self.quota = (remaining, self.now + reset, len(self.acts))

    @rule(seconds=SECONDS)
    def pass_time(self, seconds: float) -> None:
        """Timers fire in their order."""
        until = self.now + seconds
        while self.asleep and (due := min(waiter.wakes for waiter in self.asleep)) <= until:
            self.now = max(self.now, due)
            self.wake()
        self.now = until

    def wake(self) -> None:
        """Let all whose time has come ask again: they act, or sleep on."""
        for waiter in sorted(self.asleep, key=lambda waiter: (waiter.wakes, waiter.number)):
            if waiter.wakes > self.now:
                break
            waiter.wakes = self.limiter.act_at(waiter.reservation, self.now)
            if waiter.wakes <= self.now:
                waiter.acted = True
                self.asleep.remove(waiter)
                self.acts.append(Act(self.now, waiter.reservation.cost, waiter.number))
                assert self.now >= self.paused_until

    @invariant()
    def never_above_rate_times_time_plus_burst(self) -> None:
        """No interval holds more than rate x time + burst, for each of the rates."""
        for limit in self.limits:
            # The fill of a bucket that leaks at the rate is what the busiest interval up to now holds above it.
            fill, before = 0.0, 0.0
            for act in self.acts:
                fill = max(0.0, fill - (act.at - before) * limit.rate / limit.per) + act.cost
                before = act.at
                assert fill <= limit.capacity + CLOSE

    @invariant()
    def in_the_order_of_reservation(self) -> None:
        """Nobody is overtaken, however large it is and whoever is cancelled."""
        assert all(first.number < second.number for first, second in pairwise(self.acts))

    @invariant()
    def never_more_than_the_provider_said(self) -> None:
        """Until the reset no more leave than the provider said last."""
        remaining, until, sent = self.quota
        assert sum(act.cost for act in self.acts[sent:] if act.at < until - JITTER) <= remaining + CLOSE

    def teardown(self) -> None:
        """Everybody who waits is served in the end, and then the whole burst is there again."""
        self.pass_time(1e9)
        assert self.asleep == []
        assert self.limiter.full_in(self.now) == 0.0
        assert all(limit.capacity >= (self.limiter.remaining(self.now) or 0) for limit in self.limits)


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


class Offer(NamedTuple):
    """A caller who comes some time after the one before."""

    after: float
    cost: float


OFFERS = st.lists(st.builds(Offer, st.sampled_from([0, 0, 0.01, 0.3, 1]), COSTS), max_size=20)


def offered(limiter: Limiter, offers: list[Offer], now: float) -> tuple[list[Reservation | Rejected], float]:
    """Reserve one after the other; return the turns and the time of the last."""
    turns = []
    for offer in offers:
        now += offer.after
        turns.append(limiter.reserve(now, cost=offer.cost))
    return turns, now


def state(limiter: Limiter, now: float) -> list[float | None]:
    """Return all that a caller could learn."""
    peeks = [limiter.peek(now, cost=cost) for cost in (0, 1, 2, 5)]
    return [limiter.remaining(now), limiter.full_in(now), limiter.paused_until, *peeks]


@given(LIMITS, OFFERS, st.lists(COSTS, max_size=20), st.randoms(use_true_random=False))
def test_a_cancelled_gather_loses_nothing(
    limits: tuple[RateLimit, ...], offers: list[Offer], gather: list[float], random: Random
) -> None:
    """Whoever came at once and is cancelled in whatever order leaves the limiter as if they had never come."""
    limiter, untouched = Limiter(limits), Limiter(limits)
    _, now = offered(limiter, offers, 0.0)
    offered(untouched, offers, 0.0)
    turns = [turn for cost in gather if isinstance(turn := limiter.reserve(now, cost=cost), Reservation)]
    random.shuffle(turns)
    for turn in turns:
        limiter.cancel(turn, now)
    assert close(state(limiter, now), state(untouched, now))


@given(LIMITS, OFFERS, COSTS, LEFT)
def test_a_refusal_changes_nothing_and_is_exact(
    limits: tuple[RateLimit, ...], offers: list[Offer], cost: float, left: float
) -> None:
    """A refused request leaves no trace, and the same one fits after ``retry_after`` and not before."""
    limiter = Limiter(limits)
    _, now = offered(limiter, offers, 0.0)
    before = state(limiter, now)
    refused = limiter.reserve(now, cost=cost, left=left)
    if isinstance(refused, Reservation):
        return
    assert state(limiter, now) == before
    if refused.retry_after is None:
        assert cost > limiter.capacity
        return
    assert isinstance(limiter.reserve(now + refused.retry_after * 0.999 - 1e-5, cost=cost, left=left), Rejected)
    assert isinstance(limiter.reserve(now + refused.retry_after, cost=cost, left=left), Reservation)


@given(LIMITS, OFFERS, OFFERS, st.floats(min_value=0, max_value=100))
def test_a_clock_that_steps_back_loses_nothing(
    limits: tuple[RateLimit, ...], before: list[Offer], after: list[Offer], back: float
) -> None:
    """After the step everything goes on as if the clock had always shown the new time; waiters move along."""
    turns = []
    for step in (0.0, back):
        limiter = Limiter(limits)
        waiting, now = offered(limiter, before, 100.0)
        limiter.penalize(now + 1)
        limiter.pace(5, 3, now, limit=5)
        seen = limiter.reserve(now - step, cost=0)  # the limiter looks at the clock
        came, _ = offered(limiter, after, now - step)
        all_of_them = [*waiting, seen, *came]
        turns.append([turn.act_at + step for turn in all_of_them if isinstance(turn, Reservation) and not turn.gone])
    assert close(turns[0], turns[1])


@given(LIMITS, OFFERS, SECONDS)
def test_what_the_provider_says_never_lifts_our_rate(
    limits: tuple[RateLimit, ...], offers: list[Offer], reset: float
) -> None:
    """However generous the provider, nobody's turn comes earlier than without its word."""
    limiter, alone = Limiter(limits), Limiter(limits)
    limiter.pace(1e9, reset + 0.1, 0.0, limit=1e9, window=0.1)
    heard, _ = offered(limiter, offers, 0.0)
    unheard, _ = offered(alone, offers, 0.0)
    earliest = [turn.act_at if isinstance(turn, Reservation) else inf for turn in unheard]
    assert all(
        turn.act_at >= at if isinstance(turn, Reservation) else at == inf
        for turn, at in zip(heard, earliest, strict=True)
    )
