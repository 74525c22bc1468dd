"""The live view of the demo: what the receiver's figures look like, on a terminal and as lines."""

import pytest
from rich.console import Console

from buoy.cli.demo.view import Figures, closing, line, panel

FIGURES: Figures = {
    "calls": {"success": 1200, "refused": 34},
    "success": 0.972,
    "rate": 61.25,
    "latency": {"p50": 0.005, "p95": 1.25},
    "attempts_per_call": 1.125,
    "sends": {"first": 1200, "redirect": 60},
    "errors": {"attempt": {"network_error": 7, "timeout": 2}, "call": {"breaker_open": 30}},
    "refusals": {"breaker_open": 30, "breaker_open (shadow)": 4},
    "fallbacks": {"static": 3},
    "duplicates": {"in_flight": 5},
    "breakers": {"shop": "half_open", "shop.reviews": "metrics_only"},
    "time": {"attempts": 12.34, "rate_limit": 5.0},
}
EMPTY: Figures = {
    "calls": {},
    "success": None,
    "rate": 0.0,
    "latency": {"p50": None, "p95": None},
    "attempts_per_call": None,
    "sends": {},
    "errors": {"attempt": {}, "call": {}},
    "refusals": {},
    "fallbacks": {},
    "duplicates": {},
    "breakers": {},
    "time": {},
}


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        (
            FIGURES,
            (
                " 61.2 calls/s  success 97.2%  p50    5 ms  p95 1250 ms  attempts/call 1.12  failed attempts 9"
                "  refused 34  shop half_open"
            ),
        ),
        (
            EMPTY,
            "  0.0 calls/s  success     -  p50    - ms  p95    - ms  attempts/call -  failed attempts 0  refused 0",
        ),
    ],
    ids=["full", "empty"],
)
def test_a_moment_is_one_line(figures: Figures, text: str) -> None:
    """The line has the rate, the share of successes, latency, what was refused, and each breaker that holds back."""
    assert text == line(figures)


def test_a_moment_fills_a_terminal() -> None:
    """The panel shows results, errors, time, and what each policy did."""
    console = Console(width=140)
    with console.capture() as shown:
        console.print(panel(FIGURES, "3 s of 20"))
    text = " ".join(shown.get().split())
    for part in (
        "Buoy demo, 3 s of 20:",
        "redirect 60",
        "shop half_open",
        "shop.reviews metrics_only",
        "breaker_open (shadow) 4",
        "static 3",
        "in_flight 5",
        "rate_limit 5.0",
    ):
        assert part in text


def test_the_end_is_told_in_full() -> None:
    """The last figures are lines of text; what did not happen is told as none."""
    told = closing(FIGURES).splitlines()
    assert "  refusals: breaker_open 30, breaker_open (shadow) 4" in told
    assert "  where the time went, s: attempts 12.3, rate_limit 5.0" in told
    assert "  fallbacks: none" in closing(EMPTY).splitlines()
