"""Redirects on real sockets: which are followed, with what, and what became of the call where one of them failed."""

import io
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import buoy
from buoy.outcome import Outcome
from tests.integration.http.origins import Place, caller, chain, refused, say, to
from tests.support import certificates
from tests.support.faults import FaultyServer, Peer
from tests.support.telemetry import Observed

CANARY = "canary-7be1"
ALL = [301, 302, 303, 307, 308]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


# What a hop is made of.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("status", ALL)
async def test_method_body_and_headers_of_a_hop(status: int, method: str) -> None:
    """303 is answered by GET, and 301 and 302 of a POST: without the body and what speaks of it. All else is kept."""
    given = None if method in {"GET", "HEAD"} else {"n": 1}
    headers = {"X-Own": "1", "Content-Language": "de"}
    async with Place({"/a": [to("/b?c=1", status)]}) as place, caller(place) as shop:
        result = await shop.request(method, "/{path}", path="a", json=given, headers=headers)
    drops = (status == 303 and method not in {"GET", "HEAD"}) or (status < 303 and method == "POST")
    then = "GET" if drops else method
    assert [f"{method} /a", f"{then} /b?c=1"] == place.lines
    first, second = place.received
    assert (b"" if drops or given is None else b'{"n":1}') == second.body
    dropped = {"content-type", "content-length", "content-language"} if drops else set()
    assert place.names(0) - dropped == place.names(1)
    assert (first.headers["Host"], "1") == (second.headers["Host"], second.headers["X-Own"])
    assert (result.status, result.meta.sends, result.meta.attempts, result.meta.duplicate) == (200, 2, 1, False)
    assert [request.connection for request in place.received] == [0, 0]


def made() -> bytes:
    """Make a body."""
    return b"made"


async def made_later() -> bytes:
    """Make a body, asynchronously."""
    return b"made"


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "data",
    [
        lambda _: b"bytes",
        lambda _: "text",
        lambda _: {"form": "1"},
        lambda _: made,
        lambda _: made_later,
        lambda _: io.BytesIO(b"in a file"),
        lambda path: path,
        lambda path: path.open("rb"),
        lambda _: b"x" * 3_000_000,
    ],
    ids=["bytes", "str", "form", "factory", "async factory", "buffer", "path", "file", "large"],
)
async def test_a_body_that_can_be_sent_again_goes_along(
    status: int, data: Callable[[Path], object], tmp_path: Path
) -> None:
    """307 and 308 get the same body as the first request, byte for byte, with its type; also at another origin."""
    path = tmp_path / "body"
    path.write_bytes(b"on disk")
    body = data(path)
    async with Place() as other, Place() as place, caller(place) as shop:
        place.told = {"/a": [to("/b", status)], "/b": [to(f"{other.url}/c", status)]}
        await shop.make(path="a", data=body)
    sent = [*place.received, *other.received]
    assert [request.method for request in sent] == ["POST"] * 3
    assert sent[0].body != b""
    assert [sent[0].body] * 2 == [request.body for request in sent[1:]]
    assert {sent[0].headers["Content-Type"]} == {request.headers["Content-Type"] for request in sent}
    if isinstance(body, io.BufferedReader):
        assert not body.closed
        body.close()


async def test_a_form_with_files_goes_along(tmp_path: Path) -> None:
    """The parts of a multipart body are opened again for the hop; only the line between them is another one."""
    path = tmp_path / "body"
    path.write_bytes(b"on disk")
    form = buoy.Multipart(fields={"a": "1"}, files={"f": io.BytesIO(b"file"), "g": path})
    async with Place({"/a": [to("/b", 307)]}) as place, caller(place) as shop:
        await shop.make(path="a", data=form)
    first, second = (
        request.body.replace(request.headers["Content-Type"].partition("boundary=")[2].encode(), b"-")
        for request in place.received
    )
    assert first == second
    assert [part in first for part in (b"file", b"on disk", b"\r\n\r\n1\r\n")] == [True] * 3


