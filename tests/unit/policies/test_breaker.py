"""When the breaker opens, whom it lets try, and when it closes: examples."""

from collections.abc import Iterable
from itertools import pairwise
from math import inf
from typing import Any

import pytest

from buoy.errors import ConfigurationError
from buoy.outcome import BreakerCause, BreakerOutcome, BreakerState
from buoy.policies.breaker import SLOW_PART, Breaker
from buoy.policies.circuit import Circuit, Denied, Figures, Lease, Transition

SUCCESS, FAILURE, NEUTRAL = BreakerOutcome.SUCCESS, BreakerOutcome.FAILURE, BreakerOutcome.NEUTRAL
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
FORCED_OPEN, DISABLED, METRICS_ONLY = BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.METRICS_ONLY
MANUAL = BreakerCause.MANUAL

# Monotonic clocks start anywhere.
START = 1000.0


def circuit(**options: Any) -> Circuit:
    """Return a breaker that opens at two failures in four calls, for 10 s, and asks two probes."""
    return Circuit(Breaker(**{"last": 4, "minimum_calls": 4, "half_open_permits": 2, **options}))


def admitted(breaker: Circuit, now: float) -> Lease:
    """Return a lease that must be granted."""
    answer = breaker.admit(now)
    assert isinstance(answer, Lease), answer
    return answer


def refused(breaker: Circuit, now: float) -> float | None:
    """Return the time left of an answer that must be no."""
    answer = breaker.admit(now)
    assert isinstance(answer, Denied), answer
    return answer.retry_after


def settle(breaker: Circuit, lease: Lease, outcome: BreakerOutcome | None, now: float, **more: Any) -> bool:
    """Settle a lease, quickly and without jitter unless told otherwise."""
    return breaker.settle(lease, outcome, now=now, slow=more.get("slow", False), random=more.get("random", 0.5))


def run(breaker: Circuit, outcomes: Iterable[BreakerOutcome | None], now: float, **more: Any) -> None:
    """Make a call for each outcome, one after the other at one instant."""
    for outcome in outcomes:
        settle(breaker, admitted(breaker, now), outcome, now, **more)


def half_open(now: float = START, **options: Any) -> Circuit:
    """Return a breaker whose half-open period begins at ``now``, with all permits free."""
    breaker = circuit(**options)
    breaker.force(OPEN, now)
    breaker.force(HALF_OPEN, now)
    breaker.drain()
    return breaker


def test_the_defaults() -> None:
    """They are those of the public description."""
    policy = Breaker()
    assert policy == Breaker(
        failure_rate=0.5,
        slow_rate=0.8,
        slow_after=None,
        window=30,
        last=None,
        minimum_calls=10,
        wait=10,
        wait_factor=1.5,
        wait_cap=300,
        half_open_permits=3,
        half_open_for=None,
        mode="enforce",
        name=None,
    )
    assert SLOW_PART == 0.8


def test_a_policy_is_fixed_and_named() -> None:
    """Options are given by name, and a policy that several breakers share cannot be changed."""
    build: Any = Breaker
    with pytest.raises(TypeError):
        build(0.5)
    policy: Any = Breaker()
    with pytest.raises(AttributeError):
        policy.wait = 5
    assert not hasattr(policy, "__dict__")


FRACTION = "a fraction above 0 and at most 1, or None"


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        *[(rate, value, FRACTION) for rate in ("failure_rate", "slow_rate") for value in (0, -0.1, 1.01, 50, True)],
        ("failure_rate", float("nan"), FRACTION),
        ("slow_rate", "0.8", FRACTION),
        ("slow_after", 0, "a number of seconds, above 0"),
        ("slow_after", inf, "a number of seconds, above 0"),
        ("window", 0, "a number of seconds from 0.01 to 86400"),
        ("window", 0.009, "a number of seconds from 0.01 to 86400"),
        ("window", 86_401, "a number of seconds from 0.01 to 86400"),
        ("window", True, "a number of seconds from 0.01 to 86400"),
        ("window", None, "a number of seconds from 0.01 to 86400"),
        ("last", 0, "an integer from 1 to 100000"),
        ("last", 100_001, "an integer from 1 to 100000"),
        ("last", 2.5, "an integer from 1 to 100000"),
        ("minimum_calls", 0, "an integer from 1 to 1000000"),
        ("minimum_calls", 1_000_001, "an integer from 1 to 1000000"),
        ("wait", 0, "a number of seconds, above 0 and at most 300"),
        ("wait", 301, "a number of seconds, above 0 and at most 300"),
        ("wait_factor", 0.99, "a number of times from 1 to 100"),
        ("wait_factor", 101, "a number of times from 1 to 100"),
        ("wait_cap", inf, "a number of seconds, above 0"),
        ("half_open_permits", 0, "an integer from 1 to 10000"),
        ("half_open_permits", 10_001, "an integer from 1 to 10000"),
        ("half_open_for", 0, "a number of seconds, above 0"),
        ("mode", "off", "'enforce' or 'metrics_only' or 'disabled'"),
        ("mode", None, "'enforce' or 'metrics_only' or 'disabled'"),
        ("name", "Shop Write", "a name like 'products.get': [a-z][a-z0-9_.]{0,47}"),
    ],
)
def test_values_out_of_range_are_refused(option: str, value: Any, allowed: str) -> None:
    """A wrong value is refused when the policy is built, with option, value and range."""
    with pytest.raises(ConfigurationError) as wrong:
        Breaker(**{option: value})
    assert str(wrong.value) == f"Breaker: {option}={value!r} is not allowed; it must be {allowed}."


