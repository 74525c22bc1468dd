"""The judge: a truthful run passes, and no single lie of either side does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.judge import judge
from tests.support.judge.__main__ import main
from tests.unit.support.calls import Ending, Send
from tests.unit.support.lies import Lie, drop, verdict_on
from tests.unit.support.protobuf import BEGIN, Key, put
from tests.unit.support.synthetic import MS, Run
from tests.unit.support.truthful import truthful

GET = "GET /products/{id}"
ACTIVE = ("buoy.client.call.active", (("buoy.provider", "shop"),))


def test_truthful_run_has_no_difference(tmp_path: Path) -> None:
    """A run with every kind of call and fault, told truthfully by both sides, has difference 0."""
    assert judge(truthful().write(tmp_path)).differences == []


def test_command_says_so_and_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the table and, as its last line, the number of differences."""
    assert main([str(truthful().write(tmp_path))]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "truth: difference 0"
    assert any(line.split() == ["GET", "/products/{id}", "11", "11"] for line in printed), printed


def test_command_exits_1_and_names_each_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a difference the exit code is 1 and a line names the check and what differs."""
    run = truthful()
    run.sums[run.series("retries", "network")] += 1
    assert main([str(run.write(tmp_path))]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].startswith("difference: [retries] buoy.client.retries {shop ")
    assert printed[-1] == "truth: difference 1"


def test_command_exits_2_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No run to judge is wrong usage, not a verdict."""
    assert (main([str(tmp_path)]), main([])) == (2, 2)
    assert "usage" in capsys.readouterr().err


def test_table_shows_both_sides(tmp_path: Path) -> None:
    """The table lists what was asked, answered, lost, refused, joined, masked and waited for, and who says so."""
    table = judge(truthful().write(tmp_path)).table
    for title in ("requests by operation", "requests by answer", "calls by result", "errors of attempts"):
        assert title in table
    rows = [" ".join(line.split()) for line in table.splitlines()]
    for row in (
        "PUT /stock/{id}: refused, nobody listened 2",
        "DELETE /carts/{id}: reset before it was read 1",
        "503 4 4",
        "no whole answer: truncated (network_error) 1 1",
        "stock.set 3 3 3",
        "fallback (static) 2 2",
        "caller_error 1 1",
        "deadline 1 1",
        "breaker_open 4 4",
        "breaker_open, in the shadow: not enforced 1 1",
        "in_flight 2 2 2",
        "function 2 2 2",
        "concurrency 0.230 0.230",
        "shop: closed, probe_succeeded 1",
    ):
        assert row in rows


@pytest.mark.parametrize("index", range(len(truthful().spans)))
def test_any_dropped_span_is_noticed(index: int, tmp_path: Path) -> None:
    """Whichever single span is dropped from the export, the judge finds a difference."""
    assert verdict_on(lambda run: drop(run, run.spans[index]), tmp_path) != []


def wrong_counts() -> Iterator[Any]:
    """Yield every series, with a step up and one down, and an id of its values."""
    run = truthful()
    for key in (*run.sums, *run.counts):
        # How often one call waited for a turn or a permit is not on its span; for how long is, and that is compared.
        waits = {value for _, value in key[1]} & {"rate_limit", "concurrency"}
        for step in (-1,) if waits else (1, -1):
            yield pytest.param(key, step, id="-".join([key[0], *(str(value) for _, value in key[1]), f"{step:+}"]))


@pytest.mark.parametrize(("key", "step"), list(wrong_counts()))
def test_any_counter_off_by_one_is_noticed(key: Key, step: int, tmp_path: Path) -> None:
    """Whichever counter or histogram is off by one in one series, the judge names that metric."""

    def lie(run: Run) -> None:
        (run.sums if key in run.sums else run.counts)[key] += step

    differences = verdict_on(lie, tmp_path)
    assert any(key[0] in difference for difference in differences), differences


@pytest.mark.parametrize("seq", [line["seq"] for line in truthful().log if line.get("traceparent") is not None])
def test_any_read_request_without_its_span_is_noticed(seq: int, tmp_path: Path) -> None:
    """Whichever request the server read, dropping its span is a difference that names the request."""

    def lie(run: Run) -> None:
        span_id = str(run.logged("request", seq=seq)["traceparent"]).split("-")[2]
        drop(run, next(span for span in run.spans if span.span_id.hex() == span_id))

    differences = verdict_on(lie, tmp_path)
    assert any(f"request #{seq} " in difference and "never exported" in difference for difference in differences)


def test_retry_hidden_everywhere_is_noticed(tmp_path: Path) -> None:
    """A send left out of spans and counts alike leaves the export consistent, and the server's log still tells."""

    def lie(run: Run) -> None:
        seq = run.seq + 1
        hidden = f"00-{'a' * 32}-{'b' * 16}-01"
        run.log.append({**run.logged("request", seq=1), "seq": seq, "traceparent": hidden})
        run.log.append({**run.logged("answer", seq=1), "seq": seq})

    differences = verdict_on(lie, tmp_path)
    assert len(differences) == 1
    assert "never exported" in differences[0]


def test_request_without_traceparent_is_noticed(tmp_path: Path) -> None:
    """A request that carries no traceparent, or a malformed one, is a difference."""

    def lie(run: Run) -> None:
        run.logged("request", seq=2)["traceparent"] = None
        run.logged("request", seq=3)["traceparent"] = "00-zz-01"

    differences = verdict_on(lie, tmp_path)
    assert sum("no valid traceparent" in difference for difference in differences) == 2


def test_request_that_names_the_call_is_noticed(tmp_path: Path) -> None:
    """A traceparent must name the attempt, not the call above it."""

    def lie(run: Run) -> None:
        call = run.span("shop products.get")
        run.logged("request", seq=1)["traceparent"] = f"00-{call.trace_id.hex()}-{call.span_id.hex()}-01"

    assert any("is not an attempt" in difference for difference in verdict_on(lie, tmp_path))


def test_span_used_twice_is_noticed(tmp_path: Path) -> None:
    """A resend that repeats the traceparent of the first send is not a send of its own."""

    def lie(run: Run) -> None:
        run.logged("request", seq=5)["traceparent"] = run.logged("request", seq=4)["traceparent"]

    assert any("named by 2 requests" in difference for difference in verdict_on(lie, tmp_path))


def change_status(run: Run) -> None:
    """The span claims another status than the server sent."""
    put(run.span(GET), http__response__status_code=204)


def change_answer(run: Run) -> None:
    """The server's log claims another status than it sent."""
    run.logged("answer", seq=2)["status"] = 200


def change_operation(run: Run) -> None:
    """The request was for something else."""
    run.logged("request", seq=1)["operation"] = "GET /orders/{id}"


def claim_status_of_reset(run: Run) -> None:
    """The span of a request that was reset claims an answer."""
    put(run.span(GET, error__type="network_error"), http__response__status_code=200)


def call_reset_a_timeout(run: Run) -> None:
    """The span of a truncated answer, ended by the server, claims a timeout long after."""
    span = run.span("GET /products")
    span.end_time_unix_nano += 5_000 * MS
    put(span, error__type="timeout")


def answer_long_before_timeout(run: Run) -> None:
    """The server answered in full, seconds before the client claims to have waited in vain."""
    late = run.span(GET, error__type="timeout")
    late.end_time_unix_nano += 5_000 * MS
    run.logged("answer", fault="stall").update(sent="whole", status=200, left=False)


def blame_the_network_for_leaving(run: Run) -> None:
    """The client left, and calls it a broken connection."""
    put(run.span(GET, error__type="timeout"), error__type="network_error")


def wrong_type_for_status(run: Run) -> None:
    """A 503 is called a 502."""
    put(run.span(GET, error__type="service_unavailable"), error__type="bad_gateway")


def wrong_request_id(run: Run) -> None:
    """The provider's request id is that of another request."""
    put(run.span(GET), buoy__provider_request_id="req_99")


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (change_status, "same answer"),
        (change_answer, "same answer"),
        (change_operation, "same operation"),
        (claim_status_of_reset, "same answer"),
        (call_reset_a_timeout, "same answer"),
        (answer_long_before_timeout, "same answer"),
        (blame_the_network_for_leaving, "same answer"),
        (wrong_type_for_status, "same answer"),
        (wrong_request_id, "same request id"),
    ],
)
def test_answers_must_agree(lie: Lie, check: str, tmp_path: Path) -> None:
    """What a span says of its answer is what the server sent."""
    assert any(difference.startswith(f"[{check}]") for difference in verdict_on(lie, tmp_path))


