"""What the demo server lets one client do: so many requests per window, told in every answer, 429 beyond.

A window begins with the first request after the one before has ended. So a client that keeps to what it is told can
keep to it exactly, whatever the two clocks say: the end that it computes from an answer is never before ours.
"""

from math import ceil, inf

WINDOW = 1.0  # seconds, the shortest that the headers can say


class Quota:
    """The quota of the one client there is; ``limit=None`` is none, and nothing is told."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._used = 0
        self._end = -inf

    def take(self, now: float) -> bool:
        """Count a request in; tell whether it is still within the quota."""
        if now >= self._end:
            self._used, self._end = 0, now + WINDOW
        self._used += 1
        return self._limit is None or self._used <= self._limit

    def remaining(self) -> int | None:
        """Return how many more there may be in this window."""
        return None if self._limit is None else max(0, self._limit - self._used)

    def headers(self, now: float) -> dict[str, str]:
        """Return what an answer says of it (draft-ietf-httpapi-ratelimit-headers)."""
        if self._limit is None:
            return {}
        reset = max(0, ceil(self._end - now))
        return {
            "RateLimit-Policy": f'"client";q={self._limit};w={ceil(WINDOW)}',
            "RateLimit": f'"client";r={self.remaining()};t={reset}',
        }
