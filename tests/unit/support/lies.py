"""What the tests of the judge share: a lie about a run, and what the judge says of it."""

from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.judge import judge
from tests.unit.support.synthetic import Run
from tests.unit.support.truthful import truthful

Lie = Callable[[Run], None]


def verdict_on(lie: Lie, directory: Path) -> list[str]:
    """Return the differences found in the truthful run after ``lie`` changed it."""
    run = truthful()
    lie(run)
    return judge(run.write(directory)).differences


def checks(differences: list[str]) -> set[str]:
    """Return the names of the checks that found something."""
    return {difference.split("]")[0].removeprefix("[") for difference in differences}


def named(lie: Lie, name: str) -> Lie:
    """Return a lie that was made, under a name by which a test is known."""
    lie.__name__ = name
    return lie


def drop(run: Run, span: Span) -> None:
    """Take one span out of the export."""
    run.spans[:] = [other for other in run.spans if other.span_id != span.span_id]


def joiner(run: Run) -> Span:
    """Return the first call that joined another."""
    return next(span for span in run.spans if span.links)
