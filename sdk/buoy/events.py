"""Records of rare facts, and the protocols of those who listen. Nothing here knows who that is.

A recorder is told four things about every call: it and each of its sends began and ended. All else is an event: a
frozen record that exists only when it happened. A watcher is told what happened to the policies that calls share.
Neither may raise or wait.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from buoy.outcome import (
    BreakerCause,
    BreakerState,
    DelaySource,
    DuplicateSource,
    ErrorType,
    FallbackSource,
    LimitSource,
    Verdict,
    WaitCause,
)

CallT = TypeVar("CallT", contravariant=True)
SendT = TypeVar("SendT", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled:
    """Try ``attempt`` (from 2) will begin in ``delay`` seconds, because of ``verdict``."""

    attempt: int
    delay: float
    source: DelaySource
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitEnded:
    """The call waited ``seconds`` for ``cause``, to the end or until it was cancelled."""

    cause: WaitCause
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """The transport sent the request a second time by itself, as ``send``: it may have run twice."""

    method: str
    send: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """A policy of ours said no; not ``enforced``: it would have, and the call went on."""

    reason: ErrorType
    enforced: bool = True
    breaker: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The call waits for the answer to ``first``, which asked for the same and is on its way."""

    first: Any
    source: DuplicateSource = DuplicateSource.IN_FLIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackUsed:
    """The caller gets a value of its own instead of the failure ``masked``."""

    source: FallbackSource
    masked: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLeft:
    """The caller has left a streamed answer before its body had come."""


Event = RetryScheduled | WaitEnded | Resent | CallRefused | Joined | FallbackUsed | StreamLeft


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A breaker changed its state; ``failures`` and ``calls`` are those of the window of the state that it left."""

    name: str
    previous: BreakerState
    state: BreakerState
    cause: BreakerCause
    generation: int
    failures: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterPaused:
    """Nobody sends for ``seconds``: the provider asked for it, or an operator."""

    seconds: float
    source: LimitSource


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsCut:
    """The provider was drained, and ``cut`` calls did not end in time; ``finished`` did."""

    cut: int
    finished: int


StateEvent = BreakerChanged | LimiterPaused | CallsCut


class Recorder(Protocol[CallT, SendT]):
    """Whoever turns calls into telemetry."""

    def call_started(self, call: CallT) -> None:
        """A call began; nothing was sent yet."""

    def call_ended(self, call: CallT) -> None:
        """The result, the error or the cancellation is on its way to the caller."""

    def send_started(self, call: CallT, send: SendT) -> None:
        """One request is about to go onto the wire; the recorder may give it a ``traceparent``."""

    def send_ended(self, call: CallT, send: SendT) -> None:
        """The answer was read, or released, or will never come."""

    def happened(self, call: CallT, event: Event) -> None:
        """Something rare happened to the call."""


class Silent:
    """The null object: nobody listens, nothing is kept."""

    def call_started(self, call: Any) -> None:
        """Do nothing."""

    def call_ended(self, call: Any) -> None:
        """Do nothing."""

    def send_started(self, call: Any, send: Any) -> None:
        """Do nothing."""

    def send_ended(self, call: Any, send: Any) -> None:
        """Do nothing."""

    def happened(self, call: Any, event: Event) -> None:
        """Do nothing."""


class Watcher(Protocol):
    """Whoever turns changes of what calls share into telemetry."""

    def changed(self, event: StateEvent) -> None:
        """Something happened to a policy of the provider."""
