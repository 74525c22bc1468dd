"""A service whose receiver misbehaves: ``python -m tests.integration.delivery.programs.receivers CALLS DEADLINE``.

It calls, says so, waits for a word, drains, says what is reported, and ends as the next word says: ``well``, or
``die``; ``again`` lets it drain once more before.
"""

import asyncio
import os
import sys
import time

import buoy
from tests.integration.delivery.programs.shop import FAILURES, figures, say, told, work


async def main(calls: int, deadline: float) -> None:
    """Call, drain, and do as it is told."""
    await work(calls, failures=FAILURES)
    say(made=calls)
    await told()
    await drain(deadline)
    while (word := await told()) == "again":
        await drain(20)
    if word == "die":
        os._exit(0)


async def drain(deadline: float) -> None:
    """Drain, and say what is reported, and how long it took."""
    begun = time.monotonic()
    report = await buoy.drain(deadline)
    say(report=figures(report), waited=time.monotonic() - begun)


if __name__ == "__main__":
    buoy.setup("receivers")
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
