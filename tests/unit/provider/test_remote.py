"""What may be said of the far side of a provider, and every way in which that can be wrong."""

import types
from math import nan
from typing import Any, cast

import pytest

import buoy
from buoy.http.location import Origin
from buoy.http.url import parse_base
from buoy.provider.remote import Remote, RemoteOptions
from tests.unit.provider.refusal import refused

URL = "https://api.shop.example"
SECRET = "canary-0c5a"  # it is none
COUNT = "an integer from 0 to 20"
SIZE = "an integer from 1 to 1099511627776"

NONE_AT_ALL: list[Any] = [None, 0, 1, -1, nan, "yes", b"x", [], {}, object]
NO_COUNT: list[Any] = [None, -1, 21, True, False, 1.0, nan, "5", [], int]
NO_SIZE: list[Any] = [0, -1, True, False, 1.0, nan, "1", [], 2**40 + 1]
WRONG: list[tuple[str, Any, str]] = [
    *((option, value, "a bool") for option in ("propagate", "cookies") for value in NONE_AT_ALL),
    *(("redirects", value, COUNT) for value in NO_COUNT),
    *(("compress", value, SIZE) for value in NO_SIZE),
    *(("sizes", value, "a Sizes") for value in (*NONE_AT_ALL, buoy.Sizes)),
    *(("connections", value, "a Connections") for value in (*NONE_AT_ALL, buoy.Connections)),
]
NO_TUPLES: list[Any] = [None, 0, f"https://me:{SECRET}@eu.shop.example", [URL], {URL}, {URL: 1}, b"x", str]
NO_ORIGINS: list[Any] = [
    "",
    "api.shop.example",
    "shop",
    "*",
    "https://*.shop.example",
    "https:",
    "https://",
    "//api.shop.example",
    "ftp://api.shop.example",
    "unix:///run/shop.sock",
    f"https://me:{SECRET}@api.shop.example",
    f"https://api.shop.example/{SECRET}",
    f"https://api.shop.example?{SECRET}",
    "https://api.shop.example#",
    "https://api.shop.example:0",
    "https://api.shop.example:99999",
    "https://api.shop.example:port",
    "https://api shop.example",
    "https://api.shop.example\n",
    " https://api.shop.example",
    "https://[::1",
    "https://" + "a" * 64 + ".example",
    None,
    1,
    b"https://api.shop.example",
    ("https://api.shop.example",),
]
ORIGINS = {
    "https://eu.shop.example": Origin("https", "eu.shop.example", 443),
    "https://eu.shop.example/": Origin("https", "eu.shop.example", 443),
    "HTTPS://EU.Shop.Example:443": Origin("https", "eu.shop.example", 443),
    "http://eu.shop.example": Origin("http", "eu.shop.example", 80),
    "http://127.0.0.1:8080": Origin("http", "127.0.0.1", 8080),
    "https://[0:0::1]:9": Origin("https", "::1", 9),
    "https://b\u00fccher.example": Origin("https", "xn--bcher-kva.example", 443),
}


def provider_class(body: dict[str, Any], /, **keywords: Any) -> type[buoy.Provider]:
    """Return a provider class ``Shop`` with this body."""
    return types.new_class(
        "Shop", (buoy.Provider,), {"base_url": URL, **keywords}, lambda namespace: namespace.update(body)
    )


def made(**options: Any) -> buoy.Provider:
    """Return a provider ``bank`` with these options."""
    return buoy.Provider("bank", base_url=URL, **options)


def remote(**options: Any) -> Remote:
    """Return the far side of a provider with these options."""
    return Remote("bank", parse_base("bank", URL), made(**options), headers=None, session=None)


def everywhere(option: str, value: Any) -> str:
    """Check that an option is refused wherever it can be given, in the same words; return them without the name."""
    texts = {
        refused(lambda: provider_class({option: value})).removeprefix("Shop: "),
        refused(lambda: provider_class({}, **{option: value})).removeprefix("Shop: "),
        refused(lambda: made(**{option: value})).removeprefix("bank: "),
    }
    (text,) = texts
    return text


@pytest.mark.parametrize(("option", "value", "allowed"), WRONG)
def test_an_option_that_cannot_be(option: str, value: Any, allowed: str) -> None:
    """It is refused as class attribute and class keyword when the class is made, and as argument, in the same words."""
    assert everywhere(option, value) == f"{option}={value!r} is not allowed; it must be {allowed}."


@pytest.mark.parametrize("value", NO_ORIGINS)
@pytest.mark.parametrize("before", [(), ("https://eu.shop.example",)], ids=["alone", "second"])
def test_what_is_no_origin(value: Any, before: tuple[str, ...]) -> None:
    """Each must be an origin, whole and nothing beyond; the message shows how, and not what was given."""
    assert everywhere("trusted_origins", (*before, value)) == (
        "trusted_origins must be origins of http or https URLs, like 'https://api.example.com', "
        "without user info, path, query or fragment."
    )


