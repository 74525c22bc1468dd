"""Programs of ours as processes of their own: started, asked where they listen, ended, and never left behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[3]
T = TypeVar("T")
PATIENCE = 30.0  # seconds until a test gives up on something that must happen; nothing waits that long when all is well


class Process:
    """A running program and the port it announced."""

    def __init__(self, module: str, *arguments: str, stdin: int = subprocess.PIPE) -> None:
        paths = os.pathsep.join((str(ROOT / "sdk"), str(ROOT)))
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": paths},
        )
        assert self.popen.stdout is not None
        self.port = int(json.loads(self.popen.stdout.readline())["port"])

    def end(self) -> int:
        """Let go of its stdin, which ends it; return its exit code."""
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        return self.popen.wait(PATIENCE)

    def close(self) -> None:
        """Make sure that it is gone: gently, so that what watches it from inside can note what it saw."""
        self.popen.terminate()
        try:
            self.popen.wait(PATIENCE)
        finally:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def running(module: str, *arguments: str, stdin: int = subprocess.PIPE) -> Iterator[Process]:
    """Run a module of ours for the length of a block."""
    process = Process(module, *arguments, stdin=stdin)
    try:
        yield process
    finally:
        process.close()


def until(look: Callable[[], T | None]) -> T:
    """Look until there is something to see; give up after ``PATIENCE``."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        seen = look()
        if seen is not None:
            return seen
        time.sleep(0.005)
    raise AssertionError(f"never seen: {look}")
