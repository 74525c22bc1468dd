"""A command that takes minutes: output in a log, a line of progress every few seconds, an end if it falls silent."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.servers import Unavailable, say

__all__ = ["Unavailable", "only_one", "run", "say"]

EVERY = 5.0  # seconds between two lines of progress
SILENT = 900.0  # seconds; a registry that says nothing is as good as none, and no package takes so long to compile
TAIL = 20  # lines of the log shown when something fails

# What a log says when the far side is the reason, or the disk; whoever reads it shall not have to know Go for that.
_REASONS = (
    (("no space left on device",), "the disk is full"),
    (
        (
            "connection refused",
            "no such host",
            "i/o timeout",
            "network is unreachable",
            "connection reset",
            "TLS handshake",
            "Temporary failure in name resolution",
            "No matching distribution found",
            "module lookup disabled",
            "403 Forbidden",
            "502 Bad Gateway",
            "503 Service Unavailable",
        ),
        "the package registry does not answer, or does not give it",
    ),
    (("SECURITY ERROR", "checksum mismatch", "DO NOT MATCH THE HASHES"), "what came is not what was pinned"),
    (("missing go.sum entry", "no required module provides"), "the pins are stale: python -m tools.binaries --pin"),
)


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    told: Callable[[Sequence[str]], str] = lambda lines: lines[-1] if lines else "",
) -> list[str]:
    """Return the lines that the command printed, both of its outputs. Raises :class:`Unavailable` if it fails."""
    with log.open("ab") as kept:
        kept.write(f"$ {' '.join(map(str, command))}\n".encode())
    start = log.stat().st_size
    began = changed = time.monotonic()
    seen = start
    # A session of its own: what it started ends with it, whatever ends us.
    with (
        log.open("ab") as kept,
        subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=kept,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            while (now := time.monotonic()) - changed < SILENT:
                try:
                    process.wait(EVERY)
                    break
                except subprocess.TimeoutExpired:
                    if (size := log.stat().st_size) != seen:
                        seen, changed = size, now
                    say(f"  {now - began + EVERY:5.0f} s  {told(_lines(log, start))[:100]}")
        finally:
            _end(process)
    lines = _lines(log, start)
    if process.returncode:
        what = f"{Path(command[0]).name} failed (exit code {process.returncode}); its whole output: {log}"
        raise Unavailable("\n".join([reason(lines), *lines[-TAIL:], what]))
    return lines


@contextmanager
def only_one(lock: Path, doing: str) -> Iterator[None]:
    """Let a second run, of any checkout, wait for the first instead of doing the same."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run, which is {doing}")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def reason(lines: Sequence[str]) -> str:
    """Return in a few words what a log complains of."""
    for words, why in _REASONS:
        if any(word in line for line in lines for word in words):
            return why
    return "it could not be built"


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(log: Path, start: int) -> list[str]:
    with log.open("rb") as kept:
        kept.seek(start)
        return kept.read().decode(errors="replace").splitlines()
