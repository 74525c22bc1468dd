"""The demo, judged: what the provider's own log says and what the exported telemetry says are the same thing."""

import base64
import gzip
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.judge import judge

FIXED = 20_261_125
SECONDS = "9"  # long enough for the restart, which comes 4 to 8 s after the first request
_DEMO = "import sys; from buoy.cli import main; sys.exit(main(sys.argv[1:]))"


def _run(directory: Path, seed: int) -> Path:
    command = [sys.executable, "-c", _DEMO, "demo", "--out", str(directory), "--seed", str(seed), "--seconds", SECONDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of the demo with a fixed seed."""
    return _run(tmp_path_factory.mktemp("fixed"), FIXED)


def test_fixed_seed_has_no_difference(fixed: Path) -> None:
    """With a fixed seed, the telemetry equals what the provider saw."""
    verdict = judge(fixed)
    assert verdict.differences == [], verdict.table
    assert "retry" in verdict.table
    assert "refused, nobody listened" in verdict.table


def test_random_seed_has_no_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With whatever seed, the telemetry equals what the provider saw."""
    seed = secrets.randbelow(2**31)
    with capsys.disabled():
        print(f" [seed {seed}]", end="", flush=True)
    verdict = judge(_run(tmp_path, seed))
    assert verdict.differences == [], f"seed {seed}\n{verdict.table}"


def _lines(directory: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (directory / "otlp.jsonl").read_text().splitlines()]


def _body(line: dict[str, str]) -> bytes:
    raw = base64.b64decode(line["body"])
    return gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw


def _drop_span(lines: list[dict[str, str]], kind: str) -> None:
    """Take the first attempt span of ``kind`` out of the exported traces."""
    for line in lines:
        if line["signal"] != "traces":
            continue
        request = ExportTraceServiceRequest.FromString(_body(line))
        for scope in (scope for resource in request.resource_spans for scope in resource.scope_spans):
            for index, span in enumerate(scope.spans):
                if any(a.key == "buoy.attempt.kind" and a.value.string_value == kind for a in span.attributes):
                    del scope.spans[index]
                    line["body"] = base64.b64encode(request.SerializeToString()).decode()
                    return
    pytest.fail(f"the run has no attempt of kind {kind}")


def _miscount(lines: list[dict[str, str]], metric: str) -> None:
    """Add one to the first series of a counter in the last export of it."""
    for line in reversed(lines):
        if line["signal"] != "metrics":
            continue
        request = ExportMetricsServiceRequest.FromString(_body(line))
        for scope in (scope for resource in request.resource_metrics for scope in resource.scope_metrics):
            for found in scope.metrics:
                if found.name == metric:
                    found.sum.data_points[0].as_int += 1
                    line["body"] = base64.b64encode(request.SerializeToString()).decode()
                    return
    pytest.fail(f"the run has no metric {metric}")


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda lines: _drop_span(lines, "first"), id="one span dropped"),
        pytest.param(lambda lines: _drop_span(lines, "retry"), id="one retry hidden"),
        pytest.param(lambda lines: _drop_span(lines, "resend"), id="one resend hidden"),
        pytest.param(lambda lines: _miscount(lines, "buoy.client.calls"), id="calls off by one"),
        pytest.param(lambda lines: _miscount(lines, "buoy.client.errors"), id="errors off by one"),
        pytest.param(lambda lines: _miscount(lines, "buoy.client.retries"), id="retries off by one"),
    ],
)
def test_any_lie_is_a_difference(fixed: Path, tmp_path: Path, tamper: Callable[[list[dict[str, str]]], None]) -> None:
    """The judge notices when the same run's telemetry is wrong in a single place."""
    lines = _lines(fixed)
    tamper(lines)
    (tmp_path / "otlp.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    (tmp_path / "server.jsonl").write_bytes((fixed / "server.jsonl").read_bytes())
    assert judge(tmp_path).differences != []
