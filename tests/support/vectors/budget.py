"""``retry_budget_finagle``: many calls at one instant, each of which asks for a retry."""

from typing import Any

from buoy.policies.budget import Budget, RetryBudget
from tests.support.vectors.component import Component, Fields


class Ratio(Component):
    """Rows of ``buoy.policies.budget``."""

    fields = frozenset({"min_retries_per_s", "ratio", "requests", "tolerance", "ttl_s"})
    expectations = frozenset({"initial_balance", "retries"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config)
        self._tolerance = 0.0

    def take(self, step: Fields) -> Fields:
        """Return what is there before the first call, and the retries granted to all of them."""
        row = self.merged(step)
        now = row.get("t", 0.0)
        self._tolerance = row.get("tolerance", 0.0)
        given = {"ttl_s": "ttl", "min_retries_per_s": "reserve", "ratio": "ratio"}
        budget = Budget(RetryBudget(**{ours: row[theirs] for theirs, ours in given.items() if theirs in row}), now)
        initial = budget.remaining(now)
        granted = 0
        for _ in range(row.get("requests", 0)):
            budget.deposit(now)
            granted += budget.withdraw(now)
        return {"initial_balance": initial, "retries": granted}

    def same(self, name: str, got: Any, want: Any) -> bool:
        """Allow the retries their tolerance."""
        if name == "retries" and self._tolerance:
            return bool(abs(got - want) <= self._tolerance)
        return super().same(name, got, want)
