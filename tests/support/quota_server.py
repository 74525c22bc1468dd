"""A provider's quota: so many requests per window, 429 beyond, told in one of three dialects or not at all.

A window begins with the first request after the one before has ended. So a client that keeps to what it is told can
keep to it exactly, whatever the two clocks say: the end that it computes from an answer is never before ours.
"""

import json
import math
import time
from collections.abc import Callable

from tests.support.faults import message

Dialect = Callable[[int, int, float], dict[str, str]]
WINDOW = 1  # seconds, the shortest that the headers can say


def structured(limit: int, remaining: int, left: float) -> dict[str, str]:
    """Tell it in the structured fields of draft-ietf-httpapi-ratelimit-headers."""
    return {
        "RateLimit-Policy": f'"default";q={limit};w={WINDOW}',
        "RateLimit": f'"default";r={remaining};t={math.ceil(left)}',
    }


def epoch(limit: int, remaining: int, left: float) -> dict[str, str]:
    """Tell it as GitHub does: the reset is a moment in whole seconds."""
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + left)),
    }


def retry_after(limit: int, remaining: int, left: float) -> dict[str, str]:  # noqa: ARG001  # the same for every dialect
    """Tell nothing until it is too late."""
    return {}


class QuotaServer:
    """What a server says that lets ``limit`` requests through per window; ``windows`` are its counts, [ok, 429]."""

    def __init__(self, limit: int, dialect: Dialect) -> None:
        self.windows: list[list[int]] = []
        self._limit = limit
        self._dialect = dialect
        self._end = -math.inf

    @property
    def refused(self) -> int:
        """All 429."""
        return sum(refused for _, refused in self.windows)

    def __call__(self, target: str) -> bytes:
        """Answer a request, accepted ones with their target."""
        now = time.monotonic()
        if now >= self._end:
            self._end = now + WINDOW
            self.windows.append([0, 0])
        window, left = self.windows[-1], self._end - now
        accepted = window[0] < self._limit
        window[0 if accepted else 1] += 1
        headers = self._dialect(self._limit, self._limit - window[0], left)
        if accepted:
            return message(200, json.dumps(target).encode(), headers)
        if not headers:  # with them, they alone must do
            headers = {"Retry-After": str(math.ceil(left))}
        return message(429, b"", headers)
