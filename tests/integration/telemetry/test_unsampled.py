"""Metrics do not know whether traces are sampled: every kind of outcome, counted by hand, with and without spans."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from buoy.outcome import TABLE
from tests.integration.telemetry.configured import MODES
from tests.integration.telemetry.outcomes import FAMILY, REMOTE, ROWS, Ends, Row
from tests.integration.telemetry.programs import said
from tests.integration.telemetry.sink import Labels, Sink, receiving

# How it comes that nothing is sampled: what the environment says, and whether a remote caller has decided.
UNSAMPLED: Mapping[str, tuple[Mapping[str, str], bool]] = {
    "ratio 0": ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, False),
    "always off": ({"OTEL_TRACES_SAMPLER": "always_off"}, False),
    "unsampled parent": ({}, True),
}
SAMPLED = "sampled"
COUNTED = (
    "buoy.client.calls",
    "buoy.client.call.duration",
    "buoy.client.attempt.duration",
    "buoy.client.wait.duration",
    "buoy.client.errors",
    "buoy.client.retries",
    "buoy.client.retry.abandoned",
    "buoy.client.refusals",
    "buoy.client.duplicates",
    "buoy.client.in_doubt",
    "buoy.client.fallbacks",
)


@dataclass(frozen=True)
class Played:
    """What came of all rows once."""

    sink: Sink
    parents: Mapping[str, list[str | None]]
    last: Mapping[str, Any]


@cache
def played(mode: str, how: str) -> Played:
    """Play all rows in a process of their own."""
    environment, remote = UNSAMPLED.get(how, ({}, False))
    program = f"from tests.integration.telemetry.outcomes import main; main({mode!r}, remote={remote})"
    with receiving() as sink:
        told = said(program, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url, **environment)
    return Played(sink, {line["row"]: line["parents"] for line in told[:-1]}, told[-1])


def expected() -> dict[str, Counter[Labels]]:
    """Return what must be counted, from the table alone."""
    counted: dict[str, Counter[Labels]] = {name: Counter() for name in COUNTED}
    for row in ROWS.values():
        for ends in row.ends:
            for name, labels in (*_of_call(row, ends), *_of_sends(row, ends)):
                counted[f"buoy.client.{name}"][frozenset(labels.items())] += 1
    return counted


Counts = list[tuple[str, dict[str, str | bool]]]


def _of_call(row: Row, ends: Ends) -> Counts:
    provider: dict[str, str | bool] = {"buoy.provider": row.provider}
    operation = {**provider, "buoy.operation": row.operation}
    shown = _error(ends.error if ends.fallback is None else None)
    result = "success" if ends.error is None else FAMILY[ends.error][1]
    counts: Counts = [
        ("calls", {**operation, "buoy.call.result": result}),
        ("call.duration", {**operation, "buoy.transport": row.transport, **shown}),
        *(("wait.duration", {**provider, "buoy.wait.for": wait}) for wait in ends.waits),
    ]
    if ends.error not in {None, "cancelled"}:
        counts.append(("errors", {**provider, **_error(ends.error), "buoy.error.level": "call"}))
    if ends.stop is not None:
        counts.append(("retry.abandoned", {**provider, "buoy.retry.stop_reason": ends.stop}))
    if ends.refused:
        reason: dict[str, str | bool] = {"buoy.refusal.reason": str(ends.error), "buoy.refusal.enforced": True}
        counts.append(("refusals", {**provider, **reason}))
    if ends.duplicate is not None:
        counts.append(("duplicates", {**operation, "buoy.duplicate.source": ends.duplicate}))
    if ends.fallback is not None:
        counts.append(("fallbacks", {**operation, "buoy.fallback.source": ends.fallback}))
    return counts + ([("in_doubt", operation)] if ends.doubt else [])


def _of_sends(row: Row, ends: Ends) -> Counts:
    provider: dict[str, str | bool] = {"buoy.provider": row.provider}
    operation = {**provider, "buoy.operation": row.operation}
    counts: Counts = []
    before: str | None = None
    for kind, error in ends.sends:
        counts.append(("attempt.duration", {**operation, "buoy.attempt.kind": kind, **_error(error)}))
        if error not in {None, "cancelled"}:
            counts.append(("errors", {**provider, **_error(error), "buoy.error.level": "attempt"}))
        if kind == "retry":
            counts.append(("retries", {**operation, "buoy.retry.reason": str(FAMILY[str(before)][0])}))
        before = error
    return counts


def _error(error: str | None) -> dict[str, str]:
    if error is None:
        return {}
    category, _ = FAMILY[error]
    return {"error.type": error, **({"buoy.error.category": category} if category else {"buoy.refusal.reason": error})}


def test_the_table_has_every_error_type() -> None:
    """Each error type ends some call of the table."""
    ended = {ends.error for row in ROWS.values() for ends in row.ends} - {None}
    assert {str(error) for error in TABLE} == ended == set(FAMILY)


@pytest.mark.parametrize("how", [SAMPLED, *UNSAMPLED])
@pytest.mark.parametrize("mode", MODES)
def test_metrics_are_complete(mode: str, how: str) -> None:
    """Calls, sends, waits, errors and all that policies count are those of the table, whatever is sampled."""
    sink = played(mode, how).sink
    assert played(mode, how).last == {"flushed": True}
    for name, counts in expected().items():
        assert counts == sink.numbers(name), name


@pytest.mark.parametrize("how", UNSAMPLED)
@pytest.mark.parametrize("mode", MODES)
def test_the_series_are_the_same_as_when_all_is_sampled(mode: str, how: str) -> None:
    """Also those at 0 and all gauges: no series comes or goes with sampling."""
    sampled, unsampled = played(mode, SAMPLED).sink, played(mode, how).sink
    assert sampled.metrics() == unsampled.metrics()
    for name in sampled.metrics():
        assert set(sampled.last(name)) == set(unsampled.last(name)), name


@pytest.mark.parametrize("how", [SAMPLED, *UNSAMPLED])
@pytest.mark.parametrize("mode", MODES)
def test_the_server_heard_as_many_as_were_counted(mode: str, how: str) -> None:
    """The requests that the server read are those of the table, and their number that of the recorded durations."""
    run = played(mode, how)
    assert {name: row.heard for name, row in ROWS.items()} == {name: len(heard) for name, heard in run.parents.items()}
    unheard = sum(len(ends.sends) for row in ROWS.values() if not row.heard for ends in row.ends)
    recorded = sum(run.sink.numbers("buoy.client.attempt.duration").values())
    assert sum(row.heard for row in ROWS.values()) + unheard == recorded


@pytest.mark.parametrize("how", UNSAMPLED)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_of_an_unsampled_trace_leaves_but_its_context(mode: str, how: str) -> None:
    """No span and no exemplar is exported; each request carries its trace (the remote one, if any) as unsampled."""
    run = played(mode, how)
    assert run.sink.spans == []
    exemplars = [
        exemplar
        for name in ("call", "attempt")
        for point in run.sink.last(f"buoy.client.{name}.duration").values()
        for exemplar in point.exemplars
        if exemplar.trace_id.strip("0")
    ]
    assert exemplars == []
    parents = [parent for heard in run.parents.values() for parent in heard]
    assert {"00"} == {str(parent).split("-")[3] for parent in parents}
    traces = {str(parent).split("-")[1] for parent in parents}
    assert ({f"{REMOTE.trace_id:032x}"} == traces) is (how == "unsampled parent")


def test_attempts_of_an_unsampled_call_are_lost_whatever_the_sampler_thinks_of_them() -> None:
    """A sampler that is not parent-based is not asked about sends of a call that it dropped; metrics are complete."""
    program = (
        "from tests.integration.telemetry.outcomes import main\n"
        "from tests.integration.telemetry.configured import OnlySends\n"
        "main('service', sampler=OnlySends())\n"
    )
    with receiving() as sink:
        told = said(program, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
    assert sink.spans == []
    assert {str(parent).split("-")[3] for line in told[:-1] for parent in line["parents"]} == {"00"}
    for name, counts in expected().items():
        assert counts == sink.numbers(name), name


@pytest.mark.parametrize("mode", MODES)
def test_a_sampled_run_exports_every_span(mode: str) -> None:
    """The same table with all sampled: a span for each call and each send, and the flag 01 on every request."""
    run = played(mode, SAMPLED)
    calls = sum(len(row.ends) for row in ROWS.values())
    sends = sum(len(ends.sends) for row in ROWS.values() for ends in row.ends)
    kinds = Counter("call" if "buoy.call.safety" in span.attributes else "send" for span in run.sink.spans)
    assert {"call": calls, "send": sends} == kinds
    exported = {(span.trace_id, span.span_id) for span in run.sink.spans if "buoy.attempt.kind" in span.attributes}
    for heard in run.parents.values():
        for parent in heard:
            _, trace, span, flag = str(parent).split("-")
            assert flag == "01"
            assert (trace, span) in exported
