"""The latest results, counted: the last n of them, or those of the last seconds. Nothing is judged here.

Reading never changes a window, so that any thread may read; what has grown too old is not counted all the same.
"""

from typing import NamedTuple

# A time window moves in slices: a result counts for 9 to 10 tenths of the window.
BUCKETS = 10
# Times are sums and differences of floats: 5.2 - 0.2 must count as 5.
_SLACK = 1e-9


class Counts(NamedTuple):
    """Results in a window: all, the failed ones, the slow ones; a result may be both."""

    total: int
    failed: int
    slow: int


class CountWindow:
    """The last ``size`` results, each in one byte of a ring. Time does not matter to it."""

    __slots__ = ("_next", "_ring", "_size", "failed", "slow", "total")

    def __init__(self, size: int) -> None:
        self._size = size
        self._ring = bytearray(size)
        self._next = self.total = self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:  # noqa: ARG002, FBT001  # the same for every window
        """Count a result, in place of the oldest one when the window is full."""
        at = self._next
        gone = self._ring[at]
        # Failed, slow and both are 1, 2 and 3; a place that was never used holds 0, and takes nothing away.
        self._ring[at] = result = (1 if failed else 0) + (2 if slow else 0)
        self._next = at + 1 if at + 1 < self._size else 0
        if self.total < self._size:
            self.total += 1
        if gone != result:
            self.failed += (result & 1) - (gone & 1)
            self.slow += (result >> 1) - (gone >> 1)

    def move(self, now: float) -> None:
        """Do nothing: no result grows too old."""

    def counts(self, now: float) -> Counts:  # noqa: ARG002  # the same for every window
        """Return what is in the window."""
        return Counts(self.total, self.failed, self.slow)

    def clear(self) -> None:
        """Forget all results."""
        self._ring = bytearray(self._size)
        self._next = self.total = self.failed = self.slow = 0


class TimeWindow:
    """The results of the last ``seconds``, in ten buckets. A result whose age is ``seconds`` is out.

    ``total``, ``failed`` and ``slow`` are those of the last :meth:`add` or :meth:`move`. A clock that steps back moves
    nothing.
    """

    __slots__ = ("_buckets", "_edge", "_number", "_width", "failed", "slow", "total")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / BUCKETS
        self._number = 0
        self._edge = self._width - _SLACK
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]
        self.total = self.failed = self.slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:  # noqa: FBT001  # by position, one for every send
        """Count a result that came now."""
        if now >= self._edge:
            self.move(now)
        bucket = self._buckets[self._number % BUCKETS]
        bucket[0] += 1
        self.total += 1
        if failed:
            bucket[1] += 1
            self.failed += 1
        if slow:
            bucket[2] += 1
            self.slow += 1

    def move(self, now: float) -> None:
        """Let go what has grown too old."""
        if now < self._edge:
            return
        number = self._at(now)
        for passed in range(self._number + 1, min(number, self._number + BUCKETS) + 1):
            bucket = self._buckets[passed % BUCKETS]
            self.total -= bucket[0]
            self.failed -= bucket[1]
            self.slow -= bucket[2]
            self._buckets[passed % BUCKETS] = [0, 0, 0]
        self._number = number
        self._edge = (number + 1) * self._width - _SLACK

    def counts(self, now: float) -> Counts:
        """Return what is in the window at ``now``."""
        if now < self._edge:
            return Counts(self.total, self.failed, self.slow)
        # Those that stay are added up, rather than the others taken away: a reader in another thread may come between
        # the steps of a move, and must not see less than nothing.
        oldest = max(self._at(now), self._number) - BUCKETS + 1
        buckets = [self._buckets[number % BUCKETS] for number in range(oldest, self._number + 1)]
        return Counts(*(sum(bucket[kind] for bucket in buckets) for kind in range(3)))

    def clear(self) -> None:
        """Forget all results."""
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]
        self.total = self.failed = self.slow = 0

    def _at(self, now: float) -> int:
        return int((now + _SLACK) / self._width)
