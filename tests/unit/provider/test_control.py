"""An operator's hand on an open provider: what can be seen and done, for whom it holds, and when it does not."""

import asyncio
from collections.abc import Callable
from math import inf, nan
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.outcome import BreakerState
from buoy.provider.control import Control
from tests.support import virtual_time
from tests.support.telemetry import Observed, logs
from tests.support.virtual_time import now, virtually
from tests.unit.telemetry.bank import bank, counted

ON = buoy.Breaker(wait=10, half_open_permits=1)
OFF: dict[str, Any] = {"breaker": None, "limit": None, "concurrency": None}


async def refusal(call: Callable[[], Any]) -> type[Exception] | None:
    """Return what refuses a call, if anything does."""
    try:
        await call()
    except buoy.Refused as error:
        return type(error)
    return None


# Breakers.


@pytest.mark.parametrize("start", [None, *BreakerState], ids=str)
@pytest.mark.parametrize("state", [*BreakerState], ids=str)
def test_a_breaker_is_forced_into_every_state(start: BreakerState | None, state: BreakerState) -> None:
    """Whatever state it is in, by itself or by hand, it can be forced into any; only a closed one has to open first."""

    async def scenario() -> None:
        provider, ask = bank(breaker=ON)
        async with provider:
            breaker = provider.control.breaker
            if start is not None:
                breaker.force("open")
                breaker.force(start)
            if breaker.state is BreakerState.CLOSED and state is BreakerState.HALF_OPEN:
                with pytest.raises(ValueError, match="force it to 'open' first"):
                    breaker.force(state)
                assert breaker.state is BreakerState.CLOSED
                return
            breaker.force(str(state))
            assert breaker.state is state
            refuses = state in {BreakerState.OPEN, BreakerState.FORCED_OPEN}
            assert await refusal(ask) is (buoy.BreakerOpen if refuses else None)

    virtual_time.run(scenario())


@virtually
async def test_an_opened_breaker_tries_again_by_itself() -> None:
    """Opened by hand it stays so for ``for_s`` seconds, or its usual wait; ``forced_open`` has no end."""
    provider, ask = bank(breaker=ON)
    async with provider:
        breaker = provider.control.breaker
        for for_s, expected in ((None, 10), (3600, 3600)):
            began = now()
            breaker.force("open", for_s=for_s)
            with pytest.raises(buoy.BreakerOpen) as caught:
                await ask()
            assert expected == caught.value.retry_after
            await asyncio.sleep(expected)
            await ask()
            assert (now() - began, breaker.state) == (expected, BreakerState.CLOSED)
        breaker.force("forced_open")
        await asyncio.sleep(1e6)
        assert (await refusal(ask), breaker.state) == (buoy.BreakerOpen, BreakerState.FORCED_OPEN)


@virtually
async def test_a_breaker_is_reset() -> None:
    """A reset begins anew, in the state of the policy's mode and with nothing recorded."""
    for mode, expected in (("enforce", "closed"), ("metrics_only", "metrics_only"), ("disabled", "disabled")):
        policies: Any = {"mode": mode}
        provider, ask = bank(breaker=buoy.Breaker(minimum_calls=1, **policies))
        async with provider:
            fresh = provider.snapshot().breaker
            with pytest.raises(buoy.NetworkError):
                await ask(error=ConnectionResetError())
            provider.control.breaker.force("forced_open")
            await refusal(ask)
            provider.control.breaker.reset()
            assert (provider.control.breaker.state, provider.snapshot().breaker) == (expected, fresh)


@virtually
async def test_a_word_that_is_no_state() -> None:
    """A word that is no state, and a time that makes no sense, are a ``ValueError`` that says so and change nothing."""
    provider, _ = bank(breaker=ON)
    async with provider:
        breaker = provider.control.breaker
        with pytest.raises(ValueError, match=r"state='opn' is not allowed; it must be one of closed, open, half_open"):
            breaker.force("opn")
        for state, for_s in (("open", 0), ("open", -1), ("open", nan), ("open", inf), ("forced_open", 5)):
            with pytest.raises(ValueError, match="for_s="):
                breaker.force(state, for_s=for_s)
        assert breaker.state is BreakerState.CLOSED


