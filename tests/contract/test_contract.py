"""The contract and the code say the same: nothing is emitted that it does not list, nothing is listed in vain."""

import asyncio
import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.metrics.export import Gauge
from opentelemetry.trace import SpanKind

from buoy import contract, outcome
from buoy.contract import ATTRIBUTES, EVENTS, METRICS, SPANS, Attribute, Instrument, Metric, Span, Type
from buoy.pipeline import run
from buoy.telemetry import logs as log_module
from tests.contract import http, losing, policies, scenarios, unplugging
from tests.contract.collected import Collected, Starts, kind_of, name_of
from tests.support import virtual_time
from tests.support.telemetry import logs, observe

TYPES = {Type.STRING: str, Type.INT: int, Type.DOUBLE: float, Type.BOOL: bool}
REFUSALS = [error for error, facts in outcome.TABLE.items() if facts.result is outcome.CallResult.REFUSED]
# What each log says, if known: of a call, of a provider, or of the process.
ABOUT_A_PROVIDER = {contract.BREAKER_CHANGED.name, contract.LIMITER_PAUSED.name, contract.CALLS_CUT.name}
ABOUT_THE_PROCESS = {contract.OVERFLOW.name, contract.LOST.name, contract.DRAINED.name, contract.UNPLUGGED.name}
SPAN_KINDS = {"INTERNAL": SpanKind.INTERNAL, "CLIENT": SpanKind.CLIENT}


