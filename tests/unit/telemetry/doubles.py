"""Two of everything: what is written once goes to the SDK's span and to the light one, with the same ids and times."""

import itertools
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import (
    ReadableSpan,
    SpanLimits,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer, get_current_span
from opentelemetry.util.types import Attributes

from buoy import contract
from buoy.telemetry.light import LightTracer
from buoy.version import __version__

WHO = Resource({"service.name": "test"})


class Ids(IdGenerator):
    """Ids in a row, the same for everybody who begins anew."""

    def __init__(self, *, random: bool = True) -> None:
        self._numbers = itertools.count(1)
        self._random = random

    def generate_span_id(self) -> int:
        """Return the next."""
        return next(self._numbers)

    def generate_trace_id(self) -> int:
        """Return the next, spread over all bits."""
        return next(self._numbers) * 0x9E3779B97F4A7C15F39CC0605CEDC835 & (1 << 128) - 1

    def is_trace_id_random(self) -> bool:
        """Say what was asked for."""
        return self._random


class Ended(SpanProcessor):
    """Keeps what has started, with what the parent's context has, and what has ended."""

    def __init__(self) -> None:
        self.started: list[tuple[object, ...]] = []
        self.ending: list[tuple[str, bool]] = []
        self.spans: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Keep its name, and what the parent's context has: values and a span."""
        held = dict(parent_context or {})
        values = {key: value for key, value in held.items() if not isinstance(value, Span)}
        self.started.append(
            (span.name, parent_context is None, values, get_current_span(parent_context).get_span_context())
        )

    def _on_ending(self, span: Any) -> None:
        self.ending.append((span.name, span.is_recording()))

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


class Side:
    """A provider with its tracer: the SDK's, or the light one."""

    def __init__(
        self,
        *,
        light: bool,
        sampler: Sampler | None = ALWAYS_ON,
        limits: SpanLimits | None = None,
        random: bool = True,
        processors: Sequence[SpanProcessor] = (),
    ) -> None:
        self.ended = Ended()
        several = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
        for processor in (*processors, self.ended):
            several.add_span_processor(processor)
        self.provider = TracerProvider(
            sampler=sampler,
            resource=WHO,
            shutdown_on_exit=False,
            active_span_processor=several,
            id_generator=Ids(random=random),
            span_limits=limits,
        )
        scope = InstrumentationScope(contract.SCOPE, __version__, contract.SCHEMA_URL)
        self.tracer: Tracer = (
            LightTracer(self.provider, several, scope, limits=limits)
            if light
            else self.provider.get_tracer(contract.SCOPE, __version__, contract.SCHEMA_URL)
        )


class BothSpan(Span):
    """Does everything with both."""

    def __init__(self, stock: Span, light: Span) -> None:
        self._both = (stock, light)
        assert stock.get_span_context() == light.get_span_context()
        assert stock.is_recording() == light.is_recording()

    def get_span_context(self) -> SpanContext:
        """Return what both have."""
        return self._both[0].get_span_context()

    def is_recording(self) -> bool:
        """Return what both say."""
        return self._both[0].is_recording()

    def end(self, end_time: int | None = None) -> None:
        """End both, at the same time."""
        end_time = time.time_ns() if end_time is None else end_time
        for span in self._both:
            span.end(end_time)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set them on both."""
        for span in self._both:
            span.set_attributes(attributes)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set it on both."""
        for span in self._both:
            span.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add it to both, of the same time."""
        timestamp = time.time_ns() if timestamp is None else timestamp
        for span in self._both:
            span.add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add it to both."""
        for span in self._both:
            span.add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Rename both."""
        for span in self._both:
            span.update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set it on both."""
        for span in self._both:
            span.set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: FBT001, FBT002  # the API's
    ) -> None:
        """Add it to both, of the same time."""
        timestamp = time.time_ns() if timestamp is None else timestamp
        for span in self._both:
            span.record_exception(exception, attributes, timestamp, escaped)


class BothTracer(Tracer):
    """Starts two spans for one."""

    def __init__(self, stock: Tracer, light: Tracer) -> None:
        self._both = (stock, light)

    def start_span(  # noqa: PLR0917  # the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002  # the API's
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002  # the API's
    ) -> Span:
        """Start both, at the same time."""
        start_time = time.time_ns() if start_time is None else start_time
        on_exit = (record_exception, set_status_on_exception)
        return BothSpan(
            *(tracer.start_span(name, context, kind, attributes, links, start_time, *on_exit) for tracer in self._both)
        )

    def start_as_current_span(self, *_: Any, **__: Any) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Refuse: nobody needs it."""
        raise NotImplementedError
