"""The light tracer and the SDK's export the same bytes, whatever a span is made of and whoever touches it."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace.span import TraceState

from buoy.telemetry import light, light_span
from buoy.telemetry.light import LightTracer
from buoy.telemetry.light_span import LightSpan
from buoy.telemetry.packing import pack
from buoy.telemetry.plain import Plain
from tests.contract import http, policies, scenarios
from tests.support import virtual_time
from tests.support.telemetry import observe
from tests.unit.telemetry.doubles import BothTracer, Side

pytestmark = pytest.mark.filterwarnings("ignore:You should use:DeprecationWarning")

Story = Callable[[Tracer], object]

REMOTE = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
LOCAL = SpanContext(9, 10, is_remote=False, trace_flags=TraceFlags(3))
STATE = TraceState([("vendor", "1"), ("other", "2")])


class Clock:
    """Ticks with every look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        """Return the next nanosecond."""
        self.now += 1
        return self.now


def _encoded(encode: Callable[[Sequence[ReadableSpan]], object], spans: Sequence[ReadableSpan]) -> object:
    """Return the bytes of a request, or the class of what was raised."""
    try:
        found = encode(spans)
    except Exception as error:  # noqa: BLE001  # compared
        return type(error)
    data = found if isinstance(found, bytes) else found.SerializeToString(deterministic=True)  # type: ignore[attr-defined]
    # Maps within are in the order of the message; so are ours, but for the bytes of the envelope.
    return ExportTraceServiceRequest.FromString(data).SerializeToString(deterministic=True)


def _shown(span: ReadableSpan) -> tuple[object, ...]:
    """Return all that an exporter can read of a span."""
    try:
        text: object = span.to_json()
    except Exception as error:  # noqa: BLE001  # compared
        text = type(error)
    info = span.instrumentation_info
    return (
        text,
        repr(list((span.attributes or {}).items())),
        [(event.name, repr(event.attributes), event.timestamp, event.dropped_attributes) for event in span.events],
        [(link.context, repr(link.attributes), link.dropped_attributes) for link in span.links],
        (span.name, span.context, span.get_span_context(), span.parent, span.kind, span.start_time, span.end_time),
        (span.status.status_code, span.status.description),
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
        (span.resource, span.instrumentation_scope),
        info and (info.name, info.version, info.schema_url),
    )


def _told(story: Story, *, is_light: bool, **options: Any) -> tuple[object, Side]:
    """Return what a story came to, with the side that it happened on."""
    side, clock = Side(light=is_light, **options), Clock()
    with (
        patch.object(sdk_trace, "time_ns", clock),
        patch.object(light, "time_ns", clock),
        patch.object(light_span, "time_ns", clock),
    ):
        try:
            outcome = story(side.tracer)
        except Exception as error:  # noqa: BLE001  # compared
            outcome = type(error)
    return outcome, side


def _compare(story: Story, **options: Any) -> tuple[object, list[ReadableSpan]]:
    """Tell a story twice and compare all that can be seen of it; return what it came to, and the light spans."""
    processors = options.pop("processors", lambda: ())
    expected, stock = _told(story, is_light=False, processors=processors(), **options)
    found, ours = _told(story, is_light=True, processors=processors(), **options)
    assert expected == found
    assert (stock.ended.started, stock.ended.ending) == (ours.ended.started, ours.ended.ending)
    assert list(map(_shown, stock.ended.spans)) == list(map(_shown, ours.ended.spans))
    bytes_of_stock = _encoded(encode_spans, stock.ended.spans)
    assert bytes_of_stock == _encoded(encode_spans, ours.ended.spans)
    assert bytes_of_stock == _encoded(pack, ours.ended.spans)
    return found, ours.ended.spans


def _state(span: Span) -> tuple[SpanContext, bool]:
    return span.get_span_context(), span.is_recording()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let nobody complain: attributes that are no good are what this is about."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# The whole contract, as it happens.


