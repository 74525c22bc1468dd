"""What became of the telemetry of this process: of each signal, how much was delivered, and what was lost and why."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from buoy.outcome import DropReason, Signal

OnDrop = Callable[[Signal, DropReason, int], None]


class Account:
    """The account of one signal. Any thread may write to it. ``on_drop`` is told of each loss, and must not raise."""

    def __init__(self, signal: Signal, on_drop: OnDrop) -> None:
        self.signal = signal
        self._on_drop = on_drop
        self.clear()

    def clear(self) -> None:
        """Begin at 0, as a forked child does."""
        self._lock = threading.Lock()
        self.delivered = 0
        self._dropped: Counter[DropReason] = Counter()

    def settle(self, count: int, lost: Mapping[DropReason, int]) -> None:
        """Note what came of ``count`` items that were sent: all arrived but those that were ``lost``."""
        with self._lock:
            self.delivered += max(count - sum(lost.values()), 0)
        for reason, number in lost.items():
            self.drop(reason, number)

    def drop(self, reason: DropReason, count: int) -> None:
        """Note that ``count`` items were lost."""
        if count <= 0:
            return
        with self._lock:
            self._dropped[reason] += count
        self._on_drop(self.signal, reason, count)

    @property
    def dropped(self) -> dict[DropReason, int]:
        """How many were lost, by reason."""
        with self._lock:
            return dict(self._dropped)
