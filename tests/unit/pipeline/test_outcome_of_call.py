"""What a failed call says of its effect, when its tries say different things."""

import pytest

from buoy.errors import BuoyError
from buoy.outcome import Outcome, Safety
from tests.support.virtual_time import run
from tests.unit.pipeline.scripted import Scenario, Step, busy, lost, missing, refused


@pytest.mark.parametrize(
    ("steps", "safety", "outcome"),
    [
        ([Step(lost()), Step(refused()), Step(refused())], Safety.IDEMPOTENT, Outcome.UNKNOWN),
        ([Step(busy()), Step(missing())], Safety.KEYED, Outcome.UNKNOWN),
        ([Step(refused()), Step(missing())], Safety.IDEMPOTENT, Outcome.REJECTED),
        ([Step(refused()), Step(refused()), Step(refused())], Safety.UNSAFE, Outcome.NOT_SENT),
        ([Step(lost()), Step(refused()), Step(refused())], Safety.SAFE, Outcome.NOT_SENT),
    ],
)
def test_a_doubt_of_an_earlier_try_stays(steps: list[Step], safety: Safety, outcome: Outcome) -> None:
    """A call says ``unknown`` when any of its tries may have had an effect, and is sure only when all are."""
    error = run(Scenario(steps, safety=safety).caught())
    assert isinstance(error, BuoyError)
    assert error.outcome == outcome
