"""What the callers saw, one JSON object a line: a second opinion on what the telemetry says. Decides nothing.

``ended`` is ``answer``, or the class of what was raised; times are Unix nanoseconds. A caller who left before the
answer knows no more than that. Names and numbers only: never what was sent or answered.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import buoy

Read = Callable[[buoy.Stream[Any]], AsyncIterator[object]]


@dataclass(slots=True)
class Reading:
    """What a caller has seen of a streamed answer; ``last`` is when the last item was read."""

    answer: buoy.Stream[Any] | None = None
    items: int = 0
    last: int | None = None

    def take(self, item: object) -> None:
        """Count an item; bytes come as they like, and have as many as there are lines."""
        self.items += item.count(b"\n") if isinstance(item, bytes) else 1
        self.last = time.time_ns()

    def told(self) -> dict[str, object]:
        """Return it as it is noted; of an answer that never began there is nothing to tell."""
        if self.answer is None:
            return {"streamed": True}
        return {"streamed": True, "items": self.items, "last": self.last, "complete": self.answer.complete}


class Callers:
    """The open file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    async def watch(self, operation: str, call: Awaitable[buoy.HttpResult[Any]], *, once: bool = False) -> None:
        """Await a call and note what came of it. What it raises ends here, but for a cancellation.

        ``once``: its body can be sent only once.
        """
        begun = time.time_ns()
        try:
            result = await call
        except buoy.BuoyError as error:
            # What a service does about it is its own.
            status = getattr(error, "status", None)
            self._note(operation, begun, error, status=status, once=once, **_story(error.meta))
        except asyncio.CancelledError as left:
            self._note(operation, begun, left)
            raise
        else:
            value = result.value
            because = value.get("because") if isinstance(value, dict) else None
            said = {"because": because, "once": once, "size": len(value) if isinstance(value, str) else None}
            self._note(operation, begun, None, status=result.status or None, **said, **_story(result.meta))

    async def watch_stream(
        self,
        operation: str,
        call: AbstractAsyncContextManager[buoy.Stream[Any]],
        read: Read,
        *,
        most: int | None = None,
    ) -> None:
        """Use a streamed answer, ``most`` items of it, and note what came of it, as :meth:`watch` does."""
        begun, seen = time.time_ns(), Reading()
        try:
            async with call as answer:
                seen.answer = answer
                async for item in read(answer):
                    seen.take(item)
                    if most is not None and seen.items >= most:
                        break
        except buoy.BuoyError as error:
            status = getattr(error, "status", None)
            self._note(operation, begun, error, status=status, **seen.told(), **_story(error.meta))
        except asyncio.CancelledError as left:
            meta = None if seen.answer is None else seen.answer.meta
            self._note(operation, begun, left, **seen.told(), **_story(meta))
            raise
        else:
            self._note(operation, begun, None, status=answer.status, **seen.told(), **_story(answer.meta))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _note(self, operation: str, begun: int, error: BaseException | None, **fields: object) -> None:
        ended = "answer" if error is None else type(error).__name__
        times = {"begun": begun, "over": time.time_ns()}
        self._file.write(json.dumps({"operation": operation, "ended": ended, **times, **fields}) + "\n")


def _story(meta: buoy.Meta | None) -> dict[str, object]:
    """Return what a caller is told of a call."""
    if meta is None:
        return {}
    return {
        "trace": meta.trace_id,
        "attempts": meta.attempts,
        "sends": meta.sends,
        "origin": meta.origin,
        "duplicate": meta.duplicate_source,
        "waited": dict(meta.waited),
        "remaining": None if meta.quota is None else meta.quota.remaining,
    }
