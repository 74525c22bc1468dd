"""``buoy doctor``: a table of configurations, each in a process of its own, and what it says of them."""

import json
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from buoy.telemetry.diagnosis.checks import CHECKS
from tests.integration.telemetry.programs import Ended, run
from tests.integration.telemetry.sink import Sink, receiving
from tests.support.repository import ROOT

PROGRAM = "import sys; from buoy.cli import main; sys.exit(main(['doctor', *sys.argv[1:]]))"
HEAD = """
from opentelemetry import _logs, metrics, trace
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation as Explicit
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation as Exponential
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
import buoy
def traces(processor=None, **options):
    provider = TracerProvider(shutdown_on_exit=False, **options)
    provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
def meters(*views, interval=10_000, preferred=None, **options):
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(preferred_aggregation=preferred), interval)
    metrics.set_meter_provider(MeterProvider([reader], views=views, shutdown_on_exit=False, **options))
"""
BOTH = "traces(); meters()"
MILLISECONDS = "[0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000]"


class Row(NamedTuple):
    """A service, or none, its environment, and the problems and warnings that must be found, no others."""

    service: str | None
    environment: Mapping[str, str] = MappingProxyType({})
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


ROWS = {
    "nothing": Row(None),
    "setup": Row("buoy.setup()"),
    "a service of its own": Row(BOTH),
    "no name": Row(None, {"OTEL_SERVICE_NAME": ""}, ("resource.service_name",)),
    "no name, by hand": Row(BOTH, {"OTEL_SERVICE_NAME": ""}, ("resource.service_name",)),
    "no instance": Row(
        "traces(resource=Resource({'service.name': 'x'})); meters()", {}, ("resource.service_instance_id",)
    ),
    "nobody configured it": Row("", {}, ("provider.none",)),
    "metrics are nobody's": Row("traces()", {}, ("provider.none",)),
    "metrics are nobody's on purpose": Row("traces()", {"OTEL_METRICS_EXPORTER": "none"}, (), ("exporter.none",)),
    "no exporter": Row("trace.set_tracer_provider(TracerProvider()); meters()", {}, ("provider.no_exporter",)),
    "switched off": Row(None, {"OTEL_SDK_DISABLED": "true"}, ("sdk.disabled",)),
    "switched off with setup": Row("buoy.setup()", {"OTEL_SDK_DISABLED": "True"}, ("sdk.disabled",)),
    "none": Row(None, {"OTEL_TRACES_EXPORTER": "none"}, (), ("exporter.none",)),
    "another exporter": Row(None, {"OTEL_TRACES_EXPORTER": "console"}, ("exporter.not_offered",)),
    "another exporter, by hand": Row(BOTH, {"OTEL_TRACES_EXPORTER": "console"}),
    "grpc": Row(None, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("exporter.protocol",)),
    "grpc for metrics": Row(None, {"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc"}, ("exporter.protocol",)),
    "span by span": Row("traces(SimpleSpanProcessor(OTLPSpanExporter())); meters()", {}, ("processor.simple",)),
    "span by span, further in": Row(
        "several = SynchronousMultiSpanProcessor()\n"
        "several.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))\n"
        "traces(several); meters()",
        {},
        ("processor.simple",),
    ),
    "to the console": Row("traces(SimpleSpanProcessor(ConsoleSpanExporter())); meters()"),
    "log by log": Row(
        f"{BOTH}; own = LoggerProvider(shutdown_on_exit=False)\n"
        "own.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter())); _logs.set_logger_provider(own)",
        {},
        ("processor.simple",),
    ),
    "always off": Row("traces(sampler=sampling.ALWAYS_OFF); meters()", {}, ("sampler.off",)),
    "ratio 0": Row(
        None,
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        ("sampler.off",),
    ),
    "a tenth": Row(
        "buoy.setup()",
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
        (),
        ("sampler.ratio",),
    ),
    "a tenth of all spans": Row(
        "traces(sampler=sampling.TraceIdRatioBased(0.1)); meters()",
        {},
        (),
        ("sampler.not_parent_based", "sampler.ratio"),
    ),
    "all of them by ratio": Row("traces(sampler=sampling.TraceIdRatioBased(1)); meters()"),
    "buckets for milliseconds": Row(
        f"traces(); meters(View(instrument_name='*', aggregation=Explicit({MILLISECONDS})))",
        {},
        (),
        ("metrics.buckets",),
    ),
    "such buckets by the reader": Row(
        f"traces(); meters(preferred={{Histogram: Explicit({MILLISECONDS})}})", {}, (), ("metrics.buckets",)
    ),
    "such buckets for others": Row(
        f"traces(); meters(View(instrument_name='http.*', aggregation=Explicit({MILLISECONDS})), "
        f"View(instrument_name='*', meter_name='mine', aggregation=Explicit({MILLISECONDS})))"
    ),
    "exponential": Row("traces(); meters(preferred={Histogram: Exponential()})"),
    "buckets for seconds": Row(
        "traces(); meters(View(instrument_name='buoy.*', aggregation=Explicit([0.1, 0.5, 2.0])))"
    ),
    "two minutes": Row("traces(); meters(interval=120_000)", {}, (), ("metrics.interval",)),
    "two minutes by setup": Row("buoy.setup()", {"OTEL_METRIC_EXPORT_INTERVAL": "120000"}, (), ("metrics.interval",)),
    "pulled": Row("traces(); metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))"),
    "a short queue": Row(None, {"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, ("queue.small",)),
    "a short queue of logs": Row("buoy.setup()", {"OTEL_BLRP_MAX_QUEUE_SIZE": "100"}, ("queue.small",)),
    "a short queue and batch": Row(None, {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "50"}),
    "three seconds": Row("buoy.setup()", {"OTEL_EXPORTER_OTLP_TIMEOUT": "3"}, (), ("exporter.timeout",)),
    "milliseconds": Row(BOTH, {"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}, (), ("exporter.timeout_unit",)),
    "two setups": Row(f"{BOTH}; traces()", {}, (), ("provider.overridden",)),
    "setup, then by hand": Row(f"buoy.setup(); {BOTH}", {}, (), ("provider.overridden",)),
    "by hand, then setup": Row(f"{BOTH}; buoy.setup()"),
    "logs twice": Row(
        "import logging, warnings; warnings.simplefilter('ignore')\n"
        "from opentelemetry.sdk._logs import LoggingHandler\n"
        "buoy.setup(); logging.getLogger().addHandler(LoggingHandler())",
        {},
        (),
        ("logs.twice",),
    ),
    "logs once": Row(
        "import logging, warnings; warnings.simplefilter('ignore')\n"
        "from opentelemetry.sdk._logs import LoggingHandler\n"
        f"{BOTH}; logging.getLogger().addHandler(LoggingHandler())"
    ),
    "credentials in clear": Row(
        None,
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://nowhere.invalid:4318/v1/traces",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20canary-1",
        },
        ("endpoint.insecure", "endpoint.unknown_host"),
    ),
    "user in clear": Row(
        None,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://me:canary-2@nowhere.invalid/canary-3/v1/traces?key=canary-4"},
        ("endpoint.insecure", "endpoint.unknown_host"),
    ),
    "the port of gRPC": Row(
        None,
        {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://nowhere.invalid:4317/v1/logs"},
        ("endpoint.unknown_host",),
        ("endpoint.grpc_port",),
    ),
    "no URL": Row(None, {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "127.0.0.1:4318"}, ("endpoint.invalid",)),
}


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """Receive OTLP."""
    with receiving() as listening:
        yield listening


@pytest.fixture
def nobody() -> Iterator[str]:
    """Return a URL where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def doctor(folder: Path, service: str | None, *options: str, **environment: str) -> Ended:
    """Run the command, for a service of that source or for none."""
    arguments = [] if service is None else ["service:app"]
    (folder / "service.py").write_text(f"{HEAD}\n{service}\napp = 1\nprint('printed by the service')\n")
    named = {"OTEL_SERVICE_NAME": "shop", **environment}
    return run("-c", PROGRAM, *arguments, *options, where=folder, environment=named)


def found(ended: Ended, severity: str) -> set[str]:
    """Return the names of the findings of one severity."""
    return {finding["name"] for finding in json.loads(ended.out)["findings"] if finding["severity"] == severity}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_wrong_is_found_and_nothing_else(name: str, tmp_path: Path, sink: Sink) -> None:
    """Of each configuration every problem and warning is named, nothing secret shows, and a problem means 1."""
    row = ROWS[name]
    ended = doctor(tmp_path, row.service, "--json", **{"OTEL_EXPORTER_OTLP_ENDPOINT": sink.url, **row.environment})
    assert {*row.problems} == found(ended, "problem"), ended.out
    assert {*row.warnings} == found(ended, "warning"), ended.out
    assert (1 if row.problems else 0) == ended.code
    assert "canary" not in ended.out + ended.err


def test_every_finding_has_a_row_in_the_table() -> None:
    """Each check fails in some row; the endpoints' answers and what needs other packages have tests of their own."""
    elsewhere = {
        "endpoint.refused",
        "endpoint.silent",
        "endpoint.untrusted",
        "endpoint.unreachable",
        "endpoint.unauthorized",
        "endpoint.not_found",
        "endpoint.not_otlp",
        "endpoint.failing",
        "instrumentor.aiohttp",
        "sdk.unknown",
    }
    named = {name for row in ROWS.values() for name in (*row.problems, *row.warnings)}
    assert {check.name for check in CHECKS} - elsewhere == named


@pytest.mark.parametrize("service", [None, "buoy.setup()", BOTH], ids=["nothing", "setup", "by hand"])
def test_an_exporter_that_is_down_is_a_problem(service: str | None, tmp_path: Path, nobody: str) -> None:
    """Where nobody listens it says so, for all signals at once, with the fix; in words as well."""
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": nobody, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=canary-5"}
    ended = doctor(tmp_path, service, **environment)
    assert ended.code == 1
    said = " ".join(ended.out.split())
    assert f"problem endpoint.refused [traces to {nobody}/v1/traces, metrics to {nobody}/v1/metrics" in said
    assert "fix: Start the collector" in said
    assert "headers x-key (values not shown)" in said
    assert re.search("in all [12] problem, 0 warning, [0-9]+ ok$", said)
    assert "canary" not in ended.out + ended.err


def test_the_endpoint_of_the_argument_wins(tmp_path: Path, sink: Sink, nobody: str) -> None:
    """``--endpoint`` is to the environment what the argument of ``setup`` is."""
    before = len(sink.bodies)
    ended = doctor(tmp_path, None, "--json", "--endpoint", f"{sink.url}/", OTEL_EXPORTER_OTLP_ENDPOINT=nobody)
    assert ended.code == 0, ended.out
    assert sink.bodies[before:] == [("/v1/traces", b""), ("/v1/metrics", b""), ("/v1/logs", b"")]


def test_what_setup_would_do_is_what_it_does(tmp_path: Path, sink: Sink) -> None:
    """Without a service it shows what it shows of one that calls ``buoy.setup()``; only the owner differs."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink.url,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"{sink.url}/mine/v1/metrics",
        "OTEL_BSP_MAX_QUEUE_SIZE": "9000",
        "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "100",
        "OTEL_METRIC_EXPORT_INTERVAL": "20000",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=seven",
        "OTEL_TRACES_SAMPLER": "always_on",
    }
    planned, done = (signals(doctor(tmp_path, service, "--json", **environment)) for service in (None, "buoy.setup()"))
    assert {"nobody yet; buoy.setup() would take it"} == {signal.pop("owner") for signal in planned.values()}
    assert {"buoy.setup()"} == {signal.pop("owner") for signal in done.values()}
    for told in (planned, done):  # which of the exporters it is, is setup's own affair
        for signal in told.values():
            for way in signal["ways"]:
                way["exporter"] = way["exporter"].removeprefix("Packing").removeprefix("OTLP")
    assert planned == done
    assert [
        done["metrics"]["ways"][0]["interval"],
        done["traces"]["ways"][0]["queue"],
        done["logs"]["ways"][0]["batch"],
    ] == [20.0, 9000, 100]
    assert done["traces"]["ways"][0]["headers"] == ["x-tenant"]


def signals(ended: Ended) -> dict[str, Any]:
    """Return what was told of the signals."""
    told: dict[str, Any] = json.loads(ended.out)["signals"]
    return told


def test_an_sdk_that_does_not_show_itself_is_said_so(tmp_path: Path, sink: Sink) -> None:
    """Where the private attributes of the SDK are gone, the answer is that it is not known; nothing breaks."""
    service = (
        "class Strange(TracerProvider):\n"
        "    def __getattribute__(self, name):\n"
        "        if name == '_active_span_processor': raise AttributeError(name)\n"
        "        return super().__getattribute__(name)\n"
        "trace.set_tracer_provider(Strange(shutdown_on_exit=False)); meters()"
    )
    ended = doctor(tmp_path, service, "--json", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert {"sdk.unknown"} == found(ended, "warning")
    assert (ended.code, signals(ended)["traces"]["ways"]) == (0, None)


def test_an_active_instrumentor_of_aiohttp_is_told(tmp_path: Path, sink: Sink) -> None:
    """By the instrumentor's public property; the package is a stand-in, since the real one asks for an older SDK."""
    package = tmp_path / "opentelemetry" / "instrumentation" / "aiohttp_client"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "class AioHttpClientInstrumentor:\n    is_instrumented_by_opentelemetry = True\n"
    )
    service = f"{BOTH}; import sys, opentelemetry\nimport opentelemetry.instrumentation.aiohttp_client"
    ended = doctor(tmp_path, service, "--json", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert found(ended, "warning") == {"instrumentor.aiohttp"}
    assert ended.code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["no such module"], 2, "package.module:app"),
        (["service:"], 2, "package.module:app"),
        (["nowhere.canary_6"], 2, "cannot be imported: ModuleNotFoundError (nowhere)"),
        (["service:missing"], 2, "service has no missing"),
        (["--endpoint", "canary-6:4318"], 2, "it must be a base URL"),
        (["broken"], 1, "broken cannot be imported: KeyError"),
        (["lacking"], 1, "lacking cannot be imported: ModuleNotFoundError (elsewhere)"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_a_line(arguments: list[str], code: int, says: str, tmp_path: Path) -> None:
    """Wrong usage is 2, a service that breaks when it is imported 1; texts of exceptions are not repeated."""
    (tmp_path / "service.py").write_text("app = 1\n")
    (tmp_path / "broken.py").write_text("{}['canary-7']\n")
    (tmp_path / "lacking.py").write_text("import elsewhere\n")
    ended = run("-c", PROGRAM, *arguments, where=tmp_path)
    assert (code, "") == (ended.code, ended.out)
    assert says in ended.err
    assert "canary-" not in ended.err


def test_what_a_service_prints_does_not_spoil_the_json(tmp_path: Path, sink: Sink) -> None:
    """Standard output is the doctor's alone."""
    ended = doctor(tmp_path, BOTH, "--json", OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert {"versions", "signals", "findings"} == set(json.loads(ended.out))
    assert ended.err == "printed by the service\n"


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """Where the SDK is missing there is nothing to look at, and the extra is named."""
    program = "import sys; sys.modules['opentelemetry.sdk'] = None\n" + PROGRAM
    ended = run("-c", program, where=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert "pip install 'buoy[otel]'" in ended.err


def test_the_reference_names_every_check() -> None:
    """The page of the checks has each of them, as the code has it; the how-to shows no other name."""
    page = (ROOT / "docs" / "reference" / "doctor.md").read_text()
    for check in CHECKS:
        assert f"| `{check.name}` | {check.severity} | {check.loses} | {check.fix} |" in page
    text = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
    named = set(
        re.findall(
            r"\b(?:sdk|provider|exporter|processor|queue|metrics|resource|sampler|logs|endpoint)\.[a-z_]+\b", text
        )
    )
    assert named <= {check.name for check in CHECKS}
