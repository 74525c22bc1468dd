"""How a service ends: each row is a process that made its calls and then goes."""

import re
import signal
from functools import partial

from tests.integration.delivery.figures import agree, figures
from tests.integration.delivery.place import ON_DEMAND, Place
from tests.integration.delivery.programs.endings import CALLS
from tests.integration.delivery.programs.shop import FAILURES
from tests.integration.delivery.row import Fate, Happened, Row, Section, all_of, whole

MADE = CALLS + FAILURES


def drained(place: Place) -> Happened:
    """Drain, and compare the report with what has arrived when it comes."""
    with place.program("programs.endings", "drained") as service:
        report = service.hear()["report"]
        agree(place, report)
        assert (report["finished"], report["cut"], report["result"]) == (0, 0, "flushed")
        service.tell()
        assert service.end() == 0
    return figures(place)


def left(place: Place) -> Happened:
    """Say nothing, and end."""
    return _ended(place, "left", 0)


def failing(place: Place) -> Happened:
    """Raise."""
    return _ended(place, "failing", 1)


def exiting(place: Place) -> Happened:
    """Exit from within the block of a provider."""
    return _ended(place, "exiting", 3)


def killed(place: Place) -> Happened:
    """Die at once."""
    with place.program("programs.endings", "killed", **ON_DEMAND) as service:
        assert service.end() == 0
    return figures(place, unseen_spans=2 * place.calls - place.spans, unseen_calls=place.calls - place.counted)


def signalled(place: Place, number: signal.Signals) -> Happened:
    """Get a signal that nobody handles, or can."""
    with place.program("programs.endings", "waiting", **ON_DEMAND) as service:
        assert service.hear() == {"ready": True}
        service.send(number)
        assert -number == service.end()
    return figures(place, unseen_spans=2 * place.calls - place.spans, unseen_calls=place.calls - place.counted)


def unheard(place: Place) -> Happened:
    """End while nobody listens: it does not take long, and what was lost is logged."""
    place.collector.refuse()
    with place.program("programs.endings", "left", **ON_DEMAND, OTEL_EXPORTER_OTLP_TIMEOUT="1") as service:
        assert service.end() == 0
        assert "buoy.telemetry.drained buoy.telemetry.drain_result=partial flushed=0" in service.errors
        lost = re.findall(r"signal=(\w+) buoy.telemetry.drop_reason=(\w+) count=(\d+)", service.errors)
    spans = {reason: int(count) for signal, reason, count in lost if signal == "span"}
    # The first loss has the logs of the calls; those that tell of losses may be lost after them.
    reason, count = next((reason, int(count)) for signal, reason, count in lost if signal == "log")
    assert count >= FAILURES
    logs = {reason: FAILURES}
    return figures(place, spans=spans, logs=logs, unseen_calls=place.calls)


def closed(place: Place) -> Happened:
    """Close the loop with calls in flight."""
    with place.program("programs.endings", "closed") as service:
        place.called.wait_for_held(3)
        service.tell()
        assert service.hear() == {"in_flight": 3}
        assert service.end() == 0
    assert place.results == {"success": CALLS, "cancelled": 3}
    return figures(place)


def threads(place: Place) -> Happened:
    """Call from three loops at once."""
    with place.program("programs.endings", "threads") as service:
        agree(place, service.hear()["report"])
        service.tell()
        assert service.end() == 0
    return figures(place)


def in_flight(place: Place) -> Happened:
    """Drain while nobody answers the calls in flight."""
    with place.program("programs.endings", "in_flight") as service:
        place.called.wait_for_held(3)
        service.tell()
        report = service.hear()["report"]
        agree(place, report)
        assert (report["finished"], report["cut"]) == (0, 3)
        service.tell()
        assert service.hear() == {"ended": ["CancelledError"] * 3}
        assert service.end() == 0
    assert place.results == {"success": CALLS, "cancelled": 3}
    return figures(place)


def _ended(place: Place, how: str, status: int) -> Happened:
    with place.program("programs.endings", how) as service:
        assert status == service.end()
    return figures(place)


# By a signal.


def default(place: Place) -> Happened:
    """End by SIGTERM with calls in flight that are answered: they end well, and the status is the signal's."""
    return _signalled(place, "", answered=True)


def cut(place: Place) -> Happened:
    """End by SIGTERM with calls in flight that nobody answers: they are cut at the deadline."""
    return _signalled(place, "", answered=False)


def handler(place: Place) -> Happened:
    """End by SIGTERM where the service had a handler: it is called after the drain."""
    return _signalled(place, "handler", answered=True)


def on_loop(place: Place) -> Happened:
    """The same with a handler on the loop."""
    return _signalled(place, "loop", answered=True)


