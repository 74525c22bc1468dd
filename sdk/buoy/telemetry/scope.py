"""The telemetry of the process: one tracer, one registry of metrics, the declared names, the log."""

import asyncio
import atexit
import logging
import threading

from opentelemetry import metrics, trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from buoy import contract
from buoy.telemetry.logs import Log
from buoy.telemetry.meters import Registry
from buoy.telemetry.names import Names, OperationNames
from buoy.telemetry.pending import Pending
from buoy.telemetry.recorder import OperationRecorder
from buoy.telemetry.watcher import ProviderWatcher
from buoy.version import __version__


class Scope:
    """What all recorders of the process share."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        self.names = Names()
        self.registry = Registry(meter, on_overflow=self._overflowed)
        self._tracer = tracer
        self._log = Log()
        self._lock = threading.Lock()
        self._pending: dict[asyncio.AbstractEventLoop, Pending] = {}

    def recorder(
        self, loop: asyncio.AbstractEventLoop, names: OperationNames, *, total: float | None
    ) -> OperationRecorder:
        """Return the recorder of an operation in ``loop``; its counters exist, at 0, from now on.

        ``total`` is the operation's total deadline in seconds, if it has one.
        """
        pending = self._pending_of(loop)
        return OperationRecorder(self._tracer, self.registry.shard(loop), pending, self._log, names, total=total)

    def watcher(self, loop: asyncio.AbstractEventLoop, provider: str) -> ProviderWatcher:
        """Return the watcher of a provider in ``loop``."""
        return ProviderWatcher(self.registry.shard(loop), self._log, provider)

    def flush(self) -> None:
        """Hand the histogram records that are still kept to OpenTelemetry."""
        with self._lock:
            waiting = list(self._pending.values())
        for pending in waiting:
            pending.flush()

    def _pending_of(self, loop: asyncio.AbstractEventLoop) -> Pending:
        with self._lock:
            for closed in [known for known in self._pending if known.is_closed()]:
                self._pending.pop(closed).flush()
            return self._pending.setdefault(loop, Pending(loop))

    def _overflowed(self, instrument: str) -> None:
        self._log.emit(logging.WARNING, contract.OVERFLOW.name, "", instrument, {contract.INSTRUMENT: instrument})


_lock = threading.Lock()
_present: Scope | None = None


def present() -> Scope:
    """Return the scope of the process. Made on first use, also before any SDK: the API's proxies wait for it."""
    global _present  # noqa: PLW0603  # one per process by its nature: counters must never fall
    with _lock:
        if _present is None:
            tracer = trace.get_tracer(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL)
            meter = metrics.get_meter(contract.SCOPE, __version__, schema_url=contract.SCHEMA_URL)
            _present = Scope(tracer, meter)
            atexit.register(flush)
        return _present


def flush() -> None:
    """Flush the scope of the process, if there is one."""
    if _present is not None:
        _present.flush()
