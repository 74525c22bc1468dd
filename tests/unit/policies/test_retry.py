"""Whether a failed try is followed by another: the gates in their order, the wait, and the laws over all of it."""

from dataclasses import replace
from itertools import product
from math import inf
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.errors import ConfigurationError
from buoy.http import classify
from buoy.outcome import DelaySource, ErrorType, Outcome, Phase, Safety, StopReason, Verdict
from buoy.policies.budget import RetryBudget
from buoy.policies.retry import RUNNING, Decision, Retry, decide, objection, repeatable

LOST = Verdict(ErrorType.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)
BROKEN = Verdict(ErrorType.INTERNAL_SERVER_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)
LIMITED = Verdict(ErrorType.RATE_LIMITED, Outcome.REJECTED, Phase.RECEIVE, retryable=True)
AWAY = Verdict(ErrorType.SERVICE_UNAVAILABLE, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)
WRONG = Verdict(ErrorType.BAD_REQUEST, Outcome.REJECTED, Phase.RECEIVE)
CONFLICT = Verdict(ErrorType.CONFLICT, Outcome.REJECTED, Phase.RECEIVE, reason=RUNNING)

POLICIES = st.builds(
    lambda attempts, cap, base, throttled: Retry(
        max_attempts=attempts, cap=cap, base=base * cap, throttled_base=throttled * cap
    ),
    attempts=st.integers(min_value=1, max_value=20),
    cap=st.floats(min_value=1e-3, max_value=1e4),
    base=st.floats(min_value=0, max_value=1),
    throttled=st.floats(min_value=0, max_value=1),
)
VERDICTS = st.builds(
    Verdict,
    error_type=st.sampled_from(ErrorType),
    outcome=st.sampled_from(Outcome),
    phase=st.sampled_from(Phase),
    retryable=st.booleans(),
    reason=st.sampled_from([None, RUNNING, "reset"]),
    retry_after=st.none() | st.floats(min_value=0, max_value=1e10),
)


class Situation(NamedTuple):
    """What a decision depends on besides the policy and the verdict."""

    attempt: int
    safety: Safety
    left: float
    random: float


SITUATIONS = st.builds(
    Situation,
    attempt=st.integers(min_value=1, max_value=25),
    safety=st.sampled_from(Safety),
    left=st.floats(min_value=0, max_value=1e5) | st.just(inf),
    random=st.floats(min_value=0, max_value=1),
)
ANY_POLICY = st.none() | POLICIES


def decided(policy: Retry | None, verdict: Verdict, situation: Situation) -> Decision:
    """Decide in a situation that hypothesis made."""
    return decide(policy, verdict, **situation._asdict())


def after(verdict: Verdict, policy: Retry | None = None, *, attempt: int = 1, left: float = inf) -> Decision:
    """Return what follows a failed try of a safe call that draws the longest wait."""
    return decide(policy or Retry(), verdict, attempt=attempt, safety=Safety.SAFE, left=left, random=1.0)


def test_the_defaults() -> None:
    """Three tries, 0.1 s doubling up to 20 s, 1 s after throttling, and the provider's budget for all."""
    assert Retry(max_attempts=3, base=0.1, cap=20.0, throttled_base=1.0, budget=RetryBudget()) == Retry()


@pytest.mark.parametrize("budget", [0.2, True, "none", RetryBudget])
def test_a_budget_is_one_or_none(budget: Any) -> None:
    """Anything else is refused when the policy is built, with option and value."""
    with pytest.raises(ConfigurationError) as refused:
        Retry(budget=budget)
    assert f"Retry: budget={budget!r} is not allowed; it must be a RetryBudget or None." == str(refused.value)
    assert Retry(budget=None).budget is None


@pytest.mark.parametrize(("outcome", "safety"), list(product(Outcome, Safety)))
def test_when_repeating_does_no_harm(outcome: Outcome, safety: Safety) -> None:
    """Only an unsafe call that may have happened, or did, must not be repeated."""
    harmful = safety == "unsafe" and outcome in {"unknown", "applied"}
    assert repeatable(outcome, safety) is not harmful


