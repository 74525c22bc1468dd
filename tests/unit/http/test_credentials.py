"""Credentials: each send is signed for itself, at home only, and no secret is where it could be read."""

import copy
import pickle
import traceback
from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

import buoy
from buoy.http.auth import Bearer
from buoy.http.credentials import ApiKey, Basic, Outgoing, Signer
from buoy.http.location import trusted_origin

SECRET = "canary-2d7b"
HOME = "https://api.shop.example"
ORIGINS = frozenset({trusted_origin("shop", HOME)})


def outgoing(url: str = HOME + "/a", body: bytes | None = b"", **headers: str) -> Outgoing:
    """Return one send before it is signed."""
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Outgoing("GET", URL(url, encoded=True), given, body)


async def signed(auth: object, send: Outgoing | None = None) -> Outgoing:
    """Return one send after it was signed."""
    send = send or outgoing()
    await Signer("shop", auth, ORIGINS).sign(send)
    return send


@pytest.mark.parametrize(
    ("user", "password", "value"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123£", "Basic dGVzdDoxMjPCow=="),
        ("sk_live", "", "Basic c2tfbGl2ZTo="),
        ("", "token", "Basic OnRva2Vu"),
        ("u", "a:b", "Basic dTphOmI="),
    ],
)
def test_basic_is_written_as_by_the_rfc(user: str, password: str, value: str) -> None:
    """User and password are sent as RFC 7617 says, in UTF-8 (its own examples among these)."""
    assert {"Authorization": value} == Basic(user, password).headers()


sendable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))


@given(sendable.filter(lambda user: ":" not in user), sendable.filter(bool))
def test_basic_can_be_read_back(user: str, password: str) -> None:
    """What a server decodes is what was given, for all that is allowed."""
    kind, _, coded = Basic(user, password).headers()["Authorization"].partition(" ")
    assert ("Basic", f"{user}:{password}") == (kind, b64decode(coded).decode())


@pytest.mark.parametrize(
    ("user", "password", "message"),
    [
        (f"{SECRET}\n", "x", "Basic: the user must be"),
        ("x", f"{SECRET}\r\nX-Injected: 1", "Basic: the password must be"),
        ("x", f"{SECRET}\x85", "Basic: the password must be"),
        ("x", f"{SECRET}\ud800", "Basic: the password must be"),
        ("x", SECRET.encode(), "Basic: the password must be"),
        (None, SECRET, "Basic: the user must be"),
        (f"{SECRET}:x", "x", "Basic: the user must not have a colon"),
        ("", "", "Basic: user and password are both empty"),
    ],
)
def test_a_login_that_cannot_be_sent_is_refused_when_it_is_built(user: Any, password: Any, message: str) -> None:
    """Control characters, a colon in the user, or nothing at all is refused without showing either."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        Basic(user, password)
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    ("key", "place", "message"),
    [
        ("", {"header": "X-Api-Key"}, "ApiKey: the key must be"),
        (f"{SECRET}\n", {"header": "X-Api-Key"}, "ApiKey: the key must be"),
        (f" {SECRET}", {"header": "X-Api-Key"}, "ApiKey: the key must be"),
        (f"{SECRET}é", {"query": "api_key"}, "ApiKey: the key must be"),
        (SECRET.encode(), {"query": "api_key"}, "ApiKey: the key must be"),
        (SECRET, {}, "ApiKey: say where the key goes"),
        (SECRET, {"header": "X-Api-Key", "query": "api_key"}, "ApiKey: say where the key goes"),
        ("X-Api-Key", {"header": f"{SECRET} x"}, "ApiKey: header must be the name"),
        (SECRET, {"header": ""}, "ApiKey: header must be the name"),
        (SECRET, {"header": "Content-Length"}, "ApiKey: header must be the name"),
        (SECRET, {"header": 7}, "ApiKey: header must be the name"),
        ("api_key", {"query": f"{SECRET}\n"}, "ApiKey: query must be the name"),
        (SECRET, {"query": ""}, "ApiKey: query must be the name"),
        (SECRET, {"query": 7}, "ApiKey: query must be the name"),
    ],
    ids=range(14),
)
def test_a_key_that_cannot_be_sent_is_refused_when_it_is_built(key: Any, place: dict[str, Any], message: str) -> None:
    """A key that would inject something, no place or two places for it, or a mix-up, is refused without showing it."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        ApiKey(key, **place)
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "auth", [Basic("user", SECRET), ApiKey(SECRET, header="X-Api-Key"), ApiKey(SECRET, query="api_key")]
)
def test_a_secret_is_in_nothing_that_can_be_read(auth: Basic | ApiKey) -> None:
    """No text of the object has the secret, no attribute dump finds it, and it does not pickle; a copy is itself."""
    name = type(auth).__name__
    assert f"{name}(<secret>)" == repr(auth) == str(auth) == f"{auth}"
    assert not hasattr(auth, "__dict__")
    with pytest.raises(TypeError, match=f"{name} is not pickled") as caught:
        pickle.dumps(auth)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert auth is copy.copy(auth) is copy.deepcopy(auth)