@virtually
async def test_what_a_hand_did_is_counted_and_logged(observed: Observed) -> None:
    """Each change by hand is one transition with the cause ``manual`` and one warning; none is none."""
    provider, _ = bank(breaker=buoy.Breaker(name="ledger"))
    with logs() as seen:
        async with provider:
            breaker = provider.control.breaker
            for state in ("open", "half_open", "half_open", "metrics_only", "disabled", "forced_open"):
                breaker.force(state)
            breaker.reset()
            breaker.reset()
    labels = (contract.BREAKER_NAME, contract.BREAKER_STATE, contract.BREAKER_CAUSE)
    states = ("open", "half_open", "metrics_only", "disabled", "forced_open", "closed")
    assert counted(observed, contract.BREAKER_TRANSITIONS, *labels) == {
        ("ledger", state, "manual"): 1 for state in states
    }
    told = [vars(record) for record in seen.of(contract.BREAKER_CHANGED)]
    assert [(each["previous"], each[contract.BREAKER_STATE]) for each in told] == [
        *zip(("closed", *states), states, strict=False)
    ]


# Limiters.


@virtually
async def test_a_limiter_says_how_it_stands() -> None:
    """It says what can be sent at once, who waits, and for how long nobody sends."""
    provider, ask = bank(limit=buoy.RateLimit(1, burst=3))
    async with provider:
        limiter = provider.control.limiter
        assert (limiter.remaining, limiter.waiting, limiter.paused_for) == (3, 0, 0)
        calls = [asyncio.create_task(ask()) for _ in range(5)]
        await asyncio.sleep(0.5)
        assert (limiter.remaining, limiter.waiting, limiter.paused_for) == (0, 2, 0)
        await asyncio.gather(*calls)
        assert (now(), limiter.remaining, limiter.waiting) == (2, 0, 0)
        await asyncio.sleep(2)
        assert limiter.remaining == 2


@virtually
async def test_a_pause_is_for_all_of_the_provider() -> None:
    """Until then nobody sends, with or without a limit of its own; who waits already waits longer."""
    provider, ask = bank()

    @provider.operation("own", limit=buoy.RateLimit(1))
    async def own() -> float:
        return now()

    async with provider:
        await own()
        waiting = asyncio.create_task(own())
        await asyncio.sleep(0.5)
        limiter = provider.control.limiter
        assert limiter.remaining is None
        limiter.penalize(now() + 20)
        assert [limiter.paused_for, provider.control.operation("own").limiter.paused_for] == [20, 20]
        await ask()
        assert (now(), await waiting, limiter.paused_for) == (20.5, 20.5, 0)


@virtually
async def test_a_pause_never_shortens_an_earlier_one() -> None:
    """The longest pause holds; a time that has passed is none."""
    provider, _ = bank()
    async with provider:
        limiter = provider.control.limiter
        limiter.penalize(now() - 5)
        assert limiter.paused_for == 0
        for seconds in (30, 10):
            limiter.penalize(now() + seconds)
            assert limiter.paused_for == 30


@virtually
async def test_a_pause_beyond_the_time_left_refuses() -> None:
    """A call that has less time than the pause takes is refused at once, with the time after which it would fit."""
    provider, ask = bank(timeout=buoy.Timeout(total=5))
    async with provider:
        provider.control.limiter.penalize(now() + 60)
        with pytest.raises(buoy.RateLimitedLocally) as caught:
            await ask()
        assert (now(), caught.value.retry_after) == (0, 55)


