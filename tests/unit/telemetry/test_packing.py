"""Packed spans are, message for message, what the stock encoder makes of them; and where it raises, so does packing."""

import enum
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from buoy import contract
from buoy.telemetry import packing
from buoy.telemetry.packing import pack

RESOURCES = [Resource({"service.name": "a"}), Resource({"service.name": "b", "n": 1}, "https://schema"), Resource({})]
SCOPES = [
    InstrumentationScope("buoy", "1.0", "https://schema"),
    InstrumentationScope("other", attributes={"x": 1}),
    None,
]
IDS = SpanContext(0x0123456789ABCDEF0123456789ABCDEF, 0x0123456789ABCDEF, is_remote=False, trace_flags=TraceFlags(1))
REMOTE = SpanContext(1, 2, is_remote=True)
LOCAL = SpanContext(1, (1 << 64) - 1, is_remote=False)


class Name(enum.StrEnum):
    """A str that is none by its type."""

    SHOP = "shop"


class Raises:
    """A value that nothing can be made of."""

    def __eq__(self, other: object) -> bool:
        """Raise, as a careless value does."""
        raise RuntimeError

    def __hash__(self) -> int:
        """Raise, as a careless value does."""
        raise RuntimeError


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """Begin and end without kept bytes."""
    kept = (packing._origins, packing._pairs, packing._doubles, packing._names, packing._errors)
    for known in kept:
        known.clear()
    yield
    for known in kept:
        known.clear()


def _made(**parts: Any) -> ReadableSpan:
    """Return a span of these parts; the rest is plain."""
    whole: dict[str, Any] = {
        "name": "GET /products/{id}",
        "context": IDS,
        "resource": RESOURCES[0],
        "instrumentation_scope": SCOPES[0],
        "start_time": 1_700_000_000_000_000_000,
        "end_time": 1_700_000_000_123_456_789,
    }
    return ReadableSpan(**(whole | parts))


def _with(attributes: Mapping[Any, Any]) -> ReadableSpan:
    """Return a span whose attributes nobody has cleaned."""
    return _made(attributes=attributes)


Flat = list[tuple[bytes, str, bytes, str, bytes]]


def _flat(request: ExportTraceServiceRequest) -> Flat:
    """Return each span with its resource and scope, in an order that does not depend on the grouping.

    Compared are deterministic bytes: a message with a NaN would not even equal itself.
    """
    return sorted(
        (
            of_resource.resource.SerializeToString(deterministic=True),
            of_resource.schema_url,
            of_scope.scope.SerializeToString(deterministic=True),
            of_scope.schema_url,
            span.SerializeToString(deterministic=True),
        )
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    )


def _outcome(
    encode: Callable[[Sequence[ReadableSpan]], bytes], spans: Sequence[ReadableSpan]
) -> Flat | type[Exception]:
    """Return the spans that come out at the other end, or the class of what was raised."""
    try:
        data = encode(spans)
    except Exception as error:  # noqa: BLE001  # of any class: both must raise the same
        return type(error)
    return _flat(ExportTraceServiceRequest.FromString(data))


def _stock(spans: Sequence[ReadableSpan]) -> bytes:
    return encode_spans(spans).SerializeToString()


def _learn(spans: Sequence[ReadableSpan]) -> None:
    """Make resources and scopes known; the first span of each is always left to the stock encoder."""
    for span in spans:
        pack([_made(resource=span.resource, instrumentation_scope=span.instrumentation_scope)])


def _compare(*spans: ReadableSpan) -> Flat | type[Exception]:
    """Pack with nothing known, with the resources and scopes known, with all known, and twice in one batch."""
    expected = _outcome(_stock, spans)
    assert expected == _outcome(pack, spans)
    _learn(spans)
    assert expected == _outcome(pack, spans)
    assert expected == _outcome(pack, spans)
    assert _outcome(_stock, spans * 2) == _outcome(pack, spans * 2)
    return expected


