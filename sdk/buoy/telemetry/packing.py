"""Packs spans as OTLP protobuf, far cheaper than the stock encoder: bytes that repeat are kept. Sends nothing.

Only what is common is packed here. A span with events, links, a trace state, or anything else that is unknown goes to
the stock encoder, and its bytes into the same message; where that raises, so does this.
"""

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode

from buoy import contract

Key = TypeVar("Key")

# Kept bytes, at most this many of each kind, then they are forgotten and learned again: a flood of new values costs a
# few misses, and values that were seen first do not stay for ever.
ENTRIES = 8192
_ORIGINS = 64
# Longer strings and larger numbers seldom repeat, and would make the bound on entries none on memory.
_LONGEST = 128
_LARGEST = 1 << 16
# Different in every call: these would only push out what repeats.
_IDS = frozenset({contract.REQUEST_ID, contract.PROVIDER_REQUEST_ID})

# Tags of opentelemetry/proto/trace/v1/trace.proto: field number << 3 | wire type.
_TIMES = struct.Struct("<BQBQ").pack  # start_time_unix_nano, end_time_unix_nano: 0x39 and 0x41
_DOUBLE = struct.Struct("<d").pack
# By id: members are one object each and stay, and their own hash is written in Python.
_KINDS = {id(kind): bytes((0x30, kind.value + 1)) for kind in SpanKind}
# The flags say whether the parent is remote, and that this is known (SpanFlags).
_LOCAL = b"\x85\x01" + struct.pack("<I", 0x100)
_REMOTE = b"\x85\x01" + struct.pack("<I", 0x300)
# The varints of the lengths that are usual: seven bits to a byte, lowest first; the eighth says that more follow.
_SHORT = [bytes((n,)) if n < 0x80 else bytes((n & 0x7F | 0x80, n >> 7)) for n in range(1024)]  # noqa: PLR2004  # as said
_STATUS = {id(StatusCode.UNSET): b"\x7a\x00", id(StatusCode.OK): b"\x7a\x02\x18\x01"}


class _Origin:
    """One resource with one scope, and their bytes. It holds both, so that their ids stay theirs."""

    __slots__ = ("packed_resource", "packed_scope", "resource", "scope")

    def __init__(self, resource: Resource, scope: InstrumentationScope | None, *, packed: tuple[bytes, bytes]) -> None:
        self.resource = resource
        self.scope = scope
        self.packed_resource, self.packed_scope = packed

    def around(self, spans: list[bytes]) -> bytes:
        """Return the ``ResourceSpans`` of these spans, as a field of the request."""
        return _field(b"\x0a", self.packed_resource + _field(b"\x12", self.packed_scope + b"".join(spans)))


# Shared by all exporters and threads: each entry depends on its key alone, and each access is one step.
_origins: dict[tuple[int, int], _Origin] = {}
_pairs: dict[tuple[str, type, object], bytes] = {}
_doubles: dict[str, bytes] = {}
_names: dict[str, bytes] = {}
_errors: dict[str | None, bytes] = {}


def pack(spans: Sequence[ReadableSpan]) -> bytes:
    """Return the bytes of an ``ExportTraceServiceRequest``; they are grouped by the resource and scope *objects*."""
    try:
        groups: dict[_Origin, list[bytes]] = {}
        for span in spans:
            origin, packed = _with_origin(span)
            group = groups.get(origin)
            if group is None:
                group = groups[origin] = []
            group.append(packed)
        return b"".join([origin.around(group) for origin, group in groups.items()])
    except Exception:  # noqa: BLE001  # whatever it is, the stock encoder decides whether it is an error, and which
        return encode_spans(spans).SerializeToString()


def _with_origin(span: ReadableSpan) -> tuple[_Origin, bytes]:
    resource, scope = span.resource, span.instrumentation_scope
    origin = _origins.get((id(resource), id(scope)))
    if origin is not None:
        try:
            packed = _span(span)
        except Exception:  # noqa: BLE001  # of any class: users set what they like
            packed = None
        if packed is not None:
            return origin, packed
    packed_resource, packed_scope, packed = _stock(span)
    if origin is None:
        origin = _Origin(resource, scope, packed=(packed_resource, packed_scope))
        if len(_origins) >= _ORIGINS:
            _origins.clear()
        _origins[id(resource), id(scope)] = origin
    return origin, packed


