"""What pytest offers by itself where Buoy is installed. Not below ``buoy``, for importing that would import all of it.

pytest imports this module in every run of every project in the environment, so it imports nothing but pytest.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aioresponses import aioresponses


@pytest.fixture
def buoy_aioresponses() -> "Iterator[aioresponses]":
    """Answer by URL what aiohttp sessions ask for, without a socket: see ``buoy.testing.aioresponses``."""
    from buoy import testing  # noqa: PLC0415 - not before somebody asks for it

    with testing.aioresponses() as mocked:
        yield mocked
