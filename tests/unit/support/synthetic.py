"""A run made by hand: servers' logs, callers' notes and OTLP, as a truthful SDK left them. Tests then spoil it.

Spans and counters are written from what each call says of itself, so nothing here depends on how the judge counts.
"""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.unit.support import protobuf
from tests.unit.support.calls import PLAIN, RAISED, Ending, Send, labels, result_of
from tests.unit.support.protobuf import BEGIN, Key, Value, attributes_of, key, pairs, put

MS = 1_000_000
SECOND = 1000 * MS
PROVIDER = {"buoy.provider": "shop"}
MOVED = (301, 302, 303, 307, 308)


class Told(NamedTuple):
    """What one send was told, by which request."""

    status: int | None
    error: str
    remaining: int | None
    served: str | None = None


@dataclass(kw_only=True)
class Run:
    """Everything that the files will hold. ``gauges`` are those of each export, of which there are four."""

    log: list[dict[str, object]] = field(default_factory=list)
    depot: list[dict[str, object]] = field(default_factory=list)
    seen: list[dict[str, object]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    sums: Counter[Key] = field(default_factory=Counter)
    counts: Counter[Key] = field(default_factory=Counter)
    totals: defaultdict[Key, float] = field(default_factory=lambda: defaultdict(float))
    told: defaultdict[bytes, list[Told]] = field(default_factory=lambda: defaultdict(list))
    gauges: list[dict[Key, int]] = field(default_factory=lambda: [{}, {}, {}, {}])
    earlier: tuple[Counter[Key], Counter[Key]] | None = None  # by default half of it all
    now: int = BEGIN
    seq: int = 0
    ids: int = 0
    strange: set[str] = field(default_factory=set)

    def note(self, event: str, *, site: str = "shop", **fields: object) -> None:
        """Add a line to a server's log."""
        self.now += MS
        (self.log if site == "shop" else self.depot).append({"event": event, "time": self.now, **fields})

    def call(
        self, operation: str, template: str, *sends: Send, safety: str = "safe", error: str = "", end: Ending = PLAIN
    ) -> Span:
        """Add one call with all its sends: its spans, its counts, what the server logged, and what its caller saw."""
        names = {**PROVIDER, "buoy.operation": operation}
        call = self._span(f"shop {operation}", Span.SPAN_KIND_INTERNAL, None, names)
        waited = defaultdict(float, end.waits)
        for cause, seconds in end.waits.items():
            self._wait(cause, seconds)
        lasted = 0
        for position, send in enumerate(sends):
            if send.kind == "retry":
                waited["backoff"] += send.backoff
                self._wait("backoff", send.backoff)
            span = self._send(call, template, position, send, names)
            lasted += span.end_time_unix_nano - span.start_time_unix_nano
        if end.given_up:
            waited["backoff"] += end.given_up
            self._wait("backoff", end.given_up)
        self._tell(call, end, error)
        ending: dict[str, Value] = {
            "buoy.transport": "http",
            "buoy.call.safety": safety,
            "buoy.request.id": f"00000000-0000-4000-8000-{self.ids:012d}",
            "buoy.call.attempts": len({send.number for send in sends}),
            "buoy.call.sends": len(sends),
            "buoy.result.origin": "fallback" if end.fallback else "live",
            "buoy.time.attempts": lasted / SECOND,
            **{f"buoy.time.{cause}": seconds for cause, seconds in waited.items()},
            **self._facts(sends, names, error, end),
        }
        self._end(call, {**ending, **({} if end.fallback else labels(error))})
        if end.joins is not None:
            _fly_with(call, end.joins)
        self._count("call.duration", {**names, **({} if end.fallback else labels(error))})
        self._sum("calls", {**names, "buoy.call.result": result_of(error)})
        self._error_count("call", error)
        self._see(call, error, end, waited)
        return call

    def write(self, directory: Path) -> Path:
        """Write the files; return the directory."""
        (directory / "server.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.log))
        (directory / "depot.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.depot))
        (directory / "callers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in self.seen))
        bodies = [("traces", protobuf.traces(self.spans).SerializeToString())]
        bodies += [("metrics", each.SerializeToString()) for each in self.exports()]
        with (directory / "otlp.jsonl").open("w") as file:
            for signal, body in bodies:
                file.write(json.dumps({"signal": signal, "body": base64.b64encode(body).decode()}) + "\n")
        return directory

    def exports(self) -> list[ExportMetricsServiceRequest]:
        """Return the metrics of each export: amid the run, at its end, once more, and after the provider was left."""
        earlier, whole = self.earlier or self.halfway(), (self.sums, self.counts)
        return [
            protobuf.metrics(sums, self._histograms(counts), gauges, at=self.now + number * MS)
            for number, ((sums, counts), gauges) in enumerate(
                zip((earlier, whole, whole, whole), self.gauges, strict=True)
            )
        ]

    def halfway(self) -> tuple[Counter[Key], Counter[Key]]:
        """Return half of all counts."""
        sums = Counter({series: value // 2 for series, value in self.sums.items()})
        return sums, Counter({series: value // 2 for series, value in self.counts.items()})

    def _histograms(self, counts: Mapping[Key, int]) -> dict[Key, tuple[int, float]]:
        means = {series: self.totals[series] / max(1, count) for series, count in self.counts.items()}
        return {series: (count, count * means.get(series, 0.0)) for series, count in counts.items()}

    def span(self, name: str, **attributes: Value) -> Span:
        """Return the first span of that name that has these attributes (``__`` for a dot)."""
        wanted = {key.replace("__", "."): value for key, value in attributes.items()}
        return next(span for span in self.spans if span.name == name and wanted.items() <= attributes_of(span).items())

    def logged(self, event: str, **fields: object) -> dict[str, object]:
        """Return the first line of that event with these fields."""
        return next(line for line in self.log if line["event"] == event and fields.items() <= line.items())

    def sent_on(self, event: str, **fields: object) -> dict[str, object]:
        """Return the first such line of who was redirected to."""
        return next(line for line in self.depot if line["event"] == event and fields.items() <= line.items())

    def noted(self, **fields: object) -> dict[str, object]:
        """Return the first note of a caller with these fields."""
        return next(line for line in self.seen if fields.items() <= line.items())

    def series(self, metric: str, *values: str | bool) -> Key:
        """Return the key of the first series of a metric that has these label values."""
        both = [*self.sums, *self.counts]
        return next(key for key in both if key[0].endswith(metric) and {*values} <= {v for _, v in key[1]})

    @staticmethod
    def transition(breaker: str, state: str, cause: str) -> Key:
        """Return the key of the series that counts a transition."""
        what = {"buoy.breaker.name": breaker, "buoy.breaker.state": state, "buoy.breaker.cause": cause}
        return key("buoy.breaker.transitions", {**PROVIDER, **what})

    def _wait(self, cause: str, seconds: float) -> None:
        self.now += round(seconds * SECOND)
        self._count("wait.duration", {**PROVIDER, "buoy.wait.for": cause}, seconds)

    def _tell(self, call: Span, end: Ending, error: str) -> None:
        """Add the events of a call."""
        joined = end.joins is not None
        if end.refused:
            refused: dict[str, Value] = {"buoy.refusal.reason": end.refused, "buoy.refusal.enforced": True}
            if end.refused == "breaker_open" and not joined:
                refused["buoy.breaker.name"] = "shop"
            if end.retry_after is not None:
                refused["buoy.retry_after"] = end.retry_after
            self._event(call, "buoy.call.refused", refused)
            self._sum("refusals", {**PROVIDER, "buoy.refusal.reason": end.refused, "buoy.refusal.enforced": True})
        if end.shadow:
            what: dict[str, str | bool] = {"buoy.refusal.reason": "breaker_open", "buoy.refusal.enforced": False}
            self._event(call, "buoy.call.refused", {**what, "buoy.breaker.name": end.shadow})
            self._sum("refusals", {**PROVIDER, **what})
        if joined:
            self._event(call, "buoy.duplicate.found", {"buoy.duplicate.source": "in_flight"})
        if end.early:
            self._event(call, "buoy.stream.left", {})
        if end.fallback:
            what = {"buoy.fallback.source": end.fallback, "buoy.error.masked": error}
            self._event(call, "buoy.fallback.used", what)

    def _facts(self, sends: tuple[Send, ...], names: Mapping[str, str], error: str, end: Ending) -> dict[str, Value]:
        """Return the attributes that a call has if there is something to say, and count what they say."""
        facts: dict[str, Value] = {}
        if end.stop:
            facts["buoy.retry.stop_reason"] = end.stop
            self._sum("retry.abandoned", {**PROVIDER, "buoy.retry.stop_reason": end.stop})
        source = "in_flight" if end.joins is not None else "resend" if "resend" in {s.kind for s in sends} else ""
        if source:
            facts["buoy.duplicate.source"] = source
            self._sum("duplicates", {**names, "buoy.duplicate.source": source})
        if end.fallback:
            facts |= {"buoy.fallback.source": end.fallback, "buoy.error.masked": error}
            self._sum("fallbacks", {**names, "buoy.fallback.source": end.fallback})
        if end.in_doubt:
            self._sum("in_doubt", names)
        return facts

    def _see(self, call: Span, error: str, end: Ending, waited: Mapping[str, float]) -> None:
        """Add what the caller saw."""
        said = attributes_of(call)
        ended = "answer" if end.fallback or not error else RAISED.get(error, "HttpError")
        note: dict[str, object] = {
            "operation": said["buoy.operation"],
            "ended": "OutcomeUnknown" if end.in_doubt else ended,
            "begun": call.start_time_unix_nano - 1,
            "over": call.end_time_unix_nano + 1,
        }
        self.seen.append(note)
        if end.items is not None:
            last = self.spans[-1].end_time_unix_nano - MS // 2
            note |= {"streamed": True, "items": end.items, "last": last, "complete": not (error or end.early)}
        if error == "cancelled" and end.items is None:
            return
        told = self.told[(end.joins or call).span_id]
        answer = told[-1] if told else Told(None, "", None)
        note |= {
            "trace": call.trace_id.hex(),
            "status": answer.status if error == answer.error and note["ended"] in ("answer", "HttpError") else None,
            "attempts": said["buoy.call.attempts"],
            "sends": said["buoy.call.sends"],
            "origin": said["buoy.result.origin"],
            "duplicate": said.get("buoy.duplicate.source"),
            "waited": dict(waited),
            "remaining": next((each.remaining for each in reversed(told) if each.remaining is not None), None),
            "once": end.once,
            "size": end.size,
            "because": RAISED.get(error, "HttpError") if end.fallback == "function" else None,
        }

    def _send(self, call: Span, template: str, position: int, send: Send, names: Mapping[str, str]) -> Span:
        method, _, path = template.partition(" ")
        elsewhere = send.kind == "redirect" or (send.kind == "resend" and self._was_led(call))
        method = send.method or method
        span = self._span(method if elsewhere else template, Span.SPAN_KIND_CLIENT, call, names)
        said: dict[str, Value] = {
            "buoy.attempt.kind": send.kind,
            "buoy.attempt.number": send.number,
            "http.request.method": method,
            "url.full": "http://127.0.0.1/REDACTED" if elsewhere else f"http://127.0.0.1{path}",
            "server.address": "127.0.0.1",
        }
        if not elsewhere:
            said["url.template"] = path
        if position:
            said["http.request.resend_count"] = position
        if send.status is not None:
            said["http.response.status_code"] = send.status
        if send.breaker is not None:
            said["buoy.breaker.state"] = send.breaker
        if send.kind == "retry" and send.reason is not None:
            said["buoy.retry.reason"] = send.reason
            self._sum("retries", {**names, "buoy.retry.reason": send.reason})
        answer = Told(send.status, send.error or "", None)
        if send.read:
            via = self._via(call) if elsewhere else None
            answer = self._serve(send, f"{method} /led" if elsewhere else template, span, via)
        self.told[call.span_id].append(answer)
        if send.why is not None:
            said["buoy.error.reason"] = send.why
        if send.phase is not None and send.outcome is not None:
            said |= {"buoy.error.phase": send.phase, "buoy.error.outcome": send.outcome}
        self._end(span, {**said, **labels(send.error)})
        self._count("attempt.duration", {**names, "buoy.attempt.kind": send.kind, **labels(send.error)})
        self._error_count("attempt", send.error)
        return span

    def _was_led(self, call: Span) -> bool:
        """Tell whether the send before was where a redirect had led."""
        return "url.template" not in attributes_of(self.spans[-1]) and self.spans[-1].parent_span_id == call.span_id

    def _via(self, call: Span) -> str:
        """Return which request leads here."""
        return [told.served for told in self.told[call.span_id] if told.served and told.status in MOVED][-1] or ""

    def _serve(self, send: Send, operation: str, span: Span, via: str | None) -> Told:
        """Log a request and its answer; return what it told."""
        at_home = send.site == "shop"
        self.seq, number = (self.seq + 1, self.seq + 1) if at_home else (self.seq, len(self.depot) // 2 + 1)
        strange = not at_home or (via is not None and via in self.strange)
        name = f"{send.site}-{number}"
        if strange:
            self.strange.add(name)
        self.note(
            "request",
            site=send.site,
            seq=number,
            method=operation.partition(" ")[0],
            operation=operation,
            traceparent=None if strange else f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01",
            via=via,
            headers=["accept", "host"] if strange else ["accept", "authorization", "host", "traceparent", "x-customer"],
            received=0,
            fault=send.fault,
            key=send.key,
            **({} if at_home else {"head": f"{operation} HTTP/1.1"}),
        )
        status = send.status if send.sent == "whole" else None
        remaining = None if send.sent == "nothing" or not at_home else 100 - self.seq
        ending = {"status": status, "sent": send.sent, "left": send.left, "fault": send.fault}
        ending |= {"told": None if send.sent == "nothing" else send.status or 200, "moved": send.status in MOVED}
        ending |= {"size": send.size, "items": send.items, "retry_after": send.retry_after, "remaining": remaining}
        self.note("answer", site=send.site, seq=number, **ending)
        return Told(send.status, send.error or "", None if strange else remaining, name)

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
            attributes=pairs(given),
        )
        self.spans.append(span)
        return span

    def _end(self, span: Span, attributes: Mapping[str, Value]) -> None:
        self.now += MS
        span.end_time_unix_nano = self.now
        span.attributes.extend(pairs(attributes))
        if attributes.get("error.type") not in (None, "cancelled"):
            span.status.code = Status.STATUS_CODE_ERROR

    def _event(self, span: Span, name: str, fields: Mapping[str, Value]) -> None:
        span.events.append(Span.Event(name=name, time_unix_nano=self.now, attributes=pairs(fields)))

    def _error_count(self, level: str, error: str | None) -> None:
        if error and error != "cancelled":
            self._sum("errors", {**PROVIDER, "buoy.error.level": level, **labels(error)})

    def _sum(self, metric: str, what: Mapping[str, str | bool]) -> None:
        self.sums[key(f"buoy.client.{metric}", what)] += 1

    def _count(self, metric: str, what: Mapping[str, str], seconds: float = 0.0) -> None:
        found = key(f"buoy.client.{metric}", what)
        self.counts[found] += 1
        self.totals[found] += seconds


def _fly_with(call: Span, first: Span) -> None:
    """Move a call that joined another to where that one was, and link it."""
    call.start_time_unix_nano = first.start_time_unix_nano + MS // 2
    call.end_time_unix_nano = first.end_time_unix_nano + MS // 2
    call.links.append(Span.Link(trace_id=first.trace_id, span_id=first.span_id))
    put(call, buoy__time__attempts=(call.end_time_unix_nano - call.start_time_unix_nano) / SECOND)
