"""The figures of a row, from what the receiver took, what the provider saw, and what the service reported."""

from collections.abc import Mapping

from tests.integration.delivery.place import SPANS, Place, Report
from tests.integration.delivery.row import Fate, Happened

NOTHING: Mapping[str, int] = {}


def figures(
    place: Place,
    *,
    spans: Mapping[str, int] = NOTHING,
    logs: Mapping[str, int] = NOTHING,
    unseen_spans: int = 0,
    unseen_calls: int = 0,
    unseen_logs: int = 0,
) -> Happened:
    """Return what became of everything; ``spans`` and ``logs`` are what was counted as lost, by reason."""
    return Happened(
        spans=Fate(made=SPANS * place.calls, arrived=place.spans, lost=_real(spans), unseen=unseen_spans),
        calls=Fate(made=place.calls, arrived=place.counted, unseen=unseen_calls),
        logs=Fate(made=place.called.seen["missing"], arrived=place.logs, lost=_real(logs), unseen=unseen_logs),
        instances=len(place.collector.instances),
    )


def agree(place: Place, report: Report) -> None:
    """Check that a report of one process says what has arrived so far, item by item, and that nothing was lost."""
    collector = place.collector
    arrived = {"spans": len(collector.spans), "metrics": len(collector.points), "logs": len(collector.logs)}
    assert arrived == {signal: report[signal]["flushed"] for signal in arrived}
    assert {signal: report[signal]["dropped"] for signal in arrived if report[signal]["dropped"]} == {}


def spread(place: Place) -> list[int]:
    """Return how many calls each instance counted, in ascending order, having checked that its spans agree."""
    spans = place.spans_by()
    counted = {instance: round(calls) for instance, calls in place.counted_by.items()}
    assert {instance: SPANS * calls for instance, calls in counted.items()} == spans
    return sorted(counted.values())


def merged(dropped: Mapping[str, int], *reasons: str) -> dict[str, int]:
    """Return losses whose reason depends on the moment under one name."""
    assert set(dropped) <= set(reasons), dropped
    return {" or ".join(reasons): sum(dropped.values())}


def _real(lost: Mapping[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in lost.items() if count}
