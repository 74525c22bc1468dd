"""The programs in Go, for tests: where one cannot be had the test is skipped, and fails with CI=true."""

import os
from pathlib import Path

import pytest

from tools import binaries


def program(name: str) -> Path:
    """Return the path of a program of tools/binaries, built if need be."""
    try:
        return binaries.ensure(name)
    except binaries.Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
