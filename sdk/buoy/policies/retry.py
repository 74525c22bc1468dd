"""Whether a failed try is followed by another, when, and if not, why not.

A retry happens when the failure is of a kind that may pass *and* repeating is safe. Both questions are answered here;
the waiting is the pipeline's.
"""

from dataclasses import dataclass
from typing import NamedTuple

from buoy import options
from buoy.outcome import DelaySource, ErrorType, Outcome, Safety, StopReason, Verdict
from buoy.policies import backoff
from buoy.policies.budget import RetryBudget

# A conflict under the same idempotency key means that the first try is still running over there (Stripe, and the
# draft of the Idempotency-Key header); without a key it is the caller's own.
RUNNING = "in_progress"

# Deadlines are sums and differences of floats: 0.8 - 0.2 must count as 0.6.
_SLACK = 1e-9

_NOTHING_DONE = frozenset({Outcome.NOT_SENT, Outcome.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how patiently. ``base``, ``cap`` and ``throttled_base`` are seconds.

    The wait after try n is drawn between 0 and ``min(cap, base * 2**(n-1))``; after throttling (429, or 503 with
    Retry-After) from ``throttled_base``. A Retry-After is a floor under it. Defaults: 3 tries, 20 s and 1 s are
    botocore's ``standard`` mode; the base is 0.1 s. ``budget`` bounds the retries of the whole provider, ``None`` does
    not. Raises :class:`ConfigurationError` for values out of range.
    """

    max_attempts: int = 3
    base: float = 0.1
    cap: float = 20.0
    throttled_base: float = 1.0
    budget: RetryBudget | None = RetryBudget()  # noqa: RUF009  # frozen

    def __post_init__(self) -> None:
        """Check the values, once, when the policy is built."""
        options.count("Retry", "max_attempts", self.max_attempts, minimum=1, maximum=20)
        options.seconds("Retry", "cap", self.cap)
        options.seconds("Retry", "base", self.base, zero=True, maximum=self.cap)
        options.seconds("Retry", "throttled_base", self.throttled_base, zero=True, maximum=self.cap)
        options.instance("Retry", "budget", self.budget, RetryBudget)


class Decision(NamedTuple):
    """Either a wait in seconds and who chose it, or the reason for stopping."""

    stop: StopReason | None = None
    delay: float = 0.0
    source: DelaySource = DelaySource.BACKOFF


def repeatable(outcome: Outcome, safety: Safety) -> bool:
    """Tell whether sending again cannot do harm: nothing was done yet, or doing it twice is the same as once."""
    return outcome in _NOTHING_DONE or safety is not Safety.UNSAFE


def objection(verdict: Verdict, safety: Safety) -> StopReason | None:
    """Return why this failure must not be retried whatever the time and the number of tries, or ``None``."""
    retryable = verdict.retryable or (verdict.reason == RUNNING and safety is Safety.KEYED)
    if not retryable:
        return StopReason.NOT_RETRYABLE
    return None if repeatable(verdict.outcome, safety) else StopReason.NOT_IDEMPOTENT


def decide(
    policy: Retry | None, verdict: Verdict, *, attempt: int, safety: Safety, left: float, random: float
) -> Decision:
    """Decide what follows failed try ``attempt`` (from 1), with ``left`` seconds until the deadline.

    ``random`` (0 to 1) places the wait within its range. No policy means one try. A wait that would reach the deadline
    is never begun: the call stops now, while the caller can still do something with the time.
    """
    stop = objection(verdict, safety)
    if stop is not None:
        return Decision(stop)
    if policy is None or attempt >= policy.max_attempts:
        return Decision(StopReason.MAX_ATTEMPTS)
    left -= _SLACK
    if verdict.retry_after is not None and verdict.retry_after >= left:
        return Decision(StopReason.RETRY_AFTER)
    base = policy.throttled_base if _throttled(verdict) else policy.base
    wait = backoff.full_jitter(attempt, base=base, cap=policy.cap, random=random)
    source = DelaySource.BACKOFF
    if verdict.retry_after is not None and verdict.retry_after > wait:
        wait, source = verdict.retry_after, DelaySource.RETRY_AFTER
    if wait >= left:
        return Decision(StopReason.DEADLINE)
    return Decision(None, wait, source)


def _throttled(verdict: Verdict) -> bool:
    if verdict.error_type is ErrorType.SERVICE_UNAVAILABLE:
        return verdict.retry_after is not None
    return verdict.error_type is ErrorType.RATE_LIMITED
