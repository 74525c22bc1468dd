"""What a call costs in CPU, above raw aiohttp and beside OpenTelemetry written by hand: ``make bench``.

One process, variants in rotating order, CPU time of the whole process (exporter threads included, with the flush
inside): the median over rounds of the difference to raw *within the round*, and the difference of the minima. The
server is another process. Figures are microseconds per call; compare ratios, not figures of different machines.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracer, SpanKind, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

import buoy
from buoy import contract
from buoy.telemetry import scope as process
from buoy.telemetry.scope import Scope

Values = dict[str, AttributeValue]
OneCall = Callable[[], Awaitable[object]]
IN_FLIGHT = (1, 64)


class NullExporter(SpanExporter):
    """Takes every batch and drops it: what is left is the cost of recording."""

    def export(self, spans: object) -> SpanExportResult:  # noqa: ARG002  # the signature is the SDK's
        """Drop them."""
        return SpanExportResult.SUCCESS


@dataclass
class Variant:
    """One way to make the call, and what must be flushed for its telemetry to be paid for."""

    name: str
    call: OneCall
    flush: Callable[[], object] = lambda: None
    samples: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in IN_FLIGHT})


def _sdk(*, sampled: bool = True) -> tuple[TracerProvider, MeterProvider]:
    tracers = TracerProvider(sampler=None if sampled else ALWAYS_OFF)
    tracers.add_span_processor(BatchSpanProcessor(NullExporter(), max_queue_size=16384))
    return tracers, MeterProvider(metric_readers=[InMemoryMetricReader()])


def _raw(session: aiohttp.ClientSession, url: str) -> OneCall:
    async def call() -> object:
        async with session.get(url) as response:
            return await response.json()

    return call


def _by_hand(session: aiohttp.ClientSession, url: str, tracer: Tracer, meters: MeterProvider) -> OneCall:
    """The same two spans and two histogram records with the same attributes, as a careful engineer writes them."""
    meter = meters.get_meter("hand")
    bounds = list(contract.DURATION_BOUNDARIES)
    calls = meter.create_histogram("hand.call.duration", "s", explicit_bucket_boundaries_advisory=bounds)
    attempts = meter.create_histogram("hand.attempt.duration", "s", explicit_bucket_boundaries_advisory=bounds)
    names = {"buoy.provider": "shop", "buoy.operation": "product"}
    call_start: Values = {**names, "buoy.transport": "http", "buoy.call.safety": "safe", "buoy.call.deadline": 30.0}
    attempt_start: Values = {
        **names,
        "buoy.attempt.kind": "first",
        "buoy.attempt.number": 1,
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "url.full": "http://127.0.0.1:8000/products/{id}",
        "url.template": "/products/{id}",
    }

    async def call() -> object:
        started = time.perf_counter()
        span = tracer.start_span("shop product", None, SpanKind.INTERNAL, call_start)
        context = set_span_in_context(span)
        attempt = tracer.start_span("GET /products/{id}", context, SpanKind.CLIENT, attempt_start)
        ids = attempt.get_span_context()
        header = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"
        begun = time.perf_counter()
        async with session.get(url, headers={"traceparent": header}) as response:
            value = await response.json()
        elapsed = time.perf_counter() - begun
        attempts.record(elapsed, {**names, "buoy.attempt.kind": "first"}, set_span_in_context(attempt, context))
        attempt.set_attributes({"http.response.status_code": response.status, "network.protocol.version": "1.1"})
        attempt.end()
        end: Values = {"buoy.request.id": ids.trace_id.to_bytes(16, "big").hex(), "buoy.call.attempts": 1}
        end |= {"buoy.call.sends": 1, "buoy.result.origin": "live", "buoy.time.attempts": elapsed}
        calls.record(time.perf_counter() - started, {**names, "buoy.transport": "http"}, context)
        span.set_attributes(end)
        span.end()
        return value

    return call


async def _buoy(stack: AsyncExitStack, base_url: str, scope: Scope) -> OneCall:
    """A provider of its own scope: the process-wide one is looked up only when it is made and entered."""
    process._present = scope
    shop = await stack.enter_async_context(Shop(base_url=base_url))

    async def call() -> object:
        return await shop.product(id="7")

    return call


class Shop(buoy.Provider):
    """The five lines."""

    product = buoy.get("/products/{id}")


async def _variants(stack: AsyncExitStack, port: int) -> list[Variant]:
    base = f"http://127.0.0.1:{port}"
    session = await stack.enter_async_context(aiohttp.ClientSession())
    found = [Variant("raw aiohttp", _raw(session, f"{base}/products/7"))]
    tracers, meters = _sdk()
    by_hand = _by_hand(session, f"{base}/products/7", tracers.get_tracer("hand"), meters)
    found.append(Variant("OpenTelemetry by hand", by_hand, tracers.force_flush))
    tracers, meters = _sdk()
    scope = Scope(tracers.get_tracer("buoy"), meters.get_meter("buoy"))
    found.append(Variant("Buoy sampled", await _buoy(stack, base, scope), tracers.force_flush))
    tracers, meters = _sdk(sampled=False)
    scope = Scope(tracers.get_tracer("buoy"), meters.get_meter("buoy"))
    found.append(Variant("Buoy unsampled", await _buoy(stack, base, scope), tracers.force_flush))
    scope = Scope(NoOpTracer(), NoOpMeter("buoy"))
    found.append(Variant("Buoy without SDK", await _buoy(stack, base, scope)))
    return found


async def _measure(variant: Variant, calls: int, in_flight: int) -> float:
    """Return CPU microseconds per call of the whole process."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await variant.call()

    gc.collect()
    begun = time.process_time()
    await asyncio.gather(*(worker(calls // in_flight) for _ in range(in_flight)))
    variant.flush()
    return (time.process_time() - begun) / (calls // in_flight * in_flight) * 1e6


async def _run(port: int, rounds: int, calls: int) -> list[Variant]:
    async with AsyncExitStack() as stack:
        variants = await _variants(stack, port)
        for variant in variants:
            await _measure(variant, calls, 64)  # warm-up: connections, caches, code
        for turn in range(rounds):
            for offset in range(len(variants)):
                variant = variants[(turn + offset) % len(variants)]
                for in_flight in IN_FLIGHT:
                    variant.samples[in_flight].append(await _measure(variant, calls, in_flight))
        return variants


def _added(variant: Variant, raw: Variant, in_flight: int, by: str) -> float:
    """Return what a variant adds to raw: the median difference within a round, or the difference of the minima."""
    mine, its = variant.samples[in_flight], raw.samples[in_flight]
    if by == "minimum":
        return min(mine) - min(its)
    return statistics.median(a - b for a, b in zip(mine, its, strict=True))


def _report(variants: list[Variant]) -> dict[str, object]:
    raw, by_hand = variants[0], variants[1]
    figures: dict[str, object] = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    print("CPU us per call above raw aiohttp, and (beside OpenTelemetry by hand)")
    for in_flight in IN_FLIGHT:
        print(f"\n{in_flight} in flight; raw {_spread(raw.samples[in_flight])}")
        for variant in variants[1:]:
            row = f"  {variant.name:24}"
            for by in ("median", "minimum"):
                added = _added(variant, raw, in_flight, by)
                ratio = added / _added(by_hand, raw, in_flight, by)
                row += f"{by:>10} {added:6.1f} ({ratio:.2f})"
                figures[f"{variant.name}, {in_flight} in flight, {by}"] = {"added_us": added, "to_by_hand": ratio}
            print(row)
    return figures


def _spread(samples: list[float]) -> str:
    return (
        f"{statistics.median(samples):.1f} us, from {min(samples):.1f} to {max(samples):.1f} over {len(samples)} rounds"
    )


def main() -> None:
    """Run the benchmark, print a table and write ``build/bench.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=1000)
    arguments = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        figures = _report(asyncio.run(_run(port, arguments.rounds, arguments.calls)))
    finally:
        server.terminate()
        server.wait()
    target = Path("build/bench.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
