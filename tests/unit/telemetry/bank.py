"""A provider of one wrapped function that does as it is told, and how a test in virtual time is run and read."""

import asyncio
from collections.abc import Mapping
from typing import Any, ParamSpec

from opentelemetry.sdk.trace import Event, ReadableSpan

import buoy
from buoy.contract import Metric
from buoy.provider.function import FunctionOperation
from buoy.provider.policies import PolicyOptions
from tests.support.telemetry import Observed

P = ParamSpec("P")

ANSWER = 7


def bank(
    name: str = "bank", *, safety: str = "safe", own: PolicyOptions | None = None, **policies: Any
) -> "tuple[buoy.Provider, FunctionOperation[..., int]]":
    """Return a provider and its operation, which takes ``seconds`` and then raises the ``error`` it is given.

    ``own`` are the operation's policies; retry and breaker are off unless given.
    """
    provider = buoy.Provider(name, **{"retry": None, "breaker": None, **policies})

    @provider.operation("ask", safety=safety, **(own or {}))
    async def ask(seconds: float = 0.0, error: Exception | None = None) -> int:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return ANSWER

    return provider, ask


def attributes(of: ReadableSpan | Event) -> Mapping[str, Any]:
    """Return the attributes of a span or of an event on it."""
    return dict(of.attributes or {})


def counted(observed: Observed, metric: Metric, *by: str) -> dict[tuple[Any, ...], float]:
    """Return what a metric counted, by the values of these attributes, summed over all others; 0 is left out."""
    return {key: value for key, value in told(observed, metric, *by).items() if value}


def told(observed: Observed, metric: Metric, *by: str) -> dict[tuple[Any, ...], float]:
    """Return what a metric says, zeros too, by the values of these attributes."""
    sums: dict[tuple[Any, ...], float] = {}
    for labels, value in observed.metric(metric.name).items():
        found = dict(labels)
        key = tuple(found.get(name) for name in by)
        sums[key] = sums.get(key, 0) + value
    return sums