@pytest.mark.parametrize(
    "options",
    [
        {"failure_rate": 1, "slow_rate": 1, "slow_after": 1e-3, "window": 0.01, "minimum_calls": 1},
        {"failure_rate": None, "slow_rate": None, "window": 86_400, "minimum_calls": 1_000_000},
        {"last": 1, "wait": 300, "wait_factor": 1, "half_open_permits": 1},
        {"last": 100_000, "wait_factor": 100, "half_open_permits": 10_000, "half_open_for": 1e-3},
        {"mode": "metrics_only", "name": "shop.write"},
        {"mode": "disabled"},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(options: Any) -> None:
    """What the ranges name is accepted."""
    policy = Breaker(**options)
    assert options == {name: getattr(policy, name) for name in options}


def test_a_window_is_time_or_calls_but_not_both() -> None:
    """Whoever gives both is told that only one of them can hold."""
    with pytest.raises(ConfigurationError) as wrong:
        Breaker(last=100, window=60)
    assert str(wrong.value) == (
        "Breaker: last=100 is not allowed; it must be None beside window=60: the window is one or the other."
    )


@pytest.mark.parametrize(
    ("rate", "failures", "calls", "opens"),
    [
        (0.5, 5, 10, True),
        (0.5, 4, 10, False),
        (1.0, 10, 10, True),
        (1.0, 9, 10, False),
        (0.1, 1, 10, True),
        (0.3, 3, 10, True),
        pytest.param(0.1 + 0.2, 3, 10, True, id="a threshold that rounding lifted a hair"),
        pytest.param((2 + 1e-9) / 4, 2, 4, True, id="a threshold at the end of the slack"),
        (0.7, 7, 10, True),
        (0.29, 29, 100, True),
        (0.29, 28, 100, False),
        (None, 10, 10, False),
    ],
)
def test_the_threshold_is_inclusive(rate: float | None, failures: int, calls: int, *, opens: bool) -> None:
    """It opens when the rate is reached, whatever floats make of it, and not one failure earlier."""
    breaker = circuit(failure_rate=rate, last=calls, minimum_calls=calls)
    run(breaker, [FAILURE] * failures + [SUCCESS] * (calls - failures), START)
    assert breaker.state(START) == (OPEN if opens else CLOSED)


def test_nothing_is_judged_below_the_minimum() -> None:
    """Below the minimum the rates are unknown, not 0; the call that completes it decides, a success as well."""
    breaker = circuit(last=None, minimum_calls=4)
    run(breaker, [FAILURE] * 3, START)
    assert breaker.figures(START) == Figures(3, 3, 0, None, None, 0)
    assert breaker.state(START) == CLOSED
    run(breaker, [SUCCESS], START)
    assert breaker.state(START) == OPEN
    assert breaker.figures(START) == Figures(4, 3, 0, 0.75, 0.0, 0)


def test_a_minimum_above_the_window_is_the_window() -> None:
    """With a count window that holds less than the minimum, the full window is enough."""
    breaker = circuit(last=3, minimum_calls=10)
    run(breaker, [FAILURE] * 2, START)
    assert breaker.state(START) == CLOSED
    run(breaker, [FAILURE], START)
    assert breaker.state(START) == OPEN


def test_what_is_old_does_not_count() -> None:
    """Failures that have left the time window neither open it nor are seen."""
    breaker = circuit(last=None, window=10, minimum_calls=4)
    run(breaker, [FAILURE] * 3, START)
    assert breaker.figures(START + 10) == Figures(0, 0, 0, None, None, 0)
    run(breaker, [FAILURE], START + 10)
    assert (breaker.state(START + 10), breaker.figures(START + 10).buffered) == (CLOSED, 1)


@pytest.mark.parametrize(
    ("duration", "slow"), [(4.9, False), (5.0, False), (5.2 - 0.2 + 1e-12, False), (5.001, True), (600.0, True)]
)
def test_slow_is_above_the_limit(duration: float, *, slow: bool) -> None:
    """A call that took exactly the limit is not slow."""
    assert slow == (duration > Breaker(slow_after=5).slow_over(None))


@pytest.mark.parametrize(
    ("own", "attempt", "limit"), [(2, 10, 2), (2, None, 2), (None, 10, 8), (None, 60, 48), (None, None, inf)]
)
def test_the_policy_says_what_is_slow_before_the_timeout_does(
    own: float | None, attempt: float | None, limit: float
) -> None:
    """The limit from the attempt timeout holds only where the policy names none; without both no call is slow."""
    assert Breaker(slow_after=own).slow_over(attempt) == pytest.approx(limit)


@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE])
def test_a_failure_may_be_slow_as_well(outcome: BreakerOutcome) -> None:
    """Slow is counted beside the result."""
    breaker = circuit()
    run(breaker, [outcome], START, slow=True)
    run(breaker, [outcome], START)
    assert breaker.figures(START).slow == 1


