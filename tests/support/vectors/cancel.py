"""``retry_cancel``: a call whose try hangs, in the real pipeline, and its task is cancelled."""

import asyncio

from buoy.events import Silent
from buoy.outcome import Safety, Transport
from buoy.pipeline.call import Call, Plan
from buoy.pipeline.run import run
from buoy.policies.retry import Retry
from tests.support.vectors.component import Component, Fields

# Nothing here takes time: this only keeps a broken pipeline from hanging the replay.
_PATIENCE = 30.0


class Cancel(Component):
    """One task over ``buoy.pipeline.run.run``; a try begins, tells so, and never ends."""

    in_sequence = True
    operations = frozenset({"cancel", "start"})
    fields = frozenset({"attempts", "predicate"})
    expectations = frozenset({"attempts_total", "raises"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config)
        self._runner = asyncio.Runner()
        self._begun = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tries = 0
        self._over = False

    def take(self, step: Fields) -> Fields:
        """Start the call, or cancel its task and see what became of it."""
        return self._runner.run(self._start() if step["op"] == "start" else self._cancel())

    def close(self) -> None:
        """End the call, whatever it made of its cancellation."""
        self._over = True
        self._runner.close()

    async def _start(self) -> Fields:
        loop = asyncio.get_running_loop()
        plan = Plan(
            provider="vectors",
            operation="hang",
            transport=Transport.FUNCTION,
            safety=Safety.SAFE,
            retry=Retry(max_attempts=self.config["attempts"], base=0, throttled_base=0),
            timeout=None,
            recorder=Silent(),
            retry_on=(Exception,),  # the widest predicate there is, and so also the one that the config describes
        )
        self._task = asyncio.create_task(run(Call(plan, loop), self._hang))
        return await self._seen(self._task)

    async def _cancel(self) -> Fields:
        if self._task is None:
            raise ValueError("cancel before start")
        self._begun.clear()
        self._task.cancel()
        return await self._seen(self._task)

    async def _hang(self, _call: Call) -> None:
        self._tries += 1
        self._begun.set()
        if not self._over:
            await asyncio.get_running_loop().create_future()

    async def _seen(self, task: "asyncio.Task[None]") -> Fields:
        """Wait until the call ended or a try hangs, and return what its caller would see."""
        begun = asyncio.create_task(self._begun.wait())
        await asyncio.wait({task, begun}, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        raised: type[BaseException] | None = None
        if task.cancelled():
            raised = asyncio.CancelledError
        elif task.done() and (error := task.exception()) is not None:
            raised = type(error)
        return {"attempts_total": self._tries, "raises": None if raised is None else raised.__name__}
