"""Faults that are not yet told as they should be. A row that begins to pass fails here, and moves into the table."""

import gzip
from typing import Any

import pytest

from tests.integration.http.fault_table.row import ANSWERED, BROKEN, Becomes, Row
from tests.integration.http.fault_table.wire import at_once, sized
from tests.integration.http.test_fault_table import met
from tests.support.telemetry import Observed

_PACKED = gzip.compress(b"[7]", mtime=0)
_TEXT = gzip.compress(bytes(range(65, 91)) * 100, mtime=0)

HALF = "aiohttp 3.14 takes a gzip stream for whole wherever it breaks off, so half a result looks like one"
NAME = "aiohttp 3.14 does not know x-gzip, which is another name for gzip (RFC 9110 section 8.4.1.3)"


def gap(fault: str, coding: bytes, body: bytes, becomes: Becomes, reason: str) -> Any:
    """Return a row that does not hold yet, and why."""
    row = at_once(fault, sized(body, b"Content-Encoding: " + coding), becomes)
    return pytest.param(row, marks=pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason), id=fault)


GAPS = [
    gap("gzip without its end", b"gzip", _PACKED[:-8], BROKEN, HALF),
    gap("gzip that breaks off", b"gzip", _TEXT[:-20], BROKEN, HALF),
    gap("x-gzip", b"x-gzip", _PACKED, ANSWERED, NAME),
]


@pytest.mark.parametrize("row", GAPS)
async def test_a_gap_is_still_there(row: Row, observed: Observed) -> None:
    """A POST comes to something else than it should."""
    assert row.becomes.write is not None
    async with row.stage(row.becomes.write) as scene:
        assert row.becomes.write == await met(row, "POST", scene, observed)
