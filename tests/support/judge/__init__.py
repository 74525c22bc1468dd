"""The judge: does what was reported agree with what the server saw? Imports no part of Buoy.

It reads four files and nothing else: ``server.jsonl``, what the demo's provider logged of the requests it read,
``depot.jsonl``, what another server logged to which that one redirects, ``callers.jsonl``, what the callers saw of
their calls, and ``otlp.jsonl``, what the demo's receiver got from the SDK's exporter. ``python -m tests.support.judge
DIR`` prints the truth.

    serverlog  callerlog  otlp   the sources, each read into plain records
    contract                     what the telemetry contract promises, written down a second time
    case                         the sources side by side: which request is which span, who called
    wire  kinds  redirects       the checks of logs against spans,
    callers  streams             of notes against spans,
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
    kinds,
    metrics,
    otlp,
    policies,
    redirects,
    serverlog,
    spans,
    streams,
    times,
    wire,
)
from tests.support.judge.case import Case
from tests.support.judge.table import render

CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    *wire.CHECKS,
    *kinds.CHECKS,
    *redirects.CHECKS,
    *callers.CHECKS,
    *streams.CHECKS,
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
    log = serverlog.load(directory / "server.jsonl", serverlog.SHOP)
    depot = serverlog.load(directory / "depot.jsonl", serverlog.DEPOT)
    exported = otlp.load(directory / "otlp.jsonl")
    case = Case(log, depot, exported, callerlog.load(directory / "callers.jsonl"))
    differences = [f"[sources] {problem}" for problem in (*log.problems, *depot.problems, *exported.problems)]
    for name, check in CHECKS:
        differences += [f"[{name}] {difference}" for difference in check(case)]
    return Verdict(differences, render(case))
