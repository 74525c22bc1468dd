"""A service that hands work to child processes. A child ends without an interpreter exit, so it drains by itself."""

import asyncio
import multiprocessing
import os
import sys

import buoy


class Shop(buoy.Provider, base_url=os.environ["SHOP_URL"]):
    item = buoy.get("/items/{id}")


async def work(calls: int) -> None:
    async with Shop() as shop:
        for number in range(calls):
            await shop.item(id=number)
    await buoy.drain()


def child(calls: int) -> None:
    buoy.setup("processes")  # spawn and forkserver begin with nothing; after a fork it is there already
    asyncio.run(work(calls))


def main() -> None:
    buoy.setup("processes")
    asyncio.run(work(5))
    multiprocessing.set_start_method(sys.argv[1])  # fork, forkserver or spawn
    children = [multiprocessing.Process(target=child, args=(calls,)) for calls in (3, 4)]
    for started in children:
        started.start()
    for started in children:
        started.join()
    asyncio.run(work(1))


if __name__ == "__main__":
    main()
