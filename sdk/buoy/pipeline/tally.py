"""What the calls of one open provider came to, for whoever asks the program itself and not its telemetry."""

import asyncio
from array import array
from math import ceil
from typing import Any

from buoy.outcome import CallResult, Verdict, result_of

# The calls whose durations are kept.
KEPT = 1000


class Tally:
    """Counts since the provider was entered, the durations of the last calls, and the calls that are in flight.

    ``active`` maps each of those to the task that is to be cancelled to end it.
    """

    __slots__ = ("_durations", "_next", "active", "attempts", "results", "sends")

    def __init__(self) -> None:
        self.results = dict.fromkeys(CallResult, 0)
        self.attempts = 0
        self.sends = 0
        self._durations = array("d")
        self._next = 0
        self.active: dict[Any, asyncio.Task[Any] | None] = {}

    def add(self, failure: Verdict | None, attempts: int, sends: int, duration: float) -> None:
        """Count a call that ended."""
        self.results[result_of(failure)] += 1
        self.attempts += attempts
        self.sends += sends
        if len(self._durations) < KEPT:
            self._durations.append(duration)
        else:
            self._durations[self._next] = duration
            self._next = (self._next + 1) % KEPT

    def percentile(self, part: float) -> float | None:
        """Return the duration in seconds that ``part`` of the last calls stayed within (nearest rank), if any ended."""
        ordered = sorted(self._durations)
        return ordered[ceil(part * len(ordered)) - 1] if ordered else None
