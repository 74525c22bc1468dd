"""One light span: what the SDK's would record, in one object and without copies.

What is unusual (odd values, limits that bite, events, links) is left to the SDK's own classes, so that all of it is
exported as the SDK would.
"""

import logging
import os
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from math import inf
from time import time_ns
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationInfo, InstrumentationScope
from opentelemetry.semconv.attributes.exception_attributes import (
    EXCEPTION_ESCAPED,
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.util.types import AnyValue, Attributes, AttributeValue

from buoy.telemetry.plain import Plain

_logger = logging.getLogger(__name__)
_AFTER_THE_END = "Tried calling %s on an ended span."
_UNSET = Status()
_NONE = Plain()

# Held while the attributes of a span are replaced: other threads may set some. The same thread may come back to it,
# when garbage collection ends a call that was left behind.
_replacing = threading.RLock()


class Origin:
    """What all spans of one tracer share."""

    def __init__(self, processor: SpanProcessor, scope: InstrumentationScope, limits: SpanLimits) -> None:
        self.processor = processor
        self.scope = scope
        self.limits = limits
        # Up to so many attributes of ours no limit has anything to say.
        self.unlimited: float = inf if limits.max_span_attributes is None else limits.max_span_attributes
        if limits.max_span_attribute_length is not None:
            self.unlimited = -1


# To type checkers an attribute is no property; that it can be read alike is all that exporters ask for.
if TYPE_CHECKING:
    _Base = Span
else:

    class _Base(Span, ReadableSpan):
        __slots__ = ()


class LightSpan(_Base):
    """One span: what the API writes to, and what processors and exporters read.

    Its slots hide the properties of the SDK's class, whose constructor is not called. Attributes are replaced and never
    changed in place, so that who reads them in another thread sees them whole. Once somebody has set anything but
    ``Plain`` ones, the SDK's bounded attributes hold them all.
    """

    __slots__ = (
        "_bounded",
        "_event_list",
        "_link_list",
        "_origin",
        "_plain",
        "context",
        "end_time",
        "instrumentation_scope",
        "kind",
        "name",
        "on_exit",
        "parent",
        "resource",
        "start_time",
        "status",
    )

    def __init__(  # noqa: PLR0917  # called in one place, where each keyword would cost
        self,
        origin: Origin,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        resource: Resource,
        attributes: Attributes,
        links: Sequence[Link],
    ) -> None:
        self._origin = origin
        self.name = name
        self.context = context
        self.parent = parent
        self.kind = kind
        self.resource = resource
        self.instrumentation_scope = origin.scope
        self.status = _UNSET
        self.start_time: int | None = None
        self.end_time: int | None = None
        self.on_exit: tuple[bool, bool] = (True, True)
        self._event_list: BoundedList[Any] | None = None
        self._link_list = self._linked(links) if links else None
        self._plain: dict[str, AttributeValue] = _NONE
        self._bounded: BoundedAttributes | None = None
        if type(attributes) is Plain and len(attributes) <= origin.unlimited:
            self._plain = attributes
        elif attributes:
            self._bounded = self._bounding(attributes)

    # What the API writes.

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Set several attributes."""
        if self.end_time is not None:
            _logger.warning("Setting attribute on ended span.")
            return
        if type(attributes) is Plain:
            with _replacing:
                held = self._plain
                merged = held | attributes
                # An attribute that is set again moves to the end: not in this dict.
                if self._bounded is None and len(held) + len(attributes) == len(merged) <= self._origin.unlimited:
                    self._plain = merged
                    return
        _ = len(attributes), attributes.items  # raises what the SDK's span would for what is no mapping
        bounded, cleaned = self._bound(), self._cleaned(attributes)
        bounded.dropped += cleaned.dropped
        for key, value in cleaned.items():
            bounded[key] = value

    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Set one attribute."""
        if self.end_time is not None:
            _logger.warning("Setting attribute on ended span.")
            return
        is_key = isinstance(key, str) and bool(key)  # whatever else is dropped, and counted
        self._bound()[key] = self._cleaned({key: value})[key] if is_key else value

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event, of the present where no ``timestamp`` (Unix nanoseconds) is given."""
        limits = self._origin.limits
        event = Event(name, self._fixed(limits.max_event_attributes, attributes), timestamp)
        if self.end_time is not None:
            _logger.warning(_AFTER_THE_END, "add_event")
            return
        with _replacing:
            if self._event_list is None:
                self._event_list = BoundedList(limits.max_events)
        self._event_list.append(event)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link to another span."""
        if not _is_worth_it(context, attributes):
            return
        limits = self._origin.limits
        link = Link(context, self._fixed(limits.max_link_attributes, attributes))
        if self.end_time is not None:
            _logger.warning(_AFTER_THE_END, "add_link")
            return
        with _replacing:
            if self._link_list is None:
                self._link_list = BoundedList(limits.max_links)
        self._link_list.append(link)

    def update_name(self, name: str) -> None:
        """Give it another name."""
        if self.end_time is not None:
            _logger.warning(_AFTER_THE_END, "update_name")
            return
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status: OK is the last word, and unset is none."""
        if self.end_time is not None:
            _logger.warning(_AFTER_THE_END, "set_status")
            return
        code = status.status_code if isinstance(status, Status) else status
        if self.status.status_code is StatusCode.OK or code is StatusCode.UNSET:
            return
        if isinstance(status, StatusCode):
            self.status = Status(status, description)
        elif isinstance(status, Status):
            if description is not None:
                _logger.warning(
                    "Description %s ignored. Use either `Status` or `(StatusCode, Description)`", description
                )
            self.status = status

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  # the API's
    ) -> None:
        """Add an event that tells of an exception."""
        kind = type(exception)
        told: dict[str, AnyValue] = {
            EXCEPTION_TYPE: kind.__qualname__
            if kind.__module__ in {"", "builtins"}
            else f"{kind.__module__}.{kind.__qualname__}",
            EXCEPTION_MESSAGE: str(exception),
            EXCEPTION_STACKTRACE: "".join(traceback.format_exception(exception)),
            EXCEPTION_ESCAPED: str(escaped),
        }
        if attributes:
            told.update(attributes)
        self.add_event("exception", told, timestamp)

    def is_recording(self) -> bool:
        """Tell whether it has not ended."""
        return self.end_time is None

    def end(self, end_time: int | None = None) -> None:
        """End it, now where no ``end_time`` (Unix nanoseconds) is given, and hand it on. Only the first time counts."""
        if self.end_time is not None:
            _logger.warning("Calling end() on an ended span.")
            return
        self.end_time = time_ns() if end_time is None else end_time
        processor = self._origin.processor
        # The SDK's hook for processors that change a span at the last moment, experimental and so named.
        processor._on_ending(self)  # type: ignore[arg-type]  # noqa: SLF001
        processor.on_end(cast("ReadableSpan", self))

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, where: TracebackType | None
    ) -> None:
        """End it, with what the block raised."""
        records, sets_status = self.on_exit
        if exception is not None and self.is_recording():
            if records:
                self.record_exception(exception, escaped=True)
            if sets_status:
                self.set_status(Status(StatusCode.ERROR, f"{type(exception).__name__}: {exception}"))
        super().__exit__(kind, exception, where)

    # What exporters read, besides the slots.

    def get_span_context(self) -> SpanContext:
        """Return its ids and flags."""
        return self.context

    @property
    def attributes(self) -> Attributes:
        """The attributes, as they are now."""
        return MappingProxyType(self._plain if self._bounded is None else self._bounded)

    @property
    def events(self) -> Sequence[Event]:
        """The events that are kept."""
        return tuple(self._event_list or ())

    @property
    def links(self) -> Sequence[Link]:
        """The links that are kept."""
        return tuple(self._link_list or ())

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped."""
        return 0 if self._bounded is None else self._bounded.dropped

    @property
    def dropped_events(self) -> int:
        """How many events were dropped."""
        return 0 if self._event_list is None else self._event_list.dropped

    @property
    def dropped_links(self) -> int:
        """How many links were dropped."""
        return 0 if self._link_list is None else self._link_list.dropped

    def to_json(self, indent: int | None = 4) -> str:
        """Return it as the SDK's console exporter shows it."""
        text: str = self._readable().to_json(indent)
        return text

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name="{self.name}", context={self.context})'

    def __getattr__(self, name: str) -> Any:
        """Return what the SDK's span has besides: some exporters read what is private of it."""
        if not name.startswith("_") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._readable(), name)

    def _readable(self) -> ReadableSpan:
        scope = self.instrumentation_scope
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            info = InstrumentationInfo(scope.name, scope.version or "", scope.schema_url)
        return ReadableSpan(
            self.name,
            context=self.context,
            parent=self.parent,
            resource=self.resource,
            attributes=dict(self._plain) if self._bounded is None else self._bounded,
            events=self._event_list or BoundedList(None),
            links=self._link_list or BoundedList(None),
            kind=self.kind,
            instrumentation_info=info,
            status=self.status,
            start_time=self.start_time,
            end_time=self.end_time,
            instrumentation_scope=scope,
        )

    def _bound(self) -> BoundedAttributes:
        """Return the attributes in the SDK's own mapping, which cleans and counts whatever is set from now on."""
        with _replacing:
            if self._bounded is None:
                self._bounded = self._bounding(self._plain)
            return self._bounded

    def _bounding(self, attributes: Attributes) -> BoundedAttributes:
        limits = self._origin.limits
        length = limits.max_span_attribute_length
        bounded = BoundedAttributes(limits.max_span_attributes, attributes, immutable=False, max_value_len=length)
        # What is set later comes cleaned. To clean it twice would cut texts that the SDK leaves long: those of objects.
        bounded.max_value_len = None
        return bounded

    def _cleaned(self, attributes: Attributes) -> BoundedAttributes:
        return BoundedAttributes(None, attributes, max_value_len=self._origin.limits.max_span_attribute_length)

    def _fixed(self, most: int | None, attributes: Attributes) -> BoundedAttributes:
        return BoundedAttributes(most, attributes, max_value_len=self._origin.limits.max_attribute_length)

    def _linked(self, links: Sequence[Link]) -> BoundedList[Any]:
        most = self._origin.limits.max_link_attributes
        kept = [
            Link(link.context, self._fixed(most, link.attributes))
            for link in links
            if link and _is_worth_it(link.context, link.attributes)  # type: ignore[truthy-bool]  # as the SDK asks
        ]
        return BoundedList.from_seq(self._origin.limits.max_links, kept)


def _is_worth_it(context: SpanContext, attributes: Attributes) -> bool:
    """Tell whether a link leads anywhere or says anything."""
    return bool(context and (context.is_valid or attributes or context.trace_state))


def _renew() -> None:
    global _replacing  # noqa: PLW0603  # a thread of the parent may hold it, and the child does not have that thread
    _replacing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
