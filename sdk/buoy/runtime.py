"""The one place where parts are wired: from the names and policies of an operation to the plan of its calls."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from math import inf

from buoy import contract
from buoy.contract import Metric
from buoy.events import CallsCut
from buoy.options import Inherit
from buoy.outcome import BreakerState, LimitSource
from buoy.pipeline.call import Plan
from buoy.pipeline.gates import BreakerGate, LimiterGate, PermitGate
from buoy.pipeline.tally import Tally
from buoy.policies.breaker import Breaker
from buoy.policies.budget import Budget, RetryBudget
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from buoy.result import Quota
from buoy.telemetry import drain, process, scope, setup
from buoy.telemetry.drain import DrainReport, Owned
from buoy.telemetry.names import Names, OperationNames
from buoy.telemetry.slots import Attributes

Reading = tuple[Metric, Attributes, int]


def names() -> Names:
    """Return the declared names of the process."""
    return scope.present().names


class Live:
    """The live policies of one open provider: what its operations share, and what some have of their own.

    How they stand is reported until :meth:`close`, or as long as somebody holds this object.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        provider: str,
        *,
        breakers: Mapping[str, Breaker],
        rates: tuple[RateLimit, ...],
        concurrency: Concurrency | None,
    ) -> None:
        self.loop = loop
        self.provider = provider
        self.closed = False
        self.tally = Tally()
        self.watcher = scope.present().watcher(loop, provider)
        self._labels: Attributes = {contract.PROVIDER: provider}
        self._budgets: dict[RetryBudget, Budget] = {}
        self.breakers: dict[str, BreakerGate] = {}
        for name, policy in breakers.items():
            self.open_breaker(name, policy)
        self._limiters: list[LimiterGate] = []
        self._permits: list[PermitGate] = []
        # Without a rate of ours it obeys what the provider says.
        self.limiter = self._new_limiter(rates)
        self.permits = self._new_permits(concurrency)
        scope.present().registry.watch(self)
        process.leave_first()

    def calls_cut(self, cut: int, finished: int) -> None:
        """Tell that of the calls in flight ``cut`` did not end in time; ``finished`` did."""
        self.watcher.changed(CallsCut(cut=cut, finished=finished))

    def close(self) -> None:
        """Report nothing any more, whoever may still hold it."""
        self.closed = True
        scope.present().registry.forget(self)

    def open_breaker(self, name: str, policy: Breaker) -> None:
        """Begin with one more breaker, unless there is one of this name."""
        if name not in self.breakers:
            self.breakers[name] = BreakerGate(name, policy, self.watcher)

    def plan(
        self,
        operation: OperationNames,
        *,
        retry: Retry | None,
        timeout: Timeout | None,
        breaker: str | None,
        rates: tuple[RateLimit, ...] | Inherit,
        concurrency: Concurrency | Inherit | None,
        cost: float = 1,
        retry_on: tuple[type[Exception], ...] = (),
    ) -> Plan:
        """Return what is the same for every call of an operation, with the recorder that reports it.

        A rate or a concurrency that is not inherited is the operation's own, also where it equals the provider's.
        """
        gate = None if breaker is None else self.breakers[breaker]
        attempt = None if timeout is None else timeout.per_attempt
        total = None if timeout is None or timeout.total == inf else timeout.total
        return Plan(
            provider=operation.provider,
            operation=operation.operation,
            transport=operation.transport,
            safety=operation.safety,
            retry=retry,
            timeout=timeout,
            recorder=scope.present().recorder(self.loop, operation, total=total),
            tally=self.tally,
            retry_on=retry_on,
            budget=self._budget(retry),
            breaker=gate,
            slow_over=inf if gate is None else gate.policy.slow_over(attempt),
            limiter=self.limiter if isinstance(rates, Inherit) else self._new_limiter(rates),
            cost=cost,
            permits=self.permits if isinstance(concurrency, Inherit) else self._new_permits(concurrency),
        )

    def budget_left(self) -> int | None:
        """Return the retries left, of all budgets together; ``None`` where there is none."""
        if not self._budgets:
            return None
        now = self.loop.time()
        return sum(budget.remaining(now) for budget in list(self._budgets.values()))

    def quota(self) -> Quota | None:
        """Return what the provider said of its limit: of several the one that ends first."""
        now = self.loop.time()
        told = [quota for quota in (gate.quota(now) for gate in list(self._limiters)) if quota is not None]
        return min(told, key=lambda quota: inf if quota.remaining is None else quota.remaining, default=None)

    def readings(self) -> Iterable[Reading]:
        """Return how all of it stands now. Any thread may ask."""
        if self.loop.is_closed():
            return []
        left = self.budget_left()
        budget = [] if left is None else [(contract.BUDGET_REMAINING, self._labels, left)]
        return chain(budget, self._of_breakers(), self._of_limiters(), self._of_permits())

    def _of_breakers(self) -> Iterable[Reading]:
        now = self.loop.time()
        for gate in list(self.breakers.values()):
            present = gate.state(now)
            for state in BreakerState:
                labels = {**self._labels, contract.BREAKER_NAME: gate.name, contract.BREAKER_STATE: str(state)}
                yield contract.BREAKER_STATUS, labels, int(state is present)

    def _of_limiters(self) -> Iterable[Reading]:
        gates, now = list(self._limiters), self.loop.time()
        yield contract.LIMITER_WAITING, self._labels, sum(gate.waiting for gate in gates)
        ours = [(gate.limiter.remaining(now), gate.limiter.capacity) for gate in gates]
        known = [(remaining, capacity) for remaining, capacity in ours if remaining is not None]
        if known:
            remaining, capacity = min(known, key=lambda pair: pair[0] / pair[1])
            yield from self._headroom(LimitSource.LOCAL, remaining, int(capacity))
        theirs = self.quota()
        if theirs is not None:
            yield from self._headroom(LimitSource.SERVER, theirs.remaining, theirs.limit)

    def _headroom(self, source: LimitSource, remaining: int | None, limit: int | None) -> Iterable[Reading]:
        labels = {**self._labels, contract.LIMIT_SOURCE: str(source)}
        if remaining is not None:
            yield contract.QUOTA_REMAINING, labels, remaining
        if limit is not None:
            yield contract.QUOTA_LIMIT, labels, limit

    def _of_permits(self) -> Iterable[Reading]:
        permits = [gate.permits for gate in list(self._permits)]
        if permits:
            yield contract.CONCURRENCY_USAGE, self._labels, sum(each.used for each in permits)
            yield contract.CONCURRENCY_LIMIT, self._labels, sum(each.limit for each in permits)
            yield contract.CONCURRENCY_WAITING, self._labels, sum(each.waiting for each in permits)

    def _budget(self, retry: Retry | None) -> Budget | None:
        if retry is None or retry.budget is None:
            return None
        return self._budgets.setdefault(retry.budget, Budget(retry.budget, self.loop.time()))

    def _new_limiter(self, rates: tuple[RateLimit, ...]) -> LimiterGate:
        return LimiterGate(self.loop, rates, self.watcher, self._limiters)

    def _new_permits(self, concurrency: Concurrency | None) -> PermitGate | None:
        if concurrency is None:
            return None
        gate = PermitGate(self.loop, concurrency)
        self._permits.append(gate)
        return gate


async def announce() -> None:
    """Export the counters of what was just declared while they are 0, if the SDK is ours: see ``setup.announce``."""
    if setup.has_news():
        await asyncio.to_thread(setup.announce)


def flush() -> None:
    """Hand what is still kept of the provider's records to OpenTelemetry."""
    scope.flush()


def before_exit(function: Callable[[], None]) -> None:
    """Call ``function`` when the process ends, before telemetry is exported for the last time."""
    process.before_exit(function)


def deliver(until: float, *, begun: float, finished: int, cut: int) -> DrainReport:
    """Export what is recorded, by ``until`` (``time.monotonic``), and tell of it with the calls; blocks."""
    present = setup.present()
    owned = Owned() if present is None else present.owned
    result = drain.deliver(owned, until, foreign=True)
    duration = time.monotonic() - begun
    report = drain.report(owned, result, duration, calls_finished=finished, calls_cut=cut)
    process.tell(report)
    return report
