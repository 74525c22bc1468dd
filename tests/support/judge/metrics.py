"""The checks between metrics and spans: every counter and histogram counts exactly what the spans show."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator

from tests.support.judge.case import DUPLICATE, STOP, Case, counts_as, joined, left
from tests.support.judge.contract import FAILURES, REFUSALS, REFUSED, result_of
from tests.support.judge.otlp import Span
from tests.support.judge.redirects import between_hops

OPERATION = ("buoy.provider", "buoy.operation")
CALLS = "buoy.client.calls"
CALL_DURATION = "buoy.client.call.duration"
ATTEMPT_DURATION = "buoy.client.attempt.duration"
ERRORS = "buoy.client.errors"
RETRIES = "buoy.client.retries"
ABANDONED = "buoy.client.retry.abandoned"
ACTIVE = "buoy.client.call.active"
WAITS = "buoy.client.wait.duration"
REFUSALS_COUNTED = "buoy.client.refusals"
REFUSAL = ("buoy.refusal.reason", "buoy.refusal.enforced")
DUPLICATES = "buoy.client.duplicates"
FALLBACKS = "buoy.client.fallbacks"
FALLBACK_SOURCE = "buoy.fallback.source"
MICROSECOND = 1e-6
CAUSES = ("backoff", "rate_limit", "concurrency")

Tally = Counter[tuple[Hashable, ...]]


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
    return [span for span in spans if counts_as(span) not in (None, "cancelled")]


def call_results(case: Case) -> Tally:
    """Count call spans by provider, operation and result."""
    return Counter((*(call.text(label) for label in OPERATION), result_of(counts_as(call))) for call in case.calls)


def call_errors(case: Case) -> Tally:
    """Count failed call spans by provider and type."""
    return Counter((call.text("buoy.provider"), counts_as(call)) for call in failed(case.calls))


def calls_by_result(case: Case) -> Iterator[str]:
    """``buoy.client.calls`` counts every call once, under its result."""
    yield from compare(CALLS, call_results(case), by_series(case, CALLS, *OPERATION, "buoy.call.result"))


def call_durations(case: Case) -> Iterator[str]:
    """``buoy.client.call.duration`` holds one value for every call."""
    labels = (*OPERATION, "error.type")
    yield from compare(CALL_DURATION, by_span(case.calls, *labels), by_series(case, CALL_DURATION, *labels))


def attempt_durations(case: Case) -> Iterator[str]:
    """``buoy.client.attempt.duration`` holds one value for every send."""
    labels = (*OPERATION, "buoy.attempt.kind", "error.type")
    yield from compare(ATTEMPT_DURATION, by_span(case.attempts, *labels), by_series(case, ATTEMPT_DURATION, *labels))


def attempt_errors(case: Case) -> Iterator[str]:
    """``buoy.client.errors`` counts every failed send, by type."""
    labels = ("buoy.provider", "error.type")
    counted = by_series(case, ERRORS, *labels, buoy__error__level="attempt")
    yield from compare(f"{ERRORS} level=attempt", by_span(failed(case.attempts), *labels), counted)


def errors_of_calls(case: Case) -> Iterator[str]:
    """``buoy.client.errors`` counts every failed call, by type."""
    counted = by_series(case, ERRORS, "buoy.provider", "error.type", buoy__error__level="call")
    yield from compare(f"{ERRORS} level=call", call_errors(case), counted)


def retries(case: Case) -> Iterator[str]:
    """``buoy.client.retries`` counts every retry, by reason."""
    labels = (*OPERATION, "buoy.retry.reason")
    repeated = [span for span in case.attempts if span.text("buoy.attempt.kind") == "retry"]
    yield from compare(RETRIES, by_span(repeated, *labels), by_series(case, RETRIES, *labels))


def abandoned(case: Case) -> Iterator[str]:
    """``buoy.client.retry.abandoned`` counts every call that gave up, by reason."""
    labels = ("buoy.provider", STOP)
    stopped = [call for call in case.calls if STOP in call.attributes]
    yield from compare(ABANDONED, by_span(stopped, *labels), by_series(case, ABANDONED, *labels))


def told_refusals(case: Case) -> Tally:
    """Count what spans tell of refusals, by provider, reason and whether the call was held back."""
    return Counter(
        (call.text("buoy.provider"), *(event.attributes.get(label) for label in REFUSAL))
        for call in case.calls
        for event in call.told("buoy.call.refused")
    )


def refusals(case: Case) -> Iterator[str]:
    """``buoy.client.refusals`` counts every refusal of ours, and those that a shadow breaker would have made.

    What a flight was refused after its first caller had left is counted, and has no span to stand on.
    """
    counted = by_series(case, REFUSALS_COUNTED, "buoy.provider", *REFUSAL)
    untold = by_span((call for call in case.calls if case.may_be_outlived(call)), "buoy.provider")
    yield from compare(REFUSALS_COUNTED, told_refusals(case), counted, untold)


def duplicates(case: Case) -> Iterator[str]:
    """``buoy.client.duplicates`` counts every call that joined another, or that the transport may have sent twice."""
    labels = (*OPERATION, DUPLICATE)
    spans = by_span((call for call in case.calls if DUPLICATE in call.attributes), *labels)
    yield from compare(DUPLICATES, spans, by_series(case, DUPLICATES, *labels))


def fallbacks(case: Case) -> Iterator[str]:
    """``buoy.client.fallbacks`` counts every call that something stood in for."""
    labels = (*OPERATION, FALLBACK_SOURCE)
    spans = by_span((call for call in case.calls if FALLBACK_SOURCE in call.attributes), *labels)
    yield from compare(FALLBACKS, spans, by_series(case, FALLBACKS, *labels))


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
    """``buoy.client.wait.duration`` holds a backoff for every retry, sent or refused, and for a call cut in it."""
    counted = by_series(case, WAITS, "buoy.provider", buoy__wait__for="backoff")
    retried = by_span((a for a in case.attempts if a.text("buoy.attempt.kind") == "retry"), "buoy.provider")
    retried += by_span((call for call in case.calls if _retry_was_refused(case, call)), "buoy.provider")
    cut = by_span((call for call in case.calls if _cut_while_waiting(case, call)), "buoy.provider")
    for key in sorted({*counted, *retried}, key=str):
        if not retried[key] <= counted[key] <= retried[key] + cut[key]:
            yield (
                f"{WAITS} wait.for=backoff of {key[0]}: {counted[key]} waits, {retried[key]} retries, "
                f"{cut[key]} calls that may have been cut while they waited"
            )


def waited(case: Case, cause: str) -> tuple[float, float]:
    """Return the seconds waited for something, by spans and by the metric."""
    spans = sum(call.seconds(f"buoy.time.{cause}") for call in case.calls)
    points = (point for point in case.points(WAITS) if point.labels.get("buoy.wait.for") == cause)
    return spans, sum(point.total for point in points)


def seconds_waited(case: Case) -> Iterator[str]:
    """``buoy.client.wait.duration`` holds the seconds that the calls say they waited, for each cause."""
    outlived = any(case.may_be_outlived(call) for call in case.calls)
    for cause in CAUSES:
        spans, counted = waited(case, cause)
        if counted < spans - MICROSECOND or (counted > spans + MICROSECOND and not outlived):
            yield f"{WAITS} wait.for={cause}: spans say {spans:.6f} s, the metric says {counted:.6f} s"
        points = (point for point in case.points(WAITS) if point.labels.get("buoy.wait.for") == cause)
        times = sum(point.value for point in points)
        waiting = sum(1 for call in case.calls if call.seconds(f"buoy.time.{cause}") > 0)
        if times < waiting:
            yield f"{WAITS} wait.for={cause}: {waiting} calls waited, the metric says {times} times"


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


def _retry_was_refused(case: Case, call: Span) -> bool:
    sends = case.sends(call)
    # What was refused between two hops was no retry.
    return call.text(STOP) == REFUSED and bool(sends) and not joined(call) and not between_hops(sends[-1])


def _cut_while_waiting(case: Case, call: Span) -> bool:
    sends = case.sends(call)
    failed_before = bool(sends) and sends[-1].error_type not in (None, "cancelled")
    return (failed_before and left(call)) or case.may_be_outlived(call)


def compare(metric: str, spans: Tally, counted: Tally, untold: Tally | None = None) -> Iterator[str]:
    """Yield where the metric differs from the spans; by key prefix, ``untold`` may be counted and not be told."""
    for key in sorted({*spans, *counted}, key=str):
        more = 0 if untold is None else untold[key[:1]]
        if not spans[key] <= counted[key] <= spans[key] + more:
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
    ("refusals", refusals),
    ("duplicates", duplicates),
    ("fallbacks", fallbacks),
    ("nothing active", nothing_is_active),
    ("waits", waits),
    ("seconds waited", seconds_waited),
    ("error labels", labels_agree),
)