async def test_a_key_goes_where_it_was_told_to() -> None:
    """In a header or in the query, and nowhere else."""
    assert dict((await signed(ApiKey(SECRET, header="X-Api-Key"))).headers) == {"X-Api-Key": SECRET}
    send = await signed(ApiKey("a+b/c= d&e", query="api key"), outgoing(f"{HOME}/a%2Fb?x=%20+&api+key=old&%zz"))
    assert (f"{HOME}/a%2Fb?x=%20+&%zz&api%20key=a%2Bb%2Fc%3D%20d%26e", {}) == (str(send.url), dict(send.headers))
    assert URL(str(send.url)).query["api key"] == "a+b/c= d&e"


async def test_a_scheme_of_its_own_is_a_key_too() -> None:
    """A key may have spaces inside, for providers with an Authorization scheme of their own."""
    send = await signed(ApiKey(f"DeepL-Auth-Key {SECRET}", header="Authorization"))
    assert dict(send.headers) == {"Authorization": f"DeepL-Auth-Key {SECRET}"}


async def test_a_bearer_token_is_signed_with_like_the_others() -> None:
    """The bearer token of old, and anything else with headers(), is put on the send."""
    assert dict((await signed(Bearer(SECRET))).headers) == {"Authorization": f"Bearer {SECRET}"}


async def test_what_the_caller_gave_to_one_call_stands() -> None:
    """A header that is there already is not replaced by that of the provider."""
    send = await signed(Bearer(SECRET), outgoing(authorization="Bearer other"))
    assert send.headers.getall("Authorization") == ["Bearer other"]


async def test_an_auth_function_sees_the_send_and_adds_to_it() -> None:
    """It reads method, URL and body, and adds headers and query parameters; what it raises passes."""
    seen = []

    async def auth(request: Outgoing) -> None:
        seen.append((request.method, str(request.url), request.body))
        request.headers["X-Signature"] = SECRET
        request.set_query("sig", SECRET)
        request.set_query("sig", f"{SECRET} 2")

    send = await signed(auth, outgoing(f"{HOME}/a#frag", b"{}"))
    assert [("GET", f"{HOME}/a", b"{}")] == seen
    assert (f"{HOME}/a?sig={SECRET}%202", {"X-Signature": SECRET}) == (str(send.url), dict(send.headers))

    async def failing(request: Outgoing) -> None:
        raise ConnectionError(request.method)

    with pytest.raises(ConnectionError):
        await signed(failing)


async def test_each_send_is_signed_anew() -> None:
    """The function is asked again for every send, and so are headers() and query()."""

    class Counting:
        count = 0

        def headers(self) -> dict[str, str]:
            self.count += 1
            return {"X-Count": str(self.count)}

        def query(self) -> dict[str, str]:
            return {"n": str(self.count)}

    counting = Counting()

    def asked(request: Outgoing) -> None:
        request.headers.update(counting.headers())

    fixed, function = Signer("shop", counting, ORIGINS), Signer("shop", asked, ORIGINS)
    got = []
    for signer in (fixed, fixed, function, function):
        send = outgoing()
        await signer.sign(send)
        got.append((send.headers["X-Count"], send.url.raw_query_string))
    assert got == [("1", "n=1"), ("2", "n=2"), ("3", ""), ("4", "")]


