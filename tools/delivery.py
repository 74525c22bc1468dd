"""The page of deliveries, from the table that the tests measure: what becomes of telemetry however a service ends."""

from collections.abc import Iterable, Sequence

from tests.integration.delivery.row import Fate, Section
from tests.integration.delivery.table import SECTIONS

_HEAD = """\
<!-- Generated from tests/integration/delivery by `make generate`; edit that. -->
# Delivery

What becomes of telemetry when processes end, fork and are killed, and when the receiver is slow, full or gone. Each row
is measured, not claimed: `tests/integration/delivery/test_table.py` runs it with real processes and a real OTLP
receiver, and compares what has arrived with the calls that the called server saw.

- **spans**: two of each call, for it and its one attempt. **Calls counted**: `buoy.client.calls` in the final counters
  of all processes. **Logs**: one of each call that failed.
- A cell says how many of those that were made have arrived. What did not is *counted* by reason, in
  `buoy.telemetry.dropped`, in its log and in the drain report; or it is *unseen*: nobody was left to count it.
- **processes** are told apart by `service.instance.id`. Each has counters of its own, which begin at 0.

How to set up each kind of service: [Forking and ending](../how-to/forking.md)."""


def delivery() -> str:
    """Return the page: every situation with what becomes of each signal."""
    return "\n\n".join([_HEAD, *[_section(section) for section in SECTIONS]]) + "\n"


def _section(section: Section) -> str:
    rows = [
        (
            row.situation,
            _cell(row.expected.spans),
            _cell(row.expected.calls),
            _cell(row.expected.logs),
            str(row.expected.instances),
            row.note,
        )
        for row in section.rows
    ]
    head = ("situation", "spans", "calls counted", "logs", "processes", "note")
    return f"## {section.title}\n\n{section.text}\n\n" + _table(head, rows)


def _cell(fate: Fate) -> str:
    if not fate.made:
        return "-"
    parts = [f"all {fate.made}" if fate.arrived == fate.made else f"{fate.arrived} of {fate.made}"]
    for reasons, count in fate.lost.items():
        named = " or ".join(f"`{reason}`" for reason in reasons.split(" or "))
        parts.append(f"{count} counted: {named}")
    if fate.unseen:
        parts.append(f"{fate.unseen} unseen")
    return "; ".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["-"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
