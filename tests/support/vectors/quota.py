"""``ratelimit_headers``: the header lines of one answer, through ``buoy.http.quota``."""

import base64
from collections.abc import Mapping
from typing import Any

from multidict import CIMultiDict

from buoy.http import quota
from tests.support.vectors.compare import equal
from tests.support.vectors.component import Component, Fields


class RateHeaders(Component):
    """Rows of ``buoy.http.quota.read`` and what follows from it."""

    fields = frozenset({"header", "headers"})
    expectations = frozenset(
        {"ignored", "limits", "naive_rate_per_s", "policies", "policy_rate_per_s", "use_at_most_per_s", "wait_s"}
    )

    def take(self, step: Fields) -> Fields:
        """Return what the lines say."""
        row = self.merged(step)
        lines = [*row.get("headers", []), *([row["header"]] if "header" in row else [])]
        if not lines:
            raise ValueError("neither header nor headers")
        parted = [line.partition(":") for line in lines]
        answer = CIMultiDict([(name.strip(), value.strip()) for name, _, value in parted])
        # No row says what time it is; where it matters, the answer has a Date.
        said = quota.read(answer, now=0.0)
        reading = said or quota.Reading()
        return {
            "policies": [_policy(policy) for policy in reading.policies],
            "limits": [_limit(limit) for limit in reading.limits],
            # What is asked about is RateLimit itself, or the one line there is.
            "ignored": quota.LIMIT in reading.ignored if quota.LIMIT in answer else bool(reading.ignored),
            "wait_s": quota.pause_asked(answer, said),
            "naive_rate_per_s": reading.remaining_rate,
            "policy_rate_per_s": reading.policy_rate,
            "use_at_most_per_s": reading.rate,
        }

    def same(self, name: str, got: Any, want: Any) -> bool:
        """Compare items by the keys that are named, and partition keys as the bytes they stand for."""
        if name not in {"policies", "limits"} or not isinstance(want, list):
            return equal(got, want)
        return len(got) == len(want) and all(map(_same_item, got, want))


def _same_item(got: Mapping[str, Any], want: Mapping[str, Any]) -> bool:
    return all(key in got and equal(_decoded(key, got[key]), _decoded(key, value)) for key, value in want.items())


def _decoded(key: str, value: Any) -> Any:
    return base64.b64decode(value).hex() if key == "pk" and value is not None else value


def _policy(policy: quota.Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "q": policy.quota,
        "w": policy.window,
        "qu": policy.unit,
        "pk": _encoded(policy.partition),
    }


def _limit(limit: quota.Limit) -> dict[str, Any]:
    return {"name": limit.name, "r": limit.remaining, "t": limit.reset, "pk": _encoded(limit.partition)}


def _encoded(partition: bytes | None) -> str | None:
    return None if partition is None else base64.b64encode(partition).decode("ascii")
