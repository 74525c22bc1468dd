"""Breaks the decisions on purpose, one small change at a time, and shows each that no test notices: ``make mutants``.

`python -m tools.mutants [MODULE...]`, a module being ``breaker``, ``outcome``, ...; none means all of them. A mutant
that survives its module's tests must be explained in ``tools/mutants.toml``, as one that no test could tell from the
original, and whatever is explained there must still survive. Nothing is written but below ``build/mutants``.

The mutations are mutmut's, the running is ours. mutmut mutates the bodies of functions only, and here much is said in
constants, tables and the fields of dataclasses. cosmic-ray rewrites the file in the tree and starts an interpreter for
each mutant. Here a process that has imported everything foreign forks a child for each mutant, and the child's importer
puts the mutant in the place of the module: a fifth of the time, and the tree is left alone. Each module has its own
tests, the examples before the laws. Vectors are not asked: they are no part of this repository, and its own tests must
do without them.
"""

import argparse
import gc
import os
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

import pytest
from hypothesis import Phase, settings

from tools.mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "mutants"
EXPLAINED = Path(__file__).with_suffix(".toml")

# What is mutated, and the tests that must notice, besides what all policies have in common.
COMMON = "policies/test_policies.py"
MODULES = {
    "outcome": ("outcome", ["test_outcome.py"]),
    "backoff": ("policies.backoff", ["policies/test_backoff.py"]),
    "breaker": ("policies.breaker", ["policies/test_breaker.py"]),
    "budget": ("policies.budget", ["policies/test_budget.py"]),
    "circuit": ("policies.circuit", ["policies/test_breaker.py", "policies/test_breaker_laws.py"]),
    "concurrency": ("policies.concurrency", ["policies/test_concurrency.py"]),
    "deadline": ("policies.deadline", ["policies/test_deadline.py", "test_options.py"]),
    "rate_limit": ("policies.rate_limit", ["policies/test_rate_limit.py", "policies/test_rate_limit_laws.py"]),
    "retry": ("policies.retry", ["policies/test_retry.py", "test_options.py"]),
    "window": ("policies.window", ["policies/test_window.py"]),
}
# What the tests import beside the SDK itself. Imported once, before the children are forked.
FOREIGN = (
    "aiohttp",
    "http_sf",
    "hypothesis.stateful",
    "opentelemetry.sdk.metrics.export",
    "opentelemetry.sdk.trace.export",
    "pydantic.type_adapter",
    "structlog",
)

# The warning is about plugins that are imported already when a child begins.
OPTIONS = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", "--hypothesis-profile=mutants"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]

KILLED, SURVIVED, TIMEOUT, SUSPICIOUS = "killed", "survived", "timeout", "suspicious"
# A mutant may use this many times the CPU time of the original, and some seconds more. CPU time and not a clock: what
# else this machine does must not decide who is killed.
PATIENCE, GRACE = 4, 5
# For a mutant that waits for something; no test of a decision does.
SILENCE = 300
SIGN_OF_LIFE = 10
MEMORY = 4 << 30


# What a mutant is known by: its module, the line as it was, the line as it is.
Key = tuple[str, str, str]


@dataclass
class Job:
    """A mutant of a module, or the module as it is, and what became of it."""

    module: str
    mutant: Mutant | None = None
    status: str = ""
    cpu: float = 0.0
    log: Path = LOGS

    @property
    def key(self) -> Key | None:
        """What the mutant is known by; the module as it is needs no name."""
        return (self.module, self.mutant.was, self.mutant.now) if self.mutant else None


