"""How many retries a provider gets on top of its calls, so that retries never become the load that keeps it down.

Source: Finagle (``com.twitter.finagle.service.RetryBudget``). Every call deposits a fraction of a retry, which expires
after ``ttl``; a reserve serves those who call seldom. A first try costs nothing and is never refused.
"""

from dataclasses import dataclass
from math import isfinite

from buoy import options

# The window moves in slices, as Finagle's does: what is put in counts for 9 to 10 tenths of `ttl`.
SLICES = 10
# One retry in the unit of the account. Integers, because 10,000 deposits of 0.1 must be 1,000 retries.
_RETRY = 1_000_000
# 0.8 - 0.2 must count as 0.6.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """Retries allowed per provider: ``ratio`` for each call, and ``reserve`` per second, over windows of ``ttl`` s.

    ``reserve * ttl`` retries are there at once. Both at 0 allow none. Defaults: Finagle's, but for the reserve, which
    is 10 per second there. Raises :class:`ConfigurationError` for values out of range.
    """

    ratio: float = 0.2
    reserve: float = 1.0
    ttl: float = 10.0

    def __post_init__(self) -> None:
        """Check the values, once, when the policy is built."""
        _within("ratio", self.ratio, 0, 1000, "retries per call")
        _within("reserve", self.reserve, 0, 10_000, "retries per second")
        _within("ttl", self.ttl, 1, 60, "seconds")


class Budget:
    """The account of one provider, in millionths of a retry."""

    __slots__ = ("_balance", "_begin", "_deposit", "_slice", "_slices", "_until", "_width")

    def __init__(self, policy: RetryBudget, now: float) -> None:
        self._deposit = round(policy.ratio * _RETRY)
        self._balance = round(policy.reserve * policy.ttl * _RETRY)
        self._slices = [0] * SLICES
        self._width = policy.ttl / SLICES
        self._begin = now
        self._slice = 0
        self._until = now

    def deposit(self, now: float) -> None:
        """Pay in for a call that begins now."""
        self._move(now)
        self._slices[self._slice % SLICES] += self._deposit
        self._balance += self._deposit

    def withdraw(self, now: float) -> bool:
        """Take one retry, before the wait for it; ``False`` when there is none, and then nothing changes."""
        self._move(now)
        if self._balance < _RETRY:
            return False
        self._slices[self._slice % SLICES] -= _RETRY
        self._balance -= _RETRY
        return True

    def give_back(self, now: float, *, taken: float) -> None:
        """Undo the withdrawal made at ``taken``, because nothing was sent.

        It is undone in the slice it was made in: a new deposit instead would outlive it, and be a retry too many.
        """
        self._move(now)
        number = self._number(taken)
        if number > self._slice - SLICES:
            self._slices[number % SLICES] += _RETRY
            self._balance += _RETRY

    def remaining(self, now: float) -> int:
        """Return the whole retries available now. After deposits have expired there may be a debt: that is 0.

        It only reads, so that any thread may ask.
        """
        balance = self._balance
        if now >= self._until:
            for passed in range(self._slice + 1, min(self._number(now), self._slice + SLICES) + 1):
                balance -= self._slices[passed % SLICES]
        return max(0, balance // _RETRY)

    def _move(self, now: float) -> None:
        """Let go what has expired. A clock that steps back moves nothing."""
        if now < self._until:
            return
        number = self._number(now)
        for passed in range(self._slice + 1, min(number, self._slice + SLICES) + 1):
            self._balance -= self._slices[passed % SLICES]
            self._slices[passed % SLICES] = 0
        self._slice = number
        self._until = self._begin + (number + 1) * self._width - _SLACK

    def _number(self, at: float) -> int:
        return int((at - self._begin + _SLACK) / self._width)


def _within(option: str, value: object, low: float, high: float, unit: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or not low <= value <= high:
        raise options.wrong("RetryBudget", option, value, f"a number of {unit} from {low:g} to {high:g}")
