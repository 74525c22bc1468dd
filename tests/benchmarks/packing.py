"""What it costs to encode 512 spans as Buoy makes them: the stock encoder and ours, in CPU time per span."""

import statistics
import time
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from buoy import contract
from buoy.telemetry.packing import pack

SPANS = 512
ROUNDS = 15

_NAMES: dict[str, AttributeValue] = {contract.PROVIDER: "shop", contract.OPERATION: "product"}
_CALL = {**_NAMES, "buoy.transport": "http", contract.SAFETY: "safe", contract.DEADLINE: 30.0}
_SEND: dict[str, AttributeValue] = {
    **_NAMES,
    contract.ATTEMPT_KIND: "first",
    contract.ATTEMPT_NUMBER: 1,
    "http.request.method": "GET",
    "server.address": "127.0.0.1",
    "server.port": 8000,
    "url.full": "http://127.0.0.1:8000/products/{id}",
    "url.template": "/products/{id}",
}


def spans(count: int) -> Sequence[ReadableSpan]:
    """Return as many finished spans, calls and their sends in turn, each with ids and times of its own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "bench"}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(contract.SCOPE)
    for number in range(count // 2):
        call = tracer.start_span("shop product", None, SpanKind.INTERNAL, _CALL)
        send = tracer.start_span("GET /products/{id}", set_span_in_context(call), SpanKind.CLIENT, _SEND)
        send.set_attributes({"http.response.status_code": 200, "network.protocol.version": "1.1"})
        send.end()
        end: dict[str, AttributeValue] = {contract.REQUEST_ID: f"{number:032x}", "buoy.call.attempts": 1}
        end |= {"buoy.call.sends": 1, "buoy.result.origin": "live", "buoy.time.attempts": number / 7}
        call.set_attributes(end)
        call.end()
    return exporter.get_finished_spans()


def measure(encode: Callable[[Sequence[ReadableSpan]], bytes], batch: Sequence[ReadableSpan]) -> float:
    """Return the median over the rounds, in microseconds of CPU per span."""
    encode(batch)
    samples = []
    for _ in range(ROUNDS):
        started = time.process_time()
        encode(batch)
        samples.append((time.process_time() - started) * 1e6 / len(batch))
    return statistics.median(samples)


def stock(batch: Sequence[ReadableSpan]) -> bytes:
    """Encode as the stock exporter does."""
    return encode_spans(batch).SerializePartialToString()


def main() -> None:
    """Print both, and how many times cheaper ours is."""
    batch = spans(SPANS)
    usual, packed = measure(stock, batch), measure(pack, batch)
    print(f"{SPANS} spans: stock {usual:.2f} us per span, packed {packed:.2f}, {usual / packed:.1f} times cheaper")


if __name__ == "__main__":
    main()
