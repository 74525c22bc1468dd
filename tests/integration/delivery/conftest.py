"""Measures the rows of the table side by side, and lets their checks say what they compared."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "tests.integration.delivery"
CHECKING = ("endings", "figures", "forking", "receivers", "sdks", "servers")

pytest.register_assert_rewrite(*(f"{PACKAGE}.{name}" for name in CHECKING))

from tests.integration.delivery.place import place  # noqa: E402  # after it is known what is rewritten
from tests.integration.delivery.row import Happened, Row  # noqa: E402

Measured = Mapping[str, Future[Happened]]


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """Begin with all rows that will be asked for: most of their time is that of processes that start and end."""
    asked = [item for item in request.session.items if isinstance(item, pytest.Function)]
    rows: list[Any] = [item.callspec.params["row"] for item in asked if "measured" in item.fixturenames]
    with ThreadPoolExecutor(max(os.cpu_count() or 1, 2)) as pool:
        yield {row.situation: pool.submit(_measure, row, tmp_path_factory.mktemp("row")) for row in rows}
        pool.shutdown(cancel_futures=True)


def _measure(row: Row, folder: Path) -> Happened:
    with place(folder) as somewhere:
        return row.run(somewhere)
