"""The receiver over real HTTP, and its figures: what real OTLP says is kept as it came and summed as promised."""

import base64
import gzip
import http.client
import json
import math
import random
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from buoy.cli.demo.figures import WINDOW, Figures, percentile
from buoy.cli.demo.receiver import Received, Receiver
from tests.unit.support.process import PATIENCE, running
from tests.unit.support.protobuf import SCOPE, put
from tests.unit.support.truthful import truthful

PROTOBUF = {"Content-Type": "application/x-protobuf"}
ZIPPED = {**PROTOBUF, "Content-Encoding": "gzip"}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[int]:
    """Run a receiver here, on a thread; return its port. It keeps what it gets in ``tmp_path/out``."""
    received = Received(tmp_path / "out")
    with Receiver(0, received) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()
    received.close()


def ask(
    port: int, asked: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, bytes]:
    """Ask once; return status and body."""
    method, _, path = asked.partition(" ")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def post(port: int, name: str, body: bytes, headers: Mapping[str, str] = PROTOBUF) -> tuple[int, bytes]:
    """Export once."""
    return ask(port, f"POST /v1/{name}", body, headers)


def exports(directory: Path) -> list[tuple[str, bytes]]:
    """Return the export requests of a truthful run: spans, and metrics amid it, twice at its end, and afterwards."""
    lines = (truthful().write(directory) / "otlp.jsonl").read_text().splitlines()
    return [(record["signal"], base64.b64decode(record["body"])) for record in map(json.loads, lines)]


def calls(*durations: float, end: float = 1000.0) -> ExportTraceServiceRequest:
    """Return an export of call spans that last so long and end at ``end``."""
    spans = []
    for duration in durations:
        span = Span(end_time_unix_nano=round(end * 1e9), start_time_unix_nano=round((end - duration) * 1e9))
        put(span, buoy__request__id="r", buoy__call__attempts=2, buoy__time__attempts=duration, buoy__time__backoff=0.5)
        spans.append(span)
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(scope=SCOPE, spans=spans)])])


def test_requests_are_kept_as_they_came(receiver: int, tmp_path: Path) -> None:
    """Every export is answered with the response of its signal and kept, line by line, byte for byte."""
    logs = ExportLogsServiceRequest().SerializeToString()
    sent = [*exports(tmp_path)[:2], ("logs", logs)]
    responses = (
        ExportTraceServiceResponse().SerializeToString(),
        ExportMetricsServiceResponse().SerializeToString(),
        ExportLogsServiceResponse().SerializeToString(),
    )
    for (name, body), response in zip(sent, responses, strict=True):
        assert post(receiver, name, body) == (200, response)
    kept = [json.loads(line) for line in (tmp_path / "out" / "otlp.jsonl").read_text().splitlines()]
    assert [(line["signal"], base64.b64decode(line["body"])) for line in kept] == sent


def test_compressed_bodies_are_understood(receiver: int, tmp_path: Path) -> None:
    """A gzip body is kept unpacked."""
    name, body = exports(tmp_path)[0]
    assert post(receiver, name, gzip.compress(body), ZIPPED)[0] == 200
    (line,) = (tmp_path / "out" / "otlp.jsonl").read_text().splitlines()
    assert base64.b64decode(json.loads(line)["body"]) == body


@pytest.mark.parametrize(
    ("asked", "headers", "body", "status"),
    [
        ("POST /v1/traces", PROTOBUF, b"\xff\xff", 400),
        ("POST /v1/traces", ZIPPED, b"not gzip", 400),
        ("POST /v1/traces", ZIPPED, gzip.compress(b"x" * 99)[:-9], 400),
        ("POST /v1/traces", {"Content-Type": "application/json"}, b"{}", 415),
        ("POST /v1/profiles", PROTOBUF, b"", 404),
        ("GET /", {}, b"", 404),
    ],
)
def test_what_is_not_understood_is_not_kept(
    receiver: int, asked: str, headers: Mapping[str, str], body: bytes, status: int
) -> None:
    """A wrong body, type or path is refused, and leaves no trace."""
    assert ask(receiver, asked, body, headers)[0] == status
    assert json.loads(ask(receiver, "GET /figures")[1])["requests"] == {"traces": 0, "metrics": 0, "logs": 0}


def test_figures_are_served(receiver: int, tmp_path: Path) -> None:
    """``/figures`` sums what came: calls by result, attempts, errors by level and type, where the time went."""
    for name, body in exports(tmp_path):
        post(receiver, name, body)
    status, answer = ask(receiver, "GET /figures")
    figures: dict[str, Any] = json.loads(answer)
    assert status == 200
    assert figures["calls"] == {"success": 22, "failure": 9, "caller_error": 1, "cancelled": 3, "refused": 6}
    assert figures["success"] == pytest.approx(22 / 41)
    assert figures["spans"] == {"call": 41, "attempt": 58}
    assert figures["sends"] == {"first": 34, "retry": 9, "redirect": 13, "resend": 2}
    assert figures["attempts_per_call"] == pytest.approx(43 / 41)
    assert figures["errors"]["attempt"] == {
        "network_error": 12,
        "service_unavailable": 5,
        "server_error": 1,
        "timeout": 1,
        "not_found": 1,
        "rate_limited": 1,
    }
    assert figures["errors"]["call"] == {
        "network_error": 6,
        "server_error": 1,
        "breaker_open": 3,
        "not_found": 1,
        "deadline_exceeded": 1,
        "concurrency_limited": 1,
        "rate_limited_locally": 1,
        "service_unavailable": 2,
    }
    assert figures["time"].keys() == {"attempts", "backoff", "rate_limit", "concurrency"}
    assert figures["time"]["backoff"] == pytest.approx(1.09)
    assert figures["requests"] == {"traces": 1, "metrics": 4, "logs": 0}
    ends = [span.end_time_unix_nano for span in truthful().spans if not span.parent_span_id]
    assert figures["rate"] == pytest.approx(41 / ((max(ends) - min(ends)) / 1e9))
    assert 0 < figures["latency"]["p50"] <= figures["latency"]["p95"]


