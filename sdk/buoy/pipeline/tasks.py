"""Ending a task that was begun for a call."""

import asyncio
from typing import Any


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and await its end; who is cancelled meanwhile passes that on, as into a call of its own."""
    task.cancel()
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        await cancel(task)
        raise
