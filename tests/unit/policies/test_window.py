"""What is counted in a window: examples, and both windows against a list that forgets nothing."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from buoy.policies.window import BUCKETS, Counts, CountWindow, TimeWindow

RESULT = st.tuples(st.booleans(), st.booleans())
EIGHTHS = st.integers(min_value=0, max_value=120)


def counts_of(results: list[tuple[bool, bool]]) -> Counts:
    """Return the counts of a list of (failed, slow)."""
    return Counts(len(results), sum(failed for failed, _ in results), sum(slow for _, slow in results))


def test_the_oldest_result_makes_room() -> None:
    """A full count window forgets its oldest result for each new one."""
    window = CountWindow(3)
    seen = []
    for failed, slow in [(True, True), (True, False), (False, True), (False, False), (False, False)]:
        window.add(0, failed=failed, slow=slow)
        seen.append(window.counts(0))
    assert seen == [(1, 1, 1), (2, 2, 1), (3, 2, 2), (3, 1, 1), (3, 0, 1)]


def test_time_does_not_matter_to_a_count_window() -> None:
    """A result of long ago counts as long as no later one takes its place."""
    window = CountWindow(2)
    window.add(0, failed=True, slow=False)
    window.move(1e9)
    assert window.counts(1e9) == (1, 1, 0)


@pytest.mark.parametrize("window", [CountWindow(4), TimeWindow(10)], ids=["count", "time"])
def test_a_cleared_window_is_empty(window: CountWindow | TimeWindow) -> None:
    """After clearing nothing is counted, and nothing of before is taken away later."""
    for _ in range(6):
        window.add(1, failed=True, slow=True)
    window.clear()
    assert [window.counts(at) for at in (1, 5)] == [(0, 0, 0)] * 2
    for at in (1, 2, 3, 4, 5, 12):
        window.add(at, failed=False, slow=False)
        assert window.counts(at)[1:] == (0, 0)


@pytest.mark.parametrize(
    ("added", "expected"), [(0, [1, 1, 0]), (0.5, [1, 1, 0]), (0.99, [1, 1, 0]), (1, [1, 1, 1]), (1.9, [1, 1, 1])]
)
def test_a_result_counts_for_nine_to_ten_tenths(added: float, expected: list[int]) -> None:
    """A result leaves with its bucket: never later than at the age of the window, at most a tenth earlier."""
    window = TimeWindow(10)
    window.add(added, failed=False, slow=False)
    assert expected == [window.counts(at).total for at in (added, 9.99, 10)]
    assert window.counts(added + 10).total == 0


@pytest.mark.parametrize(("start", "seconds"), [(5.7, 3.0), (0.3, 1.1), (123.4, 1.1), (1.7, 1.7)])
def test_an_age_equal_to_the_window_is_outside_in_spite_of_rounding(start: float, seconds: float) -> None:
    """A sum of floats may fall short of the edge by a hair: the result is out all the same."""
    window = TimeWindow(seconds)
    window.add(start, failed=True, slow=True)
    assert window.counts(start + seconds) == (0, 0, 0)


def test_a_hair_before_an_edge_is_at_the_edge() -> None:
    """A result that rounding put before the edge of its bucket stays as long as one at the edge."""
    window = TimeWindow(10)
    for edge in (1, 2, 3):
        window.add(edge - 1e-12, failed=False, slow=False)
    assert [window.counts(at).total for at in (10.5, 11.5, 12.5, 13.0)] == [3, 2, 1, 0]


def test_an_edge_belongs_to_the_bucket_that_it_begins() -> None:
    """At the very float of an edge the next bucket has begun, for who reads and for who adds."""
    window, edge = TimeWindow(10), 10 - 1e-9
    window.add(0, failed=True, slow=True)
    window.add(9, failed=False, slow=False)
    assert window.counts(edge) == (1, 0, 0)
    window.move(edge)
    assert (window.total, window.failed, window.slow) == (1, 0, 0)


def test_reading_changes_nothing() -> None:
    """Who reads at a later time does not make the window forget for those who read earlier ones."""
    window = TimeWindow(10)
    window.add(0, failed=True, slow=True)
    assert [window.counts(at) for at in (100, 0)] == [(0, 0, 0), (1, 1, 1)]


def test_moving_lets_go() -> None:
    """After a move the plain numbers are those of that time; less than a bucket later nothing has changed."""
    window = TimeWindow(10)
    window.add(0, failed=True, slow=True)
    window.add(5, failed=True, slow=False)
    window.move(10)
    assert (window.total, window.failed, window.slow) == (1, 1, 0)
    window.move(1e9)
    assert (window.total, window.failed, window.slow) == (0, 0, 0)


def test_a_clock_that_steps_back_changes_nothing() -> None:
    """An earlier time neither removes results nor revives any."""
    window = TimeWindow(10)
    for at in (25, 3, -7, 25):
        window.add(at, failed=True, slow=False)
    assert [window.counts(at).total for at in (-7, 25, 34.9, 35)] == [4, 4, 4, 0]


def test_a_small_step_back_moves_nothing_either() -> None:
    """A result that comes a bucket too early is counted in the present one, and stays as long."""
    window = TimeWindow(10)
    for at in (9.5, 8.5):
        window.add(at, failed=True, slow=False)
    assert [window.counts(at).total for at in (18.9, 19)] == [2, 0]


@given(st.integers(1, 9), st.lists(RESULT, max_size=40))
def test_a_count_window_is_the_end_of_the_list(size: int, results: list[tuple[bool, bool]]) -> None:
    """At every step the counts are those of the last ``size`` results."""
    window = CountWindow(size)
    for number, (failed, slow) in enumerate(results, 1):
        window.add(0, failed=failed, slow=slow)
        assert counts_of(results[:number][-size:]) == window.counts(0)
        assert (window.total, window.failed, window.slow) == window.counts(0)


@given(
    st.sampled_from([1.25, 5.0, 10.0, 20.0]),
    st.integers(0, 10**6),
    st.lists(st.tuples(EIGHTHS, RESULT, EIGHTHS), max_size=40),
)
@example(10.0, 0, [(0, (True, True), 79), (79, (True, True), 0), (1, (False, False), 0)])
def test_a_time_window_is_the_last_ten_buckets(
    seconds: float, start: int, steps: list[tuple[int, tuple[bool, bool], int]]
) -> None:
    """At every step, and at any later time, the counts are those of the present bucket and the nine before it."""
    window, width = TimeWindow(seconds), Fraction(seconds) / BUCKETS
    added: list[tuple[Fraction, tuple[bool, bool]]] = []

    def expected(at: Fraction) -> Counts:
        return counts_of([result for then, result in added if at // width - then // width < BUCKETS])

    now = Fraction(start)
    for passed, (failed, slow), ahead in steps:
        now += Fraction(passed, 8)
        added.append((now, (failed, slow)))
        window.add(float(now), failed=failed, slow=slow)
        assert expected(now) == (window.total, window.failed, window.slow)
        later = now + Fraction(ahead, 8)
        assert expected(later) == window.counts(float(later))


@given(st.floats(0.01, 1000), st.lists(st.floats(0, 100), max_size=30), st.floats(0, 1000))
def test_a_time_window_lies_between_two_exact_ones(seconds: float, steps: list[float], ahead: float) -> None:
    """With any numbers, all that is younger than nine tenths counts, and nothing that is older than the window."""
    window, times, now = TimeWindow(seconds), [], 0.0
    for step in steps:
        now += step
        window.add(now, failed=True, slow=True)
        times.append(now)
    now += ahead
    got = window.counts(now)
    younger = sum(now - time < 0.9 * seconds - 1e-6 for time in times)
    assert younger <= got.total <= sum(now - time < seconds + 1e-6 for time in times)
    assert got.total == got.failed == got.slow
