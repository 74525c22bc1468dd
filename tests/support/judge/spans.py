"""The checks among the spans: each is well formed, each call has all its sends, and ends as the last of them did."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.support.judge.case import (
    KIND,
    REDIRECT,
    RESEND,
    RESENDS,
    STOP,
    Case,
    counts_as,
    joined,
    left,
)
from tests.support.judge.contract import FAILURES, REFUSALS, REFUSED, result_of
from tests.support.judge.otlp import Span
from tests.support.judge.redirects import BETWEEN, between_hops

TRIES = ("first", "retry")
KINDS = (*TRIES, RESEND, REDIRECT)
CALL_NEEDS = ("buoy.transport", "buoy.call.safety", "buoy.request.id", "buoy.call.attempts", "buoy.call.sends")
ATTEMPT_NEEDS = ("buoy.attempt.number", "http.request.method", "url.full", "server.address")


def spans_are_known(case: Case) -> Iterator[str]:
    """Every span of the scope is a call or an attempt, and was exported once."""
    for span in case.strange:
        yield f"{span} is neither a call nor an attempt"
    times = Counter(span.key for span in case.exported.spans)
    for key, count in times.items():
        if count > 1:
            yield f"{case.spans[key]} was exported {count} times"


def calls_are_well_formed(case: Case) -> Iterator[str]:
    """A call span has its name, kind and attributes, and a request id of its own."""
    ids = Counter(call.text("buoy.request.id") for call in case.calls)
    for call in case.calls:
        yield from _form(call, f"{call.text('buoy.provider')} {call.text('buoy.operation')}", "INTERNAL", CALL_NEEDS)
        if ids[call.text("buoy.request.id")] > 1:
            yield f"{call} shares its request id with another call"


def attempts_are_well_formed(case: Case) -> Iterator[str]:
    """An attempt span has its name, kind and attributes, and those of its call. No template is known elsewhere."""
    for attempt in case.attempts:
        template = attempt.text("url.template")
        name = " ".join(part for part in (attempt.text("http.request.method"), template) if part is not None)
        if (template is None) != _is_elsewhere(case, attempt):
            yield f"{attempt} is of the kind {attempt.text(KIND)}, and has the url.template {template}"
        yield from _form(attempt, name, "CLIENT", ATTEMPT_NEEDS)
        if attempt.text("buoy.attempt.kind") not in KINDS:
            yield f"{attempt} is of the kind {attempt.text('buoy.attempt.kind')!r}"
        call = case.call_of(attempt)
        for label in ("buoy.provider", "buoy.operation"):
            if call is not None and attempt.text(label) != call.text(label):
                yield f"{attempt} says {label} {attempt.text(label)!r}, its call {call.text(label)!r}"


def errors_are_well_formed(case: Case) -> Iterator[str]:
    """An error has its category or its reason, as the table says, and the status that goes with it."""
    for span in (*case.calls, *case.attempts):
        error = span.error_type
        expected = {
            "buoy.error.category": FAILURES[error][0] if error in FAILURES else None,
            "buoy.refusal.reason": error if error in REFUSALS else None,
        }
        if error is not None and error not in FAILURES and error not in REFUSALS:
            yield f"{span} has the unknown error.type {error!r}"
        for label, value in expected.items():
            if span.text(label) != value:
                yield f"{span} with error.type {error} says {label} {span.text(label)}, not {value}"
        status = "UNSET" if error in (None, "cancelled") else "ERROR"
        if span.status != status:
            yield f"{span} with error.type {error} has the status {span.status}, not {status}"


def traces_are_complete(case: Case) -> Iterator[str]:
    """The call of every attempt was exported, and so was the parent of every call that has one here."""
    for attempt in case.attempts:
        if case.call_of(attempt) is None:
            yield f"{attempt}: its parent {attempt.parent_id or 'none'} is no exported call"
    for call in case.calls:
        if call.parent_id and not call.remote_parent and (call.trace_id, call.parent_id) not in case.spans:
            yield f"{call}: its parent {call.parent_id} was never exported"


def sends_add_up(case: Case) -> Iterator[str]:
    """A call has as many attempt spans as it says, numbered without a gap."""
    for call in case.calls:
        sends = case.begun_by_end_of(call)
        tries = [send for send in sends if send.text("buoy.attempt.kind") in TRIES]
        for label, found in (("buoy.call.sends", len(sends)), ("buoy.call.attempts", len(tries))):
            if call.number(label) != found:
                yield f"{call} says {label} {call.number(label)}, its spans say {found}"
        numbers = [send.number("buoy.attempt.number") for send in tries]
        if numbers != list(range(1, len(tries) + 1)):
            yield f"{call}: its tries have the numbers {numbers}"
        resends = [send.number(RESENDS) for send in sends]
        if resends != [None, *range(1, len(sends))][: len(sends)]:
            yield f"{call}: its sends have the {RESENDS} {resends}"
        yield from _order(call, sends)


def calls_end_as_their_last_send(case: Case) -> Iterator[str]:
    """Cancellation wins; else the last send names the call; a refusal only where nothing was sent, or between hops."""
    for call in case.calls:
        if joined(call) or case.may_be_outlived(call):
            continue  # these are checked with their flight
        sends = case.sends(call)
        said = counts_as(call)
        last = sends[-1].error_type if sends else None
        undecodable = last is None and said == "server_error" and call.text("buoy.error.phase") == "decode"
        if said == "cancelled" or undecodable or (sends and said == last):
            continue
        if sends and between_hops(sends[-1]) and said in {*BETWEEN, *(send.error_type for send in sends)} - {None}:
            continue  # its answer led on, and the call did not get there
        if sends:
            yield f"{call} ended as {said or 'success'}, its last send as {last or 'success'}"
        elif said is None or said in FAILURES:
            yield f"{call} ended as {said or 'success'}, and nothing was sent"


def attempts_are_cancelled_with_their_call(case: Case) -> Iterator[str]:
    """Only the caller cancels; of several who share a send, the last one who leaves."""
    for attempt in case.attempts:
        call = case.call_of(attempt)
        if attempt.error_type != "cancelled" or call is None or call.error_type == "cancelled":
            continue
        if not any(map(left, case.joiners(call))):
            yield f"{attempt} was cancelled, its call ended as {call.error_type or 'success'}"


def stops_are_explained(case: Case) -> Iterator[str]:
    """A call that failed says why it was not tried again; one that succeeded has nothing to say."""
    for call in case.calls:
        reason = call.text(STOP)
        if call.error_type is None and "buoy.error.masked" not in call.attributes and reason is not None:
            yield f"{call} succeeded, and stopped retrying because of {reason}"
        if call.error_type in FAILURES and reason is None:
            yield f"{call} failed with {call.error_type}, and does not say why it was not tried again"
        if result_of(call.error_type) == REFUSED and reason not in ("refused", "deadline"):
            yield f"{call} was refused with {call.error_type}, and says that it stopped because of {reason}"


def _form(span: Span, name: str, kind: str, needs: tuple[str, ...]) -> Iterator[str]:
    if span.name != name:
        yield f"{span} should be called {name!r}"
    if span.kind != kind:
        yield f"{span} is of the kind {span.kind}, not {kind}"
    missing = [need for need in needs if need not in span.attributes]
    if missing:
        yield f"{span} lacks {', '.join(missing)}"


def _is_elsewhere(case: Case, attempt: Span) -> bool:
    """Tell whether a send went where a redirect led: it is one, or the transport's repetition of one."""
    if attempt.text(KIND) != RESEND:
        return attempt.text(KIND) == REDIRECT
    call = case.call_of(attempt)
    sends = [] if call is None else case.sends(call)
    earlier = [send for send in sends[: sends.index(attempt)] if send.text(KIND) != RESEND] if sends else []
    return bool(earlier) and earlier[-1].text(KIND) == REDIRECT


