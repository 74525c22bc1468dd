"""Services that end in different ways: ``python -m tests.integration.delivery.programs.endings HOW``."""

import asyncio
import os
import sys
import threading
from typing import NoReturn

import buoy
from tests.integration.delivery.programs.shop import FAILURES, Shop, figures, say, told, work

CALLS = 10


def drained() -> None:
    """End with a drain, and say what it reports."""

    async def main() -> None:
        await work(CALLS, failures=FAILURES)
        say(report=figures(await buoy.drain()))
        await told()

    asyncio.run(main())


def left() -> None:
    """End without a drain."""
    asyncio.run(work(CALLS, failures=FAILURES))


def failing() -> NoReturn:
    """End by an exception that nobody catches."""
    asyncio.run(work(CALLS, failures=FAILURES))
    raise RuntimeError("the service is broken")


def exiting() -> None:
    """End by ``sys.exit`` within the block of a provider."""

    async def main() -> None:
        async with Shop() as shop:
            for number in range(CALLS):
                await shop.item(id=number)
            sys.exit(3)

    asyncio.run(main())


def closed() -> None:
    """Close the loop with calls in flight."""
    loop = asyncio.new_event_loop()

    async def begin() -> list[asyncio.Task[object]]:
        shop = await Shop().__aenter__()
        for number in range(CALLS):
            await shop.item(id=number)
        tasks = [asyncio.ensure_future(shop.held(id=number)) for number in range(3)]
        await told()
        return tasks

    kept = loop.run_until_complete(begin())
    loop.close()
    say(in_flight=len(kept))


def threads() -> None:
    """Call from several loops, each in a thread of its own, at the same time."""
    loops = [threading.Thread(target=lambda: asyncio.run(work(CALLS))) for _ in range(3)]
    for thread in loops:
        thread.start()
    for thread in loops:
        thread.join()

    async def main() -> None:
        say(report=figures(await buoy.drain()))
        await told()

    asyncio.run(main())


def in_flight() -> None:
    """Drain with calls in flight: the deadline is short, and nobody answers them."""

    async def main() -> None:
        async with Shop() as shop:
            for number in range(CALLS):
                await shop.item(id=number)
            tasks = [asyncio.ensure_future(shop.held(id=number)) for number in range(3)]
            await told()
            say(report=figures(await buoy.drain(deadline=2)))
            await told()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            say(ended=[type(error).__name__ for error in ended])

    asyncio.run(main())


def killed() -> None:
    """End by ``os._exit``, as a process that is killed does: no code of ours runs any more."""
    asyncio.run(work(CALLS))
    os._exit(0)


def waiting() -> None:
    """Wait for a signal that nobody handles."""

    async def main() -> None:
        async with Shop() as shop:
            for number in range(CALLS):
                await shop.item(id=number)
            say(ready=True)
            await told()

    asyncio.run(main())


if __name__ == "__main__":
    buoy.setup("endings")
    globals()[sys.argv[1]]()
