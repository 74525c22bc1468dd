"""How OpenTelemetry is configured in this process: who owns each signal, and by which ways it leaves.

Where the SDK (1.45) has no public way to ask, its private attributes are read. They may be gone in another: what then
is not known is ``None``.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from opentelemetry import _logs as logs_api
from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from buoy.telemetry import sdk, setup

_HTTP, _GRPC = "http/protobuf", "grpc"
# Exporters that reach no network: what they are good for, they may do at once.
_LOCAL = ("ConsoleSpanExporter", "ConsoleLogExporter", "ConsoleLogRecordExporter", "InMemorySpanExporter")


class Owner(StrEnum):
    """Whose provider a signal has. ``planned``: nobody's yet, shown is what ``buoy.setup()`` would make of it."""

    BUOY = "buoy.setup()"
    SERVICE = "the service"
    PLANNED = "nobody yet; buoy.setup() would take it"
    NOBODY = "nobody"


class Kind(StrEnum):
    """When what is recorded leaves the process."""

    AT_ONCE = "at once"
    BATCHES = "in batches"
    PERIODICALLY = "periodically"
    WHEN_ASKED = "when asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way out: a processor or reader with its exporter. Times are seconds; ``None`` where it is not known."""

    kind: Kind
    exporter: str
    protocol: str | None = None
    endpoint: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    queue: int | None = None
    batch: int | None = None
    interval: float | None = None

    @property
    def is_local(self) -> bool:
        """Whether it reaches no network, like a console."""
        return self.exporter in _LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal. ``ways``, ``resource`` and ``boundaries`` are ``None`` where they are not known.

    ``boundaries`` are buckets that a view or a reader sets for the durations of Buoy, in place of Buoy's own.
    """

    name: str
    owner: Owner
    ways: tuple[Way, ...] | None
    resource: Mapping[str, Any] | None = None
    sampler: str | None = None
    boundaries: tuple[tuple[float, ...], ...] = ()


def inspect(endpoint: str | None, *, planned: bool) -> tuple[Signal, ...]:
    """Return the three signals. ``planned``: where nobody has a provider, say what ``setup(endpoint=)`` would do."""
    ours = setup.present()
    owned = () if ours is None else (ours.owned.traces, ours.owned.metrics, ours.owned.logs)
    providers = (trace_api.get_tracer_provider(), metrics_api.get_meter_provider(), logs_api.get_logger_provider())
    read = (_read_traces, _read_metrics, _read_logs)
    signals = []
    for number, name in enumerate(("traces", "metrics", "logs")):
        provider, part = providers[number], owned[number] if owned else None
        if part is not None and part.provider is provider:
            signals.append(read[number](name, Owner.BUOY, provider, part))
        elif _is_sdk(provider):
            signals.append(read[number](name, Owner.SERVICE, provider, None))
        elif planned and _is_free(provider):
            signals.append(_planned(name, endpoint))
        else:
            signals.append(Signal(name=name, owner=Owner.NOBODY, ways=()))
    return tuple(signals)


def _is_sdk(provider: Any) -> bool:
    return any(cls.__module__.startswith("opentelemetry.sdk") for cls in type(provider).__mro__)


def _is_free(provider: Any) -> bool:
    """Tell whether nobody has set a provider: the API's stands there, to be replaced."""
    return type(provider).__name__ in {"ProxyTracerProvider", "_ProxyMeterProvider", "ProxyLoggerProvider"}


# What would be: the exporters are made, so that they read the environment as ever, and nothing is sent by them.

_EXPORTERS: Mapping[str, Any] = {"traces": OTLPSpanExporter, "metrics": OTLPMetricExporter, "logs": OTLPLogExporter}
_QUEUES = {"traces": ("OTEL_BSP", 16384), "logs": ("OTEL_BLRP", 2048)}


def _planned(name: str, endpoint: str | None) -> Signal:
    upper = name.upper()
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or os.environ.get(f"OTEL_{upper}_EXPORTER", "") not in {"", "otlp"}:
        return Signal(name=name, owner=Owner.NOBODY, ways=())
    who = sdk.resource(None)
    sampler = TracerProvider(resource=who, shutdown_on_exit=False).sampler if name == "traces" else None
    return Signal(
        name=name,
        owner=Owner.PLANNED,
        ways=(_planned_way(name, endpoint),),
        resource=who.attributes,
        sampler=None if sampler is None else sampler.get_description(),
    )


def _planned_way(name: str, endpoint: str | None) -> Way:
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{name.upper()}_ENDPOINT")
    from_environment = endpoint is None and any(os.environ.get(variable) for variable in named)
    url = None if from_environment else f"{(endpoint or setup.ENDPOINT).rstrip('/')}/v1/{name}"
    exporter = _EXPORTERS[name](endpoint=url)
    if name == "metrics":
        return _way(Kind.PERIODICALLY, exporter, interval=_number("OTEL_METRIC_EXPORT_INTERVAL", 10_000) / 1000)
    part, default = _QUEUES[name]
    queue = int(_number(f"{part}_MAX_QUEUE_SIZE", default))
    batch = int(_number(f"{part}_MAX_EXPORT_BATCH_SIZE", 512))
    return _way(Kind.BATCHES, exporter, queue=queue, batch=min(batch, queue))


def _number(variable: str, default: float) -> float:
    try:
        return float(os.environ.get(variable, "").strip() or default)
    except ValueError:
        return default


# What is configured.


