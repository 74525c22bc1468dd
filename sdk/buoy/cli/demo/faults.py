"""What goes wrong at the demo server, how often, and the dice that choose. How it goes wrong is the server's part."""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Literal


class Cut(StrEnum):
    """Where the server breaks off."""

    NOWHERE = "nowhere"
    UNREAD = "unread"  # reset when the first byte arrives: the request is never read
    READ = "read"  # reset after the request was read, and done
    UPLOAD = "upload"  # reset when the first byte of the request's body arrives
    BODY = "body"  # half of the promised body, then the end
    CHUNK = "chunk"  # half of the body in chunks, then a chunk that is none
    GZIP = "gzip"  # all of what HTTP promises, and of the gzip in it not the end
    IDLE = "idle"  # a whole answer, then the connection is closed although it was to be kept
    NEXT = "next"  # a whole answer, then the next request on this connection is reset unread
    RESTART = "restart"  # the whole server goes away for a moment, and this request with it


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a request to fare. ``status`` replaces the shop's own answer; ``delay`` is a range in seconds."""

    name: str
    weight: int
    status: int | None = None
    retry_after: int | None = None
    delay: tuple[float, float] = (0.0, 0.0)
    cut: Cut = Cut.NOWHERE


# The name is what ``X-Fault`` and the log say; the weight is how many of 1,000 random requests fare so.
PLAN = (
    Fault("ok", 734),
    Fault("slow", 50, delay=(0.3, 0.8)),
    Fault("stall", 6, delay=(3.0, 3.0)),  # longer than the demo's attempt timeout
    Fault("500", 15, status=500),
    Fault("502", 15, status=502),
    Fault("503", 20, status=503),
    Fault("503-retry-after", 10, status=503, retry_after=1),
    Fault("503-truncated", 5, status=503, cut=Cut.BODY),
    Fault("504", 10, status=504),
    Fault("429", 8, status=429),
    Fault("429-retry-after", 4, status=429, retry_after=1),  # each is a second in which nobody sends
    Fault("404", 15, status=404),
    Fault("422", 10, status=422),
    Fault("reset-before-read", 20, cut=Cut.UNREAD),
    Fault("reset-after-read", 20, cut=Cut.READ),
    Fault("truncated", 15, cut=Cut.BODY),
    Fault("chunk-broken", 10, cut=Cut.CHUNK),
    Fault("gzip-cut", 8, cut=Cut.GZIP),
    Fault("close-idle", 15, cut=Cut.IDLE),
    Fault("reset-next", 10, cut=Cut.NEXT),
    Fault("quota", 0, status=429),  # not random: what was asked for is beyond the quota
    Fault("reset-in-upload", 0, cut=Cut.UPLOAD),
    Fault("hang", 0, delay=(3600.0, 3600.0)),  # no answer, ever
    Fault("restart", 0, cut=Cut.RESTART),  # random restarts come by time, not by request: RESTARTS
)

# Seconds after the first request, drawn from each range; the second restart happens in every other run.
RESTARTS = ((4.0, 8.0), (11.0, 16.0))

BY_NAME = {fault.name: fault for fault in PLAN}
OK, BEYOND_QUOTA = BY_NAME["ok"], BY_NAME["quota"]


class Dice:
    """Everything random, from one seed. With ``faults="none"`` nothing is: only ``X-Fault`` makes a fault then."""

    __slots__ = ("_faults", "_random")

    def __init__(self, seed: int, faults: Literal["all", "none"]) -> None:
        self._random = Random(seed)  # noqa: S311  # a script of faults, not a secret
        self._faults = faults

    def fault(self) -> Fault:
        """Choose how the next request fares, before anything of it is read."""
        if self._faults == "none":
            return OK
        return self._random.choices(PLAN, [fault.weight for fault in PLAN])[0]

    def delay(self, fault: Fault) -> float:
        """Choose how many seconds the answer takes."""
        return self._random.uniform(*fault.delay)

    def pause(self) -> float:
        """Choose how many seconds the next item of a stream takes."""
        return self._random.uniform(0.003, 0.02)

    def restarts(self) -> list[float]:
        """Choose when the server restarts, in seconds after the first request."""
        if self._faults == "none":
            return []
        times = [self._random.uniform(*span) for span in RESTARTS]
        return self._random.choice((times, times[:1]))
