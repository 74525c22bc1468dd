"""OpenTelemetry's SDK for services that have none: OTLP over HTTP to the sidecar. Steps aside where one is set."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import _logs as logs
from opentelemetry import metrics, trace

from buoy.errors import ConfigurationError
from buoy.outcome import DrainResult, Signal
from buoy.telemetry import drain, process, scope
from buoy.telemetry.drain import Owned

ENDPOINT = "http://127.0.0.1:4318"

# The names of the signals in variables, and in lower case in URLs.
_NAMES = {Signal.SPAN: "TRACES", Signal.METRIC: "METRICS", Signal.LOG: "LOGS"}

# How long entering a provider may wait for its zeros to be exported, in seconds: milliseconds where a sidecar answers.
_ANNOUNCING = 0.5

_lock = threading.Lock()
_present: "Telemetry | None" = None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What ``setup`` did: ``traces``, ``metrics`` and ``logs`` tell which of them it configured and now owns.

    ``fast`` tells whether Buoy's own spans and histograms take the cheap way.
    """

    traces: bool
    metrics: bool
    logs: bool
    fast: bool
    owned: Owned = field(default_factory=Owned, repr=False)

    def flush(self, deadline: float = 8.0) -> bool:
        """Export what is recorded so far, metrics last; ``False`` when not all got out in ``deadline`` seconds."""
        return drain.deliver(self.owned, time.monotonic() + deadline) is DrainResult.FLUSHED

    def shutdown(self, deadline: float = 8.0) -> None:
        """Export what is left and stop the exporters; nothing is exported afterwards."""
        process.leave(deadline)


def setup(service_name: str | None = None, *, endpoint: str | None = None, fast: bool = True) -> Telemetry:
    """Send traces, metrics and Buoy's logs to the sidecar (OTLP http/protobuf, ``http://127.0.0.1:4318`` by default).

    ``OTEL_*`` variables are honoured; what is given here wins over them. A signal whose provider is already set is left
    alone. Called again, it returns what it did the first time. With ``fast`` Buoy's own spans and histograms bypass
    what the SDK does for foreign ones, with the same bytes as result; without it, or where a provider was entered
    before, all is the SDK's stock. What is recorded is exported when the process ends, also in a forked child. Raises
    :class:`ConfigurationError` when the extra ``otel`` is missing or an option cannot work.
    """
    global _present  # noqa: PLW0603  # OpenTelemetry's providers are one per process; so is this
    _check(service_name, endpoint, fast)
    with _lock:
        if _present is None:
            _present = _install(service_name, endpoint, fast=fast)
            process.watch(_present.owned)
            announce()
        return _present


def present() -> Telemetry | None:
    """Return what ``setup`` did, or ``None`` where nobody called it."""
    return _present


_announced = -1


def has_news() -> bool:
    """Tell whether the SDK is ours, and there are counters that it has not exported yet."""
    return _present is not None and _present.metrics and scope.present().size != _announced


def announce() -> None:
    """Export all counters now, if the SDK is ours: an increase from 0 is only seen where the 0 was exported.

    Nothing is waited for where there is no new one, or where the last export did not arrive.
    """
    global _announced  # noqa: PLW0603  # counters are the process's
    owned = None if _present is None else _present.owned.metrics
    if owned is None or not owned.reader.is_reached:
        return
    size = scope.present().size
    if owned.reader.flush(_ANNOUNCING):
        _announced = size


