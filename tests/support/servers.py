"""Servers that are not ours, as processes of their own: started on a free port, waited for, stopped by their pid.

What their packages are and where they are installed to is in tools/servers.py.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tools import servers

_START = 60.0  # seconds; a cold start on a busy machine takes a few
_STOP = 20.0
_TRIES = 3  # another program may take the port between our look and the server's


class ServerDied(Exception):
    """The process ended, or did not listen in time; the text ends with what it printed."""


class Server:
    """A process that listens on one port, and does so again after it was stopped and started."""

    def __init__(
        self, command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        # This socket never listens: it keeps the port while the server is away.
        self._guard = bound()
        self.port: int = self._guard.getsockname()[1]
        self._command = [*command(self.port)]
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens. Raises :class:`ServerDied`."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                env=None if self._environment is None else {**self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_listening(self._process)
        except ServerDied:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it, by its pid, and wait until it is gone."""
        if self._process is None:
            return
        self._process.terminate()
        self.send(signal.SIGCONT)  # one that is halted would not hear it
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP)
        self._process = None

    def restart(self) -> None:
        """Stop it, with all its connections, and start it on the same port."""
        self.stop()
        self.start()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """Stop it and give the port back."""
        self.stop()
        self._guard.close()

    def _wait_until_listening(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if process.poll() is not None:
                raise ServerDied(f"exit code {process.returncode}: {self._tail()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise ServerDied(f"port {self.port} does not answer after {_START:g} s: {self._tail()}")

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


@contextmanager
def started(
    command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run the command line of ``command(port)``, and yield the server once it listens. Raises :class:`ServerDied`."""
    for attempt in range(1, _TRIES + 1):
        server = Server(command, log, environment)
        try:
            try:
                server.start()
            except ServerDied:
                if attempt == _TRIES:
                    raise
                continue
            yield server
            return
        finally:
            server.close()


@contextmanager
def running(command: Callable[[int], Sequence[str]], log: Path) -> Iterator[str]:
    """Run ``python`` with the arguments of ``command(port)`` and yield the base URL once the port answers.

    A server that does not come up raises :class:`ServerDied`; nothing is skipped, for what is installed must start.
    """
    with started(lambda port: [sys.executable, *command(port)], log) as server:
        yield server.url


@contextmanager
def foreign(name: str, arguments: Callable[[int], Sequence[str]], log: Path) -> Iterator[Server]:
    """Run a server of tools/servers.py with the arguments of ``arguments(port)``, and yield it once it listens.

    Where it cannot be had or does not start, the tests that need it are skipped, and fail with CI=true.
    """
    with ExitStack() as stack:
        try:
            program = servers.ensure(name)
            server = stack.enter_context(
                started(lambda port: [*program.command, *arguments(port)], log, program.environment())
            )
        except (servers.Unavailable, ServerDied) as error:
            text = f"{name} cannot be had here: {error}"
            if os.environ.get("CI") == "true":
                pytest.fail(text)
            pytest.skip(text)
        yield server


def bound() -> socket.socket:
    """Return a socket that has a free port of the loopback and does not listen: whoever connects is refused."""
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free.bind(("127.0.0.1", 0))
    return free
