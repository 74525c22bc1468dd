"""What is tried again after an answer, when, and under which key, on real sockets."""

import asyncio
import traceback
from typing import Any

import pytest

import buoy
from buoy import contract
from buoy.outcome import Outcome, Phase, StopReason
from tests.integration.http.shop import Shop, attribute, kinds
from tests.support.faults import BOUND, FaultyServer, answer, truncated
from tests.support.telemetry import Observed, logs

CANARY = "canary-91ce"


async def test_a_post_answered_429_is_tried_again(observed: Observed) -> None:
    """429 says that nothing was done: also a POST without a key is repeated, on the same connection."""
    async with (
        FaultyServer([answer(429), answer(429), answer(201, b"[7]")]) as server,
        Shop(base_url=server.url) as shop,
    ):
        result = await shop.make.call(json={"n": 1})
    assert (result.status, result.value, result.meta.attempts, result.meta.sends) == (201, [7], 3, 3)
    assert [request.connection for request in server.received] == [0, 0, 0]
    assert kinds(observed) == ["first", "retry", "retry"]
    assert observed.value("buoy.client.retries") == 2


async def test_a_post_answered_503_with_retry_after_is_tried_again() -> None:
    """A server that says when to come back has done nothing yet."""
    async with FaultyServer([answer(503, Retry_After="0")]) as server, Shop(base_url=server.url) as shop:
        result = await shop.make.call(json={})
    assert (result.meta.attempts, result.meta.sends) == (2, 2)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_post_answered_5xx_is_not_tried_again(status: int, observed: Observed) -> None:
    """Without Retry-After a 5xx leaves open whether it happened: ``HttpError`` with outcome unknown, sent once."""
    async with FaultyServer([answer(status)]) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.HttpError) as caught:
            await shop.make(json={})
        assert await shop.make(json={}) == {}
    error = caught.value
    assert type(error) is buoy.HttpError
    assert (status, Outcome.UNKNOWN, Phase.RECEIVE) == (error.status, error.outcome, error.verdict.phase)
    assert (observed.calls()[0].attributes or {})["buoy.retry.stop_reason"] == StopReason.NOT_IDEMPOTENT
    assert len(server.received) == 2


async def test_a_get_answered_5xx_is_tried_again_until_the_tries_are_used_up(observed: Observed) -> None:
    """The last answer is raised with its status, headers and problem, and with the story of the call."""
    problem = {"type": "about:blank", "title": CANARY, "status": 503}
    down = answer(503, b'{"type":"about:blank","title":"%s","status":503}' % CANARY.encode(),
                  Content_Type="application/problem+json; charset=utf-8", X_Request_Id="req_1")  # fmt: skip
    async with FaultyServer([down] * 3) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.HttpError) as caught:
            await shop.read(id=1)
    error = caught.value
    assert (503, problem, "req_1") == (error.status, error.problem, error.headers["x-request-id"])
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends) == (3, 3)
    assert attribute(observed, "buoy.retry.stop_reason") == StopReason.MAX_ATTEMPTS
    assert CANARY not in "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"[1]", "application/problem+json"), (b"<html>", "application/problem+json"), (b"{}", "application/json")],
)
async def test_only_a_problem_document_is_a_problem(body: bytes, content_type: str) -> None:
    """A body that is not a problem object by content type and shape is no ``problem``, and no second error."""
    async with (
        FaultyServer([answer(404, body, Content_Type=content_type)]) as server,
        Shop(base_url=server.url) as shop,
    ):
        with pytest.raises(buoy.HttpError) as caught:
            await shop.read(id=1)
    assert (caught.value.status, caught.value.problem) == (404, None)


@pytest.mark.parametrize(("status", "said", "sends"), [(500, "false", 1), (404, "true", 3)])
async def test_the_provider_decides_whether_trying_again_helps(status: int, said: str, sends: int) -> None:
    """``x-should-retry`` overrides the table, as the provider's own SDKs do."""
    step = answer(status, x_should_retry=said)
    async with FaultyServer([step] * 3) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.HttpError):
            await shop.read(id=1)
    assert sends == len(server.received)


async def test_a_retry_after_beyond_the_deadline_is_told_and_not_waited_for(observed: Observed) -> None:
    """A wait that cannot end in time is never begun: the error comes now, and says when to come back."""
    async with FaultyServer([answer(429, Retry_After="3600")]) as server, Shop(base_url=server.url) as shop:
        with pytest.raises(buoy.HttpError, match="retry after 3600 s") as caught:
            await shop.read(id=1)
    assert (caught.value.retry_after, caught.value.error_type) == (3600.0, buoy.ErrorType.RATE_LIMITED)
    assert attribute(observed, "buoy.retry.stop_reason") == StopReason.RETRY_AFTER


@pytest.mark.parametrize(
    "step",
    [answer(429, b"x" * 5_000_000, Retry_After="30"), answer(503, Retry_After="30"), truncated()],
    ids=["429", "503", "truncated"],
)
async def test_a_failed_answer_is_released_before_the_wait(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the pipeline waits, no connection is taken."""
    monkeypatch.setattr("buoy.pipeline.run.random", lambda: 1.0)  # the longest wait, never one of next to nothing
    slow = buoy.Retry(base=20, throttled_base=0)
    async with FaultyServer([step]) as server, Shop(base_url=server.url, retry=slow) as shop:
        with logs() as log:
            call = asyncio.ensure_future(shop.read(id=1))
            async with asyncio.timeout(BOUND):
                while not log.of(contract.RETRY_SCHEDULED):  # noqa: ASYNC110  # what is awaited is the product's own log
                    await asyncio.sleep(0)
        assert shop._transport is not None
        connector = shop._transport._pool.session.connector
        assert connector is not None
        assert not call.done()
        assert set() == connector._acquired
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


# Keys.


@pytest.mark.parametrize("given", ["order-1", None])
async def test_the_key_of_a_call_is_the_same_on_every_try(given: str | None) -> None:
    """A key, given or made, goes with every try of one call, and another one with the next call."""
    flaky = [answer(500), answer(502), answer()]
    async with FaultyServer(flaky * 2) as server, Shop(base_url=server.url) as shop:
        for _ in range(2):
            await shop.order.call(json={}, idempotency_key=given)
    keys = [request.headers.getall("Idempotency-Key") for request in server.received]
    assert [len(key) for key in keys] == [1] * 6
    assert keys[0] == keys[1] == keys[2]
    assert keys[3] == keys[4] == keys[5]
    assert (given is None) is (keys[0] != keys[3])
    assert given is None or [given] == keys[0]


@pytest.mark.parametrize(("operation", "sends"), [("order", 2), ("make", 1)])
async def test_a_conflict_is_tried_again_only_under_a_key(operation: str, sends: int) -> None:
    """409 under a key means that the first try is still running over there; without one it is the caller's own."""
    async with FaultyServer([answer(409), answer(201)]) as server, Shop(base_url=server.url) as shop:
        try:
            await getattr(shop, operation)(json={})
        except buoy.HttpError as error:
            assert error.status == 409  # noqa: PT017  # whether it is raised is the other column
    assert sends == len(server.received)
