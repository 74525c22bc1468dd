"""``buoy doctor``: what telemetry of this process, or of a service, is configured, reachable and lost, with the fix."""

import argparse
import importlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from buoy.cli import FAILED, WRONG_USAGE, words
from buoy.telemetry.diagnosis import inspection, reaching
from buoy.telemetry.diagnosis.checks import Finding, Severity, diagnose
from buoy.telemetry.diagnosis.inspection import Signal, Way
from buoy.telemetry.diagnosis.reaching import Reached
from buoy.telemetry.diagnosis.symptoms import Examined, root, shown
from buoy.version import __version__

_PATIENCE = 5.0  # seconds that an endpoint may take
_OVERRIDING = re.compile(r"Overriding of current (\w+) is not allowed")
_INSTRUMENTOR = "opentelemetry.instrumentation.aiohttp_client"
# What every exporter sets; the other names of headers are shown, and no value ever is.
_OWN_HEADERS = {"content-type", "content-encoding", "user-agent"}


@dataclass(frozen=True, slots=True)
class Service:
    """The module of a service, and what is looked for in it."""

    module: str
    attribute: str | None


class ServiceError(Exception):
    """The service cannot be looked at: why, and how the command ends. It has no text of another exception."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``buoy doctor``."""
    parser.add_argument(
        "service",
        nargs="?",
        type=_service,
        metavar="MODULE[:APP]",
        help="imported first, from the present directory too, so that what it configures is seen; nothing of it is "
        "called (default: the environment, and what buoy.setup() would make of it)",
    )
    parser.add_argument("--json", action="store_true", help="everything as one JSON object")
    parser.add_argument(
        "--endpoint",
        type=_endpoint,
        metavar="URL",
        help="the base URL that buoy.setup(endpoint=) will be given; wins over the environment, as it does there",
    )


def main(args: argparse.Namespace) -> int:
    """Look, ask, tell, and return 1 where something is wrong."""
    try:
        with _overridings() as overridden:
            _load(args.service)
    except ServiceError as error:
        print(f"buoy doctor: {error}", file=sys.stderr)
        return error.code
    with _quiet():
        signals = inspection.inspect(args.endpoint, planned=args.service is None)
        asked = _ask(signals)
    examined = Examined(
        environment={name: value for name, value in os.environ.items() if name.startswith("OTEL_")},
        signals=signals,
        asked=asked,
        overridden=tuple(overridden),
        handlers=_handlers(),
        tracing_aiohttp=_is_tracing_aiohttp(),
    )
    findings = diagnose(examined)
    print(_object(examined, findings) if args.json else "\n".join(_text(examined, findings)))
    return FAILED if any(finding.severity is Severity.PROBLEM for finding in findings) else 0


def _load(service: Service | None) -> None:
    """Import the service. What it prints goes to standard error: standard output is ours."""
    if service is None:
        return
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # a string, as all of the path is
    try:
        with redirect_stdout(sys.stderr):
            module = importlib.import_module(service.module)
    except Exception as error:
        # Its text may be about anything, also a secret that it could not parse.
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        is_mistyped = missing is not None and f"{service.module}.".startswith(f"{missing}.")
        named = "" if missing is None else f" ({missing})"
        why = f"{service.module} cannot be imported: {type(error).__name__}{named}"
        raise ServiceError(why, WRONG_USAGE if is_mistyped else FAILED) from error
    if service.attribute is not None and not hasattr(module, service.attribute):
        raise ServiceError(f"{service.module} has no {service.attribute}", WRONG_USAGE)


@contextmanager
def _overridings() -> Iterator[list[str]]:
    """Collect the providers that are set in vain: OpenTelemetry says so in a log, and nowhere else."""
    found: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = _OVERRIDING.search(record.getMessage())
            if said is not None:
                found.append(said.group(1))

    listening, logger = Listening(), logging.getLogger("opentelemetry")
    logger.addHandler(listening)
    try:
        yield found
    finally:
        logger.removeHandler(listening)


@contextmanager
def _quiet() -> Iterator[None]:
    """Let OpenTelemetry not say on standard error what the findings say."""
    silence, logger = logging.NullHandler(), logging.getLogger("opentelemetry")
    logger.addHandler(silence)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(silence)


def _ask(signals: tuple[Signal, ...]) -> dict[tuple[str, str], Reached]:
    answers: dict[tuple[str, str], Reached] = {}
    for signal in signals:
        for way in signal.ways or ():
            if way.endpoint is not None and way.protocol is not None and (signal.name, way.endpoint) not in answers:
                answers[signal.name, way.endpoint] = (
                    reaching.listens(way.endpoint, timeout=_PATIENCE)
                    if way.protocol == "grpc"
                    else reaching.ask(way.endpoint, signal.name, way.headers, timeout=_PATIENCE)
                )
    return answers


