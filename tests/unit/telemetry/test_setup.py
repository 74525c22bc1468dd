"""``buoy.setup()``, each time in a process of its own."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import buoy
from buoy.telemetry import setup as ours
from buoy.telemetry.setup import Telemetry, announce
from tests.unit.telemetry.program import process
from tests.unit.telemetry.receiver import Received, receiving


@pytest.fixture
def received() -> Iterator[Received]:
    """Receive OTLP."""
    with receiving() as listening:
        yield listening


@pytest.fixture
def nobody() -> Iterator[str]:
    """Return a URL where nobody listens: the port is taken, and not listened on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("order", ["setup first", "provider first"])
def test_zeros_are_exported_before_the_first_call(order: str, received: Received) -> None:
    """A provider that was entered has exported its counters at 0, whichever came first: else no increase is seen."""
    first = "telemetry = buoy.setup('svc'); bank, balance = declared()"
    if order == "provider first":
        first = "bank, balance = declared(); telemetry = buoy.setup('svc')"
    process(
        f"{first}\n"
        "async def main():\n"
        "    async with bank: os._exit(0)\n"  # nothing is flushed on the way out
        "asyncio.run(main())\n",
        OTEL_EXPORTER_OTLP_ENDPOINT=received.url,
    )
    assert dict.fromkeys(sorted(buoy.CallResult), 0) == {
        dict(key)["buoy.call.result"]: value for key, value in sorted(received.values("buoy.client.calls").items())
    }
    assert {0} == set(received.values("buoy.client.retry.abandoned").values())
    assert received.spans() == []


def test_an_argument_wins_over_the_environment(received: Received, nobody: str) -> None:
    """Endpoint and name given to ``setup`` are taken; both signals arrive as protobuf, from one named instance."""
    said = process(
        "telemetry = buoy.setup('given', endpoint=os.environ['WANTED'] + '/')\n"
        "again = buoy.setup('other')\n"
        "asyncio.run(calls(*declared(), times=3))\n"
        "say(same=again is telemetry, traces=telemetry.traces, metrics=telemetry.metrics, flushed=telemetry.flush())\n"
        "telemetry.shutdown()\n",
        WANTED=received.url,
        OTEL_EXPORTER_OTLP_ENDPOINT=nobody,
        OTEL_SERVICE_NAME="environment",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
    )
    assert said == [{"same": True, "traces": True, "metrics": True, "flushed": True}]
    assert {"/v1/traces", "/v1/metrics", "/v1/logs"} == set(received.paths)
    assert {"application/x-protobuf"} == {headers["content-type"] for headers in received.headers}
    assert [*["bank balance"] * 3, *["bank balance attempt"] * 3] == sorted(received.spans())
    assert [value for value in received.values("buoy.client.calls").values() if value] == [3]
    assert list(received.values("buoy.client.call.duration").values()) == [3]
    resources = received.resources()
    assert {("given", "test")} == {(who["service.name"], who["deployment.environment.name"]) for who in resources}
    assert len({who["service.instance.id"] for who in resources}) == 1


def test_the_environment_is_honoured(received: Received) -> None:
    """Endpoint by signal, headers, name and instance come from ``OTEL_*``; what waits is exported at exit."""
    process(
        "bank, balance = declared()\n"
        "buoy.setup()\n"
        "loop = asyncio.new_event_loop()\n"
        "loop.run_until_complete(bank.__aenter__())\n"
        "loop.run_until_complete(balance())\n",  # the provider is never left, the loop never closed
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{received.url}/mine/v1/traces",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{received.url}/mine/v1/metrics",
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=seven",
        OTEL_EXPORTER_OTLP_TIMEOUT="5",
        OTEL_SERVICE_NAME="environment",
        OTEL_RESOURCE_ATTRIBUTES="service.instance.id=one",
        OTEL_BSP_MAX_QUEUE_SIZE="1000",
        OTEL_METRIC_EXPORT_INTERVAL="60000",
    )
    assert {"/mine/v1/traces", "/mine/v1/metrics"} == set(received.paths)
    assert {"seven"} == {headers["x-tenant"] for headers in received.headers}
    assert {("environment", "one")} == {
        (who["service.name"], who["service.instance.id"]) for who in received.resources()
    }
    assert sorted(received.spans()) == ["bank balance", "bank balance attempt"]
    assert list(received.values("buoy.client.call.duration").values()) == [1]


