"""What the services have in common: whom they call, and how they talk with the test."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any

import buoy

FAILURES = 3  # calls that fail, each of a provider of its own: so many logs

URL = os.environ.get("SHOP_URL", "http://127.0.0.1:9")


class Shop(buoy.Provider, base_url=URL):
    """Whom they call."""

    retry = None

    item = buoy.get("/items/{id}")
    held = buoy.get("/held/{id}")


def say(**facts: Any) -> None:
    """Say something to the test: a line, written at once, since other processes may have the same standard output."""
    os.write(1, (json.dumps(facts) + "\n").encode())


async def told() -> str:
    """Wait for a word of the test."""
    line: str = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.strip()


def figures(report: buoy.DrainReport) -> dict[str, Any]:
    """Return a drain report as plain data."""
    signals = {"spans": report.spans, "metrics": report.metrics, "logs": report.logs}
    return {
        **{name: {"flushed": of.flushed, "dropped": dict(of.dropped)} for name, of in signals.items()},
        "finished": report.calls_finished,
        "cut": report.calls_cut,
        "duration": report.duration,
        "result": str(report.result),
    }


async def work(calls: int, *, failures: int = 0) -> None:
    """Make so many calls, and further ones that fail, each of a provider of its own: so each is logged."""
    async with Shop() as shop:
        for number in range(calls):
            await shop.item(id=number)
    for number in range(failures):
        async with buoy.Provider(f"shop_{number}", base_url=URL, retry=None) as other:
            with suppress(buoy.HttpError):
                await other.get("/missing/{id}", id=number)
