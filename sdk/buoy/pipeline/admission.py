"""What one try holds of the policies that all calls share: asked for in order, settled in one place."""

from random import random
from typing import NamedTuple

from buoy.errors import BreakerOpen, ConcurrencyLimited, DeadlineExceeded, RateLimitedLocally, Refused
from buoy.events import CallRefused, WaitEnded
from buoy.outcome import TABLE, BreakerOutcome, BreakerState, ErrorType, LimitSource, Verdict, WaitCause
from buoy.pipeline.call import Call, Plan
from buoy.pipeline.gates import BreakerGate, LimiterGate
from buoy.policies.circuit import Denied, Lease
from buoy.policies.rate_limit import Rejected, Reservation

# A Retry-After above this (seconds), or above the time left, is an outage and not a hiccup.
_LONG = 60.0

_CLOSED = BreakerState.CLOSED
_SUCCESS = BreakerOutcome.SUCCESS


class Refusal(NamedTuple):
    """A policy said no. ``retry_after``: seconds after which asking again makes sense, where that is known."""

    error: type[Refused]
    retry_after: float | None = None
    breaker: str | None = None


class TurnedAwayError(Exception):
    """A further send of a try that has begun was refused."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.refusal = refusal


async def another_turn(call: Call) -> None:
    """Take one more turn of the limiter, for a further send of the same try; the wait is no time of the try.

    Raises :class:`TurnedAwayError`.
    """
    limiter = call.plan.limiter
    since = call.loop.time()
    if limiter is None or limiter.is_idle(since):
        return
    turn = limiter.reserve(since, call.plan.cost, call.deadline - since)
    if isinstance(turn, Rejected):
        raise TurnedAwayError(Refusal(RateLimitedLocally, turn.retry_after))
    if turn.gone:
        return
    rejected: Rejected | None = None
    try:
        rejected = await limiter.wait(turn, call.deadline)
    finally:
        _waited(call, WaitCause.RATE_LIMIT, since)
        call.try_started += call.loop.time() - since
        if not turn.gone:
            limiter.cancel(turn, call.loop.time())
    if rejected is not None:
        raise TurnedAwayError(Refusal(RateLimitedLocally, rejected.retry_after))


class Admission:
    """The right to send, of one try after the other: a retry paid for, a lease, a turn, a permit."""

    __slots__ = ("_begun", "_lease", "_permit", "_turn", "paid", "waits")

    def __init__(self) -> None:
        # When the retry was taken from the budget.
        self.paid: float | None = None
        self.waits = False
        self._lease: Lease | None = None
        self._turn: Reservation | None = None
        self._permit = False
        self._begun = False

    def obtain(self, call: Call) -> Refusal | None:
        """Ask for everything in order, and begin the try, unless :attr:`waits` says that something is to be waited for.

        A refusal leaves what is held to :meth:`settle`.
        """
        plan, now = call.plan, call.loop.time()
        if now >= call.deadline:
            return Refusal(DeadlineExceeded)
        refusal = None if plan.breaker is None else self._ask_breaker(call, plan.breaker, now)
        if refusal is None and plan.limiter is not None and not plan.limiter.is_idle(now):
            refusal = self._ask_limiter(call, plan.limiter, now)
        if refusal is not None:
            return refusal
        self.waits = not self._goes_on(plan)
        return None if self.waits else self._begin(call, now)

    async def wait(self, call: Call) -> Refusal | None:
        """Wait for what :meth:`obtain` did not get, ask the breaker again, and begin the try."""
        self.waits = False
        refusal, breaker = await self._queue(call), call.plan.breaker
        now = call.loop.time()
        if refusal is None and breaker is not None:
            refusal = self._ask_breaker(call, breaker, now)
        return self._begin(call, now) if refusal is None else refusal

    def settle(self, call: Call, failure: Verdict | None) -> None:
        """Give back what is to be given back, and say what came of the try: ``failure``, or ``None`` for success."""
        plan, now, begun, lease = call.plan, call.loop.time(), self._begun, self._lease
        if begun:
            call.end_try(now)
        elif self.paid is not None and plan.budget is not None:
            plan.budget.give_back(now, taken=self.paid)
        if self._permit and plan.permits is not None:
            plan.permits.give_back()
        counted = False
        if lease is not None and plan.breaker is not None:
            outcome = None if not begun else _SUCCESS if failure is None else TABLE[failure.error_type].breaker
            answered = now if call.answered is None else call.answered
            slow = begun and answered - call.try_started > plan.slow_over
            counted = plan.breaker.settle(lease, outcome, slow, now, random())
        if self._turn is not None and not begun and plan.limiter is not None:
            plan.limiter.cancel(self._turn, now)
        if begun and failure is not None and failure.retry_after is not None:
            _heed(call, failure, failure.retry_after, now, counted=counted)
        self.paid = self._lease = self._turn = None
        self._permit = self._begun = False

    def _ask_breaker(self, call: Call, gate: BreakerGate, now: float) -> Refusal | None:
        """Take a lease, or after a wait one that is still good."""
        if self._lease is not None:
            if gate.holds(self._lease, now):
                return None
            gate.settle(self._lease, None, slow=False, now=now)
            self._lease = None
        answer = gate.admit(now)
        if isinstance(answer, Denied):
            return Refusal(BreakerOpen, answer.retry_after, gate.name)
        self._lease = answer
        call.breaker_state = None if answer.state is _CLOSED else answer.state
        if answer.shadow and not call.shadowed:
            call.shadowed = True
            call.happened(CallRefused(reason=ErrorType.BREAKER_OPEN, enforced=False, breaker=gate.name))
        return None

    def _ask_limiter(self, call: Call, gate: LimiterGate, now: float) -> Refusal | None:
        """Claim a turn, now or later."""
        turn = gate.reserve(now, call.plan.cost, call.deadline - now)
        if isinstance(turn, Rejected):
            return Refusal(RateLimitedLocally, turn.retry_after)
        self._turn = turn
        return None

    def _goes_on(self, plan: Plan) -> bool:
        """Tell whether there is nothing to wait for: the turn is now, and a permit is free."""
        if self._turn is not None and not self._turn.gone:
            return False
        self._permit = plan.permits is not None and plan.permits.take()
        return self._permit or plan.permits is None

    async def _queue(self, call: Call) -> Refusal | None:
        """Wait for the turn, then for a permit: none is held while waiting for anything else."""
        limiter = call.plan.limiter
        while True:
            refusal = await self._wait_for_turn(call)
            if refusal is not None or self._goes_on(call.plan):
                return refusal
            refusal = await self._wait_for_permit(call)
            if refusal is not None or limiter is None or not self._gives_way(call, limiter):
                return refusal
            refusal = self._ask_limiter(call, limiter, call.loop.time())
            if refusal is not None:
                return refusal

    async def _wait_for_turn(self, call: Call) -> Refusal | None:
        limiter, turn = call.plan.limiter, self._turn
        if limiter is None or turn is None or turn.gone:
            return None
        since = call.loop.time()
        try:
            rejected = await limiter.wait(turn, call.deadline)
        finally:
            _waited(call, WaitCause.RATE_LIMIT, since)
        return None if rejected is None else Refusal(RateLimitedLocally, rejected.retry_after)

    async def _wait_for_permit(self, call: Call) -> Refusal | None:
        permits = call.plan.permits
        if permits is not None and permits.policy.max_wait != 0:
            since = call.loop.time()
            try:
                self._permit = await permits.wait(call.deadline - since)
            finally:
                _waited(call, WaitCause.CONCURRENCY, since)
        return None if self._permit else Refusal(ConcurrencyLimited)

    def _gives_way(self, call: Call, limiter: LimiterGate) -> bool:
        """Give back turn and permit, and tell so, if a pause began in the queue for the permit: it holds for all."""
        permits, now = call.plan.permits, call.loop.time()
        if not limiter.is_paused(now):
            return False
        if self._turn is not None:
            limiter.cancel(self._turn, now)
            self._turn = None
        if self._permit and permits is not None:
            permits.give_back()
            self._permit = False
        return True

    def _begin(self, call: Call, now: float) -> Refusal | None:
        self._begun = call.begin_try(now)
        if not self._begun:
            return Refusal(DeadlineExceeded)
        if call.attempt == 1 and call.plan.budget is not None:
            call.plan.budget.deposit(call.try_started)
        return None


def _waited(call: Call, cause: WaitCause, since: float) -> None:
    seconds = call.loop.time() - since
    call.add_wait(cause, seconds)
    call.happened(WaitEnded(cause=cause, seconds=seconds))


def _heed(call: Call, failure: Verdict, retry_after: float, now: float, *, counted: bool) -> None:
    """Do what a Retry-After asks of all calls: after a 429 nobody sends until then, and an outage opens the breaker."""
    limiter, breaker, error = call.plan.limiter, call.plan.breaker, failure.error_type
    if error is ErrorType.RATE_LIMITED and limiter is not None:
        limiter.pause(now + retry_after, now, LimitSource.SERVER)
    long = retry_after > min(_LONG, call.deadline - now)
    if error is ErrorType.SERVICE_UNAVAILABLE and long and counted and breaker is not None:
        breaker.open_for(retry_after, now)
