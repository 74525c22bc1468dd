"""Listens to one call: a recorder that keeps each send and each wait in order and passes everything on."""

from dataclasses import dataclass

from buoy.events import Event, Recorder, RetryScheduled, Silent, WaitEnded
from buoy.outcome import DelaySource, ErrorType, WaitCause
from buoy.pipeline.call import Call, Send


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A pause before a try. ``source`` chose it, because the try before ended with ``after``."""

    cause: WaitCause
    seconds: float
    source: DelaySource | None
    after: ErrorType | None


class Chronicle:
    """Implements the ``Recorder`` protocol around the recorder that the call has anyway.

    ``steps`` are the sends (those that ended) and the waits, in the order in which they ended.
    """

    def __init__(self) -> None:
        self.call: Call | None = None
        self.steps: list[Send | Wait] = []
        self._inner: Recorder[Call, Send] = Silent()
        self._scheduled: RetryScheduled | None = None

    def around(self, inner: Recorder[Call, Send]) -> "Chronicle":
        """Pass everything on to ``inner`` from now on."""
        self._inner = inner
        return self

    def call_started(self, call: Call) -> None:
        """Keep the record of the call: it is complete when the call has ended."""
        self.call = call
        self._inner.call_started(call)

    def call_ended(self, call: Call) -> None:
        """Pass it on."""
        self._inner.call_ended(call)

    def send_started(self, call: Call, send: Send) -> None:
        """Pass it on: the telemetry's recorder gives the send its ``traceparent``."""
        self._inner.send_started(call, send)

    def send_ended(self, call: Call, send: Send) -> None:
        """Keep the send."""
        self.steps.append(send)
        self._inner.send_ended(call, send)

    def happened(self, call: Call, event: Event) -> None:
        """Keep waits, with who chose them."""
        match event:
            case RetryScheduled():
                self._scheduled = event
            case WaitEnded():
                self.steps.append(self._wait(event))
            case _:
                pass
        self._inner.happened(call, event)

    def _wait(self, event: WaitEnded) -> Wait:
        chosen = self._scheduled if event.cause is WaitCause.BACKOFF else None
        return Wait(
            cause=event.cause,
            seconds=event.seconds,
            source=None if chosen is None else chosen.source,
            after=None if chosen is None else chosen.verdict.error_type,
        )
