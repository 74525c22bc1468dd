"""What a call of an operation puts on the wire, what it hands back, and which arguments it refuses before sending."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf, nan
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

import buoy
from buoy.options import INHERIT
from tests.support.peer import CUT, HANG, Peer, answer


class Product(BaseModel):
    """A model."""

    sku: str
    price: float = 0.0


class Shop(buoy.Provider, base_url="http://replaced.example/v2"):
    """A provider with an operation of each kind."""

    retry = buoy.Retry(base=0, throttled_base=0)

    product = buoy.get("/products/{id}", Product)
    products = buoy.get("/products", list[Product])
    anything = buoy.get("/anything")
    create = buoy.post("/products", Product, key_header="Idempotency-Key")
    order = buoy.post("/orders")
    replace = buoy.put("/products/{id}")
    change = buoy.patch("/products/{id}")
    remove = buoy.delete("/products/{id}")


@asynccontextmanager
async def shop(*script: bytes) -> AsyncIterator[tuple[Shop, Peer]]:
    """Open a shop whose peer answers as scripted."""
    async with Peer(*script) as peer, Shop(base_url=f"{peer.url}/v2") as opened:
        yield opened, peer


# What is sent.


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"id": 7}, "/v2/products/7"),
        ({"id": "a/b?c#d e"}, "/v2/products/a%2Fb%3Fc%23d%20e"),
        ({"id": "ä%2F"}, "/v2/products/%C3%A4%252F"),
        ({"id": 1.5}, "/v2/products/1.5"),
        ({"id": True}, "/v2/products/true"),
        ({"id": 7, "color": "red & blue"}, "/v2/products/7?color=red%20%26%20blue"),
        ({"id": 7, "tag": ["a", "b"], "sold": False, "page": 2}, "/v2/products/7?tag=a&tag=b&sold=false&page=2"),
        ({"id": 7, "none": None, "empty": ""}, "/v2/products/7?empty="),
        ({"id": 7, "none": None}, "/v2/products/7"),
        ({"id": 7, "params": {"headers": "x", "id": "y"}}, "/v2/products/7?headers=x&id=y"),
        ({"id": 7, "a": 1, "params": {"b": 2}}, "/v2/products/7?a=1&b=2"),
        ({"id": 7, "params": {}}, "/v2/products/7"),
    ],
)
async def test_path_and_query(fields: dict[str, Any], target: str) -> None:
    """Fields fill the template, each as one path segment; what it does not name, and ``params=``, is the query."""
    async with shop(answer(body=b'{"sku": "x"}')) as (opened, peer):
        await opened.product(**fields)
    assert f"GET {target} HTTP/1.1" == peer.heard[0].line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("create", "POST /v2/products"),
        ("order", "POST /v2/orders"),
        ("replace", "PUT /v2/products/7"),
        ("change", "PATCH /v2/products/7"),
        ("remove", "DELETE /v2/products/7"),
    ],
)
async def test_methods(name: str, line: str) -> None:
    """Each declaration sends its own method."""
    fields = {"id": 7} if line.endswith("7") else {}
    async with shop(answer(body=b'{"sku": "x"}')) as (opened, peer):
        await getattr(opened, name)(json={"a": 1}, **fields)
    assert (f"{line} HTTP/1.1", b'{"a":1}') == (peer.heard[0].line, peer.heard[0].body)


@pytest.mark.parametrize(
    ("given", "content_type", "body"),
    [
        ({"json": {"a": [1, None]}}, "application/json", b'{"a":[1,null]}'),
        ({"json": Product(sku="x", price=1.5)}, "application/json", b'{"sku":"x","price":1.5}'),
        ({"json": 0}, "application/json", b"0"),
        ({"data": b"\x00\xff"}, "application/octet-stream", b"\x00\xff"),
        ({"data": "ä"}, "text/plain; charset=utf-8", "ä".encode()),
        ({"data": {"a": "1 2", "b": ["x", "y"]}}, "application/x-www-form-urlencoded", b"a=1+2&b=x&b=y"),
        ({"data": b"x", "headers": {"content-type": "image/png"}}, "image/png", b"x"),
    ],
)
async def test_bodies(given: dict[str, Any], content_type: str, body: bytes) -> None:
    """``json=`` and ``data=`` are the body, with a content type that a header of the call may replace."""
    async with shop() as (opened, peer):
        await opened.order(**given)
    assert (content_type, body) == (peer.heard[0].headers["content-type"], peer.heard[0].body)


async def test_headers_of_a_call() -> None:
    """Headers of a call go with it, replace those of the provider, and are gone with the next call."""
    async with Peer() as peer, Shop(base_url=peer.url, headers={"X-A": "1", "X-B": "2"}) as opened:
        await opened.anything(headers={"x-a": "3"})
        await opened.anything()
    assert [(heard.headers["x-a"], heard.headers["x-b"]) for heard in peer.heard] == [("3", "2"), ("1", "2")]


# What comes back.


async def test_value_and_result() -> None:
    """``await op()`` is the value, ``await op.call()`` the value with status, headers and the story of the call."""
    body = answer(status=201, body=b'{"sku": "x", "price": 2}', X_Extra="y")
    async with shop(body, body) as (opened, _):
        assert Product(sku="x", price=2) == await opened.product(id=7)
        result = await opened.product.call(id=7)
    assert (Product(sku="x", price=2), 201, "y") == (result.value, result.status, result.headers["x-extra"])
    meta = result.meta
    assert (
        meta.provider,
        meta.operation,
        meta.attempts,
        meta.sends,
        meta.duplicate,
    ) == ("shop", "product", 1, 1, False)
    assert UUID(meta.request_id).version == 4
    assert meta.duration > 0
    assert "sku" not in repr(result)


async def test_a_list_of_models() -> None:
    """A model is anything that pydantic takes."""
    async with shop(answer(body=b'[{"sku": "a"}, {"sku": "b"}]')) as (opened, _):
        assert await opened.products() == [Product(sku="a"), Product(sku="b")]


@pytest.mark.parametrize(
    ("content_type", "body", "value"),
    [
        ("application/json", b'{"a": 1}', {"a": 1}),
        ("application/problem+json; charset=utf-8", b"[]", []),
        ("text/plain; charset=latin-1", b"\xe4", "ä"),
        ("image/png", b"\x89", b"\x89"),
        ("application/json", b"", None),
    ],
)
async def test_without_a_model(content_type: str, body: bytes, value: Any) -> None:
    """Without a model the value is decoded JSON, text or bytes, by content type; nothing is ``None``."""
    async with shop(answer(body=body, Content_Type=content_type)) as (opened, _):
        assert value == await opened.anything()


# Keys.


async def test_a_key_is_made_once_per_call() -> None:
    """Where the provider honours keys, a call without one gets one: the same on every try, another for each call."""
    async with shop(answer(500), answer(500), answer(body=b'{"sku": "x"}')) as (opened, peer):
        await opened.create(json={})
        peer.script.append(answer(body=b'{"sku": "x"}'))
        await opened.create(json={})
    keys = [heard.headers["idempotency-key"] for heard in peer.heard]
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert UUID(keys[0]).version == 4


async def test_a_key_of_the_caller() -> None:
    """The caller's own key is sent as it is, and stands before one in ``headers=``."""
    async with shop(*[answer(body=b'{"sku": "x"}')] * 2) as (opened, peer):
        await opened.create(json={}, idempotency_key="order-42")
        await opened.create(json={}, idempotency_key="order-43", headers={"idempotency-key": "other"})
    assert [heard.headers["idempotency-key"] for heard in peer.heard] == ["order-42", "order-43"]


