"""What identifies the caller goes to the provider's own origins, and to no other that a redirect leads to."""

from typing import Any

import aiohttp
import pytest

import buoy
from tests.integration.http.origins import Place, caller, say, to
from tests.support.faults import Received
from tests.support.telemetry import Observed

CANARY = "canary-3f60"

# So that there is a traceparent to be kept at home.
pytestmark = pytest.mark.usefixtures("observed")


class Counting:
    """Signs each request by a number of its own: header, query and what it saw of the request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes | None]] = []

    async def __call__(self, request: buoy.Outgoing) -> None:
        """Sign."""
        self.asked.append((request.method, f"{request.url.host}{request.url.path}", request.body))
        request.headers["X-Signature"] = f"{CANARY}-{len(self.asked)}"
        request.set_query("sig", f"{CANARY}-{len(self.asked)}")


class Tenant:
    """Credentials of a caller's own making."""

    def headers(self) -> dict[str, str]:
        """Return what to add."""
        return {"X-Tenant": CANARY}

    def query(self) -> dict[str, str]:
        """Return what to add."""
        return {"tenant": CANARY}


SIGNERS = {
    "bearer": (lambda: buoy.Bearer(CANARY), "authorization", ""),
    "basic": (lambda: buoy.Basic("me", CANARY), "authorization", ""),
    "key in a header": (lambda: buoy.ApiKey(CANARY, header="X-Api-Key"), "x-api-key", ""),
    "key in the query": (lambda: buoy.ApiKey(CANARY, query="api_key"), "", "api_key"),
    "own": (Tenant, "x-tenant", "tenant"),
    "function": (Counting, "x-signature", "sig"),
}


def has(request: Received, header: str, query: str) -> list[bool]:
    """Tell whether a request carries each credential that there should be."""
    found = [header in {name.lower() for name in request.headers}] if header else []
    return found + ([f"{query}=" in request.target] if query else [])


def is_clean(request: Received) -> bool:
    """Tell whether nothing in a request came from the caller but what is harmless."""
    harmless = {"accept", "accept-encoding", "content-length", "content-type", "host", "user-agent"}
    names = {name.lower() for name in request.headers}
    return names <= harmless and CANARY not in f"{request.target}{request.headers}"


@pytest.mark.parametrize("name", ["other port", "other name"])
@pytest.mark.parametrize(("make", "header", "query"), SIGNERS.values(), ids=SIGNERS)
async def test_credentials_stay_at_their_origin(make: Any, header: str, query: str, name: str) -> None:
    """They go to every hop of the own origin; a foreign one gets none, and neither does the way back home."""
    auth = make()
    async with Place() as other, Place() as place:
        foreign = other.url if name == "other port" else place.localhost
        place.told = {"/a": [to("/b")], "/b": [to(f"{foreign}/c")]}
        (other if name == "other port" else place).told["/c"] = [to(f"{place.url}/d")]
        async with caller(place, auth=auth) as shop:
            assert await shop.read(path="a") == {}
    own, away = place.received[:2], [*place.received[2:], *other.received]
    assert [all(has(request, header, query)) for request in own] == [True, True]
    assert [is_clean(request) for request in away] == [True, True]
    if isinstance(auth, Counting):
        assert auth.asked == [("GET", "127.0.0.1/a", b""), ("GET", "127.0.0.1/b", b"")]


@pytest.mark.parametrize("way", ["absolute", "relative"])
@pytest.mark.parametrize(("make", "header", "query"), SIGNERS.values(), ids=SIGNERS)
async def test_trusted_origins_get_all(make: Any, header: str, query: str, way: str) -> None:
    """An origin that was declared is like the own one, hop for hop, and trust goes on from there."""
    async with Place() as other, Place() as place:
        there = "/d" if way == "relative" else f"{other.url}/d"
        place.told = {"/a": [to(f"{other.url}/c")]}
        other.told = {"/c": [to(there)], "/d": [to(f"{place.url}/e")]}
        async with caller(place, auth=make(), trusted_origins=(other.url,)) as shop:
            assert await shop.read(path="a") == {}
    assert [len(place.received), len(other.received)] == [2, 2]
    for request in (*place.received, *other.received):
        assert all(has(request, header, query))
        assert "traceparent" in {name.lower() for name in request.headers}


