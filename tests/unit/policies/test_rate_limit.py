"""The rate limiter by examples: turns, refusals, what cancelling gives back, pauses, and the provider's quota."""

from math import inf, nan
from typing import Any

import pytest

from buoy.errors import ConfigurationError
from buoy.policies.rate_limit import Limiter, RateLimit, Rejected, Reservation


def limiter(*, burst: float, rate: float = 10, max_wait: float | None = None) -> Limiter:
    """Return a limiter of one rate; 10 per second is a turn every 0.1 s."""
    return Limiter((RateLimit(rate, burst=burst, max_wait=max_wait),))


def reserved(of: Limiter, now: float, cost: float = 1) -> Reservation:
    """Return a turn, however late."""
    turn = of.reserve(now, cost=cost)
    assert isinstance(turn, Reservation)
    return turn


def turns(of: Limiter, now: float, *costs: float) -> list[float]:
    """Return when each of several callers may act."""
    return [round(reserved(of, now, cost).act_at, 6) for cost in costs]


def drained(*, burst: float) -> Limiter:
    """Return a limiter of 10 per second that has just let its burst go."""
    empty = limiter(burst=burst)
    reserved(empty, 0.0, burst)
    return empty


@pytest.mark.parametrize(
    ("policy", "capacity"),
    [
        (RateLimit(50), 50),
        (RateLimit(50, burst=100), 100),
        (RateLimit(1000, per=60), 1000),
        (RateLimit(0.5), 1),
        (RateLimit(2.5), 2.5),
        (RateLimit(50, burst=1), 1),
    ],
)
def test_the_burst_is_the_rate_unless_given(policy: RateLimit, capacity: float) -> None:
    """Without ``burst`` as many go at once as the rate says, and at least one."""
    assert capacity == policy.capacity == Limiter((policy,)).capacity


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rate": 0}, "rate=0 "),
        ({"rate": -1}, "rate=-1 "),
        ({"rate": inf}, "rate=inf "),
        ({"rate": nan}, "rate=nan "),
        ({"rate": True}, "rate=True "),
        ({"rate": "50"}, "rate='50' "),
        ({"rate": 10**400}, "from 1e-09 to 1e+06 for each second of per=1.0"),
        ({"rate": 1e15 + 1, "per": 1e10}, "from 1e-09 to 1e+06 for each second of per=10000000000.0"),
        ({"rate": 1_000_001}, "from 1e-09 to 1e+06 for each second of per=1.0"),
        ({"rate": 1, "per": 2e9}, "from 1e-09 to 1e+06 for each second of per=2000000000.0"),
        ({"rate": 1, "per": 0}, "per=0 "),
        ({"rate": 1, "per": inf}, "per=inf "),
        ({"rate": 1, "burst": 0}, "burst=0 is not allowed; it must be a number from 1 to 1e+09"),
        ({"rate": 1, "burst": 0.99}, "burst=0.99 "),
        ({"rate": 1, "burst": 1_000_000_001}, "burst=1000000001 "),
        ({"rate": 1, "burst": False}, "burst=False "),
        ({"rate": 1, "burst": nan}, "burst=nan "),
        ({"rate": 1, "max_wait": -0.1}, "max_wait=-0.1 "),
        ({"rate": 1, "max_wait": inf}, "max_wait=inf "),
    ],
)
def test_what_can_never_work_is_refused_when_built(options: dict[str, Any], expected: str) -> None:
    """The message names the option, the value and the range."""
    with pytest.raises(ConfigurationError) as refused:
        RateLimit(**options)
    assert "RateLimit: " in str(refused.value)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": 1e15, "per": 1e9},
        {"rate": 1_000_000},
        {"rate": 1, "per": 1e9},
        {"rate": 1, "burst": 1e9},
        {"rate": 1, "burst": 1, "max_wait": 0},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(options: dict[str, Any]) -> None:
    """The range that the message names is inclusive."""
    assert isinstance(Limiter((RateLimit(**options),)).reserve(0.0), Reservation)


def test_only_the_rate_goes_by_position() -> None:
    """``RateLimit(50, 100)`` would leave open what the second number is."""
    with pytest.raises(TypeError):
        RateLimit(50, 100)  # type: ignore[call-arg]


