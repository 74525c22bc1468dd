"""What becomes of a call whose redirects were followed: outcome, tries, time, turns and telemetry."""

import asyncio
from typing import Any

import pytest

import buoy
from buoy.outcome import Outcome
from tests.integration.cli.server import unused_port
from tests.integration.http.origins import Place, caller, chain, cut, hang, say, to
from tests.integration.http.shop import attribute, kinds
from tests.support.faults import Peer
from tests.support.telemetry import Observed


async def test_a_chain_of_reads_is_retried_from_its_start(observed: Observed) -> None:
    """Nobody listens where a hop leads: the whole chain is tried again, and each try has its own redirect."""
    dead = f"http://127.0.0.1:{unused_port()}/b"
    async with Place({"/a": [to(dead), to("/c")]}) as place, caller(place) as shop:
        result = await shop.read.call(path="a")
    assert place.lines == ["GET /a", "GET /a", "GET /c"]
    assert (result.meta.attempts, result.meta.sends, result.meta.duplicate) == (2, 4, False)
    assert kinds(observed) == ["first", "redirect", "retry", "redirect"]


async def test_a_dead_end_is_told_as_it_is() -> None:
    """A read that ends where nobody listens is a failure of the network, of which nothing was done."""
    dead = f"http://127.0.0.1:{unused_port()}/b"
    async with Place({"/a": [to(dead)]}) as place, caller(place) as shop:
        with pytest.raises(buoy.NetworkError) as caught:
            await shop.read(path="a")
        assert await shop.read(path="c") == {}
    assert (caught.value.reason, len(place.received)) == ("refused", 4)


FAILING = {
    "refused": (None, buoy.OutcomeUnknown),
    "cut": ([cut], buoy.OutcomeUnknown),
    "503": ([say(503)], buoy.HttpError),
    "429": ([say(429, Retry_After="0")], buoy.HttpError),
    "404": ([say(404)], buoy.HttpError),
    "redirect": ([to("ftp://h/")], buoy.HttpError),
}


@pytest.mark.parametrize(("said", "kind"), FAILING.values(), ids=FAILING)
async def test_what_a_post_did_is_not_done_again_because_its_get_failed(
    said: list[Any] | None, kind: type[buoy.BuoyError], observed: Observed
) -> None:
    """303 says that the POST was carried out: whatever fails then, it is not sent again, and not said to be undone."""
    async with Place() as place, caller(place) as shop:
        there = f"http://127.0.0.1:{unused_port()}" if said is None else place.url
        place.told = {"/a": [to(f"{there}/b", 303)], "/b": said or []}
        with pytest.raises(kind) as caught:
            await shop.make(path="a", json={})
    assert [line for line in place.lines if line.startswith("POST")] == ["POST /a"]
    assert caught.value.outcome == Outcome.UNKNOWN
    assert kinds(observed) == ["first", "redirect"]
    assert attribute(observed, "buoy.error.outcome") == "unknown"
    assert caught.value.meta is not None
    assert caught.value.meta.attempts == 1


@pytest.mark.parametrize("said", [[say(503), say()], [cut, say()]], ids=["503", "cut"])
async def test_a_keyed_post_may_be_done_again(said: list[Any]) -> None:
    """With a key the provider knows a repetition: the whole chain is tried again, under the same key."""
    async with Place({"/a": [to("/b", 303)], "/b": said}) as place, caller(place) as shop:
        await shop.keyed(path="a", json={})
    posts = [request for request in place.received if request.method == "POST"]
    assert len({request.headers["X-Once"] for request in posts}) == 1
    assert place.lines in (
        ["POST /a", "GET /b", "POST /a", "GET /b"],
        ["POST /a", "GET /b", "GET /b"],  # the HTTP library has repeated the GET by itself
    )


