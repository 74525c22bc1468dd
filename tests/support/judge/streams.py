"""The checks of bodies, streamed or not: what callers had of them is what was sent, and the spans last until then."""

from collections.abc import Callable, Iterator

from tests.support.judge.callerlog import ANSWER, Seen
from tests.support.judge.callers import FALLBACK, pairs
from tests.support.judge.case import STOP, Case
from tests.support.judge.otlp import Span

LEFT = "buoy.stream.left"


def whole_answers_came_whole(case: Case) -> Iterator[str]:
    """Who has an answer as a whole has all that the server had to send; what broke off reached nobody as an answer."""
    for caller, call in pairs(case):
        if caller.ended != ANSWER or caller.origin == FALLBACK or caller.left_early:
            continue
        served = case.answered(call)
        if served is None or served.sent != "whole":
            yield f"{caller} has a whole answer: {served or 'nothing'} was the last that was sent to {call}"
        elif caller.size not in (None, served.size) or caller.items not in (None, served.items):
            had, sent = (caller.size, caller.items), (served.size, served.items)
            yield f"{caller} has {had} bytes and items: {served} sent {sent}"


def parts_are_parts(case: Case) -> Iterator[str]:
    """Nobody read more of a stream than was sent, nor all of what was not sent whole."""
    for caller, call in pairs(case):
        served = case.answered(call)
        if caller.items is None or served is None:
            continue
        # What was compressed was sent at once.
        if served.fault != "gzip-cut" and caller.items > served.items:
            yield f"{caller} read {caller.items} items: {served} sent {served.items}"
        # Whose time was up in the moment of the last byte has all of it, and is told so.
        if caller.complete and served.sent != "whole":
            yield f"{caller} ended as {caller.ended}, with all of {served}"


def leaving_is_told(case: Case) -> Iterator[str]:
    """Who leaves a stream before its end has an event that says so, and a success; nobody else has one."""
    for caller, call in pairs(case):
        told = len(call.told(LEFT))
        if told != caller.left_early:
            yield f"{caller} {'left' if caller.left_early else 'did not leave'} a stream: {call} says so {told} times"
    for call in case.calls:
        if call.trace_id not in case.callers and call.told(LEFT):
            yield f"{call} says that a stream was left, and no caller knows of it"


def spans_last_to_the_last_byte(case: Case) -> Iterator[str]:
    """A streamed call and its last send go on until the last item was read. One process has both clocks."""
    for caller, call in pairs(case):
        sends = case.sends(call)
        for span in (call, *sends[-1:]) if caller.last is not None else ():
            if _ended_before(span, caller):
                yield f"{caller} read the last item at {caller.last}: {span} had ended at {span.end}"


def bodies_are_sent_once(case: Case) -> Iterator[str]:
    """A body that exists once is sent once, and only that keeps a call from being repeated as ``not_replayable``."""
    for caller, call in pairs(case):
        read = case.read_of(call)
        if caller.once and len(read) > 1:
            yield f"{caller} has a body for one send: {', '.join(map(str, read))} got it"
        if call.text(STOP) == "not_replayable" and not (caller.once and (read or case.sends(call))):
            yield f"{caller} has a body that can be sent again: {call} says {STOP} not_replayable"


def _ended_before(span: Span, caller: Seen) -> bool:
    return caller.last is not None and span.end < caller.last


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("whole is whole", whole_answers_came_whole),
    ("parts are parts", parts_are_parts),
    ("leaving told", leaving_is_told),
    ("last byte", spans_last_to_the_last_byte),
    ("sent once", bodies_are_sent_once),
)
