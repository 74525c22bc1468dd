"""The judge of what policies did and how long it took: no single lie about it passes."""

from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.unit.support.calls import Ending
from tests.unit.support.lies import Lie, checks, joiner, named, verdict_on
from tests.unit.support.protobuf import Key, key, put
from tests.unit.support.synthetic import MS, PROVIDER, SECOND, Run
from tests.unit.support.truthful import FINE, PRODUCT

LIST, CALL = "GET /products", "shop products.get"
REFUSED, JOINED, USED = "buoy.call.refused", "buoy.duplicate.found", "buoy.fallback.used"


def refusals_of(reason: str) -> Key:
    """Return the series that counts who was held back."""
    return key("buoy.client.refusals", {**PROVIDER, "buoy.refusal.reason": reason, "buoy.refusal.enforced": True})


def refused(run: Run, reason: str, **attributes: str) -> Span:
    """Return the first call that tells of this refusal and has these attributes (``__`` for a dot)."""
    wanted = {name.replace("__", "."): value for name, value in attributes.items()}
    return next(
        span
        for span in run.spans
        if any(reason in str(event) for event in span.events)
        and all(value in str([item for item in span.attributes if item.key == name]) for name, value in wanted.items())
    )


def first_of(run: Run, call: Span) -> Span:
    """Return the call that this one joined."""
    return next(span for span in run.spans if span.span_id == call.links[0].span_id)


def move(span: Span, begin: int) -> None:
    """Move a span to another time."""
    span.end_time_unix_nano += begin - span.start_time_unix_nano
    span.start_time_unix_nano = begin


def without_event(name: str, reason: str) -> Lie:
    """Return a lie that drops the events of the first span that has such one."""

    def lie(run: Run) -> None:
        span = next(span for span in run.spans if any(name == e.name and reason in str(e) for e in span.events))
        kept = [event for event in span.events if event.name != name]
        del span.events[:]
        span.events.extend(kept)

    return named(lie, f"without {name} {reason}")


def refused_by_another(run: Run) -> None:
    """The event names another policy than the error."""
    put(refused(run, "concurrency_limited").events[0], buoy__refusal__reason="breaker_open")


def refused_in_the_shadow(run: Run) -> None:
    """Who was held back claims that nobody was."""
    put(refused(run, "concurrency_limited").events[0], buoy__refusal__enforced=False)


def a_shadow_holds_back(run: Run) -> None:
    """A call that went on claims to have been held back."""
    put(run.span("shop reviews.list").events[0], buoy__refusal__enforced=True)


def two_shadows(run: Run) -> None:
    """A call tells twice of the same shadow."""
    span = run.span("shop reviews.list")
    span.events.append(span.events[0])


def shadow_without_a_name(run: Run) -> None:
    """A shadow breaker does not say which it is."""
    put(run.span("shop reviews.list").events[0], buoy__breaker__name=None)


def no_link(run: Run) -> None:
    """A call that joined another does not say which."""
    del joiner(run).links[:]


def links_to_an_attempt(run: Run) -> None:
    """A call joined an attempt."""
    joiner(run).links[0].span_id = run.spans[1].span_id


def links_to_another_operation(run: Run) -> None:
    """A call joined one that asked for something else."""
    other = run.span("shop stock.set")
    link = joiner(run).links[0]
    link.trace_id, link.span_id = other.trace_id, other.span_id


def joined_with_sends(run: Run) -> None:
    """A call that joined has a send of its own."""
    call = joiner(run)
    span = run.span(PRODUCT)
    span.trace_id, span.parent_span_id = call.trace_id, call.span_id


def joined_too_late(run: Run) -> None:
    """A call joined one that was over."""
    call = joiner(run)
    move(call, first_of(run, call).end_time_unix_nano + MS)


def joined_and_succeeded(run: Run) -> None:
    """A flight was refused, and who joined it has an answer."""
    call = next(span for span in run.spans if span.links and span.events and "breaker_open" in str(span.events))
    put(call, error__type=None, buoy__refusal__reason=None)
    call.status.code = Status.STATUS_CODE_UNSET


