"""The checks of redirects: each was asked for, was followed as a send of its own, and took no secret to a stranger."""

from collections.abc import Callable, Iterator

from tests.support.judge.case import KIND, REDIRECT, RESEND, Case, counts_as, joined
from tests.support.judge.contract import HARMLESS, MOST_REDIRECTS, MOVED
from tests.support.judge.otlp import SECRET, Span
from tests.support.judge.serverlog import DEPOT

REFUSED = "redirect_refused"
STATUS = "http.response.status_code"
# How a call may end between two hops: its caller left, its time was up, or it would have had to wait for too long.
BETWEEN = ("cancelled", "timeout", "rate_limited_locally")


def nothing_secret_leaves(case: Case) -> Iterator[str]:
    """Who is not trusted gets no credential, cookie, key or traceparent: not a header that is not known as harmless."""
    for served in case.served:
        if case.trusts(served):
            continue
        told = sorted({*served.headers} - HARMLESS)
        if told:
            yield f"{served} is nobody's to trust, and was told {', '.join(told)}"
        if SECRET.decode() in served.head or served.key is not None:
            yield f"{served} is nobody's to trust, and was told a secret"


def trusted_are_told(case: Case) -> Iterator[str]:
    """Who is trusted gets the credentials and the traceparent on every send, redirects included."""
    for served in case.served:
        missing = {"authorization", "traceparent", "x-customer"} - {*served.headers}
        if case.trusts(served) and missing:
            yield f"{served} was not told {', '.join(sorted(missing))}"


def redirects_were_asked_for(case: Case) -> Iterator[str]:
    """A request that a redirect led to belongs to the call that was redirected, on the try that was."""
    for served in case.served:
        parent, span = case.request(served.via), case.spans.get(case.key(served))
        before = None if parent is None else case.spans.get(case.key(parent))
        if parent is None or span is None or before is None:
            continue
        same = (span.trace_id, span.parent_id) == (before.trace_id, before.parent_id)
        if not parent.moved or not same or _try(span) != _try(before):
            yield f"{served} came from {parent}: {span} is of another call or try than {before}"


def redirects_are_followed(case: Case) -> Iterator[str]:
    """An answer that leads on is followed by one redirect more, refused after too many, or the call ended there."""
    for call in case.calls:
        sends = case.sends(call)
        hops = 0
        for position, send in enumerate(sends):
            kind, after = send.text(KIND), sends[position + 1] if position + 1 < len(sends) else None
            hops = hops + 1 if kind == REDIRECT else hops if kind == RESEND else 0
            follows = after is not None and after.text(KIND) == REDIRECT
            if hops > MOST_REDIRECTS:
                yield f"{call}: {send} is the redirect number {hops} of its try"
            if follows and not between_hops(send):
                yield f"{call}: {after} is a redirect, and the answer to {send} led nowhere"
            if _was_refused(send) and (hops < MOST_REDIRECTS or send.number(STATUS) not in MOVED):
                yield f"{call}: {send} refused to follow its answer after {hops} redirects"
            if between_hops(send) and not follows and not _ends_between(call, after):
                yield f"{call}: nobody followed where the answer to {send} led, and it ended as {counts_as(call)}"


def redirects_tell_no_path(case: Case) -> Iterator[str]:
    """Where a redirect leads is told as an origin alone: its path may be anybody's secret."""
    for send in case.attempts:
        if send.text(KIND) == REDIRECT and not str(send.text("url.full")).endswith("/REDACTED"):
            yield f"{send} tells where it led: {send.text('url.full')}"
    for served in case.served:
        span = case.spans.get(case.key(served))
        if served.site == DEPOT and span is not None and span.text(KIND) not in (REDIRECT, RESEND):
            yield f"{served} is not the provider: {span} is of the kind {span.text(KIND)}"


def between_hops(send: Span) -> bool:
    """Tell whether the answer to this send led on: as the last one it leaves open how its call ended."""
    return send.error_type is None and send.number(STATUS) in MOVED


def _was_refused(send: Span) -> bool:
    return send.text("buoy.error.reason") == REFUSED


def _ends_between(call: Span, after: Span | None) -> bool:
    """Tell whether a call ended before it could follow; what was refused then says so, or what was tried before."""
    if after is not None:
        return False
    return joined(call) or counts_as(call) in BETWEEN or call.text("buoy.retry.stop_reason") in ("refused", "deadline")


def _try(send: Span) -> int | None:
    return send.number("buoy.attempt.number")


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("nothing secret leaves", nothing_secret_leaves),
    ("trusted are told", trusted_are_told),
    ("redirects asked for", redirects_were_asked_for),
    ("redirects followed", redirects_are_followed),
    ("redirects tell no path", redirects_tell_no_path),
)
