"""The checks of what policies did with calls: refusals, joins, fallbacks, pauses and permits, as spans tell them."""

from collections.abc import Callable, Iterator

from tests.support.judge.case import (
    DUPLICATE,
    IN_FLIGHT,
    KIND,
    REDIRECT,
    RESEND,
    STOP,
    Case,
    counts_as,
    joined,
    left,
)
from tests.support.judge.contract import CALLER_ERROR, CANCELLED, POLICIES, REFUSED, SUCCESS, result_of
from tests.support.judge.otlp import Span, SpanEvent

REASON, ENFORCED, BREAKER = "buoy.refusal.reason", "buoy.refusal.enforced", "buoy.breaker.name"
STATE = "buoy.breaker.state"
SECOND = 1_000_000_000
# A timer may be early by the resolution of a clock, and spans are timed by another one.
EARLY = SECOND // 50


def refusals_are_told(case: Case) -> Iterator[str]:
    """Who was refused, at first or on a retry, has one event that says by what; nobody else has one."""
    for call in case.calls:
        events = call.told("buoy.call.refused")
        enforced = [event.attributes.get(REASON) for event in events if event.attributes.get(ENFORCED) is True]
        said = counts_as(call)
        if result_of(said) == REFUSED:
            right = enforced == [said]
        elif call.text(STOP) == REFUSED and not joined(call):
            right = len(enforced) == 1 and enforced[0] in POLICIES
        else:
            right = not enforced or said == "cancelled"
        if not right:
            stop = call.text(STOP)
            yield f"{call} ended as {said or 'success'}, stopped by {stop}, and tells of the refusals {enforced}"
        yield from _shadows(call, [event for event in events if event.attributes.get(ENFORCED) is not True])


def joins_are_linked(case: Case) -> Iterator[str]:
    """A call that joined links to the first caller's, which asked for the same, and sends nothing of its own."""
    for call in case.calls:
        found = [event.attributes.get(DUPLICATE) for event in call.told("buoy.duplicate.found")]
        if found != [IN_FLIGHT] * joined(call):
            yield f"{call} says {DUPLICATE} {call.text(DUPLICATE)}, and its events {found}"
        if not joined(call):
            continue
        first = case.first_of(call)
        if first is None or joined(first) or len(call.links) != 1:
            yield f"{call} joined another call, and links to {call.links}"
            continue
        for label in ("buoy.provider", "buoy.operation"):
            if first.text(label) != call.text(label):
                yield f"{call} joined {first}, which is another {label}"
        landed = max([first.end, *(send.end for send in case.sends(first))])
        if case.sends(call) or call.start < first.start or (call.start > landed and not left(first)):
            yield f"{call} joined {first}, and has sends of its own or came too early or too late"


def joined_calls_end_as_their_flight(case: Case) -> Iterator[str]:
    """Who joined ends as the first caller did, but for who left: by cancellation, or because time was up."""
    for call in case.calls:
        first = case.first_of(call)
        if not joined(call) or first is None or left(call):
            continue
        sends = case.sends(first)
        ends = {counts_as(first)} if not left(first) else {sends[-1].error_type if sends else None, *POLICIES}
        if counts_as(call) not in ends:
            yield f"{call} ended as {counts_as(call) or 'success'}, and {first} as {counts_as(first) or 'success'}"


def resends_are_duplicates(case: Case) -> Iterator[str]:
    """A call is a duplicate by resend exactly where the transport sent it again by itself."""
    for call in case.calls:
        kinds = {send.text("buoy.attempt.kind") for send in case.begun_by_end_of(call)}
        if not joined(call) and ("resend" in kinds) != (call.text(DUPLICATE) == "resend"):
            yield f"{call} says {DUPLICATE} {call.text(DUPLICATE)}, its sends are {sorted(map(str, kinds))}"


def fallbacks_are_told(case: Case) -> Iterator[str]:
    """What a fallback answered says so everywhere, and masks a failure or a refusal."""
    for call in case.calls:
        masked, source = call.text("buoy.error.masked"), call.text("buoy.fallback.source")
        events = [
            (e.attributes.get("buoy.fallback.source"), e.attributes.get("buoy.error.masked")) for e in _used(call)
        ]
        fell_back = call.text("buoy.result.origin") == "fallback"
        if not fell_back and (masked, source, events) == (None, None, []):
            continue
        if not fell_back or events != [(source, masked)] or source not in ("static", "function"):
            yield f"{call} says source {source}, masked {masked}, its events {events}"
        if result_of(masked) in (SUCCESS, CALLER_ERROR, CANCELLED) or call.error_type is not None:
            yield f"{call} masks {masked or 'success'}, and ended as {call.error_type or 'success'}"


