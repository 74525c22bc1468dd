"""Everything that a run emitted, in the plain form in which it is compared with the contract."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from buoy import contract
from tests.support.telemetry import Observed

# Logging's own fields; what is more in a record is the event's.
_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Starts(SpanProcessor):
    """Notes the attributes with which each span was started."""

    def __init__(self) -> None:
        self.keys: dict[int, set[str]] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note them."""
        del parent_context
        self.keys[span.get_span_context().span_id] = set(span.attributes or {})


class Collected:
    """Names, keys and values by signal."""

    def __init__(self, observed: Observed, starts: Starts, records: list[logging.LogRecord]) -> None:
        self.spans = observed.spans()
        self.records = records
        self.metrics = {
            metric.name: (metric, [dict(point.attributes) for point in metric.data.data_points])
            for metric in observed.collected()
        }
        self.starts = starts

    def values(self) -> dict[str, set[Any]]:
        """Return every value of every attribute, over all signals."""
        found: defaultdict[str, set[Any]] = defaultdict(set)
        for attributes in self._all():
            for name, value in attributes.items():
                found[name].add(value)
        return found

    def _all(self) -> list[Mapping[str, Any]]:
        spans = [span.attributes or {} for span in self.spans]
        events = [event.attributes or {} for span in self.spans for event in span.events]
        points = [point for _, found in self.metrics.values() for point in found]
        return [*spans, *events, *points, *(fields(record) for record in self.records)]

    def span_keys(self) -> dict[str, tuple[set[str], set[str]]]:
        """Return for each kind of span the attributes it was started with, and those it was given later."""
        found: dict[str, tuple[set[str], set[str]]] = {span.key: (set(), set()) for span in contract.SPANS}
        for span in self.spans:
            start = self.starts.keys[span.context.span_id]
            begun, added = found[kind_of(span)]
            begun |= start
            added |= set(span.attributes or {}) - start
        return found

    def log_events(self) -> dict[str, tuple[set[str], set[str]]]:
        """Return for each event that was logged its levels and its fields."""
        found: defaultdict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        for record in self.records:
            levels, names = found[name_of(record)]
            levels.add(record.levelname)
            names.update(set(fields(record)) - set(contract.COMMON_FIELDS))
        return found

    def span_events(self) -> dict[str, tuple[set[str], set[str]]]:
        """Return for each event on a span the kinds of these spans and its fields."""
        found: defaultdict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
        for span in self.spans:
            for event in span.events:
                kinds, names = found[event.name]
                kinds.add(kind_of(span).rpartition(" ")[2])
                names.update(event.attributes or {})
        return found


def kind_of(span: ReadableSpan) -> str:
    """Return the key of a span in the contract."""
    attributes = span.attributes or {}
    if contract.SAFETY in attributes:
        return "call"
    if contract.METHOD not in attributes:
        return "function attempt"
    return "HTTP attempt" if contract.URL_TEMPLATE in attributes else "HTTP redirect"


def name_of(record: logging.LogRecord) -> str:
    """Return the event of a log record."""
    return record.getMessage().split(" ")[0]


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a log record that are the event's."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}