@pytest.mark.parametrize(
    ("rate", "calls", "opens"),
    [
        (0.5, [True, True, False, False], True),
        (0.5, [True, False, False, False], False),
        (None, [True] * 4, False),
        (1, [True] * 4, True),
        pytest.param((2 + 1e-9) / 4, [True, True, False, False], True, id="a threshold at the end of the slack"),
    ],
)
def test_slow_calls_open_it(rate: float | None, calls: list[bool], *, opens: bool) -> None:
    """It opens when the part of slow calls is reached, though all of them succeeded."""
    breaker = circuit(slow_rate=rate)
    for slow in calls:
        run(breaker, [SUCCESS], START, slow=slow)
    expected = (OPEN, [BreakerCause.SLOW_RATE]) if opens else (CLOSED, [])
    assert expected == (breaker.state(START), [transition.cause for transition in breaker.drain()])


def test_the_rates_are_parts_of_the_calls() -> None:
    """Failed and slow are counted apart, and each is divided by all calls of the window."""
    breaker = circuit(failure_rate=None, slow_rate=None)
    run(breaker, [FAILURE, SUCCESS], START, slow=True)
    run(breaker, [SUCCESS, SUCCESS], START)
    assert breaker.figures(START) == Figures(4, 1, 2, 0.25, 0.5, 0)


def test_a_reset_tells_what_the_window_held_then() -> None:
    """The figures of the change are those at the time of the reset, of a window in time as well."""
    breaker = circuit(last=None, window=10, mode="metrics_only")
    run(breaker, [FAILURE], START)
    run(breaker, [FAILURE, SUCCESS], START + 5)
    breaker.force(CLOSED, START + 5)
    run(breaker, [FAILURE], START + 6)
    run(breaker, [FAILURE], START + 15)
    breaker.reset(START + 16)
    left = [(change.state, change.failures, change.calls) for change in breaker.drain()]
    assert left == [(CLOSED, 2, 3), (METRICS_ONLY, 1, 1)]


def test_failures_are_named_before_slowness() -> None:
    """When both rates are reached by one call, the failures are the cause."""
    breaker = circuit()
    run(breaker, [FAILURE] * 4, START, slow=True)
    assert [transition.cause for transition in breaker.drain()] == [BreakerCause.FAILURE_RATE]


@pytest.mark.parametrize("outcome", [NEUTRAL, None])
def test_neutral_results_are_not_recorded(outcome: BreakerOutcome | None) -> None:
    """A client's error or a cancelled call says nothing about the provider, however long it took."""
    breaker = circuit(minimum_calls=1, last=1)
    run(breaker, [outcome] * 10, START, slow=True)
    assert breaker.figures(START) == Figures(0, 0, 0, None, None, 0)
    assert breaker.state(START) == CLOSED


def test_a_refusal_says_the_time_left() -> None:
    """While open it admits nobody and says when to come back; at that time somebody may try."""
    breaker = circuit(wait=5)
    run(breaker, [FAILURE] * 4, START)
    assert [refused(breaker, START + after) for after in (0, 1, 4.75)] == [5, 4, 0.25]
    assert (breaker.state(START + 60), breaker.figures(START + 60).not_permitted) == (OPEN, 3)
    admitted(breaker, START + 5)
    assert breaker.state(START + 5) == HALF_OPEN
    assert breaker.figures(START + 5).not_permitted == 0


def test_the_wait_is_met_in_spite_of_rounding() -> None:
    """5.2 - 0.2 counts as 5: who comes back as told is not refused for a hair."""
    breaker = circuit(wait=0.1)
    breaker.force(OPEN, 0.2)
    assert 0.2 + 0.1 > 0.3, "an example that needs the slack"
    admitted(breaker, 0.3)


def test_the_edges_of_a_period_are_inclusive() -> None:
    """At the very float at which the slack ends a wait it is over, and so is a half-open period."""
    breaker = circuit(half_open_for=5)
    breaker.force(OPEN, 0.0, 5)
    lease = admitted(breaker, 5 - 1e-9)
    end = 5 - 1e-9 + 5 - 1e-9
    assert (breaker.state(end - 1e-8), breaker.state(end)) == (HALF_OPEN, OPEN)
    assert not breaker.holds(lease, end)


