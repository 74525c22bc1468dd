"""Records of rare facts, and the protocol of those who listen. Nothing here knows who that is.

A recorder is told four things about every call: it and each of its sends began and ended. All else is an event: a
frozen record that exists only when it happened. A recorder must not raise and must not wait.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from buoy.outcome import DelaySource, Verdict, WaitCause

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


Event = RetryScheduled | WaitEnded | Resent


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
