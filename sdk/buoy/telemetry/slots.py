"""Numbers and durations of one event loop: what its thread adds to, and what an exporter's thread reads."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from opentelemetry.trace import Span

from buoy.contract import Metric

Attributes = Mapping[str, str | bool]
Key = tuple[tuple[str, str | bool], ...]


class Slot:
    """One number of one loop. ``folded`` counts what lands here because the cap was reached."""

    __slots__ = ("folded", "value")

    def __init__(self, folded: "Slot | None" = None) -> None:
        self.value = 0
        self.folded = folded

    def add(self, amount: int = 1) -> None:
        """Add ``amount``; the slot's own loop alone may do so."""
        self.value += amount
        if self.folded is not None:
            self.folded.value += 1


class Timer(Protocol):
    """One attribute set of one histogram in one loop. ``folded`` as on :class:`Slot`."""

    folded: Slot | None

    def record(self, seconds: float, span: Span | None) -> None:
        """Record a duration; its exemplar leads to ``span``, if that is sampled. The timer's own loop alone calls."""


class Durations(Protocol):
    """Where durations are kept: the SDK's histograms, or ours. Any thread may call."""

    def timer(self, loop: asyncio.AbstractEventLoop, metric: Metric, key: Key, folded: Slot | None) -> Timer:
        """Return a new timer of ``loop``; there is one of each attribute set."""
        ...

    def flush(self) -> None:
        """Hand over what is kept back."""

    def retire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Forget a closed loop, but not what it recorded."""

    def clear(self) -> None:
        """Begin at 0, as a forked child does."""
