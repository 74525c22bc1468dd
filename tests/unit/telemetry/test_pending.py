"""Histogram records on their way: in batches, after a quarter of a second at most, and none lost."""

import asyncio
from collections import deque
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram

from buoy.telemetry.meters import Timer
from buoy.telemetry.pending import Pending
from tests.support import virtual_time


class Recording(Histogram):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, Any]] = []

    def record(self, amount: float, attributes: Any = None, context: Context | None = None) -> None:
        """Keep it."""
        del attributes
        self.taken.append((amount, context))


def test_a_record_waits_a_quarter_of_a_second_at_most() -> None:
    """The first record starts the clock; with it go all that came meanwhile, in order, each with its own context."""

    async def scenario() -> None:
        histogram = Recording()
        timer = Timer(histogram, {}, None)
        pending = Pending(asyncio.get_running_loop())
        context = Context({"call": 1})
        for moment in range(2):
            pending.add(timer, 1.0, context)
            await asyncio.sleep(0.24)
            pending.add(timer, 2.0, None)
            assert len(histogram.taken) == 2 * moment
            await asyncio.sleep(0.02)
            assert histogram.taken[2 * moment :] == [(1.0, context), (2.0, None)]

    virtual_time.run(scenario())


def test_a_full_batch_goes_at_once() -> None:
    """Thirty-two records do not wait for the clock."""

    async def scenario() -> None:
        histogram = Recording()
        pending = Pending(asyncio.get_running_loop())
        for number in range(33):
            pending.add(Timer(histogram, {}, None), float(number), None)
        assert [float(number) for number in range(32)] == [amount for amount, _ in histogram.taken]
        pending.flush()
        assert len(histogram.taken) == 33

    virtual_time.run(scenario())


def test_another_thread_may_be_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that finds the last record taken by another thread ends in peace."""

    class Taken(deque[Any]):
        """Looks full, and is empty when one takes: another thread was between."""

        def __bool__(self) -> bool:
            return True

    loop = asyncio.new_event_loop()
    pending = Pending(loop)
    monkeypatch.setattr(Pending, "_records", Taken())
    pending.flush()
    loop.close()