async def once() -> AsyncIterator[bytes]:
    """Give a body that can be read once."""
    yield b"a"
    yield b"b"


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_that_is_spent_does_not_go_along(status: int, observed: Observed) -> None:
    """It was sent, and cannot be sent again: the redirect is refused, in words, and nothing is retried."""
    async with Place({"/a": [to("/b", status)]}) as place, caller(place) as shop:
        with pytest.raises(buoy.HttpError, match="asks for the body again, which cannot be sent twice") as caught:
            await shop.replace(path="a", data=once())
        assert await shop.read(path="c") == {}
    assert place.lines == ["PUT /a", "GET /c"]
    assert place.received[0].body == b"ab"
    assert refused(caught) == (status, "server_error", "redirect_refused")
    assert [span.attributes["buoy.retry.stop_reason"] for span in observed.calls()[:1] if span.attributes] == [
        "not_retryable"
    ]


async def test_a_body_that_is_spent_is_not_needed_for_a_get() -> None:
    """303 asks for no body, so one that was read once is no hindrance."""
    async with Place({"/a": [to("/b", 303)]}) as place, caller(place) as shop:
        await shop.make(path="a", data=once())
    assert place.lines == ["POST /a", "GET /b"]


async def test_a_redirect_before_the_body_has_left() -> None:
    """A server that redirects an upload while it still comes: the target gets all of it, and the next call works."""

    async def early(peer: Peer) -> None:
        await peer.first()
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.write(to(f"{other.url}/b", 307))
        await peer.reader.read()  # until the client gives up on this connection

    body = b"x" * 30_000_000
    async with Place() as other, FaultyServer([early]) as place, caller(place) as shop:
        await shop.make(path="a", data=body)
        await place.said_all()
        assert await shop.read(path="c") == {}
    assert [body == request.body for request in other.received] == [True]
    assert [request.connection for request in place.received] == [1]


# Which are followed.


async def test_five_are_followed_and_no_sixth() -> None:
    """The default is five; a sixth is too many, and the error is that of the last answer."""
    async with Place(chain(6)) as place, caller(place) as shop:
        result = await shop.read.call(path="1")
        assert (result.status, result.meta.sends) == (200, 6)
        with pytest.raises(buoy.HttpError, match="HTTP 302, but there were too many redirects") as caught:
            await shop.read(path="0")
    assert refused(caught) == (302, "server_error", "redirect_refused")
    assert caught.value.headers["location"] == "/6"
    assert caught.value.meta is not None
    assert (caught.value.meta.attempts, caught.value.meta.sends) == (1, 6)
    assert len(place.received) == 12


@pytest.mark.parametrize("most", [1, 20])
async def test_the_limit_can_be_chosen(most: int) -> None:
    """``redirects=n``: so many are followed, and no more."""
    async with Place(chain(most + 1)) as place, caller(place, redirects=most) as shop:
        assert await shop.read(path="1") == {}
        with pytest.raises(buoy.HttpError, match="too many redirects"):
            await shop.read(path="0")
    assert len(place.received) == 2 * (most + 1)


async def test_with_none_the_redirect_is_the_answer() -> None:
    """``redirects=0``: a 3xx is a result, and where it leads is for the caller to read."""
    async with Place(chain(1)) as place, caller(place, redirects=0) as shop:
        result = await shop.read.call(path="0")
    assert (result.status, result.headers["location"], result.value, result.meta.sends) == (302, "/1", None, 1)


@pytest.mark.parametrize("status", [300, 304, 305, 306])
async def test_other_statuses_are_answers(status: int) -> None:
    """What is no redirect to follow is returned, whatever its Location says."""
    async with Place({"/a": [to("/b", status)]}) as place, caller(place) as shop:
        assert (await shop.read.call(path="a")).status == status
    assert place.lines == ["GET /a"]


