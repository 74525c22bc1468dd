"""Makes `.venv`, or finds at once that it is as it should be. Stdlib only: it runs before anything is there.

`python tools/bootstrap.py [GROUP...]` installs the SDK and the dependency groups named, at the versions of
`constraints.txt`. It is run by the interpreter that `.venv` shall be made with, or by `.venv`'s own: the Makefile looks
for one. Only a finished environment has a stamp; whatever else lies there is thrown away and made anew.
"""

import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = ("otel", "cli")
EVERY = 5.0  # seconds between two lines of progress
TAIL = 30  # lines of pip's log shown when it fails


class Python(NamedTuple):
    """An interpreter, known by what an environment made with it depends on."""

    version: str
    prefix: str

    @property
    def minor(self) -> str:
        """The version without its last number, as in file names."""
        return ".".join(self.version.split(".")[:2])

    @property
    def executable(self) -> Path:
        """The program itself, also when an environment's link to it is what runs now."""
        return Path(self.prefix) / "bin" / f"python{self.minor}"


class Wanted(NamedTuple):
    """What an environment shall be made of."""

    python: Python
    groups: frozenset[str]
    project: tuple[str, ...] = ()  # how pip is told to install the SDK; nothing where the caller does it


def requirements(groups: Iterable[str]) -> list[str]:
    """Return what to install beside the SDK: its build backend, its dependencies and the groups named."""
    about = _pyproject()
    project, known = about["project"], about["dependency-groups"]
    found = [*about["build-system"]["requires"], *project["dependencies"]]
    for extra in EXTRAS:
        found += project["optional-dependencies"][extra]
    for group in sorted(groups):
        found += _group(known, group)
    return list(dict.fromkeys(found))


def ensure(venv: Path, wanted: Wanted) -> None:
    """Leave ``venv`` as ``wanted``, with the least work: nothing, an update in place, or from the beginning."""
    stamp = _stamp(venv)
    groups = wanted.groups
    if broken := _broken(venv, stamp, wanted.python):
        shutil.rmtree(venv, ignore_errors=True)
        say(f"{_shown(venv)}: made with Python {wanted.python.version} ({broken})")
        _run([str(wanted.python.executable), "-m", "venv", str(venv)], "venv")
    else:
        groups |= frozenset(stamp["groups"])  # an environment grows; it does not forget what another command needs
        if stamp["key"] == _key() and groups == frozenset(stamp["groups"]):
            return
        _stamp_path(venv).unlink()
    names = ", ".join(sorted(groups)) or "what runs it"
    say(f"{_shown(venv)}: installing {names}, at the versions of constraints.txt; the first time takes a minute or so")
    pip_install(venv, requirements(groups))
    if wanted.project:
        say(f"{_shown(venv)}: installing buoy from this checkout")
        pip_install(venv, wanted.project)
    record = {
        "key": _key(),
        "groups": sorted(groups),
        "path": str(venv),
        "python": wanted.python,
        "files": _files(venv),
    }
    _stamp_path(venv).write_text(json.dumps(record), encoding="utf-8")
    say(f"{_shown(venv)}: ready")


def pip_install(venv: Path, arguments: Sequence[str]) -> None:
    """Install ``arguments`` at the pinned versions."""
    # Isolated from PYTHONPATH and from the packages of the user.
    pip = [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    _run([*pip, "--progress-bar=off", "--constraint", str(CONSTRAINTS), *arguments], "pip")


def say(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    print(line, flush=True)


@contextmanager
def only_one() -> Iterator[None]:
    """Let a second `make` in this checkout wait for the first instead of installing into the same folder."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "bootstrap.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _group(known: dict[str, list[str | dict[str, str]]], name: str) -> list[str]:
    found: list[str] = []
    for item in known[name]:
        found += [item] if isinstance(item, str) else _group(known, item["include-group"])
    return found


def _key() -> str:
    """Return a name for everything that decides what gets installed."""
    about = _pyproject()
    deciding = [about["build-system"], about["project"], about["dependency-groups"], about["tool"]["hatch"]]
    version = (ROOT / "sdk/buoy/version.py").read_text(encoding="utf-8")
    pins = CONSTRAINTS.read_text(encoding="utf-8")
    return hashlib.sha256(json.dumps([deciding, version, pins]).encode()).hexdigest()


def _stamp_path(venv: Path) -> Path:
    return venv / "stamp.json"


def _stamp(venv: Path) -> dict[str, Any]:
    try:
        stamp: dict[str, Any] = json.loads(_stamp_path(venv).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp


def _broken(venv: Path, stamp: dict[str, Any], python: Python) -> str:
    """Return why ``venv`` has to be made from the beginning, or nothing."""
    if not stamp:
        return "the one there is not finished" if venv.exists() else "there is none yet"
    if stamp["path"] != str(venv):
        return "the one there was moved"
    if stamp["python"] != list(python):
        return f"the one there has Python {stamp['python'][0]}"
    if not frozenset(stamp["files"]) <= frozenset(_files(venv)):
        return "files of the one there are missing"
    try:
        subprocess.run([venv / "bin" / "python", "-I", "-c", ""], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "the one there does not run"
    return ""


def _files(venv: Path) -> list[str]:
    """Return the programs and top-level packages of an environment: enough to see that something was taken away."""
    found = [*venv.glob("bin/*"), *venv.glob("lib/python*/site-packages/*")]
    return sorted(str(path.relative_to(venv)) for path in found if path.name != "__pycache__")


def _run(command: Sequence[str], name: str) -> None:
    """Run ``command`` with a line of progress every few seconds; its whole output goes to a log."""
    log = BUILD / f"bootstrap-{name}.log"
    began = shown = time.monotonic()
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - for the type checker: a pipe was asked for
        for line in process.stdout:
            kept.write(line)
            if time.monotonic() - shown > EVERY or line.startswith("Installing"):
                shown = time.monotonic()
                say(f"  {shown - began:4.0f} s  {line.strip()[:100]}")
    if process.returncode:
        tail = log.read_text(encoding="utf-8").splitlines()[-TAIL:]
        sys.exit("\n".join([*tail, f"{command[0]} failed (exit code {process.returncode}); its whole output: {log}"]))


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


if __name__ == "__main__":
    running = Python(platform.python_version(), sys.base_prefix)
    editable = ("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    try:
        with only_one():
            ensure(ROOT / ".venv", Wanted(running, frozenset(sys.argv[1:]), editable))
    except KeyboardInterrupt:
        sys.exit("interrupted; the next run begins from the beginning")
