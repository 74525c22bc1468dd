"""The checks between what callers saw and the spans: every call has its span, and it tells the same story."""

from collections import Counter
from collections.abc import Callable, Iterator

from tests.support.judge import metrics
from tests.support.judge.callerlog import ANSWER, Seen
from tests.support.judge.case import DUPLICATE, Case, counts_as, joined, left
from tests.support.judge.contract import MOVED, RAISED, type_of_status
from tests.support.judge.otlp import Span
from tests.support.judge.wire import STATUS

WAITS = ("backoff", "rate_limit", "concurrency")
IN_DOUBT = "buoy.client.in_doubt"
FALLBACK = "fallback"
MOMENT = 1_000_000_000  # ns, for an event loop that is held up


def every_call_has_its_span(case: Case) -> Iterator[str]:
    """Each call is one span in the trace that its caller was told; a caller who left was told nothing."""
    spans = Counter(call.trace_id for call in case.calls)
    for trace, caller in case.callers.items():
        if spans[trace] != 1:
            yield f"{caller}: {spans[trace]} call spans are in that trace"
    lonely = [call for call in case.calls if call.trace_id not in case.callers]
    for call in lonely:
        if call.error_type != "cancelled" and not _crossed(case, call):
            yield f"{call} ended as {call.error_type or 'success'}, and no caller knows of it"
    left = Counter(caller.operation for caller in case.seen if caller.trace is None)
    told = Counter(call.text("buoy.operation") for call in lonely)
    for operation in sorted({*left, *told}, key=str):
        if left[str(operation)] != told[operation]:
            yield f"{left[str(operation)]} callers of {operation} left, {told[operation]} spans of such calls"


def same_operation(case: Case) -> Iterator[str]:
    """The span names the operation that was called."""
    for caller, call in pairs(case):
        if call.text("buoy.operation") != caller.operation:
            yield f"{caller}: {call} says {call.text('buoy.operation')!r}"


def same_ending(case: Case) -> Iterator[str]:
    """Who got an answer has a call without an error; a fallback masks one; what was raised is what is told."""
    for caller, call in pairs(case):
        if not agrees(caller, call):
            masked = call.text("buoy.error.masked")
            yield f"{caller} got {label(caller)}: {call} says error.type {call.error_type}, masked {masked}"


def same_story(case: Case) -> Iterator[str]:
    """What a caller is told of tries, sends, origin, duplicates and waits is what the span says."""
    for caller, call in pairs(case):
        story = {
            "buoy.call.attempts": caller.attempts,
            "buoy.call.sends": caller.sends,
            "buoy.result.origin": caller.origin,
            DUPLICATE: caller.duplicate,
        }
        for name, value in story.items():
            if call.attributes.get(name) != value:
                yield f"{caller} was told {name} {value}: {call} says {call.attributes.get(name)}"
        for cause in WAITS:
            waited, said = caller.waited.get(cause, 0.0), call.seconds(f"buoy.time.{cause}")
            if abs(waited - said) > 1e-6:
                yield f"{caller} was told of {waited:.6f} s of {cause}: {call} says {said:.6f}"


def within_the_callers_time(case: Case) -> Iterator[str]:
    """A call happens between its caller's question and answer."""
    for caller, call in pairs(case):
        if not caller.begun <= call.start <= call.end <= caller.over:
            yield f"{caller} waited from {caller.begun} to {caller.over}: {call} from {call.start} to {call.end}"


def same_answer(case: Case) -> Iterator[str]:
    """The status that a caller gets is the one that the server sent to the last send, also under a fallback."""
    for caller, call in pairs(case):
        sends = _sends(case, call)
        failed = bool(sends) and counts_as(call) == sends[-1].error_type
        answered = sends[-1].number(STATUS) if sends and (failed or counts_as(call) is None) else None
        told = answered if caller.ended in (ANSWER, "HttpError") else None
        if caller.origin == FALLBACK and answered is not None and type_of_status(answered) is None:
            told = None  # an answer that could not be used
        if caller.status != told and not case.may_be_outlived(call):
            yield f"{caller} got status {caller.status}: the last send of {call} says {told}"


