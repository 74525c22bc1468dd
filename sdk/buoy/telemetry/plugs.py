"""The parts of telemetry that are not ours. One that raises breaks no call: it is used no more, and reported once."""

import logging

from opentelemetry.trace import NoOpTracer, Tracer

from buoy import contract
from buoy.outcome import Signal
from buoy.telemetry.logs import Log


class Plugs:
    """The foreign parts of a process. ``tracer`` is the one to use; once it has raised, one that passes on parents."""

    def __init__(self, tracer: Tracer, log: Log) -> None:
        self.tracer = tracer
        self._log = log
        self._unplugged: dict[Signal, object] = {}

    def unplug_tracer(self, error: Exception) -> Tracer:
        """Use the tracer, which has raised, no more; return the one that stands in for it."""
        self.tracer = NoOpTracer()
        self._report(Signal.SPAN, error)
        return self.tracer

    def unplugged(self, error: Exception) -> None:
        """Report an instrument that raised and is used no more."""
        self._report(Signal.METRIC, error)

    def _report(self, signal: Signal, error: Exception) -> None:
        mine = object()
        if self._unplugged.setdefault(signal, mine) is mine:  # one step: of several threads one reports
            fields = {contract.SIGNAL: str(signal), contract.EXCEPTION_TYPE: type(error).__name__}
            self._log.emit(logging.ERROR, contract.UNPLUGGED.name, str(signal), "", fields)
