"""The truth table as text: what the server's log says beside what the exported OTLP says. Judges nothing."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from tests.support.judge import metrics, wire
from tests.support.judge.case import Case

MISSING = "-"
Row = tuple[str, str, str]


def render(case: Case) -> str:
    """Return the whole table."""
    log = case.log
    server = (
        f"server: {len(log.requests)} requests read, {log.reset_unread} reset unread, {log.closed_idle} closed idle, "
        f"{log.dropped_unread} dropped at a closing of its socket"
    )
    otlp = f"otlp:   {len(case.calls)} call spans, {len(case.attempts)} attempt spans"
    blocks = [
        _block("requests by operation", ("server", "spans"), _operations(case)),
        _block("requests by answer", ("server", "spans"), _answers(case)),
        _block("sends the server never read", ("", "spans"), _unread(case)),
        _block("attempts by kind", ("spans", "metric"), _kinds(case)),
        _block("calls by result", ("spans", "metric"), _results(case)),
        _block("errors of attempts", ("spans", "metric"), _attempt_errors(case)),
        _block("errors of calls", ("spans", "metric"), _call_errors(case)),
        _block("retries by reason", ("spans", "metric"), _retries(case)),
        _block("retrying abandoned by reason", ("spans", "metric"), _abandoned(case)),
    ]
    return "\n".join((server, otlp, *(block for block in blocks if block)))


def _operations(case: Case) -> Iterator[Row]:
    read = {span.key for _, span in case.pairs()}
    spans = Counter(span.name for span in case.attempts if span.key in read)
    yield from _rows(Counter(served.operation for served in case.log.requests), spans)


def _answers(case: Case) -> Iterator[Row]:
    named = {served.seq: span for served, span in case.pairs()}
    logged: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for served in case.log.requests:
        span = named.get(served.seq)
        if span is None:
            logged[served.label] += 1
        elif served.status is None or span.number(wire.STATUS) is None:  # no status to compare: the error names the row
            logged[f"{served.label} ({span.error_type})"] += 1
            said[f"{served.label} ({span.error_type})"] += 1
        else:
            logged[served.label] += 1
            said[str(span.number(wire.STATUS))] += 1
    yield from _rows(logged, said)


def _unread(case: Case) -> Iterator[Row]:
    counts = Counter((span.name, wire.why_unread(case, span) or "UNEXPLAINED") for span in case.unread())
    for (name, why), count in sorted(counts.items()):
        yield f"{name}: {why}", "", str(count)


def _kinds(case: Case) -> Iterator[Row]:
    label = "buoy.attempt.kind"
    counted = metrics.by_series(case, metrics.ATTEMPT_DURATION, label)
    yield from _rows(_named(metrics.by_span(case.attempts, label)), _named(counted))


def _results(case: Case) -> Iterator[Row]:
    counted = metrics.by_series(case, metrics.CALLS, "buoy.call.result")
    yield from _rows(_named(metrics.call_results(case), last=1), _named(counted))


def _attempt_errors(case: Case) -> Iterator[Row]:
    counted = metrics.by_series(case, metrics.ERRORS, "error.type", buoy__error__level="attempt")
    yield from _rows(_named(metrics.by_span(metrics.failed(case.attempts), "error.type")), _named(counted))


def _call_errors(case: Case) -> Iterator[Row]:
    counted = metrics.by_series(case, metrics.ERRORS, "error.type", buoy__error__level="call")
    yield from _rows(_named(metrics.call_errors(case), last=1), _named(counted))


def _retries(case: Case) -> Iterator[Row]:
    label = "buoy.retry.reason"
    spans = metrics.by_span((span for span in case.attempts if label in span.attributes), label)
    yield from _rows(_named(spans), _named(metrics.by_series(case, metrics.RETRIES, label)))


def _abandoned(case: Case) -> Iterator[Row]:
    label = "buoy.retry.stop_reason"
    spans = metrics.by_span((call for call in case.calls if label in call.attributes), label)
    yield from _rows(_named(spans), _named(metrics.by_series(case, metrics.ABANDONED, label)))


def _named(tally: metrics.Tally, last: int | None = None) -> Counter[str]:
    """Return counts under printable names, of the ``last`` parts of each key only where given."""
    named: Counter[str] = Counter()
    for key, count in tally.items():
        parts: Sequence[Hashable] = key if last is None else key[-last:]
        named[" ".join(MISSING if part is None else str(part) for part in parts)] += count
    return named


def _rows(left: Counter[str], right: Counter[str]) -> Iterator[Row]:
    for name in sorted({*left, *right}):
        if left[name] or right[name]:
            yield name, str(left[name]), str(right[name])


def _block(title: str, heads: tuple[str, str], rows: Iterator[Row]) -> str:
    lines = [f"  {name:<58}{left:>9}{right:>9}{_mark(left, right)}" for name, left, right in rows]
    return "\n".join(("", f"{title:<60}{heads[0]:>9}{heads[1]:>9}", *lines)) if lines else ""


def _mark(left: str, right: str) -> str:
    return "   <-" if left and left != right else ""
