"""The providers of OpenTelemetry's SDK, as ``setup`` installs them. Importing this needs the extra ``otel``."""

import os
from typing import TypeVar

from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

Number = TypeVar("Number", int, float)


def resource(service_name: str | None) -> Resource:
    """Return who this process is: the environment's attributes, a name, and the SDK's id of this very instance."""
    return Resource.create({} if service_name is None else {SERVICE_NAME: service_name})


def traces(who: Resource, url: str | None, *, timeout: float, queue: int) -> TracerProvider:
    """Install and return a tracer provider that exports to ``url`` in batches."""
    provider = TracerProvider(resource=who)
    exporter = OTLPSpanExporter(endpoint=url, timeout=_unless_set("OTEL_EXPORTER_OTLP_TIMEOUT", timeout))
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=_unless_set("OTEL_BSP_MAX_QUEUE_SIZE", queue))
    )
    trace_api.set_tracer_provider(provider)
    return provider


def metrics(who: Resource, url: str | None, *, timeout: float, interval_ms: float) -> MeterProvider:
    """Install and return a meter provider that exports to ``url`` periodically."""
    exporter = OTLPMetricExporter(endpoint=url, timeout=_unless_set("OTEL_EXPORTER_OTLP_TIMEOUT", timeout))
    reader = PeriodicExportingMetricReader(
        exporter, export_interval_millis=_unless_set("OTEL_METRIC_EXPORT_INTERVAL", interval_ms)
    )
    provider = MeterProvider(metric_readers=[reader], resource=who)
    metrics_api.set_meter_provider(provider)
    return provider


def _unless_set(variable: str, value: Number) -> Number | None:
    """Return our default, or ``None`` where the environment has its own: the SDK reads that itself."""
    return None if os.environ.get(variable) else value
