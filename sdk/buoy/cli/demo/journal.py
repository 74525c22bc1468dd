"""The demo server's own log: one JSON object a line, on disk before the next byte is answered. Decides nothing.

``request`` is written when a request has been read, ``answer`` when its answer ended, however that was;
``reset_unread``, ``closed_idle``, ``listening`` and ``closed`` are what explains requests that were sent and never
read. ``time`` is Unix nanoseconds. Of the headers only ``traceparent`` is logged; idempotency keys are numbered.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from buoy.cli.demo.shop import Shop
from buoy.cli.demo.wire import Request


@dataclass(slots=True)
class Ending:
    """How the answer to one request ended."""

    seq: int
    fault: str
    status: int | None = None  # of an answer that was sent whole
    sent: str = "nothing"  # or "part", or "whole"
    left: bool = False  # the client had gone before we could answer
    retry_after: int | None = None
    remaining: int | None = None  # what was told to be left of the quota


class Journal:
    """The open log file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._seq = 0

    def note(self, event: str, **fields: object) -> None:
        """Write one line and flush it."""
        line = {"event": event, "time": time.time_ns(), **fields}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def request(self, request: Request, shop: Shop, fault: str) -> int:
        """Note a request that was read; return its sequence number, from 1."""
        self._seq += 1
        self.note(
            "request",
            seq=self._seq,
            method=request.method,
            operation=shop.operation(request),
            traceparent=request.headers.get("traceparent"),
            fault=fault,
            key=shop.key_number(request),
        )
        return self._seq

    def answer(self, ending: Ending) -> None:
        """Note how the answer to a request ended."""
        self.note(
            "answer",
            seq=ending.seq,
            status=ending.status,
            sent=ending.sent,
            left=ending.left,
            fault=ending.fault,
            retry_after=ending.retry_after,
            remaining=ending.remaining,
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()
