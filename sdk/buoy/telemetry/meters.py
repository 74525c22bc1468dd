"""The process-wide registry of metrics: plain slots that observable instruments read, and the histograms.

A counter of the SDK costs 7 to 10 microseconds, a slot 0.1. A slot belongs to one event loop, so that no thread shares
it; reading sums over the loops, those that are gone included: counters never fall. Callbacks are registered once per
process, since the API silently drops a second one of the same name.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from buoy import contract
from buoy.contract import Instrument, Metric
from buoy.telemetry.pending import Deferred, OnFailure
from buoy.telemetry.slots import Attributes, Durations, Key, Slot, Timer
from buoy.version import __version__


class Shard:
    """The slots of one event loop. Only that loop's thread makes and changes them; any thread may read."""

    def __init__(self, registry: "Registry", loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._registry = registry
        self._loop = loop
        self._slots: dict[tuple[str, Key], Slot] = {}
        self._timers: dict[tuple[str, Key], Timer] = {}

    def slot(self, metric: Metric, attributes: Attributes, *, folded: bool = False) -> Slot:
        """Return the slot of this attribute set, made with 0 on first use. ``folded``: a name in it already was."""
        key, over = self._registry.admit(metric, attributes)
        slot = self._slots.get((metric.name, key))
        if slot is None:
            slot = Slot(self._overflow(metric) if over or folded else None)
            self._slots[metric.name, key] = slot
        return slot

    def timer(self, metric: Metric, attributes: Attributes, *, folded: bool = False) -> Timer:
        """Return the timer of this attribute set."""
        key, over = self._registry.admit(metric, attributes)
        timer = self._timers.get((metric.name, key))
        if timer is None:
            assert self._loop is not None  # noqa: S101  # what belongs to no loop takes no time
            overflow = self._overflow(metric) if over or folded else None
            timer = self._timers[metric.name, key] = self._registry.durations.timer(self._loop, metric, key, overflow)
        return timer

    def _overflow(self, metric: Metric) -> Slot:
        self._registry.overflowed(metric)
        return self.slot(contract.OVERFLOWS, {contract.INSTRUMENT: metric.name})

    def values(self) -> list[tuple[str, Key, int]]:
        """Return all numbers, as they are now."""
        return [(name, key, slot.value) for (name, key), slot in list(self._slots.items())]


class Source(Protocol):
    """Whoever has something to say that is no count: what is left, what is taken. Any thread may ask it."""

    def readings(self) -> Iterable[tuple[Metric, Attributes, int]]:
        """Return what is so now."""


class Registry:
    """All metrics of the process. ``buckets`` keeps the durations instead of the meter.

    ``on_overflow`` is told once, by name, of each instrument that folded anything; ``on_failure`` of one that a foreign
    meter could not make or use.
    """

    def __init__(
        self,
        meter: Meter,
        *,
        on_overflow: Callable[[str], None] = lambda _: None,
        on_failure: OnFailure = lambda _: None,
        buckets: Durations | None = None,
    ) -> None:
        self._on_overflow = on_overflow
        self._on_failure = on_failure
        self.durations = buckets or Deferred(meter, on_failure)
        self.clear()
        for metric in contract.METRICS:
            self._register(meter, metric)

    def clear(self) -> None:
        """Begin at 0, as a forked child does: what was counted is its parent's."""
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._sets: dict[str, set[Key]] = {metric.name: set() for metric in contract.METRICS}
        self._full: set[str] = set()
        self._shards: dict[asyncio.AbstractEventLoop, Shard] = {}
        self._own = Shard(self)
        self._retired: dict[tuple[str, Key], int] = {}
        self._sources: WeakSet[Source] = WeakSet()
        self.durations.clear()

    def _register(self, meter: Meter, metric: Metric) -> None:
        observe = partial(self._observe, metric)
        try:
            if metric.instrument is Instrument.COUNTER:
                meter.create_observable_counter(metric.name, [observe], metric.unit, metric.answers)
            elif metric.instrument is Instrument.GAUGE:
                meter.create_observable_gauge(metric.name, [observe], metric.unit, metric.answers)
            elif metric.instrument is Instrument.UP_DOWN_COUNTER:
                meter.create_observable_up_down_counter(metric.name, [observe], metric.unit, metric.answers)
        except Exception as error:  # noqa: BLE001  # of whatever foreign meter
            self._on_failure(error)

    def shard(self, loop: asyncio.AbstractEventLoop) -> Shard:
        """Return the slots of ``loop``; to be called in its thread."""
        with self._lock:
            self._retire_closed()  # also here: where nobody reads, nothing else would let go of a closed loop
            shard = self._shards.get(loop)
            if shard is None:
                shard = self._shards[loop] = Shard(self, loop)
        for metric in contract.METRICS:
            shard.slot(contract.OVERFLOWS, {contract.INSTRUMENT: metric.name})
        return shard

    def count(self, metric: Metric, attributes: Attributes, amount: int) -> None:
        """Add to a number that belongs to the process and to no loop; any thread may do so."""
        with self._counting:
            self._own.slot(metric, attributes).add(amount)

    def admit(self, metric: Metric, attributes: Attributes) -> tuple[Key, bool]:
        """Return the key under which an attribute set is counted, and whether the cap folded it."""
        key: Key = tuple(attributes.items())
        sets = self._sets[metric.name]
        if key in sets:
            return key, False
        with self._lock:
            if len(sets) < contract.SERIES_LIMIT:
                sets.add(key)
                return key, False
        self.overflowed(metric)
        return tuple((name, value if name in _KEPT else contract.OTHER) for name, value in key), True

    def overflowed(self, metric: Metric) -> None:
        """Tell, the first time, that measurements of this instrument are folded: a name or the cap left no room."""
        with self._lock:
            first = metric.name not in self._full
            self._full.add(metric.name)
        if first:
            self._on_overflow(metric.name)

    def read(self, metric: Metric) -> dict[Key, int]:
        """Return the sums of one metric over all loops. Counts of closed loops are kept, their gauges are 0."""
        with self._lock:
            self._retire_closed()
            shards = [self._own, *self._shards.values()]
            sums = {key: value for (name, key), value in self._retired.items() if name == metric.name}
        for shard in shards:
            for name, key, value in shard.values():
                if name == metric.name:
                    sums[key] = sums.get(key, 0) + value
        return sums

    def _retire_closed(self) -> None:
        for loop in [loop for loop in self._shards if loop.is_closed()]:
            self.durations.retire(loop)
            for name, key, value in self._shards.pop(loop).values():
                # Nothing is in flight in a closed loop: its gauges are 0 from now on. Were they gone instead, a back
                # end would go on showing the last value that happened to be exported.
                self._retired[name, key] = self._retired.get((name, key), 0) + (0 if name in _GAUGES else value)

    def watch(self, source: Source) -> None:
        """Ask ``source`` at every collection, as long as somebody else keeps it alive."""
        with self._lock:
            self._sources.add(source)

    def forget(self, source: Source) -> None:
        """Ask ``source`` no more."""
        with self._lock:
            self._sources.discard(source)

    def _ask(self, metric: Metric) -> dict[Key, int]:
        """Return what the sources say; several that speak of the same are summed."""
        with self._lock:
            sources = list(self._sources)
        sums: dict[Key, int] = {}
        for source in sources:
            for read, attributes, value in source.readings():
                if read is metric:
                    key, _ = self.admit(metric, attributes)
                    sums[key] = sums.get(key, 0) + value
        return sums

    def _observe(self, metric: Metric, _: CallbackOptions) -> Iterable[Observation]:
        if metric is contract.SDK_INFO:
            return [Observation(1, {contract.VERSION: __version__})]
        if metric.instrument is Instrument.COUNTER:
            return [Observation(value, dict(key)) for key, value in self.read(metric).items()]
        values = {} if metric.instrument is Instrument.GAUGE else self.read(metric)
        for key, value in self._ask(metric).items():
            values[key] = values.get(key, 0) + value
        if metric.instrument is Instrument.UP_DOWN_COUNTER:
            with self._lock:
                known = dict.fromkeys(self._sets[metric.name], 0)
            values = known | values  # who is gone says 0: a back end would go on showing the last value
        return [Observation(value, dict(key)) for key, value in values.items()]


# Folding keeps the provider and the error, which on-call needs, and what is only true or false: bounded by themselves.
_KEPT = frozenset(
    {
        contract.PROVIDER,
        contract.ERROR_TYPE,
        contract.ERROR_CATEGORY,
        contract.REFUSAL_REASON,
        contract.REFUSAL_ENFORCED,
    }
)
_GAUGES = frozenset(m.name for m in contract.METRICS if m.instrument is Instrument.UP_DOWN_COUNTER)
