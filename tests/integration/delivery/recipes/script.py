"""A script whose telemetry has arrived when it ends."""

import asyncio
import os

import buoy


class Shop(buoy.Provider, base_url=os.environ["SHOP_URL"]):
    item = buoy.get("/items/{id}")


async def main() -> None:
    async with Shop() as shop:
        for number in range(10):
            await shop.item(id=number)
    report = await buoy.drain()  # at most 8 s; at the end of the interpreter the same happens by itself
    print(report.result, report.spans.flushed, dict(report.spans.dropped))


if __name__ == "__main__":
    buoy.setup("script")
    asyncio.run(main())
