"""A run made by hand: the server log and the OTLP that a truthful SDK would have left. Tests then spoil it.

Spans and counters are written from what each call says of itself, so nothing here depends on how the judge counts.
"""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

BEGIN = 1_800_000_000_000_000_000
MS = 1_000_000
SCOPE = InstrumentationScope(name="buoy", version="0")
Value = str | int | float | bool
Labels = tuple[tuple[str, str], ...]

# error.type -> category, as far as the run below needs it
CATEGORY = {
    "network_error": "network",
    "timeout": "network",
    "service_unavailable": "server_error",
    "not_found": "not_found",
}


@dataclass(frozen=True, kw_only=True)
class Send:
    """One request on the wire, and what the server says of it; ``read=False``: it says nothing."""

    kind: str = "first"
    number: int = 1
    status: int | None = None
    error: str | None = None
    phase: str | None = None
    outcome: str | None = None
    reason: str | None = None
    fault: str = "ok"
    sent: str = "whole"
    left: bool = False
    read: bool = True
    key: int | None = None


@dataclass(kw_only=True)
class Run:
    """Everything that the two files will hold."""

    log: list[dict[str, object]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    sums: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    counts: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    earlier: tuple[Counter[tuple[str, Labels]], Counter[tuple[str, Labels]]] | None = None  # by default half of it all
    now: int = BEGIN
    seq: int = 0
    ids: int = 0

    def note(self, event: str, **fields: object) -> None:
        """Add a line to the server's log."""
        self.now += MS
        self.log.append({"event": event, "time": self.now, **fields})

    def call(
        self,
        operation: str,
        template: str,
        *sends: Send,
        safety: str = "safe",
        error: str | None = None,
        stop: str = "",
    ) -> None:
        """Add one call with all its sends: its spans, its counts, and what the server logged."""
        provider = {"buoy.provider": "shop", "buoy.operation": operation}
        call = self._span(f"shop {operation}", Span.SPAN_KIND_INTERNAL, None, provider)
        for position, send in enumerate(sends):
            self._send(call, template, position, send, provider)
        tries = {send.number for send in sends}
        ending: dict[str, Value] = {
            "buoy.transport": "http",
            "buoy.call.safety": safety,
            "buoy.request.id": f"00000000-0000-4000-8000-{self.ids:012d}",
            "buoy.call.attempts": len(tries),
            "buoy.call.sends": len(sends),
            "buoy.time.attempts": 0.001 * len(sends),
        }
        if stop:
            ending["buoy.retry.stop_reason"] = stop
            self._sum("retry.abandoned", {"buoy.provider": "shop", "buoy.retry.stop_reason": stop})
        self._end(call, {**ending, **_labels(error)})
        self._count("call.duration", {**provider, **_labels(error)})
        self._sum("calls", {**provider, "buoy.call.result": _result(error)})
        self._error_count("call", error)

    def write(self, directory: Path) -> Path:
        """Write both files; return the directory."""
        (directory / "server.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.log))
        traces = ExportTraceServiceRequest(
            resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(scope=SCOPE, spans=self.spans)])]
        )
        halves = [Counter({key: value // 2 for key, value in whole.items()}) for whole in (self.sums, self.counts)]
        earlier = self.earlier or (halves[0], halves[1])
        lines = [
            ("traces", traces.SerializeToString()),
            ("metrics", self._metrics(*earlier, at=self.now).SerializeToString()),
            ("metrics", self._metrics(self.sums, self.counts, at=self.now + MS).SerializeToString()),
        ]
        with (directory / "otlp.jsonl").open("w") as file:
            for signal, body in lines:
                file.write(json.dumps({"signal": signal, "body": base64.b64encode(body).decode()}) + "\n")
        return directory

    def span(self, name: str, **attributes: Value) -> Span:
        """Return the first span of that name that has these attributes (``__`` for a dot)."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return next(span for span in self.spans if span.name == name and wanted.items() <= attributes_of(span).items())

    def logged(self, event: str, **fields: object) -> dict[str, object]:
        """Return the first line of that event with these fields."""
        return next(line for line in self.log if line["event"] == event and fields.items() <= line.items())

    def series(self, metric: str, *values: str) -> tuple[str, Labels]:
        """Return the key of the first series of a metric that has these label values."""
        both = [*self.sums, *self.counts]
        return next(key for key in both if key[0] == f"buoy.client.{metric}" and {*values} <= {v for _, v in key[1]})

    def _send(self, call: Span, template: str, position: int, send: Send, provider: Mapping[str, str]) -> None:
        method, _, path = template.partition(" ")
        span = self._span(template, Span.SPAN_KIND_CLIENT, call, provider)
        said: dict[str, Value] = {
            "buoy.attempt.kind": send.kind,
            "buoy.attempt.number": send.number,
            "http.request.method": method,
            "url.template": path,
            "url.full": f"http://127.0.0.1{path}",
            "server.address": "127.0.0.1",
        }
        if position:
            said["http.request.resend_count"] = position
        if send.status is not None:
            said["http.response.status_code"] = send.status
        if send.kind == "retry" and send.reason is not None:
            said["buoy.retry.reason"] = send.reason
            self._sum("retries", {**provider, "buoy.retry.reason": send.reason})
            self._count("wait.duration", {"buoy.provider": "shop", "buoy.wait.for": "backoff"})
        if send.read:
            self._serve(send, template, span)
        if send.phase is not None and send.outcome is not None:
            said |= {"buoy.error.phase": send.phase, "buoy.error.outcome": send.outcome}
        self._end(span, {**said, **_labels(send.error)})
        self._count("attempt.duration", {**provider, "buoy.attempt.kind": send.kind, **_labels(send.error)})
        self._error_count("attempt", send.error)

    def _serve(self, send: Send, operation: str, span: Span) -> None:
        self.seq += 1
        self.note(
            "request",
            seq=self.seq,
            method=operation.partition(" ")[0],
            operation=operation,
            traceparent=f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01",
            fault=send.fault,
            key=send.key,
        )
        status = send.status if send.sent == "whole" else None
        ending = {"status": status, "sent": send.sent, "left": send.left, "fault": send.fault, "retry_after": None}
        self.note("answer", seq=self.seq, **ending)

    def _span(self, name: str, kind: "Span.SpanKind.ValueType", parent: Span | None, given: Mapping[str, str]) -> Span:
        self.ids += 1
        self.now += MS
        span = Span(
            name=name,
            kind=kind,
            trace_id=parent.trace_id if parent else self.ids.to_bytes(16, "big"),
            span_id=self.ids.to_bytes(8, "big"),
            parent_span_id=parent.span_id if parent else b"",
            start_time_unix_nano=self.now,
            attributes=_pairs(given),
        )
        self.spans.append(span)
        return span

    def _end(self, span: Span, attributes: Mapping[str, Value]) -> None:
        self.now += MS
        span.end_time_unix_nano = self.now
        span.attributes.extend(_pairs(attributes))
        if attributes.get("error.type") not in (None, "cancelled"):
            span.status.code = Status.STATUS_CODE_ERROR

    def _error_count(self, level: str, error: str | None) -> None:
        if error not in (None, "cancelled"):
            self._sum("errors", {"buoy.provider": "shop", "buoy.error.level": level, **_labels(error)})

    def _sum(self, metric: str, labels: Mapping[str, str]) -> None:
        self.sums[f"buoy.client.{metric}", tuple(sorted(labels.items()))] += 1

    def _count(self, metric: str, labels: Mapping[str, str]) -> None:
        self.counts[f"buoy.client.{metric}", tuple(sorted(labels.items()))] += 1

    def _metrics(
        self, sums: Mapping[tuple[str, Labels], int], counts: Mapping[tuple[str, Labels], int], *, at: int
    ) -> ExportMetricsServiceRequest:
        cumulative = AGGREGATION_TEMPORALITY_CUMULATIVE
        metrics = []
        for (name, labels), value in sums.items():
            point = NumberDataPoint(as_int=value, attributes=_pairs(dict(labels)), time_unix_nano=at)
            point.start_time_unix_nano = BEGIN
            monotonic = not name.endswith(".active")
            total = Sum(data_points=[point], aggregation_temporality=cumulative, is_monotonic=monotonic)
            metrics.append(Metric(name=name, sum=total))
        for (name, labels), value in counts.items():
            bucket = HistogramDataPoint(count=value, attributes=_pairs(dict(labels)), time_unix_nano=at)
            bucket.start_time_unix_nano = BEGIN
            histogram = Histogram(data_points=[bucket], aggregation_temporality=cumulative)
            metrics.append(Metric(name=name, histogram=histogram))
        scope = ScopeMetrics(scope=SCOPE, metrics=metrics)
        return ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(scope_metrics=[scope])])


def truthful() -> Run:
    """Return a run with every kind of call that the demo knows, in which both sides tell the truth."""
    run = Run()
    run.note("listening", port=1)
    product, order, stock, cart = "GET /products/{id}", "POST /orders", "PUT /stock/{id}", "DELETE /carts/{id}"
    again = Send(kind="retry", number=2, status=200)
    busy = Send(status=503, error="service_unavailable", phase="receive", outcome="unknown", fault="503")
    reset = Send(error="network_error", phase="receive", outcome="unknown", fault="reset-after-read", sent="nothing")
    run.call("products.get", product, Send(status=200))
    run.call("products.get", product, busy, replace(again, reason="server_error"))
    run.call("products.get", product, reset, Send(kind="resend", status=200))
    run.call("orders.create", order, reset, safety="unsafe", error="network_error", stop="not_idempotent")
    keyed = (replace(busy, key=1), replace(again, reason="server_error", key=1))
    run.call("orders.keyed", order, *keyed, safety="keyed")
    run.note("reset_unread")
    run.call("carts.drop", cart, replace(reset, read=False), replace(again, reason="network"), safety="idempotent")
    truncated = replace(reset, fault="truncated", sent="part")
    run.call("products.list", "GET /products", truncated, replace(again, reason="network"))
    late = replace(reset, error="timeout", fault="stall", left=True)
    run.call("products.get", product, late, replace(again, reason="network"))
    missing = Send(status=404, error="not_found", phase="receive", outcome="rejected", fault="404")
    run.call("products.get", product, missing, error="not_found", stop="not_retryable")
    gone = Send(error="cancelled", fault="stall", sent="nothing", left=True)
    run.call("products.get", product, gone, error="cancelled")
    run.call("products.get", product, error="deadline_exceeded", stop="deadline")
    run.note("closed", reason="restart", since=run.now, unread=0, in_flight=0)
    nobody = Send(error="network_error", phase="connect", outcome="not_sent", read=False)
    refused = (nobody, replace(nobody, kind="retry", number=2, reason="network"))
    run.call("stock.set", stock, *refused, safety="idempotent", error="network_error", stop="max_attempts")
    run.note("listening", port=1)
    run.call("stock.set", stock, Send(status=200), safety="idempotent")
    run.note("closed", reason="stop", since=run.now, unread=1, in_flight=0)
    run.sums["buoy.client.call.active", (("buoy.provider", "shop"),)] = 0
    return run


def attributes_of(span: Span) -> dict[str, Value]:
    """Return a span's attributes as plain values."""
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in span.attributes}


def put(span: Span, **attributes: Value | None) -> None:
    """Replace attributes of a span (``__`` for a dot); ``None`` takes one away."""
    kept = attributes_of(span)
    for name, value in attributes.items():
        kept.pop(name.replace("__", "."), None)
        if value is not None:
            kept[name.replace("__", ".")] = value
    del span.attributes[:]
    span.attributes.extend(_pairs(kept))


def _pairs(attributes: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in attributes.items()]


def _any(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    return AnyValue(double_value=value) if isinstance(value, float) else AnyValue(string_value=value)


def _labels(error: str | None) -> dict[str, str]:
    if error is None:
        return {}
    what = "buoy.error.category" if error in CATEGORY else "buoy.refusal.reason"
    return {"error.type": error, what: CATEGORY.get(error, error)}


def _result(error: str | None) -> str:
    results = {None: "success", "not_found": "caller_error", "cancelled": "cancelled", "deadline_exceeded": "refused"}
    return results.get(error, "failure")