@pytest.mark.parametrize(
    ("said", "tries"), [([say(429, Retry_After="0"), say()], 2), ([say(503)], 1)], ids=["429", "503"]
)
async def test_a_post_that_was_sent_on_is_as_done_as_its_last_answer_says(said: list[Any], tries: int) -> None:
    """307 says that nothing was done: what the target says of it counts as for any POST, a 429 is repeated."""
    async with Place({"/a": [to("/b", 307)], "/b": said}) as place, caller(place) as shop:
        if tries == 2:
            await shop.make(path="a", json={})
        else:
            with pytest.raises(buoy.HttpError) as caught:
                await shop.make(path="a", json={})
            assert (caught.value.status, caught.value.outcome) == (503, Outcome.UNKNOWN)
    assert ["POST /a", "POST /b"] * tries == place.lines


async def test_a_post_that_was_sent_on_to_nobody_is_sent_again() -> None:
    """307 did nothing, and where nobody listens nothing was done either."""
    dead = f"http://127.0.0.1:{unused_port()}/b"
    async with Place({"/a": [to(dead, 307), to("/c", 307)]}) as place, caller(place) as shop:
        result = await shop.make.call(path="a", json={})
    assert place.lines == ["POST /a", "POST /a", "POST /c"]
    assert (result.meta.attempts, result.meta.sends) == (2, 4)


@pytest.mark.parametrize("said", [say(503), say(429, Retry_After="0")], ids=["503", "429"])
async def test_a_target_that_is_busy_is_asked_again(said: bytes, observed: Observed) -> None:
    """The status at the end of a chain is that of the try; the next one begins at its start."""
    async with Place({"/a": [to("/b")], "/b": [said, say()]}) as place, caller(place) as shop:
        result = await shop.read.call(path="a")
    assert place.lines == ["GET /a", "GET /b"] * 2
    assert (result.status, result.meta.attempts, result.meta.sends) == (200, 2, 4)
    assert kinds(observed) == ["first", "redirect", "retry", "redirect"]


async def test_the_limit_of_a_try_is_for_the_whole_chain() -> None:
    """Hops that are each in time do not make a try that is."""

    async def slowly(peer: Peer) -> None:
        await asyncio.sleep(0.1)  # slowness is the fault, and the client's timer is what ends it
        await peer.write(to(f"/{len(place.received)}"))

    async with Place({f"/{number}": [slowly] for number in range(25)}) as place:
        timeout = buoy.Timeout(attempt=0.45)
        async with caller(place, timeout=timeout, retry=None, redirects=20) as shop:
            with pytest.raises(buoy.TimedOut) as caught:
                await shop.read(path="0")
            assert await shop.read(path="ok") == {}
    assert caught.value.reason == "timer"
    assert len(place.received) < 7


async def test_a_deadline_ends_a_chain() -> None:
    """``deadline=`` bounds all hops together, and no try follows."""
    async with Place({"/a": [to("/b")], "/b": [hang]}) as place, caller(place) as shop:
        with pytest.raises(buoy.TimedOut) as caught:
            await shop.read(path="a", deadline=0.3)
    assert caught.value.meta is not None
    assert (caught.value.meta.attempts, caught.value.meta.sends) == (1, 2)


async def test_a_resend_within_a_hop_is_seen(observed: Observed) -> None:
    """The GET of a hop that aiohttp repeats by itself is a send of its own, and maybe a duplicate."""
    async with Place({"/b": [cut, say()]}) as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/b")]}
        async with caller(place, retry=None) as shop:
            result = await shop.read.call(path="a")
    assert other.lines == ["GET /b", "GET /b"]
    assert (result.meta.sends, result.meta.duplicate_source) == (3, "resend")
    assert kinds(observed) == ["first", "redirect", "resend"]
    last = max(observed.attempts(), key=lambda span: span.start_time or 0)
    assert last.attributes is not None
    assert (last.name, last.attributes["url.full"]) == ("GET", f"{other.url}/REDACTED")
    assert last.attributes["http.request.resend_count"] == 2
    assert ["traceparent" in request.headers for request in (*place.received, *other.received)] == [True, False, False]