def _signalled(place: Place, own: str, *, answered: bool) -> Happened:
    with place.program("programs.signalled", 20 if answered else 0.5, own) as service:
        assert service.hear() == {"ready": True}
        place.called.wait_for_held(2)
        service.send(signal.SIGTERM)
        assert service.hear() == {"draining": True}
        if answered:
            place.called.release()
        ending = "dict" if answered else "CancelledError"
        said = [service.hear()]
        if own:
            said.append(service.hear())
            service.tell()
        assert {"flying": [ending, ending]} in said
        if own:
            assert {"own": own} in said
        assert (0 if own else -signal.SIGTERM) == service.end()
    expected = {"success": 12} if answered else {"success": 10, "cancelled": 2}
    assert expected == {result: value for result, value in _of_shop(place).items() if value}
    return figures(place)


def _of_shop(place: Place) -> dict[str, float]:
    found: dict[str, float] = {}
    for instance in place.collector.instances:
        by = place.collector.by(instance, "buoy.client.calls", "buoy.provider", "buoy.call.result")
        for (provider, result), value in by.items():
            if provider == "shop":
                found[result] = found.get(result, 0) + value
    return found


def twice(place: Place) -> Happened:
    """Send the signal twice: who asks again does not want to wait."""
    with place.program("programs.signalled", 300, **ON_DEMAND) as service:
        assert service.hear() == {"ready": True}
        place.called.wait_for_held(2)
        service.send(signal.SIGTERM)
        assert service.hear() == {"draining": True}
        service.send(signal.SIGTERM)
        assert service.end() == -signal.SIGTERM
    return figures(place, unseen_spans=2 * place.calls - place.spans, unseen_calls=place.calls - place.counted)


def worker(place: Place) -> Happened:
    """Run the recipe for Kubernetes: SIGTERM while its calls are in flight."""
    with place.program("recipes.worker") as service:
        place.called.wait_for_held(3)
        service.send(signal.SIGTERM)
        place.called.release()
        assert service.end() == -signal.SIGTERM
    assert place.results == {"success": 3}
    return figures(place)


def script(place: Place) -> Happened:
    """Run the recipe for a script."""
    with place.program("recipes.script") as service:
        assert service.lines() == ["flushed 20 {}"]
        assert service.end() == 0
    return figures(place)


GONE = Happened(
    spans=Fate(made=2 * CALLS, arrived=0, unseen=2 * CALLS),
    calls=Fate(made=CALLS, arrived=0, unseen=CALLS),
    logs=all_of(0),
)

ENDINGS = Section(
    title="A process ends",
    text="Each makes 13 calls, of which 3 fail and are logged, unless the situation needs others.",
    rows=(
        Row(situation="`await buoy.drain()`", run=drained, expected=whole(MADE, FAILURES)),
        Row(situation="no drain: the interpreter ends", run=left, expected=whole(MADE, FAILURES)),
        Row(situation="an exception that nobody catches", run=failing, expected=whole(MADE, FAILURES)),
        Row(situation="`sys.exit()` within the block of a provider", run=exiting, expected=whole(CALLS)),
        Row(situation="the loop is closed with 3 calls in flight", run=closed, expected=whole(CALLS + 3)),
        Row(situation="3 loops in threads, then a drain", run=threads, expected=whole(3 * CALLS)),
        Row(situation="a drain with 3 calls in flight that nobody answers", run=in_flight, expected=whole(CALLS + 3)),
        Row(situation="a script (recipe)", run=script, expected=whole(10)),
        Row(
            situation="no drain: the interpreter ends, and the receiver is down",
            run=unheard,
            expected=Happened(
                spans=Fate(made=2 * MADE, arrived=0, lost={"export_failed": 2 * MADE}),
                calls=Fate(made=MADE, arrived=0, unseen=MADE),
                logs=Fate(made=FAILURES, arrived=0, lost={"export_failed": FAILURES}),
                instances=0,
            ),
            note="a log says it; it takes 8 s at most",
        ),
        Row(
            situation="SIGTERM without `drain_on_signals()`",
            run=partial(signalled, number=signal.SIGTERM),
            expected=GONE,
            note="lost is what was not sent by then: spans and logs of 5 s at most, counts of 10 s",
        ),
        Row(situation="SIGKILL", run=partial(signalled, number=signal.SIGKILL), expected=GONE, note="the same"),
        Row(situation="`os._exit()`", run=killed, expected=GONE, note="the same"),
    ),
)

SIGNALS = Section(
    title="A signal ends it",
    text="`buoy.drain_on_signals()`; SIGTERM comes while 2 calls are in flight, after 10 others.",
    rows=(
        Row(situation="no handler before; they are answered", run=default, expected=whole(12)),
        Row(situation="no handler before; nobody answers: they are cut at the deadline", run=cut, expected=whole(12)),
        Row(situation="a handler of the `signal` module before", run=handler, expected=whole(12)),
        Row(situation="a handler of the loop before", run=on_loop, expected=whole(12)),
        Row(situation="a worker on Kubernetes (recipe)", run=worker, expected=whole(3)),
        Row(
            situation="a second SIGTERM while it drains",
            run=twice,
            expected=Happened(
                spans=Fate(made=24, arrived=0, unseen=24),
                calls=Fate(made=12, arrived=0, unseen=12),
                logs=all_of(0),
            ),
            note="it ends at once",
        ),
    ),
)
