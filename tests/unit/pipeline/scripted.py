"""A call whose tries follow a script, and a recorder that writes down all it is told."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from buoy.errors import BuoyError, HttpError, NetworkError, TimedOut
from buoy.events import Event, Recorder, Silent
from buoy.outcome import ErrorType, Outcome, Phase, Safety, Transport, Verdict
from buoy.pipeline.call import UNKNOWN, Call, Plan, Send
from buoy.pipeline.run import run
from buoy.policies.budget import Budget
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry

BUSY = Verdict(ErrorType.SERVICE_UNAVAILABLE, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)
REFUSED = Verdict(ErrorType.NETWORK_ERROR, Outcome.NOT_SENT, Phase.CONNECT, retryable=True)
MISSING = Verdict(ErrorType.NOT_FOUND, Outcome.REJECTED, Phase.RECEIVE)


def busy(*, retry_after: float | None = None) -> HttpError:
    """Return a failure that passes."""
    outcome = Outcome.UNKNOWN if retry_after is None else Outcome.REJECTED
    verdict = Verdict(ErrorType.SERVICE_UNAVAILABLE, outcome, Phase.RECEIVE, retryable=True, retry_after=retry_after)
    return HttpError("shop list: busy.", status=503, verdict=verdict)


def throttled(*, retry_after: float | None = None) -> HttpError:
    """Return the failure of a 429: the provider is well, and we are too fast."""
    verdict = Verdict(ErrorType.RATE_LIMITED, Outcome.REJECTED, Phase.RECEIVE, retryable=True, retry_after=retry_after)
    return HttpError("shop list: throttled.", status=429, verdict=verdict)


def refused() -> NetworkError:
    """Return a failure before anything was sent."""
    return NetworkError("shop list: refused.", verdict=REFUSED)


def lost() -> NetworkError:
    """Return a failure after the request was sent: it may have happened."""
    return NetworkError("shop list: lost.", provider="shop", operation="list")


def late() -> TimedOut:
    """Return a failure of the timer: it may have happened."""
    return TimedOut("shop list: late.")


def missing() -> HttpError:
    """Return a failure that does not pass."""
    return HttpError("shop list: missing.", status=404, verdict=MISSING)


PLAN = Plan(
    provider="shop",
    operation="list",
    transport=Transport.FUNCTION,
    safety=Safety.SAFE,
    retry=Retry(),
    timeout=Timeout(),
    recorder=Silent(),
)


# As long as any test takes.
PATIENT = Timeout(total=1000, attempt=100)


class Step(NamedTuple):
    """What one try does: it takes ``seconds``, and raises ``error`` or answers."""

    error: Exception | None = None
    seconds: float = 0.0


ANSWER = "the answer"


class Recording:
    """A recorder that keeps what it was told, in order and with the time."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.times: list[float] = []
        self.events: list[Event] = []

    def call_started(self, call: Call) -> None:
        """Write it down."""
        self._write(call, "call started")

    def call_ended(self, call: Call) -> None:
        """Write it down, with the error type."""
        self._write(call, f"call ended {_type(call.failure)}")

    def send_started(self, call: Call, send: Send) -> None:
        """Write it down, with number and kind."""
        self._write(call, f"send {send.number} started {send.kind}")

    def send_ended(self, call: Call, send: Send) -> None:
        """Write it down, with the error type."""
        self._write(call, f"send {send.number} ended {_type(send.failure)}")

    def happened(self, call: Call, event: Event) -> None:
        """Write it down, and keep the event."""
        self._write(call, type(event).__name__)
        self.events.append(event)

    def _write(self, call: Call, line: str) -> None:
        self.lines.append(line)
        self.times.append(call.loop.time())


def _type(failure: Verdict | None) -> str:
    return "well" if failure is None else str(failure.error_type)


@dataclass
class Scenario:
    """One call of a script: its plan, with the gates of ``plan``, and afterwards what became of it."""

    steps: Sequence[Step]
    retry: Retry | None = Retry()  # noqa: RUF009  # frozen
    timeout: Timeout | None = Timeout()  # noqa: RUF009  # frozen
    safety: Safety = Safety.SAFE
    retry_on: tuple[type[Exception], ...] = ()
    asked: float | None = None
    recorder: Recorder[Call, Send] | None = None
    budget: Budget | None = None
    plan: Plan = PLAN

    def __post_init__(self) -> None:
        self.recording = Recording()
        self.sends = 0
        self.sent_at: list[float] = []
        self.call: Call

    async def run(self) -> str:
        """Run the call to its end, in the running loop."""
        plan = replace(
            self.plan,
            safety=self.safety,
            retry=self.retry,
            timeout=self.timeout,
            recorder=self.recorder or self.recording,
            retry_on=self.retry_on,
            budget=self.budget or self.plan.budget,
        )
        self.call = Call(plan, asyncio.get_running_loop(), asked=self.asked)
        return await run(self.call, self._send)

    async def caught(self) -> Exception | None:
        """Run the call and return the exception that the caller sees, without its traceback."""
        try:
            await self.run()
        except Exception as error:  # noqa: BLE001  # a script may raise anything
            return error.with_traceback(None)
        return None

    async def _send(self, call: Call) -> str:
        step = self.steps[min(self.sends, len(self.steps) - 1)]
        self.sends += 1
        self.sent_at.append(call.loop.time())
        send = call.begin_send()
        try:
            await asyncio.sleep(step.seconds)
        except asyncio.CancelledError:
            call.end_send(send, Verdict(ErrorType.CANCELLED, Outcome.UNKNOWN, Phase.LOCAL))
            raise
        if step.error is None:
            call.end_send(send, None)
            return ANSWER
        call.end_send(send, step.error.verdict if isinstance(step.error, BuoyError) else UNKNOWN)
        raise step.error
