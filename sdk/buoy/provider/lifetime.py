"""When a provider may be used: entered once, in one event loop, until the last call has left."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from buoy.pipeline.call import Call

_GRACE = 1.0  # seconds


class State(Enum):
    """Where a provider is in its life; the value says what to tell somebody who calls it then."""

    NEW = "has not been entered: use it inside 'async with'"
    OPENING = "is being entered: use it inside 'async with'"
    OPEN = "is open"
    CLOSING = "is closing: the 'async with' block is being left"
    CLOSED = "is closed: the 'async with' block was left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What came of the calls that were in flight: how many ``finished``, and of which operations some were ``cut``."""

    finished: int
    cut: Counter[str]


class Lifetime:
    """The life of one provider, and how many calls are in flight in it."""

    __slots__ = ("_drained", "_idle", "_label", "in_flight", "loop", "state")

    def __init__(self, label: str) -> None:
        self._label = label
        self.state = State.NEW
        self.loop: asyncio.AbstractEventLoop | None = None
        self.in_flight = 0
        self._idle: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[Drained | None] | None = None

    def begin(self) -> asyncio.AbstractEventLoop:
        """Begin to open, in the running loop."""
        if self.state not in {State.NEW, State.CLOSED}:
            msg = f"provider {self._label!r} is entered already; it can be open in one place at a time."
            raise RuntimeError(msg)
        self.state = State.OPENING
        self._drained = None
        self.loop = asyncio.get_running_loop()
        return self.loop

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

    async def drain(self, deadline: float, active: Mapping[Call, "asyncio.Task[Any] | None"]) -> Drained:
        """Take no more calls, wait ``deadline`` seconds for those in flight, and cancel the tasks of the rest.

        Where that was done, or is being done, what came of it is waited for and returned.
        """
        self.state = State.CLOSING
        while self._drained is not None:
            if (report := await asyncio.shield(self._drained)) is not None:
                return report
        mine = self._drained = asyncio.get_running_loop().create_future()
        try:
            report = await self._drain(deadline, active)
        except BaseException:
            self._drained = None
            mine.set_result(None)  # who waits for it does it again
            raise
        mine.set_result(report)
        return report

    async def _drain(self, deadline: float, active: Mapping[Call, "asyncio.Task[Any] | None"]) -> Drained:
        finished, cut = self.in_flight, Counter[str]()
        if not await self._is_idle_within(deadline):
            finished -= self.in_flight
            cut.update(call.plan.operation for call in active)
            for task in {*active.values()}:
                if task is not None and task is not asyncio.current_task():
                    task.cancel()
            # Who does not end when cancelled is not waited for: the connections are closed under it.
            await self._is_idle_within(_GRACE)
        return Drained(finished=finished, cut=cut)

    async def _is_idle_within(self, seconds: float) -> bool:
        if self.in_flight:
            if self._idle is None or self._idle.done():
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._idle,), timeout=seconds)
        return not self.in_flight
