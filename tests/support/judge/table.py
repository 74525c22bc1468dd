"""The truth table as text: what server and callers say beside what the exported OTLP says. Judges nothing."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from tests.support.judge import breakers, callers, kinds, metrics, streams, times, wire
from tests.support.judge.callerlog import ANSWER, Seen
from tests.support.judge.case import DUPLICATE, KIND, STOP, Case
from tests.support.judge.otlp import Span
from tests.support.judge.serverlog import Served

MISSING = "-"
Row = tuple[str, *tuple[str, ...]]


def render(case: Case) -> str:
    """Return the whole table."""
    log = case.log
    server = (
        f"server: {len(log.requests)} requests read, {log.reset_unread} reset unread, {log.closed_idle} closed idle, "
        f"{log.dropped_unread} dropped at a closing of its socket"
    )
    strangers = [served for served in case.served if not case.trusts(served)]
    depot = (
        f"depot: {len(case.depot.requests)} requests read; {len(strangers)} that nobody trusts, "
        f"{sum('authorization' in served.headers for served in strangers)} of them with credentials"
    )
    read = [caller for caller in case.seen if caller.items is not None]
    items = sum(caller.items or 0 for caller in read)
    seen = f"callers: {len(case.seen)} calls, {len(read)} of them streams with {items} items"
    otlp = (
        f"otlp: {len(case.calls)} call spans, {len(case.attempts)} attempt spans, {len(case.exported.exports)} exports"
    )
    lasted, told = sum(call.duration for call in case.calls), sum(map(times.told, case.calls))
    time = f"time: {lasted:.1f} s in calls, {told / lasted if lasted else 1:.2%} of it tries and waits"
    blocks = [
        _block("requests by operation", ("server", "spans"), _operations(case)),
        _block("requests by answer", ("server", "spans"), _answers(case)),
        _block("sends the server never read", ("", "spans"), _unread(case)),
        _block("sends by kind, as they were read", ("server", "spans"), _kinds_read(case)),
        _block("attempts by kind", ("spans", "metric"), _kinds(case)),
        _block("calls by operation", ("callers", "spans", "metric"), _called(case)),
        _block("what callers got", ("callers", "spans"), _endings(case)),
        _block("streams", ("callers", "spans"), _streams(case)),
        _block("calls by result", ("spans", "metric"), _results(case)),
        _block("errors of attempts", ("spans", "metric"), _attempt_errors(case)),
        _block("errors of calls", ("spans", "metric"), _call_errors(case)),
        _block("retries by reason", ("spans", "metric"), _retries(case)),
        _block("retrying abandoned by reason", ("spans", "metric"), _abandoned(case)),
        _block("refusals by reason", ("spans", "metric"), _refusals(case)),
        _block("duplicates by source", ("callers", "spans", "metric"), _duplicates(case)),
        _block("fallbacks by source", ("callers", "spans", "metric"), _fallbacks(case)),
        _block("seconds waited", ("spans", "metric"), _waits(case)),
        _block("breaker transitions", ("metric",), ((name, str(count)) for name, count in breakers.transitions(case))),
    ]
    return "\n".join((server, depot, seen, otlp, time, *(block for block in blocks if block)))


def _operations(case: Case) -> Iterator[Row]:
    # Of where a redirect led, a span knows the method alone.
    asked = Counter(_led(served) if served.via is not None else served.operation for served in case.served)
    read = [(served, span) for served, span in case.pairs()]
    spans = Counter(_led(served) if span.text("url.template") is None else span.name for served, span in read)
    yield from _rows(asked, spans)


def _led(served: Served) -> str:
    return f"{served.operation.split(' ')[0]} where a redirect led, {served.site}"


def _answers(case: Case) -> Iterator[Row]:
    named = {served.name: span for served, span in case.pairs()}
    logged: Counter[str] = Counter()
    said: Counter[str] = Counter()
    for served in case.served:
        span = named.get(served.name)
        if span is None:
            logged[served.label] += 1
        elif served.status is None or span.number(wire.STATUS) is None:  # no status to compare: the error names the row
            logged[f"{served.label} ({span.error_type or 'no error'})"] += 1
            said[f"{served.label} ({span.error_type or 'no error'})"] += 1
        else:
            logged[served.label] += 1
            said[str(span.number(wire.STATUS))] += 1
    yield from _rows(logged, said)


def _unread(case: Case) -> Iterator[Row]:
    counts = Counter((span.name, wire.why_unread(case, span) or "UNEXPLAINED") for span in case.unread())
    for (name, why), count in sorted(counts.items()):
        yield f"{name}: {why}", "", str(count)


def _kinds_read(case: Case) -> Iterator[Row]:
    pairs = list(case.pairs())
    served = Counter(kinds.as_served(case, served, span) for served, span in pairs)
    served["unknown"] = len(case.served) - len(pairs)
    yield from _rows(served, Counter(str(span.text(KIND)) for _, span in pairs))


def _kinds(case: Case) -> Iterator[Row]:
    counted = metrics.by_series(case, metrics.ATTEMPT_DURATION, KIND)
    yield from _rows(_named(metrics.by_span(case.attempts, KIND)), _named(counted))


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
    spans = metrics.by_span((call for call in case.calls if STOP in call.attributes), STOP)
    yield from _rows(_named(spans), _named(metrics.by_series(case, metrics.ABANDONED, STOP)))


def _called(case: Case) -> Iterator[Row]:
    label = "buoy.operation"
    called = Counter(caller.operation for caller in case.seen)
    counted = metrics.by_series(case, metrics.CALLS, label)
    yield from _rows(called, _named(metrics.by_span(case.calls, label)), _named(counted))


def _endings(case: Case) -> Iterator[Row]:
    agreed = Counter(callers.label(caller) for caller, call in callers.pairs(case) if callers.agrees(caller, call))
    left = sum(1 for call in case.calls if call.trace_id not in case.callers and call.error_type is not None)
    yield from _rows(Counter(map(callers.label, case.seen)), agreed + Counter({"CancelledError": left}))


def _streams(case: Case) -> Iterator[Row]:
    pairs = [(caller, call) for caller, call in callers.pairs(case) if caller.items is not None]
    told = Counter(_stream(caller.ended, left=caller.left_early) for caller, _ in pairs)
    said = Counter(_stream(_ended(caller, call), left=bool(call.told(streams.LEFT))) for caller, call in pairs)
    yield from _rows(told, said)


def _ended(caller: Seen, call: Span) -> str:
    return caller.ended if callers.agrees(caller, call) else str(call.error_type)


def _stream(ended: str, *, left: bool) -> str:
    return "left early" if left else "read whole" if ended == ANSWER else ended


def _refusals(case: Case) -> Iterator[Row]:
    counted = metrics.by_series(case, metrics.REFUSALS_COUNTED, "buoy.provider", *metrics.REFUSAL)
    yield from _rows(_enforced(metrics.told_refusals(case)), _enforced(counted))


def _enforced(tally: metrics.Tally) -> Counter[str]:
    named: Counter[str] = Counter()
    for (_, reason, enforced), count in tally.items():
        named[f"{reason}" if enforced is True else f"{reason}, in the shadow: not enforced"] += count
    return named


def _duplicates(case: Case) -> Iterator[Row]:
    told = Counter(caller.duplicate for caller in case.seen if caller.duplicate is not None)
    left = (call.text(DUPLICATE) for call in case.calls if call.trace_id not in case.callers)
    told += Counter(source for source in left if source is not None)  # nobody told them
    spans = metrics.by_span((call for call in case.calls if DUPLICATE in call.attributes), DUPLICATE)
    yield from _rows(told, _named(spans), _named(metrics.by_series(case, metrics.DUPLICATES, DUPLICATE)))


def _fallbacks(case: Case) -> Iterator[Row]:
    label = metrics.FALLBACK_SOURCE
    told = Counter(callers.source_of(caller) for caller in case.seen if caller.origin == callers.FALLBACK)
    spans = metrics.by_span((call for call in case.calls if label in call.attributes), label)
    yield from _rows(told, _named(spans), _named(metrics.by_series(case, metrics.FALLBACKS, label)))


def _waits(case: Case) -> Iterator[Row]:
    for cause in metrics.CAUSES:
        spans, counted = metrics.waited(case, cause)
        if spans or counted:
            yield cause, f"{spans:.3f}", f"{counted:.3f}"


def _named(tally: metrics.Tally, last: int | None = None) -> Counter[str]:
    """Return counts under printable names, of the ``last`` parts of each key only where given."""
    named: Counter[str] = Counter()
    for key, count in tally.items():
        parts: Sequence[Hashable] = key if last is None else key[-last:]
        named[" ".join(MISSING if part is None else str(part) for part in parts)] += count
    return named


def _rows(*columns: Counter[str]) -> Iterator[Row]:
    for name in sorted({name for column in columns for name in column}):
        if any(column[name] for column in columns):
            yield name, *(str(column[name]) for column in columns)


def _block(title: str, heads: tuple[str, ...], rows: Iterator[Row]) -> str:
    lines = [f"  {name:<58}{_cells(cells)}{_mark(cells)}" for name, *cells in rows]
    return "\n".join(("", f"{title:<60}{_cells(heads)}", *lines)) if lines else ""


def _cells(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>9}" for cell in cells)


def _mark(cells: Sequence[str]) -> str:
    return "   <-" if len({cell for cell in cells if cell}) > 1 else ""
