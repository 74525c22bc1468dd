"""An operator's hand on the live policies of an open provider, for use in the provider's own event loop.

It is good until the provider is left: after that, and in another loop, it raises ``RuntimeError`` rather than act on
nothing.
"""

import asyncio
from collections.abc import Mapping
from math import isfinite

from buoy.outcome import BreakerState, LimitSource
from buoy.pipeline.call import Plan
from buoy.pipeline.gates import BreakerGate, LimiterGate, PermitGate
from buoy.runtime import Live


class BreakerControl:
    """One breaker."""

    __slots__ = ("_gate", "_live")

    def __init__(self, gate: BreakerGate, live: Live) -> None:
        self._gate = gate
        self._live = live

    def __repr__(self) -> str:
        return f"<breaker {self._gate.name} {self._gate.state(self._live.loop.time())}>"

    @property
    def name(self) -> str:
        """Its name in telemetry."""
        return self._gate.name

    @property
    def state(self) -> BreakerState:
        """What it does with calls now."""
        return self._gate.state(_now(self._live))

    def force(self, state: BreakerState | str, for_s: float | None = None) -> None:
        """Change the state by hand; ``"open"`` lasts ``for_s`` seconds, or as long as it would by itself.

        ``"forced_open"``, ``"disabled"`` and ``"metrics_only"`` last until the next word. Raises ``ValueError`` for a
        state that there is not, and for ``"half_open"`` while it is closed.
        """
        if state not in set(BreakerState):
            raise ValueError(f"state={state!r} is not allowed; it must be one of {', '.join(BreakerState)}.")
        self._gate.force(BreakerState(state), _now(self._live), for_s)

    def reset(self) -> None:
        """Begin anew, as if the provider had just been entered."""
        self._gate.reset(_now(self._live))


class LimiterControl:
    """One rate limiter, with the pauses of the whole provider."""

    __slots__ = ("_gate", "_live")

    def __init__(self, gate: LimiterGate, live: Live) -> None:
        self._gate = gate
        self._live = live

    def __repr__(self) -> str:
        return f"<rate limiter of {self._live.provider}: {self._gate.waiting} waiting>"

    @property
    def remaining(self) -> int | None:
        """The units that can be sent at once; ``None`` without a rate of our own."""
        return self._gate.limiter.remaining(_now(self._live))

    @property
    def waiting(self) -> int:
        """The calls that wait for their turn."""
        return self._gate.waiting

    @property
    def paused_for(self) -> float:
        """The seconds for which nobody sends; 0 when it is not paused."""
        return max(0.0, self._gate.limiter.paused_until - _now(self._live))

    def penalize(self, until: float) -> None:
        """Let nobody of the provider send before ``until``, a reading of the event loop's clock (``loop.time() + 30``).

        Those who wait already wait longer. A pause never shortens an earlier one.
        """
        if not isinstance(until, int | float) or not isfinite(until):
            msg = f"until={until!r} is not allowed; it must be a reading of the loop's clock, like loop.time() + 30."
            raise ValueError(msg)
        self._gate.pause(until, _now(self._live), LimitSource.LOCAL)


class ConcurrencyControl:
    """The permits for sends at once."""

    __slots__ = ("_gate",)

    def __init__(self, gate: PermitGate) -> None:
        self._gate = gate

    def __repr__(self) -> str:
        return f"<permits: {self.used} of {self.limit} taken, {self.waiting} waiting>"

    @property
    def limit(self) -> int:
        """The permits there are."""
        return self._gate.permits.limit

    @property
    def used(self) -> int:
        """The permits taken."""
        return self._gate.permits.used

    @property
    def waiting(self) -> int:
        """The calls that wait for a permit."""
        return self._gate.permits.waiting


class PolicyControl:
    """The live policies of a provider, or of one operation."""

    def __init__(
        self,
        live: Live,
        owner: str,
        breaker: BreakerGate | None,
        limiter: LimiterGate,
        permits: PermitGate | None,
    ) -> None:
        self._live = live
        self._owner = owner
        self._breaker = breaker
        self._limiter = limiter
        self._permits = permits

    def __repr__(self) -> str:
        return f"<control of {self._owner}>"

    @property
    def breaker(self) -> BreakerControl:
        """The breaker. Raises ``LookupError`` where it is switched off."""
        if self._breaker is None:
            msg = f"{self._owner} has no breaker: breaker=None."
            raise LookupError(msg)
        return BreakerControl(self._breaker, self._live)

    @property
    def limiter(self) -> LimiterControl:
        """The rate limiter; without ``limit`` it only obeys the provider and you."""
        return LimiterControl(self._limiter, self._live)

    @property
    def concurrency(self) -> ConcurrencyControl:
        """The permits. Raises ``LookupError`` where there are none."""
        if self._permits is None:
            msg = f"{self._owner} has no concurrency limit: concurrency=None."
            raise LookupError(msg)
        return ConcurrencyControl(self._permits)


class Control(PolicyControl):
    """The live policies of a provider, and through :meth:`operation` those of its operations."""

    def __init__(self, live: Live, breaker: str | None, plans: Mapping[str, Plan]) -> None:
        gate = None if breaker is None else live.breakers[breaker]
        super().__init__(live, f"provider {live.provider!r}", gate, live.limiter, live.permits)
        self._plans = plans

    def operation(self, name: str) -> PolicyControl:
        """Return the policies that an operation has, its own or the provider's. Raises ``LookupError``."""
        plan = self._plans.get(name)
        if plan is None:
            known = ", ".join(map(repr, self._plans)) or "none"
            msg = f"provider {self._live.provider!r} has no declared operation {name!r}; there is {known}."
            raise LookupError(msg)
        limiter = plan.limiter or self._live.limiter
        return PolicyControl(self._live, f"operation {name!r}", plan.breaker, limiter, plan.permits)


def _now(live: Live) -> float:
    """Return the time in the provider's loop. Raises ``RuntimeError`` elsewhere, and after the provider was left."""
    if live.closed:
        msg = f"provider {live.provider!r} was left since: ask it for its control again once it is open."
        raise RuntimeError(msg)
    if asyncio.get_running_loop() is not live.loop:
        msg = f"provider {live.provider!r} belongs to the event loop that entered it, and so does its control."
        raise RuntimeError(msg)
    return live.loop.time()
