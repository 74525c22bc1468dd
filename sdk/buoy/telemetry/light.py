"""A tracer whose spans cost a fraction of the SDK's, and are exported as those would be.

``tests/unit/telemetry/test_light_equals_stock.py`` compares the two, over the whole contract and with odd values.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import time_ns

from opentelemetry.context import Context
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBasedTraceIdRatio,
    TraceIdRatioBased,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    get_current_span,
    use_span,
)
from opentelemetry.util.types import Attributes

from buoy.telemetry.light_span import LightSpan, Origin
from buoy.telemetry.plain import Plain

_SAMPLED, _RANDOM = TraceFlags.SAMPLED, TraceFlags.RANDOM_TRACE_ID
_FLAGS = tuple(TraceFlags(number) for number in range(4))
_TAKEN = Decision.RECORD_AND_SAMPLE


def fits_environment() -> bool:
    """Tell whether light spans can stand in for the SDK's, which alone count themselves where that is asked for."""
    return os.environ.get(OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED, "").strip().lower() != "true"


class LightTracer(Tracer):
    """A tracer of ``provider`` whose spans go to ``processor``, the provider's own.

    As with the SDK's tracer, sampler and id generator are those that the provider has when the tracer is made. The
    resource is read at each start, for it changes at a fork. ``limits`` are by default those of the environment.
    """

    def __init__(
        self,
        provider: TracerProvider,
        processor: SpanProcessor,
        scope: InstrumentationScope,
        *,
        limits: SpanLimits | None = None,
    ) -> None:
        self._origin = Origin(processor, scope, limits or SpanLimits())
        self._processor = processor
        self._provider = provider
        self._ids = provider.id_generator
        self._sampler = sampler = provider.sampler
        # Of the SDK's own samplers it is known what they answer, and that they leave attributes alone.
        self._is_known = type(sampler) in {ParentBasedTraceIdRatio, TraceIdRatioBased} or any(
            sampler is known for known in (ALWAYS_ON, ALWAYS_OFF, DEFAULT_ON, DEFAULT_OFF)
        )
        self._takes_roots = sampler is ALWAYS_ON or sampler is DEFAULT_ON
        self._follows = self._takes_roots or sampler is DEFAULT_OFF or type(sampler) is ParentBasedTraceIdRatio

    def start_span(  # noqa: PLR0917  # the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002  # the API's
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002  # the API's
    ) -> Span:
        """Start a span; one that records nothing where the sampler says so."""
        parent: SpanContext | None = get_current_span(context).get_span_context()
        if parent is not None and not isinstance(parent, SpanContext):
            msg = "parent_span_context must be a SpanContext or None."
            raise TypeError(msg)
        links = links or ()
        if parent is None or not parent.is_valid:
            parent, state, is_taken = None, None, self._takes_roots
            trace_id = self._ids.generate_trace_id()
            random = _RANDOM if self._ids.is_trace_id_random() else 0
        else:
            flags, state = parent.trace_flags, parent.trace_state
            is_taken = self._follows and bool(flags & _SAMPLED)
            trace_id, random = parent.trace_id, flags & _RANDOM
        decision = _TAKEN
        if not is_taken or type(attributes) is not Plain:
            result = self._sampler.should_sample(context, trace_id, name, kind, attributes, links)
            decision, state = result.decision, result.trace_state
            if not self._is_known or type(attributes) is not Plain:
                attributes = result.attributes
        flags = _FLAGS[random | _SAMPLED if decision is _TAKEN else random]
        own = SpanContext(trace_id, self._ids.generate_span_id(), False, flags, state)  # noqa: FBT003  # not remote
        if decision is Decision.DROP:
            return NonRecordingSpan(own)
        span = LightSpan(self._origin, name, own, parent, kind, self._provider.resource, attributes, links)
        if not record_exception or not set_status_on_exception:
            span.on_exit = record_exception, set_status_on_exception
        span.start_time = time_ns() if start_time is None else start_time
        self._processor.on_start(span, context)  # type: ignore[arg-type]  # it has what is public of the SDK's
        return span

    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # noqa: PLR0917  # the API's
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: FBT001, FBT002  # the API's
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002  # the API's
        end_on_exit: bool = True,  # noqa: FBT001, FBT002  # the API's
    ) -> Iterator[Span]:
        """Start a span that is current inside the block."""
        on_exit = record_exception, set_status_on_exception
        span = self.start_span(name, context, kind, attributes, links, start_time, *on_exit)
        with use_span(span, end_on_exit, *on_exit):
            yield span
