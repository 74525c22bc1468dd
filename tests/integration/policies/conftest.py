"""Figures for whoever reads the run: they are printed past pytest's capture, one line a test."""

from collections.abc import Callable

import pytest

Tell = Callable[[str], None]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print what was counted."""

    def say(figures: str) -> None:
        with capsys.disabled():
            print(f"\n    {figures}", end=" ")

    return say