def test_the_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    """Turns are absolute times, one behind the other."""
    assert turns(limiter(burst=2), 5.0, 1, 1, 1, 1, 2) == [5.0, 5.0, 5.1, 5.2, 5.4]


def test_a_large_one_is_not_overtaken_by_small_ones() -> None:
    """Turns are in the order of reservation, and ``cost=0`` is no way round it."""
    assert turns(drained(burst=5), 0.0, 5, 1, 1, 0) == [0.5, 0.6, 0.7, 0.7]


def test_several_rates_hold_together() -> None:
    """A turn is the latest that any rate asks for, and takes from all of them at that time."""
    both = Limiter((RateLimit(10, burst=2), RateLimit(3, per=3, burst=3)))
    assert turns(both, 0.0, *[1] * 6) == [0.0, 0.0, 0.1, 1.0, 2.0, 3.0]
    assert both.capacity == 2
    # By 3.0 the fast rate is full again, but the sixth went only then: both count from there.
    assert turns(both, 3.0, 1) == [4.0]


@pytest.mark.parametrize(
    ("max_wait", "left", "expected"),
    [
        (None, inf, None),
        (None, 0.3, None),
        (0.3, inf, None),
        (None, 0.25, 0.05),
        (0.25, inf, 0.05),
        (0.1, 0.25, 0.2),
        (0.25, 0.1, 0.2),
        (0, inf, 0.3),
        (None, 0, 0.3),
    ],
)
def test_who_would_wait_too_long_is_refused_at_once(
    max_wait: float | None, left: float, expected: float | None
) -> None:
    """The wait allowed is the shorter of ``max_wait`` and the time left; the refusal says when it would fit."""
    busy = limiter(burst=3, max_wait=max_wait)
    reserved(busy, 0.0, 3)
    answer = busy.reserve(0.0, cost=3, left=left)
    if expected is None:
        assert isinstance(answer, Reservation)
    else:
        assert isinstance(answer, Rejected)
        assert answer.retry_after == pytest.approx(expected)


def test_the_shortest_max_wait_counts() -> None:
    """Of several rates each may say how long a caller waits; the whole wait fits all of them."""
    impatient = Limiter((RateLimit(1, max_wait=5), RateLimit(10, max_wait=0.5), RateLimit(100)))
    assert impatient.max_wait == 0.5
    reserved(impatient, 0.0)
    assert impatient.reserve(0.0) == Rejected(0.5)


def test_a_cost_above_the_burst_is_never_admitted() -> None:
    """It is refused at once, without a time to come back, and spends nothing."""
    small = Limiter((RateLimit(10, burst=5), RateLimit(10, burst=3)))
    assert small.reserve(0.0, cost=4) == Rejected(None)
    assert small.peek(0.0, cost=4) is None
    assert small.remaining(0.0) == 3


def test_rounding_makes_nobody_wait() -> None:
    """0.1 s three times is a little more than 0.3 s, and counts as 0.3."""
    tight = limiter(burst=1)
    for now in (0.0, 0.1, 0.2, 0.3, 0.1 + 0.1 + 0.1 + 0.1):
        turn = tight.reserve(now, left=0)
        assert isinstance(turn, Reservation)
        assert turn.act_at == now


def test_the_slack_ends_where_it_says() -> None:
    """A wait of a billionth is none, and one of a billionth more than allowed is allowed."""
    paused = Limiter()
    paused.penalize(1e-9)
    assert paused.peek(0.0) == reserved(paused, 0.0).act_at == 0.0
    paused.penalize(1 + 1e-9)
    turn = paused.reserve(0.0, left=1)
    assert isinstance(turn, Reservation)
    assert paused.act_at(turn, 1.0) == 1 + 1e-9
    paused.penalize(5.0)
    assert turn.act_at == 1 + 1e-9, "it has acted"


def test_who_cancels_at_the_end_of_the_slack_is_in_time() -> None:
    """A billionth after its turn a reservation still gives its units back."""
    slow = limiter(rate=1, burst=1)
    reserved(slow, 0.0)
    turn = reserved(slow, 0.0)
    slow.cancel(turn, turn.act_at + 1e-9)
    assert turns(slow, 1 + 1e-9, 1) == [1.0]


