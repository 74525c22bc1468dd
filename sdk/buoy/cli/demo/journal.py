"""The demo server's own log: one JSON object a line, on disk before the next byte is answered. Decides nothing.

``request`` is written when a request has been read, ``answer`` when its answer ended, however that was;
``reset_unread``, ``closed_idle``, ``listening`` and ``closed`` are what explains requests that were sent and never
read. ``time`` is Unix nanoseconds. Of the headers the names are logged, and of ``traceparent`` the value; idempotency
keys are numbered. ``via`` is the redirect that a request came from. A journal with ``heads`` is a stranger's: it writes
down all that it was told.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from buoy.cli.demo.site import Site
from buoy.cli.demo.wire import Request


@dataclass(slots=True)
class Ending:
    """How the answer to one request ended."""

    seq: int
    fault: str
    told: int | None = None  # the status, once it was sent
    status: int | None = None  # of an answer that was sent whole
    sent: str = "nothing"  # or "part", or "whole"
    left: bool = False  # the client had gone before we could answer
    retry_after: int | None = None
    remaining: int | None = None  # what was told to be left of the quota
    moved: bool = False  # it led elsewhere
    size: int = 0  # of the whole body, before it was compressed
    items: int = 0  # of a stream, as far as they were sent


class Journal:
    """The open log file."""

    def __init__(self, path: Path, *, heads: bool = False) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._heads = heads
        self._seq = 0

    def note(self, event: str, **fields: object) -> None:
        """Write one line and flush it."""
        line = {"event": event, "time": time.time_ns(), **fields}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def request(self, request: Request, site: Site, fault: str) -> int:
        """Note a request that was read; return its sequence number, from 1."""
        self._seq += 1
        self.note(
            "request",
            seq=self._seq,
            method=request.method,
            operation=site.operation(request),
            traceparent=request.headers.get("traceparent"),
            via=request.query.get("via"),
            headers=sorted(request.headers),
            received=len(request.body),
            fault=fault,
            key=site.key_number(request),
            **({"head": request.head} if self._heads else {}),
        )
        return self._seq

    def answer(self, ending: Ending) -> None:
        """Note how the answer to a request ended."""
        self.note("answer", **asdict(ending))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
