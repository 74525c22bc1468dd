"""The judge of bodies: nobody has as a whole what was cut, and a stream is told as it was read."""

from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.judge import judge
from tests.unit.support.calls import Ending, Send
from tests.unit.support.lies import Lie, checks, verdict_on
from tests.unit.support.protobuf import put
from tests.unit.support.synthetic import MS, SECOND, Run
from tests.unit.support.truthful import FEED, REPORT, UPLOAD, truthful

STREAM = "shop feeds.read"


def succeed(span: Span) -> None:
    """Take the error off a span."""
    put(span, error__type=None, buoy__error__category=None, buoy__refusal__reason=None)
    span.status.code = Status.STATUS_CODE_UNSET


def failure_told_as_success(run: Run) -> None:
    """A stream that broke is told as a success, in spans and metrics alike."""
    call = run.span(STREAM, error__type="network_error")
    (send,) = [span for span in run.spans if span.parent_span_id == call.span_id]
    succeed(call)
    succeed(send)
    put(call, buoy__retry__stop_reason=None)
    run.sums[run.series("calls", "feeds.read", "failure")] -= 1
    run.sums[run.series("calls", "feeds.read", "success")] += 1


def cancelled_told_as_success(run: Run) -> None:
    """A stream whose reader was cancelled is told as a success."""
    call = run.span(STREAM, error__type="cancelled")
    (send,) = [span for span in run.spans if span.parent_span_id == call.span_id]
    succeed(call)
    succeed(send)


def plain_cancelled_told_as_success(run: Run) -> None:
    """A call whose caller left is told as a success."""
    call = run.span("shop products.get", error__type="cancelled")
    succeed(call)


def truncated_handed_out(run: Run) -> None:
    """What was left of a truncated body is handed out, and told, as the whole answer."""
    cut = Send(status=200, fault="gzip-cut", sent="part", size=99)
    run.call("reports.get", REPORT, cut, end=Ending(size=50))


def truncated_stream_handed_out(run: Run) -> None:
    """The end of a cut stream is taken for its end."""
    run.call("feeds.read", FEED, Send(status=200, fault="truncated", sent="part", items=2), end=Ending(items=2))


def shorter_than_sent(run: Run) -> None:
    """A caller got fewer bytes than were sent, as the whole answer."""
    run.noted(operation="reports.get", size=99)["size"] = 98


def items_lost(run: Run) -> None:
    """A reader was not given all items, and was told that they were all."""
    run.noted(items=3)["items"] = 2


def items_made_up(run: Run) -> None:
    """A reader had more items than were sent."""
    run.noted(items=1)["items"] = 9


def complete_but_cut(run: Run) -> None:
    """A stream that broke says that it is complete."""
    run.noted(operation="feeds.read", ended="NetworkError")["complete"] = True


def leaving_hidden(run: Run) -> None:
    """Nothing says that a stream was left before its end."""
    call = next(span for span in run.spans if any(event.name == "buoy.stream.left" for event in span.events))
    del call.events[:]


def leaving_made_up(run: Run) -> None:
    """A stream that was read whole is said to have been left."""
    run.span(STREAM).events.append(Span.Event(name="buoy.stream.left", time_unix_nano=run.now))


def leaving_of_nobody(run: Run) -> None:
    """A call of which no caller knows says that its stream was left."""
    call = run.span("shop products.get", error__type="cancelled")
    call.events.append(Span.Event(name="buoy.stream.left", time_unix_nano=run.now))


def span_ends_with_the_headers(run: Run) -> None:
    """The span of a streamed call ends before its last item was read."""
    call = run.span(STREAM)
    call.end_time_unix_nano -= 3 * MS
    put(call, buoy__time__attempts=0.001)


def send_ends_with_the_headers(run: Run) -> None:
    """The span of a streamed send ends before its last item was read."""
    run.span(FEED).end_time_unix_nano -= 3 * MS // 2


def sent_twice(run: Run) -> None:
    """A body that exists once was sent twice."""
    lost = Send(error="network_error", phase="receive", outcome="unknown", fault="reset-after-read", sent="nothing")
    again = Send(kind="retry", number=2, status=200, reason="network")
    run.call("reports.set", UPLOAD, lost, again, safety="idempotent", end=Ending(once=True))


def blamed_on_the_body(run: Run) -> None:
    """A call whose body is known claims that it cannot be sent again."""
    run.noted(operation="reports.set")["once"] = False


