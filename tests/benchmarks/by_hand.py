"""The call as one writes it without Buoy: aiohttp alone, and with OpenTelemetry written by hand."""

import itertools
import time
from collections.abc import Awaitable, Callable

import aiohttp
from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from buoy import contract

Values = dict[str, AttributeValue]
OneCall = Callable[[], Awaitable[object]]

PRODUCTS = 1000  # different ones, so that no variant lives on one URL that it has seen before


def raw(session: aiohttp.ClientSession, base: str) -> OneCall:
    """Return the call without anything: what all others are measured above."""
    numbers = itertools.cycle(range(PRODUCTS))

    async def call() -> object:
        async with session.get(f"{base}/products/{next(numbers)}") as response:
            return await response.json()

    return call


def bare_otel(session: aiohttp.ClientSession, base: str) -> OneCall:
    """Return the call with the spans, histogram records and counters of the contract, as a careful engineer does."""
    tracer, meter = trace.get_tracer("hand"), metrics.get_meter("hand")
    bounds = list(contract.DURATION_BOUNDARIES)
    calls = meter.create_histogram("hand.call.duration", "s", explicit_bucket_boundaries_advisory=bounds)
    attempts = meter.create_histogram("hand.attempt.duration", "s", explicit_bucket_boundaries_advisory=bounds)
    names: Values = {"buoy.provider": "shop", "buoy.operation": "product"}
    counted, active = _observed(meter, "hand.calls", names), _observed(meter, "hand.calls.active", names)
    by_kind: Values = {**names, "buoy.attempt.kind": "first"}
    by_transport: Values = {**names, "buoy.transport": "http"}
    call_start: Values = {**by_transport, "buoy.call.safety": "safe", "buoy.call.deadline": 30.0}
    attempt_start: Values = {
        **by_kind,
        "buoy.attempt.number": 1,
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "url.full": "http://127.0.0.1:8000/products/{id}",
        "url.template": "/products/{id}",
    }
    numbers = itertools.cycle(range(PRODUCTS))

    async def call() -> object:
        started = time.perf_counter()
        active[0] += 1
        span = tracer.start_span("shop product", None, SpanKind.INTERNAL, call_start)
        context = set_span_in_context(span)
        attempt = tracer.start_span("GET /products/{id}", context, SpanKind.CLIENT, attempt_start)
        ids = attempt.get_span_context()
        header = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"
        begun = time.perf_counter()
        async with session.get(f"{base}/products/{next(numbers)}", headers={"traceparent": header}) as response:
            value = await response.json()
        elapsed = time.perf_counter() - begun
        attempts.record(elapsed, by_kind, set_span_in_context(attempt, context))
        attempt.set_attributes({"http.response.status_code": response.status, "network.protocol.version": "1.1"})
        attempt.end()
        end: Values = {"buoy.request.id": ids.trace_id.to_bytes(16, "big").hex(), "buoy.call.attempts": 1}
        end |= {"buoy.call.sends": 1, "buoy.result.origin": "live", "buoy.time.attempts": elapsed}
        calls.record(time.perf_counter() - started, by_transport, context)
        counted[0] += 1
        active[0] -= 1
        span.set_attributes(end)
        span.end()
        return value

    return call


def _observed(meter: metrics.Meter, name: str, attributes: Values) -> list[int]:
    """Return a number that is read when metrics are collected."""
    slot = [0]

    def read(_: CallbackOptions) -> list[Observation]:
        return [Observation(slot[0], attributes)]

    meter.create_observable_counter(name, [read])
    return slot
