"""Services that fork at a bad moment: ``python -m tests.integration.delivery.programs.forks HOW``."""

import asyncio
import multiprocessing
import os
import sys
import threading

import buoy
from tests.integration.delivery.programs.shop import Shop, figures, say, work

BEFORE, CHILD, AFTER = 5, 3, 2


async def finish(calls: int, who: str) -> None:
    """Make calls, drain, and say what was reported."""
    await work(calls)
    report = await buoy.drain(deadline=20)
    say(who=who, report=figures(report))


def exporting() -> None:
    """Fork while the parent exports: the test says when."""
    asyncio.run(work(BEFORE))
    sys.stdin.readline()
    if not (child := os.fork()):
        asyncio.run(finish(CHILD, "child"))
        os._exit(0)
    say(forked=child)
    asyncio.run(finish(AFTER, "parent"))
    os.waitpid(child, 0)


def calling() -> None:
    """Fork while another thread has calls in flight."""
    parent = threading.Thread(target=lambda: asyncio.run(held()))
    parent.start()
    sys.stdin.readline()
    if not (child := os.fork()):
        asyncio.run(finish(CHILD, "child"))
        os._exit(0)
    say(forked=child)
    parent.join()
    asyncio.run(finish(AFTER, "parent"))
    os.waitpid(child, 0)


async def held() -> None:
    """Make calls that the test holds."""
    async with Shop() as shop:
        await asyncio.gather(*(shop.held(id=number) for number in range(BEFORE)))


def entered() -> None:
    """Fork with a provider that was entered before: the child cannot use it, and is told so."""

    async def main() -> None:
        async with Shop() as shop:
            for number in range(BEFORE):
                await shop.item(id=number)
            if not (child := os.fork()):
                asyncio.run(inherited(shop))
                os._exit(0)
            await asyncio.to_thread(os.waitpid, child, 0)
            await shop.item(id=0)
        say(who="parent", report=figures(await buoy.drain()))

    asyncio.run(main())


async def inherited(shop: Shop) -> None:
    """Use in a child what the parent has entered."""
    try:
        await shop.item(id=0)
    except RuntimeError as error:
        say(who="child", error=str(error))


def undrained() -> None:
    """Let a child of multiprocessing end without a drain."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: asyncio.run(work(CHILD)))
    child.start()
    child.join()
    asyncio.run(finish(BEFORE, "parent"))


if __name__ == "__main__":
    buoy.setup("forks")
    globals()[sys.argv[1]]()
