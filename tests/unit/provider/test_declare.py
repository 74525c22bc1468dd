"""How operations and providers are declared, and every way in which that can be wrong."""

import types
from typing import Any, cast

import pytest
from pydantic import BaseModel

import buoy
from buoy.provider.declaration import snake_case
from tests.unit.provider.refusal import refused

URL = "https://api.shop.example/v2"


class Product(BaseModel):
    """A model."""

    sku: str


class Unfit:
    """A class that pydantic can make no model of."""


# Operations.


def test_an_operation_knows_its_name() -> None:
    """An operation is named like its attribute, unless it was given a name."""

    class Shop(buoy.Provider, base_url=URL):
        product = buoy.get("/products/{id}", Product)
        create = buoy.post("/products", name="products.create")

    assert [Shop.product.name, Shop.create.name] == ["product", "products.create"]


@pytest.mark.parametrize("template", ["products", "", "https://other.example/", "/a b", "/a?b=1", "/a#b", 5, None])
def test_template(template: Any) -> None:
    """A template that is no path is refused and shown."""
    refused(lambda: buoy.get(template), "template", repr(template))


@pytest.mark.parametrize("template", ["/{", "/}", "/{}", "/{a", "/{a-b}", "/{1}", "/{{a}}"])
def test_braces(template: str) -> None:
    """Braces that are no fields are refused."""
    refused(lambda: buoy.get(template), "unbalanced brace")


def test_a_field_twice() -> None:
    """A template that names a field twice is refused."""
    refused(lambda: buoy.get("/{a}/{a}"), "'/{a}/{a}'", "twice")


@pytest.mark.parametrize("field", ["json", "data", "headers", "params", "idempotency_key", "deadline"])
def test_reserved_fields(field: str) -> None:
    """A field with the name of an argument of every call is refused."""
    refused(lambda: buoy.get(f"/{{{field}}}"), "reserved", field)


@pytest.mark.parametrize("name", ["", "Product", "1st", "a b", "a-b", "_a", "a" * 49, "a\n", "ä", 5, True])
def test_operation_name(name: Any) -> None:
    """A name outside the alphabet of telemetry names is refused: an operation's, a provider's, a function's."""
    allowed = "[a-z][a-z0-9_.]{0,47}"
    refused(lambda: buoy.get("/a", name=name), f"name={name!r}", allowed)
    refused(lambda: buoy.Provider(name, base_url=URL), f"name={name!r}", allowed)
    refused(lambda: buoy.Provider("bank").operation(name), f"operation={name!r}", allowed)


@pytest.mark.parametrize("key_header", ["", "Idempotency Key", "Key:", "Key\n", 5])
def test_key_header(key_header: Any) -> None:
    """A key header that is no header name is refused."""
    refused(lambda: buoy.post("/a", key_header=key_header), f"key_header={key_header!r}")


@pytest.mark.parametrize("safety", ["", "yes", "SAFE", 1])
def test_safety(safety: Any) -> None:
    """An unknown safety is refused, with the known ones."""
    refused(lambda: buoy.post("/a", safety=safety), f"safety={safety!r}", "safe, idempotent, keyed, unsafe")


def test_keyed_needs_a_header() -> None:
    """An operation is keyed only by a header that carries the key."""
    refused(lambda: buoy.post("/a", safety="keyed"), "key_header=")


@pytest.mark.parametrize(
    ("operation", "safety"),
    [
        (buoy.get("/a"), "safe"),
        (buoy.put("/a"), "idempotent"),
        (buoy.delete("/a"), "idempotent"),
        (buoy.post("/a"), "unsafe"),
        (buoy.patch("/a"), "unsafe"),
        (buoy.post("/a", key_header="Idempotency-Key"), "keyed"),
        (buoy.get("/a", key_header="Idempotency-Key"), "safe"),
        (buoy.post("/search", safety="safe"), "safe"),
        (buoy.post("/a", safety="keyed", key_header="Idempotency-Key"), "keyed"),
        (buoy.get("/counter/next", safety=buoy.Safety.UNSAFE), "unsafe"),
    ],
)
def test_what_repeating_does(operation: "buoy.Operation[Any]", safety: str) -> None:
    """Safety follows from the method and the key, and a declaration has the last word."""
    assert operation.spec.safety == safety


def test_a_model_that_cannot_be() -> None:
    """A model that pydantic cannot take is refused when it is declared, not when it is needed."""
    refused(lambda: buoy.get("/a", Unfit), "GET /a", "Unfit")


def test_unknown_options_of_an_operation() -> None:
    """An option that does not exist is a ``TypeError``, as for any call."""
    with pytest.raises(TypeError, match="retries"):
        cast("Any", buoy.get)("/a", retries=3)


def test_reprs() -> None:
    """Declarations show what they declare."""

    class Shop(buoy.Provider, base_url=URL):
        product = buoy.get("/products/{id}", name="products.get")

    assert repr(buoy.get) == "buoy.get"
    assert repr(Shop.product) == "<Operation products.get: GET /products/{id}>"


# Provider classes.


def named(name: str, body: dict[str, Any], /, **keywords: Any) -> type[buoy.Provider]:
    """Return a provider class of this name."""
    return types.new_class(name, (buoy.Provider,), keywords, lambda namespace: namespace.update(body))


def declared(**body: Any) -> type[buoy.Provider]:
    """Return a provider class with this body."""
    keywords = {"base_url": URL} | body.pop("keywords", {})
    return named("Shop", body, **keywords)


