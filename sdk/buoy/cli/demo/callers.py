"""What the callers saw, one JSON object a line: a second opinion on what the telemetry says. Decides nothing.

``ended`` is ``answer``, or the class of what was raised; times are Unix nanoseconds. A caller who left knows no more
than that. Names and numbers only: never what was sent or answered.
"""

import asyncio
import json
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import buoy


class Callers:
    """The open file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    async def watch(self, operation: str, call: Awaitable[buoy.HttpResult[Any]]) -> None:
        """Await a call and note what came of it. What it raises ends here, but for a cancellation."""
        begun = time.time_ns()
        try:
            result = await call
        except buoy.BuoyError as error:
            # What a service does about it is its own.
            self._note(operation, begun, error, status=getattr(error, "status", None), **_story(error.meta))
        except asyncio.CancelledError as left:
            self._note(operation, begun, left)
            raise
        else:
            because = result.value.get("because") if isinstance(result.value, dict) else None
            self._note(operation, begun, None, status=result.status or None, because=because, **_story(result.meta))

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