@pytest.mark.parametrize(
    ("verdict", "safety", "expected"),
    [
        (LOST, Safety.SAFE, None),
        (LOST, Safety.IDEMPOTENT, None),
        (LOST, Safety.KEYED, None),
        (LOST, Safety.UNSAFE, StopReason.NOT_IDEMPOTENT),
        (LIMITED, Safety.UNSAFE, None),
        (WRONG, Safety.SAFE, StopReason.NOT_RETRYABLE),
        (replace(WRONG, outcome=Outcome.UNKNOWN), Safety.UNSAFE, StopReason.NOT_RETRYABLE),
        (CONFLICT, Safety.KEYED, None),
        (CONFLICT, Safety.SAFE, StopReason.NOT_RETRYABLE),
        (CONFLICT, Safety.IDEMPOTENT, StopReason.NOT_RETRYABLE),
        (CONFLICT, Safety.UNSAFE, StopReason.NOT_RETRYABLE),
        (replace(CONFLICT, reason="gone"), Safety.KEYED, StopReason.NOT_RETRYABLE),
    ],
)
def test_what_speaks_against_a_retry(verdict: Verdict, safety: Safety, expected: StopReason | None) -> None:
    """The kind of failure is asked first, then whether a repeat is safe; a running first try needs the same key."""
    assert expected == objection(verdict, safety)


# Each row breaks one rule more than the row below it: the reason given is always the first that applies.
@pytest.mark.parametrize(
    ("verdict", "safety", "attempt", "left", "expected"),
    [
        (replace(LOST, retryable=False, retry_after=9.0), Safety.UNSAFE, 3, 0.0, StopReason.NOT_RETRYABLE),
        (replace(LOST, retry_after=9.0), Safety.UNSAFE, 3, 0.0, StopReason.NOT_IDEMPOTENT),
        (replace(LOST, retry_after=9.0), Safety.SAFE, 3, 0.0, StopReason.MAX_ATTEMPTS),
        (replace(LOST, retry_after=9.0), Safety.SAFE, 2, 0.0, StopReason.RETRY_AFTER),
        (LOST, Safety.SAFE, 2, 0.0, StopReason.DEADLINE),
        (LOST, Safety.SAFE, 2, 1.0, None),
    ],
)
def test_the_reasons_for_stopping_have_an_order(
    verdict: Verdict, safety: Safety, attempt: int, left: float, expected: StopReason | None
) -> None:
    """Never, not safely, not so often, not so late as they ask, not in time: the first that applies is the reason."""
    decision = decide(Retry(), verdict, attempt=attempt, safety=safety, left=left, random=1.0)
    assert expected == decision.stop


def test_no_policy_means_one_try() -> None:
    """Without a policy the first failure stands, and why is still said in the same order."""
    situation = Situation(1, Safety.SAFE, inf, 0.0)
    assert Decision(StopReason.MAX_ATTEMPTS) == decided(None, LOST, situation)
    assert Decision(StopReason.NOT_IDEMPOTENT) == decided(None, LOST, situation._replace(safety=Safety.UNSAFE))


@pytest.mark.parametrize(("attempts", "attempt", "stops"), [(1, 1, True), (3, 2, False), (3, 3, True), (3, 4, True)])
def test_tries_are_counted_with_the_first(attempts: int, attempt: int, stops: bool) -> None:  # noqa: FBT001
    """``max_attempts`` counts the first try, too."""
    decision = after(LOST, Retry(max_attempts=attempts), attempt=attempt)
    assert (StopReason.MAX_ATTEMPTS if stops else None) == decision.stop


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (LOST, [0.1, 0.2, 0.4]),
        (BROKEN, [0.1, 0.2, 0.4]),
        (AWAY, [0.1, 0.2, 0.4]),
        (LIMITED, [1, 2, 4]),
        (replace(AWAY, retry_after=0.0), [1, 2, 4]),
        (replace(BROKEN, retry_after=0.0), [0.1, 0.2, 0.4]),
    ],
)
def test_the_wait_starts_higher_after_throttling(verdict: Verdict, expected: list[float]) -> None:
    """A 429, and a 503 that says when to come back, wait from ``throttled_base``; all else from ``base``."""
    policy = Retry(max_attempts=9)
    assert expected == [after(verdict, policy, attempt=attempt).delay for attempt in (1, 2, 3)]


