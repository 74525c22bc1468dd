"""The telemetry of the process: one tracer, one registry of metrics, the declared names, the log."""

import asyncio
import logging
import os
import threading

from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from buoy import contract
from buoy.outcome import DropReason, Signal
from buoy.telemetry.logs import Log
from buoy.telemetry.meters import Registry
from buoy.telemetry.names import Names, OperationNames
from buoy.telemetry.plugs import Plugs
from buoy.telemetry.recorder import OperationRecorder
from buoy.telemetry.slots import Durations
from buoy.telemetry.watcher import ProviderWatcher
from buoy.version import __version__


class Scope:
    """What all recorders of the process share.

    Instruments are made on first use, so that :meth:`supply` can come after a provider was declared. Without a
    ``tracer`` or ``meter`` they are the API's: its proxies wait for an SDK. ``buckets`` keeps durations instead of the
    meter.
    """

    def __init__(
        self, tracer: Tracer | None = None, meter: Meter | None = None, *, buckets: Durations | None = None
    ) -> None:
        self.names = Names()
        self.log = Log()
        self._tracer = tracer
        self._meter = meter
        self._buckets = buckets
        self._plugs: Plugs | None = None
        self._registry: Registry | None = None
        self._counted: set[tuple[str, str]] = set()
        self._lock = threading.RLock()

    def supply(self, tracer: Tracer | None, buckets: Durations | None = None) -> bool:
        """Take other instruments than the API's; ``False`` where it is too late, for some are in use."""
        with self._lock:
            if self._registry is not None:
                return False
            self._tracer = tracer or self._tracer
            self._buckets = buckets or self._buckets
            return True

    @property
    def registry(self) -> Registry:
        """All metrics."""
        with self._lock:
            if self._registry is None:
                meter = self._meter or metrics.get_meter(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL)
                tracer = self._tracer or trace.get_tracer(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL)
                self._plugs = plugs = Plugs(tracer, self.log)
                self._registry = Registry(
                    meter, on_overflow=self._overflowed, on_failure=plugs.unplugged, buckets=self._buckets
                )
                self._begin_at_zero(self._registry)
            return self._registry

    @property
    def size(self) -> int:
        """How many names have counters: it grows with each that is new."""
        return len(self._counted)

    def recorder(
        self, loop: asyncio.AbstractEventLoop, names: OperationNames, *, total: float | None
    ) -> OperationRecorder:
        """Return the recorder of an operation in ``loop``; its counters exist, at 0, from now on.

        ``total`` is the operation's total deadline in seconds, if it has one.
        """
        self._counted.add((names.provider, names.operation))
        shard = self.registry.shard(loop)
        assert self._plugs is not None  # noqa: S101  # made with the registry
        return OperationRecorder(self._plugs, shard, self.log, names, total=total)

    def watcher(self, loop: asyncio.AbstractEventLoop, provider: str) -> ProviderWatcher:
        """Return the watcher of a provider in ``loop``."""
        self._counted.add((provider, ""))
        return ProviderWatcher(self.registry.shard(loop), self.log, provider)

    def dropped(self, signal: Signal, reason: DropReason, count: int) -> None:
        """Count and log a loss of telemetry. Any thread may tell of it."""
        labels = {contract.SIGNAL: str(signal), contract.DROP_REASON: str(reason)}
        self.registry.count(contract.DROPPED, labels, count)
        self.log.emit(logging.WARNING, contract.LOST.name, str(signal), str(reason), {**labels, "count": count})

    def flush(self) -> None:
        """Hand the histogram records that are still kept to OpenTelemetry."""
        if self._registry is not None:
            self._registry.durations.flush()

    def clear(self) -> None:
        """Begin at 0, as a forked child does. Names stay declared."""
        self._lock = threading.RLock()
        self._counted = set()
        self.log.clear()
        self.names.clear_lock()
        if self._registry is not None:
            self._registry.clear()
            self._begin_at_zero(self._registry)

    def _overflowed(self, instrument: str) -> None:
        self.log.emit(logging.WARNING, contract.OVERFLOW.name, "", instrument, {contract.INSTRUMENT: instrument})

    @staticmethod
    def _begin_at_zero(registry: Registry) -> None:
        for signal in Signal:
            for reason in DropReason:
                labels = {contract.SIGNAL: str(signal), contract.DROP_REASON: str(reason)}
                registry.count(contract.DROPPED, labels, 0)


_lock = threading.Lock()
_present: Scope | None = None


def present() -> Scope:
    """Return the scope of the process, made on first use."""
    global _present  # noqa: PLW0603  # one per process by its nature: counters must never fall
    with _lock:
        if _present is None:
            _present = Scope()
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_forked)
        return _present


def flush() -> None:
    """Flush the scope of the process, if there is one."""
    if _present is not None:
        _present.flush()


def _forked() -> None:
    global _lock  # noqa: PLW0603  # another thread of the parent may hold it
    _lock = threading.Lock()
    if _present is not None:
        _present.clear()