def test_looking_changes_nothing() -> None:
    """``peek``, ``remaining`` and ``full_in`` say what is, before the first reservation and after."""
    fresh = limiter(burst=5)
    assert (fresh.peek(0.0), fresh.remaining(0.0), fresh.full_in(0.0)) == (0.0, 5, 0.0)
    reserved(fresh, 1.0, 4)
    for _ in range(2):
        assert (fresh.peek(1.0), fresh.remaining(1.0)) == (0.0, 1)
        assert fresh.peek(1.0, cost=3) == pytest.approx(0.2)
        assert fresh.full_in(1.0) == pytest.approx(0.4)
        assert (fresh.peek(0.0), fresh.remaining(0.0)) == (0.0, 1)
        assert fresh.full_in(0.0) == pytest.approx(0.4)
    assert (fresh.remaining(1.25), fresh.full_in(9.0)) == (3, 0.0)
    turns(fresh, 1.0, 5)
    assert fresh.remaining(1.0) == 0


def test_the_tightest_rate_is_what_remains() -> None:
    """Of several rates the one with the fewest units left counts for the headroom, the slowest for being full."""
    both = Limiter((RateLimit(10, burst=10), RateLimit(1, burst=3)))
    reserved(both, 0.0, 2)
    assert both.remaining(0.0) == 1
    assert both.full_in(0.0) == pytest.approx(2.0)


def test_without_a_rate_nobody_waits() -> None:
    """A limiter without own rates has no figures of its own and lets everything go."""
    free = Limiter()
    assert turns(free, 0.0, 1, 10**9) == [0.0, 0.0]
    assert (free.remaining(0.0), free.full_in(0.0), free.peek(0.0), free.capacity) == (None, 0.0, 0.0, inf)


def test_a_turn_says_what_it_is() -> None:
    """The representation names the time and the cost."""
    assert repr(reserved(limiter(burst=2), 3.0, 2)) == "Reservation(act_at=3.0, cost=2)"


@pytest.mark.parametrize(
    ("costs", "cancelled", "at", "expected"),
    [
        ([2], [0], 0.1, 0.1),  # the last: all of it (golang/time TestCancelLast)
        ([1, 1], [0], 0.0, 0.3),  # claimed by the later one (TestCancel0Tokens)
        ([2, 1], [0], 0.2, 0.3),  # all but what the later one claimed (TestCancel1Token); at its time is not after it
        ([3, 1, 1], [2, 0], 0.1, 0.4),  # as if the third had never come (TestCancelMulti); behind the second
        ([3, 1, 1], [0, 2], 0.1, 0.4),  # what it gives back is decided when it is cancelled
        ([1, 1, 1], [0, 1, 2], 0.0, 0.1),  # all of them, first to last: nothing is lost
        ([1, 1, 1], [2, 1, 0], 0.0, 0.1),
        ([3, 1, 2], [1, 0, 2], 0.0, 0.1),
        ([1, 1, 1], [0, 1], 0.0, 0.4),
        ([3, 2, 1], [0], 0.0, 0.7),  # the two later ones together claimed all of it
        ([2, 1], [0], 0.21, 0.4),  # after its time: nothing
        ([1], [0, 0], 0.0, 0.1),  # twice is once
    ],
)
def test_what_cancelling_gives_back(costs: list[float], cancelled: list[int], at: float, expected: float) -> None:
    """What later ones have not claimed comes back at once, and the rest when all of them are cancelled too."""
    empty = drained(burst=4)
    waiting = [reserved(empty, 0.0, cost) for cost in costs]
    for index in cancelled:
        empty.cancel(waiting[index], at)
    assert turns(empty, at, 1) == [expected]


def test_nobody_slips_in_before_who_waits() -> None:
    """Units given back from the middle serve the next in the order, not before those who wait already."""
    empty = drained(burst=4)
    large, last = reserved(empty, 0.0, 4), reserved(empty, 0.0, 1)
    empty.cancel(large, 0.0)
    assert last.act_at == pytest.approx(0.5)
    assert turns(empty, 0.0, 1, 1, 1, 1) == [0.5, 0.5, 0.5, 0.6]


