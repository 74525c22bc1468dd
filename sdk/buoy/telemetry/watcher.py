"""The watcher of one provider: changes of the policies that its calls share become a counter and logs."""

import logging

from buoy import contract
from buoy.events import BreakerChanged, LimiterPaused, StateEvent
from buoy.telemetry import describe
from buoy.telemetry.logs import Log
from buoy.telemetry.meters import Shard
from buoy.telemetry.slots import Attributes


class ProviderWatcher:
    """Implements the ``Watcher`` protocol for one provider in one event loop."""

    def __init__(self, shard: Shard, log: Log, provider: str) -> None:
        self._shard = shard
        self._log = log
        self._provider: Attributes = {contract.PROVIDER: provider}
        self._name = provider

    def changed(self, event: StateEvent) -> None:
        """Count the transition of a breaker, and log what happened."""
        fields: describe.Values
        if isinstance(event, BreakerChanged):
            labels: Attributes = {
                **self._provider,
                contract.BREAKER_NAME: event.name,
                contract.BREAKER_STATE: str(event.state),
                contract.BREAKER_CAUSE: str(event.cause),
            }
            self._shard.slot(contract.BREAKER_TRANSITIONS, labels).add()
            # A log is left out only for one that says the same: each state of each breaker is news.
            key, told, fields = f"{event.name} {event.state}", contract.BREAKER_CHANGED, describe.changed(event)
        elif isinstance(event, LimiterPaused):
            key, told, fields = "", contract.LIMITER_PAUSED, describe.paused(event)
        else:
            key, told, fields = "", contract.CALLS_CUT, {"cut": event.cut, "finished": event.finished}
        self._log.emit(logging.WARNING, told.name, self._name, key, {**self._provider, **fields})