def test_a_fresh_lease() -> None:
    """A lease is of the period that granted it, open to be settled once, and no shadow unless it says so."""
    lease = admitted(circuit(), START)
    assert (lease.generation, lease.settled, lease.shadow) == (0, False, False)
    assert lease.settled is lease.shadow is False


def test_a_call_that_fails_while_it_is_open_changes_nothing() -> None:
    """Calls that were on their way when it opened neither extend the wait nor open it a second time."""
    breaker = circuit()
    late = [admitted(breaker, START) for _ in range(8)]
    before = breaker.generation
    counted = [settle(breaker, lease, FAILURE, START) for lease in late]
    assert counted == [True] * 4 + [False] * 4
    assert (breaker.generation, len(breaker.drain())) == (before + 1, 1)
    assert refused(breaker, START + 9) == 1


def test_the_figures_that_opened_it_stay_readable() -> None:
    """While it is open one may still read why, also when the window itself would be empty by now."""
    breaker = circuit(last=None, window=10, wait=60)
    run(breaker, [FAILURE, FAILURE, SUCCESS, SUCCESS], START)
    refused(breaker, START + 1)
    assert breaker.figures(START + 50) == Figures(4, 2, 0, 0.5, 0.0, 1)
    breaker.force(FORCED_OPEN, START + 51)
    assert breaker.figures(START + 51) == Figures(0, 0, 0, None, None, 0)


def test_the_wait_grows_and_closing_ends_that() -> None:
    """Each opening in a row lasts longer, up to the cap; once it was closed all begins anew."""
    breaker, now, waits = circuit(wait=10, wait_factor=2, wait_cap=35, half_open_permits=1), START, []
    run(breaker, [FAILURE] * 4, now)
    for _ in range(4):
        left = refused(breaker, now)
        assert left is not None
        waits.append(left)
        now += left
        run(breaker, [FAILURE], now)
    assert (waits, breaker.openings) == ([10, 20, 35, 35], 5)
    now += 35
    run(breaker, [SUCCESS], now)
    assert (breaker.state(now), breaker.openings) == (CLOSED, 0)
    run(breaker, [FAILURE] * 4, now)
    assert (refused(breaker, now), breaker.openings) == (10, 1)


@pytest.mark.parametrize(
    ("random", "expected"), [(0.0, [8.0, 16.0, 24.0]), (0.5, [10, 20, 30]), (0.75, [11, 22, 33]), (1.0, [12, 24, 36])]
)
def test_the_wait_is_spread_after_the_cap(random: float, expected: list[float]) -> None:
    """The wait is spread by a fifth to both sides, at the cap as well, or all clients would meet there."""
    breaker, now, waits = circuit(wait=10, wait_factor=2, wait_cap=30, half_open_permits=1), START, []
    run(breaker, [FAILURE] * 4, now, random=random)
    for _ in expected:
        left = refused(breaker, now)
        assert left is not None
        waits.append(left)
        now += left
        run(breaker, [FAILURE], now, random=random)
    assert waits == pytest.approx(expected)


def test_half_open_admits_its_permits_and_no_more() -> None:
    """A permit is spent by a result; the rest are refused, without a time, for nobody knows it."""
    breaker = half_open(half_open_permits=3)
    leases = [admitted(breaker, START) for _ in range(3)]
    assert refused(breaker, START) is None
    settle(breaker, leases[0], SUCCESS, START)
    assert refused(breaker, START) is None
    assert (breaker.state(START), breaker.figures(START).not_permitted) == (HALF_OPEN, 2)


def test_probes_have_a_window_of_their_own() -> None:
    """Slow probes do not grow too old for a verdict, and more of them than a small window holds are all counted."""
    slow = half_open(last=None, window=10, half_open_for=60)
    early, late = admitted(slow, START), admitted(slow, START)
    settle(slow, early, FAILURE, START + 1)
    settle(slow, late, SUCCESS, START + 30)
    assert slow.state(START + 30) == OPEN
    many = half_open(last=2, half_open_permits=3)
    run(many, [SUCCESS] * 3, START)
    assert many.state(START) == CLOSED


@pytest.mark.parametrize("outcome", [NEUTRAL, None])
def test_a_permit_that_proved_nothing_is_given_back_once(outcome: BreakerOutcome | None) -> None:
    """A cancelled or neutral probe makes room for exactly one other, however often it is settled."""
    breaker = half_open(half_open_permits=1)
    lease = admitted(breaker, START)
    assert [settle(breaker, lease, outcome, START) for _ in range(3)] == [False] * 3
    assert breaker.figures(START).buffered == 0
    admitted(breaker, START)
    refused(breaker, START)


