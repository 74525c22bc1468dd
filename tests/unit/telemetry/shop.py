"""A provider to call, and what its tests ask of a call and of a span."""

from collections.abc import Awaitable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

import buoy

AT_ONCE = buoy.Retry(base=0.0, throttled_base=0.0)


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=AT_ONCE):
    """Something to call."""

    item = buoy.get("/items/{id}", name="items.get")
    tell = buoy.post("/notes", name="notes.make")


async def failing(call: Awaitable[object]) -> BaseException:
    """Return what the call raises."""
    try:
        await call
    except BaseException as error:  # noqa: BLE001  # a cancellation too
        return error
    msg = "a call that must fail succeeded"
    raise AssertionError(msg)


def context_of(span: ReadableSpan) -> SpanContext:
    """Return the ids of a finished span."""
    context: SpanContext | None = span.context
    assert context is not None
    return context
