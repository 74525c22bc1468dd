"""Demo servers for the tests of what they do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.support.demo_server import MODULE, Served
from tests.unit.support.process import Process, running

EVER = "3600"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    """Run one server for all tests that need not end it; nothing goes wrong unless it is asked to."""
    log = tmp_path_factory.mktemp("server") / "server.jsonl"
    options = ("--port", "0", "--log", str(log), "--seed", "1", "--faults", "none", "--away", "0.05")
    with running(MODULE, *options) as shared:
        yield shared, log


@pytest.fixture
def shop(process: tuple[Process, Path]) -> Served:
    """Return the shared server; what it logged for other tests is skipped."""
    return Served(*process)


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Served]:
    """Run a server that may be ended, and that stays away for ever when it restarts."""
    log = tmp_path / "server.jsonl"
    with running(MODULE, "--log", str(log), "--faults", "none", "--away", EVER) as own:
        yield Served(own, log)
