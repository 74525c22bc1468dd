"""Everything that is recorded gets out within one deadline, or is given up and counted: what is said of that."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs as logs_api
from opentelemetry import metrics as metrics_api
from opentelemetry import trace as trace_api

from buoy.outcome import DrainResult
from buoy.telemetry import scope

if TYPE_CHECKING:
    from buoy.telemetry.account import Account
    from buoy.telemetry.sdk import Logs, Metrics, Traces

# What is kept of the time for metrics, which go last and tell what became of the rest: a quarter, at most so many
# seconds.
_RESERVED = 2.0


@dataclass(frozen=True, slots=True)
class Owned:
    """What of OpenTelemetry's SDK is ours, by signal."""

    traces: "Traces | None" = None
    metrics: "Metrics | None" = None
    logs: "Logs | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of one signal since the process began.

    ``flushed``: how many spans, metric points or log records have arrived; ``None`` where the SDK is not Buoy's own,
    for another's does not say. ``dropped``: how many were lost, by reason (``buoy.telemetry.drop_reason``).
    """

    flushed: int | None = None
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainReport:
    """What :func:`buoy.drain` did, and what it could not.

    ``result``: ``flushed`` when all that waited got out, ``partial`` when some of it was lost, ``deadline`` when time
    ran out. ``calls_finished`` and ``calls_cut`` are those that were in flight; ``duration`` is in seconds.
    """

    result: DrainResult
    spans: Delivered
    metrics: Delivered
    logs: Delivered
    calls_finished: int = 0
    calls_cut: int = 0
    duration: float

    @property
    def flushed(self) -> int:
        """How many items of all signals have arrived."""
        return sum(each.flushed or 0 for each in (self.spans, self.metrics, self.logs))

    @property
    def dropped(self) -> int:
        """How many items of all signals were lost."""
        return sum(sum(each.dropped.values()) for each in (self.spans, self.metrics, self.logs))


def deliver(owned: Owned, until: float, *, foreign: bool = False) -> DrainResult:
    """Export what is recorded: spans and logs, and then metrics, so that these have the last counts.

    ``until`` is a reading of ``time.monotonic``. What has not left by then is given up. ``foreign``: flush also what an
    SDK that others configured holds.
    """
    scope.flush()
    before = _lost(owned)
    late = until - min(_RESERVED, max(until - time.monotonic(), 0.0) / 4)
    turns = [(part, part.queue.worker.ask()) for part in (owned.traces, owned.logs) if part is not None]
    others = []
    if foreign and owned.traces is None:
        others.append(_flushing(trace_api.get_tracer_provider()))
    if foreign and owned.logs is None:
        others.append(_flushing(logs_api.get_logger_provider()))
    in_time = True
    for part, turn in turns:
        if not part.queue.worker.has_done(turn, late - time.monotonic()):
            in_time = False
            part.give_up()
    done = [other(late) for other in others]
    if owned.metrics is not None and not owned.metrics.reader.flush(until - time.monotonic()):
        in_time = False
        owned.metrics.give_up()
    elif foreign and owned.metrics is None:
        done.append(_flushing(metrics_api.get_meter_provider())(until))
    if not in_time:
        return DrainResult.DEADLINE
    return DrainResult.FLUSHED if all(done) and _lost(owned) == before else DrainResult.PARTIAL


def report(
    owned: Owned, result: DrainResult, duration: float, *, calls_finished: int = 0, calls_cut: int = 0
) -> DrainReport:
    """Return the report of a drain that has just ended."""
    spans, metrics, logs = (
        Delivered()
        if account is None
        else Delivered(
            flushed=account.delivered,
            dropped=MappingProxyType({str(reason): count for reason, count in account.dropped.items()}),
        )
        for account in _accounts(owned)
    )
    return DrainReport(
        result=result,
        spans=spans,
        metrics=metrics,
        logs=logs,
        calls_finished=calls_finished,
        calls_cut=calls_cut,
        duration=duration,
    )


def stop(owned: Owned) -> None:
    """Export nothing more; what still waits is given up."""
    for part in (owned.traces, owned.logs):
        if part is not None:
            part.queue.close()
            part.sender.stop()
            part.queue.give_up()
    if owned.metrics is not None:
        owned.metrics.reader.shutdown()
        owned.metrics.sender.stop()
        owned.metrics.reader.give_up()


def _accounts(owned: Owned) -> "tuple[Account | None, Account | None, Account | None]":
    traces, metrics, logs = owned.traces, owned.metrics, owned.logs
    return (
        None if traces is None else traces.account,
        None if metrics is None else metrics.account,
        None if logs is None else logs.account,
    )


def _lost(owned: Owned) -> int:
    return sum(sum(account.dropped.values()) for account in _accounts(owned) if account is not None)


def _flushing(provider: Any) -> Callable[[float], bool]:
    """Begin to flush a provider of others; what is returned waits for that, and tells whether it was well in time.

    In a thread: the SDK's own flush takes as long as it takes.
    """
    force_flush = getattr(provider, "force_flush", None)
    if force_flush is None:
        return lambda _: True  # the API's, which keeps nothing
    done: list[bool] = []

    def flush() -> None:
        try:
            done.append(force_flush() is not False)
        except Exception:  # noqa: BLE001  # whatever it raises, it is not flushed
            done.append(False)

    thread = threading.Thread(target=flush, name="buoy-flush", daemon=True)
    thread.start()

    def ended(until: float) -> bool:
        thread.join(max(until - time.monotonic(), 0.0))
        return done == [True]

    return ended
