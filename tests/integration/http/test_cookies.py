"""Cookies: none unless asked for; then kept while the provider is open, and shown to nobody but where they belong."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import buoy
from tests.integration.http.origins import Place, caller, say, to
from tests.support import certificates
from tests.support.telemetry import Observed, logs

CANARY = "canary-b20d"
SET = f"sid={CANARY}"


def cookies(place: Place) -> list[str | None]:
    """Return the cookies of each request."""
    return [request.headers.get("Cookie") for request in place.received]


# Off.


async def test_cookies_are_ignored_by_default() -> None:
    """What the server sets is not sent back: not on the next call, not on a retry, and not on a hop."""
    told: dict[str, list[Any]] = {"/a": [to("/b", Set_Cookie=SET)]}
    told["/b"] = [say(503, Set_Cookie=SET), say(Set_Cookie=SET)]
    async with Place(told) as place, caller(place) as shop:
        for _ in range(2):
            assert await shop.read(path="a") == {}
    assert len(place.received) == 6
    assert cookies(place) == [None] * 6


async def test_a_cookie_of_the_callers_own_is_sent_without_a_jar() -> None:
    """``headers={"Cookie": ...}`` is a header like any other."""
    async with Place({"/a": [to("/b", Set_Cookie=SET)]}) as place, caller(place) as shop:
        await shop.read(path="a", headers={"Cookie": "mine=1"})
    assert cookies(place) == ["mine=1"] * 2


# On.


async def test_cookies_are_kept_while_the_provider_is_open() -> None:
    """With ``cookies=True`` they come back on later calls of all operations; leaving the provider forgets them."""
    async with Place({"/a": [say(Set_Cookie=SET)]}) as place:
        shop = caller(place, cookies=True)
        async with shop:
            await shop.read(path="a")
            await shop.read(path="b")
            await shop.make(path="c", json={})
            async with shop.read.stream(path="d"):
                pass
        async with shop:
            await shop.read(path="e")
    assert cookies(place) == [None, SET, SET, SET, None]


async def test_each_provider_has_cookies_of_its_own() -> None:
    """Two accounts in one process do not share a session."""
    async with (
        Place({"/a": [say(Set_Cookie="sid=1"), say(Set_Cookie="sid=2")]}) as place,
        caller(place, cookies=True) as one,
        caller(place, cookies=True) as other,
        caller(place) as third,
    ):
        for shop in (one, other):
            await shop.read(path="a")
        for shop in (one, other, third):
            await shop.read(path="b")
    assert cookies(place) == [None, None, "sid=1", "sid=2", None]


@pytest.mark.parametrize(
    "answer", [say(404, Set_Cookie=SET), say(503, Set_Cookie=SET), to("ftp://h/", Set_Cookie=SET)], ids=str
)
async def test_a_cookie_counts_whatever_it_came_with(answer: bytes) -> None:
    """An error or a redirect that is not followed may set one, too."""
    async with Place({"/a": [answer]}) as place, caller(place, cookies=True, retry=None) as shop:
        with pytest.raises(buoy.HttpError):
            await shop.read(path="a")
        await shop.read(path="b")
    assert cookies(place) == [None, SET]


async def test_a_retry_has_the_cookie_of_the_try_before() -> None:
    """A server that is not ready and sets a cookie meets it again on the retry."""
    async with Place({"/a": [say(503, Set_Cookie=SET), say()]}) as place, caller(place, cookies=True) as shop:
        await shop.read(path="a")
    assert cookies(place) == [None, SET]


async def test_a_call_that_was_left_has_set_its_cookie() -> None:
    """The headers were there, whatever became of the body."""
    async with (
        Place({"/a": [say(200, b"", Set_Cookie=SET, Content_Length="9")]}) as place,
        caller(place, cookies=True, retry=None, timeout=buoy.Timeout(attempt=0.2)) as shop,
    ):
        with pytest.raises(buoy.TimedOut):
            await shop.read(path="a")
        await shop.read(path="b")
    assert cookies(place) == [None, SET]


async def test_login_by_a_form() -> None:
    """POST, 303 with a cookie, GET with it: the way of all forms; and it stays for the next call."""
    told: dict[str, list[Any]] = {"/login": [to("/home", 303, Set_Cookie=f"{SET}; Path=/; HttpOnly")]}
    async with Place(told) as place, caller(place, cookies=True) as shop:
        await shop.make(path="login", data={"user": "me"})
        await shop.read(path="next")
    assert place.lines == ["POST /login", "GET /home", "GET /next"]
    assert cookies(place) == [None, SET, SET]


async def test_the_same_url_with_a_new_cookie_is_no_loop() -> None:
    """Who comes back with what was set asks for something else; without a jar it is the same again, and a loop."""
    told: dict[str, list[Any]] = {"/a": [to("/a", Set_Cookie=SET), say(), to("/a", Set_Cookie=SET)]}
    async with Place(told) as place:
        async with caller(place, cookies=True) as shop:
            assert await shop.read(path="a") == {}
        async with caller(place) as shop:
            with pytest.raises(buoy.HttpError, match="where this call has been already"):
                await shop.read(path="a")
    assert cookies(place) == [None, SET, None]


async def test_a_loop_with_cookies_ends_at_the_limit() -> None:
    """A server that never has enough is asked six times."""
    told: dict[str, list[Any]] = {"/a": [to("/a", Set_Cookie=SET)]}
    async with Place(told) as place, caller(place, cookies=True) as shop:
        with pytest.raises(buoy.HttpError, match="too many redirects"):
            await shop.read(path="a")
    assert cookies(place) == [None, *[SET] * 5]


@pytest.mark.parametrize(
    ("attributes", "path", "sent"),
    [
        ("", "/x", True),
        ("; Path=/", "/x", True),
        ("; Path=/x", "/x", True),
        ("; Path=/x", "/xy", False),
        ("; Path=/other", "/x", False),
        ("; Max-Age=0", "/x", False),
        ("; Max-Age=-1", "/x", False),
        ("; Max-Age=3600", "/x", True),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/x", False),
        ("; expires=Thu, 01-Jan-70 00:00:00 GMT; Path=/", "/x", False),
        ("; Expires=Fri, 31 Dec 2100 00:00:00 GMT", "/x", True),
        ("; Secure", "/x", False),
        ("; HttpOnly; SameSite=Strict", "/x", True),
    ],
)
async def test_the_attributes_of_a_cookie_are_respected(attributes: str, path: str, sent: bool) -> None:  # noqa: FBT001
    """Path, expiry and ``Secure`` are what aiohttp's jar makes of them (RFC 6265)."""
    told: dict[str, list[Any]] = {"/a": [say(Set_Cookie=SET + attributes)]}
    async with Place(told) as place, caller(place, cookies=True) as shop:
        await shop.read(path="a")
        await shop.read(path=path[1:])
    assert cookies(place) == [None, SET if sent else None]


