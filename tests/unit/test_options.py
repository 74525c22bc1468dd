"""Options are checked when a thing is built, and the message names the option, the value and what is allowed."""

from collections.abc import Callable
from dataclasses import fields
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy import options
from buoy.errors import ConfigurationError
from buoy.policies.breaker import Breaker
from buoy.policies.budget import RetryBudget
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
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


NO_NUMBERS = [nan, inf, -inf, "1", True, [1]]
NO_SECONDS = [-1, *NO_NUMBERS]
NO_COUNTS = [0, -1, 1.5, *NO_NUMBERS, None]
MODES = "'enforce' or 'metrics_only' or 'disabled'"
# Every option of every policy: what is allowed, in the words of the message, and what is not.
REFUSED: list[tuple[Callable[..., Any], str, str, list[Any]]] = [
    (Retry, "max_attempts", "an integer from 1 to 20", [*NO_COUNTS, 21]),
    (Retry, "base", "a number of seconds, 0 or more and at most 20", [*NO_SECONDS, None, 20.5]),
    (Retry, "throttled_base", "a number of seconds, 0 or more and at most 20", [*NO_SECONDS, None, 20.5]),
    (Retry, "cap", "a number of seconds, above 0", [0, *NO_SECONDS, None]),
    (Retry, "budget", "a RetryBudget or None", [0.2, "none", True, RetryBudget]),
    (RetryBudget, "ratio", "a number of retries per call from 0 to 1000", [-0.1, 1000.1, *NO_NUMBERS, None]),
    (RetryBudget, "reserve", "a number of retries per second from 0 to 10000", [-0.1, 10_000.1, *NO_NUMBERS, None]),
    (RetryBudget, "ttl", "a number of seconds from 1 to 60", [0, 0.9, 60.1, *NO_NUMBERS, None]),
    # Without a limit (math.inf) is allowed: an endless stream needs it.
    (Timeout, "total", "a number of seconds, above 0", [0, *(value for value in NO_SECONDS if value != inf), None]),
    (Timeout, "first_byte", "a number of seconds, above 0", [0, *NO_SECONDS]),
    (Timeout, "between_bytes", "a number of seconds, above 0", [0, *NO_SECONDS]),
    (Timeout, "attempt", "a number of seconds, above 0 and at most 30", [0, *NO_SECONDS, 30.5]),
    (Breaker, "failure_rate", "a fraction above 0 and at most 1, or None", [0, -0.1, 1.01, *NO_NUMBERS]),
    (Breaker, "slow_rate", "a fraction above 0 and at most 1, or None", [0, -0.1, 1.01, *NO_NUMBERS]),
    (Breaker, "slow_after", "a number of seconds, above 0", [0, *NO_SECONDS]),
    (Breaker, "window", "a number of seconds from 0.01 to 86400", [0, 0.009, 86_401, *NO_SECONDS, None]),
    (Breaker, "last", "an integer from 1 to 100000", [count for count in NO_COUNTS if count is not None] + [100_001]),
    (Breaker, "minimum_calls", "an integer from 1 to 1000000", [*NO_COUNTS, 1_000_001]),
    (Breaker, "wait", "a number of seconds, above 0 and at most 300", [0, 300.1, *NO_SECONDS, None]),
    (Breaker, "wait_factor", "a number of times from 1 to 100", [0, 0.99, 100.1, *NO_NUMBERS, None]),
    (Breaker, "wait_cap", "a number of seconds, above 0", [0, *NO_SECONDS, None]),
    (Breaker, "half_open_permits", "an integer from 1 to 10000", [*NO_COUNTS, 10_001]),
    (Breaker, "half_open_for", "a number of seconds, above 0", [0, *NO_SECONDS]),
    (Breaker, "mode", MODES, ["", "ENFORCE", "open", None, True, 1, []]),
    (Breaker, "name", "a name like 'products.get': [a-z][a-z0-9_.]{0,47}", ["", "Write", "a b", "a" * 49, 5, True]),
    (RateLimit, "rate", "a number from 1e-09 to 1e+06 for each second of per=1.0", [0, -1, 1e-10, 1.1e6, *NO_NUMBERS]),
    (RateLimit, "per", "a number of seconds, above 0", [0, *NO_SECONDS, None]),
    (RateLimit, "burst", "a number from 1 to 1e+09", [0, 0.99, -1, 1.1e9, *NO_NUMBERS]),
    (RateLimit, "max_wait", "a number of seconds, 0 or more", [*NO_SECONDS]),
    (Concurrency, "limit", "an integer from 1 to 100000", [*NO_COUNTS, 100_001]),
    (Concurrency, "max_wait", "a number of seconds, 0 or more", [*NO_SECONDS]),
]
NEEDED: dict[Callable[..., Any], dict[str, Any]] = {RateLimit: {"rate": 1}, Concurrency: {"limit": 1}}


@pytest.mark.parametrize(
    ("policy", "option", "allowed", "value"),
    [(policy, option, allowed, value) for policy, option, allowed, values in REFUSED for value in values],
)
def test_a_policy_that_cannot_work_is_not_built(
    policy: Callable[..., object], option: str, allowed: str, value: Any
) -> None:
    """Every option is checked when its policy is built; the message names policy, option, value and range."""
    message = refused(lambda: policy(**{**NEEDED.get(policy, {}), option: value}))
    assert f"{policy.__name__}: {option}={value!r} is not allowed; it must be {allowed}." == message


@pytest.mark.parametrize("policy", [Retry, RetryBudget, Timeout, Breaker, RateLimit, Concurrency])
def test_no_option_is_left_unchecked(policy: type[Any]) -> None:
    """The table above has every option of every policy: whoever adds one says what it must not be."""
    assert {field.name for field in fields(policy) if field.init} == {
        option for owner, option, _, _ in REFUSED if owner is policy
    }
