"""The scripted provider, as the tests of others use it: answers, faults, what came, and what must not pass unseen."""

import asyncio
import logging
from typing import Any

import pytest

import buoy
from buoy.testing import ScriptedProvider
from tests.integration.testing import wire
from tests.integration.testing.shop import Product, Shop

CANARY = "canary-5f1d"


async def test_a_test_of_five_lines() -> None:
    """Say what is answered, call, and look at what came."""
    async with ScriptedProvider() as remote, Shop(base_url=remote.url) as shop:
        remote.answer("GET", "/products/7", json={"id": "7"})
        remote.answer("POST", "/orders", status=503, headers={"Retry-After": "0"})
        remote.answer("POST", "/orders", status=201, json={"number": 1})
        assert await shop.product(id="7") == Product(id="7")
        result = await shop.keyed.call(json={"sku": "7"}, idempotency_key="order-1")
        assert (result.value, result.status, result.meta.attempts) == ({"number": 1}, 201, 2)
    assert [request.headers["idempotency-key"] for request in remote.requests[1:]] == ["order-1", "order-1"]


async def test_what_came_is_kept() -> None:
    """Method, path, query, headers in any case and the body are kept as they were meant, bodies of any size."""
    large = b"x" * 3 * 2**20
    async with ScriptedProvider() as remote, buoy.Provider("shop", base_url=remote.url + "/v2") as shop:
        remote.answer("PUT", "/v2/files/a b", always=True)
        await shop.put("/files/{name}", name="a b", tag=["x", "y"], json={"a": 1}, headers={"X-Trace": "1"})
        await shop.put("/files/{name}", name="a b", data=large)
    first, second = remote.requests
    assert (first.method, first.path) == ("PUT", "/v2/files/a%20b")
    assert list(first.query.items()) == [("tag", "x"), ("tag", "y")]
    assert (first.headers["x-trace"], first.headers["CONTENT-TYPE"]) == ("1", "application/json")
    assert first.json() == {"a": 1}
    assert large == second.body


async def test_a_request_shows_no_more_than_its_path() -> None:
    """No header, query or body of a request is in its repr, nor in what is raised for one that was not scripted."""
    remote = ScriptedProvider()

    async def test() -> None:
        async with remote, Shop(base_url=remote.url, auth=buoy.Bearer(CANARY)) as shop:
            with pytest.raises(buoy.HttpError):
                await shop.order(json={"card": CANARY}, q=CANARY)

    with pytest.raises(AssertionError) as caught:
        await test()
    assert repr(remote.requests) == "[ReceivedRequest(method='POST', path='/orders')]"
    assert str(caught.value) == "requests for which nothing was scripted:\n  POST /orders"


async def test_a_cut_without_an_answer() -> None:
    """A connection that is cut fails a safe call, and leaves open whether an unsafe one happened."""
    async with ScriptedProvider() as remote, Shop(base_url=remote.url, retry=None) as shop:
        remote.cut("POST", "/orders")
        with pytest.raises(buoy.OutcomeUnknown) as unknown:
            await shop.order(json={})
        remote.cut("GET", "/products/7", times=2)  # aiohttp itself sends a GET again
        with pytest.raises(buoy.NetworkError) as failed:
            await shop.product(id="7")
    assert [unknown.value.reason, failed.value.reason] == ["disconnected", "disconnected"]
    assert [(_meta(error.value).attempts, _meta(error.value).sends) for error in (unknown, failed)] == [(1, 1), (1, 2)]
    assert [request.method for request in remote.requests] == ["POST", "GET", "GET"]


@pytest.mark.parametrize("after", [0, 1, 10])
async def test_a_cut_is_where_it_says(after: int) -> None:
    """The head announces the whole body, exactly so many bytes of it come, and then the connection is closed."""
    async with ScriptedProvider() as remote, wire.connected(remote.url) as (reader, writer):
        remote.cut("GET", "/products/7", after=after, json={"id": "7"})
        writer.write(wire.request("GET", "/products/7"))
        line, headers = await wire.answer(reader)
        assert (line, headers["content-length"]) == (b"HTTP/1.1 200 OK", "11")
        assert b'{"id": "7"}'[:after] == await reader.read()


