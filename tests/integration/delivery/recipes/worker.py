"""A worker that Kubernetes ends by SIGTERM: its calls in flight end, and its telemetry leaves, before it does."""

import asyncio
import os

import buoy


class Shop(buoy.Provider, base_url=os.environ["SHOP_URL"]):
    held = buoy.get("/held/{id}")


async def main() -> None:
    buoy.drain_on_signals(deadline=8)
    async with Shop() as shop:
        await asyncio.gather(*(shop.held(id=number) for number in range(3)))
        await asyncio.Event().wait()  # for more work, which never comes here


if __name__ == "__main__":
    buoy.setup("worker")
    asyncio.run(main())
