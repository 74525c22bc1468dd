"""The judge: does what was reported agree with what the server saw? Imports no part of Buoy.

It reads two files and nothing else: ``server.jsonl``, what the demo server logged of the requests it read, and
``otlp.jsonl``, what its receiver got from the SDK's exporter. ``python -m tests.support.judge DIR`` prints the truth.

    serverlog  otlp      the two sources, each read into plain records
    contract             what the telemetry contract promises, written down a second time
    case                 both sources side by side: which request is which span
    wire  spans  metrics the checks: log against spans, spans among themselves, metrics against spans
    table                the text
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.judge import metrics, otlp, serverlog, spans, wire
from tests.support.judge.case import Case
from tests.support.judge.table import render

CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (*wire.CHECKS, *spans.CHECKS, *metrics.CHECKS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every difference, each naming the check that found it, and the table as text."""

    differences: list[str]
    table: str


def judge(directory: Path) -> Verdict:
    """Judge the run that left its two files in ``directory``."""
    log = serverlog.load(directory / "server.jsonl")
    exported = otlp.load(directory / "otlp.jsonl")
    case = Case(log, exported)
    differences = [f"[sources] {problem}" for problem in (*log.problems, *exported.problems)]
    for name, check in CHECKS:
        differences += [f"[{name}] {difference}" for difference in check(case)]
    return Verdict(differences, render(case))