@pytest.mark.parametrize(
    ("asked", "delay", "source"),
    [
        (None, 1.0, DelaySource.BACKOFF),
        (0.0, 1.0, DelaySource.BACKOFF),
        (0.5, 1.0, DelaySource.BACKOFF),
        (1.0, 1.0, DelaySource.BACKOFF),
        (1.5, 1.5, DelaySource.RETRY_AFTER),
        (60.0, 60.0, DelaySource.RETRY_AFTER),
    ],
)
def test_retry_after_is_a_floor(asked: float | None, delay: float, source: DelaySource) -> None:
    """The wait is never shorter than asked for, also beyond the cap, and it is told who chose it."""
    assert Decision(None, delay, source) == after(replace(LIMITED, retry_after=asked))


@pytest.mark.parametrize(
    ("verdict", "left", "expected"),
    [
        (LIMITED, 1.0, Decision(StopReason.DEADLINE)),
        (LIMITED, 1.1, Decision(None, 1.0, DelaySource.BACKOFF)),
        (replace(LIMITED, retry_after=5.0), 5.0, Decision(StopReason.RETRY_AFTER)),
        (replace(LIMITED, retry_after=5.0), 6.0, Decision(None, 5.0, DelaySource.RETRY_AFTER)),
        (replace(LIMITED, retry_after=0.5), 0.9, Decision(StopReason.DEADLINE)),
        (LIMITED, 0.0, Decision(StopReason.DEADLINE)),
        # A nanosecond is within the error of a float.
        (LIMITED, 1.0 + 1e-9, Decision(StopReason.DEADLINE)),
        (replace(LIMITED, retry_after=5.0), 5.0 + 1e-9, Decision(StopReason.RETRY_AFTER)),
        (replace(LIMITED, retry_after=inf), inf, Decision(StopReason.RETRY_AFTER)),
    ],
)
def test_no_wait_reaches_the_deadline(verdict: Verdict, left: float, expected: Decision) -> None:
    """A wait as long as the time left is not begun, and it is told whose wait it was."""
    assert expected == after(verdict, left=left)


@pytest.mark.parametrize(("deadline", "now", "wait"), [(0.8, 0.2, 0.6), (5.2, 0.2, 5.0), (1.1, 0.8, 0.3)])
def test_rounding_does_not_begin_a_wait(deadline: float, now: float, wait: float) -> None:
    """A wait that is below the time left only by the error of a float subtraction reaches the deadline."""
    policy = Retry(base=wait, throttled_base=wait, cap=wait)
    assert after(LOST, policy, left=deadline - now).stop == StopReason.DEADLINE
    assert after(replace(LOST, retry_after=wait), policy, left=deadline - now).stop == StopReason.RETRY_AFTER


@pytest.mark.parametrize(
    ("status", "safety", "expected"),
    [
        *((status, Safety.SAFE, True) for status in (408, 425, 429, 500, 502, 503, 504, 529)),
        *((status, Safety.SAFE, False) for status in (400, 401, 403, 404, 405, 409, 410, 422, 501)),
        *((status, Safety.UNSAFE, False) for status in (400, 408, 409, 500, 501, 502, 503, 504)),
        *((status, Safety.UNSAFE, True) for status in (425, 429, 529)),
        *((status, Safety.KEYED, True) for status in (408, 409, 429, 500, 502, 503, 504)),
    ],
)
def test_answers_that_are_tried_again(status: int, safety: Safety, expected: bool) -> None:  # noqa: FBT001
    """Which status is tried again follows from what it says of the request and from what a repeat would do."""
    assert expected is (objection(classify.status(status), safety) is None)


def test_the_provider_has_the_last_word() -> None:
    """A provider that says not to try again is obeyed, even after a conflict; one that says to, where it is safe."""
    assert objection(classify.status(409, should_retry=False), Safety.KEYED) == StopReason.NOT_RETRYABLE
    assert objection(classify.status(503, should_retry=False), Safety.SAFE) == StopReason.NOT_RETRYABLE
    assert objection(classify.status(404, should_retry=True), Safety.SAFE) is None
    assert objection(classify.status(500, should_retry=True), Safety.UNSAFE) == StopReason.NOT_IDEMPOTENT