# Retries, as declared.


async def test_an_unsafe_operation_is_not_sent_again() -> None:
    """A POST without a key that was cut after it was read is ``OutcomeUnknown``; with a key it is sent again."""
    async with shop(CUT, CUT, answer(body=b'{"sku": "x"}')) as (opened, peer):
        with pytest.raises(buoy.OutcomeUnknown) as caught:
            await opened.order(json={})
        assert isinstance(caught.value.cause, buoy.NetworkError)
        assert len(peer.heard) == 1
        result = await opened.create.call(json={})
        assert (result.meta.attempts, len(peer.heard)) == (2, 3)


async def test_a_rejected_post_is_sent_again() -> None:
    """A POST that was answered 429 was not carried out, and is sent again."""
    async with shop(answer(429), answer()) as (opened, peer):
        assert await opened.order(json={}) == {}
        assert len(peer.heard) == 2


async def test_errors_name_provider_and_operation() -> None:
    """An error says whose call it was, in its text and as attributes, with the story in ``meta``."""
    async with shop(answer(404, body=b'{"canary": 1}')) as (opened, _):
        with pytest.raises(buoy.HttpError, match="shop product: HTTP 404") as caught:
            await opened.product(id="canary")
    error = caught.value
    assert (error.provider, error.operation, error.status) == ("shop", "product", 404)
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends) == (1, 1)
    assert "canary" not in f"{error} {error!r}"


# Deadlines.


@pytest.mark.parametrize("deadline", [0, -1, -inf])
async def test_a_deadline_that_has_passed(deadline: float) -> None:
    """A call whose deadline has passed is refused, and nothing is sent."""
    async with shop() as (opened, peer):
        with pytest.raises(buoy.DeadlineExceeded):
            await opened.anything(deadline=deadline)
        assert peer.heard == []


