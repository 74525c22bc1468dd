"""The command as a process: how it ends when somebody else ends it."""

import os
import signal
import subprocess
import sys

from tests.integration.cli.server import Reply, Server

# SIGINT may be ignored where the tests run in the background, and a child inherits that.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from buoy.cli import main
sys.exit(main())
"""


def start(*argv: str, out: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start ``buoy`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *argv], stdout=out, stderr=subprocess.PIPE, text=True, env=os.environ
    )


def test_an_interrupted_call_tells_its_story(server: Server) -> None:
    """Ctrl-C while the server is silent: exit code 130, what happened so far, and no traceback."""
    server.script = [Reply(hold=True)]
    with start("call", f"{server.url}/") as process:
        assert server.arrived.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "first, " in out
    assert "\ncancelled CancelledError after 1 try\n" in out


def test_a_failure_is_said_once(server: Server) -> None:
    """Without any handler, ``logging`` would print the failure on standard error; the story has said it already."""
    server.script = [Reply(404)]
    with start("call", f"{server.url}/") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
    assert "\nfailed " in out


def test_a_reader_who_leaves_is_no_crash(server: Server) -> None:
    """``buoy call ... | head``: when nobody reads any more, the command ends with 1 and says nothing."""
    reading, writing = os.pipe()
    os.close(reading)
    with start("call", f"{server.url}/", out=writing) as process:
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