def test_the_wait_is_capped() -> None:
    """However many tries there were, the longest wait is the policy's cap."""
    policy = Retry(max_attempts=20, cap=7.0)
    assert Decision(None, 7.0, DelaySource.BACKOFF) == after(BROKEN, policy, attempt=19)
    assert Decision(None, 7.0, DelaySource.BACKOFF) == after(LIMITED, policy, attempt=19)


def test_a_decision_to_stop_holds_no_wait() -> None:
    """Beside a reason stand no wait and nobody who chose one; a decision of no reason is a wait of nothing."""
    assert Decision(StopReason.BUDGET) == (StopReason.BUDGET, 0.0, DelaySource.BACKOFF)
    assert Decision() == (None, 0.0, DelaySource.BACKOFF)


# Laws.


@given(ANY_POLICY, VERDICTS, SITUATIONS)
def test_what_may_have_happened_is_never_repeated(policy: Retry | None, verdict: Verdict, situation: Situation) -> None:
    """No policy, no time and no luck make an unsafe call go out again once it may have happened."""
    doubtful = replace(verdict, outcome=Outcome.UNKNOWN), replace(verdict, outcome=Outcome.APPLIED)
    for judged in doubtful:
        assert decided(policy, judged, situation._replace(safety=Safety.UNSAFE)).stop is not None


@given(ANY_POLICY, VERDICTS, SITUATIONS)
def test_a_wait_ends_before_the_deadline(policy: Retry | None, verdict: Verdict, situation: Situation) -> None:
    """Whatever else is decided, a wait is never as long as the time left, nor negative."""
    decision = decided(policy, verdict, situation)
    if decision.stop is None:
        assert 0 <= decision.delay < situation.left


@given(ANY_POLICY, VERDICTS, SITUATIONS)
def test_stopping_means_no_wait(policy: Retry | None, verdict: Verdict, situation: Situation) -> None:
    """A decision is a wait or a reason, never both."""
    decision = decided(policy, verdict, situation)
    if decision.stop is not None:
        assert Decision(decision.stop) == decision


@given(POLICIES, VERDICTS, SITUATIONS)
def test_a_retry_was_allowed_by_everybody(policy: Retry, verdict: Verdict, situation: Situation) -> None:
    """A retry happens only when the failure may pass, repeating is safe and a try is left."""
    if decided(policy, verdict, situation).stop is None:
        safety = situation.safety
        assert verdict.retryable or (verdict.reason == RUNNING and safety is Safety.KEYED)
        assert repeatable(verdict.outcome, safety)
        assert situation.attempt < policy.max_attempts


@given(POLICIES, VERDICTS, SITUATIONS)
def test_the_wait_has_bounds(policy: Retry, verdict: Verdict, situation: Situation) -> None:
    """A wait is at least what the provider asked for, and otherwise at most the cap; its source tells which it is."""
    decision = decided(policy, verdict, situation)
    if decision.stop is None:
        asked = verdict.retry_after or 0.0
        assert asked <= decision.delay <= max(policy.cap, asked)
        ours = decision.source is DelaySource.BACKOFF
        assert decision.delay <= policy.cap if ours else decision.delay == asked


@given(POLICIES, VERDICTS, SITUATIONS, st.floats(min_value=0, max_value=1e5))
def test_more_time_never_stops_a_retry(policy: Retry, verdict: Verdict, situation: Situation, more: float) -> None:
    """What is retried with little time is retried with more, after the same wait."""
    decision = decided(policy, verdict, situation)
    if decision.stop is None:
        assert decision == decided(policy, verdict, situation._replace(left=situation.left + more))


@given(ANY_POLICY, VERDICTS, SITUATIONS)
def test_a_decision_is_a_function(policy: Retry | None, verdict: Verdict, situation: Situation) -> None:
    """The same question has the same answer: there is no clock, no chance and no memory in a policy."""
    assert decided(policy, verdict, situation) == decided(policy, verdict, situation)