async def test_a_body_cut_short_is_no_answer() -> None:
    """A truncated body fails the call, and the next try gets the next answer."""
    async with ScriptedProvider() as remote, Shop(base_url=remote.url) as shop:
        remote.cut("GET", "/products/7", after=4, json={"id": "7"})
        remote.answer("GET", "/products/7", json={"id": "7"})
        assert (await shop.product.call(id="7")).meta.attempts == 2
        remote.cut("GET", "/products/8", after=4, json={"id": "8"}, times=3)
        with pytest.raises(buoy.NetworkError) as caught:
            await shop.product(id="8")
    assert caught.value.reason == "truncated"


async def test_a_hanging_answer_times_out() -> None:
    """What hangs is given up after the attempt's time, and the next try is answered."""
    timeout = buoy.Timeout(total=20, attempt=0.05)
    async with ScriptedProvider() as remote, Shop(base_url=remote.url, timeout=timeout) as shop:
        remote.hang("GET", "/products/7")
        remote.answer("GET", "/products/7", json={"id": "7"})
        assert (await shop.product.call(id="7")).meta.attempts == 2
        remote.hang("GET", "/products/8", after=2, json={"id": "8"}, always=True)
        with pytest.raises(buoy.TimedOut):
            await shop.product(id="8")


async def test_a_hanging_answer_is_released() -> None:
    """A test learns that the request came, does what it wants meanwhile, and lets the answer go."""
    async with ScriptedProvider() as remote, Shop(base_url=remote.url) as shop:
        hanging = remote.hang("GET", "/products/7", json={"id": "7"}, times=2)
        call = asyncio.create_task(shop.product(id="7"))
        await hanging.arrived()
        assert not call.done()
        hanging.release()
        assert Product(id="7") == await call
        assert Product(id="7") == await shop.product(id="7")


async def test_a_hang_within_a_body() -> None:
    """The bytes before it are there while it hangs, and the others after the release."""
    async with ScriptedProvider() as remote, wire.connected(remote.url) as (reader, writer):
        hanging = remote.hang("GET", "/a", after=3, body="abcdef")
        writer.write(wire.request("GET", "/a"))
        await wire.answer(reader)
        assert await reader.readexactly(3) == b"abc"
        hanging.release()
        assert await reader.readexactly(3) == b"def"


async def test_what_hangs_at_the_end_is_cut() -> None:
    """Leaving the block hangs up on callers that still wait."""
    async with ScriptedProvider() as remote:
        hanging = remote.hang("GET", "/products/7")
        provider = Shop(base_url=remote.url, retry=None)
        shop = await provider.__aenter__()
        call = asyncio.create_task(shop.product(id="7"))
        await hanging.arrived()
    with pytest.raises(buoy.NetworkError):
        await call
    await provider.__aexit__(None, None, None)


@pytest.mark.parametrize(
    "sent", [b"", b"GET /a HT", wire.request("POST", "/a", b"half", length=8), wire.request("GET", "/large")]
)
async def test_no_client_keeps_it_open(sent: bytes) -> None:
    """A client that is idle, in the middle of its request, or does not read its answer, does not hold up the end."""
    provider = ScriptedProvider(strict=False)
    provider.answer("GET", "/large", body=b"x" * 2**25)
    remote = await provider.__aenter__()
    async with wire.connected(remote.url) as (reader, writer):
        writer.write(sent)
        if sent.startswith(b"GET /large"):
            await wire.answer(reader)
        await writer.drain()
        async with asyncio.timeout(10):  # aiohttp by itself would wait for a minute
            await provider.__aexit__(None, None, None)


async def test_a_request_that_never_ended_did_not_come(caplog: pytest.LogCaptureFixture) -> None:
    """What was broken off is no request: it is not kept, uses up no answer, and is no error of the test."""
    with caplog.at_level(logging.WARNING):
        async with ScriptedProvider() as remote:
            remote.answer("POST", "/a", json={})
            async with wire.connected(remote.url) as (_, writer):
                writer.write(wire.request("POST", "/a", b"half", length=8))
                await writer.drain()
            async with wire.connected(remote.url) as (reader, writer):
                writer.write(wire.request("POST", "/a", b"whole"))
                await wire.answer(reader)
    assert [request.body for request in remote.requests] == [b"whole"]
    assert caplog.records == []


