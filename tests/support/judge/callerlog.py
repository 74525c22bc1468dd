"""What the callers say: what each saw of its calls, read into records. Knows nothing of spans."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ANSWER = "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One call. ``ended`` is ``answer`` or the class of what was raised; times are Unix nanoseconds.

    A caller who left before the answer knows no more than these. ``because``: what a fallback function was asked for.
    ``once``: the body could be sent once. ``size`` is that of a text; ``items`` are what was read of a
    ``streamed`` answer, the last of them at ``last``, and ``complete`` says whether that was all.
    """

    operation: str
    ended: str
    begun: int
    over: int
    trace: str | None = None
    status: int | None = None
    attempts: int = 0
    sends: int = 0
    origin: str | None = None
    duplicate: str | None = None
    remaining: int | None = None
    because: str | None = None
    once: bool = False
    size: int | None = None
    streamed: bool = False
    items: int | None = None
    last: int | None = None
    complete: bool = False
    waited: Mapping[str, float] = field(default_factory=dict)

    @property
    def left_early(self) -> bool:
        """Whether this caller has had enough of a stream before its end."""
        return self.items is not None and self.ended == ANSWER and not self.complete

    def __str__(self) -> str:
        """Name the call so that it can be found."""
        return f"the caller of {self.operation} in trace {self.trace}"


def load(path: Path) -> list[Seen]:
    """Read the callers' notes."""
    return [Seen(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
