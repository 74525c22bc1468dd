"""What each way of failing on a real socket becomes, and that the next call works."""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

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

# Long enough to connect and write on the slowest machine; the server then never answers.
SHORT = buoy.Timeout(total=30, attempt=0.5)
LONG = buoy.Timeout(total=60, attempt=20)


@dataclass(frozen=True)
class Case:
    """A fault, and what becomes of it. ``resent``: aiohttp sends an idempotent request once more by itself."""

    step: Step
    error: type[buoy.BuoyError]
    error_type: buoy.ErrorType
    reason: str
    resent: bool = False
    timeout: buoy.Timeout = LONG


NETWORK, TIMEOUT = buoy.ErrorType.NETWORK_ERROR, buoy.ErrorType.TIMEOUT
CASES = {
    "reset-unread": Case(reset_unread, buoy.NetworkError, NETWORK, "connection_lost", resent=True),
    "reset-read": Case(reset_read, buoy.NetworkError, NETWORK, "connection_lost", resent=True),
    "close-read": Case(close_read, buoy.NetworkError, NETWORK, "disconnected", resent=True),
    "truncated": Case(truncated(), buoy.NetworkError, NETWORK, "truncated"),
    "no-http": Case(raw(b"SSH-2.0-canary\r\n\r\n"), buoy.NetworkError, NETWORK, "broken_answer"),
    "bad-chunks": Case(
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        buoy.NetworkError,
        NETWORK,
        "broken_answer",
    ),
    "hang": Case(hang, buoy.TimedOut, TIMEOUT, "timer", timeout=SHORT),
    "hang-in-body": Case(hang_in_body, buoy.TimedOut, TIMEOUT, "timer", timeout=SHORT),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def told(error: buoy.BuoyError) -> tuple[str | None, buoy.ErrorType, Outcome, Phase]:
    """Return what an error says of itself."""
    return error.reason, error.error_type, error.outcome, error.verdict.phase


@EACH
async def test_a_read_that_fails_says_how(case: Case, observed: Observed) -> None:
    """A GET that is not retried raises the failure itself, what aiohttp repeated is counted, the next call works."""
    sends = 2 if case.resent else 1
    async with (
        FaultyServer(*[[case.step]] * sends) as server,
        Shop(base_url=server.url, retry=None, timeout=case.timeout) as shop,
    ):
        with pytest.raises(case.error) as caught:
            await shop.read(id=1)
        error = caught.value
        assert type(error) is case.error
        assert (case.reason, case.error_type, Outcome.UNKNOWN, Phase.RECEIVE) == told(error)
        assert error.meta is not None
        assert (1, sends, case.resent) == (error.meta.attempts, error.meta.sends, error.meta.duplicate)
        assert attribute(observed, "buoy.retry.stop_reason") == StopReason.MAX_ATTEMPTS
        assert await shop.read(id=2) == {}
    assert sends + 1 == len(observed.attempts())


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
async def test_a_write_that_fails_is_in_doubt_and_sent_once(case: Case, observed: Observed) -> None:
    """A POST that left and got no complete answer is ``OutcomeUnknown``, sent exactly once; the next call works."""
    async with (
        FaultyServer([case.step]) as server,
        Shop(base_url=server.url, timeout=case.timeout) as shop,
    ):
        with pytest.raises(buoy.OutcomeUnknown) as caught:
            await shop.make(json={"n": 1})
        error = caught.value
        assert (case.reason, case.error_type, Outcome.UNKNOWN, Phase.RECEIVE) == told(error)
        assert type(error.cause) is case.error
        assert error.cause is error.__cause__
        assert error.meta is not None
        assert (error.meta.attempts, error.meta.sends, error.meta.duplicate) == (1, 1, False)
        assert attribute(observed, "buoy.retry.stop_reason") == StopReason.NOT_IDEMPOTENT
        assert len(server.connections) == 1
        assert await shop.make(json={"n": 2}) == {}
    assert kinds(observed) == ["first", "first"]


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


async def never(*_: object, **__: object) -> list[Any]:
    """Resolve a name as a name server does that does not answer."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def unknown_host(*_: object, **__: object) -> list[Any]:
    """Resolve a name that does not exist."""
    raise socket.gaierror(socket.EAI_NONAME, "canary")


@pytest.mark.parametrize(
    ("resolve", "kind", "said"),
    [
        (never, buoy.TimedOut, ("timer", TIMEOUT, Outcome.NOT_SENT, Phase.CONNECT)),
        (unknown_host, buoy.NetworkError, ("dns", NETWORK, Outcome.NOT_SENT, Phase.CONNECT)),
    ],
    ids=["timeout", "unknown"],
)
async def test_what_fails_before_anything_was_sent_is_never_in_doubt(
    resolve: Callable[..., Awaitable[Any]],
    kind: type[buoy.BuoyError],
    said: tuple[str, buoy.ErrorType, Outcome, Phase],
    monkeypatch: pytest.MonkeyPatch,
    observed: Observed,
) -> None:
    """A POST that was still connecting when its time was up, or found no host, was not sent: it is tried again."""
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    two = buoy.Retry(max_attempts=2, base=0)
    async with Shop(base_url="http://shop.invalid", timeout=buoy.Timeout(total=30, attempt=0.02), retry=two) as shop:
        with pytest.raises(kind) as caught:
            await shop.make(json={"canary": 1})
    assert type(caught.value) is kind
    assert said == told(caught.value)
    assert "canary" not in str(caught.value)
    assert kinds(observed) == ["first", "retry"]


async def test_a_server_without_tls_is_a_failed_handshake() -> None:
    """An https URL on a port that speaks plain HTTP fails before the request leaves: not sent, and retried."""

    async def plain(peer: Peer) -> None:
        await peer.reader.readexactly(1)
        peer.writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.writer.close()

    async with (
        FaultyServer(*[[plain]] * 3) as server,
        Shop(base_url=server.url.replace("http:", "https:")) as shop,
    ):
        with pytest.raises(buoy.NetworkError) as caught:
            await shop.make(json={})
    assert told(caught.value) == ("tls", NETWORK, Outcome.NOT_SENT, Phase.CONNECT)
    assert len(server.connections) == 3


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
            assert server._server is not None
            server._server.close()
            peer.reset()

        server._scripts = ([read_and_stop_listening],)
        async with Shop(base_url=server.url, retry=None) as shop:
            with pytest.raises(buoy.NetworkError) as caught:
                await shop.replace(id=1, json={})
    assert caught.value.outcome == Outcome.UNKNOWN
    assert kinds(observed) == ["first", "resend"]
    outcomes = [(span.attributes or {})["buoy.error.outcome"] for span in observed.attempts()]
    assert outcomes == ["unknown", "not_sent"]
