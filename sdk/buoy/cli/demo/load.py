"""The demo's load: callers that use the shop one call after another, each choosing by the seed what to do next."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from buoy.cli.demo.callers import Callers
from buoy.cli.demo.service import Shop
from buoy.cli.demo.shop import PRODUCTS

Step = Callable[[int], Awaitable[object]]


class Load:
    """Workers for some seconds; ``callers`` is told what they saw."""

    def __init__(self, shop: Shop, callers: Callers, *, seed: int, workers: int, seconds: float) -> None:
        self._steps = _steps(shop, callers)
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
            (step,) = self._random.choices(list(self._steps), list(self._steps.values()))
            await step(self._random.randrange(1, PRODUCTS + 1))
            await asyncio.sleep(self._random.uniform(0.05, 0.2))


def _steps(shop: Shop, callers: Callers) -> dict[Step, int]:
    """Return what callers do with a number, and how many times in a hundred."""
    watch = callers.watch

    async def leave(_: int) -> None:
        try:
            async with asyncio.timeout(0.002):
                await watch("products.list", shop.products.call(status="active"))
        except TimeoutError:
            pass  # it was in a hurry

    return {
        lambda number: watch("products.get", shop.product.call(id=number)): 26,
        lambda _: watch("products.list", shop.products.call(status="active")): 10,
        lambda _: watch("products.search", shop.search.call(status="archived")): 8,
        lambda _: watch("offers.list", shop.offers.call()): 10,
        lambda number: watch("reviews.list", shop.reviews.call(id=number)): 8,
        lambda number: watch("orders.create", shop.order.call(json={"product": number})): 12,
        lambda number: watch("orders.create_unkeyed", shop.note.call(json={"product": number})): 4,
        lambda number: watch("stock.set", shop.stock.call(id=number, json={"quantity": number})): 8,
        lambda number: watch("carts.delete", shop.cart.call(id=number)): 6,
        # Two who want the same: the second joins the first.
        lambda number: asyncio.gather(*(watch("products.get", shop.product.call(id=number)) for _ in range(2))): 4,
        # A caller who came too late: refused, not sent.
        lambda number: watch("products.get", shop.product.call(id=number, deadline=0)): 2,
        # A caller who leaves: cancelled, mostly.
        leave: 2,
    }