async def test_a_deadline_of_a_call() -> None:
    """``deadline=`` bounds the whole call; the request that then has no answer is ``TimedOut``."""
    async with shop(HANG) as (opened, peer):
        with pytest.raises(buoy.TimedOut) as caught:
            await opened.anything(deadline=0.05)
        assert len(peer.heard) == 1
    assert caught.value.outcome is buoy.Outcome.UNKNOWN


async def test_an_infinite_deadline_is_the_total() -> None:
    """``deadline=`` never lengthens a call."""
    async with shop() as (opened, _):
        assert await opened.anything(deadline=inf) == {}


# Arguments that cannot work.


@pytest.mark.parametrize(
    ("name", "given", "error", "words"),
    [
        ("product", {}, TypeError, "shop product: field 'id' missing"),
        ("product", {"id": None}, TypeError, "shop product: field 'id' missing"),
        ("product", {"ident": 7}, TypeError, "'id' missing"),
        ("product", {"params": {"id": 7}}, TypeError, "'id' missing"),
        ("product", {"id": ["canary"]}, TypeError, "'id' must be a str"),
        ("product", {"id": b"canary"}, TypeError, "'id' must be a str"),
        ("product", {"id": ""}, ValueError, "'id' is empty"),
        ("product", {"id": ".."}, ValueError, "'id' is empty or a dot segment"),
        ("anything", {"q": {"canary": 1}}, TypeError, "query parameter 'q'"),
        ("anything", {"q": ["canary", None]}, TypeError, "query parameter 'q'"),
        ("anything", {"json": 1, "data": "canary"}, TypeError, "json= or data="),
        ("anything", {"data": 5}, TypeError, "the body must be bytes"),
        ("anything", {"json": {"canary": nan}}, TypeError, "json= cannot be written"),
        ("anything", {"json": {"canary"}, "data": None}, None, ""),
        ("anything", {"json": object()}, TypeError, "json= cannot be written"),
        ("anything", {"headers": {"X": "canary\r\nY: 1"}}, ValueError, "line break"),
        ("anything", {"headers": {"X Y": "canary"}}, ValueError, "'X Y'"),
        ("anything", {"headers": {"X": 5}}, ValueError, "'X' must be a str"),
        ("anything", {"idempotency_key": "canary"}, TypeError, "key_header="),
        ("create", {"idempotency_key": ""}, ValueError, "idempotency_key= must be"),
        ("create", {"idempotency_key": "canary\n"}, ValueError, "idempotency_key= must be"),
        ("create", {"idempotency_key": 5}, ValueError, "idempotency_key= must be"),
        ("anything", {"deadline": "canary" * 0 + "5"}, ValueError, "deadline='5'"),
        ("anything", {"deadline": True}, ValueError, "deadline=True"),
        ("anything", {"deadline": nan}, ValueError, "deadline=nan"),
    ],
)
async def test_arguments_that_cannot_work(
    name: str, given: dict[str, Any], error: type[Exception] | None, words: str
) -> None:
    """What cannot be sent is refused by operation and argument before anything is sent, and no value is shown."""
    async with shop() as (opened, peer):
        operation = getattr(opened, name)
        if error is None:
            assert await operation(**given) == {}
            return
        with pytest.raises(error) as caught:
            await operation(**given)
        assert f"shop {name}: " in str(caught.value)
        assert words in str(caught.value)
        assert "canary" not in str(caught.value)
        assert (peer.heard, opened._life.in_flight) == ([], 0)


async def test_missing_fields_are_all_named() -> None:
    """Every missing field is named, with the template."""
    async with shop() as (opened, _):
        with pytest.raises(
            TypeError, match=r"fields 'owner', 'name' missing for the template '/repos/\{owner\}/\{name\}'"
        ):
            await opened.get("/repos/{owner}/{name}")


async def test_positional_arguments_are_none() -> None:
    """Fields are keyword arguments: a positional one is a ``TypeError``."""
    async with shop() as (opened, _):
        call: Any = opened.product
        with pytest.raises(TypeError):
            await call(7)


# What it looks like.


async def test_reprs() -> None:
    """An operation shows names, method and template; its request shows the origin only."""
    async with shop() as (opened, peer):
        assert repr(opened.product) == "<operation shop product: GET /products/{id}>"
        call = opened.product._prepare(
            asyncio.get_running_loop(), None, None, {"X": "canary"}, {"q": "canary"}, None, None, {"id": "canary"}
        )
        assert repr(call.request) == f"<Request GET {peer.url}>"
        assert call.url == f"{peer.url}/v2/products/{{id}}?q=REDACTED"
    assert repr(INHERIT) == "<the provider's>"


def test_class_and_instance_share_nothing() -> None:
    """Two instances of one class have operations of their own."""
    first, second = Shop(), Shop()
    assert first.product is not second.product
    assert first.product is first.product
    assert isinstance(Shop.product, buoy.Operation)
