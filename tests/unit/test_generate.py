"""The generator: its pages are complete, the same every time and fresh, and it says when they are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from buoy import contract
from buoy.outcome import TABLE
from tests.support.repository import ROOT
from tools import generate


def test_the_committed_pages_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    """What the repository has is what the code says now."""
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_the_reference_has_every_name() -> None:
    """Every error type with its advice, and every metric, attribute and event has its line."""
    page = generate.telemetry()
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    names = {
        *TABLE,
        *contract.ATTRIBUTES,
        *(metric.name for metric in contract.METRICS),
        *(event.name for event in contract.EVENTS),
    }
    assert set() == {str(name) for name in names} - {row.strip("| `") for row in rows}
    assert [facts.advice for facts in TABLE.values() if facts.advice not in page] == []
    assert [metric.prometheus for metric in contract.METRICS if metric.prometheus not in page] == []
    assert [span.name for span in contract.SPANS if span.name not in page] == []


def test_the_page_says_that_it_is_generated() -> None:
    """The first line tells a reader what to edit, and how to make the page anew."""
    first = generate.telemetry().splitlines()[0]
    assert "Generated from sdk/buoy/contract.py" in first
    assert generate.HOW in first


def test_tables_are_tables() -> None:
    """Every line of a table has as many cells as its head."""
    lines = generate.telemetry().splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("| - |")]
    assert heads
    for head in heads:
        rows = [lines[head - 1]]
        for line in lines[head:]:
            if not line.startswith("|"):
                break
            rows.append(line)
        assert {rows[0].count(" | ")} == {row.count(" | ") for row in rows}


def test_the_output_does_not_depend_on_hashes() -> None:
    """Two processes with different hash seeds write the same page."""
    program = "import sys; from tools import generate; sys.stdout.write(generate.telemetry())"
    pages = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])},
            check=True,
            capture_output=True,
            text=True,
            encoding="utf-8",
        ).stdout
        for seed in ("1", "2")
    }
    assert {generate.telemetry()} == pages


def test_a_stale_page_is_told_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--check`` fails, names the page and what to do, and changes nothing; a plain run writes it."""
    page = tmp_path / "docs" / "reference" / "telemetry.md"
    assert generate.main(["--check"], tmp_path) == 1
    assert not page.exists()
    assert capsys.readouterr().err == "".join(
        f"{name} is not what the code says; run: make generate\n" for name in generate.PAGES
    )
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    page.write_text(page.read_text(encoding="utf-8").replace("timeout", "time-out"), encoding="utf-8")
    assert generate.main(["--check"], tmp_path) == 1
    capsys.readouterr()
    assert generate.main([], tmp_path) == 0
    assert capsys.readouterr().out == "wrote docs/reference/telemetry.md\n"
    assert page.read_text(encoding="utf-8") == generate.telemetry()


def test_a_wrong_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Anything but ``--check`` is answered with the usage, and nothing is written."""
    assert generate.main(["--chek"]) == 2
    assert "usage" in capsys.readouterr().err
