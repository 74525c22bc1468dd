"""The one place where parts are wired: from the names and policies of an operation to the plan of its calls."""

import asyncio
from collections.abc import Iterable

from buoy import contract
from buoy.contract import Metric
from buoy.pipeline.call import Plan
from buoy.policies.budget import Budget, RetryBudget
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.telemetry import scope, setup
from buoy.telemetry.meters import Attributes
from buoy.telemetry.names import Names, OperationNames


def names() -> Names:
    """Return the declared names of the process."""
    return scope.present().names


class Budgets:
    """The retry budgets of one open provider; operations whose budgets are alike share one.

    What is left of them is reported as long as somebody holds this object.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, provider: str) -> None:
        self._loop = loop
        self._provider: Attributes = {contract.PROVIDER: provider}
        self._budgets: dict[RetryBudget, Budget] = {}
        scope.present().registry.watch(self)

    def of(self, retry: Retry | None) -> Budget | None:
        """Return the budget that a retry policy draws on, if it has one."""
        if retry is None or retry.budget is None:
            return None
        return self._budgets.setdefault(retry.budget, Budget(retry.budget, self._loop.time()))

    def readings(self) -> Iterable[tuple[Metric, Attributes, int]]:
        """Return the retries left, of all budgets together."""
        if not self._budgets or self._loop.is_closed():
            return []
        now = self._loop.time()
        left = sum(budget.remaining(now) for budget in list(self._budgets.values()))
        return [(contract.BUDGET_REMAINING, self._provider, left)]


def plan(
    loop: asyncio.AbstractEventLoop,
    operation: OperationNames,
    *,
    retry: Retry | None,
    timeout: Timeout | None,
    retry_on: tuple[type[Exception], ...] = (),
    budget: Budget | None = None,
) -> Plan:
    """Return what is the same for every call of an operation in ``loop``, with the recorder that reports it."""
    return Plan(
        provider=operation.provider,
        operation=operation.operation,
        transport=operation.transport,
        safety=operation.safety,
        retry=retry,
        timeout=timeout,
        recorder=scope.present().recorder(loop, operation, total=None if timeout is None else timeout.total),
        retry_on=retry_on,
        budget=budget,
    )


async def announce() -> None:
    """Export the counters of what was just declared while they are 0, if the SDK is ours: see ``setup.announce``."""
    await asyncio.to_thread(setup.announce)


def flush() -> None:
    """Hand what is still kept of the provider's records to OpenTelemetry."""
    scope.flush()