async def test_each_hop_is_signed_for_itself() -> None:
    """Method, URL and body of the hop are what is signed, and what one hop got is not sent to the next."""
    sign = Counting()
    async with Place({"/a": [to("/b", 307)], "/b": [to("/c?page=1", 303)]}) as place, caller(place, auth=sign) as shop:
        await shop.make(path="a", json={"n": 1})
    assert sign.asked == [
        ("POST", "127.0.0.1/a", b'{"n":1}'),
        ("POST", "127.0.0.1/b", b'{"n":1}'),
        ("GET", "127.0.0.1/c", b""),
    ]
    assert [request.headers["X-Signature"] for request in place.received] == [f"{CANARY}-{n}" for n in (1, 2, 3)]
    assert place.lines == [
        f"POST /a?sig={CANARY}-1",
        f"POST /b?sig={CANARY}-2",
        f"GET /c?page=1&sig={CANARY}-3",
    ]


@pytest.mark.parametrize(
    ("auth", "name"), [(buoy.ApiKey(CANARY, query="api_key"), "api_key"), (Counting(), "sig")], ids=["key", "function"]
)
@pytest.mark.parametrize("written", ["{name}", "%{hex}{rest}"], ids=["plain", "encoded"])
async def test_a_key_that_the_server_repeats_does_not_go_along(auth: Any, name: str, written: str) -> None:
    """A server that copies the query into the Location does not carry the key to a foreign origin; the rest goes."""
    spelt = written.format(name=name, hex=f"{ord(name[0]):x}", rest=name[1:])
    query = f"page=2&{spelt}={CANARY}&{spelt}=&x=%20"
    async with Place() as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/c?{query}")]}
        other.told = {"/c": [to(f"/d?{query}")]}
        async with caller(place, auth=auth) as shop:
            await shop.read(path="a", page=2)
    assert other.lines == ["GET /c?page=2&x=%20", "GET /d?page=2&x=%20"]


async def test_a_key_that_the_server_repeats_is_there_once_at_home() -> None:
    """At a trusted origin the key stands in the place of the one in the Location."""
    auth = buoy.ApiKey(CANARY, query="api_key")
    async with Place({"/a": [to("/b?api_key=old&page=2")]}) as place, caller(place, auth=auth) as shop:
        await shop.read(path="a")
    assert place.lines[1] == f"GET /b?page=2&api_key={CANARY}"


async def test_nothing_that_the_caller_gave_goes_to_a_foreign_origin() -> None:
    """Key, headers of the call and of the provider, cookies: whatever is not harmless stays, under any name."""
    given = {
        "X-Mine": CANARY,
        "Cookie": f"sid={CANARY}",
        "Authorization": CANARY,
        "Referer": f"https://h/{CANARY}",
        "Host": "shop.example",
        "If-None-Match": CANARY,
    }
    async with Place() as other, Place() as place:
        place.told = {"/a": [to("/b", 307)], "/b": [to(f"{other.url}/c", 307)]}
        other.told = {"/c": [to(f"{place.url}/d", 307)]}
        async with caller(place, headers={"X-Fixed": CANARY, "User-Agent": "mine/1", "Accept": "text/css"}) as shop:
            await shop.keyed(path="a", json={"n": 1}, headers=given, idempotency_key=CANARY)
    for request in place.received[:2]:
        assert [request.headers[name] for name in given] == list(given.values())
        assert (request.headers["X-Once"], request.headers["X-Fixed"]) == (CANARY, CANARY)
        assert "traceparent" in request.headers
    for request in (other.received[0], place.received[2]):
        assert is_clean(request)
        assert (request.headers["User-Agent"], request.headers["Accept"]) == ("mine/1", "text/css")
        assert (request.body, request.headers["Content-Type"]) == (b'{"n":1}', "application/json")
    assert other.received[0].headers["Host"] == f"127.0.0.1:{other.port}"