def test_what_is_given_back_stays_given_back() -> None:
    """The cancellation of a later one does not take back what an earlier one gave."""
    empty = drained(burst=4)
    first, _, third = (reserved(empty, 0.0, cost) for cost in (4, 1, 1))
    empty.cancel(first, 0.0)
    empty.cancel(third, 0.0)
    # Without the first: 0.1; the second claimed one unit of its four, and that one is not to be had while it waits.
    assert empty.full_in(0.0) == pytest.approx(0.4 + 0.5 - 0.2)


def test_giving_back_never_goes_below_what_a_slower_rate_delayed() -> None:
    """A turn delayed by one rate counts from its time in the other, and keeps that when one before it is cancelled."""
    both = Limiter((RateLimit(10, burst=5), RateLimit(1, burst=5)))
    reserved(both, 0.0, 5)
    first, second = reserved(both, 0.0, 3), reserved(both, 0.0, 1)
    assert (first.act_at, second.act_at) == (3.0, 4.0)
    both.cancel(first, 0.0)
    # The second acts at 4.0, so its unit of the fast rate is there again 0.1 s later, not before.
    assert both.full_in(4.0) >= 0.1 - 1e-9
    # Of the fast rate less is there now than one unit: the second one holds its half a unit from 1/6 on.
    both = Limiter((RateLimit(10, burst=2), RateLimit(3, burst=2)))
    first, second = reserved(both, 0.0, 2), reserved(both, 0.0, 0.5)
    assert second.act_at == pytest.approx(1 / 6)
    both.cancel(first, 0.0)
    assert both.remaining(0.0) == 0


def test_who_has_acted_is_forgotten() -> None:
    """Memory holds those who wait and the last who went, not everybody who ever came."""
    busy = limiter(burst=1)
    for number in range(50):
        busy.act_at(reserved(busy, number * 0.1), number * 0.1)
    waiting = reserved(busy, 4.9)
    assert len(busy._pending) == 2
    assert busy.act_at(waiting, 5.0) == pytest.approx(5.0)
    reserved(busy, 6.0)
    assert len(busy._pending) == 1


def test_who_neither_acts_nor_cancels_is_forgotten_too() -> None:
    """A caller that breaks its word does not fill the memory, nor hold up others."""
    empty = drained(burst=1)
    reserved(empty, 0.0)
    assert turns(empty, 60.0, 1) == [60.0]
    assert len(empty._pending) == 2
    assert turns(empty, 61.0, 1) == [61.0]
    assert len(empty._pending) == 1


def test_a_pause_holds_for_everybody() -> None:
    """Who comes acts after the pause at the earliest, who waits already is told so when it asks again, in order."""
    paused = drained(burst=2)
    waiting = [reserved(paused, 0.0) for _ in range(4)]
    paused.penalize(5.0)
    assert paused.paused_until == 5.0
    assert [round(paused.act_at(turn, 0.1), 6) for turn in waiting] == [5.0, 5.0, 5.1, 5.2]
    assert turns(paused, 0.1, 1) == [5.3]
    assert paused.peek(0.1) == pytest.approx(5.3)


def test_a_pause_is_a_wait_like_any_other() -> None:
    """A pause beyond the wait allowed is a refusal, also without own rates; later pauses never shorten it."""
    free = Limiter()
    free.penalize(10.0)
    free.penalize(4.0)
    free.penalize(nan)
    assert free.paused_until == 10.0
    assert free.reserve(3.0, left=5) == Rejected(2.0)
    assert turns(free, 3.0, 1, 1) == [10.0, 10.0]
    assert turns(free, 10.0, 1) == [10.0]


def test_a_second_pause_moves_who_waits_for_the_first() -> None:
    """Also without own rates those who wait are known, and told the later time."""
    free = Limiter()
    free.penalize(5.0)
    waiting = reserved(free, 0.0)
    free.penalize(10.0)
    assert free.act_at(waiting, 5.0) == 10.0


