"""The checks between metrics and spans: every counter and histogram counts exactly what the spans show."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator

from tests.support.judge.case import Case
from tests.support.judge.contract import FAILURES, REFUSALS, result_of
from tests.support.judge.otlp import Span

OPERATION = ("buoy.provider", "buoy.operation")
CALLS = "buoy.client.calls"
CALL_DURATION = "buoy.client.call.duration"
ATTEMPT_DURATION = "buoy.client.attempt.duration"
ERRORS = "buoy.client.errors"
RETRIES = "buoy.client.retries"
ABANDONED = "buoy.client.retry.abandoned"
ACTIVE = "buoy.client.call.active"
WAITS = "buoy.client.wait.duration"

Tally = Counter[tuple[Hashable, ...]]


def ended_as(call: Span) -> str | None:
    """Return the error a call counts as: its own, or the one that a fallback masked."""
    return call.error_type or call.text("buoy.error.masked")


def by_span(spans: Iterable[Span], *labels: str) -> Tally:
    """Count spans by the values of their attributes."""
    return Counter(tuple(span.attributes.get(label) for label in labels) for span in spans)


def by_series(case: Case, metric: str, *labels: str, **only: str) -> Tally:
    """Sum the last values of a metric by labels; ``only`` picks series by a label whose dots are written as ``__``."""
    wanted = {name.replace("__", "."): value for name, value in only.items()}
    tally: Tally = Counter()
    for point in case.points(metric):
        if all(point.labels.get(name) == value for name, value in wanted.items()):
            tally[tuple(point.labels.get(label) for label in labels)] += point.value
    return tally


def failed(spans: Iterable[Span]) -> list[Span]:
    """Return the spans whose error is counted by ``buoy.client.errors``: all but ``cancelled``."""
    return [span for span in spans if ended_as(span) not in (None, "cancelled")]


def call_results(case: Case) -> Tally:
    """Count call spans by provider, operation and result."""
    return Counter((*(call.text(label) for label in OPERATION), result_of(ended_as(call))) for call in case.calls)


def call_errors(case: Case) -> Tally:
    """Count failed call spans by provider and type."""
    return Counter((call.text("buoy.provider"), ended_as(call)) for call in failed(case.calls))


def calls_by_result(case: Case) -> Iterator[str]:
    """``buoy.client.calls`` counts every call once, under its result."""
    yield from _compare(CALLS, call_results(case), by_series(case, CALLS, *OPERATION, "buoy.call.result"))


def call_durations(case: Case) -> Iterator[str]:
    """``buoy.client.call.duration`` holds one value for every call."""
    labels = (*OPERATION, "error.type")
    yield from _compare(CALL_DURATION, by_span(case.calls, *labels), by_series(case, CALL_DURATION, *labels))


def attempt_durations(case: Case) -> Iterator[str]:
    """``buoy.client.attempt.duration`` holds one value for every send."""
    labels = (*OPERATION, "buoy.attempt.kind", "error.type")
    yield from _compare(ATTEMPT_DURATION, by_span(case.attempts, *labels), by_series(case, ATTEMPT_DURATION, *labels))


def attempt_errors(case: Case) -> Iterator[str]:
    """``buoy.client.errors`` counts every failed send, by type."""
    labels = ("buoy.provider", "error.type")
    counted = by_series(case, ERRORS, *labels, buoy__error__level="attempt")
    yield from _compare(f"{ERRORS} level=attempt", by_span(failed(case.attempts), *labels), counted)


def errors_of_calls(case: Case) -> Iterator[str]:
    """``buoy.client.errors`` counts every failed call, by type."""
    counted = by_series(case, ERRORS, "buoy.provider", "error.type", buoy__error__level="call")
    yield from _compare(f"{ERRORS} level=call", call_errors(case), counted)


def retries(case: Case) -> Iterator[str]:
    """``buoy.client.retries`` counts every retry, by reason."""
    labels = (*OPERATION, "buoy.retry.reason")
    repeated = [span for span in case.attempts if span.text("buoy.attempt.kind") == "retry"]
    yield from _compare(RETRIES, by_span(repeated, *labels), by_series(case, RETRIES, *labels))


def abandoned(case: Case) -> Iterator[str]:
    """``buoy.client.retry.abandoned`` counts every call that gave up, by reason."""
    labels = ("buoy.provider", "buoy.retry.stop_reason")
    stopped = [call for call in case.calls if labels[1] in call.attributes]
    yield from _compare(ABANDONED, by_span(stopped, *labels), by_series(case, ABANDONED, *labels))


def nothing_is_active(case: Case) -> Iterator[str]:
    """``buoy.client.call.active`` is back at 0, and was exported for every provider that was called."""
    active = by_series(case, ACTIVE, "buoy.provider")
    for provider in sorted({str(call.text("buoy.provider")) for call in case.calls}):
        if (provider,) not in active:
            yield f"{ACTIVE} was never exported for {provider}"
    for key, value in active.items():
        if value != 0:
            yield f"{ACTIVE} of {key[0]} is {value} at the end"


def waits(case: Case) -> Iterator[str]:
    """``buoy.client.wait.duration`` holds one backoff for every retry, and one for a call cut while it waited."""
    counted = by_series(case, WAITS, "buoy.provider", buoy__wait__for="backoff")
    repeated = by_span((a for a in case.attempts if a.text("buoy.attempt.kind") == "retry"), "buoy.provider")
    cut = by_span((call for call in case.calls if _cut_while_waiting(case, call)), "buoy.provider")
    for key in sorted({*counted, *repeated}, key=str):
        if not repeated[key] <= counted[key] <= repeated[key] + cut[key]:
            yield (
                f"{WAITS} wait.for=backoff of {key[0]}: {counted[key]} waits, {repeated[key]} retries, "
                f"{cut[key]} calls that may have been cut while they waited"
            )


def labels_agree(case: Case) -> Iterator[str]:
    """Category and reason on metrics are functions of the error type, as on spans."""
    for metric in (CALL_DURATION, ATTEMPT_DURATION, ERRORS):
        for point in case.points(metric):
            error = point.labels.get("error.type")
            category = FAILURES[error][0] if isinstance(error, str) and error in FAILURES else None
            reason = error if error in REFUSALS else None
            said = (point.labels.get("buoy.error.category"), point.labels.get("buoy.refusal.reason"))
            if said != (category, reason):
                yield f"{metric} error.type={error} says category and reason {said}, not {(category, reason)}"


def _cut_while_waiting(case: Case, call: Span) -> bool:
    sends = case.sends(call)
    waited = bool(sends) and sends[-1].error_type not in (None, "cancelled")
    ended = call.error_type == "cancelled" or call.text("buoy.retry.stop_reason") == "deadline"
    return waited and ended


def _compare(metric: str, spans: Tally, counted: Tally) -> Iterator[str]:
    for key in sorted({*spans, *counted}, key=str):
        if spans[key] != counted[key]:
            labels = " ".join("-" if value is None else str(value) for value in key)
            yield f"{metric} {{{labels}}}: spans say {spans[key]}, the metric says {counted[key]}"


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("calls by result", calls_by_result),
    ("call durations", call_durations),
    ("attempt durations", attempt_durations),
    ("attempt errors", attempt_errors),
    ("call errors", errors_of_calls),
    ("retries", retries),
    ("abandoned", abandoned),
    ("nothing active", nothing_is_active),
    ("waits", waits),
    ("error labels", labels_agree),
)
