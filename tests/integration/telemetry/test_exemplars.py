"""Exemplars, as a receiver gets them: each leads to the exported span whose duration it is.

What is exact: the value is the call's ``meta.duration``, and lies in the bucket that has the exemplar. What is not: the
span's own start and end. They are read from the wall clock a little after the call began and after it ended, while the
value comes from the loop's clock, so the two differ by what happens between; a wall clock may even be set meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.integration.telemetry import traced
from tests.integration.telemetry.configured import MODES
from tests.integration.telemetry.outcomes import ROWS
from tests.integration.telemetry.programs import said
from tests.integration.telemetry.sink import Exemplar, Labels, Point, Sink, Span, receiving
from tests.integration.telemetry.test_unsampled import SAMPLED, played

CALL, ATTEMPT = "buoy.client.call.duration", "buoy.client.attempt.duration"
KINDS = {CALL: "buoy.call.safety", ATTEMPT: "buoy.attempt.kind"}  # what only spans of that kind have
CLOCKS = 1.0  # seconds by which a span may differ, on a machine that has much else to do


@dataclass(frozen=True)
class Traced:
    """What came of the occasions."""

    sink: Sink
    calls: Mapping[str, dict[str, Any]]
    foreign: set[str]
    heard: set[tuple[str, str]]


@cache
def occasions(mode: str) -> Traced:
    """Run them in a process of their own."""
    with receiving() as sink:
        told = said(
            f"from tests.integration.telemetry.traced import main; main({mode!r})",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_SERVICE_NAME="figures",
        )
    return Traced(
        sink,
        {line["trace"]: line for line in told if "operation" in line},
        {line["foreign"] for line in told if "foreign" in line},
        {(trace, span) for line in told for trace, span in line.get("heard", ())},
    )


def exemplars(sink: Sink, metric: str) -> Iterator[tuple[Labels, Point, Exemplar]]:
    """Yield the exemplars of all exports: each begins anew."""
    for export in sink.exports:
        for labels, point in export.get(metric, {}).items():
            for exemplar in point.exemplars:
                yield labels, point, exemplar


def kept(sink: Sink, name: str) -> dict[tuple[str, str], Span]:
    """Return the exported spans of a kind by trace and span id."""
    return {(span.trace_id, span.span_id): span for span in sink.spans if KINDS[name] in span.attributes}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("metric", KINDS)
def test_each_outcome_has_an_exemplar_that_leads_to_its_span(mode: str, metric: str) -> None:
    """Success, failures, retry, redirect and resend: the span is of that kind and has the attributes of the series."""
    sink = played(mode, SAMPLED).sink
    spans = kept(sink, metric)
    led: set[Labels] = set()
    for labels, _, exemplar in exemplars(sink, metric):
        span = spans[exemplar.trace_id, exemplar.span_id]
        attributes = dict(span.attributes)
        if "buoy.error.masked" in attributes:  # the record of what a fallback answered has no error
            attributes.pop("error.type", None)
        told = {**dict.fromkeys(("error.type", "buoy.error.category"), None), **dict(labels)}
        assert {name: attributes.get(name) for name in told} == told
        led.add(labels)
    assert set(sink.numbers(metric)) == led
    assert len(led) > len(ROWS) - 5  # so that there was something to lead to


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("metric", KINDS)
def test_the_value_lies_in_its_bucket_and_is_the_duration(mode: str, metric: str) -> None:
    """One exemplar at most for a bucket that has something; its value is about the span's duration."""
    sink = played(mode, SAMPLED).sink
    spans = kept(sink, metric)
    for _, point, exemplar in exemplars(sink, metric):
        assert point.buckets[point.bucket_of(exemplar.value)] > 0
        span = spans[exemplar.trace_id, exemplar.span_id]
        assert span.seconds == pytest.approx(exemplar.value, abs=CLOCKS)
    for export in sink.exports:
        for point in export.get(metric, {}).values():
            buckets = [point.bucket_of(exemplar.value) for exemplar in point.exemplars]
            assert sorted(set(buckets)) == sorted(buckets)


@pytest.mark.parametrize("mode", MODES)
def test_the_value_of_a_call_is_exactly_what_the_caller_was_told(mode: str) -> None:
    """Trace and value of a call's exemplar are those of one ``meta``, also where records came in batches."""
    run = occasions(mode)
    found = {exemplar.trace_id: exemplar.value for _, _, exemplar in exemplars(run.sink, CALL)}
    assert found == {trace: run.calls[trace]["duration"] for trace in found}
    assert {"plain", "inside"} == {run.calls[trace]["operation"] for trace in found}


@pytest.mark.parametrize("mode", MODES)
def test_attempts_lead_to_what_the_server_was_told(mode: str) -> None:
    """An attempt's exemplar leads to a ``traceparent`` that the server read, and took no longer than its call."""
    run = occasions(mode)
    kept_ones = [exemplar for _, _, exemplar in exemplars(run.sink, ATTEMPT)]
    found = {(exemplar.trace_id, exemplar.span_id) for exemplar in kept_ones}
    assert found <= run.heard
    assert all(exemplar.value <= run.calls[exemplar.trace_id]["duration"] for exemplar in kept_ones)
    assert found <= set(kept(run.sink, ATTEMPT))
    assert found


@pytest.mark.parametrize("mode", MODES)
def test_a_foreign_span_is_never_taken_for_the_calls(mode: str) -> None:
    """Below a foreign span the exemplar has its trace and the id of the call; nothing else leads to such a trace."""
    run = occasions(mode)
    foreign = {(span.trace_id, span.span_id) for span in run.sink.spans if span.scope == "foreign"}
    for metric in KINDS:
        led = {
            dict(labels)["buoy.operation"]
            for labels, _, exemplar in exemplars(run.sink, metric)
            if exemplar.trace_id in run.foreign
        }
        assert {"inside"} == led
        assert not foreign & {(found.trace_id, found.span_id) for _, _, found in exemplars(run.sink, metric)}


@pytest.mark.parametrize("mode", MODES)
def test_an_unsampled_call_has_none(mode: str) -> None:
    """Not even where a sampled span is current when its record is handed over; the record itself is there."""
    run = occasions(mode)
    for metric in KINDS:
        series = {labels for labels in run.sink.numbers(metric) if ("buoy.operation", "unsampled") in labels}
        assert len(series) == 1
        assert [exemplar for labels, _, exemplar in exemplars(run.sink, metric) if labels in series] == []


@pytest.mark.parametrize("mode", MODES)
def test_two_loops_lead_each_to_its_own(mode: str) -> None:
    """Calls of two loops are one series; what it leads to is a call of one of them, and all of them are counted."""
    run = occasions(mode)
    several = {labels: point for labels, point in run.sink.last(CALL).items() if ("buoy.provider", "several") in labels}
    assert [point.value for point in several.values()] == [traced.LOOPS * traced.MANY]
    led = {exemplar.trace_id for labels, _, exemplar in exemplars(run.sink, CALL) if labels in several}
    assert led
    assert led <= set(run.calls) & {trace for trace, _ in kept(run.sink, CALL)}
