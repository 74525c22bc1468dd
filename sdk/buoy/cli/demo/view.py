"""The live view: the figures that the receiver computed from the exported OTLP, on a terminal or as plain lines."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.request import urlopen

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

Figures = Mapping[str, Any]

# Plain lines come less often than a terminal is redrawn.
_PLAIN = 2.0
REDRAW = 0.5


def fetch(port: int) -> Figures:
    """Return the receiver's present figures."""
    with urlopen(f"http://127.0.0.1:{port}/figures", timeout=5) as answer:  # our own process
        figures: Figures = json.load(answer)
        return figures


class View:
    """Shows figures as they come: redrawn in place on a terminal, else a line every two seconds."""

    def __init__(self, seconds: float) -> None:
        self._console = Console()
        self._seconds = seconds
        self._begun = time.monotonic()
        self._last = 0.0
        self._live = Live(console=self._console, auto_refresh=False) if sys.stdout.isatty() else None

    def open(self) -> AbstractContextManager[object]:
        """Return the context in which the terminal is ours."""
        return nullcontext() if self._live is None else self._live

    def show(self, figures: Figures) -> None:
        """Show the figures of this moment."""
        elapsed = time.monotonic() - self._begun
        if self._live is not None:
            self._live.update(panel(figures, f"{elapsed:4.0f} s of {self._seconds:.0f}"), refresh=True)
        elif elapsed - self._last >= _PLAIN:
            self._last = elapsed
            print(f"{elapsed:4.0f} s  {line(figures)}", flush=True)


def line(figures: Figures) -> str:
    """Return the figures as one line."""
    errors = sum(figures["errors"]["attempt"].values())
    return (
        f"{figures['rate']:5.1f} calls/s  success {_share(figures['success'])}  p50 {_ms(figures['latency']['p50'])}"
        f"  p95 {_ms(figures['latency']['p95'])}  attempts/call {_number(figures['attempts_per_call'])}"
        f"  failed attempts {errors}  refused {sum(figures['refusals'].values())}{_not_closed(figures['breakers'])}"
    )


def panel(figures: Figures, title: str) -> Group:
    """Return the figures as they fill a terminal."""
    results, policies = Table.grid(padding=(0, 3)), Table.grid(padding=(0, 3))
    results.add_row(
        _counts("calls", figures["calls"]),
        _counts("sends", figures["sends"]),
        _counts("failed attempts", figures["errors"]["attempt"]),
        _counts("failed calls", figures["errors"]["call"]),
        _counts("time, s", figures["time"]),
    )
    policies.add_row(
        _table("breakers", figures["breakers"]),
        _counts("refusals", figures["refusals"]),
        _counts("fallbacks", figures["fallbacks"]),
        _counts("duplicates", figures["duplicates"]),
    )
    return Group(
        Text(f"\nBuoy demo, {title}: what the exported telemetry says", style="bold"),
        Text(line(figures)),
        results,
        policies,
    )


def _counts(title: str, values: Mapping[str, float]) -> Table:
    ordered = sorted(values.items(), key=lambda item: -item[1])
    return _table(
        title, {name: f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for name, value in ordered}
    )


def _table(title: str, rows: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 1))
    for row in rows.items():
        table.add_row(*row)
    return table


def closing(figures: Figures) -> str:
    """Return the last figures as plain text."""
    parts = [
        ("calls by result", figures["calls"]),
        ("sends by kind", figures["sends"]),
        ("errors of attempts", figures["errors"]["attempt"]),
        ("errors of calls", figures["errors"]["call"]),
        ("refusals", figures["refusals"]),
        ("fallbacks", figures["fallbacks"]),
        ("duplicates", figures["duplicates"]),
        ("where the time went, s", {name: round(value, 1) for name, value in figures["time"].items()}),
    ]
    rows = [f"  {title}: " + (", ".join(f"{k} {v}" for k, v in values.items()) or "none") for title, values in parts]
    return "\n".join([line(figures), *rows])


def _not_closed(breakers: Mapping[str, str]) -> str:
    return "".join(f"  {name} {state}" for name, state in breakers.items() if state in ("open", "half_open"))


def _share(value: float | None) -> str:
    return "    -" if value is None else f"{value:5.1%}"


def _ms(value: float | None) -> str:
    return "   - ms" if value is None else f"{value * 1000:4.0f} ms"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
