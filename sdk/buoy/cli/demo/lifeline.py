"""How a demo process says that it is ready, and how it learns that it should end. Knows nothing of what it does."""

import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable

STDIN = 0


def announce(port: int) -> None:
    """Tell whoever started us which port we listen on, as one JSON line on stdout."""
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()


def on_end(stop: Callable[[], None]) -> None:
    """Have ``stop`` called on SIGTERM, and when the pipe that is our stdin ends: whoever started us is gone.

    Under such a pipe SIGINT is ignored: Ctrl-C reaches the whole process group, and the parent may still need us for
    its last export. ``stop`` may be called more than once, from a signal handler or another thread.
    """
    held = _is_pipe(STDIN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN if held else lambda _number, _frame: stop())
    if held:
        threading.Thread(target=_wait_for_eof, args=(stop,), name="lifeline", daemon=True).start()


def _is_pipe(descriptor: int) -> bool:
    # /dev/null and files are at their end from the start: only a pipe says anything about its other end.
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _wait_for_eof(stop: Callable[[], None]) -> None:
    # os.read, not sys.stdin: a daemon thread that holds the lock of sys.stdin makes the interpreter abort at exit.
    while os.read(STDIN, 1024):
        pass
    stop()
