"""Draining a provider: who may end, who is cut, what is said of it, and that nothing is left behind."""

import asyncio

import pytest

import buoy
from buoy import contract
from buoy.outcome import CallResult
from tests.support.eventually import until
from tests.support.peer import HANG, Peer, answer
from tests.support.telemetry import Observed, logs
from tests.support.virtual_time import now, virtually

BOUND = 20.0


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None):
    """Something to call."""

    item = buoy.get("/items/{id}")
    order = buoy.post("/orders")


async def test_a_call_that_does_not_end_is_cut_and_told(observed: Observed) -> None:
    """To its task it is a cancellation; span, counter, log and report say so, and its connection is closed."""
    async with Peer(HANG, HANG) as peer, Shop(base_url=peer.url) as shop:
        calls = [asyncio.create_task(shop.item(id="1")), asyncio.create_task(shop.order(json={}))]
        await until(lambda: len(peer.heard) == 2)
        with logs() as seen:
            report = await shop.drain(0)
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert report.cut == {"item": 1, "order": 1}
        assert report.finished == 0
        (told,) = [record for record in seen.records if record.getMessage().startswith(contract.CALLS_CUT.name)]
        assert (told.__dict__["cut"], told.__dict__["finished"]) == (2, 0)
        await until(lambda: peer.connections == 0)
    counted = [
        sum(
            observed.value(contract.CALLS.name, **{contract.OPERATION: name, contract.CALL_RESULT: str(result)})
            for name in report.cut
        )
        for result in (CallResult.CANCELLED, CallResult.FAILURE)
    ]
    assert counted == [2, 0]


async def test_a_call_that_ends_in_time_is_let() -> None:
    """Nobody is cut who ends within the deadline, and nothing is said."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        calls = [asyncio.create_task(shop.item(id="1")) for _ in range(5)]
        await asyncio.sleep(0)  # they have begun
        with logs() as seen:
            report = await shop.drain(BOUND)
        assert await asyncio.gather(*calls) == [{}] * 5
    assert (report.finished, dict(report.cut)) == (5, {})
    assert [record for record in seen.records if record.getMessage().startswith(contract.CALLS_CUT.name)] == []


async def test_a_drained_provider_takes_no_calls() -> None:
    """From the drain on a call is refused as on leaving, and leaving has nothing more to wait for."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        await shop.drain(0)
        for call in (shop.item(id="1"), shop.drain()):
            with pytest.raises(RuntimeError, match="is closing"):
                await call
        with pytest.raises(RuntimeError, match="is closing"):
            async with shop.item.stream(id="1"):
                pass
    assert peer.heard == []


async def test_a_stream_is_cut_at_its_user() -> None:
    """Who reads a stream is cancelled where it waits, and its connection is closed."""
    async with Peer(answer(200, b"[", length=9)[: -len(b"cut")], HANG) as peer, Shop(base_url=peer.url) as shop:

        async def use() -> None:
            async with shop.item.stream(id="1") as answered:
                async for _ in answered.bytes():
                    begun.set()

        begun = asyncio.Event()
        user = asyncio.create_task(use())
        async with asyncio.timeout(BOUND):
            await begun.wait()
        report = await shop.drain(0)
        assert (dict(report.cut), user.cancelled()) == ({"item": 1}, True)
        await until(lambda: peer.connections == 0)


async def test_who_stays_in_a_block_has_not_finished() -> None:
    """A stream that was read whole has ended and is not cut; its user, who stays, does not count as finished."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop, shop.item.stream(id="1") as answered:
        assert [piece async for piece in answered.bytes()] == [b"{}"]
        report = await shop.drain(0)
        assert (report.finished, dict(report.cut)) == (0, {})


@virtually
async def test_leaving_waits_eight_seconds() -> None:
    """Leaving the block gives calls in flight 8 s, and then cuts those that are left."""
    bank = buoy.Provider("bank", timeout=None)

    @bank.operation("work")
    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async with bank:
        short, long = asyncio.create_task(work(7)), asyncio.create_task(work(9))
        await asyncio.sleep(0)
    assert (now(), short.done() and not short.cancelled(), long.cancelled()) == (8, True, True)


@virtually
async def test_who_drains_is_not_cut_by_it() -> None:
    """A call that drains its own provider would cancel itself; it is told of as cut, and goes on."""
    bank = buoy.Provider("bank", timeout=None)

    @bank.operation("close")
    async def close() -> buoy.Drained:
        return await bank.drain(3)

    async with bank:
        report = await close()
    assert (report.cut["close"], report.finished) == (1, 0)


@virtually
async def test_who_does_not_end_when_cancelled_is_not_waited_for() -> None:
    """A call that swallows its cancellation gets one more second; then the provider closes under it."""
    bank = buoy.Provider("bank", timeout=None)

    @bank.operation("stubborn")
    async def stubborn() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(100)

    async with bank:
        call = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        report = await bank.drain(2)
        assert (now(), dict(report.cut)) == (3, {"stubborn": 1})
    assert (now(), call.done()) == (3, False)
    await call


@virtually
async def test_leaving_waits_for_a_drain_that_is_under_way() -> None:
    """Somebody else's drain is what leaving waits for, with its deadline; one that is given up is taken over."""
    bank = buoy.Provider("bank", timeout=None)

    @bank.operation("work")
    async def work(seconds: float) -> None:
        await asyncio.sleep(seconds)

    for deadline, given_up, expected in ((20, 30, 15), (20, 1, 9)):
        began = now()
        async with bank:
            call = asyncio.create_task(work(15))
            await asyncio.sleep(0)
            draining = asyncio.create_task(bank.drain(deadline))
            asyncio.get_running_loop().call_later(given_up, draining.cancel)
            await asyncio.sleep(0)
        assert (expected, expected == 9) == (now() - began, call.cancelled())
        await asyncio.wait((draining,))


@virtually
async def test_nested_calls_of_one_task_are_one_cancellation() -> None:
    """A call within a call is cut with it, once: a task that was cancelled twice would lose count in its timeouts."""
    bank = buoy.Provider("bank", timeout=None)

    @bank.operation("inner")
    async def inner() -> None:
        await asyncio.sleep(100)

    @bank.operation("outer")
    async def outer() -> None:
        await inner()

    async def calling() -> int:
        task = asyncio.current_task()
        assert task is not None
        try:
            await outer()
        except asyncio.CancelledError:
            return task.cancelling()
        return 0

    async with bank:
        call = asyncio.create_task(calling())
        await asyncio.sleep(0)
        report = await bank.drain(1)
        assert (dict(report.cut), await call) == ({"inner": 1, "outer": 1}, 1)


@pytest.mark.parametrize("deadline", [-1, float("nan"), float("inf"), "8", None, True])
async def test_a_deadline_that_is_none(deadline: float) -> None:
    """It is refused before anything is closed."""
    async with buoy.Provider("bank") as bank:
        with pytest.raises(buoy.ConfigurationError, match=r"bank\.drain: deadline="):
            await bank.drain(deadline)
        assert bank.snapshot().active == 0


async def test_before_entering_there_is_nothing_to_drain() -> None:
    """It says what to do."""
    with pytest.raises(RuntimeError, match="has not been entered"):
        await buoy.Provider("bank").drain()
