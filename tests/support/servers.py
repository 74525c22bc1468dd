"""Servers that are not ours, as processes of their own: started on a free port, waited for, stopped by their pid."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_START = 60.0  # seconds; a cold start on a busy machine takes a few
_STOP = 20.0
_TRIES = 3  # another program may take the port between our look and the server's


class ServerDied(Exception):
    """The process ended, or did not listen in time; the text ends with what it printed."""


@contextmanager
def running(command: Callable[[int], Sequence[str]], log: Path) -> Iterator[str]:
    """Run ``python`` with the arguments of ``command(port)`` and yield the base URL once the port answers.

    A server that does not come up raises :class:`ServerDied`; nothing is skipped, for what is installed must start.
    """
    for attempt in range(1, _TRIES + 1):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, *command(port)], stdout=output, stderr=subprocess.STDOUT)
        try:
            try:
                _wait_until_listening(process, port, log)
            except ServerDied:
                if attempt == _TRIES:
                    raise
                continue
            yield f"http://127.0.0.1:{port}"
            return
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerDied(f"exit code {process.returncode}: {_tail(log)}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise ServerDied(f"port {port} does not answer after {_START:g} s: {_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
