"""The page of faults: fresh, complete, and a table throughout."""

from tests.integration.http.fault_table import SECTIONS
from tests.support.repository import ROOT
from tools import faults


def test_the_page_is_fresh() -> None:
    """What the repository shows is what the table says, and so what the tests measure."""
    assert faults.faults() == (ROOT / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")


def test_the_page_has_every_fault_once() -> None:
    """Within a section no two rows speak of the same fault, and each is a line of the page."""
    lines = faults.faults().splitlines()
    for section in SECTIONS:
        named = [fault for fault, _ in section.lines()]
        assert len(named) == len(set(named))
        assert [fault for fault in named if not any(line.startswith(f"| {fault} | ") for line in lines)] == []


def test_the_tables_are_tables() -> None:
    """Every line of a table has as many cells as its head."""
    rows = [line for line in faults.faults().splitlines() if line.startswith("|")]
    assert {10} == {line.count("|") for line in rows}
