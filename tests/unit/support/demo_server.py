"""A demo server as its tests see it: a process, and the lines it logs."""

import http.client
import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

from tests.unit.support.process import PATIENCE, Process, until

MODULE = "buoy.cli.demo.server"
HOST = "127.0.0.1"


class Served:
    """A running server and what it logged since this was made."""

    def __init__(self, process: Process, path: Path) -> None:
        self.process = process
        self._path = path
        self._skipped = 0
        # A client has its answer a moment before the log has its end: what another test began must not be ours.
        self._skipped = until(lambda: len(self.log()) if len(self.log("request")) == len(self.log("answer")) else None)

    def log(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return the new lines of the log, or those of one event."""
        return [line for line in self._lines()[self._skipped :] if event in (None, line["event"])]

    def logged(self, *events: str) -> list[dict[str, Any]]:
        """Wait until the new lines are of exactly these events, in any order; return them."""
        return until(lambda: self.log() if Counter(line["event"] for line in self.log()) == Counter(events) else None)

    def answer(self) -> dict[str, Any]:
        """Wait until the only new request has ended; return how."""
        (answer,) = until(lambda: self.log("answer") or None)
        return {name: answer[name] for name in ("status", "sent", "left", "fault", "retry_after")}

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection."""
        return http.client.HTTPConnection(HOST, self.process.port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Ask once on a connection of its own; return the status and the decoded answer."""
        connection = self.connect()
        try:
            return ask(connection, method, path, body, **headers)[:2]
        finally:
            connection.close()

    def dial(self) -> socket.socket:
        """Return a new bare connection."""
        return socket.create_connection((HOST, self.process.port), timeout=PATIENCE)

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any, http.client.HTTPResponse]:
    """Ask once on this connection; header names are written with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, None if body is None else json.dumps(body), named)
    response = connection.getresponse()
    return response.status, json.loads(response.read()), response