def same_quota(case: Case) -> Iterator[str]:
    """What is left of the quota is what was told last; who left a flight may know less.

    A stranger has no quota of ours, nor has who was asked by one: nobody knew there whose request it was.
    """
    for caller, call in pairs(case):
        if case.may_be_outlived(call) or (joined(call) and left(call)):
            continue
        answered = [send for send in _sends(case, call) if send.number(STATUS) is not None]
        served = [each for send in answered for each in case.requests.get(send.key, ())]
        said = [each.remaining for each in served if case.trusts(each)]
        told = next((remaining for remaining in reversed(said) if remaining is not None), None)
        if caller.remaining != told:
            yield f"{caller} was told of {caller.remaining} requests left, the server said {told}"


def doubts(case: Case) -> Iterator[str]:
    """``buoy.client.in_doubt`` counts who was told that it may have happened."""
    told = Counter((caller.operation,) for caller in case.seen if caller.ended == "OutcomeUnknown")
    yield from metrics.compare(IN_DOUBT, Counter(told), metrics.by_series(case, IN_DOUBT, "buoy.operation"))


def pairs(case: Case) -> Iterator[tuple[Seen, Span]]:
    """Yield every caller with the call's span."""
    for call in case.calls:
        caller = case.callers.get(call.trace_id)
        if caller is not None:
            yield caller, call


def label(caller: Seen) -> str:
    """Say what a caller got."""
    if caller.ended == ANSWER:
        return ANSWER if caller.origin != FALLBACK else f"{FALLBACK} ({source_of(caller)})"
    return f"{caller.ended} {caller.status}" if caller.status is not None else caller.ended


def source_of(caller: Seen) -> str:
    """Return what a fallback was, as its caller can tell: a function says what it was asked for."""
    return "static" if caller.because is None else "function"


def agrees(caller: Seen, call: Span) -> bool:
    """Tell whether a span says of the end what its caller says."""
    masked = call.text("buoy.error.masked")
    if caller.ended != ANSWER:
        told = call.error_type in _types(caller.ended, caller.status)
        return masked is None and (told or _crossed_at_the_end(caller, call))
    if caller.origin != FALLBACK:
        return (call.error_type, masked) == (None, None)
    if call.error_type is not None or call.text("buoy.fallback.source") != source_of(caller):
        return False
    return masked is not None and (caller.because is None or masked in _types(caller.because, caller.status))


def _types(raised: str, status: int | None) -> set[str | None]:
    if raised == "HttpError" and status is not None:
        return {"server_error" if status in MOVED else type_of_status(status)}
    return {*RAISED.get(raised, ())}


def _crossed(case: Case, call: Span) -> bool:
    """Tell whether a streamed call may have failed in the moment in which its caller left: it is a task of its own."""
    return call.error_type is not None and any(
        caller.streamed
        and caller.trace is None
        and caller.operation == call.text("buoy.operation")
        and caller.begun <= call.start <= call.end <= caller.over <= call.end + MOMENT
        for caller in case.seen
    )


def _crossed_at_the_end(caller: Seen, call: Span) -> bool:
    """Tell whether who used a stream left in the moment in which it ended: complete, or broken."""
    if caller.ended != "CancelledError" or not caller.streamed or caller.over > call.end + MOMENT:
        return False
    return caller.complete or call.error_type is not None


def _sends(case: Case, call: Span) -> list[Span]:
    first = case.first_of(call)
    return [] if first is None else case.sends(first)


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("call has its span", every_call_has_its_span),
    ("operation called", same_operation),
    ("same ending", same_ending),
    ("same story", same_story),
    ("in the caller's time", within_the_callers_time),
    ("status got", same_answer),
    ("quota told", same_quota),
    ("in doubt", doubts),
)