async def test_a_cookie_is_replaced_and_taken_back() -> None:
    """A new value stands for the old one, and an expiry in the past takes it away."""
    told: dict[str, list[Any]] = {
        "/a": [say(Set_Cookie="sid=1"), say(Set_Cookie="sid=2"), say(Set_Cookie="sid=; Max-Age=0")]
    }
    async with Place(told) as place, caller(place, cookies=True) as shop:
        for _ in range(4):
            await shop.read(path="a")
    assert cookies(place) == [None, "sid=1", "sid=2", None]


async def test_several_cookies_of_one_answer() -> None:
    """Each ``Set-Cookie`` counts, and one that is none harms no other."""
    answer = (
        b"HTTP/1.1 200 Said\r\nSet-Cookie: a=1\r\nSet-Cookie: \x01;;=\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    )
    async with Place({"/a": [answer]}) as place, caller(place, cookies=True) as shop:
        await shop.read(path="a")
        await shop.read(path="b")
    assert cookies(place) == [None, "a=1; b=2"]


async def test_a_cookie_of_the_callers_own_is_sent_with_those_of_the_jar() -> None:
    """Both go, in one header, the caller's first; the caller's own stays what it was."""
    given = {"Cookie": "mine=1; other=2"}
    told: dict[str, list[Any]] = {"/a": [to("/b", Set_Cookie=SET)]}
    async with Place(told) as place, caller(place, cookies=True) as shop:
        for _ in range(2):
            await shop.read(path="a", headers=given)
    together = f"mine=1; other=2; {SET}"
    assert cookies(place) == ["mine=1; other=2", together, together, together]
    assert given == {"Cookie": "mine=1; other=2"}


async def test_what_signs_sees_the_cookies() -> None:
    """A signature may cover them: they are there before it is asked for."""
    seen: list[str | None] = []

    async def sign(request: buoy.Outgoing) -> None:
        seen.append(request.headers.get("Cookie"))

    told: dict[str, list[Any]] = {"/a": [to("/b", Set_Cookie=SET)]}
    async with Place(told) as place, caller(place, cookies=True, auth=sign) as shop:
        await shop.read(path="a")
    assert seen == [None, SET]


# Where to.


@pytest.mark.parametrize("name", ["other port", "other name"])
async def test_no_cookie_goes_to_a_foreign_origin_or_comes_from_it(name: str) -> None:
    """Cookies know no ports (RFC 6265 section 8.5), and an origin does: ours are not sent, and theirs are not kept."""
    async with Place() as other, Place() as place:
        there, foreign = (other.url, other) if name == "other port" else (place.localhost, place)
        place.told = {"/a": [to(f"{there}/c", Set_Cookie=SET)], "/e": [to(f"{there}/f")]}
        foreign.told |= {"/c": [to(f"{place.url}/d", Set_Cookie="sid=theirs")], "/f": [say(Set_Cookie="sid=theirs")]}
        async with caller(place, cookies=True) as shop:
            await shop.read(path="a")
            await shop.read(path="e")
            await shop.read(path="g")
    received = [*place.received, *other.received]
    own = {request.target: request.headers.get("Cookie") for request in received}
    # The way back from a foreign origin (/d) is not trusted either.
    assert own == {"/a": None, "/c": None, "/d": None, "/e": SET, "/f": None, "/g": SET}


async def test_a_way_back_home_sets_no_cookie() -> None:
    """Whoever leads a call over a foreign origin and back does not choose its session."""
    async with Place() as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/b")], "/c": [say(Set_Cookie="sid=chosen")]}
        other.told = {"/b": [to(f"{place.url}/c?session=chosen")]}
        async with caller(place, cookies=True) as shop:
            await shop.read(path="a")
            await shop.read(path="d")
    assert cookies(place) == [None] * 3


async def test_a_trusted_origin_has_cookies_too() -> None:
    """Each host gets its own back: those of another name are not sent, those of another port are."""
    async with Place() as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/b", Set_Cookie="port=1")], "/d": [to(f"{place.localhost}/e")]}
        other.told = {"/b": [to(f"{place.localhost}/c")]}
        place.told["/c"] = [say(Set_Cookie="name=2")]
        async with caller(place, cookies=True, trusted_origins=(other.url, place.localhost)) as shop:
            await shop.read(path="a")
            await shop.read(path="d")
    assert cookies(other) == ["port=1"]
    assert cookies(place) == [None, None, "port=1", "name=2"]


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, buoy.Connections]:
    """Return a server's context, and connections that trust it."""
    return certificates.good(), buoy.Connections(ca=certificates.written(tmp_path).ca)


