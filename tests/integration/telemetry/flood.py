"""A service that is thrown thousands of everything. It says what each wave cost in memory, and what it was told.

A wave is run in two parts, a fifth of the names and the rest, with everything exported between: what the second
part leaves behind is what grows with the number of names.
"""

import asyncio
import gc
import json
import logging
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import buoy
from buoy import contract
from tests.contract.failing import fails
from tests.integration.telemetry.configured import Flush, configure

NAMED = 200
AT_ONCE = 20
# One of each error type that a status can be, and a success. 429 is left out: it pauses the whole provider.
STATUSES = (200, 400, 401, 403, 404, 405, 408, 409, 418, 422, 500, 502, 503, 504, 505)

Wave = Callable[[int], Awaitable[None]]
Throw = Callable[[str, Wave], Awaitable[None]]


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None, breaker=None):
    """Calls of every name go to it; its answers name something new each time."""

    away = buoy.get("/away", name="away")


class Overflowed(logging.Handler):
    """Counts the logs that say of an instrument that its cap was reached."""

    def __init__(self) -> None:
        super().__init__()
        self.instruments: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        if record.getMessage().split(" ")[0] == contract.OVERFLOW.name:
            self.instruments[vars(record)[contract.INSTRUMENT]] += 1


def say(**facts: object) -> None:
    """Tell the test."""
    print(json.dumps(facts), flush=True)


def thrower(names: int, flush: Flush) -> Throw:
    """Return what runs a wave of so many names."""
    first = names // 5

    async def throw(wave: str, one: Wave) -> None:
        await _batched(one, range(first))
        before = await _kept(flush)
        await _batched(one, range(first, names))
        after = await _kept(flush)
        say(wave=wave, blocks=after[0] - before[0], peak=after[1] - before[1])

    return throw


async def _batched(one: Wave, numbers: range) -> None:
    for begin in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(*map(one, numbers[begin : begin + AT_ONCE]))


async def _kept(flush: Flush) -> tuple[int, int]:
    """Return how many small objects are alive, and the peak of the process's memory in kibibytes."""
    await asyncio.to_thread(flush)
    await asyncio.sleep(0)
    gc.collect()
    gc.collect()
    return sys.getallocatedblocks(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def everything(url: str, throw: Throw) -> None:
    """Throw all waves at it, the smallest first: what they share is not folded yet."""
    async with Shop(base_url=url) as shop, _bank() as bank:
        await hosts(shop, throw)
        await exceptions(bank, throw)
        await series(shop)
        await operations(shop, throw)
        await declarations(url, throw)


async def hosts(shop: Shop, throw: Throw) -> None:
    """Be sent to another host each time, where nobody listens."""

    async def one(number: int) -> None:
        await fails(shop.away(to=f"127.{1 + number // 10_000}.{number // 100 % 100}.{1 + number % 100}"))

    await throw("hosts", one)


async def exceptions(bank: buoy.Provider, throw: Throw) -> None:
    """Meet an exception class, and an idempotency key, that nobody has seen before."""
    fail = bank._functions["fail"]

    async def one(number: int) -> None:
        await fails(fail(f"Flooded{number}", idempotency_key=f"flooded-{number}"))

    await throw("exceptions", one)


def _bank() -> buoy.Provider:
    bank = buoy.Provider("bank", retry=None, breaker=None)

    @bank.operation("fail", safety="keyed")
    async def fail(name: str, *, idempotency_key: str) -> None:
        raise type(name, (Exception,), {})(idempotency_key)

    return bank


async def series(shop: Shop) -> None:
    """Let each of 200 operations end in every way that a status can: more sets than an instrument may have."""
    for number in range(NAMED):
        for status in STATUSES:
            await _ask(shop, number, status)


async def operations(shop: Shop, throw: Throw) -> None:
    """Call an operation that nobody has called before, which ends in one of the ways that there are."""

    async def one(number: int) -> None:
        await _ask(shop, NAMED + number, STATUSES[number % len(STATUSES)])

    await throw("operations", one)


async def _ask(shop: Shop, number: int, status: int) -> None:
    call = shop.get(f"/flooded{number}", say=status)
    await (call if status == 200 else fails(call))


async def declarations(url: str, throw: Throw) -> None:
    """Declare providers: of so many names, and of one name at so many hosts."""
    refused: Counter[str] = Counter()

    async def one(number: int) -> None:
        with _counted(refused, "names"):
            buoy.Provider(f"flooded{number}", base_url=url)
        with _counted(refused, "hosts"):
            buoy.Provider("bank", base_url=f"https://flooded{number}.example")

    await throw("declarations", one)
    say(refused=refused)


@contextmanager
def _counted(refused: Counter[str], what: str) -> Iterator[None]:
    try:
        yield
    except buoy.ConfigurationError:
        refused[what] += 1


def main(mode: str, url: str, names: int) -> None:
    """Run all waves, with so many names each."""
    logging.disable(logging.NOTSET)
    overflowed = Overflowed()
    logging.getLogger("buoy").addHandler(overflowed)
    flush = configure(mode)
    asyncio.run(everything(url, thrower(names, flush)))
    flush()
    say(logged=overflowed.instruments)