@pytest.mark.parametrize("until", [nan, inf, -inf, "60", None])
async def test_a_pause_that_is_no_moment(until: Any) -> None:
    """Something that is no reading of the loop's clock is a ``ValueError`` that says so, and pauses nobody."""
    async with buoy.Provider("bank") as provider:
        limiter = provider.control.limiter
        with pytest.raises(ValueError, match=r"until=.* is not allowed; it must be a reading of the loop's clock"):
            limiter.penalize(until)
        assert limiter.paused_for == 0


# Permits.


@virtually
async def test_permits_say_how_they_stand() -> None:
    """They say how many there are, how many are taken, and how many calls wait for one."""
    provider, ask = bank(concurrency=buoy.Concurrency(2))
    async with provider:
        permits = provider.control.concurrency
        assert (permits.limit, permits.used, permits.waiting) == (2, 0, 0)
        calls = [asyncio.create_task(ask(3)) for _ in range(5)]
        await asyncio.sleep(1)
        assert (permits.limit, permits.used, permits.waiting) == (2, 2, 3)
        await asyncio.sleep(3)
        assert (permits.used, permits.waiting) == (2, 1)
        await asyncio.gather(*calls)
        assert (permits.used, permits.waiting) == (0, 0)


# Operations.


@virtually
async def test_an_operation_with_policies_of_its_own() -> None:
    """An operation's control is a hand on what it has of its own; the provider's stays as it is, and the other way."""
    own: Any = {"breaker": ON, "limit": buoy.RateLimit(7), "concurrency": buoy.Concurrency(3)}
    provider, ask = bank(breaker=ON, limit=buoy.RateLimit(9), concurrency=buoy.Concurrency(5), own=own)

    @provider.operation("look")
    async def look() -> None: ...

    async with provider:
        control, mine, theirs = provider.control, *(provider.control.operation(name) for name in ("ask", "look"))
        assert [each.breaker.name for each in (control, mine, theirs)] == ["bank", "bank.ask", "bank"]
        assert [each.limiter.remaining for each in (control, mine, theirs)] == [9, 7, 9]
        assert [each.concurrency.limit for each in (control, mine, theirs)] == [5, 3, 5]
        mine.breaker.force("forced_open")
        assert [await refusal(call) for call in (ask, look)] == [buoy.BreakerOpen, None]
        mine.breaker.reset()
        theirs.breaker.force("forced_open")
        assert control.breaker.state is BreakerState.FORCED_OPEN
        assert [await refusal(call) for call in (ask, look)] == [None, buoy.BreakerOpen]


async def test_operations_are_found_by_name() -> None:
    """Declared operations are found by their name in telemetry, wrapped ones by theirs, also those that came late."""

    class Shop(buoy.Provider, base_url="https://api.shop.example"):
        product = buoy.get("/products/{id}", name="products.get", breaker=buoy.Breaker(name="reads"))

    async def nothing() -> None: ...

    shop = Shop()
    shop.operation("early")(nothing)
    async with shop:
        assert shop.control.operation("products.get").breaker.name == "reads"
        for name in ("product", "late", "get.products.id", ""):
            with pytest.raises(LookupError, match=r"'shop' has no declared operation .*'products.get', 'early'\."):
                shop.control.operation(name)
        shop.operation("late")(nothing)
        assert [shop.control.operation(name).breaker.name for name in ("early", "late")] == ["shop", "shop"]
    async with buoy.Provider("bank") as provider:
        with pytest.raises(LookupError, match="'bank' has no declared operation 'charge'; there is none"):
            provider.control.operation("charge")


