"""Programs in processes of their own: OpenTelemetry's providers are one per process."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.repository import ROOT

# What every program has: a provider with one operation, and a way to say something.
HEAD = """
import asyncio, json, logging, os, sys, time
logging.disable()
import buoy
def say(**facts): print(json.dumps(facts), flush=True)
def declared():
    bank = buoy.Provider("bank")
    @bank.operation("balance", safety="safe")
    async def balance(): return 1
    return bank, balance
async def calls(bank, balance, times=1):
    async with bank:
        for _ in range(times): await balance()
"""


def process(program: str, **environment: str) -> list[dict[str, Any]]:
    """Run a program in a clean environment, which must end well, and return what it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program],
        env={**inherited, "PYTHONPATH": path, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
