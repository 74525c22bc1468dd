"""Services with and without an SDK: ``python -m tests.integration.delivery.programs.sdks HOW``.

``others`` calls only: what is configured, somebody else configured (``opentelemetry-instrument``).
"""

import asyncio
import os
import sys

from opentelemetry import _logs, metrics, trace

import buoy
from tests.integration.delivery.programs.shop import FAILURES, figures, say, work

CALLS = 10


async def finish(calls: int) -> None:
    """Make calls, drain, and say what was reported."""
    await work(calls, failures=FAILURES)
    say(report=figures(await buoy.drain()))


def absent() -> None:
    """Have no SDK at all: it cannot even be imported."""
    sys.modules["opentelemetry.sdk"] = None  # type: ignore[assignment]  # which is how Python forbids an import
    asyncio.run(finish(CALLS))


def unconfigured() -> None:
    """Have an SDK, and never configure it."""
    asyncio.run(finish(CALLS))


def others() -> None:
    """Have an SDK that somebody else configured before the program began."""
    asyncio.run(finish(CALLS))


def twice() -> None:
    """Call ``setup`` twice: the first time counts."""
    first, second = buoy.setup("first"), buoy.setup("second")
    say(same=first is second)
    asyncio.run(finish(CALLS))


def setup_late() -> None:
    """Call ``setup`` after the first calls."""
    asyncio.run(work(CALLS))
    buoy.setup("late")
    asyncio.run(finish(CALLS))


def programmed() -> None:
    """Configure an SDK of one's own, with its stock processors, before the first call."""
    stock()
    asyncio.run(finish(CALLS))


def programmed_late() -> None:
    """Do that after the first calls."""
    asyncio.run(work(CALLS))
    stock()
    asyncio.run(finish(CALLS))


def beside() -> None:
    """Configure an SDK of one's own, and call ``setup`` as well: it steps aside."""
    stock()
    ours = buoy.setup("beside")
    say(traces=ours.traces, metrics=ours.metrics)
    asyncio.run(finish(CALLS))


def raising_at_start() -> None:
    """Add a span processor that raises when a span begins, beside ours."""
    listen("on_start")
    asyncio.run(finish(CALLS))


def raising_at_end() -> None:
    """Add a span processor that raises when a span ends, beside ours."""
    listen("on_end")
    asyncio.run(finish(CALLS))


def listen(method: str) -> None:
    """Set up telemetry with a span processor whose ``method`` raises."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider  # noqa: PLC0415  # see above

    def fail(*_: object, **__: object) -> None:
        raise ValueError("a listener of the service's own")

    buoy.setup("listen")
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.add_span_processor(type("Raising", (SpanProcessor,), {method: fail})())


def stock() -> None:
    """Configure OpenTelemetry's SDK as its documentation says."""
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.logging import LoggingInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    traces = TracerProvider()
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))
    logs = LoggerProvider()
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(logs)
    LoggingInstrumentor().instrument()


if __name__ == "__main__":
    os.environ.setdefault("OTEL_SERVICE_NAME", "sdks")
    globals()[sys.argv[1]]()
