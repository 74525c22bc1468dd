"""A desk where callers ask for the same at the same time, and whatever stands around the tries that answer them."""

import asyncio
from collections.abc import Coroutine, Hashable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from buoy.events import Event
from buoy.outcome import Verdict
from buoy.pipeline.call import CANCELLED, Call, Plan, Send, verdict_of
from buoy.pipeline.join import Flights
from buoy.pipeline.run import Work, run, tries
from tests.support.virtual_time import now
from tests.unit.pipeline.scripted import PLAN, Recording, Step, late

WHO: ContextVar[str] = ContextVar("who", default="nobody")
ONCE = replace(PLAN, retry=None)


class Listening(Recording):
    """A recorder that also keeps which call it was told of."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Call, Event]] = []
        self.ended: list[Verdict | None] = []

    def happened(self, call: Call, event: Event) -> None:
        """Keep call and event."""
        super().happened(call, event)
        self.told.append((call, event))

    def send_ended(self, call: Call, send: Send) -> None:
        """Keep how it ended."""
        super().send_ended(call, send)
        self.ended.append(send.failure)


class Desk:
    """Where callers ask. Each send takes the next of ``steps``, the last one again, and answers with its number.

    A cancelled send takes ``cleanup`` seconds to end, and as it ends it rings the ``bell``.
    """

    def __init__(self, *steps: Step, plan: Plan = PLAN, cleanup: float = 0.0) -> None:
        self.steps = steps or (Step(seconds=1),)
        self.listening = Listening()
        self.plan = replace(plan, recorder=self.listening)
        self.flights = Flights(tries, self.identity)
        self.work: Work = self.flights
        self.cleanup = cleanup
        self.bell = asyncio.get_running_loop().create_future()
        self.calls: list[Call] = []
        self.sends: list[float] = []
        self.seen: list[str] = []

    @staticmethod
    def identity(call: Call) -> Hashable:
        """Return what a call asks for."""
        return (call.request,)

    async def ask(self, what: Any = "price", *, deadline: float | None = None) -> int:
        """Ask, and wait for the answer."""
        call = Call(self.plan, asyncio.get_running_loop(), request=what, asked=deadline)
        self.calls.append(call)
        answer: int = await run(call, self._send, self.work)
        return answer

    def begin(self, what: Any = "price", *, deadline: float | None = None) -> "asyncio.Task[int]":
        """Ask in a task of its own."""
        return asyncio.create_task(self.ask(what, deadline=deadline))

    async def _send(self, call: Call) -> int:
        step = self.steps[min(len(self.sends), len(self.steps) - 1)]
        self.sends.append(now())
        self.seen.append(WHO.get())
        number, send = len(self.sends), call.begin_send()
        verdict: Verdict | None = CANCELLED
        error: Exception | None = None
        try:
            error = await self._fault(step, call.limit)
            verdict = None if error is None else verdict_of(error)
        finally:
            call.end_send(send, verdict)
            if not self.bell.done():
                self.bell.set_result(None)
        if error is not None:
            raise error
        return number

    async def _fault(self, step: Step, limit: float) -> Exception | None:
        try:
            async with asyncio.timeout(limit):
                await asyncio.sleep(step.seconds)
        except TimeoutError:
            return late()
        except asyncio.CancelledError:
            await asyncio.sleep(self.cleanup)
            raise
        return step.error

    def check_at_rest(self) -> None:
        """Check that nothing of a flight is left."""
        assert self.flights._flights == {}
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def later(seconds: float, what: Coroutine[Any, Any, Any]) -> Any:
    """Do it in so many seconds."""
    await asyncio.sleep(seconds)
    return await what


async def ends(*tasks: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> list[Any]:
    """Return what each of them returns or raises."""
    return await asyncio.gather(*tasks, return_exceptions=True)


async def all_of(*tasks: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> list[Any]:
    """Return what each of them returns; none may raise."""
    return list(await asyncio.gather(*tasks))
