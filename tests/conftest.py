"""Runs tests that are coroutine functions, each on a loop of its own; what they need they open by `async with`."""

import asyncio
import inspect

import pytest

from tests.support.telemetry import fresh_scope, observed

__all__ = ["fresh_scope", "observed"]  # fixtures of every test


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Take over where the test is `async def`; leave every other to pytest."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    arguments = {
        name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters if name in pyfuncitem.funcargs
    }
    with asyncio.Runner() as runner:
        runner.run(test(**arguments))
    return True
