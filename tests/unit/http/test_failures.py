"""The words of an error: where, what, and nothing that an exception, a body or a URL carried."""

import errno

import aiohttp
import pytest

from buoy.errors import Failed, NetworkError, TimedOut
from buoy.events import Silent
from buoy.http import classify, failures
from buoy.http.body import MisfitError
from buoy.outcome import ErrorType, Outcome, Phase, Safety, Transport, Verdict
from buoy.pipeline.call import Plan

PLAN = Plan(
    provider="shop",
    operation="read",
    transport=Transport.HTTP,
    safety=Safety.SAFE,
    retry=None,
    timeout=None,
    recorder=Silent(),
)
CANARY = "canary-44f0"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            ConnectionResetError(errno.ECONNRESET, CANARY),
            NetworkError,
            f"shop read: the connection was reset (ConnectionResetError, errno {errno.ECONNRESET}).",
        ),
        (
            aiohttp.ServerDisconnectedError(CANARY),
            NetworkError,
            "shop read: the server closed the connection without an answer (ServerDisconnectedError).",
        ),
        (TimeoutError(CANARY), TimedOut, "shop read: no complete answer came in time (TimeoutError)."),
        (aiohttp.InvalidURL(CANARY), Failed, "shop read: the URL is not valid (InvalidURL)."),
    ],
    ids=["reset", "disconnected", "timeout", "url"],
)
def test_an_exception_is_told_by_its_class_and_number(error: Exception, kind: type[Failed], said: str) -> None:
    """Class name and errno are telling; the text of an exception may hold anything, and stays out."""
    verdict = classify.exception(error, sending=True)
    assert verdict is not None
    failed = failures.broken(PLAN, error, verdict)
    assert type(failed) is kind
    assert said == str(failed)
    assert (failed.verdict, failed.provider, failed.operation) == (verdict, "shop", "read")


def test_a_verdict_without_a_row_has_its_types_sentence() -> None:
    """An exception that no table knows is told by the fixed sentence of its error type."""
    failed = failures.broken(PLAN, ValueError(CANARY), Verdict(ErrorType.UNKNOWN, Outcome.UNKNOWN, Phase.LOCAL))
    assert str(failed) == "shop read: an error that is not in the table (ValueError)."


def test_a_try_that_was_cut_says_after_what_time() -> None:
    """A timer of ours leaves open whether it happened, and says how long it waited."""
    late = failures.late(PLAN, 0.5)
    assert (str(late), late.error_type, late.outcome) == (
        "shop read: the try took longer than 0.5 s.",
        ErrorType.TIMEOUT,
        Outcome.UNKNOWN,
    )


@pytest.mark.parametrize(("reason", "retryable"), [("malformed", True), ("misfit", False)])
def test_only_a_body_that_is_no_json_may_be_gone_next_time(reason: str, retryable: bool) -> None:  # noqa: FBT001  # a table's column
    """A body that does not fit its model will not fit the next time either."""
    failed = failures.undecodable(PLAN, 203, MisfitError(reason, "the body is odd"))
    assert str(failed) == "shop read: HTTP 203, but the body is odd."
    assert failed.verdict == Verdict(ErrorType.SERVER_ERROR, Outcome.APPLIED, Phase.DECODE, retryable, reason)


def test_an_answer_with_an_error_status_says_when_to_come_back() -> None:
    """Status, meaning and wait are in the text; headers and problem only on the error."""
    answered = failures.answered(PLAN, 429, {"Retry-After": "7", "X-Note": CANARY}, {"title": CANARY})
    assert str(answered) == "shop read: HTTP 429, the provider's rate limit is reached; retry after 7 s."
    assert (answered.status, answered.headers["x-note"], answered.problem) == (429, CANARY, {"title": CANARY})
    assert CANARY not in repr(answered)