def test_the_same_pause_again_changes_nothing() -> None:
    """Also what a cancelled one left to those behind it stays as it is."""
    paused = limiter(burst=4)
    paused.penalize(5.0)
    first, second, *_ = (reserved(paused, 0.0, cost) for cost in (4, 4, 1, 1))
    assert (first.act_at, second.act_at) == pytest.approx((5.0, 5.4))
    paused.cancel(second, 0.0)
    before = paused.full_in(0.0)
    paused.penalize(5.0)
    assert paused.full_in(0.0) == before


def test_a_pause_leaves_alone_who_cancelled_too_late() -> None:
    """Who cancels after its turn has spent it, and waits for nothing: a pause does not put others behind it."""
    empty = drained(burst=1)
    late = reserved(empty, 0.0)
    empty.cancel(late, 0.3)
    empty.penalize(5.0)
    assert late.act_at == pytest.approx(0.1)
    assert turns(empty, 0.3, 1) == [5.0]


def test_a_pause_without_end_is_never_over() -> None:
    """There is no time to come back to."""
    closed = limiter(burst=2)
    closed.penalize(inf)
    assert (closed.reserve(0.0), closed.peek(0.0)) == (Rejected(None), None)


def test_a_pause_leaves_alone_who_has_acted() -> None:
    """What went before the pause is spent, and what waits counts behind it, whoever woke first."""
    empty = drained(burst=1)
    first, second, third = (reserved(empty, 0.0) for _ in range(3))
    assert empty.act_at(first, 0.1) == pytest.approx(0.1)
    assert empty.act_at(third, 0.3) == pytest.approx(0.3)  # the loop was late, and woke the third before the second
    empty.penalize(0.35)
    assert empty.act_at(second, 0.3) == pytest.approx(0.4)
    assert [first.act_at, third.act_at] == pytest.approx([0.1, 0.3])


def test_a_turn_moved_by_a_pause_can_be_cancelled() -> None:
    """The new turn is what counts: before it the units come back."""
    paused = drained(burst=1)
    first, second = reserved(paused, 0.0), reserved(paused, 0.0)
    paused.penalize(5.0)
    paused.cancel(first, 3.0)
    paused.cancel(second, 3.0)
    assert turns(paused, 3.0, 1, 1) == [5.0, 5.1]


def test_a_clock_that_steps_back_moves_the_timetable() -> None:
    """Waits and pauses are as long as they were before the step (golang/time TestLimiterJumpBackwards)."""
    stepped = limiter(burst=1)
    reserved(stepped, 100.0)
    waiting = reserved(stepped, 100.0)
    stepped.penalize(103.0)
    stepped.pace(1, 5, 100.0)
    assert turns(stepped, 90.0, 0) == [93.0]
    assert waiting.act_at == pytest.approx(93.0)
    assert stepped.paused_until == pytest.approx(93.0)
    stepped.cancel(waiting, 90.0)
    assert stepped.peek(90.0) == pytest.approx(5.0)  # the provider's unit is gone until 95


def test_a_step_back_moves_the_providers_window_of_who_waits() -> None:
    """Cancelled after the step, a turn leaves the window as it was before it, at the new time."""
    told = Limiter()
    told.pace(1, 5, 100.0)
    reserved(told, 100.0)
    waiting = reserved(told, 100.0)
    assert told.act_at(waiting, 90.0) == 95.0
    told.cancel(waiting, 90.0)
    assert told.peek(90.0) == 5.0


def test_a_step_back_is_seen_by_whoever_looks_first() -> None:
    """Who asks again after the step is told its turn by the new time."""
    stepped = drained(burst=1)
    waiting = reserved(stepped, 0.0)
    assert stepped.act_at(waiting, -5.0) == pytest.approx(-4.9)
    assert turns(stepped, -5.0, 1) == [-4.8]


@pytest.mark.parametrize("told_by", ["act_at", "cancel", "pace"])
def test_everybody_tells_the_time(told_by: str) -> None:
    """Who asks again, cancels or brings the provider's word has seen the clock: an earlier time is a step back."""
    stepped = limiter(burst=1)
    turn = reserved(stepped, 0.0)
    stepped.penalize(12.0)
    if told_by == "act_at":
        stepped.act_at(turn, 10.0)
    elif told_by == "cancel":
        stepped.cancel(turn, 10.0)
    else:
        stepped.pace(5, 1, 10.0)
    assert stepped.peek(5.0) == 2.0


