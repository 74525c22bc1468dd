"""Providers under aioresponses: their calls work, and what is told of them is what the session was asked for."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses, core
from yarl import URL

import buoy
from buoy import testing
from tests.integration.testing.shop import Product, Shop
from tests.support.telemetry import Observed

BASE = "https://api.shop.example/v2"


async def test_an_answer(buoy_aioresponses: aioresponses) -> None:
    """A call gets the answer of its URL, decoded to its model."""
    buoy_aioresponses.get(f"{BASE}/products/7", payload={"id": "7"}, headers={"X-Page": "1"})
    async with Shop() as shop:
        result = await shop.product.call(id="7")
    assert (Product(id="7"), 200, "1") == (result.value, result.status, result.headers["x-page"])


async def test_the_query_is_part_of_the_url(buoy_aioresponses: aioresponses) -> None:
    """Answers are told apart by the whole URL, in which lists are repeated and the order is no matter."""
    buoy_aioresponses.get(f"{BASE}/products/7?lang=de&tag=b&tag=a", payload={"id": "de"})
    buoy_aioresponses.get(f"{BASE}/products/7?lang=en", payload={"id": "en"})
    async with Shop() as shop:
        assert Product(id="en") == await shop.product(id="7", lang="en")
        assert Product(id="de") == await shop.product(id="7", tag=["b", "a"], lang="de")
        with pytest.raises(buoy.NetworkError):
            await shop.product(id="7")


async def test_what_was_asked_for_is_kept(buoy_aioresponses: aioresponses) -> None:
    """The request is found by method and URL, with headers and body, and without the call that made it."""
    buoy_aioresponses.post(f"{BASE}/orders?dry=1", status=201, payload={"number": 1})
    async with Shop(auth=buoy.Bearer("token")) as shop:
        await shop.order(json={"sku": "7"}, dry=1)
    [request] = buoy_aioresponses.requests["POST", URL(f"{BASE}/orders?dry=1")]
    assert request.kwargs["headers"]["Authorization"] == "Bearer token"
    assert request.kwargs["data"] == b'{"sku":"7"}'
    assert [name for name in request.kwargs if "middleware" in name] == []


@pytest.mark.parametrize(
    ("status", "error_type", "attempts"),
    [
        (404, buoy.ErrorType.NOT_FOUND, 1),
        (429, buoy.ErrorType.RATE_LIMITED, 3),
        (503, buoy.ErrorType.SERVICE_UNAVAILABLE, 3),
    ],
)
async def test_an_error_status(
    buoy_aioresponses: aioresponses, status: int, error_type: buoy.ErrorType, attempts: int
) -> None:
    """A status fails or is retried as it would be from a socket, and as many sends are told as there were tries."""
    buoy_aioresponses.get(f"{BASE}/products/7", status=status, headers={"Retry-After": "0"}, repeat=True)
    async with Shop(retry=buoy.Retry(base=0.001, throttled_base=0.001)) as shop:
        with pytest.raises(buoy.HttpError) as caught:
            await shop.product(id="7")
    assert (error_type, status) == (caught.value.error_type, caught.value.status)
    assert attempts == len(buoy_aioresponses.requests["GET", URL(f"{BASE}/products/7")])
    assert (attempts, attempts) == _counted(caught.value.meta)


async def test_answers_come_in_their_order(buoy_aioresponses: aioresponses) -> None:
    """A retry gets the next answer of the URL."""
    buoy_aioresponses.get(f"{BASE}/products/7", status=503)
    buoy_aioresponses.get(f"{BASE}/products/7", payload={"id": "7"})
    async with Shop() as shop:
        result = await shop.product.call(id="7")
    assert Product(id="7") == result.value
    assert _counted(result.meta) == (2, 2)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"exception": ConnectionResetError()}, buoy.NetworkError),
        ({"exception": aiohttp.ServerDisconnectedError()}, buoy.NetworkError),
        ({"exception": aiohttp.ClientPayloadError()}, buoy.NetworkError),
        ({"exception": TimeoutError()}, buoy.TimedOut),
        ({"timeout": True}, buoy.TimedOut),
    ],
)
async def test_an_exception(buoy_aioresponses: aioresponses, given: Any, kind: type[buoy.BuoyError]) -> None:
    """What aiohttp would have raised arrives as ours; where the call is unsafe, as an unknown outcome."""
    buoy_aioresponses.get(f"{BASE}/products/7", repeat=True, **given)
    buoy_aioresponses.post(f"{BASE}/orders", repeat=True, **given)
    async with Shop() as shop:
        with pytest.raises(kind) as caught:
            await shop.product(id="7")
        assert _counted(caught.value.meta) == (3, 3)
        with pytest.raises(buoy.OutcomeUnknown) as unknown:
            await shop.order(json={})
        assert _counted(unknown.value.meta) == (1, 1)


async def test_what_is_no_error_of_a_session_passes(buoy_aioresponses: aioresponses) -> None:
    """An exception that no session raises is the test's own: it arrives as it is, and nothing is tried again."""
    buoy_aioresponses.get(f"{BASE}/products/7", exception=KeyError("mine"))
    async with Shop() as shop:
        with pytest.raises(KeyError, match="mine"):
            await shop.product(id="7")


