"""The judge: does what was reported agree with what the server saw? Imports no part of Buoy.

It reads three files and nothing else: ``server.jsonl``, what the demo server logged of the requests it read,
``callers.jsonl``, what the callers saw of their calls, and ``otlp.jsonl``, what the demo's receiver got from the SDK's
exporter. ``python -m tests.support.judge DIR`` prints the truth.

    serverlog  callerlog  otlp   the sources, each read into plain records
    contract                     what the telemetry contract promises, written down a second time
    case                         the sources side by side: which request is which span, who called
    wire  callers                the checks of log and notes against spans,
    spans  policies  times       of spans among themselves,
    metrics  breakers            of metrics against spans and among themselves
    table                        the text
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.judge import (
    breakers,
    callerlog,
    callers,
    metrics,
    otlp,
    policies,
    serverlog,
    spans,
    times,
    wire,
)
from tests.support.judge.case import Case
from tests.support.judge.table import render

CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    *wire.CHECKS,
    *callers.CHECKS,
    *spans.CHECKS,
    *policies.CHECKS,
    *times.CHECKS,
    *metrics.CHECKS,
    *breakers.CHECKS,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every difference, each naming the check that found it, and the table as text."""

    differences: list[str]
    table: str


def judge(directory: Path) -> Verdict:
    """Judge the run that left its files in ``directory``."""
    log = serverlog.load(directory / "server.jsonl")
    exported = otlp.load(directory / "otlp.jsonl")
    case = Case(log, exported, callerlog.load(directory / "callers.jsonl"))
    differences = [f"[sources] {problem}" for problem in (*log.problems, *exported.problems)]
    for name, check in CHECKS:
        differences += [f"[{name}] {difference}" for difference in check(case)]
    return Verdict(differences, render(case))