def test_it_steps_aside_where_told_or_where_one_is_set() -> None:
    """Per signal: a provider of the service's own, ``none`` and ``OTEL_SDK_DISABLED`` are respected."""
    said = process(
        "from opentelemetry import _logs, metrics, trace\n"
        "from opentelemetry.sdk._logs import LoggerProvider\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from buoy.telemetry import setup as module\n"
        "def fresh(**environment):\n"
        "    module._present = None\n"
        "    os.environ.pop('OTEL_SDK_DISABLED', None)\n"
        "    for signal in ('TRACES', 'METRICS', 'LOGS'): os.environ.pop(f'OTEL_{signal}_EXPORTER', None)\n"
        "    os.environ.update(environment)\n"
        "    done = buoy.setup()\n"
        "    say(traces=done.traces, metrics=done.metrics, logs=done.logs)\n"
        "    return done\n"
        "fresh(OTEL_SDK_DISABLED='TRUE')\n"
        "fresh(OTEL_TRACES_EXPORTER='none', OTEL_METRICS_EXPORTER='none', OTEL_LOGS_EXPORTER='none')\n"
        "mine = TracerProvider(shutdown_on_exit=False)\n"
        "trace.set_tracer_provider(mine)\n"
        "fresh(OTEL_METRICS_EXPORTER='none', OTEL_LOGS_EXPORTER='none')\n"
        "say(traces='opentelemetry.exporter.otlp' in ' '.join(sys.modules))\n"
        "metrics.set_meter_provider(MeterProvider(shutdown_on_exit=False))\n"
        "_logs.set_logger_provider(LoggerProvider(shutdown_on_exit=False))\n"
        "done = fresh()\n"
        "say(mine=trace.get_tracer_provider() is mine, flushed=done.flush())\n"
        "asyncio.run(calls(*declared()))\n"
    )
    assert said == [
        *[{"traces": False, "metrics": False, "logs": False}] * 3,
        {"traces": False},
        {"traces": False, "metrics": False, "logs": False},
        {"mine": True, "flushed": True},
    ]


@pytest.mark.parametrize(
    ("taken", "expected"),
    [("traces", {"traces": False, "metrics": True}), ("metrics", {"traces": True, "metrics": False})],
)
def test_it_takes_the_signal_that_is_free(taken: str, expected: dict[str, bool], received: Received) -> None:
    """Where the service has a provider for one signal, the other is still sent to the sidecar."""
    own = {
        "traces": "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider\n"
        "trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))\n",
        "metrics": "from opentelemetry import metrics\nfrom opentelemetry.sdk.metrics import MeterProvider\n"
        "metrics.set_meter_provider(MeterProvider(shutdown_on_exit=False))\n",
    }
    said = process(
        own[taken] + "done = buoy.setup()\nasyncio.run(calls(*declared()))\n"
        "say(traces=done.traces, metrics=done.metrics)\n",
        OTEL_EXPORTER_OTLP_ENDPOINT=received.url,
    )
    assert [expected] == said
    assert len({who["service.instance.id"] for who in received.resources()}) == 1
    assert {"/v1/metrics" if taken == "traces" else "/v1/traces", "/v1/logs"} == set(received.paths)


def test_without_the_extra_it_says_what_to_install() -> None:
    """Where the SDK is missing, ``setup`` names the extra; calls work all the same."""
    said = process(
        "sys.modules['opentelemetry.sdk'] = None\n"
        "try: buoy.setup()\n"
        "except buoy.ConfigurationError as error: say(error=str(error))\n"
        "asyncio.run(calls(*declared()))\n"
        "say(sdk=[name for name in sys.modules if name.startswith('opentelemetry.sdk.')])\n"
    )
    assert said == [
        {"error": "setup: OpenTelemetry's SDK is not installed; install it with: pip install 'buoy[otel]'"},
        {"sdk": []},
    ]


def test_without_the_sdk_every_policy_works() -> None:
    """Where nobody can listen, breakers open, calls wait, are refused, joined and answered by fallbacks."""
    said = process(
        "sys.modules['opentelemetry.sdk'] = None\n"
        "from tests.contract import policies\n"
        "from tests.support import virtual_time\n"
        "virtual_time.run(policies.in_virtual_time())\n"
        "asyncio.run(policies.over_http())\n"
        "say(sdk=[name for name in sys.modules if name.startswith('opentelemetry.sdk.')])\n"
    )
    assert said == [{"sdk": []}]


