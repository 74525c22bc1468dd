"""The table of faults: what a server can do to a call, and what becomes of it. ``test_fault_table`` measures it."""

from collections.abc import Sequence

from tests.integration.http.fault_table.bodies import CHUNKS, CODINGS, ERRORS, LENGTH
from tests.integration.http.fault_table.connections import BREAKING_OFF, EARLY, IDLE
from tests.integration.http.fault_table.heads import GARBAGE, HEADERS, STATUS
from tests.integration.http.fault_table.places import BEFORE
from tests.integration.http.fault_table.row import Section
from tests.integration.http.fault_table.slow import SLOW

SECTIONS: Sequence[Section] = (
    BEFORE,
    BREAKING_OFF,
    IDLE,
    EARLY,
    GARBAGE,
    STATUS,
    HEADERS,
    LENGTH,
    CHUNKS,
    CODINGS,
    ERRORS,
    SLOW,
)
