"""The command ``python -m tests.support.vectors PATH...``. Owns its exit code: 0 all passed, 1 failed, 2 misuse."""

import sys
from pathlib import Path

from tests.support.vectors.replay import replay


def main(arguments: list[str]) -> int:
    """Replay the files and folders named, print what failed and the count; return the exit code."""
    if not arguments:
        sys.stderr.write("usage: python -m tests.support.vectors PATH...\n")
        return 2
    report = replay([Path(argument) for argument in arguments])
    sys.stdout.write("".join(f"{line}\n" for line in report.lines()))
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
