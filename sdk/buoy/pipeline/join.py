"""Identical safe calls that are on their way at the same time share one flight: its tries, its answer, its failure.

A flight is a task of its own, in the first caller's trace. Each caller keeps its own deadline and may leave; the last
one that leaves cancels the flight.
"""

import asyncio
from collections.abc import Callable, Hashable
from copy import copy
from functools import partial
from math import inf
from types import TracebackType
from typing import Any

from buoy.errors import DeadlineExceeded, Refused, TimedOut
from buoy.events import CallRefused, Event, Joined
from buoy.outcome import DuplicateSource, StopReason, Verdict
from buoy.pipeline.admission import Refusal
from buoy.pipeline.call import CANCELLED, LATE, Call, Plan, Send
from buoy.pipeline.run import Try, Work, turned_away
from buoy.pipeline.tasks import cancel
from buoy.policies.deadline import attempt_limit

# A timer may be early by the resolution of the loop's clock (Windows: 15.6 ms): a flight with less time is ending.
_BRIEF = 0.02


class _Shared(Call):
    """The record of a flight, on the first caller's span.

    Its deadline is the latest of all who wait. A joiner may put it off, also in the middle of a try: a try has the
    policy's limit, and beside it a timer that can be moved.
    """

    __slots__ = ("_send", "_timer", "orphaned")

    def __init__(self, first: Call, send: Try[Any]) -> None:
        super().__init__(first.plan, first.loop, request=first.request, url=first.url)
        self.started, self.deadline = first.started, first.deadline
        self.span, self.context, self.trace_id = first.span, first.context, first.trace_id
        self._request_id = first.request_id
        self._send = send
        self._timer: asyncio.Timeout | None = None
        # The first caller has left.
        self.orphaned = False

    @property
    def time_in_tries(self) -> float:
        """Seconds spent in tries, the one that is under way included."""
        return self.attempts_time + (0.0 if self._timer is None else self.loop.time() - self.try_started)

    def put_off(self, deadline: float) -> None:
        """Go on until ``deadline``, if that is later than before."""
        if deadline > self.deadline:
            self.deadline = deadline
            if self._timer is not None:
                self._timer.reschedule(_moment(deadline))

    async def send_once(self, _: Call) -> Any:
        """Do one try."""
        self.limit = attempt_limit(self.plan.timeout, left=inf)
        self._timer = asyncio.timeout_at(_moment(self.deadline))
        try:
            async with self._timer:
                return await self._send(self)
        except TimeoutError:
            if not self._timer.expired():
                raise
            raise _late(self.plan) from None
        finally:
            self._timer = None  # it leads to the task, which ends with what is raised here

    def happened(self, event: Event) -> None:
        """Tell the recorder of something rare. A refusal is told by each caller who gets it."""
        if not (self.orphaned and not self.sends and isinstance(event, CallRefused)):
            super().happened(event)

    def end_send(self, send: Send, failure: Verdict | None) -> None:
        """End one request on the wire. To a send the timer is a cancellation, and to everybody else it is not."""
        cut = failure is CANCELLED and self._timer is not None and self._timer.expired()
        super().end_send(send, LATE if cut else failure)


