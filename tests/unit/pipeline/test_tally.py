"""What the calls of an open provider came to: counted once each, and the durations of the last ones."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.errors import BuoyError
from buoy.outcome import BreakerState, CallResult
from buoy.pipeline.tally import KEPT, Tally
from buoy.policies.breaker import Breaker
from buoy.policies.retry import Retry
from tests.support.virtual_time import virtually
from tests.unit.pipeline.gated import Gates, begun, cancelled
from tests.unit.pipeline.scripted import Step, busy, missing

NOTHING = dict.fromkeys(CallResult, 0)


def of(durations: list[float]) -> Tally:
    """Return a tally of calls that took so long, one after the other."""
    tally = Tally()
    for duration in durations:
        tally.add(None, attempts=1, sends=1, duration=duration)
    return tally


def test_nothing_yet() -> None:
    """Before the first call all counts are 0, every result has one, and there is no percentile."""
    tally = Tally()
    assert (tally.results, tally.attempts, tally.sends, tally.percentile(0.95)) == (NOTHING, 0, 0, None)


@virtually
async def test_each_call_is_counted_once_as_what_it_was() -> None:
    """Every call that ends is one in its result, with its tries and sends; refused and cancelled ones as well."""
    gates = Gates(breaker=Breaker(minimum_calls=100))
    assert gates.circuit is not None
    await gates.scenario(Step(busy()), Step(), retry=Retry(base=0)).run()
    await gates.scenario(Step(busy()), retry=Retry(base=0)).caught()
    await gates.scenario(Step(missing())).caught()
    task = begun(gates.scenario(Step(seconds=5)))
    await cancelled(begun(gates.scenario()))  # before it began: nobody knows of it
    await cancelled(task)
    gates.circuit.force(BreakerState.FORCED_OPEN, 0)
    assert isinstance(await gates.scenario().caught(), BuoyError)
    assert gates.tally.results == {
        CallResult.SUCCESS: 1,
        CallResult.FAILURE: 1,
        CallResult.CALLER_ERROR: 1,
        CallResult.CANCELLED: 1,
        CallResult.REFUSED: 1,
    }
    assert (gates.tally.attempts, gates.tally.sends) == (2 + 3 + 1 + 1, 2 + 3 + 1 + 1)


@virtually
async def test_a_duration_is_the_whole_call() -> None:
    """The durations are those of calls, with all their tries and waits."""
    gates = Gates()
    await gates.scenario(Step(busy(retry_after=5), seconds=1), Step(seconds=2)).run()
    assert gates.tally.percentile(1) == 8


@pytest.mark.parametrize(
    ("durations", "part", "expected"),
    [
        ([3.0], 0.95, 3.0),
        ([3.0], 0.01, 3.0),
        ([2.0, 1.0], 0.5, 1.0),
        ([2.0, 1.0], 0.51, 2.0),
        ([float(n) for n in range(1, 21)], 0.95, 19.0),
        ([float(n) for n in range(100, 0, -1)], 0.95, 95.0),
        ([float(n) for n in range(1, 101)], 1.0, 100.0),
    ],
)
def test_percentiles_are_durations_that_there_were(durations: list[float], part: float, expected: float) -> None:
    """A percentile is the shortest duration that this part of the calls stayed within (nearest rank)."""
    assert of(durations).percentile(part) == expected


def test_the_last_thousand_count() -> None:
    """Durations of calls long ago do not: after a bad hour the figures become good again. Counts go on."""
    tally = of([60.0] * KEPT + [1.0] * (KEPT // 2))
    assert (tally.percentile(0.5), tally.percentile(0.51)) == (1.0, 60.0)
    for _ in range(KEPT // 2):
        tally.add(None, attempts=2, sends=3, duration=1.0)
    assert tally.percentile(1) == 1.0
    assert (tally.results[CallResult.SUCCESS], tally.attempts, tally.sends) == (2 * KEPT, 2500, 3000)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=2500), st.floats(1e-3, 1))
def test_a_percentile_is_that_of_the_last_calls(durations: list[float], part: float) -> None:
    """Whatever the durations, it is the value at the rank among the last thousand."""
    last = sorted(durations[-KEPT:])
    assert last[ceil(part * len(last)) - 1] == of(durations).percentile(part)
