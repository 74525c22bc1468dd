"""The demo's service: what a service developer writes, and a bounded load of calls to make it worth watching."""

import asyncio
from random import Random

import buoy


class Shop(buoy.Provider, timeout=buoy.Timeout(total=6, attempt=1.5), retry=buoy.Retry(max_attempts=4, base=0.05)):
    """The provider. All that Buoy does for it follows from these lines."""

    product = buoy.get("/products/{id}", name="products.get")
    products = buoy.get("/products", name="products.list")
    order = buoy.post("/orders", key_header="Idempotency-Key", name="orders.create")
    note = buoy.post("/orders", name="orders.create_unkeyed")
    stock = buoy.put("/stock/{id}", name="stock.set")
    cart = buoy.delete("/carts/{id}", name="carts.delete")


class Load:
    """Workers that call the shop one call after another, each choosing by the seed what to do next."""

    def __init__(self, shop: Shop, *, seed: int, workers: int, seconds: float) -> None:
        self._shop = shop
        self._workers = workers
        self._seconds = seconds
        self._random = Random(seed)  # noqa: S311  # a script, not a secret

    async def run(self) -> None:
        """Call until the time is over; every call that was begun is finished."""
        ends = asyncio.get_running_loop().time() + self._seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work(ends))

    async def _work(self, ends: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < ends:
            try:
                await self._call()
            except buoy.BuoyError:
                pass  # what a service does about it is its own; that it happened is in the telemetry
            except TimeoutError:
                pass  # our own impatience below
            await asyncio.sleep(self._random.uniform(0.02, 0.12))

    async def _call(self) -> None:
        shop, number = self._shop, self._random.randrange(1, 51)
        match self._random.choices(range(8), (36, 16, 14, 6, 14, 10, 2, 2))[0]:
            case 0:
                await shop.product(id=number)
            case 1:
                await shop.products(status="active")
            case 2:
                await shop.order(json={"product": number})
            case 3:
                await shop.note(json={"product": number})
            case 4:
                await shop.stock(id=number, json={"quantity": number})
            case 5:
                await shop.cart(id=number)
            case 6:
                await shop.product(id=number, deadline=0)  # a caller who came too late: refused, not sent
            case _:
                async with asyncio.timeout(0.002):  # a caller who leaves: cancelled, mostly
                    await shop.products(status="active")
