"""Writes the files that are made from code: the references. ``--check`` only says whether they are fresh.

Every generated page is named in ``PAGES``, with the function that returns its text. The text depends on the code alone:
no date, no version, no order of a set.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from buoy import contract
from buoy.contract import ATTRIBUTES, EVENTS, METRICS, SPANS
from buoy.outcome import TABLE
from tools.delivery import delivery
from tools.doctor import doctor
from tools.faults import faults

ROOT = Path(__file__).resolve().parents[1]
HOW = "make generate"


def telemetry() -> str:
    """Return the reference of every error type, metric, span, attribute and event."""
    parts = (_HEAD, _errors(), _spans(), _metrics(), _attributes(), _events())
    return "\n\n".join(parts) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/delivery.md": delivery,
    "docs/reference/doctor.md": doctor,
    "docs/reference/faults.md": faults,
    "docs/reference/telemetry.md": telemetry,
}


def main(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Write the pages, or with ``--check`` compare them. Returns 1 when one is stale, 2 for wrong arguments."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: python -m tools.generate [--check]", file=sys.stderr)
        return 2
    made = {root / name: page() for name, page in PAGES.items()}
    stale = [path for path, text in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if arguments:
            print(f"{path.relative_to(root)} is not what the code says; run: {HOW}", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
            print(f"wrote {path.relative_to(root)}")
    return 1 if stale and arguments else 0


_HEAD = f"""\
<!-- Generated from sdk/buoy/contract.py and sdk/buoy/outcome.py by `{HOW}`; edit those. -->
# Telemetry reference

Everything that Buoy emits, under the scope `{contract.SCOPE}` and the schema {contract.SCHEMA_URL}. Times are seconds.
What is never in any of it: arguments, results, bodies, header values, tokens, idempotency keys, texts of exceptions."""


def _errors() -> str:
    rows = [
        (
            f"`{error}`",
            "" if facts.category is None else f"`{facts.category}`",
            f"`{facts.result}`",
            str(facts.breaker),
            facts.sentence,
            facts.advice,
        )
        for error, facts in TABLE.items()
    ]
    return (
        "## Errors\n\n"
        "`error.type` is the key of everything else. A failure has a category; without one it is a refusal (we did\n"
        "not send) or a cancellation, and `buoy.refusal.reason` repeats the type. The sentence is the description of\n"
        "the span's status. `cancelled` wins over everything on a call; else the error of the last attempt names it;\n"
        "a refusal does only where no attempt failed.\n\n"
        + _table(
            ("error.type", "category", "buoy.call.result", "circuit breaker", "status description", "advice"), rows
        )
    )


def _spans() -> str:
    rows = [(kind.key, f"`{kind.name}`", kind.kind, kind.ends) for kind in SPANS]
    parts = [
        "## Spans\n\n"
        "The status is unset on success and on cancellation, else `ERROR`. A call that a retry repaired is a\n"
        "success. The attempt's `traceparent` goes to the provider (not with `propagate=False`); baggage and\n"
        "tracestate never do.\n\n" + _table(("span", "name", "kind", "ends when"), rows)
    ]
    for kind in SPANS:
        start, end = _names(kind.start), _names(kind.end)
        parts.append(f"**{kind.key}**, at the start: {start}.\n\n**{kind.key}**, later, where known: {end}.")
    return "\n\n".join(parts)


def _metrics() -> str:
    rows = [
        (f"`{row.name}`", str(row.instrument), f"`{row.unit}`", _names(row.attributes), str(row.limit), row.answers)
        for row in METRICS
    ]
    prometheus = [(f"`{row.name}`", f"`{row.prometheus}`") for row in METRICS]
    buckets = [(f"`{row.name}`", ", ".join(f"{b:g}" for b in row.boundaries)) for row in METRICS if row.boundaries]
    head = (
        "## Metrics\n\n"
        "Counts never fall while the process lives, and those of a declared operation start at 0. Attributes of\n"
        f"errors are there on failure only. Beyond {contract.SERIES_LIMIT} attribute sets a metric keeps provider and\n"
        f"error and folds the rest into `{contract.OTHER}`, which `{contract.OVERFLOWS.name}` counts."
    )
    return "\n\n".join(
        (
            head,
            _table(("metric", "instrument", "unit", "attributes", "sets at most", "answers"), rows),
            "In Prometheus:\n\n" + _table(("metric", "Prometheus"), prometheus),
            "Buckets, in seconds:\n\n" + _table(("histogram", "boundaries"), buckets),
        )
    )


def _attributes() -> str:
    rows = [
        (f"`{row.name}`", str(row.type), _names(row.values) if row.values else row.bound, f"`{row.example}`")
        for row in ATTRIBUTES.values()
    ]
    return "## Attributes\n\n" + _table(("attribute", "type", "values", "example"), rows)


def _events() -> str:
    rows = [(f"`{row.name}`", row.level, row.span, _names(row.fields)) for row in EVENTS]
    return (
        "## Events\n\n"
        "Rare facts: logs of the logger `buoy`, and events on the span that is named. An event's name is its message.\n"
        "The same event of the same provider and error type is logged once per 10 s at most. Logs also have, where\n"
        f"known: {_names(contract.COMMON_FIELDS)}; `suppressed` counts those left out.\n\n"
        + _table(("event", "log level", "on the span", "fields"), rows)
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["-"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