@pytest.mark.parametrize(
    "url",
    ["http://api.shop.example/", "https://api.shop.example:444/", "https://evil.example/", "https://shop.example/"],
)
async def test_credentials_do_not_leave_their_origin(url: str) -> None:
    """A send to another scheme, host or port is not signed, whoever asks for it."""

    async def auth(request: Outgoing) -> None:
        request.headers["Authorization"] = SECRET

    for one in (Bearer(SECRET), Basic("u", SECRET), ApiKey(SECRET, query="k"), auth):
        send = await signed(one, outgoing(url))
        assert (url, {}) == (str(send.url), dict(send.headers))


async def test_where_a_send_goes_cannot_be_changed() -> None:
    """Method, URL and body are there to be read; a query parameter cannot reach beyond the query."""
    send = outgoing()
    for name in ("method", "url", "body"):
        with pytest.raises(AttributeError):
            setattr(send, name, "x")
    send.set_query("a", "/../?#@evil.example")
    send.set_query("b&c=d", "")
    assert f"{HOME}/a?a=%2F..%2F%3F%23%40evil.example&b%26c%3Dd=" == str(send.url)


@pytest.mark.parametrize(("name", "value"), [("a\n", "b"), ("a", "b\0"), ("a", 1), (None, "b"), ("a", "\ud800")])
async def test_a_query_parameter_that_cannot_be_sent_is_refused(name: Any, value: Any) -> None:
    """Control characters and what is no str are refused before anything is sent."""
    with pytest.raises(ValueError, match="auth: a query parameter needs"):
        outgoing().set_query(name, value)


@pytest.mark.parametrize(
    ("name", "value", "objection"),
    [
        ("X-Sig", f"{SECRET}\r\nX: 1", "header 'X-Sig' has a line break"),
        ("X-Sig", SECRET.encode(), "header 'X-Sig' must be a str"),
        ("Content-Length", "0", "header 'Content-Length' is set by the transport"),
        ("X Sig", "x", "header name 'X Sig' is not a token"),
    ],
)
async def test_a_header_that_cannot_be_sent_is_refused(name: str, value: Any, objection: str) -> None:
    """What an auth has added is looked at before it is sent, and not shown when it is refused."""

    class Odd:
        def headers(self) -> dict[str, Any]:
            return {name: value}

    async def auth(request: Outgoing) -> None:
        request.headers[name] = value

    for one in (Odd(), auth):
        with pytest.raises(ValueError, match="shop: of what auth has added, ") as caught:
            await signed(one)
        assert objection in str(caught.value)
        assert SECRET not in str(caught.value)


async def test_an_auth_that_returns_something_is_told_what_to_do() -> None:
    """Headers that are returned instead of added would be lost: that is said, without showing them."""

    async def auth(_: Outgoing) -> dict[str, str]:
        return {"Authorization": SECRET}

    with pytest.raises(TypeError, match=r"shop: auth returned a dict; it has to change request\.headers") as caught:
        await signed(auth)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("auth", [None, SECRET, {"Authorization": SECRET}, ("u", SECRET), Bearer, Basic, dict])
def test_what_is_no_auth_is_refused_when_it_is_built(auth: object) -> None:
    """A token, a pair, a mapping or a class is refused without showing it."""
    with pytest.raises(buoy.ConfigurationError, match="shop: auth must be a Bearer, Basic or ApiKey") as caught:
        Signer("shop", auth, ORIGINS)
    assert SECRET not in str(caught.value)


async def test_what_carries_a_credential_in_the_query_is_known() -> None:
    """A redirect can be told which query parameters must not go on: a key's at once, a function's when it was used."""
    assert Signer("shop", ApiKey(SECRET, query="api_key"), ORIGINS).withheld == {"api_key"}
    assert Signer("shop", Bearer(SECRET), ORIGINS).withheld == frozenset()

    async def auth(request: Outgoing) -> None:
        request.set_query("sig", SECRET)

    signer = Signer("shop", auth, ORIGINS)
    assert signer.withheld == frozenset()
    await signer.sign(outgoing())
    assert signer.withheld == {"sig"}
    await signer.sign(outgoing())
    assert signer.withheld == {"sig"}


async def test_a_send_is_no_text_for_logs() -> None:
    """Neither path nor query nor headers are part of the repr, before and after."""
    send = await signed(ApiKey(SECRET, query="api_key"), outgoing(f"{HOME}/{SECRET}", authorization=SECRET))
    assert repr(send) == "<Outgoing GET https://api.shop.example>"
    assert SECRET not in repr(Signer("shop", Bearer(SECRET), ORIGINS))