def test_the_provider_has_nothing_left() -> None:
    """0 units left is a pause until the reset, for all."""
    told = limiter(burst=5)
    waiting = reserved(told, 0.0, 5), reserved(told, 0.0)
    told.pace(0, 30, 1.0)
    assert told.paused_until == 31.0
    assert told.reserve(1.0, left=29) == Rejected(1.0)
    assert told.act_at(waiting[1], 1.0) == 31.0
    told.pace(-1, 40, 1.0)
    assert told.paused_until == 41.0


def test_the_provider_has_some_left() -> None:
    """That many go, the others after the reset; of the time after it nothing is known."""
    told = Limiter()
    told.pace(3, 10, 0.0)
    assert turns(told, 1.0, 1, 2, 1, 1, 1) == [1.0, 1.0, 10.0, 10.0, 10.0]
    assert told.paused_until == -inf
    assert turns(told, 10.0, 1) == [10.0]


def test_the_provider_has_windows() -> None:
    """Where its limit is known, those who wait for the reset do not all come at once."""
    told = Limiter()
    told.pace(1, 10, 0.0, limit=2)
    assert turns(told, 0.0, 1, 1, 1, 1, 5, 1, 1, 1) == [0.0, 10.0, 10.0, 20.0, 30.0, 40.0, 40.0, 50.0]


def test_a_window_may_be_shorter_than_a_second() -> None:
    """Without a window of its own a limit holds for as long as the reset that came with it."""
    told = Limiter()
    told.pace(1, 0.5, 0.0, limit=1)
    assert turns(told, 0.0, 1, 1, 1) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("window", "expected"),
    [(0.5, 0.5), (1, 1), (1e9, 1e9), (0, 0.1), (-1, 0.1), (1e9 + 1, 0.1), (nan, 0.1), (None, 0.1)],
)
def test_the_length_of_a_window_is_believed_where_it_is_one(window: float | None, expected: float) -> None:
    """After the reset a window follows of the length that was told, or else of the reset's."""
    told = Limiter()
    told.pace(1, 0.1, 0.0, limit=1, window=window)
    assert turns(told, 0.0, 1, 1, 1) == [0.0, 0.1, pytest.approx(0.1 + expected)]


def test_the_length_of_a_window_is_remembered() -> None:
    """An answer that does not tell it, or nonsense, leaves it as it was."""
    told = Limiter()
    told.pace(1, 0.1, 0.0, limit=1, window=10)
    told.pace(1, 0.1, 0.0, limit=1, window=0)
    told.pace(1, 0.1, 0.0, limit=1)
    assert turns(told, 0.0, 1, 1, 1) == [0.0, 0.1, 10.1]


def test_windows_pass_while_a_pause_lasts() -> None:
    """The first turn after the pause is in the window of that time."""
    told = Limiter()
    told.pace(0, 10, 0.0, limit=2)
    told.penalize(35.0)
    assert turns(told, 0.0, 1, 1, 1) == [35.0, 35.0, 40.0]


def test_a_pause_does_not_forget_the_windows() -> None:
    """Who waits when a pause comes, and who comes after it, still have to share what the provider leaves."""
    told = Limiter()
    told.pace(1, 10, 0.0, limit=2)
    assert turns(told, 0.0, 1, 1) == [0.0, 10.0]
    told.penalize(5.0)
    assert turns(told, 0.0, 1, 1) == [10.0, 20.0]


def test_what_was_said_goes_out_of_date() -> None:
    """After a whole window without a word nothing is known any more."""
    told = Limiter()
    told.pace(0, 10, 0.0, limit=1)
    assert turns(told, 19.9, 1, 1) == [19.9, 20.0]
    silent = Limiter()
    silent.pace(0, 10, 0.0, limit=1)
    assert turns(silent, 20.0, 1, 1, 1) == [20.0, 20.0, 20.0]


