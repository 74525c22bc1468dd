"""The end of the process's calls and of its telemetry: on demand, at exit, and on a signal."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType

from buoy import options, runtime
from buoy.provider import lifetime
from buoy.provider.lifetime import DRAIN, Drained, Lifetime
from buoy.telemetry.drain import DrainReport

# What telemetry gets of the time, at least: a quarter, at most so many seconds.
_RESERVED = 2.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def drain(deadline: float = DRAIN) -> DrainReport:
    """End everything within ``deadline`` seconds, and return what was delivered and what was lost.

    All open providers of the process take no more calls, those in flight end or are cancelled, and then telemetry is
    exported: spans and logs, then metrics, whatever is down. What has not left by then is given up and counted. An SDK
    that others configured is flushed as well, but does not say what it lost. Providers stay to be left by their blocks.
    """
    options.seconds("drain", "deadline", deadline, zero=True)
    begun = time.monotonic()
    until = begun + deadline
    calls = until - min(_RESERVED, deadline / 4)
    drained = await _drain_calls(lifetime.entered(), calls)
    return await _in_thread(lambda: _deliver(drained, until, begun))


async def _drain_calls(lifetimes: list[Lifetime], until: float) -> list[Drained]:
    """Drain providers; those of other loops meanwhile."""
    here = asyncio.get_running_loop()
    for each in lifetimes:
        each.stop_intake()
    elsewhere = [asyncio.create_task(_drain_elsewhere(each, until)) for each in lifetimes if each.loop is not here]
    drained = [await each.drain(max(until - time.monotonic(), 0.0)) for each in lifetimes if each.loop is here]
    return drained + [await each for each in elsewhere]


async def _drain_elsewhere(life: Lifetime, until: float) -> Drained:
    loop = life.loop
    if loop is None or not loop.is_running():
        return life.cut()
    left = max(until - time.monotonic(), 0.0)
    draining = asyncio.run_coroutine_threadsafe(life.drain(left), loop)
    done, _ = await asyncio.wait([asyncio.wrap_future(draining)], timeout=left + 1)
    return next((each.result() for each in done), Drained(finished=0, cut=Counter()))


def _deliver(drained: list[Drained], until: float, begun: float) -> DrainReport:
    finished, cut = sum(each.finished for each in drained), sum(each.cut.total() for each in drained)
    return runtime.deliver(until, begun=begun, finished=finished, cut=cut)


async def _in_thread(function: Callable[[], DrainReport]) -> DrainReport:
    """Call it in a thread of its own: those of the loop may all be waiting for something that is down."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[DrainReport] = loop.create_future()

    def finish(report: DrainReport) -> None:
        if not done.done():
            done.set_result(report)

    def work() -> None:
        loop.call_soon_threadsafe(finish, function())

    threading.Thread(target=work, name="buoy-drain", daemon=True).start()
    return await done


def _cut_what_stands_still() -> None:
    """End the calls of loops that run no more: the process ends."""
    for each in lifetime.entered():
        if each.loop is not None and not each.loop.is_running():
            each.cut()


runtime.before_exit(_cut_what_stands_still)


def drain_on_signals(deadline: float = DRAIN) -> None:
    """Drain when the process is told to end (``SIGTERM``, ``SIGINT``), and then let the signal do what it did before.

    To be called in the main thread, in the running loop. A handler that was there is called after the drain, and where
    there was none the process ends by the signal. A second signal does not wait for the drain. Raises ``RuntimeError``
    outside the main thread or without a running loop.
    """
    options.seconds("drain_on_signals", "deadline", deadline, zero=True)
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        msg = "drain_on_signals: only the main thread hears signals; call it in the loop that runs there."
        raise RuntimeError(msg)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            _Handler(loop, number, deadline).take_over()


class _Handler:
    """Hears one signal, and puts back what heard it before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, number: signal.Signals, deadline: float) -> None:
        self._loop = loop
        self._number = number
        self._deadline = deadline
        self._before = signal.getsignal(number)
        # What the service gave to ``loop.add_signal_handler``: there is no public way to ask for it. Where it cannot be
        # had, it stays where it is, and is called at once and not after the drain.
        self._of_loop: asyncio.Handle | None = getattr(loop, "_signal_handlers", {}).get(number)
        self._draining: asyncio.Task[None] | None = None

    def take_over(self) -> None:
        """Hear it from now on."""
        if self._of_loop is not None:
            self._loop.add_signal_handler(self._number, self._hear)
        else:
            signal.signal(self._number, lambda _, frame: self._hear_between(frame))

    def _hear_between(self, frame: FrameType | None) -> None:
        """Hear it between any two steps of the main thread, in the loop or not."""
        if self._draining is not None or not self._loop.is_running():
            self._pass_on(frame)
        else:
            self._loop.call_soon_threadsafe(self._hear)  # the loop may be asleep: this wakes it

    def _hear(self) -> None:
        if self._draining is None:
            self._draining = self._loop.create_task(self._drain())
        elif self._of_loop is not None:
            self._pass_on(None)

    async def _drain(self) -> None:
        try:
            await drain(self._deadline)
        finally:
            self._pass_on(None)

    def _pass_on(self, frame: FrameType | None) -> None:
        """Let the signal do what it did before; twice, if it comes twice."""
        if self._of_loop is not None:
            callback, arguments = self._of_loop._callback, self._of_loop._args  # type: ignore[attr-defined]  # noqa: SLF001  # as said
            self._loop.add_signal_handler(self._number, callback, *arguments)
            callback(*arguments)
            return
        signal.signal(self._number, self._before)
        if callable(self._before):
            self._before(self._number, frame)
        else:
            os.kill(os.getpid(), self._number)
