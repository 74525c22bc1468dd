"""The recorder that listens: it keeps what happened, in order, and withholds nothing from the telemetry's."""

import asyncio
from typing import Any

from buoy.cli.chronicle import Chronicle, Wait
from buoy.events import CallRefused, Event, FallbackUsed, Joined, Recorder, Resent, RetryScheduled, WaitEnded
from buoy.outcome import (
    AttemptKind,
    DelaySource,
    ErrorType,
    FallbackSource,
    Outcome,
    Phase,
    Safety,
    Transport,
    Verdict,
    WaitCause,
)
from buoy.pipeline.call import Call, Plan, Send

LIMITED = Verdict(ErrorType.RATE_LIMITED, Outcome.REJECTED, Phase.RECEIVE, retryable=True, retry_after=3.0)
SCHEDULED = RetryScheduled(attempt=2, delay=3.0, source=DelaySource.RETRY_AFTER, verdict=LIMITED)
WAITED = WaitEnded(cause=WaitCause.BACKOFF, seconds=3.0)


class Heard:
    """A recorder that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def call_started(self, call: Call) -> None:
        """Write it down."""
        self.told.append(("call_started", call))

    def call_ended(self, call: Call) -> None:
        """Write it down."""
        self.told.append(("call_ended", call))

    def send_started(self, call: Call, send: Send) -> None:
        """Write it down."""
        self.told.append(("send_started", call, send))

    def send_ended(self, call: Call, send: Send) -> None:
        """Write it down."""
        self.told.append(("send_ended", call, send))

    def happened(self, call: Call, event: Event) -> None:
        """Write it down."""
        self.told.append(("happened", call, event))


def made(recorder: Recorder[Call, Send]) -> Call:
    """Return a call that ``recorder`` is told of."""
    plan = Plan(
        provider="p",
        operation="o",
        transport=Transport.HTTP,
        safety=Safety.SAFE,
        retry=None,
        timeout=None,
        recorder=recorder,
    )
    loop = asyncio.new_event_loop()
    try:
        return Call(plan, loop)
    finally:
        loop.close()


def test_everything_is_passed_on() -> None:
    """The telemetry's recorder hears what it would hear without a listener, in the same order."""
    heard = Heard()
    chronicle = Chronicle().around(heard)
    call, send = made(chronicle), Send(1, AttemptKind.FIRST, 0.0)
    rare: list[Event] = [
        SCHEDULED,
        WAITED,
        Resent(method="GET", send=send),
        CallRefused(reason=ErrorType.BREAKER_OPEN, enforced=False),
        Joined(first=call),
        FallbackUsed(source=FallbackSource.STATIC, masked=LIMITED),
    ]
    chronicle.call_started(call)
    chronicle.send_started(call, send)
    chronicle.send_ended(call, send)
    for event in rare:
        chronicle.happened(call, event)
    chronicle.call_ended(call)
    assert [
        ("call_started", call),
        ("send_started", call, send),
        ("send_ended", call, send),
        *(("happened", call, event) for event in rare),
        ("call_ended", call),
    ] == heard.told
    assert call is chronicle.call


def test_steps_are_kept_in_order() -> None:
    """Sends and waits stand in the order in which they ended, a wait with who chose it and after what."""
    chronicle = Chronicle()
    call = made(chronicle)
    first, second = Send(1, AttemptKind.FIRST, 0.0), Send(2, AttemptKind.RETRY, 0.0)
    chronicle.send_ended(call, first)
    chronicle.happened(call, SCHEDULED)
    chronicle.happened(call, WAITED)
    chronicle.send_ended(call, second)
    wait = Wait(cause=WaitCause.BACKOFF, seconds=3.0, source=DelaySource.RETRY_AFTER, after=ErrorType.RATE_LIMITED)
    assert [first, wait, second] == chronicle.steps


def test_only_a_backoff_was_chosen_by_somebody() -> None:
    """A pause for the rate limit, between a failure and the next try, is not what was chosen after that failure."""
    chronicle = Chronicle()
    call = made(chronicle)
    for event in (SCHEDULED, WAITED, WaitEnded(cause=WaitCause.RATE_LIMIT, seconds=1.0)):
        chronicle.happened(call, event)
    pause = Wait(cause=WaitCause.RATE_LIMIT, seconds=1.0, source=None, after=None)
    assert [pause] == chronicle.steps[1:]


def test_a_wait_that_nobody_announced_has_no_author() -> None:
    """A wait without a scheduled retry before it is told as it is."""
    chronicle = Chronicle()
    chronicle.happened(made(chronicle), WAITED)
    assert [Wait(cause=WaitCause.BACKOFF, seconds=3.0, source=None, after=None)] == chronicle.steps