def test_a_result_is_counted_once() -> None:
    """Settling a lease again changes nothing, not even with another outcome."""
    breaker = half_open(half_open_permits=3, minimum_calls=3)
    lease = admitted(breaker, START)
    assert settle(breaker, lease, SUCCESS, START)
    assert not any(settle(breaker, lease, outcome, START) for outcome in (FAILURE, None, SUCCESS))
    assert breaker.figures(START)[:3] == (1, 0, 0)
    assert [isinstance(breaker.admit(START), Lease) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([SUCCESS], HALF_OPEN),
        ([FAILURE], HALF_OPEN),
        ([SUCCESS, SUCCESS], CLOSED),
        ([SUCCESS, FAILURE], OPEN),
        ([FAILURE, SUCCESS], OPEN),
        ([NEUTRAL, None, SUCCESS], HALF_OPEN),
        ([NEUTRAL, SUCCESS, None, SUCCESS], CLOSED),
    ],
)
def test_the_verdict_comes_when_all_probes_are_recorded(
    outcomes: list[BreakerOutcome | None], expected: BreakerState
) -> None:
    """One probe decides nothing where two are asked."""
    breaker = half_open(half_open_permits=2)
    run(breaker, outcomes, START)
    assert expected == breaker.state(START)


def test_the_minimum_is_enough_for_a_verdict() -> None:
    """Where the minimum is below the permits, the verdict waits for no more; the others are late."""
    breaker = half_open(half_open_permits=4, minimum_calls=2)
    leases = [admitted(breaker, START) for _ in range(4)]
    counted = [settle(breaker, lease, SUCCESS, START) for lease in leases]
    assert (counted, breaker.state(START)) == ([True, True, False, False], CLOSED)
    assert breaker.figures(START).buffered == 0


def test_slow_probes_open_it_again() -> None:
    """A provider that answers too slowly is not well yet."""
    breaker = half_open(half_open_permits=1)
    run(breaker, [SUCCESS], START, slow=True)
    assert breaker.drain() == [Transition(HALF_OPEN, OPEN, BreakerCause.PROBE_FAILED, 3, 0, 1)]


def test_a_late_result_of_the_closed_time_lifts_no_permit() -> None:
    """A call that was admitted while it was closed and ends in half-open neither counts nor makes room."""
    breaker = circuit(half_open_permits=1)
    late = [admitted(breaker, START) for _ in range(3)]
    breaker.force(OPEN, START)
    admitted(breaker, START + 10)
    assert not any(settle(breaker, *pair, START + 10) for pair in zip(late, (None, FAILURE, SUCCESS), strict=True))
    assert (breaker.state(START + 10), breaker.figures(START + 10).buffered) == (HALF_OPEN, 0)
    refused(breaker, START + 10)


@pytest.mark.parametrize(("half_open_for", "length"), [(None, 10), (3, 3)])
def test_half_open_does_not_last_for_ever(half_open_for: float | None, length: float) -> None:
    """Probes that never come back end in open, seen by a reader at once, and counted from when the time was over."""
    breaker = half_open(half_open_for=half_open_for, wait_factor=1)
    lost = [admitted(breaker, START) for _ in range(2)]
    over = START + length
    assert [breaker.state(at) for at in (over - 0.1, over)] == [HALF_OPEN, OPEN]
    assert not breaker.drain(), "reading changes nothing"
    assert [breaker.holds(lost[0], at) for at in (over - 0.1, over)] == [True, False]
    assert refused(breaker, over + 4) == 6
    assert breaker.drain() == [Transition(HALF_OPEN, OPEN, BreakerCause.PROBE_FAILED, 3, 0, 0)]
    assert not settle(breaker, lost[0], SUCCESS, over + 5)
    admitted(breaker, over + 10)


def test_a_late_probe_ends_the_period_that_is_over() -> None:
    """The result that comes after the time of half-open does not close it."""
    breaker = half_open(half_open_permits=1)
    lease = admitted(breaker, START)
    assert not settle(breaker, lease, SUCCESS, START + 10)
    assert [(change.state, change.cause) for change in breaker.drain()] == [(OPEN, BreakerCause.PROBE_FAILED)]


def test_a_silent_hour_is_waited_already() -> None:
    """Whoever comes long after a half-open period that led to nothing may try at once."""
    breaker = half_open(half_open_permits=1)
    admitted(breaker, START)
    admitted(breaker, START + 3600)
    assert [transition.state for transition in breaker.drain()] == [OPEN, HALF_OPEN]


def test_half_open_lasts_as_long_as_the_wait_has_grown() -> None:
    """Probes that are slower than the first wait get their answer in the end."""
    breaker, lengths = half_open(wait=1, wait_factor=3, wait_cap=8), []
    now = START
    for _ in range(4):
        admitted(breaker, now)
        length = next(tenth / 10 for tenth in range(1000) if breaker.state(now + tenth / 10) is OPEN)
        lengths.append(length)
        now += length
        left = refused(breaker, now)
        assert left is not None
        now += left
    assert lengths == [1, 3, 8, 8]