def resend_is_no_duplicate(run: Run) -> None:
    """A call that the transport sent twice says nothing of it."""
    put(run.span(CALL, buoy__duplicate__source="resend"), buoy__duplicate__source=None)


def fallback_is_a_success(run: Run) -> None:
    """What a fallback answered is counted as a success."""
    labels = {**PROVIDER, "buoy.operation": "offers.list"}
    run.sums[key("buoy.client.calls", {**labels, "buoy.call.result": "refused"})] -= 1
    run.sums[key("buoy.client.calls", {**labels, "buoy.call.result": "success"})] += 1


def fallback_shows_its_error(run: Run) -> None:
    """A call that a fallback answered ends as an error."""
    put(run.span("shop offers.list"), error__type="breaker_open", buoy__refusal__reason="breaker_open")


def fallback_masks_nothing(run: Run) -> None:
    """A call says that its answer is a fallback, and not for what."""
    put(run.span("shop offers.list"), buoy__error__masked=None)


def fallback_hides_a_mistake(run: Run) -> None:
    """A fallback stands in for what the request itself was at fault for."""
    span = run.span("shop offers.list", buoy__error__masked="network_error")
    put(span, buoy__error__masked="not_found")
    put(span.events[-1], buoy__error__masked="not_found")


def fallback_is_live(run: Run) -> None:
    """A call says that its answer is the provider's, and what it masks."""
    put(run.span("shop offers.list"), buoy__result__origin="live")


def sent_into_a_pause(run: Run) -> None:
    """After a 429 with Retry-After somebody sends at once."""
    asked = run.span(LIST, error__type="rate_limited")
    move(run.span("PUT /stock/{id}"), asked.end_time_unix_nano + 500 * MS)


def sent_while_open(run: Run) -> None:
    """A send goes out while the breaker says that it is open."""
    told = refused(run, "breaker_open", error__type="breaker_open")
    move(run.span("GET /offers"), told.events[0].time_unix_nano + 100 * MS)


def sent_by_an_open_breaker(run: Run) -> None:
    """A send says that it was let through by an open breaker."""
    put(run.span("GET /offers"), buoy__breaker__state="open")


def more_than_permits(run: Run) -> None:
    """Two sends are on their way at once, and there is one permit."""
    first, second = run.spans[1], run.spans[3]
    first.end_time_unix_nano = second.start_time_unix_nano + 1


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (without_event(REFUSED, "concurrency_limited"), "refusals told"),
        (without_event(REFUSED, "0.5"), "refusals told"),
        (without_event(REFUSED, "deadline_exceeded"), "refusals told"),
        (without_event(REFUSED, "shop.reviews"), "refusals"),
        (refused_by_another, "refusals told"),
        (refused_in_the_shadow, "refusals told"),
        (a_shadow_holds_back, "refusals told"),
        (two_shadows, "refusals told"),
        (shadow_without_a_name, "refusals told"),
        (no_link, "joins linked"),
        (links_to_an_attempt, "joins linked"),
        (links_to_another_operation, "joins linked"),
        (joined_with_sends, "joins linked"),
        (joined_too_late, "joins linked"),
        (without_event(JOINED, "in_flight"), "joins linked"),
        (joined_and_succeeded, "joined as first"),
        (resend_is_no_duplicate, "resends are duplicates"),
        (fallback_is_a_success, "calls by result"),
        (fallback_shows_its_error, "fallbacks told"),
        (fallback_masks_nothing, "fallbacks told"),
        (fallback_hides_a_mistake, "fallbacks told"),
        (fallback_is_live, "fallbacks told"),
        (without_event(USED, "static"), "fallbacks told"),
        (sent_into_a_pause, "pauses kept"),
        (sent_while_open, "open breakers"),
        (sent_by_an_open_breaker, "breaker states of sends"),
        (more_than_permits, "permits kept"),
    ],
)
def test_what_policies_did_must_be_told(lie: Lie, check: str, tmp_path: Path) -> None:
    """A refusal, a join, a fallback, a pause and a permit are told as they were."""
    assert check in checks(verdict_on(lie, tmp_path))


