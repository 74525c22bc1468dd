"""The cache of what was built: one folder for each manifest, Go version and platform, complete or not there at all.

A folder is built beside its place and renamed into it, under a lock that a second run waits for. What compiled is kept
by Go itself, so a build that was cut off goes on where it was. `bin/` has a link to the newest of each program.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from tools.binaries import go as golang
from tools.binaries.found import version_of
from tools.binaries.go import Go
from tools.binaries.programs import PROGRAMS, Program, shown
from tools.binaries.recipes import RECIPES, Bench, Recipe, compile_, pin
from tools.binaries.running import Unavailable, only_one, say

_KEY = "1"  # count up when the way of building changes


class Place(NamedTuple):
    """Where the programs of a recipe are, or will be."""

    recipe: Recipe
    go: Go
    folder: Path

    def program(self, file: str) -> Path | None:
        """Return a program that is there."""
        path = self.folder / file
        return path if path.exists() else None


def cache() -> Path:
    """Return the folder that all checkouts of this user share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buoy" / "tools"


def place(name: str, go: Go | None = None) -> Place:
    """Return the place of what ``name`` builds with the Go of this machine."""
    recipe, go = RECIPES[name], go or golang.found()
    key = hashlib.sha256(f"{_KEY} {go.key()} {recipe.flags} {recipe.linked}".encode())
    for path in recipe.inputs():
        key.update(path.read_bytes())
    return Place(recipe, go, cache() / f"{name}-{key.hexdigest()[:12]}")


def built(where: Place, program: Program) -> Path | None:
    """Return the program if it was built before."""
    path = where.program(program.file)
    if path is not None:
        _link(path)
    return path


def build(where: Place, program: Program) -> Path:
    """Build the program, and those that come with it. Raises :class:`Unavailable`, :class:`OSError`."""
    _made(where)
    path = where.folder / program.file
    _link(path)
    return path


def pinned(name: str) -> None:
    """Write the pins of a manifest anew. Raises :class:`Unavailable`, :class:`OSError`."""
    where = place(name)
    with _alone(where), _bench(where) as bench:
        pin(where.recipe, bench, _ocb(bench.go))


def _made(where: Place) -> None:
    with _alone(where):
        if all(where.program(file) for file in where.recipe.programs):
            return  # by the run that we waited for
        shutil.rmtree(where.folder, ignore_errors=True)  # one of its programs was taken away
        began = time.monotonic()
        with _bench(where) as bench:
            recipe = where.recipe
            ocb = _ocb(bench.go) if recipe.manifest else None
            say(f"{recipe.name}: building it with Go {bench.go.version}, only the first time; two idle cores take")
            say(f"  {recipe.minutes} min")
            compile_(recipe, bench, ocb)
            _check(where, bench.out)
            bench.out.rename(where.folder)
        say(f"{recipe.name}: built in {time.monotonic() - began:.0f} s")


def _ocb(go: Go) -> Path:
    where = place("builder", go)
    if where.program("builder") is None:
        _made(where)
    return where.folder / "builder"


def _check(where: Place, out: Path) -> None:
    """See that what was compiled runs here and is what its version says."""
    for program in PROGRAMS.values():
        if program.recipe == where.recipe.name:
            version = version_of(out / program.file)
            if version is None or not program.fits(version):
                what = "does not run" if version is None else f"says that it is {shown(version)}"
                raise Unavailable(f"{program.file} was compiled and {what}; wanted is {program.wanted()}")


def _alone(where: Place) -> AbstractContextManager[None]:
    return only_one(where.folder.with_suffix(".lock"), f"building {where.recipe.name}")


@contextmanager
def _bench(where: Place) -> Iterator[Bench]:
    """Yield an empty bench with a Go that is ready, and leave nothing of it behind but the log of what failed."""
    home = where.folder.parent
    go = golang.ready(where.go, home)
    _room(home, go, where.recipe)
    for left in home.glob(f".{where.folder.name}.*"):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was killed: the lock is ours
    bench = Bench(home / f".{where.folder.name}.{os.getpid()}", go, home, where.folder.with_suffix(".log"))
    for folder in (bench.out, bench.source):
        folder.mkdir(parents=True)
    bench.log.write_bytes(b"")
    try:
        yield bench
        bench.log.unlink()
    finally:
        shutil.rmtree(bench.folder, ignore_errors=True)


def _room(home: Path, go: Go, recipe: Recipe) -> None:
    """Refuse to begin what the disk cannot hold."""
    for folder in (home, *map(Path, golang.asked(go, home, "GOCACHE", "GOMODCACHE"))):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free // 1_000_000
        if free < recipe.room:
            raise Unavailable(f"{folder} has {free:,} MB left, and building {recipe.name} takes {recipe.room:,} MB")


def _link(path: Path) -> None:
    """Let ``bin/`` have the program under its plain name, for whoever does not know the manifest."""
    link = path.parent.parent / "bin" / path.name
    target = os.path.relpath(path, link.parent)
    if link.is_symlink() and link.readlink() == Path(target):
        return
    link.parent.mkdir(exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
