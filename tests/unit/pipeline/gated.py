"""The gates that the calls of one provider share, made in the running virtual-time loop, and calls that ask them."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any, ParamSpec

from buoy.events import StateEvent
from buoy.outcome import BreakerState
from buoy.pipeline.call import Plan
from buoy.pipeline.gates import BreakerGate, LimiterGate, PermitGate
from buoy.pipeline.tally import Tally
from buoy.policies.breaker import Breaker
from buoy.policies.budget import Budget, RetryBudget
from buoy.policies.circuit import Denied
from buoy.policies.concurrency import Concurrency
from buoy.policies.rate_limit import RateLimit
from tests.support.virtual_time import now
from tests.unit.pipeline.scripted import PLAN, Scenario, Step

P = ParamSpec("P")


class Watching:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[StateEvent] = []

    def changed(self, event: StateEvent) -> None:
        """Keep it."""
        self.events.append(event)


@dataclass
class Gates:
    """All that the calls of one provider share; what is not given is switched off."""

    breaker: Breaker | None = None
    rates: tuple[RateLimit, ...] = ()
    concurrency: Concurrency | None = None
    budget: RetryBudget | None = None
    cost: float = 1

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.watching = Watching()
        self.limiters: list[LimiterGate] = []
        self.limiter = LimiterGate(loop, self.rates, self.watching, self.limiters)
        self.permits = None if self.concurrency is None else PermitGate(loop, self.concurrency)
        self.circuit = None if self.breaker is None else BreakerGate("shop", self.breaker, self.watching)
        self.account = None if self.budget is None else Budget(self.budget, loop.time())
        self.tally = Tally()
        self.plan: Plan = replace(
            PLAN,
            breaker=self.circuit,
            limiter=self.limiter,
            permits=self.permits,
            budget=self.account,
            cost=self.cost,
            tally=self.tally,
        )

    def scenario(self, *steps: Step, plan: Plan | None = None, **options: Any) -> Scenario:
        """Return a call that will ask them; without steps it answers at once."""
        return Scenario(steps or [Step()], plan=plan or self.plan, **options)

    def half_open(self) -> None:
        """Begin a half-open period, so that every lease counts."""
        assert self.circuit is not None
        if self.circuit.state(now()) is not BreakerState.HALF_OPEN:
            self.circuit.force(BreakerState.OPEN, now())
            self.circuit.force(BreakerState.HALF_OPEN, now())

    def leases_left(self) -> int:
        """Return how many leases a half-open breaker grants; all are given back."""
        assert self.circuit is not None
        leases = []
        while not isinstance(lease := self.circuit.admit(now()), Denied):
            leases.append(lease)
        for lease in leases:
            self.circuit.settle(lease, None, slow=False, now=now())
        return len(leases)

    @property
    def used(self) -> int:
        """The permits that are taken."""
        return 0 if self.permits is None else self.permits.permits.used

    def check_at_rest(self) -> None:
        """Check that nobody waits for anything, and nothing is taken."""
        assert self.limiter.waiting == 0
        assert not any(self.limiter.limiter._waiting())
        if self.permits is not None:
            assert (self.permits.permits.used, self.permits.permits.waiting) == (0, 0)


def everything(*, max_wait: float | None = None, retries: int = 1, half_open_permits: int = 3) -> Gates:
    """Return one of everything: a call a second, one at once, so many retries, and a breaker whose leases count."""
    gates = Gates(
        breaker=Breaker(minimum_calls=100, half_open_permits=half_open_permits, half_open_for=1000),
        rates=(RateLimit(1, burst=1),),
        concurrency=Concurrency(1, max_wait=max_wait),
        budget=RetryBudget(ratio=0, reserve=retries / 10),
    )
    gates.half_open()
    return gates


def begun(scenario: Scenario) -> "asyncio.Task[Exception | None]":
    """Start a call; the task's result is the exception that the caller sees."""
    return asyncio.create_task(scenario.caught())


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel a call and wait until it has ended as cancelled."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
