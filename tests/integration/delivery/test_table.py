"""Every row of the table of deliveries is measured: real processes, a real receiver, and figures that add up."""

import pytest

from tests.integration.delivery.conftest import Measured
from tests.integration.delivery.row import Row
from tests.integration.delivery.table import SECTIONS

ROWS = [row for section in SECTIONS for row in section.rows]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.situation)
def test_what_becomes_of_telemetry(row: Row, measured: Measured) -> None:
    """What is made arrives or is counted as lost, by reason; figures are those of the page."""
    assert row.expected == measured[row.situation].result()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.situation)
def test_the_figures_add_up(row: Row) -> None:
    """Each item that was made has arrived, was counted as lost, or is admitted to be gone unseen."""
    assert [fate for fate in (row.expected.spans, row.expected.calls, row.expected.logs) if not fate.adds_up] == []


def test_situations_are_told_apart() -> None:
    """No two rows have one name."""
    names = [row.situation for row in ROWS]
    assert sorted(set(names)) == sorted(names)
