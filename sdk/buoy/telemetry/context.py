"""The span context of a send, made current around code that is not ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel
from opentelemetry.trace import set_span_in_context

from buoy.pipeline.call import Call, Send


@contextmanager
def attached(call: Call, send: Send) -> Iterator[None]:
    """Make the send's span current, or where it is not recorded the call's, so that what runs inside is its child."""
    span = send.span or call.span
    if span is None or not span.get_span_context().is_valid:
        yield
        return
    token = otel.attach(set_span_in_context(span, call.context))
    closed = False
    try:
        yield
    except GeneratorExit:  # from outside of this context, which goes with its task
        closed = True
        raise
    finally:
        if not closed:
            otel.detach(token)
