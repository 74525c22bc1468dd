"""The check of what kind a send is: first, retry, redirect or resend, as far as the servers can tell."""

from collections.abc import Callable, Iterator

from tests.support.judge.case import KIND, REDIRECT, RESEND, Case
from tests.support.judge.otlp import Span
from tests.support.judge.serverlog import Served

FIRST, RETRY = "first", "retry"


def kinds_are_as_served(case: Case) -> Iterator[str]:
    """What a span calls its send is what the server saw it to be."""
    for served, span in case.pairs():
        possible = possible_kinds(case, served, span)
        if span.text(KIND) not in possible:
            yield f"{served} is a {' or '.join(possible)}: {span} says {span.text(KIND)}"


def as_served(case: Case, served: Served, span: Span) -> str:
    """Return what the server says a send is; where it cannot tell two kinds apart, the one of them that is told."""
    possible = possible_kinds(case, served, span)
    told = str(span.text(KIND))
    return told if told in possible else possible[0]


def possible_kinds(case: Case, served: Served, span: Span) -> tuple[str, ...]:
    """Return what a send may have been, by the requests of its call that were read before it.

    A redirect names the answer that asked for it, and only the transport asks again for the same. It may do so where
    there was no answer at all. What was lost before it was read may have been the send that this one repeats.
    """
    call = case.call_of(span)
    sends = [] if call is None else case.sends(call)
    before = sends[: sends.index(span)] if span in sends else []
    lost = bool(before) and before[-1].key not in case.requests
    read = [earlier for send in before for earlier in case.requests.get(send.key, ())]
    if served.via is not None:
        if any(earlier.via == served.via for earlier in read):
            return (RESEND,)
        return (REDIRECT, RESEND) if lost else (REDIRECT,)
    if not read:
        return (FIRST, RETRY, RESEND) if lost else (FIRST,)
    return (RETRY, RESEND) if lost or read[-1].sent == "nothing" else (RETRY,)


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (("kinds as served", kinds_are_as_served),)
