"""A story in plain words."""

from dataclasses import replace
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.cli.story import Failure, Received, SendStep, Story, Time, WaitStep
from buoy.cli.words import CHOSEN, ENDS, OUTCOMES, STOPS, WAITS, seconds, tell, visible
from buoy.outcome import (
    AttemptKind,
    CallResult,
    Category,
    DelaySource,
    ErrorType,
    Outcome,
    Phase,
    StopReason,
    WaitCause,
)

FIRST = SendStep(
    number=1,
    kind=AttemptKind.FIRST,
    method="GET",
    origin="http://h",
    seconds=0.0123,
    status=200,
    http_version="1.1",
    provider_request_id=None,
    error=None,
)
PAUSE = WaitStep(cause=WaitCause.BACKOFF, seconds=1.5, chosen_by=DelaySource.RETRY_AFTER, after=ErrorType.RATE_LIMITED)
STORY = Story(
    result=CallResult.SUCCESS,
    method="GET",
    url="http://h/p",
    attempts=1,
    sends=1,
    steps=[FIRST],
    answer=Received(status=200, content_type="text/plain", bytes=7, headers={}),
    error=None,
    time=Time(total=0.015, sends=0.0123, waits=0.0, own=0.0027),
    duplicate=False,
    request_id="00000000-0000-4000-8000-000000000000",
    trace_id=None,
)
FAILURE = Failure(
    type=ErrorType.UNKNOWN,
    category=Category.GENERAL,
    reason=None,
    outcome=Outcome.UNKNOWN,
    phase=Phase.LOCAL,
    retry_after=None,
    meaning="an error that is not in the table",
    exception="ZeroDivisionError",
    message=None,
    stop_reason=None,
    says=None,
    advice="Read the exception.",
)


@pytest.mark.parametrize(
    ("words", "kind"),
    [(OUTCOMES, Outcome), (STOPS, StopReason), (WAITS, WaitCause), (CHOSEN, DelaySource), (ENDS, CallResult)],
    ids=["outcomes", "stops", "waits", "chosen", "ends"],
)
def test_there_are_words_for_every_value(words: dict[StrEnum, str], kind: type[StrEnum]) -> None:
    """A new outcome, stop reason, wait, delay source or result fails here until somebody says it in plain words."""
    assert set(kind) == set(words)


def test_a_success_is_told_whole() -> None:
    """The text of a plain success, line by line."""
    assert tell(STORY) == (
        "GET http://h/p\n"
        "\n"
        "try 1     first, 12.3 ms: HTTP 200\n"
        "\n"
        "success   HTTP 200, 1 try\n"
        "body      7 bytes, text/plain\n"
        "time      15.0 ms = 12.3 ms sending and receiving + 0.0 ms waiting + 2.7 ms our own"
    )


def test_a_wait_is_told_with_cause_and_choice() -> None:
    """A wait says what for, how long, who chose it and after which failure."""
    told = tell(replace(STORY, steps=[PAUSE, replace(PAUSE, chosen_by=None, after=None)]))
    assert "wait      backoff of 1.50 s, chosen by the provider (Retry-After), after rate_limited\n" in told
    assert "wait      backoff of 1.50 s\n" in told


NOTE = "note      another origin gets no credentials: of --header only what is harmless, like Accept\n"


@pytest.mark.parametrize(("origin", "note"), [("http://h", False), ("https://h", True)])
def test_a_redirect_is_told_by_where_it_led(origin: str, note: bool) -> None:  # noqa: FBT001  # a table
    """A hop says method and origin; that another origin got no credentials is a note."""
    hop = replace(FIRST, kind=AttemptKind.REDIRECT, method="HEAD", origin=origin)
    told = tell(replace(STORY, sends=2, steps=[replace(FIRST, status=301), PAUSE, hop]))
    assert "try 1     first, 12.3 ms: HTTP 301\n" in told
    assert f"try 1     redirect to HEAD {origin}, 12.3 ms: HTTP 200\n" in told
    assert note == (NOTE in told)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (WaitCause.RATE_LIMIT, "wait      pause for the rate limit of 2.00 s\n"),
        (WaitCause.CONCURRENCY, "wait      queue for a permit of 2.00 s\n"),
    ],
)
def test_a_wait_for_a_policy_is_told_in_words(cause: WaitCause, text: str) -> None:
    """A wait that no failure announced says what it was for."""
    assert text in tell(replace(STORY, steps=[WaitStep(cause=cause, seconds=2.0, chosen_by=None, after=None)]))


def test_a_retry_that_a_policy_kept_back_is_told() -> None:
    """A call that gave up because its next try was refused says so."""
    failure = replace(FAILURE, stop_reason=StopReason.REFUSED)
    told = tell(replace(STORY, result=CallResult.FAILURE, answer=None, error=failure))
    assert "no retry  the breaker or a limit of ours kept the next try back\n" in told


def test_a_failure_without_a_text_of_ours_is_told_by_its_class() -> None:
    """What a foreign exception says is not shown: it may hold a header or the URL."""
    told = tell(replace(STORY, result=CallResult.FAILURE, answer=None, error=FAILURE))
    assert "failed    ZeroDivisionError after 1 try\n" in told
    assert "outcome   unknown, it may have happened\n" in told
    assert "no retry" not in told


def test_a_refusal_has_no_category() -> None:
    """A call that we did not send is told as refused, without a family of failures."""
    refused = replace(FAILURE, type=ErrorType.DEADLINE_EXCEEDED, category=None, message="not sent.")
    told = tell(replace(STORY, result=CallResult.REFUSED, answer=None, error=refused))
    assert "refused   ZeroDivisionError after 1 try: not sent.\n" in told
    assert "error     type deadline_exceeded: an error that is not in the table\n" in told


def test_an_end_without_an_answer_is_told() -> None:
    """A body that was not kept and a content type that was not given are simply not told."""
    bare = replace(STORY, answer=Received(status=204, content_type=None, bytes=None, headers={}))
    assert "body      not kept\n" in tell(bare)
    assert "success   1 try\n" in tell(replace(STORY, answer=None))


@given(st.text(alphabet="a~\x00\x07\x1b\x7f\x9b\n\u00e9\u2028\u202e\ud800\U0001f600"))
def test_foreign_text_cannot_steer_a_terminal(text: str) -> None:
    """Whatever the other side sends is shown as visible ASCII, and cut."""
    shown = visible(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 203


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0 ms"),
        (0.00004, "0.0 ms"),
        (0.0123, "12.3 ms"),
        (0.9994, "999.4 ms"),
        (1.0, "1.00 s"),
        (61.234, "61.23 s"),
    ],
)
def test_durations_read_at_a_glance(value: float, text: str) -> None:
    """Below a second in milliseconds, from there on in seconds."""
    assert text == seconds(value)