def _check(service_name: str | None, endpoint: str | None, fast: object) -> None:
    if service_name is not None and (not isinstance(service_name, str) or not service_name.strip()):
        msg = f"setup: service_name={service_name!r} is not allowed; it must be a non-empty str or None."
        raise ConfigurationError(msg)
    if endpoint is not None and (
        not isinstance(endpoint, str)
        or urlsplit(endpoint).scheme not in {"http", "https"}
        or not urlsplit(endpoint).netloc
    ):
        msg = "setup: endpoint must be the base URL of an OTLP http receiver, like 'http://127.0.0.1:4318'."
        raise ConfigurationError(msg)
    if not isinstance(fast, bool):
        msg = f"setup: fast={fast!r} is not allowed; it must be True or False."
        raise ConfigurationError(msg)
    for signal in _NAMES.values():
        chosen = os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp")
        if chosen not in {"", "otlp", "none"}:
            msg = (
                f"setup: OTEL_{signal}_EXPORTER={chosen} is not offered here, only otlp or none; "
                "run the service under opentelemetry-instrument for other exporters."
            )
            raise ConfigurationError(msg)
        for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            protocol = os.environ.get(variable, "")
            if protocol not in {"", "http/protobuf"}:
                msg = (
                    f"setup: {variable}={protocol} is not offered here, only http/protobuf (the sidecar's port 4318); "
                    "unset it, or run the service under opentelemetry-instrument."
                )
                raise ConfigurationError(msg)


def _install(service_name: str | None, endpoint: str | None, *, fast: bool) -> Telemetry:
    free = {
        Signal.SPAN: isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider),
        Signal.METRIC: type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider",
        Signal.LOG: type(logs.get_logger_provider()).__name__ == "ProxyLoggerProvider",
    }
    wanted = {
        signal for signal in Signal if free[signal] and os.environ.get(f"OTEL_{_NAMES[signal]}_EXPORTER") != "none"
    }
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not wanted:
        return Telemetry(traces=False, metrics=False, logs=False, fast=False)
    try:
        from buoy.telemetry import sdk  # noqa: PLC0415  # the only import of the SDK, and only on request
    except ImportError as error:
        msg = "setup: OpenTelemetry's SDK is not installed; install it with: pip install 'buoy[otel]'"
        raise ConfigurationError(msg) from error
    present = scope.present()
    urls = {signal: _url(endpoint, _NAMES[signal]) for signal in wanted}
    owned = _build(sdk, sdk.resource(service_name), urls, fast=fast)
    for part in (owned.traces, owned.metrics, owned.logs):
        if part is not None:
            part.install()
    if owned.logs is not None:
        present.log.exporter = owned.logs.logger
    tracer = None if owned.traces is None else owned.traces.tracer
    buckets = None if owned.metrics is None else owned.metrics.buckets
    supplied = present.supply(tracer, buckets) and not (tracer is None and buckets is None)
    return Telemetry(
        traces=owned.traces is not None,
        metrics=owned.metrics is not None,
        logs=owned.logs is not None,
        fast=supplied,
        owned=owned,
    )


def _build(sdk: ModuleType, who: Any, urls: Mapping[Signal, str | None], *, fast: bool) -> Owned:
    """Return the parts of the signals that have a URL, none of them installed yet; nothing is left where one fails."""
    owned, on_drop = Owned(), scope.present().dropped
    try:
        if Signal.SPAN in urls:
            owned = replace(owned, traces=sdk.Traces(who, urls[Signal.SPAN], on_drop, fast=fast))
        if Signal.METRIC in urls:
            owned = replace(owned, metrics=sdk.Metrics(who, urls[Signal.METRIC], on_drop, fast=fast))
        if Signal.LOG in urls:
            owned = replace(owned, logs=sdk.Logs(who, urls[Signal.LOG], on_drop))
    except ConfigurationError:
        drain.stop(owned)
        raise
    except Exception as error:
        drain.stop(owned)
        # No value of the environment's: headers and credentials are among these.
        msg = f"setup: what OTEL_* asks for cannot work ({type(error).__name__}); 'buoy doctor' looks at each of them."
        raise ConfigurationError(msg) from error
    return owned


def _url(endpoint: str | None, name: str) -> str | None:
    """Return the URL of one signal, or ``None`` where the environment names it: the exporter reads that itself."""
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT"}
    if endpoint is None and any(os.environ.get(variable) for variable in named):
        return None
    return f"{(endpoint or ENDPOINT).rstrip('/')}/v1/{name.lower()}"
