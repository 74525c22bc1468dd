"""The command ``python -m tests.support.judge DIR``. Owns its output and exit code: 0 agreed, 1 differs, 2 no run."""

import sys
from pathlib import Path

from tests.support.judge import judge


def main(arguments: list[str]) -> int:
    """Print the truth table and every difference; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tests.support.judge DIR\n")
        return 2
    try:
        verdict = judge(Path(arguments[0]))
    except OSError as error:
        sys.stderr.write(f"cannot read the run: {error}\n")
        return 2
    lines = [verdict.table, *(f"difference: {difference}" for difference in verdict.differences)]
    sys.stdout.write("\n".join(lines) + f"\ntruth: difference {len(verdict.differences)}\n")
    return 1 if verdict.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
