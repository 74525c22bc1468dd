"""A call whose answer is used before it has ended: it goes on in a task of its own until its user has done with it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Generic, TypeVar

from buoy.errors import BuoyError
from buoy.pipeline.call import Call
from buoy.pipeline.run import run
from buoy.pipeline.tasks import cancel

T = TypeVar("T")


class Handover(Generic[T]):
    """One call and its user: :meth:`begin`, use the answer, and :meth:`end`, :meth:`leave` or :meth:`cancel`.

    ``send`` does one try: it hands the answer to :meth:`give`, which returns when the user has done with it, and raises
    what went wrong meanwhile. Until then the call holds its permit and its lease, and the total deadline bounds it.
    """

    __slots__ = ("_answer", "_back", "_call", "_error", "_fault", "_send", "_task", "_user")

    def __init__(self, call: Call, send: Callable[[Call, Callable[[T], Awaitable[None]]], Awaitable[None]]) -> None:
        self._call = call
        self._send = send
        self._answer: asyncio.Future[T] = call.loop.create_future()
        self._back: asyncio.Future[None] = call.loop.create_future()
        # What the call ended with, until somebody is told: a task that kept it would be a reference cycle through the
        # frames of all who see it, and complain where nobody asks.
        self._error: Exception | None = None
        self._fault: Exception | None = None
        self._user: asyncio.Task[object] | None = None
        self._task: asyncio.Task[None]

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return self._task.done()

    async def begin(self) -> T:
        """Make the call and return its answer. Raises as a call does."""
        self._user = asyncio.current_task()
        self._task = self._call.loop.create_task(self._run())
        try:
            await asyncio.wait((self._task, self._answer), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.cancel()
            raise
        finally:
            self._user = None  # a way from a task to itself by what it raises is a reference cycle
        if not self._answer.done():
            self._tell()
            self._task.result()  # raises: without an answer only a cancellation ends a call now
        answer = self._answer.result()
        del self._answer  # it has the answer, and the answer may have us
        return answer

    async def end(self, fault: Exception | None = None) -> None:
        """Say that the answer is used, or what went wrong with it. Raises what the call ended with."""
        if not self._back.done():
            self._fault = fault
            self._back.set_result(None)
        del fault  # it may be what is raised below
        try:
            await asyncio.wait((self._task,))
        except asyncio.CancelledError:
            await self.cancel()
            raise
        self._tell()

    async def leave(self) -> None:
        """Say that nobody needs the rest of the answer, nor what the call ends with."""
        with suppress(BuoyError):  # the telemetry has it
            await self.end()

    async def cancel(self) -> None:
        """End the call as cancelled."""
        try:
            await cancel(self._task)
        finally:
            self._error = None

    async def _run(self) -> None:
        try:
            await run(self._call, self._once)
        except Exception as error:  # whatever it is, the user is told
            self._error = error

    def _tell(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # as above

    async def _once(self, call: Call) -> None:
        await self._send(call, self._give)

    async def _give(self, answer: T) -> None:
        call = self._call
        call.answered = call.loop.time()
        if call.plan.tally is not None:
            call.plan.tally.active[call] = self._user  # who cuts the call has to stop its user
        self._answer.set_result(answer)
        async with asyncio.timeout_at(None if call.deadline == inf else call.deadline):
            await self._back
        if self._fault is not None:
            fault, self._fault = self._fault, None
            try:
                raise fault
            finally:
                del fault  # an exception kept in a local of its own frame is a reference cycle