def status_of_a_cut_answer_ignored(run: Run) -> None:
    """A 503 whose body broke off is told as a broken connection."""
    lost = Send(status=503, sent="part", error="network_error", phase="receive", outcome="unknown")
    run.call("reports.get", REPORT, lost, error="network_error", end=Ending(stop="max_attempts"))


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (failure_told_as_success, "same ending"),
        (failure_told_as_success, "same answer"),
        (cancelled_told_as_success, "same ending"),
        (plain_cancelled_told_as_success, "call has its span"),
        (truncated_handed_out, "whole is whole"),
        (truncated_handed_out, "same answer"),
        (truncated_stream_handed_out, "whole is whole"),
        (shorter_than_sent, "whole is whole"),
        (items_lost, "whole is whole"),
        (items_made_up, "parts are parts"),
        (complete_but_cut, "parts are parts"),
        (leaving_hidden, "leaving told"),
        (leaving_made_up, "leaving told"),
        (leaving_of_nobody, "leaving told"),
        (span_ends_with_the_headers, "last byte"),
        (send_ends_with_the_headers, "last byte"),
        (sent_twice, "sent once"),
        (blamed_on_the_body, "sent once"),
        (status_of_a_cut_answer_ignored, "same answer"),
    ],
)
def test_bodies_must_be_as_they_were_sent_and_read(lie: Lie, check: str, tmp_path: Path) -> None:
    """What was sent, what a caller had of it, and what the spans say of it is one story."""
    differences = verdict_on(lie, tmp_path)
    assert check in checks(differences), differences


def ended_with_the_deadline(run: Run) -> None:
    """The time of a reader was up in the moment of the last byte."""
    late = Send(status=200, items=3, error="timeout", phase="receive", outcome="unknown")
    run.call("feeds.read", FEED, late, error="timeout", end=Ending(stop="deadline", items=3))
    run.seen[-1]["complete"] = True


def left_with_the_last_byte(run: Run) -> None:
    """A reader was cancelled in the moment in which the call ended well."""
    run.call("feeds.read", FEED, Send(status=200, items=3), end=Ending(items=3))
    run.seen[-1]["ended"] = "CancelledError"
    run.seen[-1]["status"] = None


def lost_with_a_restart(run: Run) -> None:
    """The end of a whole answer is lost, because the server then reset all connections."""
    lost = Send(status=200, items=3, error="network_error", phase="receive", outcome="unknown")
    run.call("feeds.read", FEED, lost, error="network_error", end=Ending(stop="not_retryable", items=3))
    answer = run.log[-1]
    assert isinstance(answer["time"], int)
    run.note("closed", reason="restart", since=answer["time"], unread=0, in_flight=0)
    run.note("listening", port=1)


def left_while_it_failed(run: Run) -> None:
    """A caller left in the moment in which the streamed call was refused."""
    refused = Ending(stop="refused", refused="breaker_open")
    run.call("feeds.read", FEED, error="breaker_open", end=refused)
    times = {name: run.seen[-1][name] for name in ("operation", "begun", "over")}
    run.seen[-1] = {**times, "ended": "CancelledError", "streamed": True}


@pytest.mark.parametrize(
    "truth", [ended_with_the_deadline, left_with_the_last_byte, left_while_it_failed, lost_with_a_restart]
)
def test_what_crosses_on_the_way_is_no_difference(truth: Lie, tmp_path: Path) -> None:
    """A streamed call is a task of its own: it may end in the moment in which its user leaves."""
    assert verdict_on(truth, tmp_path) == []


def test_who_left_long_after_the_end_did_not_cross(tmp_path: Path) -> None:
    """A call that had ended two seconds before its caller left is no crossing."""

    def lie(run: Run) -> None:
        left_while_it_failed(run)
        run.seen[-1]["over"] = run.now + 2 * SECOND

    assert "call has its span" in checks(verdict_on(lie, tmp_path))


def test_table_shows_how_streams_ended(tmp_path: Path) -> None:
    """The table says how streams ended, by callers and by spans, and how many items were read."""
    rows = [" ".join(line.split()) for line in judge(truthful().write(tmp_path)).table.splitlines()]
    assert any(row.endswith("4 of them streams with 8 items") for row in rows), rows
    for row in ("read whole 1 1", "left early 1 1", "NetworkError 1 1", "not_replayable 1 1"):
        assert row in rows, rows
