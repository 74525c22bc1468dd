"""How long to wait before the next try: exponential growth, a cap, and full jitter after the cap.

Source: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), as botocore's ``standard`` mode has it. Jitter
comes after the cap, so that callers at the cap are spread as well.
"""

import sys
from math import inf

_LARGEST = sys.float_info.max
# An exponent beyond this cannot even be made a float.
_LARGEST_EXPONENT = 10**300


def nominal(attempt: int, *, base: float, factor: float = 2.0, cap: float = inf) -> float:
    """Return the wait in seconds after failed try ``attempt`` (from 1), without jitter: ``base * factor**(attempt-1)``.

    At most ``cap``. Any attempt number is safe: what would overflow is the cap, or the largest number there is.
    """
    try:
        growth = float(factor) ** min(attempt - 1, _LARGEST_EXPONENT)
    except OverflowError:
        growth = _LARGEST
    return min(cap, _LARGEST, base * growth)


def full_jitter(attempt: int, *, base: float, factor: float = 2.0, cap: float = inf, random: float) -> float:
    """Return the wait in seconds, drawn between 0 and the nominal one by ``random`` (0 to 1)."""
    return random * nominal(attempt, base=base, factor=factor, cap=cap)
