"""Reads all metrics every so many seconds and exports them; says what did not arrive, and survives a fork.

Of OpenTelemetry's own reader (1.45) it takes everything but the thread: forked inside an export, that one never exports
again, and after a clean fork it goes on with the parent's sums.
"""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from opentelemetry.sdk.metrics.export import Metric, MetricsData, PeriodicExportingMetricReader

from buoy import contract
from buoy.outcome import DropReason
from buoy.telemetry.account import Account
from buoy.telemetry.exporting import Sender
from buoy.telemetry.worker import Worker

# How long a fork waits for a collection to end (seconds): milliseconds, unless a callback of the service's own hangs.
_LONGEST = 1.0


class Reader(PeriodicExportingMetricReader):
    """The reader of one meter provider. ``more`` returns metrics of ours that the SDK does not keep."""

    def __init__(
        self,
        sender: Sender[MetricsData],
        account: Account,
        *,
        interval: float,
        more: Callable[[], Sequence[Metric]] = list,
    ) -> None:
        super().__init__(sender.exporter, export_interval_millis=math.inf)  # type: ignore[arg-type]  # no thread, that is
        self.account = account
        self._sender = sender
        self._interval = interval
        self._more = more
        self._read: MetricsData | None = None
        # Held while the SDK's own locks are: a fork waits for it.
        self._collecting = threading.Lock()
        self._flying = 0  # points that are being exported
        self._generation = 0  # of these; what was given up belongs to an earlier one
        self._settling = threading.Lock()
        self._is_inherited = False  # its locks may be held by threads that a forked child does not have
        self.is_reached = True  # the last export that ended arrived
        self.worker = Worker("buoy-metrics", self._export, interval)

    def flush(self, seconds: float) -> bool:
        """Read and export everything, and tell whether that ended in time."""
        return self.worker.has_done(self.worker.ask(), seconds)

    def give_up(self) -> int:
        """Take what is being exported for lost; return how many points that is."""
        with self._settling:
            lost, self._flying = self._flying, 0
            self._generation += 1
        self.account.drop(DropReason.SHUTDOWN, lost)
        return lost

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Read and export everything."""
        return self.flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:  # noqa: ARG002  # the SDK's signature
        """Read no more."""
        if not self._is_inherited:
            self.worker.stop()

    # A fork: see ``fork.py`` for the order.

    def hold(self) -> bool:
        """Let nothing be collected until :meth:`release`; ``False`` where a collection does not end."""
        return self._collecting.acquire(timeout=_LONGEST)

    def release(self) -> None:
        """Let it be collected again."""
        self._collecting.release()

    def successor(self) -> "Reader":
        """Return the reader of a forked child, in which everything begins at 0."""
        self._is_inherited = True
        self._sender.revive()
        self.account.clear()
        return Reader(self._sender, self.account, interval=self._interval, more=self._more)

    # In the thread.

    def _receive_metrics(self, metrics_data: MetricsData, *_: object, **__: object) -> None:
        self._read = metrics_data

    def _export(self) -> None:
        try:
            with self._collecting:
                self.collect()
                data, self._read = self._read, None
                more = self._more()
        except Exception:  # noqa: BLE001  # a callback of the service's own raised, or took too long
            self.account.drop(DropReason.EXPORT_FAILED, 1)
            return
        if data is None:
            return
        data = _with(data, more)
        count = _points(data)
        with self._settling:
            self._flying, generation = count, self._generation
        lost = self._sender.send(data, count)
        self.is_reached = not lost.total()
        with self._settling:
            given_up = generation != self._generation
            self._flying = 0
        if not given_up:
            self.account.settle(count, lost)


def _with(data: MetricsData, more: Sequence[Metric]) -> MetricsData:
    """Return the data with more metrics in our own scope."""
    if not more:
        return data
    return replace(
        data,
        resource_metrics=[
            replace(
                resource,
                scope_metrics=[
                    replace(scope, metrics=[*scope.metrics, *more]) if scope.scope.name == contract.SCOPE else scope
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ],
    )


def _points(data: MetricsData) -> int:
    metrics = [
        metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
    ]
    return sum(len(metric.data.data_points) for metric in metrics)