def _stock(span: ReadableSpan) -> tuple[bytes, bytes, bytes]:
    """Return what the stock encoder makes of the resource, the scope (with their schema URLs) and the span."""
    (of_resource,) = encode_spans([span]).resource_spans
    (of_scope,) = of_resource.scope_spans
    packed = _field(b"\x12", of_scope.spans[0].SerializeToString())
    of_scope.ClearField("spans")
    packed_scope = of_scope.SerializeToString()
    of_resource.ClearField("scope_spans")
    return of_resource.SerializeToString(), packed_scope, packed


def _span(span: ReadableSpan) -> bytes | None:
    """Return the span as a field of its ``ScopeSpans``, or ``None`` if it has parts that are not packed here."""
    context, parent = span.get_span_context(), span.parent
    if context is None or context.trace_state or span.events or span.links:
        return None
    if span.dropped_attributes or span.dropped_events or span.dropped_links:
        return None
    name, start, end = span.name, span.start_time, span.end_time
    if type(start) is not int or type(end) is not int:
        return None  # a bool would be packed as a number, which protobuf refuses
    parts = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
        _names.get(name) or _name(name),
        _KINDS[id(span.kind)],
        _TIMES(0x39, start, 0x41, end),
    ]
    if parent:
        parts += (b"\x22\x08", parent.span_id.to_bytes(8, "big"), _REMOTE if parent.is_remote else _LOCAL)
    else:
        parts.append(_LOCAL)
    parts.append(_status(span.status))
    # The SDK's attributes are a view of a mapping in Python, whose items are slow; a copy of it is a plain dict.
    attributes = span.attributes
    if attributes:
        for key, value in attributes.copy().items():  # type: ignore[attr-defined]
            kind = type(value)
            if kind is float:
                # Of a double only what comes before it is kept.
                parts += (_doubles.get(key) or _before_double(key), _DOUBLE(value))
            else:
                # Values that are equal may differ in type (1 and True), so the key has it.
                parts.append(_pairs.get((key, kind, value)) or _pair(key, kind, value))
    return _field(b"\x12", b"".join(parts))


def _name(name: str) -> bytes:
    packed = _field(b"\x2a", name.encode())
    if len(name) <= _LONGEST:
        _keep(_names, name, packed)
    return packed


def _status(status: Status) -> bytes:
    description = status.description
    if status.status_code is not StatusCode.ERROR:
        if description is not None:
            raise ValueError(description)
        return _STATUS[id(status.status_code)]
    packed = _errors.get(description)
    if packed is None:
        message = b"" if description is None else _field(b"\x12", description.encode())
        packed = _field(b"\x7a", message + b"\x18\x02")
        if description is None or len(description) <= _LONGEST:
            _keep(_errors, description, packed)
    return packed


def _pair(key: str, kind: type, value: object) -> bytes:
    """Return an attribute as a field of its span, and keep it if it may come again."""
    packed = _field(b"\x4a", _field(b"\x0a", key.encode()) + _field(b"\x12", _VALUES[kind](value)))
    if kind is str or kind is bytes:
        repeats = len(value) <= _LONGEST and key not in _IDS  # type: ignore[arg-type]
    elif kind is int:
        repeats = -_LARGEST < value < _LARGEST  # type: ignore[operator]
    else:
        repeats = kind is bool
    if repeats and len(key) <= _LONGEST:
        _keep(_pairs, (key, kind, value), packed)
    return packed


def _before_double(key: str) -> bytes:
    """Return an attribute up to its double: a field of the span, as long as a double makes it."""
    whole = _field(b"\x4a", _field(b"\x0a", key.encode()) + _field(b"\x12", b"\x21" + bytes(8)))
    if len(key) <= _LONGEST:
        _keep(_doubles, key, whole[:-8])
    return whole[:-8]


def _integer(value: int) -> bytes:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError
    return b"\x18" + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


# The members of ``AnyValue`` (opentelemetry/proto/common/v1/common.proto). A type that is not here raises ``KeyError``.
_VALUES: dict[type, Callable[..., bytes]] = {
    str: lambda value: _field(b"\x0a", value.encode()),
    bool: lambda value: b"\x10\x01" if value else b"\x10\x00",
    int: _integer,
    bytes: lambda value: _field(b"\x3a", value),
}


def _field(tag: bytes, payload: bytes) -> bytes:
    return tag + _varint(len(payload)) + payload


def _varint(number: int) -> bytes:
    if number < len(_SHORT):
        return _SHORT[number]
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004  # seven bits
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _keep(known: dict[Key, bytes], key: Key, packed: bytes) -> None:
    if len(known) >= ENTRIES:
        known.clear()
    known[key] = packed
