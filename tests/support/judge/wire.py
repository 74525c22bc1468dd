"""The checks between the servers' logs and the attempt spans: every request one span, every other span explained."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.support.judge.case import KIND, NOBODY, REDIRECT, Case, key_of
from tests.support.judge.contract import MOVED, type_of_status
from tests.support.judge.otlp import Span
from tests.support.judge.serverlog import Served

STATUS = "http.response.status_code"
SECOND = 1_000_000_000
# How long after a whole answer a client may still give up on it: its event loop may have been busy when it came.
GRACE = 1 * SECOND
# Both clocks are this machine's; an exporter may compute a span's start from another clock, to some milliseconds.
SLACK = SECOND // 4

UNREAD_REFUSED = "refused, nobody listened"
UNREAD_RESET = "reset before it was read"
UNREAD_LATE = "timed out before it was connected"
UNREAD_TIMEOUT = "timed out before it was read"
UNREAD_CANCELLED = "cancelled before it was read"


def every_request_has_its_span(case: Case) -> Iterator[str]:
    """Each request a server read names one exported attempt span, which no other request names.

    One that carries no ``traceparent``, because it must not, is named by the redirect that it came from.
    """
    attempts = {attempt.key for attempt in case.attempts}
    for key, requests in case.requests.items():
        for served in requests:
            if key == NOBODY and served.traceparent is None and served.via is not None:
                origin = case.request(served.via) or "nowhere"
                yield f"{served} came from {origin}, which no redirect that was exported did"
            elif key == NOBODY or (served.traceparent is not None and key_of(served.traceparent) == NOBODY):
                yield f"{served} carries no valid traceparent but {served.traceparent!r}"
            elif key not in case.spans:
                yield f"{served} names span {'/'.join(key)}, which was never exported"
            elif key not in attempts:
                yield f"{served} names {case.spans[key]}, which is not an attempt"
        if key in attempts and len(requests) > 1:
            yield f"{case.spans[key]} is named by {len(requests)} requests: {', '.join(map(str, requests))}"


def same_operation(case: Case) -> Iterator[str]:
    """Method and template of the span are those of the request; where a redirect led, the method alone is told."""
    for served, span in case.pairs():
        said = f"{span.text('http.request.method')} {span.text('url.template')}"
        if served.via is not None and span.text("url.template") is None:
            said, asked = f"{span.text('http.request.method')}", served.operation.split(" ")[0]
        else:
            asked = _shape(served.operation)
        if _shape(said) != asked:
            yield f"{served}: {span} says {said!r}"


def same_answer(case: Case) -> Iterator[str]:
    """The span tells the answer that was given, or that none came whole."""
    for served, span in case.pairs():
        said = f"{span} says status {span.number(STATUS)}, error.type {span.error_type}"
        call = case.call_of(span)
        left = call is not None and bool(call.told("buoy.stream.left"))
        fine = (left and span.error_type is None and served.told is not None) or _lost_with_restart(case, served, span)
        objection = None if fine else _objection(served, span)
        if objection is not None:
            yield f"{served}: {said}; {objection}"


def same_request_id(case: Case) -> Iterator[str]:
    """Where the span has the provider's request id, it is the one the server gave to this request."""
    for served, span in case.pairs():
        said = span.text("buoy.provider_request_id")
        if said is not None and said != f"req_{served.seq}":
            yield f"{served} has the id req_{served.seq}: {span} says {said!r}"


def unread_sends_are_explained(case: Case) -> Iterator[str]:
    """A span without a request was refused while nobody listened, or late, or reset, or left, before it was read."""
    for span in case.unread():
        if why_unread(case, span) is None:
            yield (
                f"{span} was never read by the server, and nothing explains it: error.type {span.error_type}, "
                f"phase {span.text('buoy.error.phase')}, outcome {span.text('buoy.error.outcome')}"
            )


def unread_resets_are_bounded(case: Case) -> Iterator[str]:
    """No more sends were lost on closed connections than the server closed."""
    kinds = Counter(why_unread(case, span) for span in case.unread())
    lost = kinds[UNREAD_RESET] + kinds[UNREAD_TIMEOUT]
    if lost > case.log.may_be_unread:
        log = case.log
        yield (
            f"{lost} sends were lost before they were read, the server can explain {log.may_be_unread}: "
            f"{log.reset_unread} reset unread, {log.closed_idle} closed idle, {log.dropped_unread} dropped without a "
            f"request, {log.closings} closings of its socket"
        )


def outcomes_are_true(case: Case) -> Iterator[str]:
    """What was ``not_sent`` was not read; what was ``rejected`` was answered with an error."""
    for served, span in case.pairs():
        outcome = span.text("buoy.error.outcome")
        if outcome == "not_sent":
            yield f"{served}: {span} says that it was not sent"
        elif outcome == "rejected" and (served.told is None or served.told < 400):
            yield f"{served}: {span} says that it was rejected"


