"""Retries draw on their provider's budget, and a retry that was paid for and not sent is given back."""

import asyncio

import pytest

import buoy
from buoy.outcome import StopReason
from buoy.policies.budget import Budget
from tests.support.virtual_time import run
from tests.unit.pipeline.scripted import Scenario, Step, busy

NONE = buoy.RetryBudget(ratio=0, reserve=0)
ONE = buoy.RetryBudget(ratio=0, reserve=0.1)


async def _with(policy: buoy.RetryBudget, scenario: Scenario) -> tuple[Budget, Exception | None]:
    scenario.budget = Budget(policy, asyncio.get_running_loop().time())
    return scenario.budget, await scenario.caught()


def test_an_empty_budget_leaves_the_providers_error() -> None:
    """Without a retry in the budget the first try's own error is raised, and the stop reason says why."""
    scenario = Scenario([Step(busy()), Step()])
    _, error = run(_with(NONE, scenario))
    assert isinstance(error, buoy.HttpError)
    assert scenario.sends == 1
    assert scenario.call.stop_reason == StopReason.BUDGET


def test_each_retry_takes_one() -> None:
    """A budget of one allows one retry, and the call that wants a second ends."""
    scenario = Scenario([Step(busy()), Step(busy()), Step()])
    budget, error = run(_with(ONE, scenario))
    assert isinstance(error, buoy.HttpError)
    assert (scenario.sends, budget.remaining(0)) == (2, 0)


def test_a_call_pays_in() -> None:
    """Every call deposits its share, also one that needs no retry."""
    budget, error = run(_with(buoy.RetryBudget(ratio=1, reserve=0), Scenario([Step()])))
    assert error is None
    assert budget.remaining(0) == 1


def test_a_call_cancelled_while_waiting_gives_back() -> None:
    """A retry that was paid for and then cancelled before it was sent is there for the next call."""

    async def cancelled() -> int:
        scenario = Scenario([Step(busy(retry_after=5))])
        scenario.budget = Budget(ONE, asyncio.get_running_loop().time())
        task = asyncio.ensure_future(scenario.caught())
        await asyncio.sleep(1)
        assert scenario.budget.remaining(asyncio.get_running_loop().time()) == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return scenario.budget.remaining(asyncio.get_running_loop().time())

    assert run(cancelled()) == 1
