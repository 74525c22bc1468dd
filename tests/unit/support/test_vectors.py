"""The vectors' own runner: it passes what is right, fails what is wrong, and passes over nothing in silence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import ROOT
from tests.support.vectors.__main__ import main
from tests.support.vectors.compare import equal
from tests.support.vectors.offered import OFFERED
from tests.support.vectors.replay import FORMAT, Report, replay

SHARED = ROOT.parent / "shared" / "vectors"
SAMPLES = ROOT / "tests" / "support" / "vectors" / "samples"
# The project's vectors lie beside the repository; where they do not, our own of the same format are replayed.
VECTORS = SHARED if SHARED.is_dir() else SAMPLES

# The components that the README of the vectors names.
COMPONENTS = frozenset(
    {
        "circuit_breaker",
        "sliding_window",
        "limiter_gcra",
        "limiter_token_bucket",
        "limiter_property",
        "limiter_fairness",
        "retry_backoff",
        "retry_after_parse",
        "retry_deadline",
        "retry_eligibility",
        "retry_cancel",
        "idempotency",
        "retry_budget_finagle",
        "ratelimit_headers",
    }
)


def backoff(**step: Any) -> dict[str, Any]:
    """Return a vector of one row of the backoff."""
    return {
        "id": "T-1",
        "component": "retry_backoff",
        "title": "t",
        "config": {"base_s": 1, "cap_s": 4},
        "steps": [step],
    }


def played(tmp_path: Path, *vectors: dict[str, Any], **head: Any) -> Report:
    """Replay a file of ``vectors``."""
    file = tmp_path / "some.json"
    file.write_text(json.dumps({"format": FORMAT, "count": len(vectors), "vectors": list(vectors)} | head))
    return replay([file])


def test_all_vectors_pass() -> None:
    """All of it behaves as the vectors say."""
    report = replay([VECTORS])
    assert report.failures == []
    assert report.passed >= 8


def test_our_own_vectors_pass() -> None:
    """Our own vectors use what the README defines and the others do not: they pass, too."""
    report = replay([SAMPLES])
    assert report.failures == []
    assert report.passed == 13


def test_every_component_is_known() -> None:
    """Each component of the README is offered."""
    assert sorted(COMPONENTS) == sorted(OFFERED)


def test_the_command_ends_with_the_count() -> None:
    """The command's last line is the count and nothing else."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.vectors", str(SAMPLES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["13 passed, 0 failed"]


