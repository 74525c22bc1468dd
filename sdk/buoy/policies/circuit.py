"""The circuit breaker itself: whether a try may be sent, and who tries first whether the provider is well again.

A try asks for a lease before it sends and settles it with what came of it. A lease belongs to the period (generation)
of the state that granted it: a result that comes later changes nothing. Source of the refusal's time left: Polly.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from buoy.outcome import BreakerCause, BreakerOutcome, BreakerState
from buoy.policies import backoff
from buoy.policies.breaker import Breaker, Mode
from buoy.policies.window import CountWindow, TimeWindow

# The open wait is spread by +-20 %, so that many clients of one provider do not come back together.
_SPREAD = 0.2
# Times and rates are sums, differences and products of floats: 5.2 - 0.2 must count as 5.
_SLACK = 1e-9
# Seconds (thirty years): what a provider asks for beyond this is for ever.
_LONGEST = 1e9


class Lease:
    """The right to send once, in a ``state``. ``shadow``: a breaker that enforces would have refused it."""

    __slots__ = ("generation", "settled", "shadow", "state")

    def __init__(self, generation: int, state: BreakerState, *, shadow: bool = False) -> None:
        self.generation = generation
        self.state = state
        self.settled = False
        self.shadow = shadow


class Denied(NamedTuple):
    """No. ``retry_after``: seconds until a trial; ``None`` while others try already, or when it was forced open."""

    retry_after: float | None


class Transition(NamedTuple):
    """A change of state. ``failures`` and ``calls`` are those of the window of the state that it left."""

    previous: BreakerState
    state: BreakerState
    cause: BreakerCause
    generation: int
    failures: int
    calls: int


class Figures(NamedTuple):
    """The present window, and the refusals since the state began. Rates are ``None`` below the minimum of calls."""

    buffered: int
    failed: int
    slow: int
    failure_rate: float | None
    slow_rate: float | None
    not_permitted: int


# For the decisions of every call: looking up a member of an enum is slow on Python 3.11.
_CLOSED, _OPEN, _HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
_FORCED_OPEN, _DISABLED, _METRICS_ONLY = BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.METRICS_ONLY
_FAILURE, _NEUTRAL = BreakerOutcome.FAILURE, BreakerOutcome.NEUTRAL
_INITIAL: dict[Mode, BreakerState] = {
    "enforce": _CLOSED,
    "metrics_only": _METRICS_ONLY,
    "disabled": _DISABLED,
}


class Circuit:
    """The breaker of one provider, or of operations that share it.

    Only :meth:`admit`, :meth:`settle` and the methods for an operator's hand change anything: the others may
    be called from any thread.
    """

    __slots__ = (
        "_failure_rate",
        "_generation",
        "_jitter",
        "_minimum",
        "_not_permitted",
        "_openings",
        "_permits",
        "_policy",
        "_probes",
        "_regular",
        "_seen",
        "_slow_rate",
        "_state",
        "_until",
        "_window",
        "crossed",
        "transitions",
    )

    def __init__(self, policy: Breaker) -> None:
        self._policy = policy
        self._failure_rate = inf if policy.failure_rate is None else policy.failure_rate
        self._slow_rate = inf if policy.slow_rate is None else policy.slow_rate
        self._regular = TimeWindow(policy.window) if policy.last is None else CountWindow(policy.last)
        self._probes = CountWindow(policy.half_open_permits)
        self._window: CountWindow | TimeWindow = self._regular
        self._minimum = self._minimum_in(_CLOSED)
        self._state = _INITIAL[policy.mode]
        # When the present state ends by itself; only open and half-open do, and for the others it says nothing.
        self._until: float
        self._generation = self._openings = self._permits = self._not_permitted = 0
        self._jitter = 1.0
        # The figures that opened it, while it is open.
        self._seen: Figures
        # The changes that nobody has drained yet.
        self.transitions: list[Transition] = []
        # The rates that reached their threshold in this period of metrics_only, each once.
        self.crossed: tuple[BreakerCause, ...] = ()

    @property
    def generation(self) -> int:
        """The number of the present period: each change of state and each reset begins another."""
        return self._generation

    @property
    def openings(self) -> int:
        """How often it has opened since it was last closed."""
        return self._openings

    def admit(self, now: float) -> Lease | Denied:
        """Ask to send. A lease is to be settled, whatever happens. This is what ends the open state, not reading."""
        if self._state is _CLOSED:
            return Lease(self._generation, _CLOSED)
        self._expire(now)
        if self._state is _OPEN and now >= self._until - _SLACK:
            self._enter(_HALF_OPEN, BreakerCause.WAIT_ELAPSED, now)
        if self._state is _OPEN:
            return self._deny(self._until - now)
        if self._state is _FORCED_OPEN:
            return self._deny(None)
        if self._state is _HALF_OPEN:
            if self._permits == 0:
                return self._deny(None)
            self._permits -= 1
            return Lease(self._generation, _HALF_OPEN)
        return Lease(self._generation, self._state, shadow=self._state is _METRICS_ONLY and self._would_open(now))

    def holds(self, lease: Lease, now: float) -> bool:
        """Tell whether a lease is still good, after a wait: if not, settle it with ``None`` and ask again."""
        return not lease.settled and lease.generation == self._generation and not self._expired(now)

    def settle(
        self,
        lease: Lease,
        outcome: BreakerOutcome | None,
        slow: bool,  # noqa: FBT001  # by position, because one is settled for every send
        now: float,
        random: float,
    ) -> bool:
        """Say what came of a lease, ``None`` for nothing or cancelled; tell whether it counted.

        Neutral and ``None`` give the permit back and are not recorded. ``random`` (0 to 1) spreads the wait if this
        opens the breaker; 0.5 is no jitter. Settling again, or in another period, changes nothing.
        """
        if lease.settled:
            return False
        lease.settled = True
        if self._state is not _CLOSED:
            self._expire(now)
        if lease.generation != self._generation:
            return False
        if outcome is None or outcome is _NEUTRAL:
            self._permits += self._state is _HALF_OPEN
            return False
        if self._state is _DISABLED:
            return False
        window = self._window
        window.add(now, outcome is _FAILURE, slow)
        reached = self._reached()
        # In half-open also the good news is a verdict.
        if reached is not None or self._state is _HALF_OPEN:
            self._judge(reached, now, random)
        return True

    def open_for(self, seconds: float, now: float) -> None:
        """Open for a given time, because the provider said so. An open one stays open longer, never shorter.

        States set by hand stay. Call it for a result that counted, after :meth:`settle`.
        """
        if not seconds > 0:
            return
        seconds = min(seconds, _LONGEST)
        self._expire(now)
        if self._state is _OPEN:
            self._until = max(self._until, now + seconds)
        elif self._state is _CLOSED or self._state is _HALF_OPEN:
            self._open(BreakerCause.RETRY_AFTER, now, seconds)

    def force(self, state: BreakerState, now: float, for_s: float | None = None) -> None:
        """Change the state by hand; opened so, it stays open for ``for_s`` seconds, or as long as it would by itself.

        Forcing the state that it has changes nothing but the time left, if ``for_s`` is given. Raises ``ValueError``
        for a step from closed to half-open, and for a time that makes no sense.
        """
        state = BreakerState(state)
        if for_s is not None and (state is not _OPEN or not 0 < for_s < inf):
            raise ValueError(f"for_s={for_s!r}: a finite number of seconds above 0, and only with 'open'.")
        self._expire(now)
        if self._state is _CLOSED and state is _HALF_OPEN:
            raise ValueError("A closed breaker cannot be forced to 'half_open': force it to 'open' first.")
        if state is not self._state and state is not _OPEN:
            self._enter(state, BreakerCause.MANUAL, now)
        elif state is not self._state:
            self._jitter = 1.0
            self._open(BreakerCause.MANUAL, now, for_s)
        elif for_s is not None:
            self._until = now + for_s

    def reset(self, now: float) -> None:
        """Begin anew, in the state of the policy's mode, with nothing recorded."""
        self._expire(now)
        self._openings = 0
        self._enter(_INITIAL[self._policy.mode], BreakerCause.MANUAL, now)

    def state(self, now: float) -> BreakerState:
        """Return the state. A half-open period that is over is seen as open; what is open ends by :meth:`admit`."""
        return _OPEN if self._expired(now) else self._state

    def figures(self, now: float) -> Figures:
        """Return the figures; while it is open, those that opened it."""
        if self._state is _OPEN:
            return self._seen._replace(not_permitted=self._not_permitted)
        total, failed, slow = self._window.counts(now)
        if total < self._minimum:
            return Figures(total, failed, slow, None, None, self._not_permitted)
        return Figures(total, failed, slow, failed / total, slow / total, self._not_permitted)

    def drain(self) -> Sequence[Transition]:
        """Return the changes since the last time, oldest first, and forget them."""
        if not self.transitions:
            return ()
        transitions, self.transitions = self.transitions, []
        return transitions

    def _deny(self, retry_after: float | None) -> Denied:
        self._not_permitted += 1
        return Denied(retry_after)

    def _reached(self) -> BreakerCause | None:
        """Return the rate that is at its threshold. Asked after successes too: one may be the call that was missing."""
        window = self._window
        total = window.total
        if total < self._minimum:
            return None
        if window.failed + _SLACK >= self._failure_rate * total:
            return BreakerCause.FAILURE_RATE
        return BreakerCause.SLOW_RATE if window.slow + _SLACK >= self._slow_rate * total else None

    def _judge(self, reached: BreakerCause | None, now: float, random: float) -> None:
        """Change the state as the result just recorded demands."""
        if self._state is _METRICS_ONLY:
            self._note()
        elif reached is not None:
            self._jitter = 1 + _SPREAD * (2 * random - 1)
            self._open(reached if self._state is _CLOSED else BreakerCause.PROBE_FAILED, now)
        elif self._window.total >= self._minimum:
            self._enter(_CLOSED, BreakerCause.PROBE_SUCCEEDED, now)

    def _note(self) -> None:
        """Note the rates at their threshold, each once; both may be at the same time."""
        window = self._window
        for cause, bad, rate in (
            (BreakerCause.FAILURE_RATE, window.failed, self._failure_rate),
            (BreakerCause.SLOW_RATE, window.slow, self._slow_rate),
        ):
            if bad + _SLACK >= rate * window.total and cause not in self.crossed:
                self.crossed += (cause,)

    def _would_open(self, now: float) -> bool:
        self._window.move(now)
        return self._reached() is not None

    def _expired(self, now: float) -> bool:
        return self._state is _HALF_OPEN and now >= self._until - _SLACK

    def _expire(self, now: float) -> None:
        """End a half-open period without a verdict, as of when it ended: a silent hour has been waited already.

        There is no chance to draw from here; the jitter of the opening before keeps clients apart as well.
        """
        if self._expired(now):
            self._open(BreakerCause.PROBE_FAILED, self._until)

    def _open(self, cause: BreakerCause, now: float, wait: float | None = None) -> None:
        self._openings += 1
        # In the window of the period that ends here.
        self._seen = self.figures(now)
        self._enter(_OPEN, cause, now)
        self._until = now + (self._nominal() * self._jitter if wait is None else wait)

    def _enter(self, state: BreakerState, cause: BreakerCause, now: float) -> None:
        """Begin a period. All but an open one start with an empty window."""
        before, left = self._state, self.figures(now)
        self._state = state
        self._generation += 1
        self._not_permitted = 0
        self.crossed = ()
        if state is not _OPEN:
            self._window = self._probes if state is _HALF_OPEN else self._regular
            self._window.clear()
            self._minimum = self._minimum_in(state)
        if state is _CLOSED:
            self._openings = 0
        if state is _HALF_OPEN:
            self._permits = self._policy.half_open_permits
            # As long as the wait that has grown: probes slower than the first wait get their answer in the end.
            longest = self._policy.half_open_for
            self._until = now + (self._nominal() if longest is None else longest)
        if state is not before:
            self.transitions.append(Transition(before, state, cause, self._generation, left.failed, left.buffered))

    def _nominal(self) -> float:
        """Return the wait of the present opening, without jitter."""
        policy = self._policy
        return backoff.nominal(max(1, self._openings), base=policy.wait, factor=policy.wait_factor, cap=policy.wait_cap)

    def _minimum_in(self, state: BreakerState) -> int:
        """Return the calls that a verdict takes; never more than the window holds, or there would never be one."""
        most = self._policy.half_open_permits if state is _HALF_OPEN else self._policy.last
        return self._policy.minimum_calls if most is None else min(self._policy.minimum_calls, most)
