"""The gates between a try and the wire: the policies that calls share, with those who wait for them.

A policy decides and is pure; a gate has the waiters and tells the watcher what changed. A gate belongs to one event
loop and to one provider, or to the operations that have a policy of their own.
"""

import asyncio
from math import inf

from buoy.events import BreakerChanged, LimiterPaused, Watcher
from buoy.outcome import BreakerOutcome, BreakerState, LimitSource
from buoy.policies.breaker import Breaker
from buoy.policies.circuit import Circuit, Denied, Figures, Lease
from buoy.policies.concurrency import Concurrency, Permits, longest_wait
from buoy.policies.rate_limit import Limiter, RateLimit, Rejected, Reservation
from buoy.result import Quota

# Times are sums of floats.
_SLACK = 1e-9
# A pause that ends this much later (seconds) than the one before is the same one, told again.
_SAME = 0.5


class BreakerGate:
    """A circuit breaker, and who is told of its changes."""

    __slots__ = ("_circuit", "_watcher", "name", "policy")

    def __init__(self, name: str, policy: Breaker, watcher: Watcher) -> None:
        self.name = name
        self.policy = policy
        self._circuit = Circuit(policy)
        self._watcher = watcher

    def admit(self, now: float) -> Lease | Denied:
        """Ask to send; a lease is to be settled."""
        answer = self._circuit.admit(now)
        if self._circuit.transitions:
            self._tell()
        return answer

    def holds(self, lease: Lease, now: float) -> bool:
        """Tell whether a lease is still good after a wait."""
        return self._circuit.holds(lease, now)

    def settle(
        self,
        lease: Lease,
        outcome: BreakerOutcome | None,
        slow: bool,  # noqa: FBT001  # by position, because one is settled for every send
        now: float,
        random: float = 0.5,
    ) -> bool:
        """Say what came of a lease; tell whether it counted."""
        counted = self._circuit.settle(lease, outcome, slow, now, random)
        if self._circuit.transitions:
            self._tell()
        return counted

    def open_for(self, seconds: float, now: float) -> None:
        """Open for a given time, because the provider said so."""
        self._circuit.open_for(seconds, now)
        self._tell()

    def force(self, state: BreakerState, now: float, for_s: float | None = None) -> None:
        """Change the state by hand. Raises ``ValueError`` for a step that there is not."""
        self._circuit.force(state, now, for_s)
        self._tell()

    def reset(self, now: float) -> None:
        """Begin anew, with nothing recorded."""
        self._circuit.reset(now)
        self._tell()

    def state(self, now: float) -> BreakerState:
        """Return the state; any thread may ask."""
        return self._circuit.state(now)

    def figures(self, now: float) -> Figures:
        """Return the figures of the present window; any thread may ask."""
        return self._circuit.figures(now)

    def _tell(self) -> None:
        for change in self._circuit.drain():
            self._watcher.changed(
                BreakerChanged(
                    name=self.name,
                    previous=change.previous,
                    state=change.state,
                    cause=change.cause,
                    generation=change.generation,
                    failures=change.failures,
                    calls=change.calls,
                )
            )