SPANS: dict[str, dict[str, Any]] = {
    **{f"kind {kind.name}": {"kind": kind} for kind in SpanKind},
    "no parent": {"parent": None},
    "local parent": {"parent": LOCAL},
    "remote parent": {"parent": REMOTE},
    "invalid parent": {"parent": SpanContext(0, 0, is_remote=False)},
    "zero ids": {"context": SpanContext(0, 0, is_remote=False)},
    "unsampled": {"context": SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0))},
    "trace state": {"context": SpanContext(1, 2, is_remote=False, trace_state=TraceState([("a", "1"), ("b", "2")]))},
    "ok": {"status": Status(StatusCode.OK)},
    "error": {"status": Status(StatusCode.ERROR)},
    "error, described": {"status": Status(StatusCode.ERROR, "Zeit überschritten ⏱")},
    "error, described at length": {"status": Status(StatusCode.ERROR, "x" * 5000)},
    "ok, described": {"status": SimpleNamespace(status_code=StatusCode.OK, description="no status of the API's")},
    "no status": {"status": None},
    "empty name": {"name": ""},
    "unicode name": {"name": "größe 🛟 \x00"},
    "long name": {"name": "n" * 20_000},
    "no name": {"name": None},
    "name in bytes": {"name": b"abc"},
    "name that is an enum": {"name": Name.SHOP},
    "no start": {"start_time": None},
    "no end": {"end_time": None},
    "zero times": {"start_time": 0, "end_time": 0},
    "largest times": {"start_time": (1 << 64) - 1, "end_time": (1 << 64) - 1},
    "events": {"events": [Event("e", {"k": "v"}, 5), Event("f", None, 6)]},
    "links": {"links": [Link(REMOTE, {"k": 1}), Link(LOCAL)]},
    "no scope": {"instrumentation_scope": None},
    "scope with attributes": {"instrumentation_scope": SCOPES[1]},
    "resource with a schema": {"resource": RESOURCES[1]},
    "empty resource": {"resource": RESOURCES[2]},
    "no attributes": {"attributes": None},
    "empty attributes": {"attributes": {}},
    "a view of attributes": {"attributes": MappingProxyType({"k": "v"})},
    "bounded attributes": {"attributes": BoundedAttributes(attributes={"k": "v", "n": 1, "f": 1.5, "b": True})},
    "dropped attributes": {"attributes": BoundedAttributes(1, {"k": "v", "n": 1})},
    "dropped events": {"events": BoundedList.from_seq(0, [Event("e")])},
    "dropped links": {"links": BoundedList.from_seq(0, [Link(LOCAL)])},
}


@pytest.mark.parametrize("parts", SPANS.values(), ids=SPANS)
def test_parts_of_a_span(parts: dict[str, Any]) -> None:
    """Every part of a span arrives as the stock encoder sends it, alone and beside plain spans."""
    odd = _made(**parts)
    assert isinstance(_compare(odd), list)
    assert isinstance(_compare(_made(), odd, _made()), list)


ERRORS: dict[str, dict[str, Any]] = {
    "negative start": {"start_time": -1},
    "end beyond 64 bits": {"end_time": 1 << 64},
    "start that is a str": {"start_time": "now"},
    "start that is a fraction": {"start_time": 1.5},
    "start that is false": {"start_time": False},
    "end that is true": {"end_time": True},
    "trace id beyond 128 bits": {"context": SpanContext(1 << 128, 1, is_remote=False)},
    "span id beyond 64 bits": {"context": SpanContext(1, 1 << 64, is_remote=False)},
    "negative parent": {"parent": SpanContext(1, -1, is_remote=False)},
    "no context": {"context": None},
    "lone surrogate in the name": {"name": "\ud800"},
    "name that is an int": {"name": 1},
    "name that cannot be hashed": {"name": ["x"]},
    "lone surrogate in the description": {"status": Status(StatusCode.ERROR, "\udfff")},
    "kind that is none": {"kind": 2},
    "status that is none": {"status": 1},
    "attributes that are none": {"attributes": {"e": 1}.items()},
    "events that are none": {"events": [1]},
    "lone surrogate in an event": {"events": [Event("\ud800")]},
}