def test_a_refusal_dropped_everywhere_is_noticed(tmp_path: Path) -> None:
    """A refused retry that neither event nor counter tells of still has its stop reason."""

    def lie(run: Run) -> None:
        without_event(REFUSED, "0.5")(run)
        run.sums[refusals_of("breaker_open")] -= 1

    assert checks(verdict_on(lie, tmp_path)) == {"refusals told"}


def longer_than_itself(run: Run) -> None:
    """The tries of a call take longer than the call."""
    put(run.span(CALL), buoy__time__attempts=1.0)


def forgotten_wait(run: Run) -> None:
    """A call does not tell of the second that it waited."""
    put(run.span("shop products.list", buoy__time__backoff=1.0), buoy__time__backoff=None)


def longer_than_its_try(run: Run) -> None:
    """A send takes longer than the try that it is part of."""
    run.spans[1].end_time_unix_nano += 6 * MS


def seconds_off(cause: str) -> Lie:
    """Return a lie that adds a millisecond to a wait."""

    def lie(run: Run) -> None:
        run.totals[run.series("wait.duration", cause)] += 0.001

    return named(lie, f"{cause} off")


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (longer_than_itself, "parts fit"),
        (forgotten_wait, "calls explained"),
        (forgotten_wait, "seconds waited"),
        (longer_than_its_try, "sends fit"),
        (seconds_off("backoff"), "seconds waited"),
        (seconds_off("rate_limit"), "seconds waited"),
        (seconds_off("concurrency"), "seconds waited"),
    ],
)
def test_time_must_add_up(lie: Lie, check: str, tmp_path: Path) -> None:
    """Tries and waits are the whole of a call, and waits are what the metric holds."""
    assert check in checks(verdict_on(lie, tmp_path))


def outlived(run: Run, *, counted: int) -> None:
    """Add a flight whose first caller left; it went on for the other one, and was refused a retry, counted so often."""
    gone = Ending(waits={"rate_limit": 0.01})
    first = run.call("products.get", PRODUCT, error="cancelled", end=gone)
    late = run.call("products.get", PRODUCT, FINE, end=Ending(joins=first))
    span = run.spans[-1]
    span.trace_id, span.parent_span_id = first.trace_id, first.span_id
    run.logged("request", seq=run.seq)["traceparent"] = f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    late.end_time_unix_nano = span.end_time_unix_nano + MS
    put(late, buoy__call__attempts=0, buoy__call__sends=0)
    put(late, buoy__time__attempts=(late.end_time_unix_nano - late.start_time_unix_nano) / SECOND)
    run.seen[-1] |= {
        "attempts": 0,
        "sends": 0,
        "over": late.end_time_unix_nano,
        "status": 200,
        "remaining": 100 - run.seq,
    }
    run.sums[refusals_of("breaker_open")] += counted


def test_a_flight_may_outlive_its_first_caller(tmp_path: Path) -> None:
    """What a flight does after its first caller left cannot all be on a span: one refusal may be missing there."""
    assert verdict_on(lambda run: outlived(run, counted=0), tmp_path) == []
    assert verdict_on(lambda run: outlived(run, counted=1), tmp_path) == []
    assert checks(verdict_on(lambda run: outlived(run, counted=2), tmp_path)) == {"refusals"}


def test_who_leaves_a_flight_may_know_less(tmp_path: Path) -> None:
    """Who joined and ran out of time was not told of the answer that came later."""

    def truth(run: Run) -> None:
        first = run.call("products.get", PRODUCT, FINE)
        run.call("products.get", PRODUCT, error="timeout", end=Ending(stop="deadline", joins=first))
        run.seen[-1]["remaining"] = None

    assert verdict_on(truth, tmp_path) == []