def test_an_opening_without_chance_keeps_the_jitter_of_the_one_before() -> None:
    """Clients whose probes never come back stay as far apart as they were."""
    breaker = circuit(wait=10, wait_factor=1, half_open_permits=1)
    run(breaker, [FAILURE] * 4, START, random=1.0)
    admitted(breaker, START + 12)
    assert refused(breaker, START + 22) == pytest.approx(12)


def test_an_opening_after_a_given_time_has_no_jitter_of_its_own() -> None:
    """Where nothing was ever drawn, a half-open period without a verdict ends in the plain wait."""
    breaker = circuit(wait_factor=1)
    breaker.open_for(60, START)
    admitted(breaker, START + 60)
    assert refused(breaker, START + 70) == 10


def test_a_given_time() -> None:
    """The provider's own word opens it for exactly that time, and counts as an opening."""
    breaker = circuit()
    run(breaker, [FAILURE], START, random=1.0)
    breaker.open_for(120, START)
    assert (refused(breaker, START), breaker.openings) == (120, 1)
    assert breaker.drain() == [Transition(CLOSED, OPEN, BreakerCause.RETRY_AFTER, 1, 1, 1)]
    admitted(breaker, START + 120)
    breaker.open_for(60, START + 121)
    assert refused(breaker, START + 121) == 60


@pytest.mark.parametrize(("seconds", "expected"), [(120, 120), (10, 10), (9, 10), (0.5, 10)])
def test_a_given_time_makes_an_opening_longer_but_not_shorter(seconds: float, expected: float) -> None:
    """The failure that opened it may carry the time; that is no second opening."""
    breaker = circuit()
    run(breaker, [FAILURE] * 4, START)
    breaker.open_for(seconds, START)
    assert expected == refused(breaker, START)
    assert [transition.cause for transition in breaker.drain()] == [BreakerCause.FAILURE_RATE]


@pytest.mark.parametrize("seconds", [0, -5, float("nan")])
def test_no_time_opens_nothing(seconds: float) -> None:
    """A time that is none is ignored."""
    breaker = circuit()
    breaker.open_for(seconds, START)
    assert (breaker.state(START), breaker.drain()) == (CLOSED, ())


@pytest.mark.parametrize("seconds", [inf, 10**400, 1e300])
def test_an_absurd_time_is_bounded(seconds: float) -> None:
    """No number that a provider sends breaks the arithmetic."""
    breaker = circuit()
    breaker.open_for(seconds, START)
    assert refused(breaker, START) == 1e9


@pytest.mark.parametrize("state", [FORCED_OPEN, DISABLED, METRICS_ONLY])
def test_a_given_time_does_not_undo_what_was_set_by_hand(state: BreakerState) -> None:
    """What an operator has set stays until an operator changes it."""
    breaker = circuit()
    breaker.force(state, START)
    breaker.open_for(120, START)
    assert state == breaker.state(START)


def test_a_given_time_after_half_open_is_over() -> None:
    """It lengthens the opening that has begun by then."""
    breaker = half_open()
    breaker.open_for(100, START + 11)
    assert refused(breaker, START + 11) == 100
    assert [transition.cause for transition in breaker.drain()] == [BreakerCause.PROBE_FAILED]


def test_forced_open_never_ends() -> None:
    """It refuses at any time, without saying when to come back."""
    breaker = circuit()
    breaker.force(FORCED_OPEN, START)
    assert [refused(breaker, START + after) for after in (0, 60, 1e9)] == [None] * 3
    assert breaker.figures(START).not_permitted == 3


def test_disabled_admits_all_and_records_nothing() -> None:
    """It is as if there were no breaker."""
    breaker = circuit(mode="disabled")
    leases = [admitted(breaker, START) for _ in range(10)]
    assert not any(settle(breaker, lease, FAILURE, START) for lease in leases)
    assert not any(lease.shadow for lease in leases)
    assert (breaker.state(START), breaker.figures(START)) == (DISABLED, Figures(0, 0, 0, None, None, 0))


def test_metrics_only_says_what_it_would_have_refused() -> None:
    """It admits all, and marks those that come while a rate is at its threshold; that ends with the window."""
    breaker = circuit(mode="metrics_only", last=None, window=10)
    shadows = []
    for _ in range(6):
        lease = admitted(breaker, START)
        shadows.append(lease.shadow)
        assert settle(breaker, lease, FAILURE, START)
    assert shadows == [False] * 4 + [True] * 2
    assert breaker.figures(START) == Figures(6, 6, 0, 1.0, 0.0, 0)
    assert not admitted(breaker, START + 10).shadow
    assert (breaker.state(START), breaker.drain()) == (METRICS_ONLY, ())


