"""A bounded queue of spans or log records whose thread exports them in batches; none leaves it uncounted.

OpenTelemetry's own batch processors (1.45) drop from a full queue without counting, do not say what an export lost,
and wait for an export as long as it takes.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from buoy.outcome import DropReason
from buoy.telemetry.account import Account
from buoy.telemetry.worker import Worker

Item = TypeVar("Item")
# Sends a batch, and returns how many of it were lost, by reason. It must not raise.
Export = Callable[[Sequence[Item]], Counter[DropReason]]


class Queue(Generic[Item]):
    """At most ``size`` items wait; every ``delay`` seconds, or when a ``batch`` has come together, they are exported.

    Of a full queue the oldest is dropped, as OpenTelemetry does: what happens now is what somebody will look for.
    """

    def __init__(self, account: Account, export: Export[Item], *, size: int, batch: int, delay: float) -> None:
        self.account = account
        self._export = export
        self._size = size
        self._batch = batch
        self._items: deque[Item] = deque()
        self._flying = 0  # how many are being exported
        self._generation = 0  # of what waits; what was given up belongs to an earlier one
        self._closed = False
        self._lock = threading.Lock()
        self.worker = Worker(f"buoy-{account.signal}s", self._export_all, delay)

    def put(self, item: Item) -> None:
        """Add an item; never waits for an export."""
        with self._lock:
            lost = DropReason.SHUTDOWN if self._closed else None
            if lost is None:
                if len(self._items) >= self._size:
                    self._items.popleft()
                    lost = DropReason.QUEUE_FULL
                self._items.append(item)
            ready = len(self._items) == self._batch
        if lost is not None:
            self.account.drop(lost, 1)
        if ready:
            self.worker.ask()

    def flush(self, seconds: float) -> bool:
        """Export what waits now, and tell whether that ended in time."""
        return self.worker.has_done(self.worker.ask(), seconds)

    def give_up(self) -> int:
        """Drop what waits, and take what is being exported for lost as well; return how many that is."""
        with self._lock:
            lost = len(self._items) + self._flying
            self._items.clear()
            self._flying = 0
            self._generation += 1
        self.account.drop(DropReason.SHUTDOWN, lost)
        return lost

    def close(self) -> None:
        """Take nothing more."""
        with self._lock:
            self._closed = True
        self.worker.stop()

    def revive(self) -> None:
        """Begin empty in a forked child: what waited is the parent's, which still has it."""
        self._lock = threading.Lock()
        self._items.clear()
        self._flying = 0
        self.account.clear()
        if not self._closed:
            self.worker.revive()

    def _export_all(self) -> None:
        """Export what waits when it begins; what comes meanwhile is for the next time."""
        left = len(self._items)
        while left > 0:
            with self._lock:
                batch = [self._items.popleft() for _ in range(min(left, self._batch, len(self._items)))]
                self._flying, generation = len(batch), self._generation
            if not batch:
                return
            left -= len(batch)
            lost = self._export(batch)
            with self._lock:
                given_up = generation != self._generation
                if not given_up:
                    self._flying = 0
            if not given_up:
                self.account.settle(len(batch), lost)