class _Flight:
    """One shared run, and how many wait for it."""

    __slots__ = ("_trace", "first", "key", "record", "task", "waiting")

    def __init__(self, key: Hashable, first: Call, send: Try[Any]) -> None:
        self.key = key
        self.first = first
        self.record = _Shared(first, send)
        self.waiting = 0
        self.task: asyncio.Task[Any]
        self._trace: TracebackType | None = None

    @property
    def is_over(self) -> bool:
        """Whether it is too late to join."""
        return self.task.done() or self.record.time_left < _BRIEF

    def land(self) -> None:
        """Note where a failure came from, before anybody raises it. Whoever waits has it; nobody else is to be told."""
        error = None if self.task.cancelled() else self.task.exception()
        if error is not None:
            self._trace = error.__traceback__

    async def failure_of(self, call: Call) -> BaseException | None:
        """Wait for the end, or for the deadline of ``call``, and return what it is to raise, if anything."""
        done, _ = await asyncio.wait((self.task,), timeout=None if call.deadline == inf else call.time_left)
        if not done:
            if call.deadline < self.record.deadline:
                return self._left_behind(call)
            await asyncio.wait((self.task,))  # its time is up, too, and it knows best what it ends with
        call.stop_reason = self.record.stop_reason
        error = None if self.task.cancelled() else self.task.exception()
        if error is None:
            return None
        if call is not self.first:
            if isinstance(error, Refused) and not self.record.sends:
                call.happened(CallRefused(reason=error.error_type, retry_after=error.retry_after))
            error = _own(error)
        return error.with_traceback(self._trace)

    def tell(self, call: Call) -> None:
        """Let ``call`` know what became of the tries; they were the first caller's own."""
        record = self.record
        call.quota, call.provider_request_id = record.quota, record.provider_request_id
        if call is self.first:
            call.attempt, call.sends, call.in_doubt = record.attempt, record.sends, record.in_doubt
            call.attempts_time, call.waited = record.time_in_tries, record.waited
            call.duplicate = record.duplicate
        else:
            call.attempts_time = call.loop.time() - call.started

    def _left_behind(self, call: Call) -> BaseException:
        if not self.record.sends:
            return turned_away(call, Refusal(DeadlineExceeded), None)
        call.stop_reason = StopReason.DEADLINE
        return _late(call.plan)


class Flights:
    """The flights of one operation. ``identity`` says what a call asks for: equal means identical."""

    def __init__(self, work: Work, identity: Callable[[Call], Hashable]) -> None:
        self._work = work
        self._identity = identity
        self._flights: dict[Hashable, _Flight] = {}

    async def __call__(self, call: Call, send: Try[Any]) -> Any:
        """Answer ``call`` by the flight that asks for the same, or by a new one."""
        if call.time_left <= 0:
            return await self._work(call, send)  # it is refused there, and nobody shares that
        flight = self._board(call, send)
        try:
            failure = await flight.failure_of(call)
            if failure is None:
                return flight.task.result()
        finally:
            await self._leave(call, flight)
            del flight  # its task keeps what was raised, and that this frame
        try:
            raise failure
        finally:
            del failure  # an exception kept in a local of its own frame is a reference cycle

    def _board(self, call: Call, send: Try[Any]) -> _Flight:
        key = self._identity(call)
        flight = self._flights.get(key)
        if flight is None or flight.is_over:
            flight = self._flights[key] = _Flight(key, call, send)
            flight.task = call.loop.create_task(self._work(flight.record, flight.record.send_once))
            flight.task.add_done_callback(partial(self._land, flight))
        else:
            flight.record.put_off(call.deadline)
            call.duplicate = DuplicateSource.IN_FLIGHT
            call.happened(Joined(first=flight.first))
        flight.waiting += 1
        return flight

    async def _leave(self, call: Call, flight: _Flight) -> None:
        flight.waiting -= 1
        flight.record.orphaned |= call is flight.first
        try:
            if not flight.waiting and not flight.task.done():
                self._forget(flight)
                await cancel(flight.task)
        finally:
            flight.tell(call)

    def _land(self, flight: _Flight, _: asyncio.Task[Any]) -> None:
        self._forget(flight)
        flight.land()

    def _forget(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]


def _own(error: BaseException) -> BaseException:
    """Return a copy, so that each caller's has a traceback and a story of its own.

    What cannot be copied is shared: better a common traceback than another error than the one that happened.
    """
    try:
        own = copy(error)
    except Exception:  # a constructor that needs more than ``args``, a ``__reduce__`` that fails
        return error
    if type(own) is not type(error):
        return error
    own.args = error.args  # a constructor may have added to what it was given
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    if hasattr(own, "__notes__"):
        own.__notes__ = list(own.__notes__)
    return own


def _late(plan: Plan) -> TimedOut:
    text = f"{plan.provider} {plan.operation}: no complete answer came before the deadline."
    return TimedOut(text, verdict=LATE, provider=plan.provider, operation=plan.operation)


def _moment(deadline: float) -> float | None:
    return None if deadline == inf else deadline
