"""When a provider may be used: entered once, in one event loop, until the last call has left."""

import asyncio
from enum import Enum


class State(Enum):
    """Where a provider is in its life; the value says what to tell somebody who calls it then."""

    NEW = "has not been entered: use it inside 'async with'"
    OPENING = "is being entered: use it inside 'async with'"
    OPEN = "is open"
    CLOSING = "is closing: the 'async with' block is being left"
    CLOSED = "is closed: the 'async with' block was left"


class Lifetime:
    """The life of one provider, and how many calls are in flight in it."""

    __slots__ = ("_idle", "_label", "in_flight", "loop", "state")

    def __init__(self, label: str) -> None:
        self._label = label
        self.state = State.NEW
        self.loop: asyncio.AbstractEventLoop | None = None
        self.in_flight = 0
        self._idle: asyncio.Future[None] | None = None

    def begin(self) -> asyncio.AbstractEventLoop:
        """Begin to open, in the running loop."""
        if self.state not in {State.NEW, State.CLOSED}:
            msg = f"provider {self._label!r} is entered already; it can be open in one place at a time."
            raise RuntimeError(msg)
        self.state = State.OPENING
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

    async def idle(self) -> None:
        """Take no more calls, and wait until those in flight have ended (their deadlines bound that)."""
        self.state = State.CLOSING
        if self.in_flight:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
