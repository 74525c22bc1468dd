"""The judge of redirects and of what kind a send is: no lie about where a call was led, and what went along, passes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.judge import judge
from tests.unit.support.calls import Ending, Send
from tests.unit.support.lies import Lie, checks, drop, verdict_on
from tests.unit.support.protobuf import put
from tests.unit.support.synthetic import Run
from tests.unit.support.truthful import AWAY, MOVE, NOBODY, RESET, truthful

HOP = Send(kind="redirect", status=200)


def answered(status: int) -> Send:
    """Return a send that got this status."""
    return Send(status=status)


def told_at_the_depot(name: str) -> Lie:
    """Return the lie of a service that tells a stranger this header."""

    def lie(run: Run) -> None:
        headers = run.sent_on("request")["headers"]
        assert isinstance(headers, list)
        headers.append(name)

    return lie


@pytest.mark.parametrize("name", ["authorization", "cookie", "idempotency-key", "traceparent", "x-customer", "x-new"])
def test_a_header_that_a_stranger_must_not_see_is_noticed(name: str, tmp_path: Path) -> None:
    """Whatever arrives at another origin and is not known to be harmless is a difference."""
    differences = verdict_on(told_at_the_depot(name), tmp_path)
    assert any(f"was told {name}" in difference for difference in differences), differences


def secret_in_the_path(run: Run) -> None:
    """A credential went along in the target."""
    run.sent_on("request")["head"] = "GET /parcels/1?key=demo-secret-key HTTP/1.1"


def key_at_the_depot(run: Run) -> None:
    """An idempotency key went along."""
    run.sent_on("request")["key"] = 1


def led(run: Run) -> dict[str, object]:
    """Return the first request that the provider was sent by itself."""
    return next(line for line in run.log if str(line.get("via", "")).startswith("shop-"))


def trust_regained(run: Run) -> None:
    """A stranger who leads back to the provider brings the credentials back."""
    (back,) = [line for line in run.log if str(line.get("via", "")).startswith("depot-")]
    back["headers"] = ["accept", "authorization", "host"]


def credentials_lost(run: Run) -> None:
    """A redirect within the provider goes without credentials."""
    led(run)["headers"] = ["accept", "host", "traceparent"]


def dropped(run: Run) -> None:
    """A redirect is left out of the export."""
    drop(run, run.span("GET", buoy__attempt__kind="redirect"))


def counted_as_retry(run: Run) -> None:
    """A redirect is called a retry, in spans and metrics alike."""
    span = run.span("GET", buoy__attempt__kind="redirect")
    put(span, buoy__attempt__kind="retry", buoy__retry__reason="network")
    run.counts[run.series("attempt.duration", "moves.get", "redirect")] -= 1


def retry_called_redirect(run: Run) -> None:
    """A retry is called a redirect."""
    put(run.span("GET /products/{id}", buoy__attempt__kind="retry"), buoy__attempt__kind="redirect")


def resend_called_redirect(run: Run) -> None:
    """What the transport repeated is called a second redirect."""
    put(run.span("GET", buoy__attempt__kind="resend"), buoy__attempt__kind="redirect")


def retry_called_resend(run: Run) -> None:
    """A retry after an answer is blamed on the transport."""
    put(run.span("GET /products/{id}", buoy__attempt__kind="retry"), buoy__attempt__kind="resend")


def path_told(run: Run) -> None:
    """The path of a redirect is in the telemetry."""
    put(run.span("GET", buoy__attempt__kind="redirect"), url__full="http://127.0.0.1/products/7")


def template_told(run: Run) -> None:
    """A redirect claims to know the template of where it led."""
    put(run.span("GET", buoy__attempt__kind="redirect"), url__template="/products/{id}")


def refused_too_early(run: Run) -> None:
    """A call gives up on redirects before there were too many."""
    away = run.span("GET", buoy__attempt__kind="redirect", http__response__status_code=308)
    put(away, error__type="server_error", buoy__error__reason="redirect_refused")


def not_followed(run: Run) -> None:
    """A call ends with the answer that led elsewhere, as if that were one."""
    run.call("moves.get", MOVE, answered(302))


def followed_for_ever(run: Run) -> None:
    """A call follows more redirects than a try may."""
    run.call("moves.get", MOVE, answered(302), *[Send(kind="redirect", status=302)] * 5, HOP)


def invented(run: Run) -> None:
    """A redirect follows an answer that led nowhere."""
    run.call("moves.get", MOVE, answered(302), Send(kind="redirect", status=200), HOP)


def of_another_call(run: Run) -> None:
    """A request that a redirect led to is accounted to another call."""
    led(run)["via"] = "shop-2"


def from_nowhere(run: Run) -> None:
    """A stranger was asked by nobody."""
    run.sent_on("request")["via"] = "shop-999"


def told_twice(run: Run) -> None:
    """A stranger was asked twice, and one span tells of it."""
    lines = [dict(line, seq=3) for line in run.depot[:2]]
    run.depot.extend(lines)


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (secret_in_the_path, "nothing secret leaves"),
        (key_at_the_depot, "nothing secret leaves"),
        (trust_regained, "nothing secret leaves"),
        (credentials_lost, "trusted are told"),
        (dropped, "request has its span"),
        (counted_as_retry, "kinds as served"),
        (retry_called_redirect, "kinds as served"),
        (resend_called_redirect, "redirects followed"),
        (retry_called_resend, "kinds as served"),
        (path_told, "redirects tell no path"),
        (template_told, "attempt form"),
        (refused_too_early, "redirects followed"),
        (not_followed, "redirects followed"),
        (followed_for_ever, "redirects followed"),
        (invented, "redirects followed"),
        (of_another_call, "redirects asked for"),
        (from_nowhere, "request has its span"),
        (told_twice, "request has its span"),
    ],
)
def test_redirects_must_be_as_the_servers_saw_them(lie: Lie, check: str, tmp_path: Path) -> None:
    """Where a call was led, as what and with what, is what the servers say."""
    differences = verdict_on(lie, tmp_path)
    assert check in checks(differences), differences


def test_a_secret_in_the_export_is_noticed(tmp_path: Path) -> None:
    """What the demo's secrets begin with is looked for in everything that was exported."""
    differences = verdict_on(lambda run: put(run.spans[0], buoy__oops="Bearer demo-secret-token"), tmp_path)
    assert differences == ["[sources] traces carry what begins with demo-secret"]


