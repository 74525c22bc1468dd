"""The judge of what callers saw: no single lie of theirs passes, and none about them."""

from pathlib import Path

import pytest

from tests.unit.support.lies import Lie, checks, drop, joiner, verdict_on
from tests.unit.support.synthetic import Run
from tests.unit.support.truthful import truthful


@pytest.mark.parametrize("index", range(len(truthful().seen)))
def test_any_dropped_note_is_noticed(index: int, tmp_path: Path) -> None:
    """Whichever single note of a caller is missing, the judge finds a call that nobody made."""

    def lie(run: Run) -> None:
        del run.seen[index]

    assert "call has its span" in checks(verdict_on(lie, tmp_path))


def hide_a_joined_call(run: Run) -> None:
    """A call that joined is left out of spans and counts alike: the export is consistent, and a caller knows of it."""
    drop(run, joiner(run))
    for metric, *values in (
        ("calls", "products.get", "success"),
        ("duplicates", "in_flight"),
        ("call.duration", "products.get"),
    ):
        found = run.series(f".{metric}", *values)
        (run.sums if found in run.sums else run.counts)[found] -= 1


def no_caller(run: Run) -> None:
    """A caller left, and no span knows of it."""
    run.seen.append({"operation": "products.get", "ended": "CancelledError", "begun": 0, "over": 1})


def another_operation(run: Run) -> None:
    """A call is told under another operation than was called."""
    run.seen[0]["operation"] = "products.list"


def refused_and_not_told(run: Run) -> None:
    """A caller was refused, and its span is a success."""
    run.seen[0]["ended"] = "BreakerOpen"


def another_status(run: Run) -> None:
    """A caller got another error than its span tells."""
    run.noted(ended="HttpError")["status"] = 500


def answered_and_not_told(run: Run) -> None:
    """A caller got an answer, and its span is a refusal."""
    run.noted(ended="BreakerOpen")["ended"] = "answer"


def masked_and_not_seen(run: Run) -> None:
    """A caller got an answer of the provider, and its span tells of a fallback."""
    run.noted(origin="fallback")["origin"] = "live"


def another_fallback(run: Run) -> None:
    """A function was asked, and the span tells of a fixed value."""
    run.noted(origin="fallback", because=None)["because"] = "BreakerOpen"


def masks_another_error(run: Run) -> None:
    """A function was asked because of another error than the one masked."""
    run.noted(because="RateLimitedLocally")["because"] = "NetworkError"


def more_attempts(run: Run) -> None:
    """A caller was told of more tries than the span."""
    run.seen[1]["attempts"] = 3


def another_source(run: Run) -> None:
    """A caller was told that the transport sent twice, the span that it joined."""
    run.noted(duplicate="in_flight")["duplicate"] = "resend"


def longer_wait(run: Run) -> None:
    """A caller was told of a wait that the span does not have."""
    run.seen[0]["waited"] = {"concurrency": 0.001}


def late_caller(run: Run) -> None:
    """A call began before anybody asked for it."""
    run.seen[0]["begun"] = run.spans[0].start_time_unix_nano + 1


def another_answer(run: Run) -> None:
    """A caller got another status than the server sent."""
    run.seen[0]["status"] = 201


def status_under_a_fallback(run: Run) -> None:
    """What stands in for a 503 has the status of something else."""
    run.noted(because="HttpError")["status"] = None


def another_quota(run: Run) -> None:
    """A caller was told of more left than the server told."""
    run.seen[0]["remaining"] = 100


def another_quota_was_told(run: Run) -> None:
    """The server told of less than the caller was told."""
    run.logged("answer", seq=1)["remaining"] = 0


def no_doubt(run: Run) -> None:
    """A doubt is counted of which no caller knows."""
    run.noted(ended="OutcomeUnknown")["ended"] = "NetworkError"


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (hide_a_joined_call, "call has its span"),
        (no_caller, "call has its span"),
        (another_operation, "operation called"),
        (refused_and_not_told, "same ending"),
        (another_status, "same ending"),
        (answered_and_not_told, "same ending"),
        (masked_and_not_seen, "same ending"),
        (another_fallback, "same ending"),
        (masks_another_error, "same ending"),
        (more_attempts, "same story"),
        (another_source, "same story"),
        (longer_wait, "same story"),
        (late_caller, "in the caller's time"),
        (another_answer, "status got"),
        (status_under_a_fallback, "status got"),
        (another_quota, "quota told"),
        (another_quota_was_told, "quota told"),
        (no_doubt, "in doubt"),
    ],
)
def test_callers_must_agree(lie: Lie, check: str, tmp_path: Path) -> None:
    """What a caller saw of its call is what the call's span tells."""
    assert check in checks(verdict_on(lie, tmp_path))
