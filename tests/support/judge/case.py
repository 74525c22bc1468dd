"""The sources side by side: which request is which attempt span, which attempts are of which call, who called.

A request names its span by its ``traceparent``. One that must not have any is known by the redirect it came from.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from tests.support.judge.callerlog import Seen
from tests.support.judge.otlp import SCOPE, Exported, Key, Point, Span
from tests.support.judge.serverlog import DEPOT, Served, ServerLog

TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
RESENDS = "http.request.resend_count"
DUPLICATE = "buoy.duplicate.source"
KIND = "buoy.attempt.kind"
REDIRECT, RESEND = "redirect", "resend"
NOBODY: Key = ("", "")
IN_FLIGHT = "in_flight"
STOP = "buoy.retry.stop_reason"


class Case:
    """The indexed evidence. ``calls`` and ``attempts`` are Buoy's spans, ``strange`` those of them that are neither.

    ``log`` is the provider's, ``depot`` that of who it redirects to; ``served`` are the requests of both.
    """

    def __init__(self, log: ServerLog, depot: ServerLog, exported: Exported, seen: list[Seen]) -> None:
        self.log = log
        self.depot = depot
        self.exported = exported
        self.seen = seen
        self.callers = {caller.trace: caller for caller in seen if caller.trace is not None}
        self.spans: dict[Key, Span] = {span.key: span for span in exported.spans}
        ours = [span for span in self.spans.values() if span.scope == SCOPE]
        self.attempts = [span for span in ours if KIND in span.attributes]
        self.calls = [span for span in ours if is_call(span)]
        self.strange = [span for span in ours if KIND not in span.attributes and not is_call(span)]
        self._sends = self._group()
        self._joiners: dict[Key, list[Span]] = defaultdict(list)
        for call in self.calls:
            if joined(call):
                self._joiners[call.links[0] if call.links else ("", "")].append(call)
        self.requests: dict[Key, list[Served]] = defaultdict(list)
        # Who leads on was asked before who is asked next, and all these clocks are one.
        self.served = sorted((*log.requests, *depot.requests), key=lambda served: served.read_at)
        self._keys: dict[str, Key] = {}
        self._by_name: dict[str, Served] = {}
        for served in self.served:
            self._by_name[served.name] = served
            key = self._keys[served.name] = self._find(served)
            self.requests[key].append(served)

    def sends(self, call: Span) -> list[Span]:
        """Return the attempt spans of a call, in the order in which they say they were sent."""
        return self._sends.get(call.key, [])

    def begun_by_end_of(self, call: Span) -> list[Span]:
        """Return the sends that a call can know of: those begun after it ended are its flight's alone."""
        return [send for send in self.sends(call) if send.start <= call.end]

    def joiners(self, call: Span) -> list[Span]:
        """Return the calls that joined this one."""
        return self._joiners.get(call.key, [])

    def first_of(self, call: Span) -> Span | None:
        """Return the call whose sends these callers share: itself, or the one it joined."""
        if not joined(call):
            return call
        first = self.spans.get(call.links[0]) if call.links else None
        return first if first is not None and is_call(first) else None

    def may_be_outlived(self, call: Span) -> bool:
        """Tell whether the flight of this call may have gone on after the caller left: then no span tells all of it."""
        return left(call) and bool(self.joiners(call))

    def call_of(self, attempt: Span) -> Span | None:
        """Return the call that an attempt belongs to."""
        parent = self.spans.get((attempt.trace_id, attempt.parent_id))
        return parent if parent is not None and is_call(parent) else None

    def pairs(self) -> Iterator[tuple[Served, Span]]:
        """Yield every request that the server read with the attempt span that it names."""
        for attempt in self.attempts:
            for served in self.requests.get(attempt.key, ()):
                yield served, attempt

    def key(self, served: Served) -> Key:
        """Return the attempt span that a request belongs to, or nobody's."""
        return self._keys[served.name]

    def request(self, name: str | None) -> Served | None:
        """Return the request that redirects call so."""
        return self._by_name.get(name or "")

    def trusts(self, served: Served) -> bool:
        """Tell whether a request came from the service by the provider alone: no stranger on the way led it there."""
        here: Served | None = served
        while here is not None:
            if here.site == DEPOT:
                return False
            here = self.request(here.via)
        return True

    def read_of(self, call: Span) -> list[Served]:
        """Return the requests of a call that were read, in the order of its sends."""
        return [served for send in self.sends(call) for served in self.requests.get(send.key, ())]

    def answered(self, call: Span) -> Served | None:
        """Return the request behind the last send of a call, where it was read; the first caller's, for a joiner."""
        first = self.first_of(call)
        sends = [] if first is None else self.sends(first)
        requests = self.requests.get(sends[-1].key, []) if sends else []
        return requests[-1] if requests else None

    def unread(self) -> Iterator[Span]:
        """Yield every attempt span that no request names."""
        return (attempt for attempt in self.attempts if attempt.key not in self.requests)

    def points(self, metric: str) -> list[Point]:
        """Return the last values of a metric's series."""
        return self.exported.metrics.get(metric, [])

    def _find(self, served: Served) -> Key:
        told = key_of(served.traceparent)
        parent = self.spans.get(self._keys.get(served.via or "", NOBODY))
        if served.traceparent is not None or parent is None:
            return told
        found = list(self._redirected_from(parent))
        # A send of the chain may have been lost on the way, and repeated by the transport.
        begun = [send for send in found if send.start <= served.read_at and send.key not in self.requests]
        return (begun or found)[-1].key if found else NOBODY

    def _redirected_from(self, parent: Span) -> Iterator[Span]:
        """Yield the sends that the answer to ``parent`` led to: a redirect, and its repetitions by the transport."""
        sends = self._sends.get((parent.trace_id, parent.parent_id), [])
        rest = sends[sends.index(parent) + 1 :] if parent in sends else []
        for position, send in enumerate(rest):
            if send.text(KIND) != (RESEND if position else REDIRECT):
                return
            yield send

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


def joined(call: Span) -> bool:
    """Tell whether a call waited for the answer to another one."""
    return call.text(DUPLICATE) == IN_FLIGHT


def left(call: Span) -> bool:
    """Tell whether the caller may have left before the end: cancelled, or out of time."""
    return call.error_type == "cancelled" or call.text(STOP) == "deadline"


def counts_as(call: Span) -> str | None:
    """Return the error a call counts as: its own, or the one that a fallback masked."""
    return call.error_type or call.text("buoy.error.masked")


def key_of(traceparent: str | None) -> Key:
    """Return the span that a ``traceparent`` names; empty where it is absent or malformed."""
    found = TRACEPARENT.fullmatch(traceparent or "")
    return (found[1], found[2]) if found else NOBODY