@pytest.mark.parametrize(
    ("told", "sends"),
    [
        ({"/a": [to("/a")]}, 1),
        ({"/a": [to("/b")], "/b": [to("/a")]}, 2),
        ({"/a": [to("/b#x")], "/b": [to("/b#y")]}, 2),
    ],
    ids=["itself", "back and forth", "fragments"],
)
async def test_a_loop_is_told_at_once(told: dict[str, list[Any]], sends: int) -> None:
    """A redirect to where the call has been is not followed: that would only end at the limit."""
    async with Place(told) as place, caller(place) as shop:
        with pytest.raises(buoy.HttpError, match="leads to where this call has been already") as caught:
            await shop.read(path="a")
        assert await shop.read(path="ok") == {}
    assert refused(caught) == (302, "server_error", "redirect_refused")
    assert len(place.received) == sends + 1


async def test_post_redirect_get_of_one_url_is_no_loop() -> None:
    """A form that redirects to its own URL by 303 is read by GET."""
    async with Place({"/a": [to("/a", 303), say()]}) as place, caller(place) as shop:
        assert await shop.make(path="a", json={}) == {}
    assert place.lines == ["POST /a", "GET /a"]


SHOWN = "the target of the redirect is not a valid URL"
LOCATIONS = {
    "none": ((), "the redirect does not say where to"),
    "empty": (("",), "the redirect does not say where to"),
    "two": (("/b", "/c"), "the redirect names several targets"),
    "user info": ((f"http://me:{CANARY}@127.0.0.1/{CANARY}",), "the target of the redirect carries user info"),
    "ftp": ((f"ftp://127.0.0.1/{CANARY}",), "neither http nor https"),
    "script": ((f"javascript:alert('{CANARY}')",), "neither http nor https"),
    "data": ((f"data:text/html,{CANARY}",), "neither http nor https"),
    "no slashes": ((f"http:{CANARY}",), SHOWN),
    "no host": ((f"http:///{CANARY}",), SHOWN),
    "port": ((f"http://127.0.0.1:99999/{CANARY}",), SHOWN),
    "backslash": ((f"http:\\\\127.0.0.1\\{CANARY}",), SHOWN),
    "tab": ((f"/{CANARY}\t{CANARY}",), SHOWN),
    "encoded host": ((f"http://127.0.0.1%2f{CANARY}/",), SHOWN),
}


@pytest.mark.parametrize(("locations", "words"), LOCATIONS.values(), ids=LOCATIONS)
async def test_a_location_that_cannot_be_followed(locations: tuple[str, ...], words: str, observed: Observed) -> None:
    """It is a server error that is not retried; what the server said is on the exception, and nowhere else."""
    said = "".join(f"Location: {location}\r\n" for location in locations)
    answer = f"HTTP/1.1 302 Said\r\n{said}Content-Length: 0\r\n\r\n".encode()
    async with Place({"/a": [answer]}) as place, caller(place) as shop:
        with pytest.raises(buoy.HttpError) as caught:
            await shop.read(path="a")
        assert await shop.read(path="ok") == {}
    assert f"HTTP 302, but {'' if words[:3] == 'the' else 'the redirect leads to something that is '}{words}" in str(
        caught.value
    )
    assert refused(caught) == (302, "server_error", "redirect_refused")
    assert caught.value.outcome == Outcome.UNKNOWN
    assert list(locations) == getattr(caught.value.headers, "getall")("Location", [])  # noqa: B009  # a Mapping to mypy
    told = "".join(span.to_json() for span in observed.spans())
    assert CANARY not in f"{caught.value!r} {caught.value} {told}"
    assert len(place.received) == 2


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/b", "/b"),
        ("b", "/b"),
        ("?x=1", "/a?x=1"),
        ("/b/../c/./d", "/c/d"),
        ("/b%2Fc?d=%20&e", "/b%2Fc?d=%20&e"),
        ("/ä ö", "/%C3%A4%20%C3%B6"),
        ("/b#part", "/b"),
        ("//{place}/b", "/b"),
        ("HTTP://{place}/b", "/b"),
    ],
)
async def test_a_location_as_servers_write_it(location: str, target: str) -> None:
    """Relative references, dots, fragments and what should have been quoted lead to where they do in a browser."""
    async with Place() as place, caller(place) as shop:
        place.told = {"/a": [to(location.format(place=place.url[7:])).decode("latin-1").encode(), say()]}
        assert await shop.read(path="a") == {}
    assert ["GET /a", f"GET {target}"] == place.lines


