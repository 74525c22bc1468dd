"""What a row of the table of faults is: a fault, where it happens, and what becomes of a GET and of a POST there.

The expectations are those of the telemetry contract and of the retry rules, written out; a test measures each of them,
and the page ``docs/reference/faults.md`` shows them. Nothing here runs a call.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import buoy
from buoy import ErrorType, Outcome
from tests.support.faults import End

VALUE = [7]  # what the answers of the tables say, where they say something
BODY = b"[7]"
CANARY = "canary-5b1e"  # in what a fault says, and in no error

LONG = buoy.Timeout(total=60, attempt=20)


class Customer(buoy.Provider):
    """Who calls: a safe GET, a POST that must not be repeated, and a ``calm`` call that nothing may go wrong with."""

    retry = buoy.Retry(max_attempts=2, base=0, throttled_base=0, budget=None)
    timeout = LONG
    breaker = None

    read = buoy.get("/items/{id}")
    make = buoy.post("/items")
    calm = buoy.get("/calm", retry=None, timeout=LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a call ends: with an answer, or with what it ``raises``. It is tried at most twice.

    ``sends`` and ``arrived`` are per try: what our spans count, and what the server saw a first byte of. ``kept``:
    the connection serves the next call, too. ``noted``: a note on the exception says more.
    """

    raises: type[buoy.BuoyError] | None = None
    error_type: ErrorType | None = None
    outcome: Outcome | None = None
    reason: str | None = None
    sends: float = 1
    arrived: float = 1
    retried: bool = False
    kept: bool = False
    noted: bool = False
    value: Any = None

    @property
    def tries(self) -> int:
        """How often it is tried."""
        return 2 if self.retried else 1

    @property
    def connections(self) -> int:
        """How many connections the fault has to happen on; one that is kept meets it on every try."""
        return 1 if self.kept else round(self.sends * self.tries)

    @property
    def times(self) -> int:
        """How often it has to happen on each of them."""
        return self.tries if self.kept else 1


class Becomes(NamedTuple):
    """What becomes of a safe GET, and of a POST that must not be repeated; ``None`` where it cannot meet the fault."""

    read: Ending
    write: Ending | None


class Scene(Protocol):
    """A place where a fault happens, and passes."""

    @property
    def url(self) -> str:
        """The base URL of what is called there."""

    @property
    def arrived(self) -> int:
        """How many requests were seen there so far."""

    @property
    def connections(self) -> int:
        """How many connections were made to it so far."""

    async def prepare(self, customer: Customer) -> None:
        """Make everything ready for the call that meets the fault."""

    async def heal(self, customer: Customer) -> None:
        """End the fault."""

    async def left_alone(self) -> None:
        """Wait until the client has left every connection."""


# What is expected says how often the fault has to happen.
Stage = Callable[[Ending], AbstractAsyncContextManager[Scene]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault. ``attempt`` is the timeout of a try where slowness is the fault; ``body`` is what a POST sends."""

    fault: str
    stage: Stage
    becomes: Becomes
    read_method: str = "GET"
    attempt: float = 20.0
    body: bytes = b"{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A whole answer that breaks off by ``end`` before each byte from ``start`` up to ``stop``."""

    fault: str
    answer: bytes
    end: End
    start: int
    stop: int
    becomes: Becomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows of one kind, under a heading and a sentence."""

    title: str
    text: str
    rows: Sequence[Row] = ()
    cuts: Sequence[Cut] = ()

    def lines(self) -> list[tuple[str, Becomes]]:
        """Return every fault with what becomes of it."""
        return [*((row.fault, row.becomes) for row in self.rows), *((cut.fault, cut.becomes) for cut in self.cuts)]


# What becomes of it.

ANSWERED = Becomes(Ending(value=VALUE, kept=True), Ending(value=VALUE, kept=True))
ANSWERED_LAST = Becomes(Ending(value=VALUE), Ending(value=VALUE))
EMPTY = Becomes(Ending(kept=True), Ending(kept=True))


def lost(reason: str, *, resent: bool = False) -> Becomes:
    """It broke on the way: GET is tried again, POST is in doubt. ``resent``: aiohttp repeats a GET by itself."""
    times = 2 if resent else 1
    read = Ending(
        raises=buoy.NetworkError,
        error_type=ErrorType.NETWORK_ERROR,
        outcome=Outcome.UNKNOWN,
        reason=reason,
        sends=times,
        arrived=times,
        retried=True,
    )
    return Becomes(read, replace(read, raises=buoy.OutcomeUnknown, sends=1, arrived=1, retried=False))


def unsent(reason: str, *, retried: bool = True) -> Becomes:
    """It never left, so both are tried again unless that cannot help."""
    read = Ending(
        raises=buoy.NetworkError,
        error_type=ErrorType.NETWORK_ERROR,
        outcome=Outcome.NOT_SENT,
        reason=reason,
        arrived=0,
        retried=retried,
    )
    return Becomes(read, read)


def _late(outcome: Outcome) -> Ending:
    return Ending(
        raises=buoy.TimedOut, error_type=ErrorType.TIMEOUT, outcome=outcome, reason="timer", retried=True, arrived=0
    )


LATE = Becomes(
    replace(_late(Outcome.UNKNOWN), arrived=1),
    replace(_late(Outcome.UNKNOWN), arrived=1, raises=buoy.OutcomeUnknown, retried=False),
)
LATE_UNSENT = Becomes(_late(Outcome.NOT_SENT), _late(Outcome.NOT_SENT))

DISCONNECTED = lost("disconnected", resent=True)
RESET = lost("connection_lost", resent=True)
TRUNCATED = lost("truncated")
BROKEN = lost("broken_answer")


def said(error_type: ErrorType, outcome: Outcome, *, kept: bool = True) -> Becomes:
    """The answer has an error status that makes a repeat pointless."""
    ending = Ending(raises=buoy.HttpError, error_type=error_type, outcome=outcome, kept=kept)
    return Becomes(ending, ending)


def undecodable(reason: str, *, retried: bool = True, kept: bool = True) -> Becomes:
    """A complete answer that is not what was declared: it happened, and a GET may see something else next time."""
    read = Ending(
        raises=buoy.Undecodable,
        error_type=ErrorType.SERVER_ERROR,
        outcome=Outcome.APPLIED,
        reason=reason,
        retried=retried,
        kept=kept,
    )
    return Becomes(read, replace(read, retried=False))


def half_said(error_type: ErrorType, outcome: Outcome, *, read: bool = False, write: bool = False) -> Becomes:
    """The answer has an error status, which counts though its body did not come whole; who is tried again is told."""
    ending = Ending(raises=buoy.HttpError, error_type=error_type, outcome=outcome, noted=True)
    return Becomes(replace(ending, retried=read), replace(ending, retried=write))
