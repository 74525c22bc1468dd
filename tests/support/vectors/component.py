"""What the replay asks of a component, so that one runner serves all of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.support.vectors.compare import equal

Fields = Mapping[str, Any]


class Component(ABC):
    """One part of Buoy as the vectors see it: made from a config, told steps, asked what came of each.

    ``fields`` are those of config and steps together, because a row may hold what a config may hold; ``operations``
    holds ``None`` where a step may be a row.
    """

    in_sequence: ClassVar[bool] = False
    operations: ClassVar[frozenset[str | None]] = frozenset({None})
    fields: ClassVar[frozenset[str]]
    expectations: ClassVar[frozenset[str]]

    def __init__(self, config: Fields) -> None:
        self.config = config

    @abstractmethod
    def take(self, step: Fields) -> Fields:
        """Do one step and return all that can be said of it."""

    def merged(self, row: Fields) -> Fields:
        """Return config and row as one; the row wins."""
        return {**self.config, **row}

    def same(self, _name: str, got: Any, want: Any) -> bool:
        """Tell whether a result is the expected one."""
        return equal(got, want)

    def close(self) -> None:  # noqa: B027  # most components hold nothing
        """Leave nothing behind."""
