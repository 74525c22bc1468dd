"""The call with Buoy, in the ways that are measured."""

import itertools
from contextlib import AsyncExitStack

import buoy
from tests.benchmarks.by_hand import PRODUCTS, OneCall


class Shop(buoy.Provider):
    """The five lines."""

    product = buoy.get("/products/{id}")


class Guarded(buoy.Provider, name="guarded"):
    """Everything that may stand in a call, and never has to step in."""

    retry = buoy.Retry()
    timeout = buoy.Timeout(total=30, attempt=10)
    breaker = buoy.Breaker()
    limit = (buoy.RateLimit(1_000_000), buoy.RateLimit(60_000_000, per=60))
    concurrency = buoy.Concurrency(10_000)

    product = buoy.get("/products/{id}", fallback=None)


async def plain(stack: AsyncExitStack, base: str) -> OneCall:
    """Return the call of the five lines."""
    return _of(await stack.enter_async_context(Shop(base_url=base)))


async def guarded(stack: AsyncExitStack, base: str) -> OneCall:
    """Return the call with all policies on."""
    return _of(await stack.enter_async_context(Guarded(base_url=base)))


def _of(shop: Shop | Guarded) -> OneCall:
    numbers = itertools.cycle(range(PRODUCTS))

    async def call() -> object:
        return await shop.product(id=next(numbers))

    return call


async def streaming(stack: AsyncExitStack, base: str) -> OneCall:
    """Return the call whose body is read as it arrives."""
    shop = await stack.enter_async_context(Shop(base_url=base))
    numbers = itertools.cycle(range(PRODUCTS))

    async def call() -> object:
        async with shop.product.stream(id=next(numbers)) as answer:
            return [piece async for piece in answer.bytes()]

    return call


async def many(stack: AsyncExitStack, base: str) -> OneCall:
    """Return the call that goes to one of 200 operations, each in turn."""
    declared = {f"product_{number}": buoy.get("/products/{id}") for number in range(200)}
    shop = await stack.enter_async_context(type("Many", (buoy.Provider,), dict(declared))(base_url=base))
    turns = itertools.cycle([getattr(shop, name) for name in declared])
    numbers = itertools.cycle(range(PRODUCTS))

    async def call() -> object:
        return await next(turns)(id=next(numbers))

    return call