async def test_what_may_not_be_repeated_is_not_resent_within_a_hop(observed: Observed) -> None:
    """The GET that a 303 asks for belongs to a POST: when it is cut, aiohttp does not repeat it either."""
    async with Place({"/a": [to("/b", 303)], "/b": [cut]}) as place, caller(place) as shop:
        with pytest.raises(buoy.OutcomeUnknown):
            await shop.make(path="a", json={})
    assert place.lines == ["POST /a", "GET /b"]
    assert kinds(observed) == ["first", "redirect"]


# The limiter.


async def test_each_hop_takes_a_turn_and_its_wait_is_no_time_of_the_try(observed: Observed) -> None:
    """Three requests at a burst of two: the third waits, and that is told as such and no time of the try."""
    limit, timeout = buoy.RateLimit(1, burst=2), buoy.Timeout(attempt=0.8)
    async with Place(chain(2)) as place, caller(place, limit=limit, timeout=timeout, retry=None) as shop:
        result = await shop.read.call(path="0")
    waited = result.meta.waited["rate_limit"]  # type: ignore[index]  # an enum of strings
    assert 0.5 < waited <= 1.5
    assert (result.meta.attempts, result.meta.sends) == (1, 3)
    spent = attribute(observed, "buoy.time.attempts"), attribute(observed, "buoy.time.rate_limit")
    assert spent[1] == pytest.approx(waited)
    assert spent[0] + spent[1] <= result.meta.duration + 1e-6
    assert observed.value("buoy.client.wait.duration", **{"for": "rate_limit"}) == 1


@pytest.mark.parametrize(("hops", "sends"), [(1, 1), (2, 2)])
async def test_a_hop_without_a_turn_in_time_is_refused(hops: int, sends: int, observed: Observed) -> None:
    """It is our limit that refuses; everything is given back, and the breaker counts nothing."""
    limit = buoy.RateLimit(1, per=3600, burst=sends)
    concurrency, breaker = buoy.Concurrency(1, max_wait=0), buoy.Breaker(minimum_calls=1)
    options = {"limit": limit, "concurrency": concurrency, "breaker": breaker}
    async with Place(chain(hops)) as place, caller(place, **options) as shop:
        with pytest.raises(buoy.RateLimitedLocally, match="no room in time, after a redirect; try again in") as caught:
            await shop.read(path="0")
        with pytest.raises(buoy.RateLimitedLocally):  # and not for want of a permit
            await shop.read(path="0")
        taken = shop.snapshot()
        assert taken.concurrency is not None
        assert (taken.concurrency.used, shop.control.breaker.state) == (0, "closed")
        assert shop._transport is not None
        connector = shop._transport._pool.session.connector
        assert connector is not None
        assert connector._acquired == set()
    meta = caught.value.meta
    assert meta is not None
    assert (meta.attempts, meta.sends, len(place.received)) == (1, sends, sends)
    assert caught.value.retry_after is not None
    assert 3000 < caught.value.retry_after <= 3600
    assert observed.value("buoy.client.calls", result="refused") == 2
    assert observed.value("buoy.client.refusals", reason="rate_limited_locally") == 2
    assert [span.status.status_code.name for span in observed.attempts()] == ["UNSET"] * sends


async def test_a_refused_hop_costs_nobody_a_connection() -> None:
    """The connection of the redirect is back in the pool by then, where another call may have taken it."""
    async with Place(chain(1)) as place, caller(place, limit=buoy.RateLimit(1, per=3600, burst=1)) as shop:
        with pytest.raises(buoy.RateLimitedLocally):
            await shop.read(path="0")
        await shop.free(path="b")
    assert [request.connection for request in place.received] == [0, 0]


