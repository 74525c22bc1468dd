"""Options are checked when a thing is built, and the message names the option, the value and what is allowed."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy import options
from buoy.errors import ConfigurationError
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry


def refused(check: Callable[[], object]) -> str:
    """Return the message with which ``check`` refuses."""
    with pytest.raises(ConfigurationError) as caught:
        check()
    return str(caught.value)


@pytest.mark.parametrize("value", [-1, -0.001, 0, nan, inf, -inf, "5", None, True, [1]])
def test_what_is_no_number_of_seconds(value: object) -> None:
    """Negative, zero, not finite or no number at all: refused, with the value and the range."""
    message = refused(lambda: options.seconds("Timeout", "total", value))
    assert f"Timeout: total={value!r} is not allowed; it must be a number of seconds, above 0." == message


def test_the_limits_of_seconds() -> None:
    """Zero and a maximum are allowed or refused as the option says, both ends included."""
    assert options.seconds("R", "base", 0, zero=True) == 0.0
    assert options.seconds("R", "base", 20, maximum=20) == 20.0
    message = refused(lambda: options.seconds("R", "base", 21, zero=True, maximum=20))
    assert message == "R: base=21 is not allowed; it must be a number of seconds, 0 or more and at most 20."
    assert "0 or more" in refused(lambda: options.seconds("R", "base", -1, zero=True))


@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False) | st.integers(min_value=1, max_value=10**9))
def test_seconds_come_back_as_they_were(value: float) -> None:
    """Every positive finite number is a number of seconds, and comes back as a float of the same value."""
    got = options.seconds("Timeout", "total", value)
    assert isinstance(got, float)
    assert value == got


@pytest.mark.parametrize("value", [0, 21, -1, 1.0, 2.5, "3", None, True, nan])
def test_what_is_no_count(value: object) -> None:
    """Out of range or no integer: refused, with the value and the range; ``True`` is not 1 and 1.0 is not 1."""
    message = refused(lambda: options.count("Retry", "max_attempts", value, minimum=1, maximum=20))
    assert f"Retry: max_attempts={value!r} is not allowed; it must be an integer from 1 to 20." == message


@given(st.integers(min_value=1, max_value=20))
def test_counts_come_back_as_they_were(value: int) -> None:
    """Every integer of the range is a count, its ends included."""
    assert value == options.count("Retry", "max_attempts", value, minimum=1, maximum=20)


@pytest.mark.parametrize("value", ["a", "products.get", "a_b.c9", "a" * 48])
def test_what_is_a_name(value: str) -> None:
    """A declared name is lower case, digits, underscores and dots, at most 48 of them."""
    assert value == options.name("Shop", "name", value)


@pytest.mark.parametrize(
    "value",
    ["", "A", "9a", "_a", ".a", "a-b", "a b", "a/b", "a\n", "é", "a" * 49, None, 7, b"a"],
)
def test_what_is_no_name(value: object) -> None:
    """Anything else is refused: a name becomes a telemetry attribute, so its alphabet is closed."""
    message = refused(lambda: options.name("Shop", "name", value))
    assert message.startswith(f"Shop: name={value!r} is not allowed; it must be a name like 'products.get'")


def test_instances() -> None:
    """A policy must be one of its class; ``None`` switches it off where that is possible."""
    options.instance("Shop", "retry", Retry(), Retry)
    options.instance("Shop", "retry", None, Retry)
    options.instance("Shop", "propagate", True, bool, optional=False)  # noqa: FBT003  # the value under test
    message = refused(lambda: options.instance("Shop", "retry", 3, Retry))
    assert message == "Shop: retry=3 is not allowed; it must be a Retry or None."
    message = refused(lambda: options.instance("Shop", "propagate", None, bool, optional=False))
    assert message == "Shop: propagate=None is not allowed; it must be a bool."


NO_SECONDS = [-1, nan, inf, "1", None, True]


@pytest.mark.parametrize(
    ("policy", "option", "value"),
    [
        *((Retry, "max_attempts", value) for value in (0, 21, -1, 2.0, nan, "3", None, True)),
        *((Retry, option, value) for option in ("base", "cap", "throttled_base") for value in NO_SECONDS),
        (Retry, "cap", 0),
        (Retry, "base", 20.5),
        (Retry, "throttled_base", 20.5),
        *((Timeout, "total", value) for value in (0, *NO_SECONDS)),
        *((Timeout, "attempt", value) for value in (0, 30.5, *(value for value in NO_SECONDS if value is not None))),
    ],
)
def test_a_policy_that_cannot_work_is_not_built(policy: Callable[..., object], option: str, value: Any) -> None:
    """Every option of every policy is checked when the policy is built; the message names policy, option and value."""
    message = refused(lambda: policy(**{option: value}))
    assert message.startswith(f"{policy.__name__}: {option}={value!r} is not allowed; it must be a")
