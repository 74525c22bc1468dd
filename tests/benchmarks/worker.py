"""One way to make the call, and raw aiohttp beside it, in a process of their own: OpenTelemetry's providers are one per
process. Reads a line of JSON for each measurement and answers with one; tests/benchmarks/cost.py is who asks.
"""  # noqa: D205  # the reason is the sentence

import argparse
import asyncio
import gc
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import aiohttp
from opentelemetry import metrics, trace

import buoy
from buoy.telemetry import scope
from tests.benchmarks import by_hand, ours
from tests.benchmarks.by_hand import OneCall

NEVER_MS = "3600000"  # metrics are exported when a measurement asks for it, and at no other time
QUEUE = 16384  # what setup() takes: no variant gets cheap by dropping spans
WARM = 3  # calls before each measurement, of each that will be in flight
PACKAGES = (
    "aiohttp",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-instrumentation-aiohttp-client",
    "tenacity",
    "aiolimiter",
    "purgatory",
)


def none(sink: str) -> None:
    """Leave OpenTelemetry without an SDK."""
    del sink


def ours_sampled(sink: str) -> None:
    """Let Buoy configure the SDK."""
    buoy.setup(endpoint=sink)


def ours_unsampled(sink: str) -> None:
    """Let Buoy configure the SDK, with a ratio of 0."""
    os.environ |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    buoy.setup(endpoint=sink)


def stock(sink: str) -> None:
    """Configure the SDK as its documentation says."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415  # here alone
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    tracers = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{sink}/v1/traces")
    tracers.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE))
    trace.set_tracer_provider(tracers)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{sink}/v1/metrics"))
    metrics.set_meter_provider(MeterProvider([reader]))


async def _by_hand(stack: AsyncExitStack, base: str) -> OneCall:
    return by_hand.bare_otel(await _session(stack), base)


async def _peers(stack: AsyncExitStack, base: str) -> OneCall:
    from tests.benchmarks import peers  # noqa: PLC0415  # what it imports is not in every environment

    return peers.composed(await _session(stack), base)


async def _instrumented(stack: AsyncExitStack, base: str) -> OneCall:
    from tests.benchmarks import peers  # noqa: PLC0415  # the same

    peers.instrument()
    return await _peers(stack, base)


async def _session(stack: AsyncExitStack) -> aiohttp.ClientSession:
    # No limit of the pool's own, as in Buoy: with 1,000 in flight a queue in there would be what is measured.
    return await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))


class Variant(NamedTuple):
    """One way to make the call. ``spans`` is how many of them must reach the receiver, of each call."""

    title: str
    telemetry: Callable[[str], None]
    made: Callable[[AsyncExitStack, str], Awaitable[OneCall]]
    spans: int
    composed: bool = False  # of the peers, which are not in every environment


VARIANTS = {
    "peers_sampled": Variant("peers with instrumentor, OTLP", stock, _instrumented, 1, composed=True),
    "peers_without_instrumentor": Variant("the same peers without it", none, _peers, 0, composed=True),
    "bare_otel": Variant("OpenTelemetry by hand, OTLP", stock, _by_hand, 2),
    "buoy_sampled": Variant("Buoy, sampled, setup()", ours_sampled, ours.plain, 2),
    "buoy_unsampled": Variant("Buoy, unsampled, setup()", ours_unsampled, ours.plain, 0),
    "buoy_no_sdk": Variant("Buoy, no SDK", none, ours.plain, 0),
    "buoy_foreign_sdk": Variant("Buoy, sampled, SDK of others", stock, ours.plain, 2),
    "buoy_all_policies": Variant("Buoy, sampled, all policies", ours_sampled, ours.guarded, 2),
    "buoy_all_policies_no_sdk": Variant("Buoy, no SDK, all policies", none, ours.guarded, 0),
    "buoy_streaming": Variant("Buoy, sampled, streaming", ours_sampled, ours.streaming, 2),
    "buoy_200_operations": Variant("Buoy, sampled, 200 operations", ours_sampled, ours.many, 2),
}


def flush() -> None:
    """Export every span of the calls so far, and hand over their histogram records."""
    scope.flush()
    getattr(trace.get_tracer_provider(), "force_flush", bool)()


def export_metrics() -> None:
    """Export metrics, which happens every ten seconds or every minute, not with calls."""
    getattr(metrics.get_meter_provider(), "force_flush", bool)()


async def measure(call: OneCall, calls: int, in_flight: int) -> tuple[float, int]:
    """Return CPU microseconds per call, of the whole process and with the export of its spans, and all calls made."""
    each = calls // in_flight

    async def work(count: int) -> None:
        for _ in range(count):
            await call()

    await asyncio.gather(*(work(WARM) for _ in range(in_flight)))  # connections that the pool let go meanwhile
    flush()
    gc.collect()
    begun = time.process_time()
    await asyncio.gather(*(work(each) for _ in range(in_flight)))
    flush()
    return (time.process_time() - begun) / (each * in_flight) * 1e6, (each + WARM) * in_flight


def _metrics_ms() -> float:
    begun = time.process_time()
    export_metrics()
    return (time.process_time() - begun) * 1e3


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0], "buoy": buoy.__version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


async def _serve(variant: Variant, base: str, sink: str) -> None:
    variant.telemetry(sink)
    loop, made = asyncio.get_running_loop(), 0
    async with AsyncExitStack() as stack:
        calls: dict[str, OneCall] = {"raw": by_hand.raw(await _session(stack), base)}  # made before they instrument
        calls["variant"] = await variant.made(stack, base)
        _say(_versions())
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            asked: dict[str, Any] = json.loads(line)
            if asked["what"] == "metrics":
                _say({"ms": _metrics_ms(), "calls": made})
            else:
                us, count = await measure(calls[asked["what"]], asked["calls"], asked["in_flight"])
                made += count if asked["what"] == "variant" else 0
                _say({"us": us})


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve one variant until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("base", help="URL of the server")
    parser.add_argument("sink", help="URL of the OTLP receiver")
    arguments = parser.parse_args()
    os.environ |= {
        "OTEL_SERVICE_NAME": arguments.variant,
        "OTEL_METRIC_EXPORT_INTERVAL": NEVER_MS,
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    }
    asyncio.run(_serve(VARIANTS[arguments.variant], arguments.base, arguments.sink))


if __name__ == "__main__":
    main()
