"""HTTP over aiohttp on real sockets: what is sent, what is repeated, and what comes back."""

import asyncio
import traceback
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

import buoy
from buoy.outcome import DuplicateSource, Outcome, Phase, StopReason
from tests.integration.http.shop import Shop, attribute, kinds, parents, provider_of, span_ids
from tests.support.faults import FaultyServer, answer, close_read, hang, reset_read
from tests.support.telemetry import Observed

CANARY = "canary-91ce"


class Item(BaseModel):
    """What some answers are decoded to."""

    id: int
    tags: dict[str, int] = {}


# aiohttp's own repetition.


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@pytest.mark.parametrize("step", [close_read, reset_read], ids=["close", "reset"])
async def test_a_silent_resend_on_a_fresh_connection_is_seen(method: str, step: Any, observed: Observed) -> None:
    """An idempotent request that aiohttp repeats by itself: two sends, two traceparents, one try, maybe a duplicate."""
    async with FaultyServer([step]) as server, Shop(base_url=server.url, retry=None) as shop:
        result = await shop.request(method, "/items/{id}", id=1)
    meta = result.meta
    assert (result.status, meta.attempts, meta.sends) == (200, 1, 2)
    assert (meta.duplicate, meta.duplicate_source) == (True, DuplicateSource.RESEND)
    assert kinds(observed) == ["first", "resend"]
    assert [(0, method), (1, method)] == [(request.connection, request.method) for request in server.received]
    assert len(set(parents(server))) == 2
    assert span_ids(observed) == set(parents(server))


async def test_a_silent_resend_after_an_idle_close_is_seen(observed: Observed) -> None:
    """A pooled connection that the server closed meanwhile: the send that got nowhere is counted, too."""
    async with FaultyServer() as server, Shop(base_url=server.url, retry=None) as shop:
        first = await shop.read.call(id=1)
        server.connections[0].cut()  # and nothing runs in this loop until the next request is on its way
        second = await shop.read.call(id=2)
    assert (first.meta.attempts, first.meta.sends, first.meta.duplicate) == (1, 1, False)
    assert (second.meta.attempts, second.meta.sends, second.meta.duplicate) == (1, 2, True)
    assert kinds(observed) == ["first", "first", "resend"]
    assert [(seen.connection, seen.target) for seen in server.received] == [(0, "/items/1"), (1, "/items/2")]
    assert {*parents(server)} < span_ids(observed)


async def test_an_idle_close_before_a_write_is_in_doubt(observed: Observed) -> None:
    """The same with a POST: nobody can know that the closed connection carried nothing, so it is not repeated."""
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        await shop.make(json={})
        server.connections[0].cut()
        with pytest.raises(buoy.OutcomeUnknown):
            await shop.make(json={})
        assert await shop.make(json={}) == {}
    assert kinds(observed) == ["first", "first", "first"]


async def test_a_large_body_is_whole_on_every_send() -> None:
    """A body that aiohttp writes in pieces is complete on the first send, on its silent resend and on our retry."""
    body = bytes(range(256)) * 4096 * 3  # 3 MiB
    busy = answer(503, Retry_After="0")
    async with FaultyServer([close_read], [busy]) as server, Shop(base_url=server.url) as shop:
        result = await shop.replace.call(id=1, data=body)
    assert (result.meta.attempts, result.meta.sends) == (2, 3)
    assert [body == request.body for request in server.received] == [True, True, True]


async def test_a_large_answer_is_read_whole() -> None:
    """An answer above 1 MiB arrives complete."""
    body = b"x" * 5_000_000
    async with (
        FaultyServer([answer(200, body, Content_Type="application/octet-stream")]) as server,
        Shop(base_url=server.url) as shop,
    ):
        assert body == await shop.read(id=1)


# Time.


async def test_a_deadline_of_the_callers_own_cuts_the_call(observed: Observed) -> None:
    """``deadline=`` ends a call whose server hangs, and no further try is begun."""
    async with FaultyServer([hang]) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.TimedOut) as caught:
            await shop.read(id=1, deadline=0.5)
        assert await shop.read(id=2) == {}
    assert caught.value.meta is not None
    assert (caught.value.meta.attempts, caught.value.meta.sends) == (1, 1)
    assert caught.value.outcome == Outcome.UNKNOWN
    assert (observed.calls()[0].attributes or {})["buoy.retry.stop_reason"] == StopReason.DEADLINE