def _read_traces(name: str, owner: Owner, provider: Any, part: Any) -> Signal:
    ways = _ours(part) if part else _processors(_deep(provider, "_active_span_processor", "_span_processors"))
    sampler = getattr(provider, "sampler", None)
    described = None if sampler is None else str(sampler.get_description())
    return Signal(name=name, owner=owner, ways=ways, resource=_resource(provider), sampler=described)


def _read_logs(name: str, owner: Owner, provider: Any, part: Any) -> Signal:
    processors = None if part else _deep(provider, "_multi_log_record_processor", "_log_record_processors")
    ways = _ours(part) if part else _processors(processors)
    return Signal(name=name, owner=owner, ways=ways, resource=_resource(provider))


def _read_metrics(name: str, owner: Owner, provider: Any, part: Any) -> Signal:
    configured = getattr(provider, "_sdk_config", None)
    readers = getattr(provider, "_metric_readers", None) or getattr(configured, "metric_readers", None)
    if part:
        reader = part.reader
        seconds = getattr(reader, "_interval", None)
        ways: tuple[Way, ...] | None = (_way(Kind.PERIODICALLY, part.sender.exporter, interval=seconds),)
    else:
        ways = None if readers is None else tuple(map(_reader, readers))
    resource = _resource(provider) or _attributes(getattr(configured, "resource", None))
    given = (*_views(configured), *(bounds for reader in readers or () for bounds in _preferred(reader)))
    return Signal(name=name, owner=owner, ways=ways, resource=resource, boundaries=given)


def _ours(part: Any) -> tuple[Way, ...]:
    queue, batch = getattr(part.queue, "_size", None), getattr(part.queue, "_batch", None)
    return (_way(Kind.BATCHES, part.sender.exporter, queue=queue, batch=batch),)


def _processors(found: Any) -> tuple[Way, ...] | None:
    return None if found is None else tuple(way for processor in found for way in _processor(processor))


def _processor(processor: Any) -> Iterator[Way]:
    """Yield the ways out that a processor has; one that only adds attributes has none."""
    inner = getattr(processor, "_span_processors", None) or getattr(processor, "_log_record_processors", None)
    if inner:
        for one in inner:
            yield from _processor(one)
        return
    batches = getattr(processor, "_batch_processor", None)
    exporter = getattr(processor, "span_exporter", None) or getattr(batches or processor, "_exporter", None)
    if exporter is None:
        return
    if _is_a(processor, "SimpleSpanProcessor", "SimpleLogRecordProcessor"):
        yield _way(Kind.AT_ONCE, exporter)
    else:
        queue, batch = getattr(batches, "_max_queue_size", None), getattr(batches, "_max_export_batch_size", None)
        yield _way(Kind.BATCHES, exporter, queue=queue, batch=batch)


def _reader(reader: Any) -> Way:
    exporter = getattr(reader, "_exporter", None)
    if exporter is None:
        return Way(kind=Kind.WHEN_ASKED, exporter=type(reader).__name__)
    millis = getattr(reader, "_export_interval_millis", None)
    return _way(Kind.PERIODICALLY, exporter, interval=None if millis is None else millis / 1000)


def _way(
    kind: Kind, exporter: Any, *, queue: int | None = None, batch: int | None = None, interval: float | None = None
) -> Way:
    client = getattr(exporter, "_client", exporter)
    module = " ".join(cls.__module__ for cls in type(exporter).__mro__)
    protocol = _HTTP if "otlp.proto.http" in module else _GRPC if "otlp.proto.grpc" in module else None
    headers = getattr(client, "_headers", None) if protocol == _HTTP else None
    endpoint, timeout = getattr(exporter, "_endpoint", None), getattr(client, "_timeout", None)
    return Way(
        kind=kind,
        exporter=type(exporter).__name__,
        protocol=protocol,
        endpoint=endpoint if isinstance(endpoint, str) else None,
        headers=dict(headers) if isinstance(headers, Mapping) else {},
        timeout=timeout if isinstance(timeout, int | float) else None,
        queue=queue,
        batch=batch,
        interval=interval,
    )


def _resource(provider: Any) -> Mapping[str, Any] | None:
    return _attributes(getattr(provider, "resource", None))


def _attributes(resource: Any) -> Mapping[str, Any] | None:
    found = getattr(resource, "attributes", None)
    return found if isinstance(found, Mapping) else None


def _views(configured: Any) -> Iterator[tuple[float, ...]]:
    for view in getattr(configured, "views", None) or ():
        pattern, meter = getattr(view, "_instrument_name", None), getattr(view, "_meter_name", None)
        if _covers(pattern) and meter in {None, "buoy"}:
            yield from _bounds(getattr(view, "_aggregation", None))


def _covers(pattern: str | None) -> bool:
    """Tell whether a view's pattern is one for Buoy's durations."""
    names = ("buoy.client.call.duration", "buoy.client.attempt.duration")
    return pattern is None or any(fnmatchcase(name, pattern) for name in names)


def _preferred(reader: Any) -> Iterator[tuple[float, ...]]:
    for kind, aggregation in (getattr(reader, "_instrument_class_aggregation", None) or {}).items():
        if "Histogram" in kind.__name__:
            yield from _bounds(aggregation)


def _bounds(aggregation: Any) -> Iterator[tuple[float, ...]]:
    given = getattr(aggregation, "_boundaries", None)
    if given is not None:
        yield tuple(given)


def _deep(thing: Any, *names: str) -> Any:
    for name in names:
        thing = getattr(thing, name, None)
    return thing


def _is_a(thing: Any, *names: str) -> bool:
    return any(cls.__name__ in names for cls in type(thing).__mro__)