def test_a_sidecar_that_is_down_stops_nobody(nobody: str) -> None:
    """With nobody at the endpoint a provider is entered and called at once, and ``flush`` says that it failed."""
    said = process(
        "begun = time.monotonic()\n"
        "telemetry = buoy.setup('svc', endpoint=os.environ['WANTED'])\n"
        "asyncio.run(calls(*declared(), times=100))\n"
        "say(quick=time.monotonic() - begun < 20, flushed=telemetry.flush(0.2))\n"
        "os._exit(0)\n",  # the SDK's own way out takes its time where nobody answers
        WANTED=nobody,
    )
    assert said == [{"quick": True, "flushed": False}]


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        (None, {}, "http://127.0.0.1:4318/v1/traces"),
        ("http://sidecar:4318/", {}, "http://sidecar:4318/v1/traces"),
        ("http://a:1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:2"}, "http://a:1/v1/traces"),
        ("http://a:1", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:2/x"}, "http://a:1/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b:2"}, None),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:2/x"}, None),
        (None, {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b:2/x"}, "http://127.0.0.1:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "http://127.0.0.1:4318/v1/traces"),
    ],
)
def test_where_traces_go(
    endpoint: str | None, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The argument, else what the environment says of this signal or of all (``None``: it is read there), else ours."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == ours._url(endpoint, "TRACES")


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "", 4318])
def test_an_endpoint_that_cannot_work_is_refused(endpoint: Any) -> None:
    """The message says what it must be, and does not repeat what may have a password in it."""
    with pytest.raises(buoy.ConfigurationError, match="endpoint must be the base URL of an OTLP http receiver"):
        buoy.setup(endpoint=endpoint)


@pytest.mark.parametrize("name", ["", "  ", 7])
def test_a_service_name_that_cannot_work_is_refused(name: Any) -> None:
    """A name is a non-empty text, or ``None``."""
    with pytest.raises(buoy.ConfigurationError, match="service_name="):
        buoy.setup(name)


def test_an_exporter_that_is_not_offered_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_TRACES_EXPORTER=console`` is not silently something else; the message says who offers it."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with pytest.raises(buoy.ConfigurationError, match="opentelemetry-instrument"):
        buoy.setup()


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL"])
def test_a_protocol_that_is_not_spoken_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``grpc`` would send to a port that does not understand us; the message says which protocol is spoken."""
    monkeypatch.setenv(variable, "grpc")
    with pytest.raises(buoy.ConfigurationError, match=f"{variable}=grpc is not offered here, only http/protobuf"):
        buoy.setup()


def test_a_number_that_cannot_work_is_refused() -> None:
    """A queue without room and an interval that is none are named with their variable, and nothing is installed."""
    variables = ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_BLRP_SCHEDULE_DELAY"]
    said = process(
        f"for variable in {variables}:\n"
        "    for value in ('0', '-5', 'many', 'nan', 'inf'):\n"
        "        os.environ[variable] = value\n"
        "        try: buoy.setup()\n"
        "        except buoy.ConfigurationError as error: say(error=str(error))\n"
        "    del os.environ[variable]\n"
        "say(done=buoy.setup().fast)\n"
    )
    assert [
        *(
            {"error": f"setup: {variable}={value} is not allowed; it must be a number from 1 on."}
            for variable in variables
            for value in ("0", "-5", "many", "nan", "inf")
        ),
        {"done": True},
    ] == said


def test_what_an_exporter_cannot_use_is_refused() -> None:
    """What only an exporter finds out is an error of ours as well, without the value, and nothing is installed."""
    said = process(
        "from opentelemetry import trace\n"
        "try: buoy.setup()\n"
        "except buoy.ConfigurationError as error: say(error=str(error), cause=type(error.__cause__).__name__)\n"
        "say(free=isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider))\n",
        OTEL_PYTHON_EXPORTER_OTLP_HTTP_LOGS_CREDENTIAL_PROVIDER="s3cret",
    )
    text = "setup: what OTEL_* asks for cannot work (RuntimeError); 'buoy doctor' looks at each of them."
    assert [{"error": text, "cause": "RuntimeError"}, {"free": True}] == said


def test_fast_is_true_or_false() -> None:
    """Anything else is a mistake."""
    fast: Any = "yes"
    with pytest.raises(buoy.ConfigurationError, match="fast='yes' is not allowed"):
        buoy.setup(fast=fast)


def test_announcing_is_nothing_where_the_sdk_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is new where ``setup`` was not called, or left metrics alone, and nothing is flushed."""
    for present in (None, Telemetry(traces=True, metrics=False, logs=True, fast=True)):
        monkeypatch.setattr(ours, "_present", present)
        assert not ours.has_news()
        announce()
