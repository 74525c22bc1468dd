"""The figures of the live view, computed from decoded OTLP and nothing else. Knows no sockets and no clock.

Names and meanings are the telemetry contract's, written down here a second time on purpose: figures that shared the
SDK's table could not notice that the SDK says something else than it promises.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from math import ceil
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span

SCOPE = "buoy"
WINDOW = 10.0  # seconds of finished calls that rate and percentiles look at
KEPT = 20_000  # finished calls kept at most, whatever the window holds
TIME = "buoy.time."


class Finished(NamedTuple):
    """A call span, as far as the window needs it; times in seconds."""

    end: float
    duration: float


class Series(NamedTuple):
    """What tells one cumulative series from another, over restarts of the process too."""

    metric: str
    attributes: frozenset[tuple[str, str]]
    start: int


class Figures:
    """Sums over all that came, and a window of recent calls."""

    def __init__(self) -> None:
        self._spans: Counter[str] = Counter()
        self._sends: Counter[str] = Counter()
        self._attempts = 0
        self._time: defaultdict[str, float] = defaultdict(float)
        self._recent: deque[Finished] = deque(maxlen=KEPT)
        self._newest = 0.0
        self._first: float | None = None
        self._heard = 0.0
        self._latest: dict[Series, tuple[int, int]] = {}

    def add_traces(self, request: ExportTraceServiceRequest, *, now: float) -> None:
        """Take in exported spans; ``now`` is when they came."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._add_span(span if scope.scope.name == SCOPE else None)
        self._heard = now

    def add_metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Take in exported metrics: cumulative sums, of which the newest value of each series counts."""
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if scope.scope.name == SCOPE and metric.HasField("sum"):
                        self._add_sum(metric)

    def snapshot(self, *, now: float) -> dict[str, object]:
        """Return all figures as JSON values; durations in seconds, rates per second."""
        calls = self._sum("buoy.client.calls", lambda has: has.get("buoy.call.result"))
        recent = self._window() if now - self._heard <= WINDOW else []
        durations = sorted(call.duration for call in recent)
        ended = self._spans["call"]
        return {
            "calls": dict(calls),
            "success": calls["success"] / calls.total() if calls.total() else None,
            "rate": len(recent) / self._covered(),
            "latency": {"p50": percentile(durations, 0.5), "p95": percentile(durations, 0.95)},
            "attempts_per_call": self._attempts / ended if ended else None,
            "sends": dict(self._sends),
            "errors": {level: dict(self._errors(level)) for level in ("attempt", "call")},
            "refusals": dict(self._sum("buoy.client.refusals", _refusal)),
            "fallbacks": dict(self._sum("buoy.client.fallbacks", lambda has: has.get("buoy.fallback.source"))),
            "duplicates": dict(self._sum("buoy.client.duplicates", lambda has: has.get("buoy.duplicate.source"))),
            "breakers": self._breakers(),
            "time": {cause: seconds for cause, seconds in self._time.items() if seconds > 0},
            "spans": dict(self._spans),
        }

    def _add_span(self, span: Span | None) -> None:
        attributes = {} if span is None else {item.key: item for item in span.attributes}
        if span is None or "buoy.request.id" not in attributes:
            kind = attributes.get("buoy.attempt.kind")
            self._spans["other" if kind is None else "attempt"] += 1
            if kind is not None:
                self._sends[kind.value.string_value] += 1
            return
        self._spans["call"] += 1
        if "buoy.call.attempts" in attributes:
            self._attempts += attributes["buoy.call.attempts"].value.int_value
        for key, item in attributes.items():
            if key.startswith(TIME):
                self._time[key.removeprefix(TIME)] += item.value.double_value
        end = span.end_time_unix_nano / 1e9
        self._recent.append(Finished(end, (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9))
        self._newest = max(self._newest, end)
        self._first = end if self._first is None else min(self._first, end)

    def _add_sum(self, metric: Metric) -> None:
        for point in metric.sum.data_points:
            series = Series(metric.name, _labels(point.attributes), point.start_time_unix_nano)
            at, _ = self._latest.get(series, (-1, 0))
            if point.time_unix_nano >= at:
                self._latest[series] = (point.time_unix_nano, _number(point))

    def _window(self) -> list[Finished]:
        return [call for call in self._recent if call.end > self._newest - WINDOW]

    def _covered(self) -> float:
        """Return how many seconds the window really holds: less than its width while the run is young."""
        if self._first is None:
            return WINDOW
        return min(WINDOW, max(1.0, self._newest - self._first))

    def _errors(self, level: str) -> Counter[str]:
        return self._sum(
            "buoy.client.errors", lambda has: has.get("error.type") if has.get("buoy.error.level") == level else None
        )

    def _breakers(self) -> dict[str, str]:
        """Return the state of each breaker; none of one whose provider was left."""
        return {
            has["buoy.breaker.name"]: has["buoy.breaker.state"]
            for series, (_, value) in self._latest.items()
            if series.metric == "buoy.breaker.status" and value
            for has in [dict(series.attributes)]
        }

    def _sum(self, metric: str, key: Callable[[Mapping[str, str]], str | None]) -> Counter[str]:
        sums: Counter[str] = Counter()
        for series, (_, value) in self._latest.items():
            name = key(dict(series.attributes)) if series.metric == metric else None
            if name is not None and value:
                sums[name] += value
        return sums


def percentile(ordered: list[float], share: float) -> float | None:
    """Return the nearest-rank percentile of values in ascending order, or ``None`` where there are none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def _refusal(has: Mapping[str, str]) -> str | None:
    reason = has.get("buoy.refusal.reason")
    return reason if has.get("buoy.refusal.enforced") == "True" else f"{reason} (shadow)"


def _labels(attributes: Iterable[KeyValue]) -> frozenset[tuple[str, str]]:
    return frozenset((item.key, _text(item.value)) for item in attributes)


def _text(value: AnyValue) -> str:
    return str(value.bool_value) if value.HasField("bool_value") else value.string_value


def _number(point: NumberDataPoint) -> int:
    return point.as_int if point.HasField("as_int") else round(point.as_double)