def test_the_whole_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every span that Buoy makes in any scenario of the contract is exported as the SDK's tracer would."""
    stock, ours = Side(light=False, sampler=DEFAULT_ON), Side(light=True, sampler=DEFAULT_ON)
    with observe(monkeypatch) as observed:
        monkeypatch.setattr(observed.scope._plugs, "tracer", BothTracer(stock.tracer, ours.tracer))
        asyncio.run(scenarios.everything())
        asyncio.run(policies.over_http())
        asyncio.run(http.everything())
        virtual_time.run(policies.in_virtual_time())
    assert len(stock.ended.spans) > 200
    assert all(isinstance(span, LightSpan) for span in ours.ended.spans)
    assert (stock.ended.started, stock.ended.ending) == (ours.ended.started, ours.ended.ending)
    assert list(map(_shown, stock.ended.spans)) == list(map(_shown, ours.ended.spans))
    expected = _encoded(encode_spans, stock.ended.spans)
    assert isinstance(expected, bytes)
    assert expected == _encoded(encode_spans, ours.ended.spans)
    assert expected == _encoded(pack, ours.ended.spans)
    # Buoy's own attributes take the short way: none of these spans needed the SDK's mapping.
    assert not any(span._bounded for span in ours.ended.spans if isinstance(span, LightSpan))


# Samplers and parents.


class Adding(Sampler):
    """Adds an attribute and a trace state, and takes those whose name says so."""

    def should_sample(  # noqa: PLR0917  # the SDK's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Say yes to what begins with a y, and add something to all."""
        del parent_context, kind, trace_state
        decision = Decision.RECORD_AND_SAMPLE if name.startswith("y") else Decision.RECORD_ONLY
        added = {**(attributes or {}), "trace": str(trace_id), "links": len(links or ()), "list": [1, "a"]}
        return SamplingResult(decision, added, STATE)

    def get_description(self) -> str:
        """Pretend to be another."""
        return ALWAYS_ON.get_description()


SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "always on": lambda: ALWAYS_ON,
    "always off": lambda: ALWAYS_OFF,
    "parent, on": lambda: DEFAULT_ON,
    "parent, off": lambda: DEFAULT_OFF,
    "none": lambda: TraceIdRatioBased(0),
    "half": lambda: TraceIdRatioBased(0.5),
    "parent, none": lambda: ParentBasedTraceIdRatio(0),
    "parent, half": lambda: ParentBasedTraceIdRatio(0.5),
    "parent, all": lambda: ParentBasedTraceIdRatio(1),
    "recorded only": lambda: StaticSampler(Decision.RECORD_ONLY),
    "parents recorded only": lambda: ParentBased(ALWAYS_ON, local_parent_sampled=StaticSampler(Decision.RECORD_ONLY)),
    "no children": lambda: ParentBased(ALWAYS_ON, local_parent_sampled=ALWAYS_OFF),
    "no remote": lambda: ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF, remote_parent_not_sampled=ALWAYS_ON),
    "always recorded": lambda: AlwaysRecordSampler(ALWAYS_OFF),
    "adds": Adding,
    "adds to roots": lambda: ParentBased(Adding()),
}
PARENTS: dict[str, SpanContext | None] = {
    "none": None,
    "invalid": SpanContext(0, 1, is_remote=False),
    **{
        f"{'remote' if remote else 'local'} {flags} {'with' if state else 'without'} state": SpanContext(
            0xABC, 0xDEF, is_remote=remote, trace_flags=TraceFlags(flags), trace_state=state
        )
        for remote in (False, True)
        for flags in (0, 1, 2, 3, 0xFF)
        for state in (None, STATE)
    },
}
GIVEN: dict[str, Any] = {
    "ours": Plain({"a": 1, "b": "x"}),
    "a dict": {"a": 1, "b": "x"},
    "odd": {"a": [1]},
    "none": None,
}


def _family(given: Any, parent: SpanContext | None) -> Story:
    """Return a story of a span below a parent, with children below it."""

    def story(tracer: Tracer) -> object:
        context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
        family = []
        for name in ("yes", "no", "y"):
            span = tracer.start_span(name, context, SpanKind.CLIENT, given, [Link(LOCAL)])
            family.append(span)
            context = set_span_in_context(span, Context({"baggage": name}))
        states = [_state(span) for span in family]
        for span in reversed(family):
            span.set_attributes(Plain({"c": 0.5}))
            span.end()
        return states, [_state(span) for span in family]

    return story


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("random", [True, False], ids=["random ids", "other ids"])
def test_samplers_and_parents(sampler: Callable[[], Sampler], *, random: bool) -> None:
    """Under every sampler and below every parent the same is recorded, with the same ids, flags, states, attributes."""
    for parent in PARENTS.values():
        for given_attributes in GIVEN.values():
            _compare(_family(given_attributes, parent), sampler=sampler(), random=random)


