"""What several tests of telemetry need."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from buoy.telemetry import logs as log_module
from tests.support.telemetry import Logs, logs


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give the log a clock of its own, which stands still: ``clock.now`` is in seconds."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(log_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logs]:
    """Collect the logs, of which none is held back for being like the one before."""
    monkeypatch.setattr(log_module, "INTERVAL", 0.0)
    with logs() as collected:
        yield collected
