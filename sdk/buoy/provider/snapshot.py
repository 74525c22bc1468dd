"""The present figures of an open provider, for a health endpoint or a person: frozen, and nothing that lives."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

from buoy.outcome import BreakerState, CallResult
from buoy.pipeline.gates import BreakerGate, LimiterGate, PermitGate
from buoy.result import Quota
from buoy.runtime import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSnapshot:
    """A breaker: the calls in its window, how many failed and were slow, and the refusals since the state began.

    The rates are fractions, ``None`` below the minimum of calls. While it is open, they are those that opened it.
    """

    name: str
    state: BreakerState
    calls: int
    failed: int
    slow: int
    failure_rate: float | None
    slow_rate: float | None
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterSnapshot:
    """The rate limiter: units that can be sent at once (``None``: no own rate), calls waiting, seconds of pause."""

    remaining: int | None
    waiting: int
    paused_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencySnapshot:
    """The permits: how many there are, how many are taken, and how many calls wait for one."""

    limit: int
    used: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """How a provider stands since it was entered.

    ``calls`` by result, with their ``attempts`` and ``sends``; ``active`` calls in flight; ``p95`` seconds of the last
    1,000 calls. ``breaker``, ``limiter`` and ``concurrency`` are the provider's own; ``breakers`` are all of them by
    name. ``quota`` is what the provider said last of its limit, while that holds; ``retries_left`` is the budget.
    """

    provider: str
    calls: Mapping[CallResult, int]
    attempts: int
    sends: int
    active: int
    p95: float | None
    breaker: BreakerSnapshot | None
    breakers: Mapping[str, BreakerSnapshot]
    limiter: LimiterSnapshot
    concurrency: ConcurrencySnapshot | None
    quota: Quota | None
    retries_left: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain dicts, as ``json.dumps`` and a health endpoint need it."""
        return asdict(replace(self, calls=dict(self.calls), breakers=dict(self.breakers)))


def take(live: Live, breaker: str | None, *, active: int) -> Snapshot:
    """Return the figures of ``live``; ``breaker`` is the name of the provider's own."""
    now, tally = live.loop.time(), live.tally
    breakers = {name: _of_breaker(gate, now) for name, gate in live.breakers.items()}
    return Snapshot(
        provider=live.provider,
        calls=MappingProxyType(dict(tally.results)),
        attempts=tally.attempts,
        sends=tally.sends,
        active=active,
        p95=tally.percentile(0.95),
        breaker=None if breaker is None else breakers[breaker],
        breakers=MappingProxyType(breakers),
        limiter=_of_limiter(live.limiter, now),
        concurrency=None if live.permits is None else _of_permits(live.permits),
        quota=live.quota(),
        retries_left=live.budget_left(),
    )


def _of_breaker(gate: BreakerGate, now: float) -> BreakerSnapshot:
    figures = gate.figures(now)
    return BreakerSnapshot(
        name=gate.name,
        state=gate.state(now),
        calls=figures.buffered,
        failed=figures.failed,
        slow=figures.slow,
        failure_rate=figures.failure_rate,
        slow_rate=figures.slow_rate,
        refused=figures.not_permitted,
    )


def _of_limiter(gate: LimiterGate, now: float) -> LimiterSnapshot:
    limiter = gate.limiter
    return LimiterSnapshot(
        remaining=limiter.remaining(now), waiting=gate.waiting, paused_for=max(0.0, limiter.paused_until - now)
    )


def _of_permits(gate: PermitGate) -> ConcurrencySnapshot:
    permits = gate.permits
    return ConcurrencySnapshot(limit=permits.limit, used=permits.used, waiting=permits.waiting)
