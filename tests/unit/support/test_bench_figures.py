"""The figures of `make bench` are what their names say."""

from typing import Any

from tests.benchmarks import figures
from tests.benchmarks.figures import Samples


def _samples() -> Samples:
    samples = Samples()
    # The machine was twice as slow in the second round, and a stranger took something in the third.
    for raw, peers, ours in ((100, 300, 150), (200, 400, 250), (100, 900, 350)):
        for count in (1, 64):
            samples.add("peers_sampled", count, raw=raw, variant=peers)
            samples.add("buoy_sampled", count, raw=raw, variant=ours)
    return samples


def _figures() -> dict[str, Any]:
    return figures.of(_samples(), (1, 64))


def test_what_is_added_is_the_difference_within_a_round() -> None:
    """A round in which the machine was slower for all is no reason for another figure; its spread is said."""
    expected = {"median": 50, "least": 50, "most": 250}
    assert expected == _figures()["added_us"]["buoy_sampled"]["1"]


def test_a_ratio_is_of_what_is_added() -> None:
    """Ratios divide what is added to raw aiohttp, by variant and by how many are in flight."""
    expected = {"sampled_vs_peers": {"1": 0.25, "64": 0.25}}
    assert expected == _figures()["ratios"]


def test_raw_is_measured_beside_each() -> None:
    """The figure of raw aiohttp is the median of all processes; a variant's own is not above raw."""
    expected = {"raw": {"1": 100, "64": 100}, "peers_sampled": {"1": 400, "64": 400}}
    found = _figures()["cpu_us"]
    assert expected == {name: found[name] for name in expected}


def test_every_aim_has_its_ratio() -> None:
    """No aim is set for a ratio that is not measured."""
    assert figures.AIMS.keys() <= figures.RATIOS.keys()
