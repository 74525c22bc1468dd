"""OpenTelemetry's SDK for services that have none: OTLP over HTTP to the sidecar. Steps aside where one is set."""

import atexit
import os
import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import metrics, trace

from buoy.errors import ConfigurationError
from buoy.telemetry import scope

ENDPOINT = "http://127.0.0.1:4318"

# Measured defaults: a queue that survives a burst, and counters that are at most 10 s old. The environment wins.
_QUEUE = 16384
_INTERVAL_MS = 10_000.0
_TIMEOUT = 10.0

# How long entering a provider may wait for its zeros to be exported, in seconds: milliseconds where a sidecar answers.
_ANNOUNCING = 0.5

_lock = threading.Lock()
_present: "Telemetry | None" = None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What ``setup`` did: ``traces`` and ``metrics`` tell which of the two it configured and now owns."""

    traces: bool
    metrics: bool
    _owned: tuple[Any, ...] = field(default=(), repr=False)

    def flush(self, deadline: float = 8.0) -> bool:
        """Export what is recorded so far, traces first; ``False`` when not all got out in ``deadline`` seconds."""
        done: list[bool] = []
        worker = threading.Thread(target=lambda: done.append(self._flush(deadline)), daemon=True, name="buoy-flush")
        worker.start()
        worker.join(deadline)
        return done == [True]

    def _flush(self, deadline: float) -> bool:
        scope.flush()
        flushed = [provider.force_flush(int(deadline * 1000)) for provider in self._owned]
        return all(flushed)

    def shutdown(self) -> None:
        """Export what is left and stop the exporters; nothing is exported afterwards."""
        scope.flush()
        for provider in self._owned:
            provider.shutdown()


def setup(service_name: str | None = None, *, endpoint: str | None = None) -> Telemetry:
    """Send traces and metrics to the sidecar (OTLP http/protobuf, ``http://127.0.0.1:4318`` by default).

    ``OTEL_*`` variables are honoured; what is given here wins over them. A signal whose provider is already set is left
    alone. Called again, it returns what it did the first time. Raises :class:`ConfigurationError` when the extra
    ``otel`` is missing or an option cannot work.
    """
    global _present  # noqa: PLW0603  # OpenTelemetry's providers are one per process; so is this
    _check(service_name, endpoint)
    with _lock:
        if _present is None:
            _present = _install(service_name, endpoint)
            # Exit handlers run last to first: this one comes before the SDK's, which stops the exporters.
            atexit.register(scope.flush)
            _present.flush(_ANNOUNCING)
        return _present


def announce() -> None:
    """Export all counters now, if the SDK is ours: an increase from 0 is only seen where the 0 was exported."""
    if _present is not None and _present.metrics:
        _present.flush(_ANNOUNCING)


def _check(service_name: str | None, endpoint: str | None) -> None:
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
    for variable in ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        chosen = os.environ.get(variable, "otlp")
        if chosen not in {"", "otlp", "none"}:
            msg = (
                f"setup: {variable}={chosen} is not offered here, only otlp or none; "
                "run the service under opentelemetry-instrument for other exporters."
            )
            raise ConfigurationError(msg)


def _install(service_name: str | None, endpoint: str | None) -> Telemetry:
    wanted = {
        signal: os.environ.get(f"OTEL_{signal}_EXPORTER", "") != "none" and free
        for signal, free in (
            ("TRACES", isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)),
            ("METRICS", type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider"),
        )
    }
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or not any(wanted.values()):
        return Telemetry(traces=False, metrics=False)
    try:
        from buoy.telemetry import sdk  # noqa: PLC0415  # the only import of the SDK, and only on request
    except ImportError as error:
        msg = "setup: OpenTelemetry's SDK is not installed; install it with: pip install 'buoy[otel]'"
        raise ConfigurationError(msg) from error
    resource = sdk.resource(service_name)
    owned: list[Any] = []
    if wanted["TRACES"]:
        owned.append(sdk.traces(resource, _url(endpoint, "TRACES", "v1/traces"), timeout=_TIMEOUT, queue=_QUEUE))
    if wanted["METRICS"]:
        owned.append(
            sdk.metrics(resource, _url(endpoint, "METRICS", "v1/metrics"), timeout=_TIMEOUT, interval_ms=_INTERVAL_MS)
        )
    return Telemetry(wanted["TRACES"], wanted["METRICS"], tuple(owned))


def _url(endpoint: str | None, signal: str, path: str) -> str | None:
    """Return the URL of one signal, or ``None`` where the environment names it: the exporter reads that itself."""
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"}
    if endpoint is None and any(os.environ.get(name) for name in named):
        return None
    return f"{(endpoint or ENDPOINT).rstrip('/')}/{path}"