def test_answer_in_flight_when_the_client_left_is_explained(tmp_path: Path) -> None:
    """A timeout whose answer was sent at about the same moment is no difference: it crossed on the way."""

    def lie(run: Run) -> None:
        run.logged("answer", fault="stall").update(sent="whole", status=200, left=False)

    assert verdict_on(lie, tmp_path) == []


def test_template_fields_may_have_other_names(tmp_path: Path) -> None:
    """``/products/{product_id}`` and ``/products/{id}`` are the same operation."""

    def lie(run: Run) -> None:
        run.logged("request", seq=1)["operation"] = "GET /products/{product_id}"

    assert verdict_on(lie, tmp_path) == []


def unread(run: Run) -> None:
    """The server's log loses a request that was answered."""
    for event in ("request", "answer"):
        run.log.remove(run.logged(event, seq=run.seq))


def refused_while_listening(run: Run) -> None:
    """A send claims to have been refused seconds after the server listened again."""
    span = run.span("PUT /stock/{id}", buoy__error__phase="connect")
    span.start_time_unix_nano = span.end_time_unix_nano = BEGIN + 9_000 * MS
    run.logged("closed", reason="stop").update(since=BEGIN + 20_000 * MS)


def not_sent_but_read(run: Run) -> None:
    """A send that the server read claims never to have left."""
    put(run.span(GET, error__type="network_error"), buoy__error__outcome="not_sent")


