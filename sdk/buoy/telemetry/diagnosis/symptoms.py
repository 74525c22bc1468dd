"""Where something is wrong with a configuration of OpenTelemetry, told from what was found out about it.

Each function yields the places where its check of ``checks.py`` has something to say. Nothing here asks the SDK or the
network, and nothing that is yielded has the value of a header or what may be a secret in a URL.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from buoy.telemetry.diagnosis.inspection import Kind, Owner, Signal, Way
from buoy.telemetry.diagnosis.reaching import Answer, Reached

# Measured: with 3 s an exporter gives up within the second, after two tries. Above the second it is taken for
# milliseconds, which is the unit of the specification and not that of the Python SDK.
_TIMEOUT, _LONGEST_TIMEOUT = 10.0, 600.0
_INTERVAL = 60.0
_PROTOCOLS = {"", "http/protobuf"}
_GRPC_PORT = 4317


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """All that the checks look at. ``asked`` says by signal and endpoint what became of an empty request.

    ``overridden`` names the providers that somebody set when there was one already; ``handlers`` counts the handlers of
    OpenTelemetry that a log record of Buoy passes; ``tracing_aiohttp`` tells whether its instrumentor is active.
    """

    environment: Mapping[str, str] = field(repr=False)
    signals: tuple[Signal, ...]
    asked: Mapping[tuple[str, str], Reached]
    overridden: tuple[str, ...] = ()
    handlers: int = 0
    tracing_aiohttp: bool = False


class Trouble(NamedTuple):
    """Where it is, and what it is there."""

    where: str
    what: str


def shown(url: str) -> str:
    """Return a URL without what may be a secret in it: user info, query, and a path that is not OTLP's own."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    host = parts.hostname or "?"
    try:
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        port = ":?"
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    return f"{scheme}{f'[{host}]' if ':' in host else host}{port}{_shown_path(parts.path)}"


def _shown_path(path: str) -> str:
    own = re.search("/v1/(?:traces|metrics|logs)/?$", path)
    if own is not None:
        return path if own.start() == 0 else f"/...{own.group()}"
    return path if path in {"", "/"} else "/..."


def ways(examined: Examined) -> Iterator[tuple[Signal, Way]]:
    """Yield every way out that is known, with its signal."""
    for signal in examined.signals:
        for way in signal.ways or ():
            yield signal, way


def disabled(examined: Examined) -> Iterator[Trouble]:
    """Yield the switch that turns the whole SDK off."""
    if examined.environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield Trouble("OTEL_SDK_DISABLED", "it is true")


def exporter_none(examined: Examined) -> Iterator[Trouble]:
    """Yield the signals that the environment keeps in the process."""
    for name in ("TRACES", "METRICS", "LOGS"):
        if examined.environment.get(f"OTEL_{name}_EXPORTER") == "none":
            yield Trouble(f"OTEL_{name}_EXPORTER", "it is none")


def exporter_other(examined: Examined) -> Iterator[Trouble]:
    """Yield the exporters that ``setup`` is asked for and does not have."""
    for name in ("TRACES", "METRICS", "LOGS"):
        chosen = examined.environment.get(f"OTEL_{name}_EXPORTER", "")
        if chosen not in {"", "otlp", "none"} and _is_setups(examined, name):
            yield Trouble(f"OTEL_{name}_EXPORTER", "it is neither otlp nor none")


def protocol(examined: Examined) -> Iterator[Trouble]:
    """Yield the protocols that ``setup`` is asked for and does not speak."""
    for variable in ("", "TRACES_", "METRICS_", "LOGS_"):
        name = f"OTEL_EXPORTER_OTLP_{variable}PROTOCOL"
        if examined.environment.get(name, "") not in _PROTOCOLS and _is_setups(examined, variable.rstrip("_")):
            yield Trouble(name, "it asks for another protocol")


