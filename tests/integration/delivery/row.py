"""What a row of the table of deliveries is: a situation, what makes it happen, and what becomes of each signal there.

The expectations are written out; a test measures each of them, and the page ``docs/reference/delivery.md`` shows them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.integration.delivery.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Of so many that were made, so many arrived, and the others were ``lost`` and counted, by reason.

    ``unseen`` are those that are gone without anybody counting them: nobody was left to do it, or it was not ours.
    """

    made: int
    arrived: int
    lost: Mapping[str, int] = field(default_factory=dict)
    unseen: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether each that was made has arrived or is accounted for."""
        return self.made == self.arrived + sum(self.lost.values()) + self.unseen


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What became of spans, of calls in the final counters of all instances, and of log records."""

    spans: Fate
    calls: Fate
    logs: Fate
    instances: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A situation. ``run`` makes it happen in a place of its own, checks what no figure says, and returns figures."""

    situation: str
    run: Callable[[Place], Happened]
    expected: Happened
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows of one kind, under a heading and a sentence."""

    title: str
    text: str
    rows: Sequence[Row]


def all_of(number: int) -> Fate:
    """Return the fate that is hoped for."""
    return Fate(made=number, arrived=number)


def whole(calls: int, logs: int = 0, *, instances: int = 1, spans: int | None = None) -> Happened:
    """Everything arrives: two spans of each call, its count, and so many log records."""
    of_spans = all_of(2 * calls if spans is None else spans)
    return Happened(spans=of_spans, calls=all_of(calls), logs=all_of(logs), instances=instances)
