"""What ``setup`` installs of OpenTelemetry's SDK: a provider for each signal, each with an end of ours from which items
leave, or are counted. Importing this needs the extra ``otel``.
"""  # noqa: D205  # one sentence says what is here

import os
from collections.abc import Sequence
from typing import Any

from opentelemetry import _logs as logs_api
from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Tracer

from buoy import contract
from buoy.errors import ConfigurationError
from buoy.outcome import DropReason, Signal
from buoy.telemetry import buckets, light
from buoy.telemetry.account import Account, OnDrop
from buoy.telemetry.buckets import Buckets
from buoy.telemetry.exporting import PackingSpanExporter, Sender
from buoy.telemetry.light import LightTracer
from buoy.telemetry.processors import QueuedLogs, QueuedSpans
from buoy.telemetry.queue import Queue
from buoy.telemetry.reader import Reader
from buoy.version import __version__

_SCOPE = InstrumentationScope(contract.SCOPE, __version__, contract.SCHEMA_URL)
# Measured: with 3 s an exporter gives up after two tries, within the second.
_TIMEOUT = 10.0
# A queue that survives a burst; counters that are at most 10 s old. All else is what OpenTelemetry specifies.
_QUEUE, _LOG_QUEUE = 16384, 2048
_BATCH = 512
_DELAY_MS = {"BSP": 5000.0, "BLRP": 1000.0}
_INTERVAL_MS = 10_000.0


def resource(service_name: str | None) -> Resource:
    """Return who this process is: the environment's attributes, a name, and the SDK's id of this very instance."""
    return Resource.create({} if service_name is None else {SERVICE_NAME: service_name})


class Traces:
    """The tracer provider. ``tracer`` is Buoy's own, where it has one that is cheaper than the SDK's."""

    def __init__(self, who: Resource, url: str | None, on_drop: OnDrop, *, fast: bool) -> None:
        kind = PackingSpanExporter if fast else OTLPSpanExporter
        timeout = _timeout("TRACES")
        self.sender: Sender[Sequence[ReadableSpan]] = Sender(
            Signal.SPAN, lambda session: kind(endpoint=url, timeout=timeout, session=session)
        )
        self.account = Account(Signal.SPAN, on_drop)
        self.queue: Queue[ReadableSpan] = Queue(
            self.account, lambda spans: self.sender.send(spans, len(spans)), **_queue("BSP", _QUEUE)
        )
        self._ours = QueuedSpans(self.queue)
        processors = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        processors.add_span_processor(self._ours)
        self.provider = TracerProvider(resource=who, shutdown_on_exit=False, active_span_processor=processors)
        self.tracer: Tracer | None = None
        if fast and light.fits_environment():
            self.tracer = LightTracer(self.provider, processors, _SCOPE)

    def install(self) -> None:
        """Make it the process's own."""
        trace_api.set_tracer_provider(self.provider)

    def give_up(self) -> None:
        """Take what has not left for lost, and send none of it any more."""
        self.queue.give_up()
        self.sender.abort()

    def revive(self) -> None:
        """Go on in a forked child."""
        self.sender.revive()
        self._ours.revive()


class Logs:
    """The logger provider, for Buoy's own events: what else a service logs stays where it goes."""

    def __init__(self, who: Resource, url: str | None, on_drop: OnDrop) -> None:
        timeout = _timeout("LOGS")
        self.sender: Sender[Sequence[ReadableLogRecord]] = Sender(
            Signal.LOG, lambda session: OTLPLogExporter(endpoint=url, timeout=timeout, session=session)
        )
        self.account = Account(Signal.LOG, on_drop)
        self.queue: Queue[ReadableLogRecord] = Queue(
            self.account, lambda records: self.sender.send(records, len(records)), **_queue("BLRP", _LOG_QUEUE)
        )
        self.provider = LoggerProvider(resource=who, shutdown_on_exit=False)
        self.provider.add_log_record_processor(QueuedLogs(self.queue))
        self.logger = self.provider.get_logger(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL)

    def install(self) -> None:
        """Make it the process's own."""
        logs_api.set_logger_provider(self.provider)

    def give_up(self) -> None:
        """Take what has not left for lost, and send none of it any more."""
        self.queue.give_up()
        self.sender.abort()

    def revive(self) -> None:
        """Go on in a forked child."""
        self.sender.revive()
        self.queue.revive()


class Metrics:
    """The meter provider. ``buckets`` are Buoy's own histograms, where they are cheaper than the SDK's."""

    def __init__(self, who: Resource, url: str | None, on_drop: OnDrop, *, fast: bool) -> None:
        timeout = _timeout("METRICS")
        self.sender: Sender[Any] = Sender(
            Signal.METRIC, lambda session: OTLPMetricExporter(endpoint=url, timeout=timeout, session=session)
        )
        self.account = Account(Signal.METRIC, on_drop)
        interval = _number("OTEL_METRIC_EXPORT_INTERVAL", _INTERVAL_MS) / 1000
        self.buckets = Buckets() if fast and buckets.fits(()) else None
        more = list if self.buckets is None else self.buckets.collect
        self.reader = Reader(self.sender, self.account, interval=interval, more=more)
        self.provider = MeterProvider(metric_readers=[self.reader], resource=who, shutdown_on_exit=False)
        self._held = False

    def install(self) -> None:
        """Make it the process's own."""
        metrics_api.set_meter_provider(self.provider)

    def hold(self) -> None:
        """Let no collection be under way when the process forks: the child could never collect again."""
        self._held = self.reader.hold()

    def release(self) -> None:
        """Go on in the parent."""
        if self._held:
            self.reader.release()

    def give_up(self) -> None:
        """Take what has not left for lost, and send none of it any more."""
        self.reader.give_up()
        self.sender.abort()

    def revive(self) -> None:
        """Go on in a forked child, from 0: what a reader has summed up goes with it."""
        stale, held = self.reader, self._held
        self.reader = stale.successor()
        if held:
            self.provider.remove_metric_reader(stale)
            self.provider.add_metric_reader(self.reader)
        else:
            # The SDK's lock is held by a thread that this process does not have: nothing can be read any more.
            self.reader.shutdown()
            self.account.drop(DropReason.FORK, 1)


def _timeout(signal: str) -> float | None:
    """Return our default, or ``None`` where the environment has its own: the exporter reads that itself."""
    named = ("OTEL_EXPORTER_OTLP_TIMEOUT", f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT")
    return None if any(os.environ.get(name) for name in named) else _TIMEOUT


def _queue(part: str, size: int) -> dict[str, Any]:
    found = int(_number(f"OTEL_{part}_MAX_QUEUE_SIZE", size))
    return {
        "size": found,
        "batch": min(int(_number(f"OTEL_{part}_MAX_EXPORT_BATCH_SIZE", _BATCH)), found),
        "delay": _number(f"OTEL_{part}_SCHEDULE_DELAY", _DELAY_MS[part]) / 1000,
    }


def _number(variable: str, default: float) -> float:
    given = os.environ.get(variable, "").strip()
    try:
        number = float(given or default)
    except ValueError:
        number = 0.0
    if not 1 <= number < float("inf"):
        msg = f"setup: {variable}={given} is not allowed; it must be a number from 1 on."
        raise ConfigurationError(msg)
    return number