def test_metrics_only_notes_each_rate_once() -> None:
    """A rate that stays at its threshold or comes back to it is noted once in a period."""
    breaker = circuit(mode="metrics_only", slow_rate=0.5)
    seen = []
    outcomes = [FAILURE, FAILURE, SUCCESS, SUCCESS, FAILURE, FAILURE, *[SUCCESS] * 4, FAILURE, FAILURE]
    for number, outcome in enumerate(outcomes):
        run(breaker, [outcome], START, slow=number in {5, 6})
        seen.append(breaker.crossed)
    failing = (BreakerCause.FAILURE_RATE,)
    both = (*failing, BreakerCause.SLOW_RATE)
    assert seen == [()] * 3 + [failing] * 3 + [both] * 6
    breaker.reset(START)
    assert breaker.crossed == ()


def test_metrics_only_notes_both_rates_at_once() -> None:
    """One call may be the one that both rates were missing."""
    breaker = circuit(mode="metrics_only")
    run(breaker, [FAILURE] * 4, START, slow=True)
    assert breaker.crossed == (BreakerCause.FAILURE_RATE, BreakerCause.SLOW_RATE)


def test_a_shadow_crosses_at_the_end_of_the_slack_too() -> None:
    """What would have opened it is noted, to the last billionth."""
    threshold = (2 + 1e-9) / 4
    breaker = circuit(mode="metrics_only", failure_rate=threshold, slow_rate=threshold)
    run(breaker, [SUCCESS] * 2, START)
    run(breaker, [FAILURE] * 2, START, slow=True)
    assert breaker.crossed == (BreakerCause.FAILURE_RATE, BreakerCause.SLOW_RATE)


LEGAL = [
    (before, after)
    for before in BreakerState
    for after in BreakerState
    if before is not after and (before, after) != (CLOSED, HALF_OPEN)
]


def in_state(state: BreakerState) -> Circuit:
    """Return a breaker that was forced into a state."""
    breaker = circuit()
    if state is HALF_OPEN:
        breaker.force(OPEN, START)
    breaker.force(state, START)
    breaker.drain()
    return breaker


@pytest.mark.parametrize(("before", "after"), LEGAL)
def test_every_other_step_by_hand_is_allowed(before: BreakerState, after: BreakerState) -> None:
    """An operator may go from each state to each, and that is one change with the cause ``manual``."""
    breaker = in_state(before)
    generation = breaker.generation
    breaker.force(after, START)
    assert after == breaker.state(START)
    assert breaker.drain() == [Transition(before, after, MANUAL, generation + 1, 0, 0)]


@pytest.mark.parametrize("state", BreakerState)
def test_the_state_that_it_has_is_no_change(state: BreakerState) -> None:
    """Forcing the present state emits nothing and forgets nothing."""
    breaker = in_state(state)
    before = (breaker.generation, breaker.openings, breaker.figures(START))
    breaker.force(state, START + 1)
    assert before == (breaker.generation, breaker.openings, breaker.figures(START))
    assert breaker.drain() == ()
    assert breaker.state(START + 1) == state


def test_a_closed_breaker_cannot_be_half_opened() -> None:
    """The one illegal step says so and changes nothing."""
    breaker = circuit()
    run(breaker, [FAILURE], START)
    with pytest.raises(ValueError, match="half_open") as refused:
        breaker.force(HALF_OPEN, START)
    assert str(refused.value) == "A closed breaker cannot be forced to 'half_open': force it to 'open' first."
    assert (breaker.state(START), breaker.generation, breaker.figures(START).buffered) == (CLOSED, 0, 1)


@pytest.mark.parametrize(
    ("state", "for_s"), [(OPEN, 0), (OPEN, -1), (OPEN, inf), (OPEN, float("nan")), (CLOSED, 5), (FORCED_OPEN, 5)]
)
def test_a_time_that_makes_no_sense_is_refused(state: BreakerState, for_s: float) -> None:
    """A time must be one, and only an open breaker has any use for it."""
    breaker = circuit()
    with pytest.raises(ValueError, match="for_s=") as refused:
        breaker.force(state, START, for_s)
    assert str(refused.value) == f"for_s={for_s}: a finite number of seconds above 0, and only with 'open'."
    assert breaker.state(START) == CLOSED


def test_any_time_above_0_makes_sense() -> None:
    """A breaker can be opened by hand for less than a second."""
    breaker = circuit()
    breaker.force(OPEN, START, 0.25)
    assert refused(breaker, START) == 0.25


def test_an_unknown_state_is_refused() -> None:
    """The word of an operator is one of the six; their plain strings will do."""
    breaker = circuit()
    word: Any = "ajar"
    with pytest.raises(ValueError, match="'ajar' is not a valid BreakerState"):
        breaker.force(word, START)
    word = "forced_open"
    breaker.force(word, START)
    assert breaker.state(START) is FORCED_OPEN


def test_forced_open_for_a_time() -> None:
    """The time given by hand replaces the wait, has no jitter, and can be given anew."""
    breaker = circuit()
    breaker.force(OPEN, START, 7200)
    assert refused(breaker, START) == 7200
    breaker.force(OPEN, START + 1, 5)
    assert (refused(breaker, START + 1), breaker.openings) == (5, 1)


