"""Telemetry in memory: what one test's calls emit, through the real OpenTelemetry SDK, and read back in a line.

A test that takes the fixture ``observed`` sees its spans and metrics there. Every other gets a scope of its own that
records nothing, so that no provider name, limit or count leaks from one test into the next.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import NoOpTracer

from buoy import contract
from buoy.telemetry import scope
from buoy.telemetry.scope import Scope
from buoy.version import __version__

Attributes = frozenset[tuple[str, Any]]


class Observed:
    """The telemetry of one test. ``tracer`` is for spans of the test's own, around or inside calls."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        who = Resource({"service.name": "test"})
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.traces = TracerProvider(sampler=sampler, resource=who, shutdown_on_exit=False)
        self.traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.metrics = MeterProvider([self.reader], resource=who, shutdown_on_exit=False)
        self.tracer = self.traces.get_tracer("test")
        self.scope = Scope(
            self.traces.get_tracer(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL),
            self.metrics.get_meter(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL),
        )
        _ = self.scope.registry  # made on first use: also a test without a provider sees what is there

    def spans(self) -> list[ReadableSpan]:
        """Return Buoy's finished spans, in the order in which they ended."""
        return [span for span in self.exporter.get_finished_spans() if _scope_of(span) == contract.SCOPE]

    def calls(self) -> list[ReadableSpan]:
        """Return the spans of calls."""
        return [span for span in self.spans() if contract.SAFETY in _attributes(span)]

    def attempts(self) -> list[ReadableSpan]:
        """Return the spans of sends."""
        return [span for span in self.spans() if contract.ATTEMPT_KIND in _attributes(span)]

    def others(self) -> list[ReadableSpan]:
        """Return the finished spans of the test itself."""
        return [span for span in self.exporter.get_finished_spans() if _scope_of(span) != contract.SCOPE]

    def collected(self) -> list[Any]:
        """Return every metric that has data, as the SDK hands it to an exporter."""
        self.scope.flush()
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            metric
            for resource in data.resource_metrics
            for instrumentation in resource.scope_metrics
            for metric in instrumentation.metrics
        ]

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric, as the SDK exports them: with exemplars, sums and buckets."""
        return [point for metric in self.collected() if metric.name == name for point in metric.data.data_points]

    def metric(self, name: str) -> dict[Attributes, float]:
        """Return the value of each attribute set of a metric; of a histogram, the number of its records."""
        return {frozenset((point.attributes or {}).items()): _number(point) for point in self.points(name)}

    def value(self, name: str, /, **attributes: object) -> float:
        """Return the sum over all sets of a metric that have these attributes.

        Each is named in full (``**{"error.type": "timeout"}``) or by its last part (``result="success"``).
        """
        return sum(
            value
            for found, value in self.metric(name).items()
            if all(_has(found, asked, wanted) for asked, wanted in attributes.items())
        )

    def clear(self) -> None:
        """Forget the spans so far; metrics go on."""
        self.exporter.clear()

    def __enter__(self) -> Self:
        """Use it without making it the process's own."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the providers."""
        self.traces.shutdown()
        self.metrics.shutdown()


@contextmanager
def observe(monkeypatch: pytest.MonkeyPatch, sampler: Sampler = ALWAYS_ON) -> Iterator[Observed]:
    """Let everything that is declared and called inside be seen, for tests that need a sampler of their own."""
    with Observed(sampler) as observed:
        monkeypatch.setattr(scope, "_present", observed.scope)
        yield observed


class Logs(logging.Handler):
    """Collects log records; ``of`` returns those of one event."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record."""
        self.records.append(record)

    def of(self, event: contract.Event) -> list[logging.LogRecord]:
        """Return the records of one event."""
        return [record for record in self.records if record.getMessage().split(" ")[0] == event.name]


@contextmanager
def logs(level: int = logging.DEBUG) -> Iterator[Logs]:
    """Collect what the logger ``buoy`` is given from ``level`` on."""
    logger, handler = logging.getLogger("buoy"), Logs()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.fixture(autouse=True)
def fresh_scope(monkeypatch: pytest.MonkeyPatch) -> Scope:
    """Give the test a scope that nobody used before and that records nothing."""
    fresh = Scope(NoOpTracer(), NoOpMeter(contract.SCOPE))
    monkeypatch.setattr(scope, "_present", fresh)
    return fresh


@pytest.fixture
def observed(fresh_scope: Scope, monkeypatch: pytest.MonkeyPatch) -> Iterator[Observed]:
    """Let the test see what its calls emit."""
    del fresh_scope  # named only so that it is replaced after it was made
    with observe(monkeypatch) as seen:
        yield seen


def _number(point: Any) -> float:
    number: float = point.count if hasattr(point, "bucket_counts") else point.value
    return number


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _scope_of(span: ReadableSpan) -> str | None:
    return None if span.instrumentation_scope is None else span.instrumentation_scope.name


def _has(found: Attributes, asked: str, wanted: object) -> bool:
    return any(value == wanted for name, value in found if name == asked or name.rpartition(".")[2] == asked)