@virtually
async def test_what_is_switched_off_is_not_there() -> None:
    """Asking for a policy that is off is a ``LookupError`` that says whose and why; pauses are always there."""
    provider, _ = bank(breaker=ON, concurrency=buoy.Concurrency(1), own={"breaker": None, "concurrency": None})
    async with provider:
        mine = provider.control.operation("ask")
        with pytest.raises(LookupError, match=r"operation 'ask' has no breaker: breaker=None\."):
            _ = mine.breaker
        with pytest.raises(LookupError, match=r"operation 'ask' has no concurrency limit: concurrency=None\."):
            _ = mine.concurrency
        assert mine.limiter.remaining is None
    async with buoy.Provider("bare", **OFF) as bare:
        with pytest.raises(LookupError, match="provider 'bare' has no breaker"):
            _ = bare.control.breaker
        with pytest.raises(LookupError, match="provider 'bare' has no concurrency limit"):
            _ = bare.control.concurrency
        assert (bare.control.limiter.remaining, bare.control.limiter.paused_for) == (None, 0)


# When it does not hold.


@virtually
async def test_only_what_is_open_has_a_control() -> None:
    """Before entering and after leaving there is nothing that an operator could see or do."""
    provider, _ = bank(breaker=ON)
    uses: list[Callable[[], object]] = [lambda: provider.control, provider.snapshot]
    for words in ("has not been entered", "is closed"):
        for use in uses:
            with pytest.raises(RuntimeError, match=f"'bank' {words}"):
                use()
        async with provider:
            assert [use() is not None for use in uses] == [True, True]


def acts(control: Control) -> list[Callable[[], object]]:
    """Return all that a control can be asked for and that needs the present time."""
    breaker, limiter = control.breaker, control.limiter
    return [
        lambda: breaker.state,
        lambda: breaker.force("forced_open"),
        breaker.reset,
        lambda: limiter.remaining,
        lambda: limiter.paused_for,
        lambda: limiter.penalize(60),
    ]


@virtually
async def test_a_control_ends_with_the_block() -> None:
    """A control that was kept says that it is over rather than act on nothing, also when the provider is open again."""
    provider, ask = bank(breaker=ON)
    async with provider:
        kept = acts(provider.control)
    for act in kept:
        with pytest.raises(RuntimeError, match="'bank' was left since: ask it for its control again"):
            act()
    async with provider:
        for act in kept:
            with pytest.raises(RuntimeError, match="'bank' was left since"):
                act()
        assert (provider.control.breaker.state, await refusal(ask)) == (BreakerState.CLOSED, None)


def test_a_control_belongs_to_the_loop() -> None:
    """In another loop an operator can neither see nor do anything, and is told so."""
    provider, _ = bank(breaker=ON)

    async def open_it() -> Control:
        await provider.__aenter__()
        return provider.control

    async def elsewhere(control: Control) -> None:
        uses: list[Callable[[], object]] = [*acts(control), lambda: provider.control, provider.snapshot]
        for use in uses:
            with pytest.raises(RuntimeError, match="'bank' belongs to the event loop that entered it"):
                use()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        control = first.run(open_it())
        second.run(elsewhere(control))
        first.run(provider.__aexit__(None, None, None))


@virtually
async def test_reprs_tell_how_it_stands() -> None:
    """Each says whose it is and how it stands, without any secret, and still does when all is over."""
    provider = buoy.Provider(
        "shop",
        base_url="https://api.shop.example",
        auth=buoy.Bearer("canary"),
        headers={"X-Tenant": "canary"},
        concurrency=buoy.Concurrency(2),
    )

    @provider.operation("ask")
    async def ask(question: str) -> str:
        return question

    async with provider:
        await ask("canary")
        control = provider.control
        parts = [control, control.operation("ask"), control.breaker, control.limiter, control.concurrency]
        assert [repr(part) for part in parts] == [
            "<control of provider 'shop'>",
            "<control of operation 'ask'>",
            "<breaker shop closed>",
            "<rate limiter of shop: 0 waiting>",
            "<permits: 0 of 2 taken, 0 waiting>",
        ]
        seen = [*parts, provider, provider.snapshot(), provider.snapshot().as_dict(), ask]
        assert "canary" not in f"{seen!r} {[str(each) for each in seen]}"
    assert repr(parts[2]) == "<breaker shop closed>"