async def test_a_post_that_was_done_is_in_doubt_where_its_get_has_no_turn(observed: Observed) -> None:
    """303 says that the POST was carried out: to be told that nothing was sent would make somebody send it again."""
    limit = buoy.RateLimit(1, per=3600, burst=1)
    async with Place({"/a": [to("/b", 303)]}) as place, caller(place, limit=limit) as shop:
        with pytest.raises(buoy.OutcomeUnknown, match="It may have happened") as caught:
            await shop.make(path="a", json={})
    assert place.lines == ["POST /a"]
    assert isinstance(caught.value.cause, buoy.RateLimitedLocally)
    assert caught.value.outcome == Outcome.UNKNOWN
    assert observed.value("buoy.client.in_doubt") == 1


# Who sees what.


async def test_spans_and_metrics_are_what_the_servers_counted(observed: Observed) -> None:
    """A send has a span of its own: its kind, number, method and origin, and nothing of where exactly it led."""
    async with Place() as other, Place() as place:
        place.told = {"/a": [to("/b", 303)], "/b": [to(f"{other.url}/c")]}
        async with caller(place, trusted_origins=(other.url,)) as shop:
            result = await shop.make.call(path="a", json={}, page=1)
    (call,) = observed.calls()
    spans = sorted(observed.attempts(), key=lambda span: span.start_time or 0)
    sent = [*place.received, *other.received]
    assert [span.name for span in spans] == ["POST /{path}", "GET", "GET"]
    assert [span.kind.name for span in spans] == ["CLIENT"] * 3
    assert [span.parent and span.parent.span_id for span in spans] == [call.context and call.context.span_id] * 3
    contexts = [span.context for span in spans]
    assert [f"{context.span_id:016x}" for context in contexts if context] == [
        request.headers["traceparent"].split("-")[2] for request in sent
    ]
    attributes = [dict(span.attributes or {}) for span in spans]
    named = ("buoy.attempt.kind", "http.request.resend_count", "http.request.method", "http.response.status_code")
    assert [tuple(each.get(name) for name in named) for each in attributes] == [
        ("first", None, "POST", 303),
        ("redirect", 1, "GET", 302),
        ("redirect", 2, "GET", 200),
    ]
    assert [(each["url.full"], each.get("url.template"), each["server.port"]) for each in attributes[1:]] == [
        (f"{place.url}/REDACTED", None, place.port),
        (f"{other.url}/REDACTED", None, other.port),
    ]
    assert {each["server.address"] for each in attributes} == {"127.0.0.1"}
    assert {each["buoy.attempt.number"] for each in attributes} == {1}
    counted = {kind: observed.value("buoy.client.attempt.duration", kind=kind) for kind in ("first", "redirect")}
    assert (counted, observed.value("buoy.client.attempt.duration")) == ({"first": 1, "redirect": 2}, len(sent))
    assert (result.meta.attempts, result.meta.sends, result.meta.duplicate) == (1, 3, False)
    assert (call.attributes or {})["buoy.call.sends"] == 3
    assert observed.value("buoy.client.duplicates") == 0


@pytest.mark.parametrize("trusted", [False, True], ids=["foreign", "trusted"])
async def test_whose_limit_a_hop_speaks_of(trusted: bool) -> None:  # noqa: FBT001  # a parameter of the table
    """A quota that is used up at a foreign origin slows nothing down; that of a trusted one is the provider's own."""
    spent = say(200, b"{}", X_RateLimit_Limit="10", X_RateLimit_Remaining="0", X_RateLimit_Reset="3600")
    async with (
        Place({"/b": [spent]}) as elsewhere,
        Place({"/a": [to(f"{elsewhere.url}/b")]}) as place,
        caller(place, trusted_origins=(elsewhere.url,) if trusted else ()) as shop,
    ):
        result = await shop.read.call(path="a")
        assert trusted == (result.meta.quota is not None) == (shop.snapshot().quota is not None)