@pytest.mark.parametrize("value", NO_TUPLES)
def test_origins_are_a_tuple(value: Any) -> None:
    """Several at once, or one alone, are said in a tuple; the message does not repeat what may carry user info."""
    assert everywhere("trusted_origins", value) == (
        "trusted_origins must be a tuple of origins, like ('https://eu.example.com',)."
    )


@pytest.mark.parametrize(("text", "origin"), ORIGINS.items())
def test_an_origin_is_one_however_it_is_written(text: str, origin: Origin) -> None:
    """Case, default ports, a last slash and the script of the host make no difference; the own origin is always in."""
    own = Origin("https", "api.shop.example", 443)
    assert remote(trusted_origins=(text,)).trusted == {own, origin}
    assert remote(trusted_origins=(text, text)).trusted == {own, origin}
    assert remote().trusted == {own}


@pytest.mark.parametrize(
    ("auth", "kind"),
    [(buoy.Bearer, "Bearer"), ("token", "str"), (1, "int"), (("me", "password"), "tuple"), (object(), "object")],
)
def test_auth_that_cannot_sign(auth: Any, kind: str) -> None:
    """What signs nothing is refused by its kind; it may be a secret."""
    assert everywhere("auth", auth) == (
        "auth must be a Bearer, Basic or ApiKey, something with headers(), or an 'async def auth(request)', "
        f"not {kind}."
    )


@pytest.mark.parametrize("rules", [1, ("x",), "github", (None,), object()])
def test_rules_that_are_none(rules: Any) -> None:
    """Rules are rules."""
    assert "rule" in everywhere("rules", rules)


@pytest.mark.parametrize("session", [1, "x", object(), buoy.Connections()])
def test_a_session_that_is_none(session: Any) -> None:
    """``session=`` is an aiohttp session and nothing like it."""
    assert refused(lambda: made(session=session)) == (
        f"bank: session={session!r} is not allowed; it must be an aiohttp.ClientSession."
    )


@pytest.mark.parametrize(
    ("headers", "objection"),
    [
        ({"X-A": f"{SECRET}\n"}, "'X-A' has a line break"),
        ({"X-A": 1}, "'X-A'"),
        ({"": "x"}, "name"),
        ({"Content-Length": SECRET}, "'Content-Length'"),
    ],
)
def test_headers_that_cannot_be_sent(headers: Any, objection: str) -> None:
    """The header is named, and its value never shown."""
    text = refused(lambda: made(headers=headers), "bank: headers=: ", objection)
    assert SECRET not in text


def test_the_defaults() -> None:
    """Five redirects, to no origin but the own, no cookies, nothing compressed."""
    provider = made()
    assert (provider.redirects, provider.trusted_origins, provider.cookies, provider.compress) == (5, (), False, None)
    assert (provider.propagate, provider.sizes, provider.connections) == (True, buoy.Sizes(), buoy.Connections())
    assert (provider.auth, provider.rules) == (None, ())


def test_every_option_may_be_said_in_three_places() -> None:
    """As class attribute, as class keyword, which wins, and as argument, which wins over both."""
    said: dict[str, tuple[Any, Any, Any]] = {
        "redirects": (0, 20, 1),
        "trusted_origins": (("https://a.example",), ("https://b.example",), ()),
        "cookies": (True, False, True),
        "propagate": (False, True, False),
        "compress": (1, 2**40, None),
        "sizes": (buoy.Sizes(body=1), buoy.Sizes(body=2), buoy.Sizes(body=3)),
        "connections": (buoy.Connections(per_host=1), buoy.Connections(per_host=2), buoy.Connections()),
        "auth": (buoy.Bearer("a"), buoy.Bearer("b"), None),
        "rules": (buoy.rules.github, buoy.rules.stripe, ()),
    }
    assert set(said) == set(RemoteOptions.__annotations__)
    attributes = provider_class({name: values[0] for name, values in said.items()})
    keywords = types.new_class("Special", (attributes,), {name: values[1] for name, values in said.items()})
    assert {name: getattr(attributes, name) for name in said} == {name: values[0] for name, values in said.items()}
    assert {name: getattr(keywords, name) for name in said} == {name: values[1] for name, values in said.items()}
    provider = cast("Any", keywords)(**{name: values[2] for name, values in said.items()})
    assert {name: getattr(provider, name) for name in said} == {name: values[2] for name, values in said.items()}
    assert {name: getattr(keywords, name) for name in said} == {name: values[1] for name, values in said.items()}


def test_an_option_that_there_is_not() -> None:
    """A name that nobody knows is refused, and those that there are are told."""
    refused(
        lambda: provider_class({}, cookie=True), "unknown class keyword cookie; allowed are", "cookies", "redirects"
    )
    with pytest.raises(TypeError, match="bank: a provider has no option redirect"):
        made(redirect=1)
