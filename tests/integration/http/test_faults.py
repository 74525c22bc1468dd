"""Faults on a real socket that pass: what is tried again, with which spans and keys, and what is not.

What each fault by itself becomes is in ``fault_table``.
"""

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

import buoy
from buoy.outcome import Outcome, Phase, StopReason
from tests.integration.http.shop import Shop, attribute, kinds, parents, provider_of, span_ids
from tests.support.faults import (
    FaultyServer,
    Peer,
    Step,
    answer,
    close_read,
    hang,
    hang_in_body,
    raw,
    reset_read,
    reset_unread,
    truncated,
)
from tests.support.telemetry import Observed

# The server never answers, and it does no harm if the time is up before it was asked.
SHORT = buoy.Timeout(total=30, attempt=0.1)
LONG = buoy.Timeout(total=60, attempt=20)
NETWORK = buoy.ErrorType.NETWORK_ERROR


class Case(NamedTuple):
    """A fault. ``resent``: aiohttp sends an idempotent request once more by itself."""

    step: Step
    resent: bool = False
    timeout: buoy.Timeout = LONG


CASES = {
    "reset-unread": Case(reset_unread, resent=True),
    "reset-read": Case(reset_read, resent=True),
    "close-read": Case(close_read, resent=True),
    "truncated": Case(truncated()),
    "no-http": Case(raw(b"SSH-2.0-canary\r\n\r\n")),
    "bad-chunks": Case(raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")),
    "hang": Case(hang, timeout=SHORT),
    "hang-in-body": Case(hang_in_body, timeout=SHORT),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def told(error: buoy.BuoyError) -> tuple[str | None, buoy.ErrorType, Outcome, Phase]:
    """Return what an error says of itself."""
    return error.reason, error.error_type, error.outcome, error.verdict.phase


@EACH
async def test_a_read_that_fails_is_tried_again(case: Case, observed: Observed) -> None:
    """A GET is retried after every one of these faults, and succeeds where the fault has passed."""
    sends = 2 if case.resent else 1
    async with (
        FaultyServer(*[[case.step]] * sends, [answer(200, b"[7]")]) as server,
        Shop(base_url=server.url, timeout=case.timeout) as shop,
    ):
        result = await shop.read.call(id=1)
    assert result.value == [7]
    assert (2, sends + 1) == (result.meta.attempts, result.meta.sends)
    assert ["first", *["resend"] * (sends - 1), "retry"] == kinds(observed)
    assert span_ids(observed) >= set(parents(server))
    assert len(server.received) == len(set(parents(server)))


@EACH
async def test_a_write_with_a_key_is_tried_again(case: Case) -> None:
    """A POST whose provider honours keys is retried after every one of these faults, with the same key."""
    async with (
        FaultyServer([case.step], [answer(201, b"[7]")]) as server,
        Shop(base_url=server.url, timeout=case.timeout) as shop,
    ):
        result = await shop.order.call(json={"n": 1}, idempotency_key="order-1")
    assert (result.status, result.value, result.meta.attempts, result.meta.sends) == (201, [7], 2, 2)
    assert {"order-1"} == {request.headers["Idempotency-Key"] for request in server.received}
    assert {b'{"n":1}'} == {request.body for request in server.received}


METHODS: dict[str, Callable[[Shop], Awaitable[Any]]] = {
    "get": lambda shop: shop.read(id=1),
    "post": lambda shop: shop.make(json={}),
    "put": lambda shop: shop.replace(id=1, json={}),
    "delete": lambda shop: shop.remove(id=1),
}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
async def test_a_refused_connection_is_a_failure_and_retried(
    method: Callable[[Shop], Awaitable[Any]], observed: Observed
) -> None:
    """Nothing was sent, so every method is retried; the call counts as a failure over there, not as our refusal."""
    with socket.socket() as taken:  # bound and not listening: the port refuses, and nobody else can have it
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with Shop(base_url=f"http://127.0.0.1:{port}") as shop:
            with pytest.raises(buoy.NetworkError, match=f"errno {errno.ECONNREFUSED}") as caught:
                await method(shop)
            assert told(caught.value) == ("refused", NETWORK, Outcome.NOT_SENT, Phase.CONNECT)
            assert caught.value.meta is not None
            assert (caught.value.meta.attempts, caught.value.meta.sends) == (3, 3)
            assert attribute(observed, "buoy.retry.stop_reason") == StopReason.MAX_ATTEMPTS
            results = {result: observed.value("buoy.client.calls", result=result) for result in ("failure", "refused")}
            assert results == {"failure": 1, "refused": 0}
            taken.close()
            server = FaultyServer()
            server.port = port
            async with server:
                assert await method(shop) == {}
    assert kinds(observed) == ["first", "retry", "retry", "first"]


async def test_what_is_declared_unsafe_is_not_resent_either(observed: Observed) -> None:
    """A PUT declared unsafe is sent once, though aiohttp would send any PUT again: it is in doubt."""
    put = buoy.put("/counters/{id}", safety="unsafe")
    async with FaultyServer([close_read], [answer()]) as server, provider_of(put, server) as shop:
        with pytest.raises(buoy.OutcomeUnknown) as caught:
            await shop.operate(id=1, json={"add": 1})
        assert told(caught.value) == ("disconnected", NETWORK, Outcome.UNKNOWN, Phase.RECEIVE)
        assert await shop.operate(id=2, json={"add": 1}) == {}
    assert [request.target for request in server.received] == ["/counters/1", "/counters/2"]
    assert kinds(observed) == ["first", "first"]


async def test_a_resend_that_was_refused_does_not_make_the_first_send_unsent(observed: Observed) -> None:
    """A request was read, aiohttp sent it again, and nobody listened any more: it may have happened all the same."""
    async with FaultyServer() as server:

        async def read_and_stop_listening(peer: Peer) -> None:
            await peer.read()
            server.stop_listening()
            peer.reset()

        server.add([read_and_stop_listening])
        async with Shop(base_url=server.url, retry=None) as shop:
            with pytest.raises(buoy.NetworkError) as caught:
                await shop.replace(id=1, json={})
    assert caught.value.outcome == Outcome.UNKNOWN
    assert kinds(observed) == ["first", "resend"]
    outcomes = [(span.attributes or {})["buoy.error.outcome"] for span in observed.attempts()]
    assert outcomes == ["unknown", "not_sent"]
