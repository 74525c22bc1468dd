"""The judge of what is reported of breakers, limiters and permits: nothing impossible passes."""

from pathlib import Path

import pytest

from tests.unit.support.lies import Lie, checks, named, verdict_on
from tests.unit.support.protobuf import key, put
from tests.unit.support.synthetic import PROVIDER, Run
from tests.unit.support.truthful import status


def gauge(export: int, metric: str, value: int, **what: str) -> Lie:
    """Return a lie that sets a gauge in one export (from 1)."""

    def lie(run: Run) -> None:
        labels = {f"buoy.{name.replace('__', '.')}": text for name, text in what.items()}
        run.gauges[export - 1][key(metric, {**PROVIDER, **labels})] = value

    return named(lie, f"{metric} {' '.join(what.values())} {value} in {export}")


def state(export: int, present: str) -> Lie:
    """Return a lie that puts the shop's breaker into another state in one export (from 1)."""

    def lie(run: Run) -> None:
        run.gauges[export - 1] |= status("shop", present)

    return named(lie, f"{present or 'nowhere'} in {export}")


def state_is_missing(run: Run) -> None:
    """A state of a breaker is not reported."""
    del run.gauges[0][next(iter(status("shop", "open")))]


def unknown_cause(run: Run) -> None:
    """A breaker changed because of something that there is not."""
    run.sums[run.transition("shop", "open", "weather")] = 1


def closed_by_hope(run: Run) -> None:
    """The probe that closed the breaker failed."""
    probe = run.span("PUT /stock/{id}", buoy__breaker__state="half_open")
    put(probe, error__type="network_error", buoy__error__category="network")


def probes_of_a_closed_breaker(run: Run) -> None:
    """There were probes, and the breaker never let anybody try."""
    run.sums.update({series: -run.sums[series] for series in run.sums if series[0] == "buoy.breaker.transitions"})


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (gauge(1, "buoy.breaker.status", 1, breaker__name="shop", breaker__state="closed"), "one state at a time"),
        (gauge(1, "buoy.breaker.status", 2, breaker__name="shop", breaker__state="open"), "one state at a time"),
        (state(1, ""), "one state at a time"),
        (state_is_missing, "one state at a time"),
        (unknown_cause, "transitions make a path"),
        (state(1, "metrics_only"), "status follows transitions"),
        (state(2, "open"), "status follows transitions"),
        (state(3, "half_open"), "status follows transitions"),
        (state(4, "open"), "status follows transitions"),
        (closed_by_hope, "closed by probes"),
        (probes_of_a_closed_breaker, "closed by probes"),
        (gauge(1, "buoy.concurrency.usage", 2), "gauges are possible"),
        (gauge(1, "buoy.concurrency.waiting", -1), "gauges are possible"),
        (gauge(1, "buoy.rate_limiter.quota.remaining", 101, rate_limiter__source="server"), "gauges are possible"),
        (gauge(2, "buoy.retry.budget.remaining", -1), "gauges are possible"),
        (gauge(4, "buoy.concurrency.usage", 1), "gauges are possible"),
        (gauge(4, "buoy.rate_limiter.waiting", 1), "gauges are possible"),
    ],
)
def test_what_is_reported_must_be_possible(lie: Lie, check: str, tmp_path: Path) -> None:
    """A breaker is in one state, which its transitions lead to; nothing is below 0 or above what there is."""
    assert check in checks(verdict_on(lie, tmp_path))


def opened_by_the_provider(run: Run) -> None:
    """The provider asked for the second opening, in half-open."""
    run.sums[run.transition("shop", "open", "retry_after")] = 1
    del run.sums[run.transition("shop", "open", "probe_failed")]


def seen_before_it_was_counted(run: Run) -> None:
    """The breaker changed while it was reported: its state is the next one already."""
    state(1, "half_open")(run)


def counted_before_it_was_seen(run: Run) -> None:
    """The breaker changed while it was reported: its state is still the one before."""
    state(2, "half_open")(run)


def half_open_is_over(run: Run) -> None:
    """A half-open time that ran out is seen as open before anybody asks."""
    assert run.earlier is not None
    run.earlier[0][run.transition("shop", "half_open", "wait_elapsed")] = 1


def by_hand(run: Run) -> None:
    """An operator did something: then everything is possible."""
    run.sums[run.transition("shop", "closed", "manual")] = 3


@pytest.mark.parametrize(
    "truth",
    [
        opened_by_the_provider,
        seen_before_it_was_counted,
        counted_before_it_was_seen,
        half_open_is_over,
        by_hand,
    ],
)
def test_what_is_possible_is_no_difference(truth: Lie, tmp_path: Path) -> None:
    """The judge knows what can be true although it looks odd."""
    assert verdict_on(truth, tmp_path) == []