def rejected_but_answered(run: Run) -> None:
    """A send that was cut claims to have been rejected."""
    put(run.span(GET, error__type="network_error"), buoy__error__outcome="rejected")


def lost_without_cause(run: Run) -> None:
    """A send claims to have got lost on the way without a reason that a protocol knows."""
    put(run.span("DELETE /carts/{id}"), buoy__error__phase="decode")


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (unread, "unread sends explained"),
        (refused_while_listening, "unread sends explained"),
        (lost_without_cause, "unread sends explained"),
        (not_sent_but_read, "outcomes are true"),
        (rejected_but_answered, "outcomes are true"),
    ],
)
def test_sends_that_were_not_read_must_be_explained(lie: Lie, check: str, tmp_path: Path) -> None:
    """A send that the server never read needs a reason of the protocol, and the reason must be true."""
    assert any(difference.startswith(f"[{check}]") for difference in verdict_on(lie, tmp_path))


def test_more_lost_sends_than_closed_connections(tmp_path: Path) -> None:
    """Sends lost before they were read may not outnumber what the server reset, closed idle, or dropped."""

    def lie(run: Run) -> None:
        lost = Send(error="network_error", phase="receive", outcome="unknown", read=False)
        for _ in range(4):
            run.call("carts.drop", "DELETE /carts/{id}", lost, error="network_error", end=Ending(stop="max_attempts"))

    differences = verdict_on(lie, tmp_path)
    assert [difference.split("]")[0] for difference in differences] == ["[unread resets bounded"]
    assert "6 sends were lost before they were read, the server can explain 5" in differences[0]


def move_result(run: Run) -> None:
    """A failed call is counted as a success."""
    run.sums[run.series("calls", "stock.set", "failure")] -= 1
    run.sums[run.series("calls", "stock.set", "success")] += 1


def still_active(run: Run) -> None:
    """A call is still in flight when all is over."""
    run.gauges[-1][ACTIVE] = 1


def never_active(run: Run) -> None:
    """The gauge of calls in flight was never exported."""
    for gauges in run.gauges:
        del gauges[ACTIVE]


def wrong_category(run: Run) -> None:
    """A metric puts an error into another category than the table."""
    metric, labels = run.series("errors", "attempt", "service_unavailable")
    moved = tuple((name, "network" if name == "buoy.error.category" else value) for name, value in labels)
    run.sums[metric, moved] = run.sums.pop((metric, labels))


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (move_result, "calls by result"),
        (still_active, "nothing active"),
        (never_active, "nothing active"),
        (wrong_category, "error labels"),
    ],
)
def test_metrics_must_agree_with_spans(lie: Lie, check: str, tmp_path: Path) -> None:
    """A metric says what the spans say."""
    assert any(difference.startswith(f"[{check}]") for difference in verdict_on(lie, tmp_path))


def test_counter_that_falls_is_noticed(tmp_path: Path) -> None:
    """A counter whose later value is below an earlier one is a difference, whatever the last value is."""

    def lie(run: Run) -> None:
        run.earlier = (run.sums.copy(), run.counts.copy())
        run.earlier[0][run.series("calls", "stock.set", "success")] += 1

    assert any("fell from 2 to 1" in difference for difference in verdict_on(lie, tmp_path))


def hide_retry(run: Run) -> None:
    """A retry disappears from the call's own figures."""
    put(run.span("shop orders.keyed"), buoy__call__attempts=1)


def hide_resend(run: Run) -> None:
    """A resend claims to be the first send."""
    put(run.span(GET, buoy__attempt__kind="resend"), buoy__attempt__kind="first")


def wrong_resend_count(run: Run) -> None:
    """The second send of a call does not say that it is one."""
    put(run.span(GET, buoy__attempt__kind="retry"), http__request__resend_count=None)


def wrong_number(run: Run) -> None:
    """The tries of a call are numbered with a gap."""
    put(run.span(GET, buoy__attempt__kind="retry"), buoy__attempt__number=3)


