"""The ways in which a service configures OpenTelemetry, each in a process of its own; ``OTEL_*`` has the endpoint."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

import buoy
from buoy.telemetry import scope

# Exports everything recorded so far; ``False`` where not all got out.
Flush = Callable[[], bool]

HAS_STOCK = "fast" in inspect.signature(buoy.setup).parameters
MODES = ("setup", "service", *(("stock",) if HAS_STOCK else ()))


class OnlySends(Sampler):
    """Not parent-based: keeps the spans of requests, and none of what is above them."""

    def should_sample(  # noqa: PLR0917  # OpenTelemetry's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide by the kind alone."""
        del parent_context, trace_id, name, attributes, links, trace_state
        return SamplingResult(Decision.RECORD_AND_SAMPLE if kind is SpanKind.CLIENT else Decision.DROP)

    def get_description(self) -> str:
        """Name it."""
        return "OnlySends"


def configure(mode: str, sampler: Sampler | None = None) -> Flush:
    """Configure it by ``buoy.setup()``, by the same with everything stock, or as services do it without Buoy.

    Only a service can have a ``sampler`` of its own making.
    """
    if mode == "service":
        return _by_hand(sampler)
    options: dict[str, Any] = {"fast": False} if mode == "stock" else {}
    telemetry = buoy.setup("figures", **options)
    return telemetry.flush


def _by_hand(sampler: Sampler | None) -> Flush:
    traces = TracerProvider(sampler=sampler)
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    metrics.set_meter_provider(meters)

    def flush() -> bool:
        scope.flush()
        return traces.force_flush() and meters.force_flush()

    return flush
