"""Programs in processes of their own, in a clean environment: OpenTelemetry's providers are one per process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.support.repository import ROOT

NOTHING: Mapping[str, str] = MappingProxyType({})
BOUND = 400.0  # seconds, for a machine that has much else to do


class Ended(NamedTuple):
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


def run(*arguments: str, environment: Mapping[str, str] = NOTHING, where: Path = ROOT) -> Ended:
    """Run ``python`` with these arguments; of our own ``OTEL_*`` it gets none."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "BUOY_"))}
    path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, "PYTHONPATH": path, **environment},
        cwd=where,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def said(program: str, **environment: str) -> list[dict[str, Any]]:
    """Run a program that must end well, and return the JSON objects that it printed, one to a line."""
    done = run("-c", program, environment=environment)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]