def _is_setups(examined: Examined, upper: str) -> bool:
    """Tell whether ``setup`` has, or would have, this signal (or any): what a service configures is its own choice."""
    signals = [signal for signal in examined.signals if upper in {"", signal.name.upper()}]
    return any(signal.owner is not Owner.SERVICE for signal in signals)


def nobody(examined: Examined) -> Iterator[Trouble]:
    """Yield the signals that nobody records, though nobody has switched them off; logs go elsewhere, too."""
    for signal in examined.signals:
        switched_off = examined.environment.get(f"OTEL_{signal.name.upper()}_EXPORTER", "") not in {"", "otlp"}
        if signal.owner is Owner.NOBODY and not switched_off and signal.name != "logs" and not [*disabled(examined)]:
            yield Trouble(signal.name, "no provider is set")


def no_way(examined: Examined) -> Iterator[Trouble]:
    """Yield the signals that are recorded and have no exporter."""
    for signal in examined.signals:
        if signal.owner is Owner.SERVICE and signal.ways == ():
            yield Trouble(signal.name, "its provider has no exporter")


def at_once(examined: Examined) -> Iterator[Trouble]:
    """Yield the processors that export within the call, over a network."""
    for signal, way in ways(examined):
        if way.kind is Kind.AT_ONCE and not way.is_local:
            yield Trouble(signal.name, f"{way.exporter} is asked at the end of every one")


def resource(attribute: str, examined: Examined) -> Iterator[Trouble]:
    """Yield the signals whose resource lacks an attribute, or has the SDK's stopgap for it."""
    for signal in examined.signals:
        if signal.resource is None:
            continue
        value = str(signal.resource.get(attribute, ""))
        if not value or (attribute == "service.name" and value.startswith("unknown_service")):
            yield Trouble(signal.name, f"{attribute} is missing")


def never_sampled(examined: Examined) -> Iterator[Trouble]:
    """Yield the samplers that keep no trace that begins here."""
    for signal in examined.signals:
        if root(signal) is not None and _ratio(signal) == 0:
            yield Trouble(signal.name, f"the sampler is {root(signal)}")


def partly_sampled(examined: Examined) -> Iterator[Trouble]:
    """Yield the samplers that keep some of the traces that begin here."""
    for signal in examined.signals:
        ratio = _ratio(signal)
        if ratio is not None and 0 < ratio < 1:
            yield Trouble(signal.name, f"the sampler is {root(signal)}")


def not_parent_based(examined: Examined) -> Iterator[Trouble]:
    """Yield the samplers that decide anew about each span."""
    for signal in examined.signals:
        ratio = _ratio(signal)
        if ratio is not None and 0 < ratio < 1 and not (signal.sampler or "").startswith("ParentBased"):
            yield Trouble(signal.name, f"{root(signal)} does not ask the parent")


def root(signal: Signal) -> str | None:
    """Return what decides about spans without a parent, as the sampler describes itself."""
    described = signal.sampler or ""
    found = re.match(r"ParentBased\{root:(.*?),remoteParentSampled", described)
    return (found.group(1) if found else described) or None


def _ratio(signal: Signal) -> float | None:
    decides = root(signal) or ""
    if decides == "AlwaysOffSampler":
        return 0.0
    found = re.search(r"^\w*Ratio\w*\{([\d.e-]+)\}", decides)
    return float(found.group(1)) if found else None


def boundaries(examined: Examined) -> Iterator[Trouble]:
    """Yield the buckets that are not made for seconds."""
    for signal in examined.signals:
        for bounds in signal.boundaries:
            if sum(0 < bound < 1 for bound in bounds) <= 1:
                yield Trouble(signal.name, f"a view or a reader sets {len(bounds)} bounds, hardly one below a second")


def interval(examined: Examined) -> Iterator[Trouble]:
    """Yield the readers that export seldom."""
    for signal, way in ways(examined):
        if way.interval is not None and way.interval > _INTERVAL:
            yield Trouble(signal.name, f"metrics are exported every {way.interval:g} s")