async def test_a_secure_cookie_goes_over_https_only(tls: tuple[ssl.SSLContext, buoy.Connections]) -> None:
    """What https has set as ``Secure`` comes back there, and not over http to the same host."""
    told: dict[str, list[Any]] = {"/b": [say(Set_Cookie=f"{SET}; Secure; Path=/")]}
    async with Place(told, tls=tls[0]) as secured, Place() as place:
        place.told = {"/a": [to(f"{secured.url}/b")]}
        async with caller(place, connections=tls[1], cookies=True, trusted_origins=(secured.url,)) as shop:
            for _ in range(2):
                await shop.read(path="a")
    assert cookies(place) == [None, None]
    assert cookies(secured) == [None, SET]


async def test_a_session_of_the_callers_own_keeps_its_jar() -> None:
    """A handed-in session sends its cookies; ours are beside them, and not in its jar."""
    async with (
        Place({"/a": [say(Set_Cookie=SET)]}) as place,
        aiohttp.ClientSession(cookies={"theirs": "1"}, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        caller(place, session=session, cookies=True) as shop,
    ):
        await shop.read(path="a")
        await shop.read(path="b")
    first, second = cookies(place)
    assert first == "theirs=1"
    assert sorted((second or "").split("; ")) == sorted([SET, "theirs=1"])


# Never shown.


async def test_no_cookie_is_ever_shown(observed: Observed) -> None:
    """No span, metric, log, repr or error has one, set or sent."""
    told: dict[str, list[Any]] = {"/a": [to("/b", Set_Cookie=SET)], "/b": [say(500, Set_Cookie=SET)]}
    with logs() as seen:
        async with Place(told) as place, caller(place, cookies=True) as shop:
            with pytest.raises(buoy.HttpError) as caught:
                await shop.read(path="a", headers={"Cookie": f"mine={CANARY}"})
            transport = shop._transport
            shown = [repr(thing) for thing in (shop, transport, shop.snapshot(), caught.value, caught.value.meta)]
    assert CANARY in str(cookies(place))
    told_spans = [span.to_json() for span in observed.spans()]
    told_metrics = [metric.to_json() for metric in observed.collected()]
    told_logs = [str(vars(record)) for record in seen.records]
    assert [text for text in (*shown, *told_spans, *told_metrics, *told_logs) if CANARY in text] == []
    assert len(told_spans) == 7