def main(arguments: Sequence[str]) -> int:
    """Run the mutants of the modules named, or of all; the exit code is 1 for a survivor that nobody explained."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Mutation run over the decisions.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of: {' '.join(MODULES)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    if unknown := set(asked.modules) - set(MODULES):
        parser.error(f"no such module: {' '.join(sorted(unknown))}; there are: {' '.join(MODULES)}")
    policies = {path.stem for path in (ROOT / "sdk" / "buoy" / "policies").glob("[a-z]*.py")}
    if forgotten := policies - set(MODULES):
        parser.error(f"MODULES does not say which tests judge {' '.join(sorted(forgotten))}")
    began = time.monotonic()
    prepare()
    modules = asked.modules or list(MODULES)
    originals = [Job(module) for module in modules]
    run(originals, asked.jobs, dict.fromkeys(modules, SILENCE))
    if failed := [job for job in originals if job.status != SURVIVED]:
        print("\n".join(f"{job.module}: its tests fail without any mutation; see {job.log}" for job in failed))
        return 1
    jobs = [Job(module, mutant) for module in modules for mutant in mutants_of(path_of(module))]
    known = explanations(modules)
    run(jobs, asked.jobs, {job.module: PATIENCE * job.cpu + GRACE for job in originals}, known)
    return report(jobs, known, time.monotonic() - began)


def path_of(module: str) -> Path:
    """Return the file of a module."""
    return ROOT / "sdk" / "buoy" / (MODULES[module][0].replace(".", "/") + ".py")


# Running.


def prepare() -> None:
    """Import what all children need, once, and make the laws quick to fail: nobody reads their smallest example."""
    os.chdir(ROOT)
    LOGS.mkdir(parents=True, exist_ok=True)
    for stale in LOGS.glob("*.log"):
        stale.unlink(missing_ok=True)
    sys.path[:0] = [str(ROOT / "sdk")]
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(LOGS / "pycache")
    for name in FOREIGN:
        import_module(name)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(LOGS)
    settings.register_profile(
        "mutants", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate], print_blob=False
    )
    gc.freeze()


def run(jobs: Sequence[Job], at_once: int, limits: Mapping[str, float], known: Container[Key] = ()) -> None:
    """Run all jobs, so many at once, fill in what became of them, and show survivors that are not known."""
    waiting, running, done, shown = list(enumerate(jobs))[::-1], dict[int, Job](), 0, time.monotonic()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, job = waiting.pop()
                job.log = LOGS / f"{job.module}-{number}.log"
                running[start(job, limits[job.module])] = job
            pid, status, used = os.wait4(-1, 0)
            job = running.pop(pid)
            job.status, job.cpu = status_of(status), used.ru_utime + used.ru_stime
            if job.status != SUSPICIOUS and job.mutant:
                job.log.unlink(missing_ok=True)
            done += 1
            if job.key and job.status in (SURVIVED, SUSPICIOUS) and job.key not in known:
                print(f"\n{job.module}: {job.status}\n  - {job.key[1]}\n  + {job.key[2]}", flush=True)
            if time.monotonic() - shown > SIGN_OF_LIFE:
                shown = time.monotonic()
                print(f"  {done} of {len(jobs)}", flush=True)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def start(job: Job, seconds: float) -> int:
    """Fork a child that runs the tests, and return its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = int(pytest.ExitCode.INTERNAL_ERROR)
    try:
        output = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        signal.alarm(SILENCE)
        plugins: list[object] = []
        if job.mutant:
            loader = Loader(f"buoy.{MODULES[job.module][0]}", path_of(job.module), job.mutant.code)
            sys.meta_path.insert(0, Finder(loader))
            plugins = [Impatient()]
        tests = [f"tests/unit/{name}" for name in (*MODULES[job.module][1], COMMON)]
        code = int(pytest.main([*OPTIONS, *tests], plugins=plugins))
    finally:
        os._exit(code)


def status_of(status: int) -> str:
    """Return what the end of a child says of its mutant."""
    if os.WIFSIGNALED(status):
        return TIMEOUT if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM) else SUSPICIOUS
    known = {pytest.ExitCode.OK: SURVIVED, pytest.ExitCode.TESTS_FAILED: KILLED, pytest.ExitCode.INTERRUPTED: KILLED}
    # Interrupted is what pytest calls a module that cannot be imported. A conftest that cannot is a wrong usage to it.
    known[pytest.ExitCode.USAGE_ERROR] = KILLED
    return known.get(pytest.ExitCode(os.WEXITSTATUS(status)), SUSPICIOUS)


class Impatient:
    """Puts the laws behind all examples, which are quicker and kill most; and the first failure ends the process."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort them."""
        items.sort(key=lambda item: item.get_closest_marker("hypothesis") is not None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say that the mutant is dead; nobody reads why."""
        if report.failed:
            os._exit(pytest.ExitCode.TESTS_FAILED)


class Finder(MetaPathFinder):
    """Finds one module, and its mutant instead."""

    def __init__(self, loader: "Loader") -> None:
        self._loader = loader

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002  # the protocol's
        """Find the module, and leave all others to the rest."""
        mine = fullname == self._loader.name
        return spec_from_file_location(fullname, self._loader.path, loader=self._loader) if mine else None


class Loader(SourceFileLoader):
    """Compiles a mutant; its bytecode is cached nowhere."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        super().__init__(name, str(path))
        self._code = code

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  # the protocol's
        """Return the code of the mutant."""
        return compile(self._code, self.path, "exec", dont_inherit=True)


# Telling.


def report(jobs: Sequence[Job], known: Mapping[Key, str], seconds: float) -> int:
    """Print the totals and which explanations are stale; return the exit code."""
    survivors = [job.key for job in jobs if job.key and job.status in (SURVIVED, SUSPICIOUS)]
    unexplained = sum(key not in known for key in survivors)
    stale = sorted(known.keys() - set(survivors))
    for module, was, now in stale:
        print(f"\n{module}: explained in {EXPLAINED.name}, and does not survive\n  - {was}\n  + {now}")
    columns = (KILLED, TIMEOUT, SURVIVED, SUSPICIOUS)
    print(f"\n{'':12} {'mutants':>8}" + "".join(f"{column:>11}" for column in columns))
    for name in [*dict.fromkeys(job.module for job in jobs), "all"]:
        found = [job.status for job in jobs if name in ("all", job.module)]
        print(f"{name:12} {len(found):8}" + "".join(f"{found.count(column):11}" for column in columns))
    print(f"\n{len(survivors) - unexplained} survivors are explained, {unexplained} are not; ", end="")
    print(f"{len(stale)} explanations are stale; {seconds:.0f} s")
    return 1 if unexplained or stale else 0


def explanations(modules: Sequence[str]) -> dict[Key, str]:
    """Return why each mutant that is known to survive may do so."""
    found: dict[Key, str] = {}
    for module, entries in tomllib.loads(EXPLAINED.read_text(encoding="utf-8")).items():
        if module in modules:
            found |= {(module, entry["line"], now): entry["why"] for entry in entries for now in entry["mutants"]}
    return found


if __name__ == "__main__":
    # Sets and dicts of hashes must have the same order in every run.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606  # ourselves
    sys.exit(main(sys.argv[1:]))
