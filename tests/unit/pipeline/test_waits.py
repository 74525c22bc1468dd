"""The time of a call adds up: its tries and its waits, by cause, and nothing between them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.events import WaitEnded
from buoy.outcome import LimitSource, WaitCause
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from tests.support import virtual_time
from tests.support.virtual_time import virtually
from tests.unit.pipeline.gated import Gates, begun
from tests.unit.pipeline.scripted import PATIENT, Scenario, Step, busy, lost, missing, throttled


def told(scenario: Scenario) -> dict[WaitCause, float]:
    """Return the waits that the recorder was told, by cause."""
    sums: dict[WaitCause, float] = defaultdict(float)
    for event in scenario.recording.events:
        if isinstance(event, WaitEnded):
            sums[event.cause] += event.seconds
    return dict(sums)


@pytest.mark.usefixtures("_longest_backoff")
@virtually
async def test_each_cause_has_its_time() -> None:
    """Backoff, turn and permit are told apart, each with all of its time, over all tries."""
    gates, loop = Gates(rates=(RateLimit(1),), concurrency=Concurrency(1)), asyncio.get_running_loop()
    assert gates.permits is not None
    for at, until in ((0, 1), (5, 12)):
        loop.call_at(at, gates.limiter.pause, until, at, LimitSource.LOCAL)
    for take, give_back in ((0, 3), (10, 14)):
        loop.call_at(take, gates.permits.take)
        loop.call_at(give_back, gates.permits.give_back)
    await asyncio.sleep(0)
    scenario = gates.scenario(Step(busy(), seconds=1), Step(seconds=2), retry=Retry(base=4), timeout=PATIENT)
    await begun(scenario)
    waited = {WaitCause.RATE_LIMIT: 1 + 4, WaitCause.CONCURRENCY: 2 + 2, WaitCause.BACKOFF: 4}
    assert (scenario.call.waited, told(scenario)) == (waited, waited)
    assert (scenario.call.attempts_time, scenario.call.ended) == (3, 16)
    assert scenario.call.meta().waited == waited


QUARTERS = st.integers(0, 60).map(lambda quarters: quarters / 4)
FAILURES: list[Callable[[], Exception]] = [busy, lost, missing, throttled, lambda: throttled(retry_after=3)]
STEPS = st.lists(
    st.builds(lambda make, seconds: Step(make and make(), seconds), st.none() | st.sampled_from(FAILURES), QUARTERS),
    min_size=1,
    max_size=4,
)
SPANS = st.lists(st.tuples(QUARTERS, QUARTERS), max_size=4)


@given(
    steps=STEPS,
    pauses=SPANS,
    holds=SPANS,
    max_wait=st.none() | st.sampled_from([0.0, 2.0]),
    total=st.sampled_from([5.0, 30.0, 200.0]),
    cancel_at=st.none() | QUARTERS,
)
def test_the_times_add_up(  # noqa: PLR0917  # hypothesis gives them by name
    steps: list[Step],
    pauses: list[tuple[float, float]],
    holds: list[tuple[float, float]],
    max_wait: float | None,
    total: float,
    cancel_at: float | None,
) -> None:
    """However a call ends, refused and cancelled ones included, its duration is its tries and its waits, to the bit."""

    async def drive() -> Scenario:
        gates, loop = Gates(rates=(RateLimit(1),), concurrency=Concurrency(1, max_wait=max_wait)), _loop()
        assert gates.permits is not None
        for at, seconds in pauses:
            loop.call_at(at, gates.limiter.pause, at + seconds, at, LimitSource.LOCAL)
        for at, seconds in holds:
            loop.call_at(at, _hold, gates, seconds)
        await asyncio.sleep(0)
        scenario = gates.scenario(*steps, retry=Retry(base=0.5), timeout=Timeout(total=total))
        task = begun(scenario)
        await asyncio.wait([task], timeout=cancel_at)
        task.cancel()
        await asyncio.wait([task])
        return scenario

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("buoy.pipeline.run.random", lambda: 1.0)  # quarters stay quarters
        scenario = virtual_time.run(drive())
    if hasattr(scenario, "call"):  # else cancelled before it began
        call = scenario.call
        assert call.ended - call.started == call.attempts_time + sum(call.waited.values())
        assert call.waited == told(scenario)


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _hold(gates: Gates, seconds: float) -> None:
    """Let somebody else have a permit for a while, if there is one."""
    assert gates.permits is not None
    if gates.permits.take():
        _loop().call_later(seconds, gates.permits.give_back)
