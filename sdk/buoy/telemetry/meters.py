"""The process-wide registry of metrics: plain slots that observable instruments read, and the histograms.

A counter of the SDK costs 7 to 10 microseconds, a slot 0.1. A slot belongs to one event loop, so that no thread shares
it; reading sums over the loops, those that are gone included: counters never fall. Callbacks are registered once per
process, since the API silently drops a second one of the same name.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol
from weakref import WeakSet

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from buoy import contract
from buoy.contract import Instrument, Metric
from buoy.version import __version__

Attributes = Mapping[str, str | bool]
Key = tuple[tuple[str, str | bool], ...]


class Slot:
    """One number of one loop. ``folded`` counts what lands here because the cap was reached."""

    __slots__ = ("folded", "value")

    def __init__(self, folded: "Slot | None" = None) -> None:
        self.value = 0
        self.folded = folded

    def add(self, amount: int = 1) -> None:
        """Add ``amount``; the slot's own loop alone may do so."""
        self.value += amount
        if self.folded is not None:
            self.folded.value += 1


class Timer:
    """One attribute set of one histogram, with its dict made once. ``folded`` as on :class:`Slot`."""

    __slots__ = ("attributes", "folded", "histogram")

    def __init__(self, histogram: Histogram, attributes: Attributes, folded: Slot | None) -> None:
        self.histogram = histogram
        self.attributes = attributes
        self.folded = folded


class Shard:
    """The slots of one event loop. Only that loop's thread makes and changes them; any thread may read."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
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
        """Return the histogram with this attribute set."""
        key, over = self._registry.admit(metric, attributes)
        timer = self._timers.get((metric.name, key))
        if timer is None:
            overflow = self._overflow(metric) if over or folded else None
            timer = Timer(self._registry.histograms[metric.name], dict(key), overflow)
            self._timers[metric.name, key] = timer
        return timer

    def _overflow(self, metric: Metric) -> Slot:
        return self.slot(contract.OVERFLOWS, {contract.INSTRUMENT: metric.name})

    def values(self) -> list[tuple[str, Key, int]]:
        """Return all numbers, as they are now."""
        return [(name, key, slot.value) for (name, key), slot in list(self._slots.items())]


class Source(Protocol):
    """Whoever has something to say that is no count: what is left, what is taken. Any thread may ask it."""

    def readings(self) -> Iterable[tuple[Metric, Attributes, int]]:
        """Return what is so now."""


class Registry:
    """All metrics of the process. ``on_overflow`` is told once, by name, of each instrument whose cap was reached."""

    def __init__(self, meter: Meter, *, on_overflow: Callable[[str], None] = lambda _: None) -> None:
        self._lock = threading.Lock()
        self._on_overflow = on_overflow
        self._sets: dict[str, set[Key]] = {metric.name: set() for metric in contract.METRICS}
        self._full: set[str] = set()
        self._shards: dict[asyncio.AbstractEventLoop, Shard] = {}
        self._retired: dict[tuple[str, Key], int] = {}
        self._sources: WeakSet[Source] = WeakSet()
        self.histograms: dict[str, Histogram] = {}
        for metric in contract.METRICS:
            self._register(meter, metric)

    def _register(self, meter: Meter, metric: Metric) -> None:
        observe = partial(self._observe, metric)
        if metric.instrument is Instrument.HISTOGRAM:
            self.histograms[metric.name] = meter.create_histogram(
                metric.name,
                unit=metric.unit,
                description=metric.answers,
                explicit_bucket_boundaries_advisory=list(metric.boundaries),
            )
        elif metric.instrument is Instrument.COUNTER:
            meter.create_observable_counter(metric.name, [observe], metric.unit, metric.answers)
        elif metric.instrument is Instrument.GAUGE:
            meter.create_observable_gauge(metric.name, [observe], metric.unit, metric.answers)
        else:
            meter.create_observable_up_down_counter(metric.name, [observe], metric.unit, metric.answers)

    def shard(self, loop: asyncio.AbstractEventLoop) -> Shard:
        """Return the slots of ``loop``; to be called in its thread."""
        with self._lock:
            self._retire_closed()  # also here: where nobody reads, nothing else would let go of a closed loop
            shard = self._shards.get(loop)
            if shard is None:
                shard = self._shards[loop] = Shard(self)
        for metric in contract.METRICS:
            shard.slot(contract.OVERFLOWS, {contract.INSTRUMENT: metric.name})
        return shard

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
            first = metric.name not in self._full
            self._full.add(metric.name)
        if first:
            self._on_overflow(metric.name)
        return tuple((name, value if name in _KEPT else contract.OTHER) for name, value in key), True

    def read(self, metric: Metric) -> dict[Key, int]:
        """Return the sums of one metric over all loops. Counts of closed loops are kept, their gauges are 0."""
        with self._lock:
            self._retire_closed()
            shards = list(self._shards.values())
            sums = {key: value for (name, key), value in self._retired.items() if name == metric.name}
        for shard in shards:
            for name, key, value in shard.values():
                if name == metric.name:
                    sums[key] = sums.get(key, 0) + value
        return sums

    def _retire_closed(self) -> None:
        for loop in [loop for loop in self._shards if loop.is_closed()]:
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
