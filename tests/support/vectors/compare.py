"""When a result counts as the expected one: numbers by a tolerance, all else exactly."""

from typing import Any

TOLERANCE = 1e-6


def equal(got: Any, want: Any) -> bool:
    """Tell whether ``got`` is ``want``: ``|got - want| <= 1e-6 * max(1, |want|)`` for numbers, also inside lists."""
    if _is_number(want):
        return _is_number(got) and abs(got - want) <= TOLERANCE * max(1.0, abs(want))
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(equal, got, want))
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(equal(got[key], want[key]) for key in want)
    return type(got) is type(want) and bool(got == want)


def _is_number(value: Any) -> bool:
    # bool is an int in Python, and `true` is no number in a vector.
    return isinstance(value, int | float) and not isinstance(value, bool)
