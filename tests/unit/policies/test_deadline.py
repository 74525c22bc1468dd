"""How much time a call and its tries have: examples and laws."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.policies.deadline import Timeout, attempt_limit, deadline_at, time_left

SECONDS = st.floats(min_value=1e-3, max_value=1e6)
CLOCK = st.floats(min_value=0, max_value=1e9)
TIMEOUTS = st.builds(
    lambda total, share: Timeout(total=total, attempt=None if share is None else total * share),
    total=SECONDS,
    share=st.none() | st.floats(min_value=1e-3, max_value=1),
)
ASKED = st.none() | st.floats(min_value=-10, max_value=1e7)


@pytest.mark.parametrize(
    ("timeout", "total", "attempt"),
    [
        (Timeout(), 30, 10),
        (Timeout(total=4), 4, 4),
        (Timeout(total=60), 60, 10),
        (Timeout(total=60, attempt=25), 60, 25),
        (Timeout(total=5, attempt=5), 5, 5),
        (Timeout(total=5, attempt=0.1), 5, 0.1),
    ],
)
def test_the_limits(timeout: Timeout, total: float, attempt: float) -> None:
    """By default a call has 30 s and a try 10 s, or the total where that is less."""
    assert (total, attempt) == (timeout.total, timeout.per_attempt)


@pytest.mark.parametrize(
    ("timeout", "asked", "expected"),
    [
        (Timeout(total=30), None, 130),
        (Timeout(total=30), 5, 105),
        (Timeout(total=30), 30, 130),
        (Timeout(total=30), 31, 130),
        (Timeout(total=30), 0, 100),
        (Timeout(total=30), -3, 97),
        (Timeout(total=30), inf, 130),
        (None, 5, 105),
        (None, None, inf),
    ],
)
def test_when_a_call_must_be_over(timeout: Timeout | None, asked: float | None, expected: float) -> None:
    """What a call asks for shortens the total and never lengthens it; without both there is no deadline."""
    assert expected == deadline_at(timeout, now=100.0, asked=asked)


@pytest.mark.parametrize(
    ("deadline", "now", "expected"), [(3, 0, 3), (3, 2.5, 0.5), (3, 3, 0), (3, 4, 0), (inf, 1e9, inf)]
)
def test_the_time_left(deadline: float, now: float, expected: float) -> None:
    """What is left is the time to the deadline, and nothing after it."""
    assert expected == time_left(deadline, now=now)


@pytest.mark.parametrize(
    ("timeout", "left", "expected"),
    [
        (Timeout(), 30, 10),
        (Timeout(), 10, 10),
        (Timeout(), 0.3, 0.3),
        (Timeout(total=30, attempt=20), 25, 20),
        (None, 7, 7),
        (None, inf, inf),
    ],
)
def test_the_limit_of_a_try(timeout: Timeout | None, left: float, expected: float) -> None:
    """A try has its own limit, or the time left if that is less."""
    assert expected == attempt_limit(timeout, left=left)


@given(st.none() | TIMEOUTS, CLOCK, ASKED)
def test_a_deadline_is_never_later_than_anybody_allows(
    timeout: Timeout | None, now: float, asked: float | None
) -> None:
    """Neither the policy's total nor what the call asked for is ever exceeded, and one of the two is what counts."""
    total = inf if timeout is None else timeout.total
    allowed = [total] if asked is None else [total, asked]
    deadline = deadline_at(timeout, now=now, asked=asked)
    assert all(deadline <= now + seconds for seconds in allowed)
    assert any(deadline == now + seconds for seconds in allowed)


@given(CLOCK, CLOCK, CLOCK)
def test_time_only_runs_out(deadline: float, one: float, other: float) -> None:
    """The time left is never negative and never grows while the clock goes on."""
    earlier, later = sorted((one, other))
    assert 0 <= time_left(deadline, now=later) <= time_left(deadline, now=earlier)


@given(st.none() | TIMEOUTS, st.floats(min_value=0, max_value=1e6))
def test_a_try_never_outlives_its_call(timeout: Timeout | None, left: float) -> None:
    """The limit of a try is never above the time left, nor above the policy's own."""
    limit = attempt_limit(timeout, left=left)
    assert limit <= left
    assert timeout is None or limit <= timeout.per_attempt <= timeout.total


@given(TIMEOUTS, CLOCK, st.floats(min_value=0, max_value=1))
def test_all_tries_share_one_deadline(timeout: Timeout, now: float, share: float) -> None:
    """What one try used is gone for the next: after a share of the total, the rest of it is left."""
    deadline = deadline_at(timeout, now=now)
    left = time_left(deadline, now=now + share * timeout.total)
    assert left == pytest.approx((1 - share) * timeout.total, abs=1e-6)
