"""How the programs of a folder are compiled: straight from their modules, or from what ocb writes for a manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.binaries import go as golang
from tools.binaries import licences
from tools.binaries.go import Go
from tools.binaries.running import run, say

EXPORTER = Path(__file__).resolve().parents[2] / "exporter"
TOOLS = EXPORTER / "tools"
PINS = ("go.mod", "go.sum")
_STRIPPED = "-s -w"  # no symbols and no debugging: a third of the size
_VERSION = "github.com/prometheus/common/version.Version"  # where Prometheus' programs have their version from


class Recipe(NamedTuple):
    """What is built together, because it stands on the same modules: `exporter/tools/NAME/` has their pins."""

    name: str
    programs: tuple[str, ...]
    """The files that come out."""
    room: int
    """MB that a first build takes on the disk, modules and what the compiler keeps included."""
    minutes: int
    """What it takes on two idle cores, to be told beforehand."""
    packages: tuple[str, ...] = (".",)
    flags: tuple[str, ...] = ()
    linked: str = ""
    manifest: str = ""
    """What ocb reads, in `exporter/`; without one the packages are compiled as they are."""

    def inputs(self) -> list[Path]:
        """Return the files that decide what comes out."""
        pins = TOOLS / self.name
        return [*(pins / name for name in PINS), *([EXPORTER / self.manifest] if self.manifest else [])]


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("builder", ("builder",), 400, 1, packages=("go.opentelemetry.io/collector/cmd/builder",)),
        Recipe("collector", ("buoy-collector",), 2000, 3, manifest="builder.yaml"),
        Recipe("gateway", ("buoy-gateway",), 3000, 5, manifest="gateway-builder.yaml"),
        Recipe(
            "prometheus",
            ("prometheus", "promtool"),
            3000,
            4,
            packages=tuple(f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")),
            # Finding targets in somebody's cloud is most of Prometheus' code; targets here are written in a file.
            flags=("-tags=netgo,remove_all_sd",),
            linked=f"-X {_VERSION}=3.16.0",
        ),
        Recipe(
            "alertmanager",
            ("alertmanager", "amtool"),
            2000,
            3,
            packages=tuple(f"github.com/prometheus/alertmanager/cmd/{name}" for name in ("alertmanager", "amtool")),
            flags=("-tags=netgo",),
            linked=f"-X {_VERSION}=0.31.1",
        ),
    )
}


class Bench(NamedTuple):
    """Where something is built: a folder that will be gone, the Go, and the log of all that is printed."""

    folder: Path
    go: Go
    cache: Path
    log: Path

    @property
    def out(self) -> Path:
        """What shall stay."""
        return self.folder / "out"

    @property
    def source(self) -> Path:
        """Where ocb writes its program: the manifests say `./source`."""
        return self.folder / "source"

    def run(self, command: Sequence[str | Path], folder: Path) -> list[str]:
        """Run a command of the build; its progress is its last line, or how many packages it has compiled."""
        environment = golang.environment(self.go, self.cache)
        return run(command, folder=folder, environment=environment, log=self.log, told=_progress)


def compile_(recipe: Recipe, bench: Bench, ocb: Path | None) -> None:
    """Leave the programs of ``recipe`` in what stays of the bench, with the licences of what is in them."""
    source = TOOLS / recipe.name
    if ocb is not None:
        # The pins beside the program that ocb writes are ours, not what it would look up.
        for name in PINS:
            (bench.source / name).write_bytes((source / name).read_bytes())
        source = bench.source
        bench.run([ocb, "--skip-get-modules", *_ocb(recipe)], bench.folder)
    go = str(bench.go.program)
    flags = ("-mod=readonly", *recipe.flags)
    say("  fetching the modules")
    packages = bench.run([go, "list", "-deps", *flags, *recipe.packages], source)
    say(f"  compiling {sum(1 for line in packages if not line.startswith('go: ')):,} packages")
    linked = f"-ldflags={_STRIPPED} {recipe.linked}".strip()
    made = [go, "build", "-v", "-trimpath", "-buildvcs=false", linked, *flags, "-o", f"{bench.out}/"]
    bench.run([*made, *recipe.packages], source)
    licences.collect(bench.go, bench.cache, [bench.out / name for name in recipe.programs], bench.out)


def pin(recipe: Recipe, bench: Bench, ocb: Path) -> None:
    """Write the pins of what ``recipe``'s manifest names anew, at the versions that its modules ask for."""
    bench.run([ocb, *_ocb(recipe)], bench.folder)
    for name in PINS:
        (TOOLS / recipe.name / name).write_bytes((bench.source / name).read_bytes())


def _ocb(recipe: Recipe) -> tuple[str | Path, ...]:
    return ("--skip-compilation", "--config", EXPORTER / recipe.manifest)


def _progress(lines: Sequence[str]) -> str:
    done = [line for line in lines if not line.startswith("go: ")]
    return f"{len(done):,}: {done[-1]}" if done else "".join(lines[-1:])
