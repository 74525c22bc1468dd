"""The vocabulary: the one table over the error types, checked against the contract as it is written there."""

import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from enum import StrEnum
from typing import Any

import pytest

from buoy.outcome import (
    TABLE,
    AttemptKind,
    BreakerCause,
    BreakerOutcome,
    BreakerState,
    CallResult,
    Category,
    DelaySource,
    DuplicateSource,
    ErrorLevel,
    ErrorType,
    FallbackSource,
    LimitSource,
    Origin,
    Outcome,
    Phase,
    Safety,
    StopReason,
    Transport,
    Verdict,
    WaitCause,
    result_of,
)

# Section 1 of the telemetry contract, row by row: error.type, buoy.error.category, buoy.call.result, breaker.
FAILURES = """
bad_request           validation      caller_error  neutral
unauthorized          authentication  failure       neutral
forbidden             authentication  failure       neutral
not_found             not_found       caller_error  neutral
method_not_allowed    general         caller_error  neutral
conflict              general         caller_error  neutral
unprocessable_entity  validation      caller_error  neutral
rate_limited          rate_limiting   failure       neutral
internal_server_error server_error    failure       failure
bad_gateway           server_error    failure       failure
service_unavailable   server_error    failure       failure
gateway_timeout       server_error    failure       failure
client_error          general         caller_error  neutral
server_error          server_error    failure       failure
network_error         network         failure       failure
timeout               network         failure       failure
unknown               general         failure       neutral
"""
REFUSALS = """
breaker_open          refused
rate_limited_locally  refused
concurrency_limited   refused
deadline_exceeded     refused
state_unavailable     refused
needs_consent         refused
cancelled             cancelled
"""


def rows() -> Iterator[tuple[str, str | None, str, str]]:
    """Yield the rows of both tables."""
    for line in FAILURES.split("\n")[1:-1]:
        name, category, result, breaker = line.split()
        yield name, category, result, breaker
    for line in REFUSALS.split("\n")[1:-1]:
        name, result = line.split()
        yield name, None, result, "neutral"


ROWS = list(rows())


def test_there_are_24_error_types() -> None:
    """The error types are the 17 failures and 7 others of the contract, in its order, and each has its row."""
    assert [row[0] for row in ROWS] == [str(error_type) for error_type in ErrorType]
    assert len(ROWS) == 24
    assert set(ErrorType) == set(TABLE)


@pytest.mark.parametrize(("name", "category", "result", "breaker"), ROWS, ids=[row[0] for row in ROWS])
def test_what_follows_from_an_error_type(name: str, category: str | None, result: str, breaker: str) -> None:
    """Category, result and breaker outcome of every error type are those of the contract."""
    facts = TABLE[ErrorType(name)]
    assert (category, result, breaker) == (facts.category, facts.result, facts.breaker)


@pytest.mark.parametrize("error_type", ErrorType)
def test_a_failure_has_a_category_and_a_refusal_has_none(error_type: ErrorType) -> None:
    """An error type has a category or means that we did not send or the caller left: exactly one of the two."""
    facts = TABLE[error_type]
    ours = facts.result in {CallResult.REFUSED, CallResult.CANCELLED}
    assert ours is (facts.category is None)


@pytest.mark.parametrize("error_type", ErrorType)
def test_the_words_are_plain(error_type: ErrorType) -> None:
    """Advice is a sentence to act on, and the description a clause of plain words: no placeholder, no line break."""
    facts = TABLE[error_type]
    assert re.fullmatch(r"[A-Z][^{}%\n]{10,}\.", facts.advice), facts.advice
    assert re.fullmatch(r"[a-z][^{}%\n]{5,}[^.]", facts.sentence), facts.sentence


def test_no_two_types_say_the_same() -> None:
    """Every error type has a description of its own, so that a reader of a trace can tell them apart."""
    assert len(ErrorType) == len({facts.sentence for facts in TABLE.values()})


@pytest.mark.parametrize("error_type", ErrorType)
def test_only_unsent_calls_say_not_sent(error_type: ErrorType) -> None:
    """The description says that nothing was sent exactly where the call was refused."""
    facts = TABLE[error_type]
    assert (facts.result is CallResult.REFUSED) is facts.sentence.startswith("not sent: ")


def test_the_result_of_a_call() -> None:
    """A call without failure is a success, any other is counted as the table says of its error type."""
    assert CallResult.SUCCESS is result_of(None)
    for error_type in ErrorType:
        verdict = Verdict(error_type, Outcome.UNKNOWN, Phase.RECEIVE)
        assert TABLE[error_type].result is result_of(verdict)


def test_a_verdict_is_fixed_and_says_nothing_that_it_was_not_told() -> None:
    """Without more, a failure is not retryable, has no reason and names no time; and nobody changes a verdict."""
    verdict: Any = Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE)
    assert (verdict.retryable, verdict.reason, verdict.retry_after) == (False, None, None)
    assert verdict.retryable is False
    with pytest.raises(FrozenInstanceError):
        verdict.retryable = True
    assert not hasattr(verdict, "__dict__")


@pytest.mark.parametrize(
    ("vocabulary", "values"),
    [
        (
            Category,
            "validation authentication not_found general rate_limiting server_error network",
        ),
        (CallResult, "success failure refused caller_error cancelled"),
        (BreakerOutcome, "success failure neutral"),
        (BreakerState, "closed open half_open forced_open disabled metrics_only"),
        (
            BreakerCause,
            "failure_rate slow_rate retry_after wait_elapsed probe_succeeded probe_failed manual",
        ),
        (Outcome, "not_sent rejected unknown applied"),
        (Phase, "local connect send receive decode"),
        (Safety, "safe idempotent keyed unsafe"),
        (AttemptKind, "first retry redirect resend"),
        (
            StopReason,
            "max_attempts deadline budget not_retryable not_idempotent not_replayable retry_after refused",
        ),
        (DelaySource, "backoff retry_after"),
        (WaitCause, "backoff rate_limit concurrency"),
        (Origin, "live fallback"),
        (FallbackSource, "static function"),
        (LimitSource, "local server"),
        (DuplicateSource, "in_flight resend"),
        (Transport, "http function"),
        (ErrorLevel, "attempt call"),
    ],
)
def test_closed_vocabularies(vocabulary: type[StrEnum], values: str) -> None:
    """The values of each enum are those of the contract, and are plain strings wherever a string is expected."""
    assert values.split() == [str(value) for value in vocabulary]
    assert values.split() == list(vocabulary)
