"""Both sources side by side: which request is which attempt span, and which attempts belong to which call."""

import re
from collections import defaultdict
from collections.abc import Iterator

from tests.support.judge.otlp import SCOPE, Exported, Key, Point, Span
from tests.support.judge.serverlog import Served, ServerLog

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
RESENDS = "http.request.resend_count"


class Case:
    """The indexed evidence. ``calls`` and ``attempts`` are Buoy's spans, ``strange`` those of them that are neither."""

    def __init__(self, log: ServerLog, exported: Exported) -> None:
        self.log = log
        self.exported = exported
        self.spans: dict[Key, Span] = {span.key: span for span in exported.spans}
        ours = [span for span in self.spans.values() if span.scope == SCOPE]
        self.attempts = [span for span in ours if "buoy.attempt.kind" in span.attributes]
        self.calls = [span for span in ours if is_call(span)]
        self.strange = [span for span in ours if "buoy.attempt.kind" not in span.attributes and not is_call(span)]
        self._sends = self._group()
        self.requests: dict[Key, list[Served]] = defaultdict(list)
        for served in log.requests:
            self.requests[key_of(served.traceparent)].append(served)

    def sends(self, call: Span) -> list[Span]:
        """Return the attempt spans of a call, in the order in which they say they were sent."""
        return self._sends.get(call.key, [])

    def call_of(self, attempt: Span) -> Span | None:
        """Return the call that an attempt belongs to."""
        parent = self.spans.get((attempt.trace_id, attempt.parent_id))
        return parent if parent is not None and is_call(parent) else None

    def pairs(self) -> Iterator[tuple[Served, Span]]:
        """Yield every request that the server read with the attempt span that it names."""
        for attempt in self.attempts:
            for served in self.requests.get(attempt.key, ()):
                yield served, attempt

    def unread(self) -> Iterator[Span]:
        """Yield every attempt span that no request names."""
        return (attempt for attempt in self.attempts if attempt.key not in self.requests)

    def points(self, metric: str) -> list[Point]:
        """Return the last values of a metric's series."""
        return self.exported.metrics.get(metric, [])

    def _group(self) -> dict[Key, list[Span]]:
        sends: dict[Key, list[Span]] = defaultdict(list)
        for attempt in self.attempts:
            sends[attempt.trace_id, attempt.parent_id].append(attempt)
        for group in sends.values():
            group.sort(key=lambda attempt: (attempt.number(RESENDS) or 0, attempt.start))
        return sends


def is_call(span: Span) -> bool:
    """Tell whether a span is that of a call: only they carry how safe a repetition is."""
    return span.scope == SCOPE and "buoy.call.safety" in span.attributes


def key_of(traceparent: str | None) -> Key:
    """Return the span that a ``traceparent`` names; empty where it is absent or malformed."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    return (found[1], found[2]) if found else ("", "")
