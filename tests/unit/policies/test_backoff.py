"""The curve of the waits: examples, and the laws that hold for every attempt number."""

from math import inf, isfinite
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.policies import backoff

# Up to far beyond what a float can hold: an attempt number is never the reason for a crash.
ATTEMPTS = st.integers(min_value=1, max_value=10**6) | st.sampled_from([2**31, 2**63, 2**64 + 1, 10**308, 10**400])
CHANCE = st.floats(min_value=0, max_value=1)


class Curve(TypedDict):
    """What a curve is made of."""

    base: float
    factor: float
    cap: float


CURVES = st.builds(
    lambda base, factor, cap: Curve(base=base, factor=factor, cap=cap),
    base=st.floats(min_value=0, max_value=1e6),
    factor=st.floats(min_value=1, max_value=100),
    cap=st.floats(min_value=0, max_value=1e6) | st.just(inf),
)


@pytest.mark.parametrize(
    ("attempt", "base", "factor", "cap", "expected"),
    [
        (1, 0.1, 2, 20, 0.1),
        (2, 0.1, 2, 20, 0.2),
        (3, 0.1, 2, 20, 0.4),
        (8, 0.1, 2, 20, 12.8),
        (9, 0.1, 2, 20, 20),
        (1, 30, 2, 20, 20),
        (4, 1, 3, 100, 27),
        (7, 5, 1, 100, 5),
        (21, 1, 2, inf, 1048576),
        (10**6, 0, 2, 20, 0),
        (10**6, 1, 1, 20, 1),
        # Growth too slow for a float to overflow goes on with every try.
        (10**6, 1, 1.00001, inf, 1.00001**999_999),
        pytest.param(10**400, 0.1, 2, 20, 20, id="beyond every float"),
        pytest.param(10**400, 1, 1, 20, 1, id="beyond every float, flat"),
    ],
)
def test_the_nominal_wait(attempt: int, base: float, factor: float, cap: float, expected: float) -> None:
    """The wait after try n is ``base * factor**(n-1)``, at most the cap."""
    assert expected == pytest.approx(backoff.nominal(attempt, base=base, factor=factor, cap=cap))


def test_the_wait_doubles_without_bound_unless_told_otherwise() -> None:
    """The factor is 2 and there is no cap unless they are given."""
    assert [backoff.nominal(attempt, base=0.5) for attempt in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert backoff.nominal(41, base=0.5) == 2.0**39
    assert backoff.full_jitter(41, base=0.5, random=1.0) == 2.0**39


@pytest.mark.parametrize(("random", "expected"), [(0.0, 0.0), (0.25, 5.0), (0.5, 10.0), (1.0, 20.0)])
def test_jitter_comes_after_the_cap(random: float, expected: float) -> None:
    """Far beyond the cap the waits are still spread from 0 to the cap, not all at the cap."""
    assert expected == backoff.full_jitter(50, base=0.1, cap=20, random=random)


@given(ATTEMPTS, CURVES)
def test_the_nominal_wait_is_a_number_within_bounds(attempt: int, curve: Curve) -> None:
    """The wait is finite, never negative and never above the cap, for any attempt number and with any cap or none."""
    wait = backoff.nominal(attempt, **curve)
    assert isfinite(wait)
    assert 0 <= wait <= curve["cap"]


@given(ATTEMPTS, ATTEMPTS, CURVES)
def test_the_nominal_wait_never_shrinks(one: int, other: int, curve: Curve) -> None:
    """A later try never waits less."""
    earlier, later = sorted((one, other))
    assert backoff.nominal(earlier, **curve) <= backoff.nominal(later, **curve)


@given(ATTEMPTS, CURVES)
def test_the_first_wait_is_the_base(attempt: int, curve: Curve) -> None:
    """The first wait is the base or the cap, and no later one is below it."""
    first = backoff.nominal(1, **curve)
    assert min(curve["base"], curve["cap"]) == first
    assert first <= backoff.nominal(attempt, **curve)


@given(st.integers(min_value=1, max_value=40), st.floats(min_value=1e-3, max_value=10))
def test_each_wait_is_the_factor_times_the_one_before(attempt: int, base: float) -> None:
    """Below the cap the growth is exactly exponential."""
    assert backoff.nominal(attempt + 1, base=base) == 2 * backoff.nominal(attempt, base=base)


@given(ATTEMPTS, CURVES, CHANCE)
def test_jitter_stays_below_the_nominal_wait(attempt: int, curve: Curve, random: float) -> None:
    """A drawn wait lies between 0 and the nominal one, whatever is drawn."""
    wait = backoff.full_jitter(attempt, **curve, random=random)
    assert 0 <= wait <= backoff.nominal(attempt, **curve)


@given(ATTEMPTS, CURVES)
def test_the_ends_of_the_draw(attempt: int, curve: Curve) -> None:
    """Drawing 0 means no wait and drawing 1 the nominal one."""
    expected = (0, backoff.nominal(attempt, **curve))
    assert expected == tuple(backoff.full_jitter(attempt, **curve, random=random) for random in (0.0, 1.0))


@given(ATTEMPTS, CURVES, CHANCE, CHANCE)
def test_jitter_keeps_the_order_of_the_draw(attempt: int, curve: Curve, one: float, other: float) -> None:
    """Who draws more waits at least as long: the whole range is used, and evenly."""
    low, high = sorted((one, other))
    waits = [backoff.full_jitter(attempt, **curve, random=random) for random in (low, high)]
    assert sorted(waits) == waits
