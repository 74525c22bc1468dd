"""Calls that no class declares: their names, their models, and what is kept of them."""

from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import buoy
from buoy.options import NAME
from buoy.provider import base
from buoy.provider.adhoc import name_of
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed

PRODUCT = answer(body=b'{"sku": "x"}')


class Product(BaseModel):
    """A model."""

    sku: str


class Other(BaseModel):
    """Another model of the same template."""

    sku: str


@pytest.mark.parametrize(
    ("method", "template", "name"),
    [
        ("GET", "/products/{id}", "get.products.id"),
        ("POST", "/products", "post.products"),
        ("GET", "/", "get"),
        ("DELETE", "/v2/My-Shop/{Shop_Id}/x.json", "delete.v2.my.shop.shop_id.x.json"),
        ("GET", "/" + "a" * 60, "get." + "a" * 44),
        ("GET", "/" + "a" * 43 + "/b", "get." + "a" * 43),
        ("PATCH", "/~/%20", "patch.20"),
    ],
)
def test_names(method: str, template: str, name: str) -> None:
    """An ad-hoc call is named by method and template."""
    assert name_of(method, template) == name


@given(st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]), st.text())
def test_every_name_is_allowed(method: str, path: str) -> None:
    """Whatever the template, the name is one that telemetry allows."""
    assert NAME.fullmatch(name_of(method, "/" + path))


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
async def test_a_method_of_the_provider(method: str) -> None:
    """``provider.get`` and its siblings send their method and give the value, decoded to the model if there is one."""
    async with Peer(PRODUCT, PRODUCT) as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        send = getattr(shop, method)
        assert await send("/products/{id}", id=7) == {"sku": "x"}
        assert await send("/products/{id}", Product, id=7, color="red") == Product(sku="x")
    assert [heard.line for heard in peer.heard] == [
        f"{method.upper()} /products/7 HTTP/1.1",
        f"{method.upper()} /products/7?color=red HTTP/1.1",
    ]


async def test_request_gives_the_whole_result() -> None:
    """``request`` gives the ``HttpResult``, with any method, in any case."""
    async with Peer(answer(201, b'{"sku": "x"}')) as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        result = await shop.request("post", "/products", Product, json={})
        assert (Product(sku="x"), 201, "post.products") == (result.value, result.status, result.meta.operation)
        await shop.request("OPTIONS", "/products")
    assert [heard.line for heard in peer.heard] == ["POST /products HTTP/1.1", "OPTIONS /products HTTP/1.1"]


@pytest.mark.parametrize("method", ["BREW", "", "GET /", "get\n", 5, None])
async def test_unknown_methods(method: Any) -> None:
    """A method that HTTP does not have is refused, with those it has, before anything is sent."""
    async with Peer() as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        with pytest.raises(buoy.ConfigurationError, match="GET, HEAD, OPTIONS"):
            await shop.request(method, "/")
        assert peer.heard == []


async def test_names_of_arguments_are_free_for_fields() -> None:
    """``template`` and ``model`` are positional: they may also be names of fields."""
    async with Peer() as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        await shop.get("/{template}/{model}", template="a", model="b")
    assert peer.heard[0].line == "GET /a/b HTTP/1.1"


async def test_the_same_template_is_one_operation() -> None:
    """What was called before is found again, also for models that are made anew each time; others are others."""
    async with Peer() as peer, buoy.Provider("shop", base_url=peer.url) as shop:

        def find(method: str, model: object) -> int:
            return id(shop.find(method, "/a", model))

        assert find("GET", None) == find("GET", None)
        assert find("GET", list[Product]) == find("GET", list[Product])
        assert len({find("GET", model) for model in (None, Product, Other, list[Product], list[Other])}) == 5
        assert find("GET", None) != find("POST", None)


async def test_a_model_that_cannot_be_hashed() -> None:
    """A model that has no hash is found again by identity."""
    model = Annotated[Product, {"un": "hashable"}]
    async with Peer(PRODUCT) as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        assert shop.find("GET", "/a", model) is shop.find("GET", "/a", model)
        assert await shop.get("/a", model) == Product(sku="x")


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider keeps a bounded number of ad-hoc operations; further ones work all the same."""
    monkeypatch.setattr(base, "_KEPT", 2)
    async with Peer() as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        for number in range(4):
            assert await shop.get(f"/{number}") == {}
        assert len(shop._adhoc) == 2


async def test_an_adhoc_call_needs_a_base_url() -> None:
    """A provider that wraps functions only cannot be called over HTTP."""
    async with buoy.Provider("bank") as bank:
        with pytest.raises(buoy.ConfigurationError, match="'bank': 'GET /a' needs a base_url"):
            await bank.get("/a")


async def test_telemetry_has_the_name_and_the_template(observed: Observed) -> None:
    """Spans and counters carry the name and the template, never the value of a field."""
    async with Peer() as peer, buoy.Provider("shop", base_url=peer.url) as shop:
        await shop.get("/products/{id}", id="canary")
    assert [span.name for span in observed.spans()] == ["GET /products/{id}", "shop get.products.id"]
    assert "canary" not in str([span.to_json() for span in observed.spans()])
    assert observed.value("buoy.client.calls", operation="get.products.id", result="success") == 1


def test_on_the_class() -> None:
    """On the class the method is its descriptor, which nobody can call."""
    assert type(buoy.Provider.get).__name__ == "Method"
    assert buoy.Provider.get.method == "GET"
