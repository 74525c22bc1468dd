"""The checks of what is reported of breakers, limiters and permits at each export: it can be, and it fits together."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from tests.support.judge.case import Case
from tests.support.judge.contract import STATES, TRANSITIONS
from tests.support.judge.otlp import Point, Readings
from tests.support.judge.redirects import between_hops

STATUS = "buoy.breaker.status"
CHANGES = "buoy.breaker.transitions"
STATE, CAUSE = "buoy.breaker.state", "buoy.breaker.cause"
# Gauges of what is taken, with what there is of it.
BOUNDED = {
    "buoy.concurrency.usage": "buoy.concurrency.limit",
    "buoy.concurrency.waiting": None,
    "buoy.rate_limiter.waiting": None,
    "buoy.rate_limiter.quota.remaining": "buoy.rate_limiter.quota.limit",
    "buoy.retry.budget.remaining": None,
}
AT_REST = ("buoy.concurrency.usage", "buoy.concurrency.waiting", "buoy.rate_limiter.waiting")

Breaker = tuple[str, str]
Changes = Counter[tuple[str, str]]


def one_state_at_a_time(case: Case) -> Iterator[str]:
    """A breaker is in exactly one state as long as it is there, and in none when its provider was left."""
    gone: set[Breaker] = set()
    for number, readings in enumerate(case.exported.exports, 1):
        for breaker, points in _by_breaker(readings, STATUS).items():
            values = {str(point.labels.get(STATE)): point.value for point in points}
            states = sorted(state for state, value in values.items() if value)
            if set(values) != set(STATES) or any(value not in (0, 1) for value in values.values()):
                yield f"export {number}: {STATUS} of {breaker[1]} says {values}"
            elif len(states) > 1 or (states and breaker in gone):
                yield f"export {number}: {STATUS} of {breaker[1]} is {' and '.join(states)} at once, or came back"
            if not states:
                gone.add(breaker)


def transitions_make_a_path(case: Case) -> Iterator[str]:
    """The transitions counted can be walked in one go, from closed on."""
    if not case.exported.exports:
        return
    for breaker, changes in _all_changes(case.exported.metrics).items():
        for state, cause in changes:
            if changes[state, cause] and cause != "manual" and cause not in TRANSITIONS.get(state, {}):
                yield f"{CHANGES}: {breaker[1]} became {state} because of {cause}, which there is not"
        if not _is_by_hand(changes) and not _ends(changes):
            yield f"{CHANGES}: {breaker[1]} cannot have done {_shown(changes)}"


def status_follows_transitions(case: Case) -> Iterator[str]:
    """The state that is reported is the one that the transitions counted lead to."""
    exports = case.exported.exports
    for number, readings in enumerate(exports):
        for breaker, points in _by_breaker(readings, STATUS).items():
            before, now, after = (
                _all_changes(exports[index]).get(breaker, Counter())
                for index in (max(0, number - 1), number, min(len(exports) - 1, number + 1))
            )
            if _is_by_hand(after) or not _ends(now):
                continue
            possible = _possible(before if number else Counter(), now, after)
            for point in points:
                state = str(point.labels.get(STATE))
                watches_only = not after and state in ("metrics_only", "disabled")
                if point.value and state not in possible and not watches_only:
                    yield f"export {number + 1}: {STATUS} of {breaker[1]} is {state}, {CHANGES} say {_shown(now)}"


def closed_by_probes(case: Case) -> Iterator[str]:
    """A breaker closes because a send in half-open succeeded, and there are such sends only where it was half-open."""
    for provider in sorted({provider for provider, _ in _all_changes(case.exported.metrics)}):
        mine = [changes for key, changes in _all_changes(case.exported.metrics).items() if key[0] == provider]
        entered = Counter(
            {state: sum(c for (s, _), c in each.items() if s == state) for each in mine for state in STATES}
        )
        probes = [
            attempt
            for attempt in case.attempts
            if attempt.text(STATE) == "half_open" and attempt.text("buoy.provider") == provider
        ]
        good = [probe for probe in probes if probe.error_type is None and not between_hops(probe)]
        closed = sum(changes["closed", "probe_succeeded"] for changes in mine)
        if closed > len(good) or (probes and not entered["half_open"]):
            yield f"{provider}: {len(probes)} probes, {len(good)} of them good, and {dict(entered)} transitions"


def gauges_are_possible(case: Case) -> Iterator[str]:
    """What is taken or left is never below 0 or above what there is, and nothing is taken at the end."""
    for number, readings in enumerate(case.exported.exports, 1):
        for metric, limit in BOUNDED.items():
            limits = {_key(point): point.value for point in readings.get(limit or "", ())}
            for point in readings.get(metric, ()):
                # A provider that was left says no more of its limit than 0.
                most = limits.get(_key(point)) or None
                if point.value < 0 or (most is not None and point.value > most):
                    yield f"export {number}: {metric} {dict(point.labels)} is {point.value} of {most}"
    for metric in AT_REST:
        for point in case.points(metric):
            if point.value:
                yield f"{metric} {dict(point.labels)} is {point.value} at the end"


def transitions(case: Case) -> Iterator[tuple[str, int]]:
    """Yield what each breaker did, in words, and how often."""
    for breaker, changes in sorted(_all_changes(case.exported.metrics).items()):
        for (state, cause), count in sorted(changes.items()):
            if count:
                yield f"{breaker[1]}: {state}, {cause}", count


def _ends(changes: Changes) -> set[str]:
    """Return the states in which a path of these transitions may have ended; none where there is no such path."""
    opened = sum(count for (state, _), count in changes.items() if state == "open")
    half = changes["half_open", "wait_elapsed"]
    closed = changes["closed", "probe_succeeded"]
    failed, asked = changes["open", "probe_failed"], changes["open", "retry_after"]
    ends = set()
    # Of the openings that the provider asked for, some may have come in half-open.
    for in_half in range(asked + 1):
        flow = {
            "closed": 1 + closed - (opened - failed - in_half),
            "open": opened - half,
            "half_open": half - closed - failed - in_half,
        }
        if sorted(flow.values()) == [0, 0, 1]:
            ends |= {state for state, left in flow.items() if left}
    return ends


def _possible(before: Changes, now: Changes, after: Changes) -> set[str]:
    """Return the states that may be reported with these transitions.

    A collection takes a moment, in which a breaker may change: its state may be one step behind its count, or ahead.
    """
    possible = _ends(now)
    if "half_open" in possible:
        possible |= {"open"}  # a half-open time that is over is seen as open before anybody asks
    for step in now - before:
        possible |= _ends(now - Counter([step]))
    for step in after - now:
        possible |= _ends(now + Counter([step]))
    return possible


def _is_by_hand(changes: Changes) -> bool:
    return any(cause == "manual" and count for (_, cause), count in changes.items())


def _all_changes(readings: Mapping[str, list[Point]]) -> dict[Breaker, Changes]:
    return {
        breaker: Counter({(str(p.labels.get(STATE)), str(p.labels.get(CAUSE))): p.value for p in points})
        for breaker, points in _by_breaker(readings, CHANGES).items()
    }


def _by_breaker(readings: Readings, metric: str) -> dict[Breaker, list[Point]]:
    found: dict[Breaker, list[Point]] = {}
    for point in readings.get(metric, ()):
        key = (str(point.labels.get("buoy.provider")), str(point.labels.get("buoy.breaker.name")))
        found.setdefault(key, []).append(point)
    return found


def _key(point: Point) -> frozenset[tuple[str, object]]:
    return frozenset(point.labels.items())


def _shown(changes: Changes) -> str:
    return ", ".join(f"{count} x {state} ({cause})" for (state, cause), count in sorted(changes.items())) or "nothing"


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("one state at a time", one_state_at_a_time),
    ("transitions make a path", transitions_make_a_path),
    ("status follows transitions", status_follows_transitions),
    ("closed by probes", closed_by_probes),
    ("gauges are possible", gauges_are_possible),
)