async def test_a_trusted_origin_gets_what_the_caller_gave_but_for_the_host() -> None:
    """Key, headers and cookies of the caller go along; a ``Host`` of the caller's own is of the first origin only."""
    given = {"X-Mine": CANARY, "Cookie": f"sid={CANARY}", "Host": "shop.example"}
    async with Place() as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/c", 307)]}
        async with caller(place, headers={"X-Fixed": CANARY}, trusted_origins=(other.url,)) as shop:
            await shop.keyed(path="a", json={}, headers=given, idempotency_key=CANARY)
    (request,) = other.received
    assert [request.headers[name] for name in ("X-Mine", "Cookie", "X-Fixed", "X-Once")] == [
        CANARY,
        f"sid={CANARY}",
        CANARY,
        CANARY,
    ]
    assert request.headers["Host"] == f"127.0.0.1:{other.port}"


async def test_a_session_of_the_callers_own_is_for_trusted_origins() -> None:
    """What a handed-in session adds by itself goes where credentials go, and to no other origin or back from it."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        Place() as trusted,
        Place() as other,
        Place() as place,
        aiohttp.ClientSession(headers={"X-Session": CANARY}, cookies={"sid": CANARY}, cookie_jar=jar) as session,
    ):
        place.told = {"/a": [to(f"{trusted.url}/b")]}
        trusted.told = {"/b": [to(f"{other.url}/c")]}
        other.told = {"/c": [to(f"{place.url}/d")]}
        async with caller(place, session=session, trusted_origins=(trusted.url,)) as shop:
            await shop.read(path="a")
    for request in (place.received[0], trusted.received[0]):
        assert (request.headers["X-Session"], request.headers["Cookie"]) == (CANARY, f"sid={CANARY}")
    assert [is_clean(request) for request in (other.received[0], place.received[1])] == [True, True]


async def test_without_propagation_nobody_gets_a_traceparent(observed: Observed) -> None:
    """``propagate=False`` holds for every hop."""
    async with Place({"/a": [to("/b")]}) as place, caller(place, propagate=False) as shop:
        await shop.read(path="a")
    assert ["traceparent" in place.names(number) for number in (0, 1)] == [False, False]
    assert len(observed.attempts()) == 2


async def test_a_retry_of_a_chain_has_its_credentials_again() -> None:
    """Trust is lost for a chain and not for the call: the next try begins at home, signed."""
    sign = Counting()
    async with Place({"/c": [say(503), say()]}) as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/c")]}
        async with caller(place, auth=sign) as shop:
            await shop.read(path="a")
    assert [request.headers["X-Signature"] for request in place.received] == [f"{CANARY}-1", f"{CANARY}-2"]
    assert [is_clean(request) for request in other.received] == [True, True]


async def test_a_stream_is_led_on_as_carefully() -> None:
    """A streamed answer at a foreign origin is asked for without credentials."""
    async with Place() as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/c")]}
        async with caller(place, auth=buoy.Bearer(CANARY)) as shop, shop.read.stream(path="a") as answered:
            assert [item async for item in answered.json_lines()] == [{}]
    assert (CANARY in place.received[0].headers["Authorization"], is_clean(other.received[0])) == (True, True)


async def test_what_a_function_raises_at_a_hop_passes_as_it_is(observed: Observed) -> None:
    """It is the caller's own exception, and no send of the hop has begun."""

    async def sign(request: buoy.Outgoing) -> None:
        if request.url.path == "/b":
            raise LookupError(CANARY)

    async with Place({"/a": [to("/b")]}) as place, caller(place, auth=sign) as shop:
        with pytest.raises(LookupError):
            await shop.read(path="a")
    assert place.lines == ["GET /a"]
    assert [span.status.status_code.name for span in observed.attempts()] == ["UNSET"]


@pytest.mark.parametrize("trusted", ["{other}", "{other}/", "http://LOCALHOST:{port}"])
async def test_an_origin_is_trusted_however_it_is_written(trusted: str) -> None:
    """Case and a last slash make no other origin."""
    async with Place() as other, Place() as place:
        there = other.localhost if "LOCALHOST" in trusted else other.url
        place.told = {"/a": [to(f"{there}/c")]}
        origins = (trusted.format(other=other.url, port=other.port),)
        async with caller(place, auth=buoy.Bearer(CANARY), trusted_origins=origins) as shop:
            await shop.read(path="a")
    assert [request.headers["Authorization"] for request in other.received] == [f"Bearer {CANARY}"]