async def test_each_request_has_its_span(buoy_aioresponses: aioresponses, observed: Observed) -> None:
    """There is one span for each request that the session was asked for, and what its answer was is in it."""
    buoy_aioresponses.get(f"{BASE}/products/7", status=503)
    buoy_aioresponses.get(f"{BASE}/products/7", exception=ConnectionResetError())
    buoy_aioresponses.get(f"{BASE}/products/7", payload={"id": "7"})
    async with Shop() as shop:
        result = await shop.product.call(id="7")
    assert _counted(result.meta) == (3, 3)
    spans = [span.attributes or {} for span in observed.attempts()]
    assert [each.get("http.response.status_code") for each in spans] == [503, None, 200]
    assert [each.get("error.type") for each in spans] == ["service_unavailable", "network_error", None]
    assert len(observed.calls()) == 1


async def test_passthrough() -> None:
    """A URL that is let through is really asked, from the same test, and told the same way."""
    async with testing.ScriptedProvider() as remote:
        remote.answer("GET", "/products/7", json={"id": "real"})
        with testing.aioresponses(passthrough=[remote.url]) as mocked:
            mocked.get(f"{BASE}/products/7", payload={"id": "mocked"})
            async with Shop(name="real", base_url=remote.url) as real, Shop(name="mocked") as shop:
                result = await real.product.call(id="7")
                assert (Product(id="real"), (1, 1)) == (result.value, _counted(result.meta))
                assert Product(id="mocked") == await shop.product(id="7")
    assert len(remote.requests) == 1


async def test_any_session_is_answered(buoy_aioresponses: aioresponses) -> None:
    """Sessions that are none of Buoy's are answered, too, for there is one aioresponses in a process."""
    buoy_aioresponses.get(f"{BASE}/products/7", payload={"id": "7"})
    async with aiohttp.ClientSession() as session, session.get(f"{BASE}/products/7") as response:
        assert await response.json() == {"id": "7"}


async def test_calls_at_once(buoy_aioresponses: aioresponses) -> None:
    """Several calls in flight are each told for themselves."""
    buoy_aioresponses.get(f"{BASE}/products/7", payload={"id": "7"}, repeat=True)
    async with Shop() as shop:
        results = await asyncio.gather(*(shop.product.call(id="7") for _ in range(20)))
    assert {(1, 1)} == {_counted(result.meta) for result in results}


def test_nothing_is_left_behind() -> None:
    """After the block aiohttp and aioresponses are as they were, also where the block raised."""
    before = _patched()

    def test() -> None:
        with testing.aioresponses():
            assert [name for name, what in before.items() if _patched()[name] is what] == []
            raise KeyError

    with pytest.raises(KeyError):
        test()
    assert before == _patched()


def _patched() -> dict[str, object]:
    return {"request": aiohttp.ClientSession._request, "response": vars(core)["ClientResponse"]}


def _counted(meta: buoy.Meta | None) -> tuple[int, int]:
    assert meta is not None
    return meta.attempts, meta.sends