def _order(call: Span, sends: list[Span]) -> Iterator[str]:
    for before, after in pairwise(sends):
        step = (after.number("buoy.attempt.number") or 0) - (before.number("buoy.attempt.number") or 0)
        kind = after.text("buoy.attempt.kind")
        if step != (1 if kind == "retry" else 0):
            yield f"{call}: {after} is a {kind} with a number {step} above the send before it"
        reason, category = after.text("buoy.retry.reason"), before.text("buoy.error.category")
        if kind == "retry" and reason is None:
            yield f"{call}: {after} is a retry without a buoy.retry.reason"
        if kind == "retry" and category is not None and reason != category:
            yield f"{call}: {after} says buoy.retry.reason {reason}, the send before it failed with {category}"
    if sends and sends[0].text("buoy.attempt.kind") != "first":
        yield f"{call}: its first send is a {sends[0].text('buoy.attempt.kind')}"


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("spans are known", spans_are_known),
    ("call form", calls_are_well_formed),
    ("attempt form", attempts_are_well_formed),
    ("error form", errors_are_well_formed),
    ("traces complete", traces_are_complete),
    ("sends add up", sends_add_up),
    ("call ends as its last send", calls_end_as_their_last_send),
    ("cancelled with the call", attempts_are_cancelled_with_their_call),
    ("stops are explained", stops_are_explained),
)
