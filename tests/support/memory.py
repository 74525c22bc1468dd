"""How much memory Python's objects take at most while something runs."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Peak:
    """The most that was allocated at a time, and not yet when it began."""

    bytes: int = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """Measure what runs inside; the result is there when it is left."""
    most = Peak()
    tracemalloc.start()
    try:
        yield most
    finally:
        _, most.bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
