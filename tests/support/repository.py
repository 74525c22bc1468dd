"""The repository as its own tests see it: which files belong to it, and where its root is."""

import os
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Return every file that git has or would take: what a reader of the repository gets to see."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        named = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive, or a machine without git
        return _walked()
    return tuple(sorted(ROOT / name for name in named if name and (ROOT / name).is_file()))


def modules(*folders: str) -> list[Path]:
    """Return the Python files below ``folders``."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def pages() -> list[Path]:
    """Return the pages that explain Buoy to its users."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def texts() -> tuple[tuple[str, str], ...]:
    """Return the name and text of every file that is text."""
    read = ((path, path.read_bytes()) for path in files())
    return tuple((str(path.relative_to(ROOT)), content.decode()) for path, content in read if b"\0" not in content)


def _walked() -> tuple[Path, ...]:
    """Return the files of the tree, without the folders that .gitignore names."""
    made = {".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())}
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in made]
        found += [Path(folder, name) for name in names]
    return tuple(sorted(found))
