"""The error tree, and nothing that decides which error it is.

BuoyError
├── Refused                 we did not send
│   ├── BreakerOpen  RateLimitedLocally  ConcurrencyLimited
│   └── DeadlineExceeded  StateUnavailable  NeedsConsent
├── Failed                  over there or on the way
│   ├── HttpError  NetworkError  TimedOut  Undecodable
│   └── OutcomeUnknown      sent, no complete answer, not safe to repeat: it may have happened
├── KeyConflict             same idempotency key, other payload
└── ConfigurationError      also a ValueError: when a thing is built, never in the middle of a call

Messages say what and where, never a body, a token or a query value.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from buoy.outcome import TABLE, Category, ErrorType, Outcome, Phase, Verdict
from buoy.result import Meta


class BuoyError(Exception):
    """Base of all errors of a call.

    ``error_type`` is the key of everything else; ``category`` is set for failures; ``reason`` says it more closely;
    ``retry_after`` is in seconds; ``outcome`` says whether the effect may have happened; ``advice`` says in plain words
    what to do; ``meta`` is the story of the call.
    """

    default: ClassVar[Verdict] = Verdict(ErrorType.UNKNOWN, Outcome.UNKNOWN, Phase.LOCAL)
    # Where the class knows better than the table what to do.
    remedy: ClassVar[str | None] = None

    def __init__(
        self,
        message: str = "",
        *,
        verdict: Verdict | None = None,
        provider: str | None = None,
        operation: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message)
        self.verdict = verdict or self.default
        self.provider = provider
        self.operation = operation
        self.advice = advice or self.remedy or TABLE[self.verdict.error_type].advice
        self.meta: Meta | None = None

    @property
    def error_type(self) -> ErrorType:
        """The error type, as telemetry has it."""
        return self.verdict.error_type

    @property
    def category(self) -> Category | None:
        """The family of the failure; ``None`` for refusals."""
        return TABLE[self.verdict.error_type].category

    @property
    def reason(self) -> str | None:
        """The refusal reason, or the failure told more closely where it is known."""
        return self.verdict.reason or (None if self.category else str(self.verdict.error_type))

    @property
    def retry_after(self) -> float | None:
        """Seconds after which trying again makes sense, where somebody said so."""
        return self.verdict.retry_after

    @property
    def outcome(self) -> Outcome:
        """Whether the effect may have happened over there."""
        return self.verdict.outcome


def _refusal(error_type: ErrorType) -> Verdict:
    return Verdict(error_type, Outcome.NOT_SENT, Phase.LOCAL)


class Refused(BuoyError):
    """We did not send."""


class BreakerOpen(Refused):
    """The circuit breaker denied it."""

    default = _refusal(ErrorType.BREAKER_OPEN)


class RateLimitedLocally(Refused):
    """Our limiter's wait exceeds what is allowed."""

    default = _refusal(ErrorType.RATE_LIMITED_LOCALLY)


class ConcurrencyLimited(Refused):
    """No permit within the allowed wait."""

    default = _refusal(ErrorType.CONCURRENCY_LIMITED)


class DeadlineExceeded(Refused):
    """The total deadline had passed before anything was sent."""

    default = _refusal(ErrorType.DEADLINE_EXCEEDED)


class StateUnavailable(Refused):
    """A store that must not be skipped is down."""

    default = _refusal(ErrorType.STATE_UNAVAILABLE)


class NeedsConsent(Refused):
    """No usable grant: a person must authorize again."""

    default = _refusal(ErrorType.NEEDS_CONSENT)


class Failed(BuoyError):
    """It went wrong over there or on the way."""


class HttpError(Failed):
    """The provider answered with an error status.

    ``headers`` are those of the answer; ``problem`` is the decoded body where it is ``application/problem+json``
    (RFC 9457); ``code`` is the provider's own word for it, where a rule knows where it stands. None of them is part of
    the message or the repr. The status may be below 400 where a rule found a failure behind it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        problem: Mapping[str, Any] | None = None,
        code: str | None = None,
        verdict: Verdict | None = None,
        provider: str | None = None,
        operation: str | None = None,
    ) -> None:
        super().__init__(message, verdict=verdict, provider=provider, operation=operation)
        self.status = status
        self.headers: Mapping[str, str] = headers if headers is not None else {}
        self.problem = problem
        self.code = code


class NetworkError(Failed):
    """The connection failed; ``outcome`` says whether the request may have arrived."""

    default = Verdict(ErrorType.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)


class TimedOut(Failed):
    """No complete answer came in time."""

    default = Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)


class Undecodable(Failed):
    """The provider answered 2xx, and its body does not fit what was declared."""

    default = Verdict(ErrorType.SERVER_ERROR, Outcome.APPLIED, Phase.DECODE)


class OutcomeUnknown(Failed):
    """It was sent, no complete answer came, and repeating it is not safe: it may have happened.

    ``cause`` is the failure itself.
    """

    def __init__(
        self,
        message: str = "",
        *,
        cause: BuoyError | None = None,
        verdict: Verdict | None = None,
        provider: str | None = None,
        operation: str | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message, verdict=verdict, provider=provider, operation=operation, advice=advice)
        self.cause = cause


class KeyConflict(BuoyError):
    """The same idempotency key was used with another payload."""

    default = Verdict(ErrorType.CONFLICT, Outcome.REJECTED, Phase.LOCAL, reason="key_conflict")
    remedy = "Read what the first payload did; only you know whether sending the other one under a new key is safe."


class ConfigurationError(BuoyError, ValueError):
    """A thing was built with an option that cannot work; the message names the option, the value and the range."""

    default = Verdict(ErrorType.UNKNOWN, Outcome.NOT_SENT, Phase.LOCAL)
    remedy = "Correct the option that the message names."
