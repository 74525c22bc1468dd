"""An event loop whose clock jumps to the next deadline: an hour of sleeps in a millisecond. For tests without sockets.

``loop.time()`` is the virtual clock. Whatever would wait for ever raises at once, so that no such test can hang. Work
for a thread runs on the spot: a thread would need real time.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from functools import wraps
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Clock:
    """The virtual time in seconds. With a ``tick`` each reading takes that long, as on a real machine."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now = 0.0
        self.tick = tick

    def read(self) -> float:
        """Return the time, and let a tick pass."""
        self.now += self.tick
        return self.now


class JumpingSelector(selectors.BaseSelector):
    """Reports no event but those of the loop itself; instead of waiting it moves the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._real = selectors.SelectSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return at once, at the time when ``timeout`` has passed."""
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            msg = "virtual time: nothing is scheduled, this would wait for ever"
            raise RuntimeError(msg)
        self._clock.now += timeout
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Let the loop watch the pipe by which it is woken."""
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Let it go."""
        return self._real.unregister(fileobj)

    def close(self) -> None:
        """Close what stands behind it."""
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is watched."""
        return self._real.get_map()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time, which starts at 0."""

    def __init__(self, clock: Clock) -> None:
        self._virtual = clock
        super().__init__(JumpingSelector(clock))

    def time(self) -> float:
        """Return the virtual time."""
        return self._virtual.read()

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Run ``func`` here and now."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is for the one who awaits the future
            future.set_exception(error)
        return future


def pass_time(seconds: float) -> None:
    """Let time pass inside the running loop while nothing runs, as a blocking call would."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop._virtual.now += seconds


def run(coroutine: Coroutine[Any, Any, T], *, tick: float = 0.0) -> T:
    """Run ``coroutine`` on a virtual-time loop of its own, and return its value."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(Clock(tick))) as runner:
        return runner.run(coroutine)


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on a virtual-time loop of its own."""

    @wraps(test)
    def ran(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return ran


def now() -> float:
    """Return the time of the running loop."""
    return asyncio.get_running_loop().time()