@pytest.mark.parametrize(("asked", "limit"), [(None, 60.0), (5, 5.0), (3600, 60.0)])
async def test_a_deadline_can_only_shorten(asked: float | None, limit: float, observed: Observed) -> None:
    """A call's own deadline counts up to the total of the operation."""
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        await shop.read(id=1, deadline=asked)
    assert limit == pytest.approx(attribute(observed, "buoy.call.deadline"))


@pytest.mark.parametrize("asked", [0, -1, 0.0])
async def test_a_deadline_that_has_passed_sends_nothing(asked: float, observed: Observed) -> None:
    """A call that cannot be on time is refused before anything is sent."""
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.DeadlineExceeded) as caught:
            await shop.read(id=1, deadline=asked)
    assert (caught.value.outcome, caught.value.reason) == (Outcome.NOT_SENT, "deadline_exceeded")
    assert server.connections == []
    assert observed.attempts() == []
    assert observed.value("buoy.client.calls", result="refused") == 1


async def test_without_a_timeout_nothing_cuts_a_call() -> None:
    """``timeout=None`` switches every timer off, aiohttp's own included."""
    async with FaultyServer() as server, Shop(base_url=server.url, timeout=None) as shop:
        assert await shop.read(id=1) == {}
        assert shop._transport is not None
        assert shop._transport._timeout.total is None


async def test_a_cancelled_call_gives_its_connection_back() -> None:
    """A caller that leaves while the server hangs leaves no connection taken, and the next call works."""
    async with FaultyServer([hang]) as server, Shop(base_url=server.url) as shop:
        call = asyncio.ensure_future(shop.make(json={}))
        await server.wait_for(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert shop._transport is not None
        connector = shop._transport._pool.session.connector
        assert connector is not None
        assert set() == connector._acquired
        assert await shop.make(json={}) == {}


# Answers.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 304])
async def test_a_redirect_is_returned_as_it_is(status: int, observed: Observed) -> None:
    """With ``redirects=0`` a 3xx is an answer like any other: nothing is followed."""
    async with (
        FaultyServer([answer(status, b"[7]", Location="/elsewhere")]) as server,
        Shop(base_url=server.url, redirects=0) as shop,
    ):
        result = await shop.read.call(id=1)
    assert (status, "/elsewhere") == (result.status, result.headers["location"])
    assert (None if status == 304 else [7]) == result.value
    assert [request.target for request in server.received] == ["/items/1"]
    assert kinds(observed) == ["first"]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("DELETE", 204), ("POST", 204)])
async def test_an_answer_without_a_body_is_none(method: str, status: int) -> None:
    """HEAD and 204 have no body, whatever their headers promise."""
    async with FaultyServer([answer(status)] * 2) as server, Shop(base_url=server.url) as shop:
        for _ in range(2):
            result = await shop.request(method, "/items/{id}", id=1)
            assert (status, None) == (result.status, result.value)
    assert [request.connection for request in server.received] == [0, 0]


async def test_a_result_has_value_status_headers_and_meta() -> None:
    """``call`` returns all there is to know; header names are case-insensitive."""
    operation = buoy.get("/items/{id}", Item)
    step = answer(203, b'{"id": 7, "tags": {"a": 1}}', X_Total="3")
    async with FaultyServer([step]) as server, provider_of(operation, server) as shop:
        result = await shop.operate.call(id=7)
    assert (Item(id=7, tags={"a": 1}), 203, "3") == (result.value, result.status, result.headers["x-total"])
    assert (
        result.meta.provider,
        result.meta.operation,
        result.meta.attempts,
        result.meta.sends,
        result.meta.waited,
    ) == ("custom", "operate", 1, 1, {})


