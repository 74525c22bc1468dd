"""What a service exports that has both the instrumentor of aiohttp and Buoy: each of our sends once, and by us."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.support.repository import ROOT
from tools import servers

BUOY = "buoy"
THEIRS = "opentelemetry.instrumentation.aiohttp_client"
SECONDS = 60


@pytest.fixture(scope="module")
def left() -> dict[str, Any]:
    """Run the calls where the instrumentor is installed and active; return what telemetry each kind has left."""
    try:
        program = servers.ensure("instrumentor")
    except servers.Unavailable as error:
        text = f"the instrumentor cannot be had here: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BUOY_", "COVERAGE_"))}
    done = subprocess.run(
        [*program.command, "-m", "tests.integration.instrumentor.calls"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT / "sdk"), "OTEL_SEMCONV_STABILITY_OPT_IN": "http"},  # stable names
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        found |= json.loads(line)
    return found


@pytest.mark.parametrize("kind", ["own", "streamed", "handed_in", "by_hand"])
def test_a_send_of_ours_is_counted_once(left: dict[str, Any], kind: str) -> None:
    """A call gives a span for itself, one for its send and one record, all ours, and our ``traceparent`` only."""
    found = left[kind]
    assert found["spans"] == {BUOY: 2}
    assert {who: count for who, count in found["records"].items() if count} == {BUOY: 1}
    assert len(found["sends"]) == 1
    assert found["parents"] == found["sends"]


def test_the_calls_of_others_are_still_seen(left: dict[str, Any]) -> None:
    """What a service calls without Buoy is the instrumentor's, also in a session that a provider has or had."""
    found = left["foreign"]
    assert found["spans"] == {THEIRS: 3}
    assert {who: count for who, count in found["records"].items() if count} == {THEIRS: 3}
    assert found["parents"] == found["sends"]


def test_a_call_within_a_call_of_ours_is_still_seen(left: dict[str, Any]) -> None:
    """What a service calls without Buoy while a send of ours is under way is the instrumentor's."""
    found = left["nested"]
    assert found["spans"] == {BUOY: 2, THEIRS: 1}
    assert {who: count for who, count in found["records"].items() if count} == {BUOY: 1, THEIRS: 1}
    assert found["parents"] == found["sends"]


def test_its_environment_is_ours_but_for_opentelemetry() -> None:
    """What both environments have is the same version in both, apart from OpenTelemetry, which is why there are two."""
    ours, theirs = _pins("constraints.txt"), _pins("tools/instrumentor.txt")
    shared = {name for name in theirs.keys() & ours.keys() if not name.startswith("opentelemetry-")}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert shared >= {"aiohttp", "http-sf", "pydantic", "structlog"}
    assert theirs["opentelemetry-sdk"] != ours["opentelemetry-sdk"]  # else there need not be two any more


def _pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))
