"""What chance decides in the pipeline, decided by a test."""

import pytest


@pytest.fixture
def _longest_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every backoff be as long as it can be."""
    monkeypatch.setattr("buoy.pipeline.run.random", lambda: 1.0)
