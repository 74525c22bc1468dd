"""The page of faults, from the table that the tests measure: what becomes of a call when the other side misbehaves."""

from collections.abc import Callable, Iterable, Sequence

from buoy.outcome import Outcome
from tests.integration.http.fault_table import SECTIONS
from tests.integration.http.fault_table.row import Becomes, Ending, Section

_HEAD = """\
<!-- Generated from tests/integration/http/fault_table by `make generate`; edit that. -->
# Faults

What becomes of a call when the network or the provider misbehaves. Each row is measured, not claimed:
`tests/integration/http/test_fault_table.py` lets it happen on a bare socket to a GET, which is safe to repeat, and to a
POST, which is not. Where they differ, the cell says GET / POST. Two tries are allowed, and the breaker is off. What is
valid HTTP is said by aiohttp's compiled parser, which its wheels have.

- **raises** is the exception, or *answered*. An `OutcomeUnknown` has the failure itself as its `cause`.
- **sends** and **arrived** are per try: what `meta.sends` and the spans count, and what the server saw the first byte
  of. Two sends in one try are aiohttp's own repetition of a GET.
- **retried** says whether a second try follows.
- **connection** says whether the next call finds it in the pool. In every row that call works, and none is leaked."""


def faults() -> str:
    """Return the page: every fault with what becomes of a GET and of a POST."""
    return "\n\n".join([_HEAD, *[_section(section) for section in SECTIONS]]) + "\n"


def _section(section: Section) -> str:
    rows = [(fault, *_cells(becomes)) for fault, becomes in section.lines()]
    return f"## {section.title}\n\n{section.text}\n\n" + _table(("fault", *_COLUMNS), rows)


def _cells(becomes: Becomes) -> list[str]:
    return [_both(cell(becomes.read), cell(becomes.write or becomes.read)) for cell in _COLUMNS.values()]


def _connection(ending: Ending) -> str:
    if ending.outcome is Outcome.NOT_SENT:
        return "none"
    return "kept" if ending.kept else "dropped"


def _both(read: str, write: str) -> str:
    return read if read == write else f"{read or '-'} / {write or '-'}"


def _code(value: object) -> str:
    return "" if value is None else f"`{value}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["-"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


_COLUMNS: dict[str, Callable[[Ending], str]] = {
    "raises": lambda ending: "*answered*" if ending.raises is None else f"`{ending.raises.__name__}`",
    "error.type": lambda ending: _code(ending.error_type),
    "outcome": lambda ending: _code(ending.outcome),
    "reason": lambda ending: _code(ending.reason),
    "sends": lambda ending: f"{ending.sends:g}",
    "arrived": lambda ending: f"{ending.arrived:g}",
    "retried": lambda ending: "yes" if ending.retried else "no",
    "connection": _connection,
}