@pytest.mark.parametrize(("method", "said"), [("HEAD", {"json": {"id": "7"}}), ("GET", {"status": 204})])
async def test_answers_without_a_body(method: str, said: Any) -> None:
    """A HEAD and a 204 have no body, and the connection goes on after them."""
    async with ScriptedProvider() as remote, wire.connected(remote.url) as (reader, writer):
        remote.answer(method, "/a", **said)
        remote.answer("GET", "/b", body="next")
        writer.write(wire.request(method, "/a"))
        await wire.answer(reader)
        writer.write(wire.request("GET", "/b"))
        assert (await wire.answer(reader))[0] == b"HTTP/1.1 200 OK"
        assert await reader.readexactly(4) == b"next"


async def test_what_was_not_scripted_is_told_at_the_end() -> None:
    """A request for which nothing is left gets a 501, and leaving lists it with how often it came."""

    async def test() -> None:
        async with ScriptedProvider() as remote, Shop(base_url=remote.url) as shop:
            remote.answer("GET", "/products/7", json={"id": "7"})
            await shop.product(id="7")
            for product in ("7", "7", "8"):
                with pytest.raises(buoy.HttpError) as refused:
                    await shop.product(id=product)
                assert (refused.value.status, _meta(refused.value).attempts) == (501, 1)

    with pytest.raises(AssertionError) as caught:
        await test()
    expected = "requests for which nothing was scripted:\n  GET /products/7 (2 times)\n  GET /products/8"
    assert expected == str(caught.value)


async def test_a_failing_test_keeps_its_error() -> None:
    """What the block itself raises passes; that something was not scripted is noted on it, for it may be why."""

    async def test() -> None:
        async with ScriptedProvider() as remote, Shop(base_url=remote.url) as shop:
            remote.answer("POST", "/orders")
            await shop.product(id="7")

    with pytest.raises(buoy.HttpError) as caught:
        await test()
    assert caught.value.__notes__ == ["requests for which nothing was scripted:\n  GET /products/7"]


@pytest.mark.parametrize("strict", [True, False])
async def test_what_was_never_asked_for_is_told_at_the_end(strict: bool) -> None:  # noqa: FBT001
    """Leaving lists the answers that nobody wanted, faults too, unless the provider is not strict."""

    async def test() -> None:
        async with ScriptedProvider(strict=strict) as remote:
            remote.answer("GET", "/products/7", times=2)
            remote.cut("POST", "/orders")

    if strict:
        with pytest.raises(AssertionError) as caught:
            await test()
        expected = "answers that were never asked for:\n  GET /products/7 (answer, 0 of 2)\n  POST /orders (cut)"
        assert expected == str(caught.value)
    else:
        await test()


async def test_one_provider_in_many_tests() -> None:
    """The same provider may be at another URL in the next block, though one name has one host; two blocks nest."""
    for _ in range(2):
        async with ScriptedProvider() as remote, Shop(base_url=remote.url) as shop:
            remote.answer("GET", "/products/7", json={"id": "7"})
            await shop.product(id="7")
            async with ScriptedProvider() as other, Shop(base_url=other.url) as second:
                other.answer("GET", "/products/8", json={"id": "8"})
                await second.product(id="8")
            with pytest.raises(buoy.ConfigurationError):
                Shop()
        Shop()


async def test_it_has_a_url_inside_its_block() -> None:
    """Outside of its block there is no URL, and a block is entered once; both say so."""
    remote = ScriptedProvider()
    with pytest.raises(RuntimeError, match="inside its block"):
        _ = remote.url
    async with remote:
        assert remote.url.startswith("http://127.0.0.1:")
        assert f"<ScriptedProvider {remote.url} requests=0>" == repr(remote)
    with pytest.raises(RuntimeError, match="entered once"):
        await remote.__aenter__()


def _meta(error: buoy.BuoyError) -> buoy.Meta:
    assert error.meta is not None
    return error.meta