@pytest.fixture(scope="module")
def collected() -> Iterator[Collected]:
    """Run all scenarios once, then one call more with every cap reached."""
    clock = itertools.count(0.0, 6.0)
    with pytest.MonkeyPatch.context() as patch, observe(patch) as observed, logs() as seen:
        # The longest wait, so that it is one worth an event; a clock of the log's own, so that some are suppressed.
        patch.setattr(run, "random", lambda: 1.0)
        patch.setattr(log_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        starts = Starts()
        observed.traces.add_span_processor(starts)
        asyncio.run(scenarios.everything())
        asyncio.run(policies.over_http())
        asyncio.run(http.everything())
        virtual_time.run(policies.in_virtual_time())
        losing.everything()
        unplugging.everything()
        with pytest.MonkeyPatch.context() as full:
            found = asyncio.run(
                scenarios.full(
                    look=observed.collected,
                    fill=lambda: full.setattr(contract, "SERIES_LIMIT", 0),
                    collect=lambda: Collected(observed, starts, seen.records),
                )
            )
        yield found


@pytest.mark.parametrize("kind", SPANS, ids=lambda span: span.key)
def test_spans_have_the_attributes_of_the_contract(kind: Span, collected: Collected) -> None:
    """Each kind of span is started with its start attributes, gets its end attributes later, and no others."""
    begun, added = collected.span_keys()[kind.key]
    assert set(kind.start) == begun
    assert set(kind.end) == added


@pytest.mark.parametrize("kind", SPANS, ids=lambda span: span.key)
def test_spans_are_named_and_typed_by_the_contract(kind: Span, collected: Collected) -> None:
    """A span's name is the contract's pattern filled with its own attributes; its kind is the contract's."""
    spans = [span for span in collected.spans if kind_of(span) == kind.key]
    assert spans
    for span in spans:
        expected = kind.name
        for name, value in (span.attributes or {}).items():
            expected = expected.replace(f"{{{name}}}", str(value))
        assert expected == span.name
        assert SPAN_KINDS[kind.kind] == span.kind


def test_the_scope_is_the_contract_s(collected: Collected) -> None:
    """Every span says which version of which schema it follows."""
    scopes = {
        (span.instrumentation_scope.name, span.instrumentation_scope.schema_url)
        for span in collected.spans
        if span.instrumentation_scope is not None
    }
    assert {(contract.SCOPE, contract.SCHEMA_URL)} == scopes


def test_metrics_are_those_of_the_contract(collected: Collected) -> None:
    """The metrics that are emitted are the metrics that are listed."""
    assert {metric.name for metric in METRICS} == set(collected.metrics)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_kept_as_the_contract_says(metric: Metric, collected: Collected) -> None:
    """Instrument, unit, meaning and buckets are those of the contract."""
    emitted, _ = collected.metrics[metric.name]
    assert metric.unit == emitted.unit
    assert metric.answers == emitted.description
    if metric.instrument is Instrument.HISTOGRAM:
        assert metric.boundaries == tuple(emitted.data.data_points[0].explicit_bounds)
    elif metric.instrument is Instrument.GAUGE:
        assert isinstance(emitted.data, Gauge)
    else:
        assert (metric.instrument is Instrument.COUNTER) == emitted.data.is_monotonic


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_the_attributes_of_the_contract(metric: Metric, collected: Collected) -> None:
    """Each set has all attributes but those of errors, these as they belong together, and each is used by some set."""
    _, sets = collected.metrics[metric.name]
    with_errors = contract.ERROR_TYPE in metric.attributes
    errors = {contract.ERROR_TYPE, contract.ERROR_CATEGORY, contract.REFUSAL_REASON} if with_errors else set()
    always = set(metric.attributes) - errors
    allowed = [always] if metric is not contract.ERRORS else []
    if with_errors:
        allowed += [
            always | {contract.ERROR_TYPE, contract.ERROR_CATEGORY},
            always | {contract.ERROR_TYPE, contract.REFUSAL_REASON},
        ]
    assert [found for found in sets if set(found) not in allowed] == []
    assert set(metric.attributes) == set().union(*sets)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_sets_of_a_metric_stay_below_its_limit(metric: Metric) -> None:
    """The product of the values that its attributes can have is the limit at most, or the cap bounds it."""
    if metric.limit == contract.SERIES_LIMIT:
        return
    bounds = {
        contract.PROVIDER: contract.PROVIDER_LIMIT,
        contract.OPERATION: contract.OPERATION_LIMIT / contract.PROVIDER_LIMIT,  # pairs, shared by all providers
        contract.BREAKER_NAME: contract.BREAKER_LIMIT / contract.PROVIDER_LIMIT,  # the same
        contract.INSTRUMENT: len(METRICS),
        contract.VERSION: 1,
        contract.REFUSAL_REASON: len(REFUSALS),
    }
    if contract.ERROR_TYPE in metric.attributes:
        bounds |= {contract.ERROR_CATEGORY: 1, contract.REFUSAL_REASON: 1}  # functions of the error type
    sizes = [bounds.get(name) or _size(ATTRIBUTES[name]) for name in metric.attributes]
    assert 0 < math.prod(sizes) <= metric.limit
    assert metric.limit < contract.SERIES_LIMIT


def test_prometheus_names_follow_from_the_metrics() -> None:
    """Prometheus' own translation of name, unit and kind gives the name that boards and rules use."""
    words = {"s": "_seconds"}
    for metric in METRICS:
        suffix = words.get(metric.unit, "") + ("_total" if metric.instrument is Instrument.COUNTER else "")
        assert metric.name.replace(".", "_") + suffix == metric.prometheus


def test_logs_are_the_events_of_the_contract(collected: Collected) -> None:
    """The events that are logged are those that have a level, each at its levels and with its fields."""
    logged = collected.log_events()
    assert {event.name for event in EVENTS if event.level != "-"} == set(logged)
    for event in EVENTS:
        if event.level != "-":
            levels, names = logged[event.name]
            assert levels == {word for word in event.level.replace(";", "").replace(",", "").split() if word.isupper()}
            assert set(event.fields) == names, event.name


def test_span_events_are_the_events_of_the_contract(collected: Collected) -> None:
    """The events on spans are those that name one, on that kind of span and with their fields."""
    emitted = collected.span_events()
    assert {event.name for event in EVENTS if event.span} == set(emitted)
    for event in EVENTS:
        if event.span:
            kinds, names = emitted[event.name]
            assert {event.span} == kinds
            assert set(event.fields) == names, event.name


def test_common_fields_are_on_logs(collected: Collected) -> None:
    """Each common field of the contract is on some log: all of the call on its own, the provider alone on its own."""
    of_a_call = {contract.PROVIDER, contract.OPERATION, contract.REQUEST_ID, "trace_id", "span_id"}
    found = set()
    for record in collected.records:
        names = set(vars(record)) & set(contract.COMMON_FIELDS)
        found |= names
        assert _expected(name_of(record), of_a_call) == names - {"suppressed"}, name_of(record)
    assert set(contract.COMMON_FIELDS) == found


def test_every_attribute_is_emitted_and_listed(collected: Collected) -> None:
    """The attributes of spans, metrics, events and logs are those that are listed, and the plain fields of logs."""
    plain = {field for event in EVENTS for field in event.fields if field not in ATTRIBUTES}
    common = {field for field in contract.COMMON_FIELDS if field not in ATTRIBUTES}
    assert set(ATTRIBUTES) | plain | common == set(collected.values())


@pytest.mark.parametrize("attribute", ATTRIBUTES.values(), ids=lambda attribute: attribute.name)
def test_values_are_of_the_type_and_the_set_of_the_contract(attribute: Attribute, collected: Collected) -> None:
    """Each value has the listed type; a closed set is emitted whole, with ``_OTHER`` where a cap was reached."""
    values = collected.values()[attribute.name]
    assert {TYPES[attribute.type]} == {type(value) for value in values}
    if attribute.values:
        assert set(attribute.values) == values - {contract.OTHER}


def test_words_are_words(collected: Collected) -> None:
    """A reason is a short word of a catalogue, never a text; ids and hosts have the listed form."""
    values = collected.values()
    assert [reason for reason in values[contract.ERROR_REASON] if not reason.replace("_", "a").isalpha()] == []
    assert [name for name in values[contract.EXCEPTION_TYPE] if not name.isidentifier()] == []
    assert [key for key in values[contract.REQUEST_ID] if len(key) != 36] == []
    assert {metric.name for metric in METRICS} == values[contract.INSTRUMENT]


def test_every_name_is_used_once() -> None:
    """No two rows of a kind have one name, every name that a row uses is listed, and an example fits its set.

    An event may be called as the metric that counts it; an attribute is called as neither.
    """
    metrics, events = [row.name for row in METRICS], [row.name for row in EVENTS]
    assert (len(set(metrics)), len(set(events))) == (len(metrics), len(events))
    assert not set(ATTRIBUTES) & {*metrics, *events}
    used = {name for row in METRICS for name in row.attributes} | {
        name for row in SPANS for name in (*row.start, *row.end)
    }
    assert used <= set(ATTRIBUTES)
    for row in ATTRIBUTES.values():
        assert row.values or row.bound
        assert not row.values or row.example in row.values


def _size(attribute: Attribute) -> int:
    return 2 if attribute.type is Type.BOOL else len(attribute.values)


def _expected(event: str, of_a_call: set[str]) -> set[str]:
    if event in ABOUT_A_PROVIDER:
        return {contract.PROVIDER}
    return set() if event in ABOUT_THE_PROCESS else of_a_call
