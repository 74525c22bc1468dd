"""When a provider may be used: entered once, in one event loop, until the last call has left."""

import asyncio
from collections.abc import Callable

import pytest

from buoy.provider import lifetime
from buoy.provider.lifetime import Lifetime, State
from tests.support import virtual_time
from tests.support.virtual_time import now, virtually


def opened() -> Lifetime:
    """Return the life of a provider that is open in the running loop."""
    life = Lifetime("shop")
    life.begin()
    life.state = State.OPEN
    return life


@virtually
async def test_it_begins_once() -> None:
    """It begins in the running loop, from being new or closed, and at no other time."""
    life = Lifetime("shop")
    assert (life.state, life.loop) == (State.NEW, None)
    assert life.begin() is asyncio.get_running_loop()
    for state in (State.OPENING, State.OPEN, State.CLOSING):
        life.state = state
        with pytest.raises(RuntimeError, match="provider 'shop' is entered already"):
            life.begin()
        assert life.state is state
    life.state = State.CLOSED
    assert life.begin() is life.loop
    assert life.state is State.OPENING


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.NEW, "has not been entered: use it inside 'async with'"),
        (State.OPENING, "is being entered: use it inside 'async with'"),
        (State.CLOSING, "is closing: the 'async with' block is being left"),
        (State.CLOSED, "is closed: the 'async with' block was left"),
    ],
)
def test_only_what_is_open_may_be_used(state: State, words: str) -> None:
    """In every other state a use is a ``RuntimeError`` that says whose and what to do, and a call is not counted."""

    async def scenario() -> None:
        life = opened()
        life.state = state
        uses: list[Callable[[], object]] = [life.check, life.enter_call]
        for use in uses:
            with pytest.raises(RuntimeError) as caught:
                use()
            assert str(caught.value) == f"provider 'shop' {words}."
        assert (life.is_here(), life.in_flight) == (False, 0)

    virtual_time.run(scenario())


def test_it_belongs_to_its_loop() -> None:
    """In another loop than the one that entered it every use is a ``RuntimeError``, and nothing is counted."""

    async def begin() -> Lifetime:
        life = opened()
        assert (life.is_here(), life.check()) == (True, life.loop)
        return life

    async def elsewhere(life: Lifetime) -> None:
        assert not life.is_here()
        uses: list[Callable[[], object]] = [life.check, life.enter_call]
        for use in uses:
            with pytest.raises(RuntimeError, match="'shop' belongs to the event loop that entered it"):
                use()
        assert life.in_flight == 0

    virtual_time.run(elsewhere(virtual_time.run(begin())))


def test_outside_of_any_loop() -> None:
    """Without a running loop nothing that belongs to one can be used."""
    life = Lifetime("shop")
    uses: list[Callable[[], object]] = [life.begin, life.check, life.enter_call]
    for use in uses:
        with pytest.raises(RuntimeError, match="no running event loop"):
            use()


@virtually
async def test_calls_are_counted_in_and_out() -> None:
    """Each call in flight is one, from its begin to its end."""
    life = opened()
    loops = [life.enter_call() for _ in range(3)]
    life.leave_call()
    assert (loops, life.in_flight) == ([life.loop] * 3, 2)


FOREVER = 1e6


@virtually
async def test_being_idle_is_waited_for() -> None:
    """It takes no more calls from then on, and waits for those in flight, the last of them included."""
    life = opened()
    loop = life.enter_call()
    life.enter_call()
    for after in (1, 2):
        loop.call_later(after, life.leave_call)
    await life.drain(FOREVER)
    assert (now(), life.in_flight, life.state) == (2, 0, State.CLOSING)


@virtually
async def test_without_calls_it_is_idle_at_once() -> None:
    """Where nobody is in flight nobody is waited for."""
    life = opened()
    life.enter_call()
    life.leave_call()
    await life.drain(FOREVER)
    assert (now(), life.state) == (0, State.CLOSING)


@virtually
async def test_whoever_gives_up_waiting_is_not_missed() -> None:
    """A call that ends after the waiting was cancelled ends as always; what waits next waits for what there is then."""
    life = opened()
    life.enter_call()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await life.drain(FOREVER)
    life.leave_call()
    life.state = State.CLOSED
    life.begin()
    life.state = State.OPEN
    life.enter_call().call_later(5, life.leave_call)
    await life.drain(FOREVER)
    assert (now(), life.in_flight) == (6, 0)


@virtually
async def test_intake_can_be_stopped_before_anybody_waits() -> None:
    """From then on no call is taken; what is in flight is not touched, and what is not open stays as it is."""
    life = opened()
    life.enter_call()
    life.stop_intake()
    with pytest.raises(RuntimeError, match="'shop' is closing"):
        life.enter_call()
    assert (life.in_flight, life.state) == (1, State.CLOSING)
    other = Lifetime("other")
    other.stop_intake()
    assert other.state is State.NEW


@virtually
async def test_a_forked_child_enters_anew() -> None:
    """What is open in the parent says so in the child, where it can be entered with nothing in flight."""
    life = opened()
    life.open({}, lambda *_: None)
    life.enter_call()
    assert life in lifetime.entered()
    lifetime._forked()
    assert life not in lifetime.entered()
    with pytest.raises(RuntimeError, match="was entered before this process was forked, and is open in the parent"):
        life.enter_call()
    life.begin()
    assert (life.in_flight, life.state) == (0, State.OPENING)


@virtually
async def test_only_what_is_entered_is_known() -> None:
    """The process knows the lifetimes of open providers, until they are closed."""
    life = Lifetime("shop")
    life.begin()
    assert life not in lifetime.entered()
    life.open({}, lambda *_: None)
    assert life in lifetime.entered()
    life.close()
    assert life not in lifetime.entered()
