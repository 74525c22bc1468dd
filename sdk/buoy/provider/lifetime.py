"""When a provider may be used: entered once, in one event loop, until the last call has left."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from weakref import WeakSet

from buoy.pipeline.call import Call

Active = Mapping[Call, "asyncio.Task[Any] | None"]

DRAIN = 8.0  # seconds
_GRACE = 1.0


class State(Enum):
    """Where a provider is in its life; the value says what to tell somebody who calls it then."""

    NEW = "has not been entered: use it inside 'async with'"
    OPENING = "is being entered: use it inside 'async with'"
    OPEN = "is open"
    CLOSING = "is closing: the 'async with' block is being left"
    CLOSED = "is closed: the 'async with' block was left"
    INHERITED = "was entered before this process was forked, and is open in the parent: enter it here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What came of the calls that were in flight: how many ``finished``, and of which operations some were ``cut``."""

    finished: int
    cut: Counter[str]


class Lifetime:
    """The life of one provider, and how many calls are in flight in it."""

    __slots__ = ("__weakref__", "_active", "_drained", "_idle", "_label", "_tell_cut", "in_flight", "loop", "state")

    def __init__(self, label: str) -> None:
        self._label = label
        self._active: Active = {}
        self._tell_cut: Callable[[int, int], None] | None = None
        self.state = State.NEW
        self.loop: asyncio.AbstractEventLoop | None = None
        self.in_flight = 0
        self._idle: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[Drained | None] | None = None

    def begin(self) -> asyncio.AbstractEventLoop:
        """Begin to open, in the running loop."""
        if self.state not in {State.NEW, State.CLOSED, State.INHERITED}:
            msg = f"provider {self._label!r} is entered already; it can be open in one place at a time."
            raise RuntimeError(msg)
        self.state = State.OPENING
        self.in_flight = 0
        self._drained = self._idle = None
        self.loop = asyncio.get_running_loop()
        return self.loop

    def open(self, active: Active, tell_cut: Callable[[int, int], None]) -> None:
        """Take calls from now on. ``active`` are those under way; of some that are cut ``tell_cut(cut, finished)``."""
        self._active, self._tell_cut = active, tell_cut
        self.state = State.OPEN
        _entered.add(self)

    def close(self) -> None:
        """Be closed."""
        self.state = State.CLOSED
        _entered.discard(self)

    def is_here(self) -> bool:
        """Tell whether it is open in the running loop."""
        return self.state is State.OPEN and asyncio.get_running_loop() is self.loop

    def check(self) -> asyncio.AbstractEventLoop:
        """Return the loop, or raise ``RuntimeError`` when the provider is not open in the one that runs."""
        loop = asyncio.get_running_loop()
        if self.state is not State.OPEN:
            msg = f"provider {self._label!r} {self.state.value}."
            raise RuntimeError(msg)
        if loop is not self.loop:
            msg = f"provider {self._label!r} belongs to the event loop that entered it; enter one of your own here."
            raise RuntimeError(msg)
        return loop

    def enter_call(self) -> asyncio.AbstractEventLoop:
        """Count a call in, or raise as :meth:`check` does."""
        loop = self.check()
        self.in_flight += 1
        return loop

    def leave_call(self) -> None:
        """Count a call out."""
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight and not self._idle.done():
            self._idle.set_result(None)

    def stop_intake(self) -> None:
        """Take no more calls."""
        if self.state is State.OPEN:
            self.state = State.CLOSING

    async def drain(self, deadline: float) -> Drained:
        """Take no more calls, wait ``deadline`` seconds for those in flight, and cancel the tasks of the rest.

        Where that was done, or is being done, what came of it is waited for and returned.
        """
        self.stop_intake()
        while self._drained is not None:
            if (report := await asyncio.shield(self._drained)) is not None:
                return report
        mine = self._drained = asyncio.get_running_loop().create_future()
        try:
            report = await self._drain(deadline)
        except BaseException:
            self._drained = None
            mine.set_result(None)  # who waits for it does it again
            raise
        mine.set_result(report)
        return report

    async def _drain(self, deadline: float) -> Drained:
        finished, cut = self.in_flight, Counter[str]()
        if not await self._is_idle_within(deadline):
            finished -= self.in_flight
            cut.update(call.plan.operation for call in self._active)
            for task in {*self._active.values()}:
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
            # Who does not end when cancelled is not waited for: the connections are closed under it.
            await self._is_idle_within(_GRACE)
        return self._tell(Drained(finished=finished, cut=cut))

    def cut(self) -> Drained:
        """End the calls in flight of a loop that runs no more, as their cancellation would.

        Nothing else ends them in time: their coroutines wait for a loop that never comes.
        """
        self.stop_intake()
        cut = Counter(call.plan.operation for call in self._active)
        for call in self._active:
            call.abandoned = True
        for task in {*self._active.values()}:
            coroutine = None if task is None else task.get_coro()
            if coroutine is not None:
                try:
                    coroutine.close()
                except (RuntimeError, ValueError):  # it waits again on its way out, or runs in another thread
                    continue
        return self._tell(Drained(finished=0, cut=cut))

    def _tell(self, drained: Drained) -> Drained:
        if drained.cut and self._tell_cut is not None:
            self._tell_cut(drained.cut.total(), drained.finished)
        return drained

    async def _is_idle_within(self, seconds: float) -> bool:
        if self.in_flight:
            if self._idle is None or self._idle.done():
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._idle,), timeout=seconds)
        return not self.in_flight


_entered: WeakSet[Lifetime] = WeakSet()


def entered() -> list[Lifetime]:
    """Return the lifetimes of all providers of the process that are open, or are being left."""
    return list(_entered)


def _forked() -> None:
    """Leave to the parent what it has open: its loop does not run here, and its connections are its own."""
    for lifetime in _entered:
        lifetime.state = State.INHERITED
    _entered.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
