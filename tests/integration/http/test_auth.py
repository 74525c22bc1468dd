"""Credentials on the wire: made for every try, where they belong, and nowhere else."""

import asyncio
from typing import Any

import pytest

import buoy
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed, logs

CANARY = "canary-5d1c"
AT_ONCE = buoy.Retry(max_attempts=2, base=0)


def shop(peer: Peer, auth: Any, **options: Any) -> buoy.Provider:
    """Return a provider that signs by ``auth``."""
    return buoy.Provider("shop", base_url=peer.url, auth=auth, **{"retry": None, **options})


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        (buoy.Bearer("t0ken"), "authorization", "Bearer t0ken"),
        (buoy.Basic("me", "pass"), "authorization", "Basic bWU6cGFzcw=="),
        (buoy.ApiKey("k3y", header="X-Api-Key"), "x-api-key", "k3y"),
    ],
)
async def test_credentials_in_a_header(auth: Any, name: str, value: str) -> None:
    """Each kind of credentials is the header that it should be; what a call brings itself stands before it."""
    async with Peer() as peer, shop(peer, auth) as provider:
        await provider.get("/items")
        await provider.get("/items", headers={name: "own"})
    assert [heard.headers[name] for heard in peer.heard] == [value, "own"]


async def test_a_key_in_the_query_is_on_the_wire_and_nowhere_else(observed: Observed) -> None:
    """The server gets the key; spans, logs, reprs and the error do not, and the other parameters stay."""
    auth = buoy.ApiKey(CANARY, query="api_key")
    with logs() as seen:
        async with Peer(answer(500)) as peer, shop(peer, auth) as provider:
            with pytest.raises(buoy.HttpError) as caught:
                await provider.get("/items", page=2)
            shown = f"{provider!r} {auth!r} {caught.value!r} {caught.value}"
    assert peer.heard[0].line == f"GET /items?page=2&api_key={CANARY} HTTP/1.1"
    told = [span.to_json() for span in (*observed.calls(), *observed.attempts())]
    assert CANARY not in f"{shown} {told} {[vars(record) for record in seen.records]}"


async def test_a_function_is_asked_for_every_try() -> None:
    """An auth function sees method, URL and body of each try, and what it sets is that try's alone."""
    asked: list[tuple[str, str, bytes | None]] = []

    async def auth(request: buoy.Outgoing) -> None:
        asked.append((request.method, request.url.path, request.body))
        await asyncio.sleep(0)
        request.headers["X-Signature"] = str(len(asked))

    async with Peer(answer(503)) as peer, shop(peer, auth, retry=AT_ONCE) as provider:
        await provider.put("/items/{id}", id="1", json={"a": 1})
    assert asked == [("PUT", "/items/1", b'{"a":1}')] * 2
    assert [heard.headers["x-signature"] for heard in peer.heard] == ["1", "2"]


async def test_what_a_function_raises_is_not_the_providers_failure(observed: Observed) -> None:
    """Its exception passes as it is: nothing was sent, and the breaker counts nothing."""

    async def auth(_: buoy.Outgoing) -> None:
        raise ConnectionRefusedError(CANARY)

    async with Peer() as peer, shop(peer, auth, breaker=buoy.Breaker(minimum_calls=1)) as provider:
        with pytest.raises(ConnectionRefusedError):
            await provider.get("/items")
        assert provider.snapshot().breaker is not None
        assert provider.control.breaker.state == "closed"
    assert (peer.heard, observed.attempts()) == ([], [])


async def test_a_function_that_hangs_ends_with_the_try() -> None:
    """The attempt timeout bounds it; nothing was sent, so the call says so."""

    async def auth(_: buoy.Outgoing) -> None:
        await asyncio.get_running_loop().create_future()

    async with Peer() as peer, shop(peer, auth, timeout=buoy.Timeout(attempt=0.02)) as provider:
        with pytest.raises(buoy.TimedOut, match="not sent, auth took longer than") as caught:
            await provider.post("/items", json={})
    assert (caught.value.outcome, peer.heard) == ("not_sent", [])


async def test_a_timeout_of_the_functions_own_is_its_own() -> None:
    """A ``TimeoutError`` that it raises itself is not taken for ours."""

    async def auth(_: buoy.Outgoing) -> None:
        raise TimeoutError(CANARY)

    async with Peer() as peer, shop(peer, auth) as provider:
        with pytest.raises(TimeoutError, match=CANARY):
            await provider.get("/items")


async def test_a_header_that_cannot_be_sent() -> None:
    """What an auth function adds is checked before anything is sent, and not shown."""

    async def auth(request: buoy.Outgoing) -> None:
        request.headers["X-Key"] = f"{CANARY}\n"

    async with Peer() as peer, shop(peer, auth) as provider:
        with pytest.raises(ValueError, match="'X-Key' has a line break") as caught:
            await provider.get("/items")
    assert (peer.heard, CANARY in str(caught.value)) == ([], False)


def test_joined_calls_need_fixed_credentials() -> None:
    """Who an auth function signs for is not known beforehand, so its calls cannot share an answer."""

    class Shop(buoy.Provider, base_url="http://127.0.0.1:9"):
        read = buoy.get("/items", joined=True)

    async def auth(request: buoy.Outgoing) -> None:
        """Sign for whoever is calling."""

    with pytest.raises(buoy.ConfigurationError, match="shop read: joined=True needs fixed credentials"):
        Shop(auth=auth)