@pytest.mark.parametrize("parts", ERRORS.values(), ids=ERRORS)
def test_errors(parts: dict[str, Any]) -> None:
    """Where the stock encoder raises, packing raises the same class, wherever in the batch it happens."""
    odd = _made(**parts)
    assert isinstance(_compare(odd), type)
    assert isinstance(_compare(_made(), odd, _made(name="\ud800")), type)


def test_errors_of_several_spans() -> None:
    """Of several errors in a batch, the one that the stock encoder meets first is raised: it sees resources last."""
    no_resource, no_name = _made(resource=object()), _made(name="\ud800")
    assert [_outcome(pack, [no_resource]), _outcome(pack, [no_name])] == [AttributeError, UnicodeEncodeError]
    assert _outcome(_stock, [no_resource, no_name]) == _outcome(pack, [no_resource, no_name])


VALUES: dict[str, Any] = {
    "str": "v",
    "empty str": "",
    "unicode": "größe 🛟",
    "nul": "a\x00b",
    "lone surrogate": "\ud800",
    "127 characters": "x" * 127,
    "128 characters": "x" * 128,
    "129 characters": "x" * 129,
    "long": "é" * 70_000,
    "true": True,
    "false": False,
    **{str(n): n for n in (0, 1, -1, 127, 128, 16383, 16384, 65535, 65536, -65536, 1 << 31, 1 << 32)},
    **{f"{n:+}": n for n in ((1 << 63) - 1, -(1 << 63), 1 << 63, -(1 << 63) - 1, 1 << 64, 1 << 200)},
    **{repr(n): n for n in (0.0, -0.0, 1.0, -1.5, 5e-324, 1.7976931348623157e308)},
    **{repr(n): n for n in (float("nan"), float("inf"), float("-inf"))},
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "long bytes": b"x" * 300,
    "bytearray": bytearray(b"x"),
    "none": None,
    "list": ["a", "b"],
    "tuple": (1, 2),
    "empty tuple": (),
    "mixed": ("a", 1, True, 1.0, None, b"x"),
    "nested": [["a", [1]], {"k": {"l": [None]}}],
    "mapping": {"k": "v", "n": 1},
    "mapping with keys that are none": {1: "v"},
    "huge in a list": [1 << 64],
    "enum": Name.SHOP,
    "int enum": enum.IntEnum("Code", {"OK": 200}).OK,  # type: ignore[attr-defined]
    "object": object(),
    "type": str,
    "set": {1},
    "complex": 1j,
    "unhashable": Raises(),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize(
    "key", ["k", "", "größe", "x" * 200, contract.REQUEST_ID, "\ud800", 1, b"k", Name.SHOP, None], ids=repr
)
def test_attributes(key: Any, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Every value under every key arrives, or is left out, as it is with the stock encoder."""
    caplog.set_level(logging.CRITICAL)  # the stock encoder reports each attribute that it leaves out
    _compare(_with({"before": 1, key: value, "after": 2.5}))


@pytest.mark.parametrize("equal", [(1, 1.0, True), (0, 0.0, False), (0.0, -0.0), ("k", Name("shop"), b"k")], ids=str)
def test_equal_values_of_different_types(equal: Sequence[Any]) -> None:
    """Values that are equal keep their types, in whichever order they come."""
    for values in (equal, tuple(reversed(equal))):
        packing._pairs.clear()
        _compare(*(_with({"k": value}) for value in values))
    _compare(*(_with({"k": (value,)}) for value in equal))


def test_an_attribute_that_cannot_be_packed_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """What the stock encoder says of an attribute that it leaves out is still said."""
    pack([_made()])
    pack([_with({"huge": 1 << 64})])
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["Failed to encode key huge"]


def test_live_spans() -> None:
    """Spans of the real SDK arrive whole, with all that is dropped by limits, and those that have not ended too."""
    exporter = InMemorySpanExporter()
    limits = SpanLimits(max_attributes=3, max_events=1, max_links=1, max_attribute_length=8)
    with_limits = TracerProvider(resource=RESOURCES[0], span_limits=limits, shutdown_on_exit=False)
    without = TracerProvider(resource=RESOURCES[1], shutdown_on_exit=False)
    for provider in (with_limits, without):
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        for version in ("1", "2"):
            tracer = provider.get_tracer("t", version)
            with tracer.start_as_current_span("outer", links=[Link(REMOTE), Link(LOCAL)]) as span:
                span.set_attributes({f"k{n}": "a long value" for n in range(5)})
                span.add_event("one")
                span.add_event("two", {"k": [1, 2]})
                tracer.start_span("inner", attributes={"x": 1.5, "l": ["a"], "m": {"n": [1, {"o": None}]}}).end()
    still_open = without.get_tracer("t").start_span("open")
    flat = _compare(*exporter.get_finished_spans(), cast("ReadableSpan", still_open))
    assert len(flat) == 9  # type: ignore[arg-type]
    still_open.end()


def test_nothing() -> None:
    """No spans are an empty request."""
    assert pack([]) == b""


def test_order_and_grouping() -> None:
    """Spans of one resource and scope come in one group and in their order, also those of the stock encoder."""
    plain = [_made(name=str(n), events=[Event("e")] if n % 3 == 0 else []) for n in range(10)]
    other = _made(name="other", instrumentation_scope=SCOPES[1])
    request = ExportTraceServiceRequest.FromString(pack([*plain[:5], other, *plain[5:]]))
    names = [[span.name for span in scope.spans] for group in request.resource_spans for scope in group.scope_spans]
    assert [[str(n) for n in range(10)], ["other"]] == names


def test_plain_spans_do_not_need_the_stock_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a resource and scope are known, spans of the usual parts and values are packed without the stock encoder."""
    usual: list[Any] = ["v", "x" * 129, True, False, 0, -1, 1 << 62, 1.5, float("nan"), b"x"]
    attributes = BoundedAttributes(attributes={f"k{n}": value for n, value in enumerate(usual)})
    statuses = [Status(), Status(StatusCode.OK), Status(StatusCode.ERROR), Status(StatusCode.ERROR, "why")]
    plain = [_made(kind=kind, parent=parent) for kind in SpanKind for parent in (None, LOCAL, REMOTE)]
    plain += [_made(status=status, attributes=attributes) for status in statuses]
    expected = _flat(encode_spans(plain))
    pack([_made()])
    monkeypatch.setattr(packing, "encode_spans", None)
    assert expected == _flat(ExportTraceServiceRequest.FromString(pack(plain)))


def test_what_repeats_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, descriptions and attributes that were packed before are not packed again."""
    repeating = {"s": "v", "b": True, "n": 200, "y": b"x", "f": 1.5}
    span = _made(attributes=repeating, status=Status(StatusCode.ERROR, "why"))
    _learn([span])
    expected = pack([span])
    for packer in ("_name", "_pair", "_before_double", "encode_spans"):
        monkeypatch.setattr(packing, packer, None)
    assert pack([span]) == expected


def test_an_odd_span_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be packed is left to the stock encoder by itself; the rest of its batch is packed all the same."""
    left: list[list[str]] = []

    def stock(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
        left.append([span.name for span in spans])
        return encode_spans(spans)

    _learn([_made()])
    monkeypatch.setattr(packing, "encode_spans", stock)
    odd = [_made(name="list", attributes={"k": ["v"]}), _made(name="event", events=[Event("e")])]
    pack([_made(), *odd, _made()])
    assert left == [["list"], ["event"]]


def test_what_is_kept_is_bounded() -> None:
    """A flood of values, keys, names, descriptions, resources and scopes leaves a bounded memory."""
    flood = (
        _made(
            name=f"n{n}",
            status=Status(StatusCode.ERROR, f"d{n}"),
            attributes={f"k{n}": n, f"f{n}": 0.5, "s": f"v{n}"},
            resource=RESOURCES[0] if n % 50 else Resource({"n": n}),
        )
        for n in range(packing.ENTRIES + 300)
    )
    for span in flood:
        pack([span])
    sizes = [len(known) for known in (packing._pairs, packing._doubles, packing._names, packing._errors)]
    assert all(0 < size <= packing.ENTRIES for size in sizes)
    assert 0 < len(packing._origins) <= 64


def test_ids_doubles_and_long_values_are_not_kept() -> None:
    """What does not repeat, or is large, takes no place."""
    passing = {contract.REQUEST_ID: "7d0f", contract.PROVIDER_REQUEST_ID: "r1", "f": 1.5, "n": 1 << 20, "s": "x" * 129}
    pack([_made(attributes={"k": "v"})])
    pack([_made(attributes={"k": "v", **passing, "k" * 129: 1}, name="n" * 129)])
    assert [("k", str, "v")] == list(packing._pairs)
    assert list(packing._doubles) == ["f"]
    assert "n" * 129 not in packing._names


def test_what_is_known_by_its_id_is_held() -> None:
    """As long as bytes are found by the ids of a resource and a scope, these two live, and no others get their ids."""
    span = _made(resource=RESOURCES[1], instrumentation_scope=SCOPES[1])
    pack([span])
    ((ids, origin),) = packing._origins.items()
    assert ids == (id(origin.resource), id(origin.scope))
    assert (origin.resource, origin.scope) == (RESOURCES[1], SCOPES[1])


def test_origins_forgotten_within_a_batch() -> None:
    """More resources in one batch than are kept at all: each span still has its own."""
    _compare(*(_made(name=str(n), resource=Resource({"n": n})) for n in range(200)))


texts = st.text(st.characters(), max_size=20) | st.text(max_size=300)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.integers(-2, 2)
    | st.floats()
    | st.binary(max_size=200)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
contexts = st.builds(
    SpanContext,
    st.integers(0, (1 << 128) - 1),
    st.integers(0, (1 << 64) - 1),
    is_remote=st.booleans(),
    trace_flags=st.integers(0, 255).map(TraceFlags),
    trace_state=st.sampled_from([None, TraceState(), TraceState([("a", "1")])]),
)
attributes = st.dictionaries(st.sampled_from(["a", "b", "c"]) | texts, values, max_size=6)
times = st.none() | st.integers(0, (1 << 64) - 1) | st.sampled_from([-1, 1 << 64])
events = st.lists(st.builds(Event, texts, attributes, st.integers(0, 1 << 63)), max_size=1)
made = st.builds(
    ReadableSpan,
    name=st.sampled_from(["x", "y"]) | texts,
    context=contexts,
    parent=st.none() | contexts,
    resource=st.sampled_from(RESOURCES),
    attributes=st.none() | attributes | st.builds(BoundedAttributes, st.integers(0, 4), attributes),
    events=st.just(()) | events,
    links=st.just(()) | st.lists(st.builds(Link, contexts, attributes), max_size=1),
    kind=st.sampled_from(SpanKind),
    status=st.builds(Status, st.sampled_from(StatusCode)) | texts.map(lambda text: Status(StatusCode.ERROR, text)),
    start_time=times,
    end_time=times,
    instrumentation_scope=st.sampled_from(SCOPES),
)


@given(batch=st.lists(made, max_size=5))
def test_any_spans(batch: list[ReadableSpan]) -> None:
    """Whatever is in a batch, both encoders agree on it; what earlier batches left behind makes no difference."""
    logging.disable(logging.CRITICAL)  # dropped attributes are reported a thousand times otherwise
    try:
        _learn(batch)
        assert _outcome(_stock, batch) == _outcome(pack, batch)
        assert _outcome(_stock, batch) == _outcome(pack, batch)
    finally:
        logging.disable(logging.NOTSET)