def test_a_window_ends_where_it_says() -> None:
    """At the float at which the slack ends it, a send is of the next window; and a billionth too much still fits."""
    told = Limiter()
    told.pace(1, 10, 0.0, limit=1)
    assert turns(told, 10 - 1e-9, 1, 1) == [10.0, 20.0]
    told = Limiter()
    told.pace(1, 10, 0.0)
    assert turns(told, 0.0, 1 + 1e-9, 1) == [0.0, 10.0]


def test_a_window_that_is_over_does_not_bind_the_next() -> None:
    """What is told at the very end of a window is all that counts."""
    told = Limiter()
    told.pace(1, 10, 0.0)
    told.pace(3, 10, 10.0)
    assert turns(told, 10.0, 1, 1, 1, 1) == [10.0, 10.0, 10.0, 20.0]


def test_what_is_on_its_way_is_counted() -> None:
    """The provider does not know yet what we have sent since: the lower count wins."""
    told = Limiter()
    told.pace(5, 10, 0.0)
    assert turns(told, 0.0, 1, 1, 1, 1) == [0.0] * 4
    told.pace(4, 10, 0.0)
    assert turns(told, 0.0, 1, 1) == [0.0, 10.0]


def test_others_use_the_quota_too() -> None:
    """A count lower than ours is believed, and those who wait get a new turn."""
    told = Limiter()
    told.pace(2, 10, 0.0, limit=4)
    first, second, third = (reserved(told, 0.0) for _ in range(3))
    assert (first.act_at, second.act_at, third.act_at) == (0.0, 0.0, 10.0)
    told.pace(0, 12, 1.0, limit=4)
    assert told.act_at(third, 10.0) == 13.0
    own = limiter(burst=1, rate=1)
    own.pace(5, 10, 0.0)
    waiting = [reserved(own, 0.0) for _ in range(4)]
    own.pace(2, 9.5, 0.5)
    assert [own.act_at(turn, 0.5) for turn in waiting] == [0.0, 1.0, 2.0, 10.0]


def test_the_first_answer_of_a_window_counts_itself() -> None:
    """In a window that was only assumed, what else we sent in it is taken off what the provider says."""
    told = Limiter()
    told.pace(0, 10, 0.0, limit=5)
    waiting = [reserved(told, 0.0) for _ in range(3)]
    assert [told.act_at(turn, 10.0) for turn in waiting] == [10.0] * 3
    told.pace(4, 10, 10.0, limit=5)
    assert turns(told, 10.0, 1, 1, 1) == [10.0, 10.0, 20.0]


@pytest.mark.parametrize(("sent", "told", "left"), [(1, 4, 4), (2, 4, 3), (3, 2, 0), (3, 1, 0), (5, 4, 0), (6, 4, 0)])
def test_what_was_sent_before_the_first_answer(sent: int, told: int, left: int) -> None:
    """Of ``sent`` units that went in an assumed window of five, the provider that speaks first has seen one."""
    limit = Limiter()
    limit.pace(0, 10, 0.0, limit=5)
    reserved(limit, 10.0, sent)
    limit.pace(told, 10, 10.0, limit=5)
    assert turns(limit, 10.0, *[1] * (left + 1)) == [10.0] * left + [20.0]


def test_later_answers_of_a_window_count_all() -> None:
    """Only the first answer may not know of the others: the same number told again is the same number."""
    told = Limiter()
    for now in (0.0, 1.0, 2.0):
        told.pace(3, 10 - now, now, limit=5)
    assert turns(told, 2.0, 1, 1, 1, 1) == [2.0, 2.0, 2.0, 10.0]


def test_the_first_answer_without_a_limit_is_believed() -> None:
    """Where the limit is told no longer, what the provider says is all that is known."""
    told = Limiter()
    told.pace(0, 10, 0.0, limit=5)
    waiting = reserved(told, 0.0)
    assert told.act_at(waiting, 10.0) == 10.0
    told.pace(2, 10, 10.0)
    assert turns(told, 10.0, 1, 1, 1) == [10.0, 10.0, 20.0]


