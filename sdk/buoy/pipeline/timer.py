"""The end of what takes too long: ``asyncio.timeout``, at a fraction of its price, for who is left by a way of its own.

A timer of the event loop costs as much as all policies of a call together, and nearly every one is cancelled unused.
Here one of them serves all limits of a provider: it is set to the earliest end, and when that has come, by when what it
was for is nearly always over, to the next.
"""

import asyncio
from contextvars import Context
from heapq import heapify, heappop, heappush
from math import inf

# So many that were stopped are let lie until their time has come; beyond it, no more than one half of all.
_FEW = 100


class Timer:
    """One limit on what a task does."""

    __slots__ = ("_cancelling", "_is_up", "_timers", "task")

    def __init__(self, timers: "Timers", task: "asyncio.Task[object]") -> None:
        self.task: asyncio.Task[object] | None = task
        self._cancelling = task.cancelling()
        self._is_up = False
        self._timers = timers

    def __lt__(self, other: "Timer") -> bool:
        """Let those that end at the same time come in any order."""
        return False

    def stop(self) -> bool:
        """Count no more. Tell whether the time was up and nobody else has cancelled the task: then it was late."""
        task, self.task = self.task, None  # from a task to what it raises, and back, is a reference cycle
        if task is None:
            return False
        if self._is_up:
            return task.uncancel() <= self._cancelling
        self._timers.stopped += 1
        return False

    def ring(self) -> bool:
        """Cancel the task; ``False`` where the timer was stopped."""
        if self.task is None:
            return False
        self._is_up = True
        self.task.cancel()
        return True


class Timers:
    """All timers of one provider in one event loop. ``stopped`` counts those that are only kept until they are up."""

    __slots__ = ("_context", "_handle", "_heap", "_loop", "_rings_at", "stopped")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, Timer]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._rings_at = inf
        self._context = Context()  # the loop keeps it: that of a caller would keep what the caller has in it
        self.stopped = 0

    def start(self, seconds: float) -> Timer | None:
        """Cancel the present task after so many seconds. Infinitely many are no limit, and need no timer."""
        task = asyncio.current_task(self._loop)
        if seconds == inf or task is None:
            return None
        if self.stopped > _FEW and self.stopped > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[1].task is not None]
            heapify(self._heap)
            self.stopped = 0
        at, timer = self._loop.time() + seconds, Timer(self, task)
        heappush(self._heap, (at, timer))
        if at < self._rings_at:
            self._set(at)
        return timer

    def close(self) -> None:
        """Forget all of them."""
        self._heap.clear()
        self._set(inf)

    def _set(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._rings_at = at
        self._handle = None if at == inf else self._loop.call_at(at, self._ring, context=self._context)

    def _ring(self) -> None:
        heap, now = self._heap, max(self._loop.time(), self._rings_at)  # a loop may be early by its resolution
        while heap and (heap[0][0] <= now or heap[0][1].task is None):
            if not heappop(heap)[1].ring():
                self.stopped -= 1
        self._set(heap[0][0] if heap else inf)
