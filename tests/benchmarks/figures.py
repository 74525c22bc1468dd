"""What the samples of a benchmark say: medians, what is added to raw aiohttp, and the ratios that are aimed at."""

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# Ratio of what the one adds to raw aiohttp to what the other adds.
RATIOS = {
    "sampled_vs_peers": ("buoy_sampled", "peers_sampled"),
    "unsampled_vs_peers": ("buoy_unsampled", "peers_sampled"),
    "no_sdk_vs_peers": ("buoy_no_sdk", "peers_sampled"),
    "sampled_foreign_sdk_vs_peers": ("buoy_foreign_sdk", "peers_sampled"),
    "sampled_vs_bare_otel": ("buoy_sampled", "bare_otel"),
    "all_policies_vs_peers": ("buoy_all_policies", "peers_sampled"),
    "no_sdk_vs_peers_without_instrumentor": ("buoy_no_sdk", "peers_without_instrumentor"),
    "operations_200_vs_1": ("buoy_200_operations", "buoy_sampled"),
}
# At most, and better.
AIMS = {
    "sampled_vs_peers": (0.50, 0.30),
    "unsampled_vs_peers": (0.30, 0.20),
    "no_sdk_vs_peers": (0.10, 0.07),
    "sampled_foreign_sdk_vs_peers": (1.00, 0.80),
    "sampled_vs_bare_otel": (0.80, 0.45),
}


class Pair(NamedTuple):
    """One round of one variant, in microseconds per call."""

    raw: float
    variant: float


class Samples:
    """All rounds of all variants."""

    def __init__(self) -> None:
        self._pairs: defaultdict[tuple[str, int], list[Pair]] = defaultdict(list)

    def add(self, name: str, in_flight: int, *, raw: float, variant: float) -> None:
        """Keep a round."""
        self._pairs[name, in_flight].append(Pair(raw, variant))

    def names(self) -> list[str]:
        """Return the variants, in the order in which they were added."""
        return list(dict.fromkeys(name for name, _ in self._pairs))

    def of(self, name: str, in_flight: int) -> list[float]:
        """Return a variant's samples."""
        return [pair.variant for pair in self._pairs[name, in_flight]]

    def raw(self, in_flight: int) -> list[float]:
        """Return the samples of raw aiohttp, of every process."""
        return [pair.raw for (_, count), pairs in self._pairs.items() if count == in_flight for pair in pairs]

    def added(self, name: str, in_flight: int) -> list[float]:
        """Return what a variant adds to raw, in each round."""
        return [pair.variant - pair.raw for pair in self._pairs[name, in_flight]]


def of(samples: Samples, in_flight: Sequence[int]) -> dict[str, Any]:
    """Return the figures by variant and by number in flight; ``most_to_least`` is 1 where that changes nothing."""
    names = samples.names()
    cpu = {name: {str(n): statistics.median(samples.of(name, n)) for n in in_flight} for name in names}
    cpu = {"raw": {str(n): statistics.median(samples.raw(n)) for n in in_flight}} | cpu
    added = {name: {str(n): spread(samples.added(name, n)) for n in in_flight} for name in names}
    medians = {name: [cell["median"] for cell in row.values()] for name, row in added.items()}
    return {
        "cpu_us": _rounded(cpu, 1),
        "added_us": _rounded(added, 1),
        "ratios": _rounded(ratios(added), 3),
        "most_to_least": {name: round(max(row) / min(row), 3) for name, row in medians.items()},
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median with the least and the most around it."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def ratios(added: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the ratios of all whose two variants were measured."""
    return {
        ratio: {n: added[name][n]["median"] / added[base][n]["median"] for n in added[name]}
        for ratio, (name, base) in RATIOS.items()
        if name in added and base in added
    }


def show(found: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    """Print all that was found."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    print(f"{found['machine']}; {found['rounds']} rounds of {found['calls']} calls\n{versions}\n")
    for line in _costs(found, titles):
        print(line)
    print(f"\n{'ratio of what is added':40}{'1 in flight':>13}{'64':>8}{'must':>8}{'goal':>8}")
    for name, row in found["ratios"].items():
        aims = "".join(f"{aim:8.2f}" for aim in AIMS.get(name, ()))
        print(f"  {name:38}{row['1']:13.2f}{row['64']:8.2f}{aims}")
    for line in _sweep(found["in_flight"], titles):
        print(line)


def _sweep(found: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    raw = found["cpu_us"]["raw"]
    yield f"\n{'added, by how many are in flight':40}{''.join(f'{n:>8}' for n in raw)}{'most to least':>16}"
    yield f"  {'(raw aiohttp)':38}{''.join(f'{us:8.1f}' for us in raw.values())}"
    for name, row in found["added_us"].items():
        cells = "".join(f"{cell['median']:8.1f}" for cell in row.values())
        yield f"  {titles[name]:38}{cells}{found['most_to_least'][name]:16.2f}"


def _costs(found: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    counts = list(found["cpu_us"]["raw"])
    heads = "".join(f"{f'{n} in flight':>13}{'added':>9}{'from .. to':>16}" for n in counts)
    yield f"{'CPU us per call':40}{heads}{'an export of metrics, ms':>27}"
    yield f"  {'raw aiohttp':38}" + "".join(f"{found['cpu_us']['raw'][n]:13.1f}{'':25}" for n in counts)
    for name, row in found["added_us"].items():
        line = f"  {titles[name]:38}"
        for n in counts:
            cell = row[n]
            between = f"{cell['least']:.1f} .. {cell['most']:.1f}"
            line += f"{found['cpu_us'][name][n]:13.1f}{cell['median']:9.1f}{between:>16}"
        yield f"{line}{found['metrics_export_ms'][name]:27.1f}"


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each, digits) for name, each in value.items()}
    return round(value, digits)