def limited_between_hops(run: Run) -> None:
    """The limiter refuses the turn for the next hop."""
    refused = Ending(stop="refused", refused="rate_limited_locally", waits={"rate_limit": 0.1})
    run.call("moves.get", MOVE, answered(302), error="rate_limited_locally", end=refused)


def retried_from_the_start(run: Run) -> None:
    """A chain that broke is tried again from its start."""
    broken = Send(kind="redirect", error="network_error", phase="receive", outcome="unknown", sent="nothing")
    again = Send(kind="retry", number=2, status=307, reason="network")
    run.call("away.get", AWAY, answered(307), broken, again, Send(kind="redirect", number=2, status=200))


def left_between_hops(run: Run) -> None:
    """The caller leaves between two hops."""
    run.call("moves.get", MOVE, answered(302), error="cancelled")


def cut_and_followed(run: Run) -> None:
    """An answer that leads elsewhere breaks off, and is followed: its body is nothing that anybody needs."""
    run.call("moves.get", MOVE, Send(status=302, sent="part", fault="truncated"), HOP)


def elsewhere_is_reset(run: Run) -> None:
    """Where the redirect led, the transport had to ask twice; both were read."""
    lost = Send(kind="redirect", error="network_error", phase="receive", outcome="unknown", sent="nothing")
    run.call("moves.get", MOVE, answered(302), lost, Send(kind="resend", status=200))


def retried_unread(run: Run) -> None:
    """A first send that nobody read is repeated, and the server sees one request."""
    run.note("closed", reason="restart", since=run.now, unread=0, in_flight=0)
    run.call("carts.drop", "DELETE /carts/{id}", NOBODY, Send(kind="retry", number=2, status=200, reason="network"))
    run.note("listening", port=1)


@pytest.mark.parametrize(
    "truth",
    [
        limited_between_hops,
        retried_from_the_start,
        left_between_hops,
        cut_and_followed,
        elsewhere_is_reset,
        retried_unread,
    ],
)
def test_what_can_happen_on_the_way_is_no_difference(truth: Callable[[Run], None], tmp_path: Path) -> None:
    """What a service, its limiter or the network may do between two hops is explained."""
    assert verdict_on(truth, tmp_path) == []


def post_again(outcome: str, *, method: str) -> Lie:
    """Return a lie: a POST that was led elsewhere is tried again after that failed with this outcome."""

    def lie(run: Run) -> None:
        hop = Send(kind="redirect", method=method, error="network_error", phase="receive", outcome=outcome, read=False)
        again = Send(kind="retry", number=2, status=201, reason="network")
        moved = answered(303 if method == "GET" else 307)
        run.note("reset_unread")
        run.call("orders.create", "POST /orders", moved, hop, again, safety="unsafe")

    return lie


def test_a_post_that_was_done_must_not_be_done_again(tmp_path: Path) -> None:
    """Where a redirect turned a POST into a GET, it was done: however the GET fares, it is not safe to repeat."""
    assert "repeats are safe" in checks(verdict_on(post_again("rejected", method="GET"), tmp_path))


def test_a_post_that_was_sent_elsewhere_may_be_sent_again(tmp_path: Path) -> None:
    """Where the POST itself was to go elsewhere, and had no effect there, it may be repeated."""
    assert "repeats are safe" not in checks(verdict_on(post_again("rejected", method="POST"), tmp_path))


def test_table_shows_where_calls_were_led(tmp_path: Path) -> None:
    """The table says how many sends of which kind the servers read, and what strangers were told."""
    rows = [" ".join(line.split()) for line in judge(truthful().write(tmp_path)).table.splitlines()]
    for row in (
        "depot: 2 requests read; 3 that nobody trusts, 0 of them with credentials",
        "GET where a redirect led, depot 2 2",
        "GET where a redirect led, shop 11 11",
        "redirect 12 12",
        "resend 2 2",
        "server_error 1 1",
    ):
        assert row in rows, rows


def test_a_retry_after_a_lost_answer_is_either(tmp_path: Path) -> None:
    """A server that gave no answer cannot tell a retry from a repetition by the transport: both pass."""

    def truth(run: Run) -> None:
        for kind, number, reason in (("retry", 2, "network"), ("resend", 1, None)):
            again = Send(kind=kind, number=number, status=200, reason=reason)
            run.call("products.get", "GET /products/{id}", RESET, again)

    assert verdict_on(truth, tmp_path) == []
