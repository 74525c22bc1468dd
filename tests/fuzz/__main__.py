"""``make fuzz``: every target for some seconds under atheris, which needs a process for each; what crashes is shown.

`python -m tests.fuzz [--seconds 20] [TARGET...]`. Owns the exit code: 0 nothing was found, 1 something was, 2 misuse or
no atheris. Of the same targets `make test` runs a few hundred examples each, without atheris.
"""

import argparse
import platform
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tests.fuzz.places import ROOT, crashes, home, log
from tests.fuzz.targets import TARGETS

LATE = 60  # seconds that starting, and ending, may take beside the fuzzing itself
SHOWN = 200  # bytes of an input
TAIL = 12  # lines of a log
NAMES = [target.name for target in TARGETS]

_UNITS = re.compile(r"stat::number_of_executed_units: +([0-9]+)")
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)*.*|ERROR: libFuzzer: .*")


class Run(NamedTuple):
    """What became of one target."""

    inputs: int | None
    found: list[Path]
    failed: bool


def main(arguments: list[str]) -> int:
    """Run the targets named, or all of them, and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    given = parser.parse_args(arguments)
    names = given.targets or NAMES
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no such target: {', '.join(unknown)}")
    if find_spec("atheris") is None:
        sys.stderr.write(missing())
        return 2
    print(f"{len(names)} targets, {given.seconds} s each; what they find is kept below build/fuzz", flush=True)
    runs = [shown(name, given.seconds) for name in names]
    print(
        f"{sum(run.inputs or 0 for run in runs):>12,} inputs in all, {sum(run.failed for run in runs)} targets failed"
    )
    return 1 if any(run.failed for run in runs) else 0


def missing() -> str:
    """Return the words for an interpreter that there is no atheris for."""
    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return (
        f"There is no atheris in this environment, {here}.\n"
        "It comes built for CPython 3.11 to 3.14 on Linux x86_64; `make fuzz PYTHON=python3.12` takes such a one.\n"
        "The same targets run without it, with fewer examples: `make test PYTEST_ARGS=tests/fuzz`.\n"
    )


def shown(name: str, seconds: int) -> Run:
    """Run one target and print what became of it."""
    run = fuzzed(name, seconds)
    counted = "unknown" if run.inputs is None else f"{run.inputs:,}"
    print(f"{counted:>12} inputs  {name:<14} {'FAILED' if run.failed else 'ok'}", flush=True)
    for path in run.found:
        data = path.read_bytes()
        more = f" ... ({len(data)} bytes)" if len(data) > SHOWN else ""
        print(f"  {data[:SHOWN]!r}{more}\n  kept in {path.relative_to(ROOT)}")
    if run.failed:
        said = log(name).read_text(encoding="utf-8", errors="replace")
        telling = _TRACEBACK.search(said)
        for line in (telling[0] if telling else said).splitlines()[-TAIL:]:
            print(f"  | {line}")
        print(f"  all of it: {log(name).relative_to(ROOT)}", flush=True)
    return run


def fuzzed(name: str, seconds: int) -> Run:
    """Run one target in a process of its own, which ends by itself, or is ended."""
    home(name).mkdir(parents=True, exist_ok=True)
    before = set(crashes(name).glob("*"))
    # A warning of Python's, too, is something that must not come out.
    command = [sys.executable, "-W", "error", "-m", "tests.fuzz.guided", name, str(seconds)]
    with log(name).open("wb") as output:
        try:
            ended = subprocess.run(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, timeout=seconds + LATE, check=False
            )
            failed = ended.returncode != 0
        except subprocess.TimeoutExpired:
            failed = True
    counted = _UNITS.search(log(name).read_text(encoding="utf-8", errors="replace"))
    found = sorted(set(crashes(name).glob("*")) - before)
    return Run(int(counted[1]) if counted else None, found, failed or bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