def repeats_are_safe(case: Case) -> Iterator[str]:
    """An unsafe call is tried again only where nothing was done; a keyed one carries one key on every send.

    Where a redirect leads is no repetition. Who is not trusted gets no key.
    """
    for call in case.calls:
        sends = case.sends(call)
        safety = call.text("buoy.call.safety")
        done: Span | None = None
        for before, after in pairwise(sends):
            done = done or (before if _may_be_done(before, after) else None)
            if safety == "unsafe" and after.text(KIND) != REDIRECT and done is not None:
                yield f"{call} is unsafe and was sent again as {after}; {done} may have done it"
        keys = {served.key for served in case.read_of(call) if served.traceparent is not None}
        if len(keys) > 1 or (safety == "keyed" and None in keys):
            yield f"{call} is {safety}, and its sends carried the keys {sorted(map(str, keys))}"


def why_unread(case: Case, span: Span) -> str | None:
    """Return which of the protocol's reasons explains that the server never read a send, or ``None``."""
    call = case.call_of(span)
    phase = span.text("buoy.error.phase")
    if span.error_type == "cancelled":
        return UNREAD_CANCELLED if call is not None and call.error_type == "cancelled" else None
    if span.number(STATUS) is not None or span.error_type not in ("network_error", "timeout"):
        return None
    if phase == "connect":
        return _why_unconnected(case, span)
    if phase in ("send", "receive"):
        return UNREAD_RESET if span.error_type == "network_error" else UNREAD_TIMEOUT
    return None


def _why_unconnected(case: Case, span: Span) -> str | None:
    if span.text("buoy.error.outcome") != "not_sent":
        return None
    if _nobody_listened(case, span):
        return UNREAD_REFUSED
    return UNREAD_LATE if span.error_type == "timeout" else None


def _may_be_done(before: Span, after: Span) -> bool:
    """Tell whether a send may have had its effect; one that was led elsewhere with the same method had none."""
    method = "http.request.method"
    if after.text(KIND) == REDIRECT and before.text(method) == after.text(method):
        return False
    return before.text("buoy.error.outcome") not in ("not_sent", "rejected")


def _objection(served: Served, span: Span) -> str | None:
    status = span.number(STATUS)
    if status is not None and served.told is not None and status != served.told:
        return "the server answered something else"
    if _gave_up(served, span):
        return None
    if served.status is not None:
        return "the answer was sent whole" if status is None else _misread(served.status, span)
    if served.told is None and status is not None:
        return "no answer was sent"
    return _cut_objection(served, span, status)


def _cut_objection(served: Served, span: Span, status: int | None) -> str | None:
    """Return what is wrong with what is said of an answer that broke off."""
    if served.left:
        return "the client left: that is a timeout or a cancellation"
    if status is not None and status in MOVED:
        return _misread(status, span)  # nobody needed the rest
    if status is not None and status >= 400:
        return None if span.error_type == type_of_status(status) else "a status of an error counts, whatever follows"
    return None if span.error_type == "network_error" else "the answer was cut off: that is a network_error"


def _misread(status: int, span: Span) -> str | None:
    undecodable = span.error_type == "server_error" and span.text("buoy.error.phase") == "decode"
    refused = span.error_type == "server_error" and span.text("buoy.error.reason") == "redirect_refused"
    if span.error_type == type_of_status(status) or (status < 300 and undecodable) or (status in MOVED and refused):
        return None
    return f"that status means error.type {type_of_status(status)}"


def _lost_with_restart(case: Case, served: Served, span: Span) -> bool:
    """Tell whether the end of a whole answer may have been lost with all connections, before the client had read it."""
    ended = served.ended_at
    if served.status is None or ended is None or span.error_type != "network_error":
        return False
    return any(ended <= since <= min(span.end, ended + GRACE) for since, _ in case.log.deaf)


def _gave_up(served: Served, span: Span) -> bool:
    """Tell whether the client stopped waiting, and the times agree that it had reason to."""
    if span.error_type not in ("timeout", "cancelled"):
        return False
    return served.ended_at is not None and served.ended_at >= span.end - GRACE


def _nobody_listened(case: Case, span: Span) -> bool:
    return any(span.end >= since - SLACK and span.start <= until + SLACK for since, until in case.log.deaf)


def _shape(operation: str) -> str:
    # What a field is called is the client's choice: /products/{id} and /products/{product_id} are one template.
    return re.sub(r"\{[^}]*\}", "{}", operation)


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("request has its span", every_request_has_its_span),
    ("same operation", same_operation),
    ("same answer", same_answer),
    ("same request id", same_request_id),
    ("unread sends explained", unread_sends_are_explained),
    ("unread resets bounded", unread_resets_are_bounded),
    ("outcomes are true", outcomes_are_true),
    ("repeats are safe", repeats_are_safe),
)
