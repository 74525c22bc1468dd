"""Calls that a policy holds up, turns away, joins or answers instead, and what becomes of the policies meanwhile."""

import asyncio

import buoy
from buoy.outcome import CallResult, Outcome, Phase, Verdict, result_of
from tests.contract.failing import fails
from tests.support.peer import Peer, answer

ONE_STRIKE = buoy.Breaker(minimum_calls=1, half_open_permits=1, slow_after=1.0)


class Guarded(buoy.Provider, base_url="http://127.0.0.1:9", retry=None):
    """Something to call under a breaker."""

    item = buoy.get("/items/{id}", name="items.get")


async def over_http() -> None:
    """Send with a breaker that is not closed, and hear from the provider when to come back."""
    async with Peer() as peer, Guarded("guarded", base_url=peer.url) as shop:
        shop.control.breaker.force("disabled")
        await shop.item(id="1")
        shop.control.breaker.reset()
        peer.script.append(answer(503, Retry_After="3600"))
        await fails(shop.item(id="1"))


async def in_virtual_time() -> None:
    """Run the scenarios that wait."""
    await breaker()
    await forced()
    await limits()
    await instead()


async def breaker() -> None:
    """Open because of failures and of slow calls, refuse, and find out that the provider is well again, or is not."""
    bank = buoy.Provider("tripping", retry=None, breaker=ONE_STRIKE)

    @bank.operation("ask", safety="safe")
    async def ask(error: Exception | None = None, seconds: float = 0.0) -> None:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error

    async with bank:
        await fails(ask(ConnectionResetError()))
        await fails(ask())
        await asyncio.sleep(60)
        await fails(ask(ConnectionResetError()))
        await asyncio.sleep(60)
        await ask()
        await ask(seconds=2)


async def forced() -> None:
    """Set every state by hand, and call in each."""
    bank = buoy.Provider("forced", retry=None, breaker=ONE_STRIKE)

    @bank.operation("ask", safety="safe")
    async def ask(error: Exception | None = None) -> None:
        if error is not None:
            raise error

    async with bank:
        hand = bank.control.breaker
        for refusing in ("open", "forced_open"):
            hand.force(refusing)
            await fails(ask())
        hand.force("half_open")
        await ask()
        hand.force("metrics_only")
        await fails(ask(ConnectionResetError()))
        await ask()
        hand.force("closed")


async def limits() -> None:
    """Wait for a turn and for a permit, be refused both, and be paused by an operator."""
    rates = buoy.RateLimit(1, max_wait=5)
    bank = buoy.Provider("limited", retry=None, limit=rates, concurrency=buoy.Concurrency(1, max_wait=5))

    @bank.operation("ask", safety="safe")
    async def ask(seconds: float = 0.0) -> None:
        await asyncio.sleep(seconds)

    async with bank:
        await asyncio.gather(ask(2), ask())
        await asyncio.gather(ask(8), fails(ask()))
        bank.control.limiter.penalize(asyncio.get_running_loop().time() + 60)
        await fails(ask())


async def instead() -> None:
    """Share one send, and get something else instead of every failure that may be masked."""
    bank = buoy.Provider("instead", retry=None, breaker=None)

    @bank.operation("share", safety="safe", joined=True)
    async def share() -> None:
        await asyncio.sleep(1)

    @bank.operation("static", safety="safe", fallback=0)
    async def static(error: Exception) -> int:
        raise error

    @bank.operation("function", safety="safe", fallback=lambda _: 0)
    async def function(error: Exception) -> int:
        raise error

    async with bank:
        await asyncio.gather(share(), share())
        await function(ConnectionResetError())
        for error_type in buoy.ErrorType:
            verdict = Verdict(error_type, Outcome.REJECTED, Phase.LOCAL)
            if result_of(verdict) in {CallResult.FAILURE, CallResult.REFUSED}:
                await static(buoy.BuoyError("said so", verdict=verdict))
