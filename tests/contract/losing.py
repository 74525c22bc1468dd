"""Telemetry that is lost in every way there is, and drains that end in each."""

from collections import Counter

from buoy.outcome import DrainResult, DropReason, Signal
from buoy.telemetry import process, scope
from buoy.telemetry.account import Account
from buoy.telemetry.drain import Delivered, DrainReport
from buoy.telemetry.queue import Queue

BOUND = 10.0


def everything() -> None:
    """Lose of every signal for every reason, and tell of every result."""
    for signal in Signal:
        for reason in DropReason:
            queue: Queue[int] = Queue(
                Account(signal, scope.present().dropped),
                lambda batch, why=reason: Counter({why: len(batch)}),  # type: ignore[misc]  # bound at once
                size=1,
                batch=1,
                delay=1,
            )
            queue.put(1)
            assert queue.flush(BOUND)
            queue.close()
    lost = Delivered(flushed=1, dropped={DropReason.EXPORT_FAILED: 2})
    for result in DrainResult:
        process.tell(DrainReport(result=result, spans=lost, metrics=Delivered(), logs=Delivered(), duration=0.5))