def pauses_are_kept(case: Case) -> Iterator[str]:
    """After a 429 with Retry-After nobody of the provider sends until then; the transport's own resend may.

    Who left before it had come does not know of it.
    """
    for served, span in case.pairs():
        known = span.error_type == "rate_limited"
        if served.status == 429 and served.retry_after is not None and known:
            until = span.end + served.retry_after * SECOND - EARLY
            for attempt in case.attempts:
                mine = attempt.text("buoy.provider") == span.text("buoy.provider")
                if mine and span.end < attempt.start < until and attempt.text("buoy.attempt.kind") != "resend":
                    after = (attempt.start - span.end) / SECOND
                    yield f"{served} asked for {served.retry_after} s: {attempt} was sent after {after:.3f} s"


def open_breakers_hold_back(case: Case) -> Iterator[str]:
    """While a breaker says for how long it is open, nobody under it sends; what is part of a try that had begun may."""
    watched = {attempt.text("buoy.operation") for attempt in case.attempts if attempt.text(STATE) == "metrics_only"}
    held = [attempt for attempt in case.attempts if attempt.text("buoy.operation") not in watched]
    held = sorted((a for a in held if a.text(KIND) not in (RESEND, REDIRECT)), key=lambda attempt: attempt.start)
    for call in case.calls:
        for event in [] if joined(call) else call.told("buoy.call.refused"):
            wait = event.attributes.get("buoy.retry_after")
            if event.attributes.get(REASON) == "breaker_open" and isinstance(wait, float):
                until = event.time + wait * SECOND - EARLY
                for attempt in held:
                    mine = attempt.text("buoy.provider") == call.text("buoy.provider")
                    if mine and event.time < attempt.start < until:
                        yield f"{call} was told that the breaker is open for {wait:.3f} s: {attempt} was sent meanwhile"


def breaker_states_of_sends(case: Case) -> Iterator[str]:
    """A send says in which state its breaker let it through, unless that was closed; open ones let nothing through."""
    for attempt in case.attempts:
        state = attempt.text(STATE)
        if state not in (None, "half_open", "metrics_only", "disabled"):
            yield f"{attempt} says that its breaker was {state}"


def permits_are_kept(case: Case) -> Iterator[str]:
    """Never are more sends on their way than there are permits."""
    for provider in sorted({str(attempt.text("buoy.provider")) for attempt in case.attempts}):
        limits = [
            point.value
            for readings in case.exported.exports
            for point in readings.get("buoy.concurrency.limit", ())
            if point.labels.get("buoy.provider") == provider
        ]
        most = _at_once([attempt for attempt in case.attempts if attempt.text("buoy.provider") == provider])
        if limits and most > max(limits):
            yield f"{most} sends of {provider} were on their way at once, there are {max(limits)} permits"


def _shadows(call: Span, shadows: list[SpanEvent]) -> Iterator[str]:
    for event in shadows:
        if event.attributes.get(REASON) != "breaker_open" or not event.attributes.get(BREAKER) or len(shadows) > 1:
            yield f"{call} tells of the shadow refusal {dict(event.attributes)}, {len(shadows)} in all"


def _used(call: Span) -> list[SpanEvent]:
    return call.told("buoy.fallback.used")


def _at_once(spans: list[Span]) -> int:
    steps = sorted([(span.start, 1) for span in spans] + [(span.end, -1) for span in spans])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("refusals told", refusals_are_told),
    ("joins linked", joins_are_linked),
    ("joined as first", joined_calls_end_as_their_flight),
    ("resends are duplicates", resends_are_duplicates),
    ("fallbacks told", fallbacks_are_told),
    ("pauses kept", pauses_are_kept),
    ("open breakers", open_breakers_hold_back),
    ("breaker states of sends", breaker_states_of_sends),
    ("permits kept", permits_are_kept),
)
