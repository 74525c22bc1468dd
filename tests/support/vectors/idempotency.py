"""``idempotency``: keyed calls of a provider whose wire fails as often as the vector says, and keeps the keys."""

import asyncio
import contextlib
from collections import deque
from typing import Any

import buoy
from buoy.http import failures, headers
from buoy.http.request import Answer
from buoy.pipeline.call import Call
from tests.support.vectors.component import Component, Fields

_HEADER = "Idempotency-Key"
_AGAIN = buoy.Retry(max_attempts=20, base=0, throttled_base=0, budget=None)
_BUSY = 503


class _Vectors(buoy.Provider, base_url="http://127.0.0.1:9", retry=_AGAIN, breaker=None):
    """One operation with a key."""

    send = buoy.post("/vectors", key_header=_HEADER)


class Keys(Component):
    """The keys that are sent, of one call after the other."""

    in_sequence = True
    fields = frozenset({"attempts", "call", "caller_key", "key", "meaning", "status", "style"})
    expectations = frozenset({"distinct_keys", "header", "key_differs_from_call", "keys", "retry", "same_key"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config)
        self._seen: dict[int, list[str]] = {}
        self._number = 0

    def take(self, step: Fields) -> Fields:
        """Make the call, or say how the key is written."""
        row = self.merged(step)
        if "style" in row:
            return {"header": headers.key_field(row["key"], quoted={"raw": False, "draft": True}[row["style"]])}
        if "call" in row:
            self._number = row["call"]
            script = [_BUSY] * (row["attempts"] - 1)
            keys = self._seen[self._number] = asyncio.run(_sent(script, row.get("caller_key")))
            return {"distinct_keys": len(set(keys)), "keys": keys, "key_differs_from_call": ...}
        # `meaning` is prose: what the server reports by this status.
        keys = asyncio.run(_sent([row["status"]], None))
        return {"retry": len(keys) > 1, "same_key": len(set(keys)) == 1 if len(keys) > 1 else None}

    def same(self, name: str, got: Any, want: Any) -> bool:
        """Compare; ``key_differs_from_call`` names the call whose key must be another one."""
        if name == "key_differs_from_call":
            return self._seen[self._number] != self._seen[want]
        return super().same(name, got, want)


async def _sent(script: list[int], key: str | None) -> list[str]:
    """Make one call that is answered by the statuses of ``script`` and then well; return the key of each send."""
    keys, answers = [], deque(script)

    async def send(call: Call) -> Answer:
        keys.append(call.request.headers[_HEADER])
        if answers:
            raise failures.answered(call.plan, answers.popleft(), {"Retry-After": "0"})
        return Answer(None, 200, {})

    async with _Vectors("vectors") as provider:
        provider.send.send = send
        with contextlib.suppress(buoy.HttpError):
            await provider.send(idempotency_key=key)
    return keys