def wrong_retry_reason(run: Run) -> None:
    """A retry names another reason than the failure before it."""
    put(run.span(GET, buoy__attempt__kind="retry"), buoy__retry__reason="general")


def orphan(run: Run) -> None:
    """An attempt names a parent that does not exist."""
    run.span(GET).parent_span_id = b"\xff" * 8


def moved_to_another_trace(run: Run) -> None:
    """An attempt is exported under another trace than its call."""
    run.span(GET).trace_id = b"\xff" * 16


def repaired_call_fails(run: Run) -> None:
    """A call that a retry repaired claims to have failed."""
    call = run.span("shop orders.keyed")
    put(call, error__type="service_unavailable", buoy__error__category="server_error")
    call.status.code = Status.STATUS_CODE_ERROR


def failed_call_succeeds(run: Run) -> None:
    """A call whose last send failed claims success."""
    call = run.span("shop orders.create")
    put(call, error__type=None, buoy__error__category=None)
    call.status.code = Status.STATUS_CODE_UNSET


def wrong_span_status(run: Run) -> None:
    """A failed attempt does not have the status ERROR."""
    run.span(GET, error__type="service_unavailable").status.code = Status.STATUS_CODE_UNSET


def unknown_error(run: Run) -> None:
    """An error that the contract does not know."""
    put(run.span(GET, error__type="service_unavailable"), error__type="oops")


def unnamed(run: Run) -> None:
    """A span has another name than the contract says."""
    run.span(GET).name = "HTTP GET"


def twice(run: Run) -> None:
    """A span is exported twice."""
    run.spans.append(run.spans[3])


def neither(run: Run) -> None:
    """A span of the scope is neither a call nor an attempt."""
    put(run.span(GET), buoy__attempt__kind=None)


def cancelled_by_nobody(run: Run) -> None:
    """An attempt was cancelled although the caller stayed."""
    span = run.span(GET, error__type="timeout")
    put(span, error__type="cancelled", buoy__error__category=None, buoy__refusal__reason="cancelled")
    span.status.code = Status.STATUS_CODE_UNSET


def no_stop_reason(run: Run) -> None:
    """A failed call does not say why it gave up."""
    put(run.span("shop orders.create"), buoy__retry__stop_reason=None)


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (hide_retry, "sends add up"),
        (hide_resend, "sends add up"),
        (wrong_resend_count, "sends add up"),
        (wrong_number, "sends add up"),
        (wrong_retry_reason, "sends add up"),
        (orphan, "traces complete"),
        (moved_to_another_trace, "traces complete"),
        (repaired_call_fails, "call ends as its last send"),
        (failed_call_succeeds, "call ends as its last send"),
        (wrong_span_status, "error form"),
        (unknown_error, "error form"),
        (unnamed, "attempt form"),
        (twice, "spans are known"),
        (neither, "spans are known"),
        (cancelled_by_nobody, "cancelled with the call"),
        (no_stop_reason, "stops are explained"),
    ],
)
def test_spans_must_agree_with_each_other(lie: Lie, check: str, tmp_path: Path) -> None:
    """A trace tells one consistent story."""
    assert any(difference.startswith(f"[{check}]") for difference in verdict_on(lie, tmp_path))


def test_unsafe_call_sent_again_is_noticed(tmp_path: Path) -> None:
    """An unsafe call whose first send may have happened must not be sent again."""

    def lie(run: Run) -> None:
        busy = Send(status=503, error="service_unavailable", phase="receive", outcome="unknown", fault="503")
        again = Send(kind="retry", number=2, status=201, reason="server_error")
        run.call("orders.create", "POST /orders", busy, again, safety="unsafe")

    differences = verdict_on(lie, tmp_path)
    assert [difference.split("]")[0] for difference in differences] == ["[repeats are safe"]


def test_keyed_call_with_another_key_is_noticed(tmp_path: Path) -> None:
    """Every send of a keyed call carries the same key."""

    def lie(run: Run) -> None:
        run.logged("request", key=1)["key"] = 2

    assert any("carried the keys ['1', '2']" in difference for difference in verdict_on(lie, tmp_path))


def test_broken_log_is_noticed(tmp_path: Path) -> None:
    """A log with a missing request, an answer too many, or a request that never ended, is a difference in itself."""

    def lie(run: Run) -> None:
        run.log.remove(run.logged("request", seq=3))
        run.log.remove(run.logged("answer", seq=5))

    differences = [difference for difference in verdict_on(lie, tmp_path) if difference.startswith("[sources]")]
    assert len(differences) == 3, differences