def test_an_opening_by_hand_has_no_jitter() -> None:
    """It lasts as long as the policy says, whatever was drawn before."""
    breaker = circuit(wait_factor=1)
    run(breaker, [FAILURE] * 4, START, random=1.0)
    breaker.force(CLOSED, START)
    breaker.force(OPEN, START)
    assert refused(breaker, START) == 10


def test_force_sees_a_half_open_period_that_is_over() -> None:
    """By then it is open: half-open by hand is a new period with new permits."""
    breaker = half_open(half_open_permits=1)
    admitted(breaker, START)
    breaker.force(HALF_OPEN, START + 11)
    admitted(breaker, START + 11)
    assert [transition.cause for transition in breaker.drain()] == [BreakerCause.PROBE_FAILED, MANUAL]


@pytest.mark.parametrize("state", [FORCED_OPEN, DISABLED, METRICS_ONLY])
def test_half_open_from_a_state_set_by_hand(state: BreakerState) -> None:
    """It lasts as long as the first wait where nothing has opened it yet."""
    breaker = circuit(wait=7)
    breaker.force(state, START)
    breaker.force(HALF_OPEN, START)
    assert [breaker.state(START + after) for after in (6.9, 7)] == [HALF_OPEN, OPEN]


@pytest.mark.parametrize(
    ("mode", "expected"), [("enforce", CLOSED), ("metrics_only", METRICS_ONLY), ("disabled", DISABLED)]
)
def test_reset_begins_anew_in_the_mode_of_the_policy(mode: str, expected: BreakerState) -> None:
    """A breaker that only watches does not begin to refuse because somebody resets it."""
    breaker = circuit(mode=mode)
    assert expected == breaker.state(START)
    breaker.force(OPEN, START)
    refused(breaker, START)
    breaker.reset(START)
    assert (breaker.state(START), breaker.openings) == (expected, 0)
    assert breaker.figures(START) == Figures(0, 0, 0, None, None, 0)
    assert [(change.state, change.cause) for change in breaker.drain()] == [(OPEN, MANUAL), (expected, MANUAL)]


def test_a_reset_sees_a_half_open_period_that_is_over() -> None:
    """The changes are told as they happened: it had opened again by then."""
    breaker = half_open()
    breaker.reset(START + 11)
    assert [(change.previous, change.state) for change in breaker.drain()] == [(HALF_OPEN, OPEN), (OPEN, CLOSED)]


def test_a_reset_while_closed_forgets_and_fences() -> None:
    """What was recorded is gone, and what was on its way does not count; no state has changed."""
    breaker = circuit()
    run(breaker, [FAILURE] * 3, START)
    late = admitted(breaker, START)
    breaker.reset(START)
    assert not breaker.holds(late, START)
    assert not settle(breaker, late, FAILURE, START)
    assert (breaker.figures(START).buffered, breaker.drain()) == (0, ())


def test_a_lease_holds_until_it_is_settled_or_its_period_ends() -> None:
    """Who has waited with a lease can ask whether it is still good, and ask for another if not."""
    breaker = circuit()
    first, second = admitted(breaker, START), admitted(breaker, START)
    assert breaker.holds(first, START)
    settle(breaker, first, None, START)
    assert [breaker.holds(lease, START) for lease in (first, second)] == [False, True]
    run(breaker, [FAILURE] * 4, START)
    assert not breaker.holds(second, START)


def test_the_changes_of_a_life() -> None:
    """Each change is told once, in order, with its cause and the window that it left."""
    breaker = circuit(half_open_permits=1, wait_factor=1)
    assert breaker.drain() == ()
    run(breaker, [SUCCESS, FAILURE, SUCCESS, FAILURE], START)
    run(breaker, [FAILURE], START + 10)
    run(breaker, [SUCCESS], START + 20)
    expected = [
        Transition(CLOSED, OPEN, BreakerCause.FAILURE_RATE, 1, 2, 4),
        Transition(OPEN, HALF_OPEN, BreakerCause.WAIT_ELAPSED, 2, 2, 4),
        Transition(HALF_OPEN, OPEN, BreakerCause.PROBE_FAILED, 3, 1, 1),
        Transition(OPEN, HALF_OPEN, BreakerCause.WAIT_ELAPSED, 4, 1, 1),
        Transition(HALF_OPEN, CLOSED, BreakerCause.PROBE_SUCCEEDED, 5, 0, 1),
    ]
    assert expected == breaker.drain()
    assert all(one.state is next_one.previous for one, next_one in pairwise(expected))
    assert breaker.drain() == ()


def test_a_clock_that_steps_back_opens_nothing_up() -> None:
    """An earlier time is no reason to admit, and the wait is what it was."""
    breaker = circuit()
    run(breaker, [FAILURE] * 4, START)
    assert [refused(breaker, at) for at in (START, START - 100, START + 1)] == [10, 110, 9]