def test_a_reset_that_is_told_later_changes_nothing() -> None:
    """It is the same one rounded up, or that of the next window; only an earlier one is nearer to the truth."""
    told = Limiter()
    told.pace(0.5, 10, 0.0, limit=1)
    waiting = reserved(told, 0.0)
    for reset in (9.46, 9.54, 9.56, 12):
        told.pace(0.5, reset, 0.5, limit=1)
        assert told.act_at(waiting, 0.5) == 10.0
    told = Limiter()
    told.pace(0, 10, 0.0)  # a pause, and then word of less than that
    told.pace(1, 5, 0.0)
    assert reserved(told, 0.0).act_at == 10.0


@pytest.mark.parametrize(("reset", "end"), [(9.0, 9.0), (9.94, 9.94), (9.95, 10.0), (9.96, 10.0), (11.0, 10.0)])
def test_the_first_end_that_is_told_counts(reset: float, end: float) -> None:
    """An end that is earlier by more than a twentieth of a second is when the window ends."""
    told = Limiter()
    told.pace(1, 10, 0.0)
    told.pace(1, reset, 0.0)
    assert turns(told, 0.0, 1, 1) == [0.0, end]


def test_the_next_window_does_not_stall_this_one() -> None:
    """Fifty per second with resets in whole seconds: an answer of the next window costs no window of waiting."""
    told = Limiter()
    told.pace(0.4, 1, 0.1, limit=50)  # what is left of the first window, which ends at 1.0, told as 1.1
    waiting = reserved(told, 0.2)
    told.pace(49, 1, 1.05, limit=50)  # the next one has begun
    assert told.act_at(waiting, 1.05) == 1.1


def test_a_generous_answer_does_not_lift_the_average() -> None:
    """10,000 units for 10 s under a policy of 10,000 per 1,000 s are 100 for these 10 s (the draft's own example)."""
    told = Limiter()
    told.pace(10_000, 10, 0.0, limit=10_000, window=1000)
    assert turns(told, 0.0, 100, 1) == [0.0, 10.0]
    # An answer without the window says for itself what is left, though the window is remembered.
    told.pace(200, 10, 50.0, limit=10_000)
    assert turns(told, 50.0, 199, 1) == [50.0, 60.0]
    # One is always allowed where one is left, however short the time.
    told = Limiter()
    told.pace(50, 1, 0.0, limit=100, window=3600)
    assert turns(told, 0.0, 1, 1) == [0.0, 1.0]
    told = Limiter()
    told.pace(1.5, 1, 0.0, limit=100, window=3600)
    assert turns(told, 0.0, 0.5, 0.5, 0.5) == [0.0, 0.0, 1.0]


def test_thirty_years_are_a_time_and_more_is_none() -> None:
    """A reset is heeded up to 10^9 seconds."""
    told = Limiter()
    told.pace(0, 1e9 + 0.5, 0.0)
    assert told.paused_until == -inf
    told.pace(0, 1e9, 0.0)
    assert told.paused_until == 1e9


def test_a_reset_without_a_time_does_not_end_the_window_that_is_known() -> None:
    """What was told before goes on to hold."""
    told = Limiter()
    told.pace(1, 10, 0.0)
    told.pace(5, 0, 0.0)
    assert turns(told, 0.0, 1, 1) == [0.0, 10.0]


@pytest.mark.parametrize(
    ("remaining", "reset", "limit", "window"),
    [
        (0, 0, None, None),
        (0, -5, 10, 1),
        (0, nan, None, None),
        (0, inf, None, None),
        (0, 10**400, None, None),
        (nan, 10, None, None),
        (10**400, 10, 10**400, 10**400),
        (10**400, 10, nan, nan),
        (10**400, 10, -1, -1),
        (10**400, 10, 0, 0),
        (10**400, 10, inf, inf),
    ],
)
def test_nonsense_says_nothing(remaining: float, reset: float, limit: float | None, window: float | None) -> None:
    """No number that a header can hold raises or stops us, unless it says that nothing is left until some time."""
    told = limiter(burst=2)
    told.pace(remaining, reset, 0.0, limit=limit, window=window)
    assert turns(told, 0.0, 1, 1, 1) == [0.0, 0.0, 0.1]