def queue(examined: Examined) -> Iterator[Trouble]:
    """Yield the queues that do not hold a batch."""
    for part, name in (("BSP", "traces"), ("BLRP", "logs")):
        size = _integer(examined.environment, f"OTEL_{part}_MAX_QUEUE_SIZE")
        batch = _integer(examined.environment, f"OTEL_{part}_MAX_EXPORT_BATCH_SIZE") or 512
        if size is not None and size < batch:
            yield Trouble(f"OTEL_{part}_MAX_QUEUE_SIZE ({name})", f"{size} is less than a batch of {batch}")


def _integer(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    return int(text) if text.isdecimal() else None


def timeout(examined: Examined) -> Iterator[Trouble]:
    """Yield the exporters that give up early."""
    for signal, way in ways(examined):
        if way.timeout is not None and way.timeout < _TIMEOUT:
            yield Trouble(signal.name, f"the exporter has {way.timeout:g} s")


def long_timeout(examined: Examined) -> Iterator[Trouble]:
    """Yield the exporters that hardly ever give up."""
    for signal, way in ways(examined):
        if way.timeout is not None and way.timeout > _LONGEST_TIMEOUT:
            yield Trouble(signal.name, f"the exporter has {way.timeout:g} s")


def insecure(examined: Examined) -> Iterator[Trouble]:
    """Yield the endpoints on other hosts that get headers over plain HTTP."""
    for signal, way in ways(examined):
        parts = urlsplit(way.endpoint or "")
        secrets = sorted(name for name in way.headers if name.lower() not in _HARMLESS)
        if parts.username is not None:
            secrets.append("the user in the URL")
        if secrets and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            yield Trouble(f"{signal.name} to {shown(way.endpoint or '')}", f"in clear: {', '.join(secrets)}")


# What the exporters set by themselves.
_HARMLESS = {"content-type", "content-encoding", "user-agent"}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def grpc_port(examined: Examined) -> Iterator[Trouble]:
    """Yield the endpoints of OTLP over HTTP at the port of gRPC."""
    for signal, way in ways(examined):
        if way.protocol == "http/protobuf" and f":{_GRPC_PORT}" in shown(way.endpoint or ""):
            yield Trouble(f"{signal.name} to {shown(way.endpoint or '')}", f"port {_GRPC_PORT} is gRPC's")


def answered(answer: Answer, examined: Examined) -> Iterator[Trouble]:
    """Yield the endpoints of which an empty request became that."""
    for (signal, endpoint), reached in examined.asked.items():
        if reached.answer is answer:
            yield Trouble(f"{signal} to {shown(endpoint)}", reached.detail)


def overridden(examined: Examined) -> Iterator[Trouble]:
    """Yield the providers that were set in vain."""
    for provider in examined.overridden:
        yield Trouble(provider, "it was set when another one was there already")


def logged_twice(examined: Examined) -> Iterator[Trouble]:
    """Yield that logs of Buoy have more than one way out."""
    exports = any(signal.name == "logs" and signal.owner is Owner.BUOY for signal in examined.signals)
    if examined.handlers + exports > 1:
        ours = ", and Buoy exports its events itself" if exports else ""
        yield Trouble("logging", f"{examined.handlers} handlers of OpenTelemetry get what Buoy logs{ours}")


def aiohttp(examined: Examined) -> Iterator[Trouble]:
    """Yield that aiohttp's instrumentor is active."""
    if examined.tracing_aiohttp:
        yield Trouble("opentelemetry.instrumentation.aiohttp_client", "aiohttp's instrumentor is active")


def unknown(examined: Examined) -> Iterator[Trouble]:
    """Yield the signals of which the SDK does not say how they leave."""
    for signal in examined.signals:
        if signal.ways is None:
            yield Trouble(signal.name, "this SDK does not show what it exports by")
