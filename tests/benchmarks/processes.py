"""The processes of a benchmark: the server, the OTLP receiver, and one for each variant."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def listening(module: str, *arguments: str) -> Iterator[str]:
    """Run a server of the benchmarks and yield its URL."""
    with _running([sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"


class Worker:
    """A process that measures one variant when it is asked to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.versions: dict[str, str] = self._answer()

    def ask(self, **question: object) -> Any:
        """Let it do something, and return what it found."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a variant has ended by itself; above is why")
        return json.loads(line)


@contextmanager
def working(python: str, variant: str, *arguments: str) -> Iterator[Worker]:
    """Run one variant by the interpreter of its environment."""
    with _running([python, "-m", "tests.benchmarks.worker", variant, *arguments]) as process:
        yield Worker(process)


def received(sink: str) -> dict[str, int]:
    """Return how many spans the receiver has, by the service that sent them."""
    with urllib.request.urlopen(f"{sink}/spans", timeout=120) as answer:  # noqa: S310  # our own, on the loopback
        counted: dict[str, int] = json.load(answer)
    return counted


@contextmanager
def _running(command: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
    path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**kept, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
