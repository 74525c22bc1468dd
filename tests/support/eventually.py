"""Waiting for what will happen, in real time: generous when it does not, immediate when it does."""

import asyncio
from collections.abc import Callable

# Nothing here takes a second; this is only where a broken test stops waiting.
BOUND = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until ``condition`` holds. Raises ``TimeoutError`` when it does not come to that."""
    async with asyncio.timeout(BOUND):
        while not condition():  # noqa: ASYNC110  # the far end of a socket sets no event here
            await asyncio.sleep(0.001)
