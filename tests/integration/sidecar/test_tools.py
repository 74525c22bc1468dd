"""The programs in Go: the real ones as they were built, and what is said where one cannot be had.

Nothing large is compiled here that is not in the cache already. How something is built, and how that goes wrong, is
shown with a program of three lines that stands on no module.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.binaries import program
from tests.support.repository import ROOT
from tests.support.servers import bound
from tools import binaries
from tools.binaries import building, licences, recipes
from tools.binaries import go as golang
from tools.binaries.found import version_of
from tools.binaries.programs import PROGRAMS, Program
from tools.binaries.recipes import EXPORTER, RECIPES, TOOLS, Recipe
from tools.binaries.running import reason

TINY = Program("tiny", "BUOY_TINY", "tiny", (1, 0, 0), (2, 0, 0))
# `make tools` in a process of its own, which knows the tiny program too.
COMMAND = """
import runpy, sys
from pathlib import Path
from tests.integration.sidecar.test_tools import TINY, tiny
from tools.binaries import PROGRAMS
tiny(Path(sys.argv.pop()))
PROGRAMS["tiny"] = TINY
sys.argv.append("tiny")
runpy.run_module("tools.binaries", run_name="__main__")
"""


def tiny(folder: Path) -> None:
    """Make the recipe of a program that prints its version; its source is in ``folder``."""
    recipes.TOOLS = folder
    source = folder / "tiny"
    source.mkdir(parents=True, exist_ok=True)
    (source / "go.mod").write_text("module tiny\n\ngo 1.26\n")
    (source / "go.sum").touch()
    (source / "main.go").write_text('package main\n\nfunc main() { println("tiny version 1.0.0") }\n')
    RECIPES["tiny"] = Recipe("tiny", ("tiny",), 1, 1)


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Know the tiny recipe; the cache is an empty one."""
    monkeypatch.setattr(recipes, "TOOLS", TOOLS)  # put back what tiny() sets
    monkeypatch.setattr(recipes, "RECIPES", RECIPES)
    monkeypatch.setitem(RECIPES, "tiny", RECIPES["builder"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every Go, and all else that is on the PATH."""
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def said(folder: Path, file: str, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program that prints ``text`` first on the PATH."""
    path = folder / "said" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


def started(source: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start the building of the tiny program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(source)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def go_or_skip() -> golang.Go:
    """Return the Go of this machine, or the one that comes as a package."""
    try:
        return golang.ready(golang.found(), building.cache())
    except binaries.Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


# The real ones.


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_is_there_and_fits(name: str) -> None:
    """Every program can be had, runs, and is of a version that ours is written for."""
    version = version_of(program(name))
    assert version is not None
    assert PROGRAMS[name].fits(version)


def test_a_second_look_builds_nothing() -> None:
    """What is built already is only looked up: the command says where it is, and nothing else."""
    expected = {name: program(name) for name in PROGRAMS}
    done = subprocess.run(
        [sys.executable, "-m", "tools.binaries"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert {name: str(path) for name, path in expected.items()} == dict(
        line.split(maxsplit=1) for line in done.stdout.splitlines()
    )


@pytest.mark.parametrize("name", ["collector", "prometheus", "alertmanager"])
def test_the_licences_of_all_that_is_in_a_program_are_beside_it(name: str) -> None:
    """Each module that a program says it is made of has its licence in the file beside it, and so has Go."""
    path = program(name)
    if not path.is_relative_to(building.cache()):
        pytest.skip(f"{path} was not built here")
    text = path.with_name(licences.FILE).read_text(encoding="utf-8")
    modules = licences.inside(go_or_skip(), path)
    assert len(modules) > 50
    assert [module for module in modules if f"\n{module.path} {module.version}\n" not in text] == []
    assert "Copyright 2009 The Go Authors" in text


@pytest.mark.parametrize("name", ["collector", "gateway"])
def test_the_collectors_have_what_their_manifest_names(name: str) -> None:
    """Every component of a manifest is in the program that was built from it, at the version that the manifest says."""
    path = program(name)
    if not path.is_relative_to(building.cache()):
        pytest.skip(f"{path} was not built here")
    inside = {f"{module.path} {module.version}" for module in licences.inside(go_or_skip(), path)}
    assert named(RECIPES[name].manifest) - inside == set()


# What they are made of.


def named(manifest: str) -> set[str]:
    """Return the modules that a manifest names, each with its version."""
    return set(re.findall(r"gomod: (\S+ v\S+)", (EXPORTER / manifest).read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["collector", "gateway"])
def test_pins_follow_the_manifest(name: str) -> None:
    """What a manifest names is pinned at that very version: ocb does not look when the pins are handed to it."""
    pins = (TOOLS / name / "go.mod").read_text(encoding="utf-8")
    assert {line for line in named(RECIPES[name].manifest) if f"\n\t{line}\n" not in pins} == set()


def test_the_gateway_can_do_what_the_sidecar_can() -> None:
    """The gateway has every component of the sidecar, and the two that only it needs."""
    more = named("gateway-builder.yaml") - named("builder.yaml")
    assert named("builder.yaml") - named("gateway-builder.yaml") == set()
    assert sorted(line.rpartition("/")[2].split()[0] for line in more) == [
        "loadbalancingexporter",
        "tailsamplingprocessor",
    ]


@pytest.mark.parametrize(
    ("name", "module", "version"),
    [
        ("prometheus", "github.com/prometheus/prometheus v0.316.0", "3.16.0"),  # its modules count in another way
        ("alertmanager", "github.com/prometheus/alertmanager v0.31.1", "0.31.1"),
    ],
)
def test_versions_that_are_linked_in_are_those_of_the_modules(name: str, module: str, version: str) -> None:
    """The version that a program will print is that of the module which is pinned."""
    assert f"\t{module} // indirect\n" in (TOOLS / name / "go.mod").read_text(encoding="utf-8")
    assert RECIPES[name].linked.endswith(f".Version={version}")


# What is on the machine already.


def test_a_program_that_a_variable_names_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program named by its variable comes before what was built and before the PATH, if its version fits."""
    path = said(tmp_path, "mine", "prometheus, version 3.17.2 (branch: HEAD)", monkeypatch)
    monkeypatch.setenv("BUOY_PROMETHEUS", str(path))
    assert path == binaries.ensure("prometheus")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prometheus, version 2.42.0+ds (branch: debian)", "of version 2.42.0; needed is 3.16.0 or later, below 4.0.0"),
        ("hello", "which does not run, or does not say its version"),
    ],
)
def test_a_named_program_that_will_not_do_is_an_error(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that names an unfit program is never passed over: what was found and what is needed is said."""
    path = said(tmp_path, "prometheus", text, monkeypatch)
    monkeypatch.setenv("BUOY_PROMETHEUS", str(path))
    with pytest.raises(binaries.Unavailable) as caught:
        binaries.ensure("prometheus")
    found, _, help_ = str(caught.value).partition("\n")
    assert found.startswith(f"BUOY_PROMETHEUS names {path}")
    assert found.endswith(complaint)
    assert help_.startswith("What helps: `make tools`, or BUOY_PROMETHEUS=/path/to/prometheus (")


def test_a_named_program_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that names nothing is an error too."""
    monkeypatch.setenv("BUOY_AMTOOL", str(tmp_path / "amtool"))
    with pytest.raises(binaries.Unavailable, match=r"BUOY_AMTOOL names .*, which is no file"):
        binaries.ensure("amtool")


def test_a_program_on_the_path_is_taken_if_none_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was built yet, a fitting program on the PATH spares the building, also under another's name."""
    path = said(tmp_path, "otelcol-contrib", "otelcol-contrib version 0.159.0", monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert path == binaries.ensure("collector")
    assert not (tmp_path / "cache").exists()


def test_an_old_program_on_the_path_is_told_and_not_taken(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unfitting program on the PATH is passed over, with a word about it, and ours is built."""
    old = said(tmp_path, "tiny", "tiny version 0.9.0", monkeypatch)
    monkeypatch.setitem(PROGRAMS, "tiny", TINY)
    go_or_skip()
    path = binaries.ensure("tiny")
    assert path.is_relative_to(tmp_path / "cache")
    assert (
        f"tiny: on the PATH is {old} of version 0.9.0; needed is 1.0.0 or later, below 2.0.0; not taken\n"
        in capsys.readouterr().out
    )
    assert source.is_dir()


# A Go that is not there.


def test_without_go_the_python_package_compiles(without_go: None, tmp_path: Path) -> None:
    """Where the PATH has no Go, the one of the Python package is taken, and it compiles with caches of its own."""
    assert golang.found().program is None
    assert without_go is None
    home = building.cache()
    go = go_or_skip()
    assert go.version == golang.PACKAGE
    assert go.program is not None
    assert go.program.is_relative_to(home)
    assert [str(home / "go" / "mod")] == golang.asked(go, home, "GOMODCACHE")
    (tmp_path / "main.go").write_text('package main\n\nfunc main() { println("tiny version 1.0.0") }\n')
    command = [str(go.program), "build", "-o", "tiny", "main.go"]
    subprocess.run(command, cwd=tmp_path, check=True, env=golang.environment(go, home))
    assert version_of(tmp_path / "tiny") == (1, 0, 0)


@pytest.mark.parametrize("text", ["go version go1.22.12 linux/amd64", "a shim that finds nothing"])
def test_an_old_or_broken_go_is_none(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Go that is too old, or no Go at all, is passed over for the one of the Python package."""
    said(tmp_path, "go", text, monkeypatch)
    assert golang.found().program is None


def test_neither_go_nor_a_registry_is_said(
    source: Path, without_go: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a Go and without PyPI the reason and two remedies are said, and nothing is left half-way."""
    assert without_go is None
    assert source.is_dir()
    monkeypatch.setitem(PROGRAMS, "tiny", TINY)
    with bound() as nobody:
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        for name, value in {"PIP_INDEX_URL": url, "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(binaries.Unavailable) as caught:
            binaries.ensure("tiny")
    text = str(caught.value)
    assert "tiny cannot be had: Go 1.27.3 cannot be installed: the package registry does not answer" in text
    assert "what helps: a Go 1.26.7 or newer on the PATH" in text
    assert "`make tools`, or BUOY_TINY=/path/to/tiny" in text
    assert "no Go 1.26.7 or newer on the PATH: taking Go 1.27.3, which comes as a Python package" in (
        capsys.readouterr().out
    )
    assert left() == {"go-1.27.3.lock", "go.log", lock()}


# How something is built, and how that goes wrong.


def left() -> set[str]:
    """Return what is in the cache."""
    return {path.name for path in building.cache().iterdir()}


def lock() -> str:
    """Return the name of the tiny recipe's lock."""
    return building.place("tiny").folder.with_suffix(".lock").name


def test_a_build_is_whole_and_linked(source: Path) -> None:
    """What was built lies in one folder with its licences, and in `bin` under its plain name."""
    go_or_skip()
    where = building.place("tiny")
    path = building.build(where, TINY)
    assert path == where.folder / "tiny"
    assert {one.name for one in where.folder.iterdir()} == {"tiny", licences.FILE}
    assert left() == {where.folder.name, lock(), "bin"}
    assert (building.cache() / "bin" / "tiny").resolve() == path.resolve()
    assert source.is_dir()


def test_what_decides_what_comes_out_decides_where(source: Path) -> None:
    """Another manifest, another Go or another platform is another folder."""
    go = golang.Go(None, "1.27.3", "linux/amd64")
    places = {building.place("tiny", one).folder for one in (go, go._replace(version="1.27.4"))}
    places.add(building.place("tiny", go._replace(platform="linux/arm64")).folder)
    (source / "tiny" / "go.sum").write_text("changed")
    places.add(building.place("tiny", go).folder)
    assert len(places) == 4


def test_what_is_set_for_other_builds_does_not_matter(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of somebody's other Go project change nothing: not the platform, not the modules, not the workspace."""
    for name, value in {"GOOS": "windows", "GOARCH": "arm64", "GOFLAGS": "-mod=vendor", "GOWORK": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    go_or_skip()
    assert version_of(building.build(building.place("tiny"), TINY)) == (1, 0, 0)
    assert source.is_dir()


def test_two_runs_at_once_build_once(source: Path) -> None:
    """Of two runs at the same time one builds; the other waits, and both have the same program."""
    go_or_skip()
    outputs = [process.communicate()[0].splitlines() for process in [started(source), started(source)]]
    path = str(building.place("tiny").folder / "tiny")
    assert [lines[-1].split() for lines in outputs] == [["tiny", path], ["tiny", path]]
    assert sum(line.startswith("tiny: building it") for lines in outputs for line in lines) == 1


@pytest.fixture
def stuck(source: Path, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Start a build whose compiler says that it compiles, and then stops for good; yield both."""
    go = go_or_skip()
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    folder = tmp_path / "stopping"
    folder.mkdir()
    script = f'#!/bin/sh\n[ "$1" = build ] && {{ echo $$ > {pids}; exec sleep 1000; }}\nexec {go.program} "$@"\n'
    (folder / "go").write_text(script)
    (folder / "go").chmod(0o755)
    process = started(source, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    compiler = int(pids.read_text())
    yield process, compiler
    process.kill()
    process.communicate()
    with suppress(ProcessLookupError):
        os.kill(compiler, signal.SIGKILL)


def test_a_run_that_is_killed_leaves_nothing_that_counts(stuck: tuple["subprocess.Popen[str]", int]) -> None:
    """A build that was killed in its middle is not taken for one that ended, and the next run builds and tidies up."""
    process, _ = stuck
    process.kill()
    process.communicate()
    where = building.place("tiny")
    assert not where.folder.exists()
    assert version_of(building.build(where, TINY)) == (1, 0, 0)
    assert left() == {where.folder.name, lock(), "bin"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_takes_its_compiler_along(
    number: signal.Signals, stuck: tuple["subprocess.Popen[str]", int]
) -> None:
    """A build that is asked to end ends the compiler, removes what it made, and says that the next one goes on."""
    process, compiler = stuck
    process.send_signal(number)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert output.endswith("the next run goes on where this one was\n")
    assert not Path(f"/proc/{compiler}").exists()
    assert left() == {lock(), building.place("tiny").folder.with_suffix(".log").name}


def test_what_does_not_compile_is_said_with_its_log(source: Path) -> None:
    """A build that fails leaves its log and no folder; the end of the log is in the message."""
    go_or_skip()
    (source / "tiny" / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")
    where = building.place("tiny")
    with pytest.raises(binaries.Unavailable) as caught:
        building.build(where, TINY)
    log = where.folder.with_suffix(".log")
    text = str(caught.value)
    assert "undefined: nonsense" in text
    assert text.endswith(f"go failed (exit code 1); its whole output: {log}")
    assert left() == {log.name, lock()}


def test_a_program_that_prints_another_version_is_not_kept(source: Path) -> None:
    """What was compiled is run before it counts: if it is not what was wanted, it is not there."""
    go_or_skip()
    (source / "tiny" / "main.go").write_text('package main\n\nfunc main() { println("tiny version 3.0.0") }\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROGRAMS, "tiny", TINY)
        with pytest.raises(binaries.Unavailable, match=r"was compiled and says that it is 3\.0\.0; wanted is 1\.0\.0"):
            binaries.ensure("tiny")
    assert not building.place("tiny").folder.exists()


def test_a_disk_without_room_is_said_before_anything_is_built(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk cannot hold is not begun."""
    go_or_skip()
    monkeypatch.setitem(RECIPES, "tiny", RECIPES["tiny"]._replace(room=10**12))
    with pytest.raises(binaries.Unavailable, match=r"has [\d,]+ MB left, and building tiny takes [\d,]+ MB"):
        building.build(building.place("tiny"), TINY)
    assert left() == {lock()}
    assert source.is_dir()


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache cannot be, the message says so, and what helps."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(binaries.Unavailable, match=r"amtool cannot be had: .*Not a directory.*\nWhat helps: "):
        binaries.ensure("amtool")


def test_a_registry_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the modules and without a registry nothing is built, and that is what is said."""
    if (go := golang.found()).program is None:
        pytest.skip("the Go here is the one of the Python package, which this empty cache has not")
    with bound() as nobody:
        settings: Mapping[str, str] = {
            "XDG_CACHE_HOME": str(tmp_path),
            "GOMODCACHE": str(tmp_path / "modules"),
            "GOPROXY": f"http://127.0.0.1:{nobody.getsockname()[1]}",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(binaries.Unavailable) as caught:
            binaries.ensure("collector")
    first, *_, last = str(caught.value).splitlines()
    assert first == "collector cannot be had: the package registry does not answer, or does not give it"
    assert last.startswith("What helps: `make tools`, or BUOY_COLLECTOR=/path/to/buoy-collector (0.159.0 or later, ")
    assert {path.suffix for path in building.cache().iterdir()} == {".lock", ".log"}
    assert go.program is not None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("write /tmp/go-link: no space left on device", "the disk is full"),
        ("verifying a@v1.0.0: checksum mismatch", "what came is not what was pinned"),
        ("missing go.sum entry for module a", "the pins are stale: python -m tools.binaries --pin"),
        ("main.go:3:15: undefined: x", "it could not be built"),
    ],
)
def test_what_a_log_complains_of_is_said_in_few_words(line: str, expected: str) -> None:
    """Whoever reads that a build failed need not know Go to see whose fault it is."""
    assert reason(["go: downloading a v1.0.0", line]) == expected


def test_unknown_names_are_told_the_known_ones() -> None:
    """`python -m tools.binaries` with a name that does not exist says which do, and its exit code is 2."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.binaries", "grafana"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, f"unknown: grafana; there are: {', '.join(PROGRAMS)}\n")
    assert shutil.which("grafana", path="") is None