class LimiterGate:
    """A rate limiter, who waits for a turn, and what the provider said last of its own limit."""

    __slots__ = ("_loop", "_peers", "_told", "_told_at", "_watcher", "is_idle", "limiter", "rates", "waiting")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rates: tuple[RateLimit, ...],
        watcher: Watcher,
        peers: "list[LimiterGate]",
    ) -> None:
        self.rates = rates
        self.limiter = Limiter(rates)
        # Asked on the way of every try: where it is, none has to reserve a turn.
        self.is_idle = self.limiter.is_idle
        self.waiting = 0
        self._loop = loop
        self._watcher = watcher
        # All of the provider: a 429 is about the account, not about the operation that was told.
        self._peers = peers
        self._told: Quota | None = None
        self._told_at = -inf
        peers.append(self)

    def reserve(self, now: float, cost: float, left: float) -> Reservation | Rejected:
        """Claim a turn within ``left`` seconds."""
        return self.limiter.reserve(now, cost=cost, left=left)

    async def wait(self, reservation: Reservation, deadline: float) -> Rejected | None:
        """Sleep until the turn has come; give it up when a pause has moved it beyond ``deadline`` or ``max_wait``."""
        loop, limiter = self._loop, self.limiter
        latest = min(deadline, loop.time() + limiter.max_wait)
        self.waiting += 1
        try:
            while True:
                now = loop.time()
                act_at = limiter.act_at(reservation, now)
                if reservation.gone:
                    return None
                if act_at > latest + _SLACK:
                    return Rejected(act_at - latest)
                await asyncio.sleep(act_at - now)
        finally:
            self.waiting -= 1

    def cancel(self, reservation: Reservation, now: float) -> None:
        """Give back what was claimed and not used."""
        self.limiter.cancel(reservation, now)

    def heed(self, quota: Quota, window: float | None, now: float) -> None:
        """Slow down as the provider asks: ``remaining`` requests until ``reset``."""
        self._told, self._told_at = quota, now
        if quota.remaining is None or quota.reset is None:
            return
        before = self.limiter.paused_until
        self.limiter.pace(quota.remaining, quota.reset, now, limit=quota.limit, window=window)
        self._tell(before, now, LimitSource.SERVER)

    def pause(self, until: float, now: float, source: LimitSource) -> None:
        """Let nobody of the provider send before ``until``."""
        before = self.limiter.paused_until
        for gate in self._peers:
            gate.limiter.penalize(until)
        self._tell(before, now, source)

    def is_paused(self, now: float) -> bool:
        """Tell whether nobody may send now."""
        return self.limiter.paused_until > now + _SLACK

    def quota(self, now: float) -> Quota | None:
        """Return what the provider said last of its limit, as long as it holds; any thread may ask."""
        told, passed = self._told, now - self._told_at
        if told is None or (told.reset is not None and passed >= told.reset):
            return None
        reset = None if told.reset is None else told.reset - passed
        return Quota(limit=told.limit, remaining=told.remaining, reset=reset)

    def _tell(self, before: float, now: float, source: LimitSource) -> None:
        until = self.limiter.paused_until
        if until > now and until > before + _SAME:
            self._watcher.changed(LimiterPaused(seconds=until - now, source=source))


class PermitGate:
    """The permits for sends at once, and those who wait for one, first come, first served."""

    __slots__ = ("_loop", "permits", "policy")

    def __init__(self, loop: asyncio.AbstractEventLoop, policy: Concurrency) -> None:
        self.policy = policy
        self.permits = Permits(policy.limit)
        self._loop = loop

    def take(self) -> bool:
        """Take a permit if one is free."""
        return self.permits.take()

    async def wait(self, left: float) -> bool:
        """Queue for a permit, after :meth:`take` said no; ``False`` when none came in time, ``left`` at most."""
        longest = longest_wait(self.policy, left=left)
        if longest <= 0:
            return False
        waiter: asyncio.Future[bool] = self._loop.create_future()
        timer = None if longest == inf else self._loop.call_later(longest, _answer, waiter, False)  # noqa: FBT003
        self.permits.join(waiter)
        served = False
        try:
            served = await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not served:  # out of time or cancelled: a permit granted meanwhile goes to the next
                self._wake(self.permits.leave(waiter))
        return served

    def give_back(self) -> None:
        """Return a permit; it goes to the first in the queue."""
        self._wake(self.permits.give_back())

    @staticmethod
    def _wake(waiter: object | None) -> None:
        if isinstance(waiter, asyncio.Future):
            _answer(waiter, True)  # noqa: FBT003


def _answer(waiter: asyncio.Future[bool], served: bool) -> None:  # noqa: FBT001  # call_later gives positions
    if not waiter.done():
        waiter.set_result(served)
