"""Runs the tests against the built wheel on every Python from 3.11 to 3.14 found here, and says which were not found.

`python -m tools.pythons [PYTEST_ARGUMENT...]`; without arguments all but those of ``ONCE``. Each version keeps its
environment under `build/pythons/`, so that only the first run installs anything but the wheel.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.bootstrap import BUILD, ROOT, Python, Wanted, ensure, only_one, pip_install, say

MINORS = ("3.11", "3.12", "3.13", "3.14")
# What `make test` runs once: programs of others, and what takes minutes and is the same on every version.
ONCE = (
    "tests/fuzz",
    "tests/integration/foreign",
    "tests/integration/sidecar",
    "tests/integration/telemetry/test_doctor.py",
    "tests/integration/telemetry/test_overflow.py",
)
# Prints what identifies an interpreter, and fails where no environment could be made with it.
PROBE = "import ensurepip, platform, sys, venv; print(platform.python_version(), sys.base_prefix, sep='\\n')"


def main(arguments: Sequence[str]) -> int:
    """Test every version that is there; the exit code says whether all of them passed."""
    say("building the sdist, and the wheel from it")
    wheel = build()
    rows, failed = [], False
    for minor in MINORS:
        python = find(minor)
        if python is None:
            rows.append((minor, "not tested: not on this machine"))
            continue
        code, closing = run_tests(python, wheel, arguments)
        rows.append((python.version, closing))
        failed |= code != 0
    say(f"\n{wheel.name}")
    for version, closing in rows:
        say(f"  Python {version:8} {closing}")
    return int(failed)


def build() -> Path:
    """Return a fresh wheel, made from the sdist, so that what is missing there is noticed."""
    folder = BUILD / "dist"
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout)
    return max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def find(minor: str) -> Python | None:
    """Return the interpreter of this version that really runs: a shim may only pretend."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    beside = sorted(map(str, pyenv.glob(f"versions/{minor}.*/bin/python")), reverse=True)
    for candidate in (f"python{minor}", *beside):
        try:
            done = subprocess.run([candidate, "-I", "-c", PROBE], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        version, prefix = done.stdout.splitlines()
        return Python(version, prefix)
    return None


def run_tests(python: Python, wheel: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Return pytest's exit code and closing line, having shown all that it said."""
    venv = BUILD / "pythons" / python.minor
    with only_one():
        ensure(venv, Wanted(python, frozenset({"test"})))
        pip_install(venv, ["--no-deps", "--force-reinstall", str(wheel)])
    program = str(venv / "bin" / "python")
    where = subprocess.check_output([program, "-c", "import buoy; print(buoy.__path__[0])"], text=True, cwd=ROOT)
    say(f"\nPython {python.version}, buoy from {where.strip()}")
    closing = "nothing ran"
    with subprocess.Popen(
        [program, "-m", "pytest", "-q", *(arguments or [f"--ignore={path}" for path in ONCE])],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as run:
        for line in run.stdout or ():
            say(line.rstrip())
            closing = line.strip() or closing
    return run.returncode, closing.strip("= ")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
