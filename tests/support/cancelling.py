"""Cancels a task at the n-th point where it gives control back, so that a test can try them all in turn."""

import asyncio
from collections.abc import Coroutine, Generator
from enum import Enum
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Moment(Enum):
    """When the cancellation comes: as the wait begins, or when it is over and the task has not gone on yet."""

    EARLY = "early"
    LATE = "late"


class CancelledAt(Generic[T]):
    """Awaits ``coroutine`` and cancels the awaiting task at await point ``number`` (from 1), once.

    Afterwards ``count`` tells how many points there were, and ``reached`` whether the cancellation was sent.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], number: int, moment: Moment) -> None:
        self._coroutine = coroutine
        self._number = number
        self._moment = moment
        self.count = 0

    @property
    def reached(self) -> bool:
        """Whether the coroutine came as far as the point of the cancellation."""
        return self.count >= self._number

    def __await__(self) -> Generator[Any, Any, T]:
        """Step the coroutine as a task would, and count."""
        resume: BaseException | None = None
        while True:
            try:
                waiting = self._coroutine.send(None) if resume is None else self._coroutine.throw(resume)
            except StopIteration as stop:
                value: T = stop.value
                return value
            finally:
                resume = None
            self.count += 1
            if self.count == self._number:
                self._cancel(waiting)
            try:
                yield waiting
            except BaseException as error:  # noqa: BLE001  # whatever the task throws in is for the coroutine
                resume = error

    def _cancel(self, waiting: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._moment is Moment.EARLY or waiting is None:
            task.cancel()
            return
        # Callbacks run in the order in which they were added; the task's own, which makes it go on, comes later.
        waiting.add_done_callback(lambda _: task.cancel())
