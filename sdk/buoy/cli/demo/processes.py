"""The demo's other processes: started with a pipe as their lifeline, found by the port they announce, stopped by it."""

import json
import subprocess
import sys
from types import TracebackType
from typing import Self

_PATIENCE = 20.0


class Process:
    """One program of the demo, from the announcement of its port to its end."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, "--port", "0", *arguments]
        self._running: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        self._running = subprocess.Popen(  # noqa: S603  # our own module, with our own arguments
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self._running.stdout.readline() if self._running.stdout else ""
        if not line:
            self.__exit__(None, None, None)
            msg = f"{self._command[2]} did not start (exit code {self._running.returncode}); its error is above."
            raise RuntimeError(msg)
        self.port = json.loads(line)["port"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it: closing its stdin is the sign, killing it the last resort."""
        running = self._running
        if running is None:
            return
        if running.stdin is not None:
            running.stdin.close()
        try:
            running.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        if running.stdout is not None:
            running.stdout.close()