def test_policies_are_served(receiver: int, tmp_path: Path) -> None:
    """``/figures`` tells what policies did, and in which state each breaker is as long as its provider is there."""
    served: list[dict[str, Any]] = []
    for name, body in exports(tmp_path):
        post(receiver, name, body)
        served.append(json.loads(ask(receiver, "GET /figures")[1]))
    figures = served[-1]
    states = [(each["breakers"].get("shop"), each["breakers"].get("shop.reviews")) for each in served]
    watched = [("open", "metrics_only"), ("closed", "metrics_only"), ("closed", "metrics_only")]
    assert states == [(None, None), *watched, (None, None)]
    assert figures["refusals"] == {
        "breaker_open": 4,
        "breaker_open (shadow)": 1,
        "deadline_exceeded": 1,
        "concurrency_limited": 1,
        "rate_limited_locally": 1,
    }
    assert (figures["fallbacks"], figures["duplicates"]) == (
        {"static": 2, "function": 2},
        {"in_flight": 2, "resend": 2},
    )


def test_nothing_yet(receiver: int) -> None:
    """Before anything came, figures are zero or absent."""
    figures = json.loads(ask(receiver, "GET /figures")[1])
    assert (figures["calls"], figures["success"], figures["rate"]) == ({}, None, 0)
    assert (figures["latency"], figures["attempts_per_call"]) == ({"p50": None, "p95": None}, None)


@pytest.mark.parametrize("how", ["sigterm", "stdin"])
def test_process_receives_until_told_to_end(tmp_path: Path, how: str) -> None:
    """The process announces its port, receives, and stops cleanly on SIGTERM or at the end of its stdin."""
    with running("buoy.cli.demo.receiver", "--port", "0", "--out", str(tmp_path)) as process:
        assert post(process.port, "logs", b"") == (200, b"")
        if how == "sigterm":
            process.popen.send_signal(signal.SIGTERM)
            assert process.popen.wait(PATIENCE) == 0
        elif process.popen.stdin is not None:
            process.popen.stdin.write(b"what is written there is of no interest")
        assert process.end() == 0
    assert (tmp_path / "otlp.jsonl").read_text().splitlines() == ['{"signal": "logs", "body": ""}']


def test_rate_and_latency_look_at_the_recent_past() -> None:
    """Rate and percentiles cover the last calls only, and the rate falls to 0 when nothing comes any more."""
    figures = Figures()
    figures.add_traces(calls(9.0, 9.0, end=1000.0), now=50.0)
    figures.add_traces(calls(*(number / 100 for number in range(1, 101)), end=1000.0 + 2 * WINDOW), now=70.0)
    seen = figures.snapshot(now=70.0)
    assert (seen["rate"], seen["latency"]) == (100 / WINDOW, {"p50": 0.5, "p95": 0.95})
    assert figures.snapshot(now=70.1 + WINDOW)["rate"] == 0.0
    assert seen["attempts_per_call"] == 2.0
    assert seen["time"] == {"attempts": pytest.approx(18 + 50.5), "backoff": pytest.approx(51.0)}


def test_foreign_spans_are_only_counted() -> None:
    """Spans of other scopes, and strange ones of ours, are counted as other."""
    foreign = calls(1.0)
    foreign.resource_spans[0].scope_spans[0].scope.name = "somebody"
    figures = Figures()
    figures.add_traces(foreign, now=0.0)
    assert figures.snapshot(now=0.0)["spans"] == {"other": 1}


def test_newest_value_of_a_series_counts() -> None:
    """Cumulative sums are not added up over exports, whatever the order in which they come."""
    figures = Figures()
    earlier, later, *_ = truthful().exports()
    doubled = ExportMetricsServiceRequest.FromString(later.SerializeToString())
    for metric in doubled.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.sum.data_points:
            point.as_int *= 2
    figures.add_metrics(doubled)
    figures.add_metrics(earlier)
    assert figures.snapshot(now=0.0)["calls"] == {
        "success": 44,
        "failure": 18,
        "caller_error": 2,
        "cancelled": 6,
        "refused": 12,
    }


def test_percentile_is_nearest_rank() -> None:
    """The percentile is a value that occurred: the smallest that at least that share does not exceed."""
    values = sorted(random.Random(1).random() for _ in range(37))
    for share in (0.0, 0.01, 0.5, 0.95, 1.0):
        found = percentile(values, share)
        assert found is not None
        assert sum(value <= found for value in values) >= math.ceil(share * len(values))
    assert percentile([], 0.5) is None
