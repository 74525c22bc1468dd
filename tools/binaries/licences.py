"""The licences of all that is in a program: of each module its own files, equal texts once, and Go's own.

They are collected when a program is built, while its modules are here, so that whatever carries it can carry them.
"""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.binaries import go as golang
from tools.binaries.go import Go
from tools.binaries.running import Unavailable

FILE = "third-party-licences.txt"
_NAMES = re.compile(r"(?i)(un)?licen[cs]e|copying|notice|patents|copyright")  # how such a file's name begins
_RULE = "=" * 100
_HEAD = """\
The programs here are compiled from the modules below. Each is under its own licence, whose text follows the list of the
modules that it covers. The source of a module is what Go's module proxy has under its name and version.
"""


class Module(NamedTuple):
    """A module that is in a program."""

    path: str
    version: str

    def folder(self, modules: Path) -> Path:
        """Return where Go keeps it: file systems may not tell capitals apart, so it writes them with a mark."""
        escaped = re.sub(r"[A-Z]", lambda match: f"!{match[0].lower()}", f"{self.path}@{self.version}")
        return modules / escaped


def collect(go: Go, cache: Path, programs: Iterable[Path], out: Path) -> None:
    """Write the licences of all that is in ``programs`` into one file in ``out``."""
    (modules,) = golang.asked(go, cache, "GOMODCACHE")
    (root,) = golang.asked(go, cache, "GOROOT")
    covered: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for module in sorted({module for program in programs for module in inside(go, program)}):
        texts = _texts(module.folder(Path(modules)))
        if not texts:
            raise Unavailable(f"{module.path}@{module.version} has no licence: nobody may pass on what it is in")
        covered[texts].append(f"{module.path} {module.version}")
    covered[_of_go(Path(root))].append(f"Go {go.version}: its library and runtime")
    parts = [_HEAD]
    for texts, names in sorted(covered.items(), key=lambda item: item[1]):
        parts += [_RULE, *names, _RULE, "", *texts]
    (out / FILE).write_text("\n".join(parts), encoding="utf-8")


def inside(go: Go, program: Path) -> list[Module]:
    """Return the modules that were compiled into a program, which says so itself."""
    said = subprocess.check_output([str(go.program), "version", "-m", str(program)], text=True)
    found = []
    for line in said.splitlines():
        kind, *fields = line.split()
        if kind == "dep":
            found.append(Module(*fields[:2]))
        elif kind == "=>":  # it stands in for the one before
            found[-1] = Module(*fields[:2])
    return found


def _texts(folder: Path) -> tuple[str, ...]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and _NAMES.match(path.name))
    return tuple(_read(path) for path in files)


def _of_go(root: Path) -> tuple[str, ...]:
    """Return Go's licence, or its copy beside a library of the same authors: the Python package has only that."""
    own: Sequence[Path] = (root / "LICENSE", root / "src/cmd/vendor/golang.org/x/sys/LICENSE")
    for path in own:
        if path.exists():
            return (_read(path),)
    raise Unavailable(f"{root} has no licence of Go")


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    return f"--- {path.name} ---\n\n{text}\n"
