"""Whether memory stays flat over a million calls: ``make bench-soak`` (SOAK_ARGS="--calls 100000" for fewer).

Sampled and exported, 64 in flight, by ``setup()``. The resident memory after a tenth of the calls, when every cache and
queue has been full once, is compared with that after the last: the exit code is 1 where it grew by more than 2 %.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import buoy
from tests.benchmarks import ours, worker
from tests.benchmarks.by_hand import OneCall
from tests.benchmarks.processes import listening

IN_FLIGHT = 64
POINTS = 10
ALLOWED = 0.02
TARGET = Path("build/soak.json")


class Point(NamedTuple):
    """Resident memory, in MiB, after so many calls."""

    calls: int
    mib: float


def resident() -> float:
    """Return this process's resident memory in MiB, after all that can be exported and freed is."""
    worker.flush()
    worker.export_metrics()
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # no Linux: the most it ever was, in bytes there
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def soak(call: OneCall, calls: int) -> list[Point]:
    """Make the calls, and look at memory ten times."""
    points: list[Point] = []
    each = calls // POINTS // IN_FLIGHT

    async def work() -> None:
        for _ in range(each):
            await call()

    for turn in range(1, POINTS + 1):
        begun = time.monotonic()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        points.append(Point(turn * each * IN_FLIGHT, resident()))
        took = time.monotonic() - begun
        print(f"{points[-1].calls:9,} calls {points[-1].mib:8.1f} MiB  ({took:.0f} s)", flush=True)
    return points


async def _run(calls: int, server: str, sink: str, *, sdk: bool) -> list[Point]:
    telemetry = buoy.setup(service_name="soak", endpoint=sink) if sdk else None
    async with AsyncExitStack() as stack:
        points = await soak(await ours.plain(stack, server), calls)
    if telemetry is not None:
        telemetry.shutdown()  # while there is still somebody to export to
    return points


def growth(points: list[Point]) -> float:
    """Return by how much the last is above the first, as a fraction."""
    return points[-1].mib / points[0].mib - 1


def main() -> int:
    """Soak, print, and write ``build/soak.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--without-sdk", action="store_true", help="Buoy alone")
    arguments = parser.parse_args()
    if arguments.calls < POINTS * IN_FLIGHT:
        parser.error(f"--calls: at least {POINTS * IN_FLIGHT}")
    with listening("server") as server, listening("sink", "--forget") as sink:
        points = asyncio.run(_run(arguments.calls, server, sink, sdk=not arguments.without_sdk))
    grown = growth(points)
    TARGET.parent.mkdir(exist_ok=True)
    found = {"points": [point._asdict() for point in points], "growth": round(grown, 4), "allowed": ALLOWED}
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"grown by {grown:.2%} since {points[0].calls:,} calls; {ALLOWED:.0%} is allowed")
    return int(grown > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