def _handlers() -> int:
    """Count the handlers of OpenTelemetry that a log record of Buoy passes on its way up."""
    found, logger = 0, logging.getLogger("buoy")
    while logger is not None:
        kinds = [cls.__module__ for handler in logger.handlers for cls in type(handler).__mro__[:1]]
        found += sum(kind.startswith("opentelemetry.") for kind in kinds)
        logger = logger.parent if logger.propagate else None  # type: ignore[assignment]  # the root has none
    return found


def _is_tracing_aiohttp() -> bool:
    module = sys.modules.get(_INSTRUMENTOR)
    instrumentor = getattr(module, "AioHttpClientInstrumentor", None)
    return instrumentor is not None and bool(getattr(instrumentor(), "is_instrumented_by_opentelemetry", False))


# What is told.


def _object(examined: Examined, findings: list[Finding]) -> str:
    told: dict[str, Any] = {
        "versions": _versions(),
        "signals": {signal.name: _signal(signal, examined.asked) for signal in examined.signals},
        "findings": [
            {
                "name": finding.name,
                "severity": str(finding.severity),
                "what": finding.what,
                "where": finding.where,
                "fix": finding.fix,
            }
            for finding in findings
        ],
    }
    return json.dumps(told)


def _signal(signal: Signal, asked: Mapping[tuple[str, str], Reached]) -> dict[str, Any]:
    return {
        "owner": str(signal.owner),
        "sampler": signal.sampler,
        "ways": None
        if signal.ways is None
        else [_way(way, asked.get((signal.name, way.endpoint or ""))) for way in signal.ways],
    }


def _way(way: Way, reached: Reached | None) -> dict[str, Any]:
    return {
        "leaves": str(way.kind),
        "exporter": way.exporter,
        "protocol": way.protocol,
        "endpoint": None if way.endpoint is None else shown(way.endpoint),
        "headers": sorted(name for name in way.headers if name.lower() not in _OWN_HEADERS),
        "timeout": way.timeout,
        "queue": way.queue,
        "batch": way.batch,
        "interval": way.interval,
        "answer": None if reached is None else str(reached.answer),
    }


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3])), "buoy": __version__}
    for package in ("opentelemetry-api", "opentelemetry-sdk", "aiohttp"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _text(examined: Examined, findings: list[Finding]) -> Iterator[str]:
    yield words.line("versions", ", ".join(f"{name} {number}" for name, number in _versions().items()))
    for signal in examined.signals:
        yield words.line(signal.name, f"recorded by {signal.owner}{_sampled(signal)}")
        for way in signal.ways or ():
            yield words.line("", _leaving(way, examined.asked.get((signal.name, way.endpoint or ""))))
    yield ""
    for finding in findings:
        where = f" [{words.visible(finding.where)}]" if finding.where else ""
        yield words.line(str(finding.severity), f"{finding.name}{where}: {finding.what}")
        if finding.fix:
            yield words.line("", f"fix: {finding.fix}")
    yield ""
    counts = {severity: sum(finding.severity is severity for finding in findings) for severity in Severity}
    yield words.line("in all", ", ".join(f"{count} {severity}" for severity, count in counts.items()))


def _sampled(signal: Signal) -> str:
    decides = root(signal)
    parents = ", parents first" if (signal.sampler or "").startswith("ParentBased") else ""
    return "" if decides is None else f", sampler {words.visible(decides)}{parents}"


def _leaving(way: Way, reached: Reached | None) -> str:
    parts = [f"leaves {way.kind} by {way.exporter}"]
    if way.endpoint is not None:
        parts.append(f"to {words.visible(shown(way.endpoint))}")
    parts += [f"{name} {value:g}" for name, value in (("queue", way.queue), ("batch", way.batch)) if value is not None]
    parts += [
        f"{name} {value:g} s"
        for name, value in (("interval", way.interval), ("timeout", way.timeout))
        if value is not None
    ]
    names = sorted(name for name in way.headers if name.lower() not in _OWN_HEADERS)
    if names:
        parts.append(f"headers {words.visible(' '.join(names))} (values not shown)")
    if reached is not None:
        parts.append(str(reached.answer).replace("_", " "))
    return ", ".join(parts)


# What argparse calls for each argument. Their messages never show what was given: it may be secret.


def _service(text: str) -> Service:
    module, colon, attribute = text.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or (colon and not attribute.isidentifier()):
        raise argparse.ArgumentTypeError("it must look like package.module or package.module:app")
    return Service(module, attribute or None)


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError("it must be a base URL like http://127.0.0.1:4318")
    return text