async def test_one_location_said_twice_is_one() -> None:
    """A server that repeats the header means what it says."""
    answer = b"HTTP/1.1 302 Said\r\nLocation: /b\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
    async with Place({"/a": [answer]}) as place, caller(place) as shop:
        assert await shop.read(path="a") == {}
    assert place.lines == ["GET /a", "GET /b"]


async def test_a_location_that_is_too_long() -> None:
    """Where longer headers are taken, a target of more than 8190 characters is refused all the same."""
    long = buoy.Sizes(headers=20_000)
    async with Place({"/a": [to("/" + "b" * 8190)]}) as place, caller(place, sizes=long) as shop:
        with pytest.raises(buoy.HttpError, match="the target of the redirect is longer than 8190 characters"):
            await shop.read(path="a")
        place.told = {"/a": [to("/" + "b" * 8100)]}
        assert await shop.read(path="a") == {}


# Between http and https.


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, buoy.Connections]:
    """Return a server's context, and connections that trust it."""
    return certificates.good(), buoy.Connections(ca=certificates.written(tmp_path).ca)


@pytest.mark.parametrize("trusted", [False, True])
async def test_https_does_not_lead_to_http(
    trusted: bool,  # noqa: FBT001  # a table
    tls: tuple[ssl.SSLContext, buoy.Connections],
) -> None:
    """A redirect from https to http is refused, also to an origin that was declared: the wire is open to all."""
    async with Place() as other, Place(tls=tls[0]) as place:
        place.told = {"/a": [to(f"{other.url}/b")]}
        origins = (other.url,) if trusted else ()
        async with caller(place, connections=tls[1], trusted_origins=origins) as shop:
            with pytest.raises(buoy.HttpError, match="HTTP 302, but the redirect leads from https to http") as caught:
                await shop.read(path="a")
    assert refused(caught) == (302, "server_error", "redirect_refused")
    assert other.received == []


async def test_http_leads_to_https_as_another_origin(tls: tuple[ssl.SSLContext, buoy.Connections]) -> None:
    """The way up is followed; the scheme is part of an origin, so credentials do not go along unless it is trusted."""
    async with Place(tls=tls[0]) as other, Place() as place:
        place.told = {"/a": [to(f"{other.url}/b")]}
        for origins in ((), (other.url,)):
            async with caller(place, connections=tls[1], auth=buoy.Bearer(CANARY), trusted_origins=origins) as shop:
                assert await shop.read(path="a") == {}
    assert [CANARY in str(request.headers) for request in other.received] == [False, True]


async def test_https_leads_on_within_https(tls: tuple[ssl.SSLContext, buoy.Connections]) -> None:
    """Every hop is verified as the first request is, at whatever origin."""
    stranger = certificates.self_signed()
    async with Place(tls=tls[0]) as good, Place(tls=stranger) as bad, Place(tls=tls[0]) as place:
        place.told = {"/a": [to(f"{good.url}/b")], "/c": [to(f"{bad.url}/d")]}
        async with caller(place, connections=tls[1], retry=None) as shop:
            assert await shop.read(path="a") == {}
            with pytest.raises(buoy.NetworkError) as caught:
                await shop.read(path="c")
    assert (caught.value.reason, bad.received) == ("certificate", [])
