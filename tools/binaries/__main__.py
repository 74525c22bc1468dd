"""`python -m tools.binaries [NAME...]`: leave the programs ready, and say where they are.

Without names all of them; the exit code is 1 where one is missing. `--pin` writes the pins of the manifests anew.
"""

import signal
import sys
from collections.abc import Sequence

from tools.binaries import PROGRAMS, Unavailable, ensure
from tools.binaries.building import pinned
from tools.binaries.recipes import RECIPES
from tools.binaries.running import say


def main(names: Sequence[str]) -> int:
    """Do what the command line says."""
    if names == ["--pin"]:
        for recipe in RECIPES.values():
            if recipe.manifest:
                pinned(recipe.name)
        return 0
    if unknown := sorted(set(names) - set(PROGRAMS)):
        say(f"unknown: {', '.join(unknown)}; there are: {', '.join(PROGRAMS)}")
        return 2
    missing = False
    for name in names or PROGRAMS:
        try:
            say(f"{name:12}  {ensure(name)}")
        except Unavailable as error:
            missing = True
            say(f"{error}\n{name}: missing (above is why)")
    return int(missing)


if __name__ == "__main__":
    # So that what was started is ended with us, and its folder removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal; the next run goes on where this one was"))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted; the next run goes on where this one was")
    except Unavailable as error:
        sys.exit(str(error))