def test_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command exits with 1 when a vector failed, which it names, and with 2 when it was given nothing to do."""
    played(tmp_path, backoff(attempt=1, expect={"delay_s": 2}))
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "FAILED some.json T-1 (t): step 1: delay_s: got 1.0, want 2",
        "0 passed, 1 failed",
    ]
    assert main([]) == 2


@pytest.mark.parametrize(
    ("component", "config", "step", "wrong"),
    [
        ("retry_backoff", {"base_s": 1}, {"attempt": 2}, {"delay_s": 1}),
        ("retry_backoff", {"base_s": 1, "jitter": "full"}, {"attempt": 2}, {"min_s": 1}),
        ("retry_backoff", {"base_s": 1, "jitter": "full"}, {"attempt": 2}, {"max_s": 4}),
        ("retry_after_parse", {"now": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"header": "soon"}, {"delay_s": 0}),
        ("retry_after_parse", {"now": "Sun, 06 Nov 1994 08:49:37 GMT"}, {"header": "0"}, {"delay_s": None}),
        ("retry_deadline", {"deadline_s": 3}, {"took_s": 1}, {"remaining_for_retry_incl_backoff_s": 1}),
        ("retry_deadline", {"deadline_s": 3, "backoff_s": [1]}, {"t": 0, "fail": True}, {"next": "sleep 2"}),
        ("retry_deadline", {"deadline_s": 3, "backoff_s": [1]}, {"t": 0, "fail": True}, {"next": "stop: deadline"}),
        ("retry_deadline", {"deadline_s": 3, "backoff_s": [3]}, {"t": 0, "fail": True}, {"next": "sleep 3"}),
        ("retry_eligibility", {}, {"method": "GET", "status": 503}, {"retry": False}),
        ("retry_eligibility", {}, {"method": "POST", "error": "connection lost after send"}, {"retry": True}),
        ("retry_eligibility", {"header": "x-should-retry"}, {"status": 500, "header": "false"}, {"retry": True}),
        ("retry_cancel", {"attempts": 2}, {"op": "start"}, {"attempts_total": 2}),
        ("retry_cancel", {"attempts": 2}, {"op": "start"}, {"raises": "CancelledError"}),
    ],
)
def test_a_wrong_expectation_fails(
    tmp_path: Path, component: str, config: dict[str, Any], step: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """Every component is really asked: an expectation that is not met fails its vector."""
    vector = {"id": "T-2", "component": component, "config": config, "steps": [{**step, "expect": wrong}]}
    report = played(tmp_path, vector)
    assert report.passed == 0
    assert len(report.failures) == 1
    assert f"{next(iter(wrong))}: got" in report.failures[0]


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        ({"component": "tea_leaves", "steps": []}, "unknown component 'tea_leaves'"),
        ({"steps": []}, "unknown component None"),
        (backoff(attempt=1, op="stir", expect={"delay_s": 1}), "unknown operation 'stir'"),
        (backoff(attempt=1, expect={"taste": 1}), "unknown expectation: taste"),
        (backoff(attempt=1, leaf="green", expect={"delay_s": 1}), "unknown field in a step: leaf"),
        ({**backoff(attempt=1, expect={"delay_s": 1}), "config": {"pot": 1}}, "unknown field in config: pot"),
        (backoff(attempt=1), "nothing is expected"),
        ({**backoff(), "steps": []}, "nothing is expected"),
        (backoff(attempt=1, jitter="equal", expect={"delay_s": 1}), "jitter 'equal' is not in the README"),
        (backoff(attempt=1, jitter="full", expect={"delay_s": 1}), "delay_s: nothing to compare with 1"),
        (backoff(expect={"delay_s": 1}), "KeyError: 'attempt'"),
        (
            {"component": "retry_eligibility", "steps": [{"error": "bad luck", "expect": {"retry": False}}]},
            "KeyError: 'bad luck'",
        ),
        (
            {"component": "retry_eligibility", "steps": [{"status": 500, "header": "true", "expect": {"retry": True}}]},
            "no config that names the header",
        ),
        (
            {"component": "retry_cancel", "steps": [{"op": "cancel", "expect": {"attempts_total": 0}}]},
            "cancel before start",
        ),
        (
            {
                "component": "retry_after_parse",
                "config": {"now": "today"},
                "steps": [{"header": "1", "expect": {"delay_s": 1}}],
            },
            "now 'today' is not an HTTP-date",
        ),
    ],
)
def test_what_the_readme_does_not_define_fails(tmp_path: Path, vector: dict[str, Any], reason: str) -> None:
    """An unknown component, operation, field or word is a failure that says what it is, never a silent skip."""
    report = played(tmp_path, vector, backoff(attempt=1, expect={"delay_s": 1}))
    assert report.passed == 1
    assert len(report.failures) == 1
    assert reason in report.failures[0]


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        ({"format": "buoy-vectors/2"}, "not a file of format"),
        ({"vectors": []}, "holds no"),
        ({"vectors": [1]}, "holds no"),
    ],
)
def test_a_file_that_is_none_fails(tmp_path: Path, head: dict[str, Any], reason: str) -> None:
    """A file of another format, or without vectors, is one failure."""
    report = played(tmp_path, backoff(attempt=1, expect={"delay_s": 1}), **head)
    assert (report.passed, len(report.failures)) == (0, 1)
    assert reason in report.failures[0]


def test_a_path_without_vectors_fails(tmp_path: Path) -> None:
    """A missing file, a folder without vectors and a file that is no JSON each fail: a typo must not look green."""
    empty, broken = tmp_path / "empty", tmp_path / "broken.json"
    empty.mkdir()
    broken.write_text("{")
    report = replay([tmp_path / "missing.json", empty, broken])
    assert (report.passed, len(report.failures)) == (0, 3)


def test_a_folder_is_read_in_depth(tmp_path: Path) -> None:
    """All files of a folder count, those of its folders included, and notes are never input."""
    (tmp_path / "deep").mkdir()
    played(tmp_path, {**backoff(attempt=1, note="a", expect={"delay_s": 1}), "note": "b"})
    played(tmp_path / "deep", backoff(attempt=1, expect={"delay_s": 1}))
    assert list(replay([tmp_path]).lines()) == ["2 passed, 0 failed"]


@pytest.mark.parametrize(
    ("got", "want", "expected"),
    [
        (1.0000009, 1, True),
        (1.0000011, 1, False),
        (0.0000009, 0, True),
        (0.0000011, 0, False),
        (1_000_000.9, 1_000_000, True),
        (1_000_001.1, 1_000_000, False),
        (-2.000001, -2, True),
        (3, 3.0, True),
        (True, 1, False),
        (1, True, False),
        (None, 0, False),
        (0, None, False),
        (None, None, True),
        (False, False, True),
        ("a", "a", True),
        ("a", "A", False),
        ("1", 1, False),
        ([1.0000001, "k"], [1, "k"], True),
        ([1], [1, 1], False),
        ({"q": 1.0000001}, {"q": 1}, True),
        ({"q": 1}, {"q": 1, "w": 2}, False),
        (float("nan"), 1, False),
    ],
)
def test_comparing(got: object, want: object, expected: bool) -> None:  # noqa: FBT001
    """Numbers compare with a tolerance of ``1e-6 * max(1, |want|)``, all else exactly; ``null`` is never 0."""
    assert equal(got, want) is expected


@pytest.mark.parametrize(
    ("want", "passed"), [("sleep 1.5", 1), ("sleep 1.50", 1), ("sleep 1.500001", 1), ("sleep 1.6", 0), ("wait 1.5", 0)]
)
def test_the_seconds_of_a_sleep_are_a_number(tmp_path: Path, want: str, passed: int) -> None:
    """``"sleep <s>"`` is compared by its seconds, however they are written."""
    step = {"t": 0, "fail": True, "expect": {"next": want}}
    config = {"deadline_s": 3, "backoff_s": [1.5]}
    assert played(tmp_path, {"component": "retry_deadline", "config": config, "steps": [step]}).passed == passed
