"""When to stop calling a provider that fails: what may be said about a circuit breaker, and the checks of it.

Sources: resilience4j (windows, rates, states set by hand), Envoy (an ejection time that grows).
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal, TypeGuard, get_args

from buoy import options

# Without `slow_after` a call is slow when it took more than this part of its attempt timeout.
SLOW_PART = 0.8

# 6.4 - 1.4 must count as 5.
_SLACK = 1e-9

Mode = Literal["enforce", "metrics_only", "disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When to stop calling, for how long, and how to find out that the provider is well again. Times are seconds.

    It opens when, of the calls in the window, the part that failed reaches ``failure_rate``, or the part that took
    more than ``slow_after`` reaches ``slow_rate`` (``None``: never), once there are ``minimum_calls``. The window is
    time, or the ``last`` so many calls where that is given. The n-th opening in a row lasts
    ``wait * wait_factor**(n-1)``, at most ``wait_cap``, +-20 %; then ``half_open_permits`` calls may try for
    ``half_open_for`` (``None``: as long as that wait). ``slow_after=None`` is 0.8 of the attempt timeout. Operations
    that give the same ``name`` share one. Raises :class:`ConfigurationError` for values out of range.
    """

    failure_rate: float | None = 0.5
    slow_rate: float | None = 0.8
    slow_after: float | None = None
    window: float = 30.0
    last: int | None = None
    minimum_calls: int = 10
    wait: float = 10.0
    wait_factor: float = 1.5
    wait_cap: float = 300.0
    half_open_permits: int = 3
    half_open_for: float | None = None
    mode: Mode = "enforce"
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the values, once, when the policy is built."""
        _check_rate("failure_rate", self.failure_rate)
        _check_rate("slow_rate", self.slow_rate)
        _check_within("window", self.window, 0.01, 86_400, "seconds")
        _check_last(self.last, self.window)
        options.count("Breaker", "minimum_calls", self.minimum_calls, minimum=1, maximum=1_000_000)
        options.seconds("Breaker", "wait_cap", self.wait_cap)
        options.seconds("Breaker", "wait", self.wait, maximum=self.wait_cap)
        _check_within("wait_factor", self.wait_factor, 1, 100, "times")
        options.count("Breaker", "half_open_permits", self.half_open_permits, minimum=1, maximum=10_000)
        for option in ("slow_after", "half_open_for"):
            if getattr(self, option) is not None:
                options.seconds("Breaker", option, getattr(self, option))
        if self.mode not in get_args(Mode):
            raise options.wrong("Breaker", "mode", self.mode, " or ".join(map(repr, get_args(Mode))))
        if self.name is not None:
            options.name("Breaker", "name", self.name)

    def slow_over(self, attempt: float | None) -> float:
        """Return the seconds above which a try is slow, where one may take ``attempt`` seconds (``None``: no limit)."""
        limit = SLOW_PART * attempt if self.slow_after is None and attempt is not None else self.slow_after
        return inf if limit is None else limit + _SLACK


def _check_rate(option: str, value: object) -> None:
    if value is not None and (not _is_number(value) or not 0 < value <= 1):
        raise options.wrong("Breaker", option, value, "a fraction above 0 and at most 1, or None")


def _check_within(option: str, value: object, low: float, high: float, unit: str) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise options.wrong("Breaker", option, value, f"a number of {unit} from {low:g} to {high:g}")


def _check_last(last: object, window: float) -> None:
    if last is None:
        return
    options.count("Breaker", "last", last, minimum=1, maximum=100_000)
    if window != Breaker.__dataclass_fields__["window"].default:
        raise options.wrong("Breaker", "last", last, f"None beside window={window!r}: the window is one or the other")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