def test_two_operations_of_one_name() -> None:
    """Two operations of one name are refused, and both are named."""
    refused(
        lambda: declared(first=buoy.get("/a", name="same"), second=buoy.get("/b", name="same")),
        "first and second are two operations of one name, 'same'",
    )


def test_an_operation_declared_twice_as_one_object() -> None:
    """One operation under two attributes is two operations of one name."""
    operation = buoy.get("/a")
    refused(lambda: declared(first=operation, second=operation), "two operations of one name")


@pytest.mark.parametrize(
    "attribute",
    [
        *("get", "post", "put", "patch", "delete", "request", "operation", "retry", "timeout", "auth", "propagate"),
        *("breaker", "limit", "concurrency", "rules", "control", "snapshot"),
        *("label", "find", "drain", "sizes", "_life", "_anything", "__init__"),
    ],
)
def test_members_are_no_operations(attribute: str) -> None:
    """A name that a provider needs for itself cannot be an operation's attribute."""
    refused(lambda: declared(**{attribute: buoy.get("/a", name="a")}), f"Shop.{attribute}", "member of Provider")


def test_an_attribute_that_is_no_name() -> None:
    """An attribute that cannot be a telemetry name needs ``name=``."""
    refused(lambda: declared(Product=buoy.get("/a")), "Shop.Product", "name='Product'")
    assert declared(Product=buoy.get("/a", name="product"))


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.shop.example",
        "//api.shop.example",
        "ftp://api.shop.example",
        "https://",
        "https://api.shop.example?canary=1",
        "https://api.shop.example#canary",
        "https://canary:secret@api.shop.example",
        "https://api.shop.example:99999",
        "https://api.shop.example:canary",
        "https://api.shop.example/\r\nX: canary",
        "https://api shop.example",
        5,
        b"https://api.shop.example",
    ],
)
def test_base_url(base_url: Any) -> None:
    """A base URL that is no absolute http URL without user info, query and fragment is refused, and never shown."""
    for make in (lambda: declared(keywords={"base_url": base_url}), lambda: buoy.Provider("shop", base_url=base_url)):
        text = refused(make, "base_url")
        assert "canary" not in text


def test_auth_is_an_auth_object() -> None:
    """A bare token as ``auth=`` is refused, and not shown."""
    text = refused(
        lambda: buoy.Provider("shop", base_url=URL, auth=cast("Any", "canary")), "auth must be", "Bearer", "str"
    )
    assert "canary" not in text


@pytest.mark.parametrize("value", [1, "yes"])
def test_propagate_is_a_bool(value: Any) -> None:
    """``propagate`` is a bool and nothing that looks like one."""
    refused(lambda: buoy.Provider("shop", base_url=URL, propagate=value), f"propagate={value!r}", "bool")
    refused(lambda: declared(propagate=None), "propagate=None", "bool")


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"X-A": "canary\r\nX-B: 1"}, "line break"),
        ({"X-A": "canary\n"}, "line break"),
        ({"X-A": "canary\x00"}, "control character"),
        ({"X A": "canary"}, "'X A'"),
        ({"": "canary"}, "''"),
        ({"X-A\r\n": "canary"}, "not a token"),
        ({"X-A": 5}, "int"),
        ({5: "canary"}, "5"),
    ],
)
def test_headers_of_a_provider(headers: Any, word: str) -> None:
    """A header that cannot be sent is refused by name, and its value is not shown."""
    text = refused(lambda: buoy.Provider("shop", base_url=URL, headers=headers), "shop: headers=", word)
    assert "canary" not in text


def test_unknown_class_keywords() -> None:
    """A class keyword that does not exist is refused, with those that do."""
    refused(
        lambda: declared(keywords={"retries": 3}),
        "Shop: unknown class keyword retries",
        "auth, breaker, compress, concurrency, connections, cookies, limit, propagate, redirects, retry, rules, sizes, "
        "timeout, trusted_origins",
    )


def test_operations_need_a_base_url() -> None:
    """A provider without a base URL cannot have operations over HTTP."""

    class Shop(buoy.Provider):
        product = buoy.get("/products")

    refused(Shop, "'shop'", "'product'", "base_url")


def test_a_provider_needs_a_name() -> None:
    """A provider without a class of its own needs a name."""
    refused(buoy.Provider, "name=None")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Shop", "shop"),
        ("GitHub", "git_hub"),
        ("HTTPShop", "http_shop"),
        ("ShopV2", "shop_v2"),
        ("MyShopAPI", "my_shop_api"),
        ("_Shop", "shop"),
        ("my_shop", "my_shop"),
    ],
)
def test_names_of_classes(name: str, expected: str) -> None:
    """A provider is named like its class, in snake case."""
    assert snake_case(name) == expected
    assert named(name, {})().label == expected


def test_a_class_whose_name_is_no_name() -> None:
    """A class name that cannot be a telemetry name needs ``name=``."""
    refused(lambda: named("Größe", {}), "name='größe'")
    assert named("Größe", {}, name="size")().label == "size"


def test_operations_are_inherited() -> None:
    """A child has its parents' operations, may replace them, and has a name of its own."""

    class Shop(buoy.Provider, base_url=URL):
        product = buoy.get("/products/{id}")
        create = buoy.post("/products")

    class BigShop(Shop):
        product = buoy.get("/v3/products/{id}")
        order = buoy.get("/orders/{id}")

    shop = BigShop()
    assert shop.label == "big_shop"
    assert repr(shop.product) == "<operation big_shop product: GET /v3/products/{id}>"
    assert repr(shop.create) == "<operation big_shop create: POST /products>"
    assert repr(Shop().product) == "<operation shop product: GET /products/{id}>"
