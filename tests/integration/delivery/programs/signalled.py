"""A service that is ended by a signal: ``python -m tests.integration.delivery.programs.signalled DEADLINE [OWN]``.

It makes calls, has two in flight, and waits. OWN is what it had before: nothing, ``handler`` (of the signal module) or
``loop`` (``add_signal_handler``).
"""

import asyncio
import signal
import sys
from contextlib import suppress

import buoy
from tests.integration.delivery.programs.shop import Shop, say, told

CALLS, HELD = 10, 2


async def main(deadline: float, own: str) -> None:
    """Run until the signal comes."""
    if own == "handler":
        signal.signal(signal.SIGTERM, lambda *_: say(own="handler"))
    if own == "loop":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: say(own="loop"))
    buoy.drain_on_signals(deadline)
    async with Shop() as shop, buoy.Provider("probe") as probe:
        for number in range(CALLS):
            await shop.item(id=number)
        flying = [asyncio.ensure_future(shop.held(id=number)) for number in range(HELD)]
        say(ready=True)
        await refused(probe)
        say(draining=True)
        results = await asyncio.gather(*flying, return_exceptions=True)
        say(flying=[type(result).__name__ for result in results])
        await told()


async def refused(provider: buoy.Provider) -> None:
    """Wait until no more calls are taken."""

    @provider.operation("probe", safety="safe")
    async def probe() -> None:
        await asyncio.sleep(0.005)

    with suppress(RuntimeError):
        while True:
            await probe()


if __name__ == "__main__":
    buoy.setup("signalled")
    asyncio.run(main(float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
