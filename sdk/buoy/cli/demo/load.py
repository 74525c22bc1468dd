"""The demo's load: callers that use the shop one call after another, each choosing by the seed what to do next."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from random import Random
from typing import Any

from buoy.cli.demo.callers import Callers, Read
from buoy.cli.demo.service import SECRET, Shop
from buoy.cli.demo.shop import PRODUCTS

Step = Callable[[int], Awaitable[object]]

# The forms in which a feed can be read.
FORMS: tuple[tuple[str, Read], ...] = (
    ("lines", lambda answer: answer.bytes()),
    ("lines", lambda answer: answer.lines()),
    ("json", lambda answer: answer.json_lines()),
    ("events", lambda answer: answer.events()),
)
# The ways in which an answer can break off that has begun.
BROKEN = ("truncated", "chunk-broken", "gzip-cut")


class Load:
    """Workers for some seconds; ``callers`` is told what they saw."""

    def __init__(self, shop: Shop, callers: Callers, *, seed: int, workers: int, seconds: float) -> None:
        self._random = Random(seed)  # noqa: S311  # a script, not a secret
        self._steps = _steps(shop, callers, self._random)
        self._workers = workers
        self._seconds = seconds

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


def _steps(shop: Shop, callers: Callers, random: Random) -> dict[Step, int]:
    """Return what callers do with a number, and how often."""
    return {
        **_calls(shop, callers),
        **_elsewhere(shop, callers),
        **_long(shop, callers),
        **_left(shop, callers, random),
    }


def _calls(shop: Shop, callers: Callers) -> dict[Step, int]:
    """Return the everyday calls."""
    watch = callers.watch
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
    }


def _elsewhere(shop: Shop, callers: Callers) -> dict[Step, int]:
    """Return the calls that are led elsewhere."""
    watch, keys = callers.watch, (f"{SECRET}-key-{number}" for number in count(1))
    return {
        lambda number: watch("moves.get", shop.moved.call(id=number, left=number % 3)): 7,
        lambda number: watch("loops.get", shop.loop.call(id=number)): 1,
        lambda number: watch("checkouts.create", shop.checkout.call(json={"product": number})): 4,
        lambda number: watch("away.get", shop.away.call(id=number)): 7,
        lambda number: watch(
            "parcels.create", shop.parcel.call(json={"product": number}, idempotency_key=next(keys))
        ): 4,
    }


def _long(shop: Shop, callers: Callers) -> dict[Step, int]:
    """Return the calls with large bodies, and those that take their time."""
    watch, stream = callers.watch, callers.watch_stream

    def feed(number: int, *, most: int | None = None, **given: Any) -> Awaitable[None]:
        form, read = FORMS[number % len(FORMS)]
        return stream("feeds.read", shop.feed.stream(id=number, form=form, **given), read, most=most)

    def report(number: int, **given: Any) -> Awaitable[None]:
        return watch("reports.get", shop.report.call(id=number, **given))

    def upload(number: int, **given: Any) -> Awaitable[None]:
        return watch("reports.set", shop.upload.call(id=number, data=_rows(number), **given), once=True)

    return {
        feed: 10,
        lambda number: feed(number, most=1 + number % 3): 4,
        lambda number: feed(number, headers={"X-Fault": BROKEN[number % len(BROKEN)]}): 3,
        lambda number: feed(number, deadline=0.05): 2,
        report: 7,
        lambda number: report(number, headers={"X-Fault": BROKEN[number % len(BROKEN)]}): 1,
        upload: 6,
        lambda number: upload(number, headers={"X-Fault": "reset-in-upload"}): 2,
    }


def _left(shop: Shop, callers: Callers, random: Random) -> dict[Step, int]:
    """Return callers who leave: before the answer, on the way to it, and within it."""
    watch = callers.watch

    async def leave(within: float, call: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(random.uniform(0.0, within)):
                await call
        except TimeoutError:
            pass  # it was in a hurry

    def feed(number: int) -> Awaitable[None]:
        return callers.watch_stream("feeds.read", shop.feed.stream(id=number), lambda answer: answer.lines())

    return {
        lambda _: leave(0.004, watch("products.list", shop.products.call(status="active"))): 3,
        lambda number: leave(0.02, watch("moves.get", shop.moved.call(id=number, left=2))): 2,
        lambda number: leave(0.1, feed(number)): 4,
    }


async def _rows(number: int) -> AsyncIterator[bytes]:
    """Give a body that exists only once, in pieces."""
    for row in range(4):
        yield f"{number},{row}\n".encode()
        await asyncio.sleep(0.002)
