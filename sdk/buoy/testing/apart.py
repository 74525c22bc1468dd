"""Tests kept apart: what one declares is no other's concern."""

from collections.abc import Iterator
from contextlib import contextmanager

from buoy.telemetry import scope
from buoy.telemetry.names import Names


@contextmanager
def undeclared() -> Iterator[None]:
    """Let no provider be declared inside yet.

    Names live as long as the process, and one name has one host. The same provider of two tests has two: each scripted
    one listens on a port of its own.
    """
    present = scope.present()
    before, present.names = present.names, Names()
    try:
        yield
    finally:
        present.names = before
