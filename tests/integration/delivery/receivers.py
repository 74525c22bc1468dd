"""A receiver that misbehaves: calls do not notice, and what does not arrive is counted."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.integration.delivery.figures import figures, merged
from tests.integration.delivery.place import ON_DEMAND, Place, Report
from tests.integration.delivery.programs.shop import FAILURES
from tests.integration.delivery.row import Fate, Happened, Row, Section, all_of, whole
from tests.support.collector import OK, Answer, Says

CALLS = 50
MADE = CALLS + FAILURES
NOTHING: Mapping[str, str] = {}
LATE = 5.0  # seconds; a drain ends at its deadline, but the machine may be busy


def running(
    place: Place,
    *,
    deadline: float = 30,
    meanwhile: Callable[[], Any] = lambda: None,
    then: Callable[[], Any] | None = None,
    ends: str = "well",
    environment: Mapping[str, str] = NOTHING,
) -> Report:
    """Run the service and return its last report. ``meanwhile`` happens between its calls and its drain.

    With ``then`` it drains again after that.
    """
    with place.program("programs.receivers", CALLS, deadline, **environment) as service:
        # No call failed, and none waits for anything, whatever the receiver does.
        assert service.hear() == {"made": CALLS}
        assert place.calls == MADE
        meanwhile()
        service.tell()
        said = service.hear()
        assert said["waited"] < deadline + LATE
        if then is not None:
            then()
            service.tell("again")
            said = service.hear()
        report: Report = said["report"]
        check(place, report)
        service.tell(ends)
        assert service.end() == 0
    return report


def check(place: Place, report: Report) -> None:
    """Check that the report says what has arrived, and that each span and each log is delivered or counted."""
    assert len(place.collector.spans) == report["spans"]["flushed"]
    assert len(place.collector.logs) == report["logs"]["flushed"]
    assert 2 * place.calls == report["spans"]["flushed"] + sum(report["spans"]["dropped"].values())


def of_calls(dropped: Mapping[str, int], made: int) -> Mapping[str, int]:
    """Return the losses of the logs of calls: with them go those that tell of the losses."""
    (reason,) = dropped
    assert made <= dropped[reason]
    return {reason: made}


def saying(place: Place, says: Says, *, result: str) -> Happened:
    """Let the receiver say something to each request, and check that its counters are what the report says."""
    place.collector.says = says
    report = running(place, environment=ON_DEMAND)
    assert result == report["result"]
    return counted(place, figures(place, spans=report["spans"]["dropped"], logs=report["logs"]["dropped"]))


def counted(place: Place, happened: Happened) -> Happened:
    """Check that the receiver was told of the lost spans by the counter."""
    (instance,) = place.collector.instances
    lost = place.collector.by(instance, "buoy.telemetry.dropped", "buoy.telemetry.signal", "buoy.telemetry.drop_reason")
    expected = {("span", reason): count for reason, count in happened.spans.lost.items()}
    assert expected == {key: count for key, count in lost.items() if key[0] == "span"}
    return happened


def slow(place: Place) -> Happened:
    """Hold every answer until the calls are made."""
    place.collector.hold("traces", "metrics", "logs")
    report = running(place, meanwhile=place.collector.release)
    assert report["result"] == "flushed"
    return counted(place, figures(place))


def hanging(place: Place) -> Happened:
    """Hold the answers to spans and logs for ever: metrics tell what became of them."""
    place.collector.hold("traces", "logs")
    report = running(place, deadline=1, ends="die")
    assert report["result"] == "deadline"
    logs = of_calls(report["logs"]["dropped"], FAILURES)
    return counted(place, figures(place, spans=report["spans"]["dropped"], logs=logs))


def gone(place: Place) -> Happened:
    """Be down for the whole run: the report says it."""
    place.collector.refuse()
    report = running(place, deadline=1, ends="die")
    logs = of_calls(merged(report["logs"]["dropped"], *GONE), FAILURES)
    return figures(place, spans=merged(report["spans"]["dropped"], *GONE), logs=logs, unseen_calls=place.calls)


def overflowing(place: Place) -> Happened:
    """Make more spans than the queue takes, while they are not taken: it keeps so many, and memory is bounded."""
    place.collector.refuse()
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "40", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "40"}
    report = running(place, deadline=1, ends="die", environment=small)
    spans = report["spans"]["dropped"]
    # What waited, and what was being sent.
    assert spans["queue_full"] >= 2 * MADE - 2 * 40
    logs = of_calls(merged(report["logs"]["dropped"], *GONE), FAILURES)
    return figures(place, spans=merged(spans, "queue_full", *GONE), logs=logs, unseen_calls=place.calls)


def back(place: Place) -> Happened:
    """Be down while the calls are made, and back before the drain."""
    place.collector.refuse()
    report = running(place, meanwhile=place.collector.listen)
    assert report["result"] == "flushed"
    return counted(place, figures(place))


def late(place: Place, *, deadline: float, environment: Mapping[str, str] = NOTHING) -> Happened:
    """Be down for a first drain, and back before a second: it delivers the counters, and what was lost stays lost."""
    place.collector.refuse()
    report = running(place, deadline=deadline, then=place.collector.listen, environment=environment)
    logs = of_calls(report["logs"]["dropped"], FAILURES)
    return counted(place, figures(place, spans=report["spans"]["dropped"], logs=logs))


def unless_metrics(answer: Answer) -> Says:
    """Say it to spans and logs, and take metrics."""
    return lambda signal, _before: OK if signal == "metrics" else answer


def again(answer: Answer) -> Says:
    """Say it to the first request of each signal, and take what comes after."""
    return lambda _signal, before: answer if before == 0 else OK


def lost(reason: str) -> Happened:
    """Every span and every log is lost, and counts arrive."""
    return Happened(
        spans=Fate(made=2 * MADE, arrived=0, lost={reason: 2 * MADE}),
        calls=all_of(MADE),
        logs=Fate(made=FAILURES, arrived=0, lost={reason: FAILURES}),
    )


RETRY_AFTER = (("Retry-After", "1"),)
GONE = ("export_failed", "shutdown")
LOST = " or ".join(GONE)

RECEIVERS = Section(
    title="The receiver misbehaves",
    text="A service makes 53 calls, of which 3 fail and are logged, and drains. No call fails or waits because of it.",
    rows=(
        Row(
            situation="429 with Retry-After, then well",
            run=partial(saying, says=again(Answer(429, headers=RETRY_AFTER)), result="flushed"),
            expected=whole(MADE, FAILURES),
        ),
        Row(
            situation="503, then well",
            run=partial(saying, says=again(Answer(503)), result="flushed"),
            expected=whole(MADE, FAILURES),
        ),
        Row(
            situation="400 to spans and logs",
            run=partial(saying, says=unless_metrics(Answer(400)), result="partial"),
            expected=lost("export_failed"),
        ),
        Row(
            situation="`partial_success`: 1 of each batch rejected",
            run=partial(saying, says=unless_metrics(Answer(rejected=1)), result="partial"),
            expected=Happened(
                spans=Fate(made=2 * MADE, arrived=2 * MADE - 1, lost={"partial_success": 1}),
                calls=all_of(MADE),
                logs=Fate(made=FAILURES, arrived=FAILURES - 1, lost={"partial_success": 1}),
            ),
        ),
        Row(situation="slow: it answers when the calls are made", run=slow, expected=whole(MADE, FAILURES)),
        Row(
            situation="hanging: it never answers spans and logs",
            run=hanging,
            expected=lost("shutdown"),
            note="given up at the deadline",
        ),
        Row(
            situation="down for the whole run",
            run=gone,
            expected=Happened(
                spans=Fate(made=2 * MADE, arrived=0, lost={LOST: 2 * MADE}),
                calls=Fate(made=MADE, arrived=0, unseen=MADE),
                logs=Fate(made=FAILURES, arrived=0, lost={LOST: FAILURES}),
                instances=0,
            ),
            note="the report and the log say it; nobody hears the counters",
        ),
        Row(
            situation="down, with a queue of 40 spans",
            run=overflowing,
            expected=Happened(
                spans=Fate(made=2 * MADE, arrived=0, lost={f"queue_full or {LOST}": 2 * MADE}),
                calls=Fate(made=MADE, arrived=0, unseen=MADE),
                logs=Fate(made=FAILURES, arrived=0, lost={LOST: FAILURES}),
                instances=0,
            ),
            note="memory is bounded: 40 wait, 40 are on their way",
        ),
        Row(situation="down during the calls, back at the drain", run=back, expected=whole(MADE, FAILURES)),
        Row(
            situation="down for longer than an export is tried, back before a second drain",
            run=partial(late, deadline=30, environment={"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}),
            expected=lost("export_failed"),
            note="the counters arrive, with what was lost",
        ),
        Row(
            situation="down until the deadline of a drain, back before a second drain",
            run=partial(late, deadline=1),
            expected=lost("shutdown"),
            note="the same; what was given up is not sent any more",
        ),
    ),
)