@pytest.mark.parametrize(
    "kind",
    [
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
        "unheard-of",
    ],
)
@pytest.mark.parametrize("ratio", ["0", "0.5", "1", "half"])
def test_samplers_of_the_environment(kind: str, ratio: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_TRACES_SAMPLER`` decides as it does for the SDK's tracer."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", kind)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
    for parent in PARENTS.values():
        _compare(_family(GIVEN["ours"], parent), sampler=None)


class Counting(Sampler):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Count, and say yes."""
        self.asked += 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        """Say something."""
        return "counting"


def test_a_sampler_that_is_not_known_is_always_asked() -> None:
    """Whoever brings a sampler is asked for every span: nobody guesses what it would have said."""
    sampler = Counting()
    side = Side(light=True, sampler=sampler)
    call = side.tracer.start_span("call", Context(), SpanKind.INTERNAL, GIVEN["ours"])
    side.tracer.start_span("send", set_span_in_context(call, Context()), SpanKind.CLIENT, GIVEN["ours"])
    assert sampler.asked == 2


def test_the_span_that_is_current_is_the_parent() -> None:
    """Without a context the current span is the parent, and a light span can be current."""

    def story(tracer: Tracer) -> object:
        with tracer.start_as_current_span("outer") as outer:
            assert trace.get_current_span() is outer
            with tracer.start_span("inner"):
                trace.get_current_span().set_attribute("from", "inside")
        return outer.is_recording()

    found, spans = _compare(story)
    assert found is False
    assert [(span.name, span.parent is not None) for span in spans] == [("inner", True), ("outer", False)]


def test_a_parent_that_is_none() -> None:
    """A current span without a span context is refused with the same error."""

    class Nobody(NonRecordingSpan):
        def get_span_context(self) -> Any:
            return "none"

    _compare(lambda tracer: tracer.start_span("x", set_span_in_context(Nobody(REMOTE), Context())))
    found, _ = _compare(lambda tracer: _state(tracer.start_span("x", set_span_in_context(INVALID_SPAN, Context()))))
    assert isinstance(found, tuple)


# Blocks.


def _raising(*, as_current: bool, error: BaseException, **options: Any) -> Story:
    def story(tracer: Tracer) -> object:
        start = tracer.start_as_current_span if as_current else tracer.start_span
        spans: list[Span] = []
        try:
            with start("x", **options) as span:
                spans.append(span)
                raise error
        except BaseException as caught:  # noqa: BLE001  # compared
            return type(caught), [span.is_recording() for span in spans]

    return story


@pytest.mark.parametrize("as_current", [True, False])
@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("status", [True, False])
@pytest.mark.parametrize("error", [ValueError("no"), LookupError(), KeyboardInterrupt(), asyncio.CancelledError("c")])
def test_blocks_that_raise(error: BaseException, *, as_current: bool, record: bool, status: bool) -> None:
    """A block that raises ends its span with the exception and the status that the two switches ask for."""
    with patch("traceback.format_exception", lambda *_: ["trace"]):
        _compare(_raising(as_current=as_current, error=error, record_exception=record, set_status_on_exception=status))


def test_a_block_that_does_not_end_its_span() -> None:
    """``end_on_exit=False`` leaves the span open."""

    def story(tracer: Tracer) -> object:
        with tracer.start_as_current_span("x", end_on_exit=False) as span:
            pass
        return span.is_recording()

    assert _compare(story) == (True, [])


# Whatever is done to a span.


class Texted:
    """Has a text of its own."""

    def __str__(self) -> str:
        return "texted"


VALUES: dict[str, Any] = {
    "str": "v",
    "empty": "",
    "long": "x" * 400,
    "lone surrogate": "\ud800",
    "true": True,
    "int": 1,
    "huge int": 1 << 70,
    "float": 0.1,
    "nan": float("nan"),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"x"),
    "none": None,
    "list": ["a", "b"],
    "mixed": ("a", 1, True, 1.0, None, b"x", [2]),
    "mapping": {"k": "v", "n": [1, {"l": None}]},
    "mapping with odd keys": {1: "v", "": 2, None: 3},
    "object": object(),
    "texted": Texted(),
    "set": {1},
    "status": StatusCode.OK,
    "decision": SpanKind.CLIENT,
    "str of a kind": trace.StatusCode.OK.name,
}
KEYS: list[Any] = ["k", "a", "", 1, b"k", None, "\ud800", "größe", Texted(), object()]

LIMITS: dict[str, Callable[[], SpanLimits]] = {
    "none": lambda: SpanLimits(max_attributes=SpanLimits.UNSET, max_events=SpanLimits.UNSET),
    "default": SpanLimits,
    "three": lambda: SpanLimits(max_attributes=3, max_events=1, max_links=1),
    "zero": lambda: SpanLimits(max_attributes=0, max_events=0, max_links=0),
    "short": lambda: SpanLimits(max_attribute_length=4),
    "short spans": lambda: SpanLimits(max_span_attribute_length=2, max_event_attributes=1, max_link_attributes=1),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_attributes(value: Any, limits: Callable[[], SpanLimits]) -> None:
    """Any value under any key arrives alike: given at the start, alone, among others, in an event and in a link."""

    def story(key: Any) -> Story:
        def told(tracer: Tracer) -> object:
            both = {"before": "it", key: value, "after": 2.5}
            tracer.start_span("at the start", attributes=both).end()
            span = tracer.start_span("later", attributes=Plain({"a": 1, "b": "long enough"}))
            span.set_attribute(key, value)
            span.set_attributes(Plain({"c": 1, "d": "long enough"}))
            span.set_attributes(both)
            span.set_attribute("a", 2)
            span.add_event("event", both, 5)
            span.add_event("another", both)
            span.add_link(REMOTE, both)
            span.add_link(LOCAL)
            span.end()
            return None

        return told

    for key in KEYS:
        _compare(story(key), limits=limits())


@pytest.mark.parametrize("name", ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"])
@pytest.mark.parametrize("limit", ["0", "1", "2", "3", "4", "5", ""])
def test_limits_of_the_environment(name: str, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes over the environment's limit drops the oldest, and is counted; up to it nothing does."""
    monkeypatch.setenv(name, limit)

    def story(tracer: Tracer) -> None:
        span = tracer.start_span("x", attributes=Plain({"a": 1, "b": 2}))
        span.set_attributes(Plain({"c": 3, "b": 4}))
        span.set_attributes(Plain({"d": 5}))
        span.end()
        span = tracer.start_span("all different", attributes=Plain({"a": 1, "b": 2}))
        span.set_attributes(Plain({"c": 3}))
        span.end()

    _compare(story)


@pytest.mark.parametrize("name", ["OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"])
def test_lengths_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Buoy's own attributes are cut as well, where the environment asks for it."""
    monkeypatch.setenv(name, "2")

    def story(tracer: Tracer) -> None:
        span = tracer.start_span("x", attributes=Plain({"a": "long", "b": 2}))
        span.set_attributes(Plain({"c": "long"}))
        span.end()

    _, (span,) = _compare(story)
    assert dict(span.attributes or {}) == {"a": "lo", "b": 2, "c": "lo"}


@pytest.mark.parametrize("given_attributes", [None, [], [("a", 1)], "abc", 5, {1}, 0, {}, ()], ids=repr)
def test_what_is_no_mapping(given_attributes: Any) -> None:
    """What are no attributes at all raises the same error, at the start and later."""
    _compare(lambda tracer: tracer.start_span("x", attributes=given_attributes).end())
    _compare(lambda tracer: tracer.start_span("x").set_attributes(given_attributes))
    _compare(lambda tracer: tracer.start_span("x").add_event("e", given_attributes))
    _compare(lambda tracer: tracer.start_span("x").add_link(REMOTE, given_attributes))


def test_links() -> None:
    """Links that lead nowhere and say nothing are left out; of the others what the limit allows is kept."""
    nowhere = SpanContext(0, 0, is_remote=False)
    with_state = SpanContext(0, 0, is_remote=False, trace_state=STATE)

    def story(tracer: Tracer) -> None:
        given_links: Any = [Link(REMOTE, {"k": "vvvv"}), Link(nowhere), None, Link(nowhere, {"k": 1}), Link(with_state)]
        span = tracer.start_span("x", links=given_links)
        for context in (REMOTE, nowhere, with_state, None):
            span.add_link(context)  # type: ignore[arg-type]
            span.add_link(context, {"k": [1]})  # type: ignore[arg-type]
        span.end()
        tracer.start_span("none", links=None).end()

    for limits in LIMITS.values():
        _compare(story, limits=limits())


STATUSES: list[Any] = [
    Status(),
    Status(StatusCode.OK),
    Status(StatusCode.ERROR, "why"),
    StatusCode.UNSET,
    StatusCode.OK,
    StatusCode.ERROR,
    "error",
    None,
]


def test_statuses() -> None:
    """OK is the last word, unset is none, and a description counts only where it may."""

    def story(tracer: Tracer) -> None:
        for first in STATUSES:
            for second in STATUSES:
                for described in (None, "because", 5):
                    span = tracer.start_span("x")
                    span.set_status(first)
                    span.set_status(second, described)  # type: ignore[arg-type]
                    span.end()

    _compare(story)


AFTER: dict[str, Callable[[Span], object]] = {
    "set_attribute": lambda span: span.set_attribute("late", 1),
    "set_attributes": lambda span: span.set_attributes({"late": 1}),
    "set_attributes of ours": lambda span: span.set_attributes(Plain({"late": 1})),
    "add_event": lambda span: span.add_event("late"),
    "add_link": lambda span: span.add_link(REMOTE),
    "update_name": lambda span: span.update_name("late"),
    "set_status": lambda span: span.set_status(StatusCode.ERROR, "late"),
    "record_exception": lambda span: span.record_exception(ValueError("late")),
    "end": lambda span: span.end(5),
    "exit": lambda span: span.__exit__(ValueError, ValueError("late"), None),
}


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_nothing_happens_after_the_end(after: Callable[[Span], object], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes after the end changes nothing and is warned of, as by the SDK's span."""
    logging.disable(logging.NOTSET)

    def story(tracer: Tracer) -> object:
        span = tracer.start_span("x")
        span.end()
        caplog.clear()
        after(span)
        return [(record.levelname, record.getMessage().replace(" _", " ")) for record in caplog.records]

    found, (span,) = _compare(story)
    assert isinstance(found, list)
    assert len(found) == 1
    assert span.name == "x"


def test_exceptions() -> None:
    """An exception becomes an event, with its class, text and traceback, and what else is told of it."""

    class Odd(Exception):  # a name
        __module__ = ""

    def story(tracer: Tracer) -> None:
        span = tracer.start_span("x")
        for error in (ValueError("v"), asyncio.CancelledError(), Odd(), ExceptionGroup("g", [ValueError("inner")])):
            span.record_exception(error)
            span.record_exception(error, {"k": [1], "exception.message": "mine"}, 5, escaped=True)
        try:
            raise ValueError from LookupError("cause")
        except ValueError as error:
            span.record_exception(error)
        span.end()

    _compare(story)


def test_given_times() -> None:
    """Times that are given count, zero included."""

    def story(tracer: Tracer) -> None:
        for start, end in ((0, 0), (5, 4), (None, 7), (7, None)):
            span = tracer.start_span("x", start_time=start)
            span.add_event("e", None, 0)
            span.end(end)

    _compare(story)


class Touching(SpanProcessor):
    """A processor of the service's own that touches every span."""

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Add what the context has."""
        span.set_attribute("baggage", str(Context(parent_context or {}).get("baggage")))
        span.set_attribute("seen", [span.attributes.get("a")])

    def _on_ending(self, span: Any) -> None:
        span.set_attribute("too", "late")

    def on_end(self, span: ReadableSpan) -> None:
        """Look at it, at what is private as well."""
        assert (span._attributes or {})["baggage"] == (span.attributes or {})["baggage"]
        assert span._name == span.name


def test_other_processors_see_the_spans() -> None:
    """A service's own processors get the light spans with their parents' context, and may change them."""
    _, spans = _compare(_family(GIVEN["ours"], None), processors=lambda: [Touching()])
    told = [(span.name, (span.attributes or {})["baggage"]) for span in reversed(spans)]
    assert told == [("yes", "None"), ("no", "yes"), ("y", "no")]


def test_the_resource_is_the_present_one() -> None:
    """A span has the resource that the provider has when it starts: a fork changes it."""

    class Forking(TracerProvider):
        present = Resource({"pid": 1})

        @property
        def resource(self) -> Resource:
            return self.present

    side = Side(light=True)
    provider = Forking(shutdown_on_exit=False)
    tracer = LightTracer(provider, side.ended, InstrumentationScope("t"))
    tracer.start_span("before").end()
    Forking.present = Resource({"pid": 2})
    tracer.start_span("after").end()
    assert [dict(span.resource.attributes) for span in side.ended.spans] == [{"pid": 1}, {"pid": 2}]


def test_constants_stay_as_they_are() -> None:
    """Attributes that several spans share are never changed by one of them."""
    shared, before = Plain({"a": 1}), {"a": 1}
    side = Side(light=True)
    for change in (Plain({"b": 2}), Plain({"a": 3}), {"a": [4]}):
        span = side.tracer.start_span("x", attributes=shared)
        span.set_attributes(change)
        span.set_attribute("c", 5)
        span.end()
        assert before == shared


@pytest.fixture
def impatient() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient")
def test_threads_lose_nothing() -> None:
    """Threads that touch one span at the same time all find what is theirs in it, odd values among it."""
    threads, times = 4, 30
    for _ in range(20):
        side = Side(light=True, limits=SpanLimits(max_attributes=SpanLimits.UNSET))
        span = side.tracer.start_span("x", attributes=GIVEN["ours"])
        together = threading.Barrier(threads)

        def touch(number: int, span: Span = span, together: threading.Barrier = together) -> None:
            together.wait()
            for time in range(times):
                span.set_attributes(Plain({f"p{number}.{time}": number}))
            span.set_attribute(f"k{number}", [number])
            span.add_event(f"e{number}")
            span.add_link(REMOTE)

        working = [threading.Thread(target=touch, args=(number,)) for number in range(threads)]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join(60)
        span.end()
        (ended,) = side.ended.spans
        assert len(ended.attributes or {}) == 2 + threads * times + threads
        assert len(ended.events) == len(ended.links) == threads


@pytest.mark.parametrize(("asked", "expected"), [(None, True), ("false", True), ("true", False), (" TRUE ", False)])
def test_the_sdk_counts_only_its_own_spans(
    asked: str | None, *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the SDK is asked to count spans, the light ones step back: it would not see them."""
    monkeypatch.delenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", raising=False)
    if asked is not None:
        monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", asked)
    assert light.fits_environment() is expected


# Stories that nobody thought of.

texts = st.text(st.characters(), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.binary(max_size=8) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
names = st.sampled_from(["a", "b", "c"]) | texts | st.none() | st.integers()
attributes = st.dictionaries(names, values, max_size=5)
plain_values = texts | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.floats(allow_nan=False)
plains = st.dictionaries(st.sampled_from("abcdefgh"), plain_values, max_size=5).map(Plain)
contexts = st.sampled_from([REMOTE, LOCAL, SpanContext(0, 0, is_remote=False)])
times = st.none() | st.integers(0, 1 << 62)
deeds: st.SearchStrategy[Callable[[Span], object]] = st.one_of(
    st.builds(lambda key, value: lambda span: span.set_attribute(key, value), names, values),
    st.builds(lambda mapping: lambda span: span.set_attributes(mapping), attributes | plains),
    st.builds(lambda name, mapping, at: lambda span: span.add_event(name, mapping, at), texts, attributes, times),
    st.builds(lambda context, mapping: lambda span: span.add_link(context, mapping), contexts, attributes),
    st.builds(lambda name: lambda span: span.update_name(name), texts),
    st.builds(
        lambda status, why: lambda span: span.set_status(status, why), st.sampled_from(STATUSES), st.none() | texts
    ),
    st.builds(lambda text: lambda span: span.record_exception(ValueError(text)), texts),
    st.builds(lambda at: lambda span: span.end(at), times),
)
limited = st.builds(
    SpanLimits,
    max_attributes=st.integers(0, 6) | st.just(SpanLimits.UNSET),
    max_events=st.integers(0, 2),
    max_links=st.integers(0, 2),
    max_attribute_length=st.integers(0, 4) | st.just(SpanLimits.UNSET),
)


def _performed(start: Mapping[Any, Any] | None, done: Sequence[Callable[[Span], object]]) -> Story:
    def story(tracer: Tracer) -> object:
        span = tracer.start_span("x", Context(), attributes=start)
        came_to: list[object] = []
        for deed in done:
            try:
                came_to.append(deed(span))
            except Exception as error:  # noqa: BLE001  # compared
                came_to.append(type(error))
        if span.is_recording():
            span.end()
        return came_to

    return story


@given(start=st.none() | attributes | plains, done=st.lists(deeds, max_size=8), limits=limited)
def test_any_story(start: Mapping[Any, Any] | None, done: list[Callable[[Span], object]], limits: SpanLimits) -> None:
    """Whatever is done to a span in whichever order, within whichever limits, both export the same."""
    _compare(_performed(start, done), limits=limits)
