"""What the demo servers say: the log of one of them, read into records. Knows nothing of spans."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NEVER = float("inf")
SHOP, DEPOT = "shop", "depot"
# How the answer to a request ended.
_ENDING = ("told", "status", "sent", "left", "fault", "retry_after", "remaining", "moved", "size", "items")


@dataclass(slots=True, kw_only=True)
class Served:
    """One request that a server read, and how its answer ended. Times are Unix nanoseconds.

    ``site`` is who read it. ``via`` is the label of the request whose answer led here; ``moved``: its own answer leads
    on. ``told`` is the status once it was sent, ``status`` that of a whole answer; ``size`` is that of the whole body,
    ``items`` are those sent of a stream. Of the head there are the names, and all of it from who is a stranger.
    """

    site: str
    seq: int
    operation: str
    traceparent: str | None
    fault: str
    key: int | None
    read_at: int
    via: str | None = None
    headers: tuple[str, ...] = ()
    head: str = ""
    received: int = 0
    ended_at: int | None = None
    told: int | None = None
    status: int | None = None
    sent: str = "nothing"
    left: bool = False
    retry_after: int | None = None
    remaining: int | None = None
    moved: bool = False
    size: int = 0
    items: int = 0

    @property
    def name(self) -> str:
        """What redirects call it."""
        return f"{self.site}-{self.seq}"

    @property
    def label(self) -> str:
        """What came of it: the status of a whole answer, or why there was none."""
        if self.status is not None:
            return str(self.status)
        return f"no whole answer: {'client left' if self.left else self.fault}"

    def __str__(self) -> str:
        """Name the request so that it can be found."""
        where = "" if self.site == SHOP else f" of the {self.site}"
        return f"request #{self.seq}{where} ({self.operation}, {self.label})"


@dataclass(slots=True)
class ServerLog:
    """All that one server logged. ``deaf`` are the spans of time in which nobody listened."""

    requests: list[Served] = field(default_factory=list)
    deaf: list[tuple[float, float]] = field(default_factory=list)
    reset_unread: int = 0
    closed_idle: int = 0
    dropped_unread: int = 0
    closings: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def may_be_unread(self) -> int:
        """How many requests may have reached a connection that was closed before they were read.

        One more for each time the socket was closed: the kernel may have accepted a connection a moment before.
        """
        return self.reset_unread + self.closed_idle + self.dropped_unread + self.closings


def load(path: Path, site: str) -> ServerLog:
    """Read a server's log."""
    log = ServerLog()
    by_seq: dict[int, Served] = {}
    silent_since: float | None = 0.0
    for number, record in _records(path, log):
        match record["event"]:
            case "request":
                served = _served(record, site)
                by_seq[served.seq] = served
                log.requests.append(served)
            case "answer":
                _end(by_seq.get(record["seq"]), record, log, path.name)
            case "reset_unread":
                log.reset_unread += 1
            case "closed_idle":
                log.closed_idle += 1
            case "listening" if silent_since is not None:
                log.deaf.append((silent_since, record["time"]))
                silent_since = None
            case "closed":
                log.closings += 1
                log.dropped_unread += record["unread"]
                silent_since = record["since"]
            case event:
                log.problems.append(f"{path.name} line {number}: {event}")
    log.deaf.append((NEVER if silent_since is None else silent_since, NEVER))
    log.problems += _gaps(log.requests, path.name)
    return log


def _records(path: Path, log: ServerLog) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
        except ValueError:
            log.problems.append(f"{path.name} line {number} is not JSON: {line[:80]!r}")
        else:
            yield number, record


def _served(record: dict[str, Any], site: str) -> Served:
    return Served(
        site=site,
        seq=record["seq"],
        operation=record["operation"],
        traceparent=record["traceparent"],
        fault=record["fault"],
        key=record["key"],
        read_at=record["time"],
        via=record["via"],
        headers=tuple(record["headers"]),
        head=record.get("head", ""),
        received=record["received"],
    )


def _end(served: Served | None, record: dict[str, Any], log: ServerLog, file: str) -> None:
    if served is None or served.ended_at is not None:
        log.problems.append(f"{file}: an answer to request #{record['seq']}, which has none to get")
        return
    served.ended_at = record["time"]
    for name in _ENDING:
        setattr(served, name, record[name])


def _gaps(requests: list[Served], file: str) -> Iterator[str]:
    for expected, served in enumerate(requests, 1):
        if served.seq != expected:
            yield f"{file}: request #{expected} is missing, #{served.seq} stands in its place"
            break
    for served in requests:
        if served.ended_at is None:
            yield f"{file}: {served} was never ended"
