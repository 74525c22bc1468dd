"""Services as processes of their own: they say JSON lines, are told lines, get signals, and end in their own way."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from tests.support.repository import ROOT

BOUND = 60.0  # seconds; where a broken test stops waiting


class Service:
    """A running program."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
        self._popen = subprocess.Popen(
            command,
            env={**inherited, "PYTHONPATH": path, **environment},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._readers = [
            _reading(self._popen.stdout, self._said.put),
            _reading(self._popen.stderr, self._errors.append),
        ]

    @property
    def errors(self) -> str:
        """What it wrote on standard error so far."""
        return "".join(self._errors)

    def hear(self) -> dict[str, Any]:
        """Return the next line that it says."""
        try:
            line = self._said.get(timeout=BOUND)
        except queue.Empty:
            raise AssertionError(f"it said nothing more: {self.errors}") from None
        if not line:
            self._said.put(line)
            raise AssertionError(f"it has ended without another word: {self.errors}")
        said: dict[str, Any] = json.loads(line)
        return said

    def lines(self) -> list[str]:
        """Wait for its end, and return every line that was not heard yet. All its children must have ended, too."""
        lines = []
        while line := self._said.get(timeout=BOUND):
            lines.append(line.rstrip("\n"))
        self._said.put("")
        return lines

    def tell(self, word: str = "") -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(word + "\n")
        self._popen.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        return self._popen.wait(BOUND)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(10)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for reader in self._readers:
            reader.join(BOUND)
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def serving(command: Sequence[str], **environment: str) -> Iterator[Service]:
    """Run a command with the interpreter's own programs (``python`` and its scripts) for the length of a block."""
    service = Service(command, environment)
    try:
        yield service
    finally:
        service.close()


def python(*arguments: str) -> list[str]:
    """Return the command line of this interpreter."""
    return [sys.executable, *arguments]


def _reading(pipe: IO[str] | None, keep: Callable[[str], None]) -> threading.Thread:
    assert pipe is not None

    def read() -> None:
        for line in pipe:
            keep(line)
        keep("")

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
