"""Fixtures of the command line's tests: a server, and the command itself in this process."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from buoy.cli import main
from tests.integration.cli.server import Server, serving


class Ran(NamedTuple):
    """How one run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def story(self) -> Any:
        """The JSON object on standard output."""
        return json.loads(self.out)


Buoy = Callable[..., Ran]


@pytest.fixture
def server() -> Iterator[Server]:
    """Give the test a server of its own."""
    with serving() as running:
        yield running


@pytest.fixture
def buoy_call(capsys: pytest.CaptureFixture[str]) -> Buoy:
    """Return a function that runs ``buoy call`` and returns exit code and output."""

    def run(*argv: str) -> Ran:
        code = main(["call", *argv])
        return Ran(code, *capsys.readouterr())

    return run
