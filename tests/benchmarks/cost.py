"""What a call costs in CPU, above raw aiohttp and beside what one composes today: ``make bench``.

Every variant has a process of its own, with raw aiohttp in it as well; server and OTLP receiver have theirs. The rounds
go through all of them in rotating order. A figure is CPU time of the whole process per call, exporter threads and the
flush of spans included; what a variant adds is the median over the rounds of its difference to raw *within the round*.
Metrics are exported every so many seconds and not with calls: what one export costs is shown beside.

Figures are microseconds; compare ratios, not figures of different machines.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.benchmarks import figures
from tests.benchmarks.figures import Samples
from tests.benchmarks.processes import Worker, listening, received, working
from tests.benchmarks.worker import VARIANTS
from tools import servers

IN_FLIGHT = (1, 64)
SWEEP = (1, 8, 64, 256, 1000)
SWEPT = ("buoy_sampled", "buoy_no_sdk")
TARGET = Path("build/bench.json")


def environment() -> str | None:
    """Return the interpreter of the environment that has the peers, or ``None`` where it cannot be had."""
    try:
        return servers.ensure("peers").command[0]
    except servers.Unavailable as error:
        print(f"{error}\npeers: cannot be had here (above is why); there is nothing to compare with", file=sys.stderr)
        return None


def chosen(only: Sequence[str], peers: str | None) -> dict[str, str]:
    """Return the variants to measure, with the interpreter of each: where the peers are, all have their versions."""
    names = only or list(VARIANTS)
    return {name: peers or sys.executable for name in names if peers or not VARIANTS[name].composed}


def measured(workers: Mapping[str, Worker], rounds: int, calls: int, in_flight: Sequence[int]) -> Samples:
    """Go through all variants, round after round, and return the samples of each."""
    samples = Samples()
    names = list(workers)
    for turn in range(-1, rounds):  # one more, for it is the warm-up
        for offset in range(len(names)):
            name = names[(max(turn, 0) + offset) % len(names)]
            for count in in_flight:
                order = ("raw", "variant") if (turn + offset) % 2 else ("variant", "raw")
                pair = {
                    what: workers[name].ask(what=what, calls=max(calls, 2 * count), in_flight=count)["us"]
                    for what in order
                }
                if turn >= 0:
                    samples.add(name, count, raw=pair["raw"], variant=pair["variant"])
    return samples


def lost(workers: Mapping[str, Worker], sink: str) -> dict[str, int]:
    """Return how many spans of which variant did not arrive: who loses them is cheap for no good reason."""
    arrived = received(sink)
    made = {name: worker.ask(what="metrics")["calls"] for name, worker in workers.items()}
    missing = {name: count * VARIANTS[name].spans - arrived.get(name, 0) for name, count in made.items()}
    return {name: count for name, count in missing.items() if count}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return all that was found."""
    peers = environment()
    with ExitStack() as stack:
        server, sink = stack.enter_context(listening("server")), stack.enter_context(listening("sink"))
        workers = {
            name: stack.enter_context(working(python, name, server, sink))
            for name, python in chosen(arguments.only, peers).items()
        }
        load = os.getloadavg()[0]
        samples = measured(workers, arguments.rounds, arguments.calls, IN_FLIGHT)
        exports = {name: round(worker.ask(what="metrics")["ms"], 2) for name, worker in workers.items()}
        swept = {name: workers[name] for name in SWEPT if name in workers} or workers
        sweep = measured(swept, max(arguments.rounds // 2, 1), arguments.calls, SWEEP)
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load before {load:.2f}",
            "versions": next(iter(workers.values())).versions,
            "rounds": arguments.rounds,
            "calls": arguments.calls,
            **figures.of(samples, IN_FLIGHT),
            "in_flight": figures.of(sweep, SWEEP),
            "metrics_export_ms": exports,
            "spans_lost": lost(workers, sink),
        }


def main() -> int:
    """Run the benchmark, print its tables and write ``build/bench.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--only", nargs="*", choices=VARIANTS, default=[], help="these variants and no others")
    found = run(parser.parse_args())
    figures.show(found, {name: variant.title for name, variant in VARIANTS.items()})
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if found["spans_lost"]:
        print(f"spans that did not arrive, so that these figures do not count: {found['spans_lost']}", file=sys.stderr)
    return int(bool(found["spans_lost"]))


if __name__ == "__main__":
    sys.exit(main())