async def test_an_answer_that_does_not_fit_is_undecodable(observed: Observed) -> None:
    """The error names the path of the misfit and no value or key of the body; it happened, and is not repeated."""
    step = answer(200, b'{"id": 1, "tags": {"%s": "%s"}}' % ((CANARY.encode(),) * 2))
    operation = buoy.get("/items/{id}", Item)
    async with (
        FaultyServer([step, answer(200, b'{"id": 2}')]) as server,
        provider_of(operation, server) as shop,
    ):
        with pytest.raises(buoy.Undecodable) as caught:
            await shop.operate(id=1)
        assert Item(id=2) == await shop.operate(id=2)
    error = caught.value
    said = "custom operate: HTTP 200, but the body does not fit the model at $.tags.* (int_parsing)."
    assert said == str(error)
    assert (error.error_type, error.reason) == (buoy.ErrorType.SERVER_ERROR, "misfit")
    assert (error.outcome, error.verdict.phase) == (Outcome.APPLIED, Phase.DECODE)
    assert CANARY not in "".join(traceback.format_exception(error)) + repr(error)
    assert len(server.received) == 2
    assert (observed.calls()[0].attributes or {})["buoy.retry.stop_reason"] == StopReason.NOT_RETRYABLE


class Picky(BaseModel):
    """A model whose validator has a mistake."""

    id: int

    @field_validator("id")
    @classmethod
    def check(cls, value: int) -> int:
        """Fail as a program does, not as data does."""
        raise RuntimeError(value)


async def test_a_mistake_in_the_callers_own_code_passes_through(observed: Observed) -> None:
    """What our table does not know is raised unchanged, recorded as ``unknown`` and not tried again."""
    async with FaultyServer([answer(200, b'{"id": 1}')]) as server, provider_of(buoy.get("/x", Picky), server) as shop:
        with pytest.raises(RuntimeError) as caught:
            await shop.operate()
    assert caught.value.args == (1,)
    assert len(server.received) == 1
    assert attribute(observed, "error.type") == "unknown"


@pytest.mark.parametrize(
    ("operation", "sends"), [(buoy.get("/x", Item), 2), (buoy.post("/x", Item), 1)], ids=["get", "post"]
)
async def test_an_answer_that_is_no_json_may_be_gone_next_time(operation: Any, sends: int) -> None:
    """A proxy's page in place of JSON is tried again where that is safe."""
    page = answer(200, b"<html>", Content_Type="text/html")
    async with FaultyServer([page, answer(200, b'{"id": 2}')]) as server, provider_of(operation, server) as shop:
        try:
            assert Item(id=2) == await shop.operate()
        except buoy.Undecodable as error:
            assert error.reason == "malformed"  # noqa: PT017  # whether it is raised is the other column
    assert sends == len(server.received)


# Requests.


async def test_what_is_sent_is_what_was_said() -> None:
    """Method, path, query, body and headers reach the server as they were given."""
    async with (
        FaultyServer() as server,
        Shop(base_url=f"{server.url}/v2/", auth=buoy.Bearer(CANARY), headers={"X-Team": "blue"}) as shop,
    ):
        await shop.replace(
            id="a/b ü",
            q=["x y", "&"],
            full=True,
            params={"id": 7, "none": None},
            json={"n": 1},
            headers={"X-Call": "c"},
        )
    request = server.received[0]
    assert (request.method, request.target) == ("PUT", "/v2/items/a%2Fb%20%C3%BC?q=x%20y&q=%26&full=true&id=7")
    assert request.body == b'{"n":1}'
    expected = {
        "Authorization": f"Bearer {CANARY}",
        "X-Team": "blue",
        "X-Call": "c",
        "Content-Type": "application/json",
        "User-Agent": f"buoy/{buoy.__version__}",
    }
    assert expected == {name: request.headers[name] for name in expected}


async def test_no_cookie_of_one_answer_goes_with_the_next_call() -> None:
    """A provider's cookies are nobody's credentials: they are not kept."""
    async with FaultyServer([answer(Set_Cookie="session=canary; Path=/")]) as server, Shop(base_url=server.url) as shop:
        await shop.read(id=1)
        await shop.read(id=2)
    assert "Cookie" not in server.received[1].headers


async def test_several_calls_at_once_do_not_mix() -> None:
    """Answers go to the call that asked, over as many connections as there are calls."""
    scripts = [[answer(200, b"%d" % number)] for number in range(20)]
    async with FaultyServer(*scripts) as server, Shop(base_url=server.url) as shop:
        values = await asyncio.gather(*[shop.read(id=number) for number in range(20)])
    by_target = {request.target: request.connection for request in server.received}
    assert [by_target[f"/items/{number}"] for number in range(20)] == values
