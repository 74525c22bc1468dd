"""nginx before real servers: what a reverse proxy says in the name of a server, and what it does to connections."""

import asyncio
from urllib.parse import urlsplit

import pytest

import buoy
from buoy.outcome import Outcome
from tests.support.counting_server import CountingServer
from tests.support.eventually import until
from tests.support.faults import message
from tests.support.nginx import Nginx
from tests.support.peer import Peer, answer
from tests.support.servers import bound
from tests.support.telemetry import Observed

E = buoy.ErrorType


class Site(buoy.Provider):
    """Whatever is behind the proxy."""

    name = "site"
    retry = buoy.Retry(base=0, throttled_base=0, budget=None)
    breaker = None

    load = buoy.get("/{name}")
    add = buoy.post("/{name}")
    add_once = buoy.post("/{name}", key_header="Idempotency-Key")


def behind(proxy: Nginx, way: str, server: str) -> str:
    """Return the base URL of ``server`` behind the proxy; ``way`` says what the proxy does."""
    return f"{proxy.url}/{way}/{urlsplit(server).port}"


def path(base: str, name: str) -> str:
    """Return the path of what is called below a base URL."""
    return f"{urlsplit(base).path}/{name}"


# What is behind it, seen through it.


async def test_an_answer_is_unzipped_and_its_connection_used_again(
    proxy: Nginx, datasette: str, observed: Observed
) -> None:
    """Five answers come compressed, over one connection, and each is what the server behind it said."""
    async with Site(base_url=behind(proxy, "to", datasette)) as site:
        results = [await site.get("/shop/products.json", _shape="array", _size=size) or [] for size in range(1, 6)]
        whole = await site.request("GET", "/shop/products.json", _shape="array")
        again = await site.request("GET", "/shop/products.json", _shape="array")
    assert [len(rows) for rows in results] == [1, 2, 3, 4, 5]
    assert (len(whole.value), whole.headers["Content-Encoding"], whole.meta.sends) == (20, "gzip", 1)
    assert whole.headers["X-Connection"] == again.headers["X-Connection"]
    assert len(observed.attempts()) == 7


async def test_what_is_sent_arrives_whole_behind_it(proxy: Nginx) -> None:
    """Body, key and trace context reach the server behind it as they were sent."""
    async with Peer() as peer, Site(base_url=behind(proxy, "to", peer.url)) as site:
        await site.add_once(name="x", json={"text": "grün"}, idempotency_key="order-1")
    (heard,) = peer.heard
    assert (heard.line, heard.body) == ("POST /x HTTP/1.1", b'{"text":"gr\\u00fcn"}')
    assert heard.headers["idempotency-key"] == "order-1"


async def test_a_connection_that_is_closed_after_three_requests_costs_nothing(proxy: Nginx) -> None:
    """The proxy announces that it closes: the next call takes another connection, and nothing is sent twice."""
    async with Peer() as peer, Site(base_url=behind(proxy, "thrice", peer.url)) as site:
        results = [await site.load.call(name="x") for _ in range(9)]
    assert {result.meta.sends for result in results} == {1}
    assert len({result.headers["X-Connection"] for result in results}) == 3
    assert len(peer.heard) == 9


# What it says in the name of a server that says nothing.

UNREACHED = {
    "down": (502, E.BAD_GATEWAY),
    "silent": (504, E.GATEWAY_TIMEOUT),
}


@pytest.mark.parametrize(("operation", "sends"), [("load", 3), ("add", 1), ("add_once", 3)])
@pytest.mark.parametrize("server", ["down", "silent"])
async def test_a_server_that_is_not_there_is_the_proxys_word(
    proxy: Nginx, server: str, operation: str, sends: int
) -> None:
    """502 and 504 leave open whether it happened: only what may be repeated is, with one key for all tries."""
    name = f"{server}-{operation}"
    with bound() as held:
        port = held.getsockname()[1]
        if server == "silent":
            held.listen()  # the kernel takes the connection and the request, and nobody answers
        base = f"{proxy.url}/impatient/{port}"
        async with Site(base_url=base) as site:
            with pytest.raises(buoy.HttpError) as caught:
                await getattr(site, operation)(name=name)
        error = caught.value
        await until(lambda: len(proxy.said(path(base, name))) == sends)
    status, error_type = UNREACHED[server]
    assert (error.status, error.error_type, error.outcome) == (status, error_type, Outcome.UNKNOWN)
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends) == (sends, sends)
    method = "GET" if operation == "load" else "POST"
    lines = proxy.said(path(base, name))
    assert len(set(lines)) == 1
    assert lines[0].startswith(f"{method} {status} key=")
    assert lines[0].endswith("key=-") is (operation != "add_once")


async def test_a_server_that_comes_back_is_reached_by_the_next_try(proxy: Nginx) -> None:
    """After a 502 the same call is answered as soon as the server is there again."""
    async with CountingServer(lambda _: message(200, b"1", {})) as server:
        await server.refuse()

        signed: list[str] = []

        async def come_back(outgoing: buoy.Outgoing) -> None:
            """Listen again before the second try: it is signed when the first has failed."""
            if signed:
                await server.listen()
            signed.append(outgoing.method)

        async with Site(base_url=behind(proxy, "to", server.url), auth=come_back) as site:
            result = await site.load.call(name="x")
    assert (result.value, result.meta.attempts, server.requests) == (1, 2, 1)


BROKEN = {
    "half an answer": (answer(200, b'{"half":', length=1000), buoy.NetworkError, "truncated"),
    "no HTTP": (
        b"no HTTP at all\r\n\r\ncut",
        buoy.NetworkError,
        "broken_answer",
    ),  # taken for HTTP/0.9: passed on as it is
    "a header too large": (answer(200, X_Long="x" * 20_000), buoy.HttpError, None),  # this one becomes a 502
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_what_is_broken_behind_it_is_never_half_a_result(proxy: Nginx, fault: str) -> None:
    """Whatever the proxy makes of a broken answer, a safe call is sent again, and of a write nobody knows."""
    said, kind, reason = BROKEN[fault]
    async with Peer(said, said) as peer, Site(base_url=behind(proxy, "to", peer.url)) as site:
        result = await site.load.call(name="x")
        peer.script.append(said)
        with pytest.raises(buoy.Failed) as caught:
            await site.add(name="x")
    assert (result.value, result.meta.attempts, result.meta.sends) == ({}, 3, 3)
    assert caught.value.outcome == Outcome.UNKNOWN
    cause = caught.value.cause if isinstance(caught.value, buoy.OutcomeUnknown) else caught.value
    assert cause is not None
    assert (type(cause), cause.reason) == (kind, reason)


async def test_a_connection_closed_without_an_answer_leaves_it_open(proxy: Nginx) -> None:
    """``return 444`` hangs up: a safe call is tried three times, and of a write nobody knows."""
    async with Site(base_url=proxy.url) as site:
        with pytest.raises(buoy.NetworkError) as caught:
            await site.load(name="silent")
        with pytest.raises(buoy.OutcomeUnknown) as unknown:
            await site.add(name="silent", json={})
    assert (caught.value.error_type, caught.value.reason) == (E.NETWORK_ERROR, "disconnected")
    assert caught.value.meta is not None
    assert unknown.value.meta is not None
    assert (caught.value.meta.attempts, unknown.value.meta.sends) == (3, 1)


# What it refuses.


async def test_a_429_that_says_when_pauses_the_provider(proxy: Nginx, datasette: str, observed: Observed) -> None:
    """After 429 with Retry-After no call is sent before its time: the next is refused here, and the proxy sees none."""
    base = behind(proxy, "429-after-60", datasette)
    async with Site(base_url=base) as site:
        assert await site.get("/shop/products/1.json", _shape="array")
        with pytest.raises(buoy.HttpError) as caught:
            await site.get("/shop/products/1.json", _shape="array")
        with pytest.raises(buoy.RateLimitedLocally) as refused:
            await site.load(name="x")
        paused = site.snapshot().limiter.paused_for
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (429, E.RATE_LIMITED, Outcome.REJECTED)
    assert error.retry_after == 60
    assert 0 < paused <= 60
    assert refused.value.retry_after is not None
    assert 0 < refused.value.retry_after <= 60
    assert len(observed.attempts()) == 2
    assert proxy.said(path(base, "x")) == []


@pytest.mark.parametrize("operation", ["load", "add"])
@pytest.mark.parametrize(
    ("status", "error_type", "outcome"),
    [(429, E.RATE_LIMITED, Outcome.REJECTED), (503, E.SERVICE_UNAVAILABLE, Outcome.UNKNOWN)],
)
async def test_limits_that_do_not_say_when(
    proxy: Nginx, status: int, error_type: buoy.ErrorType, outcome: Outcome, operation: str
) -> None:
    """Refused by 429 it did not happen, and also a write is sent again; nginx's own 503 leaves that open."""
    async with Peer() as peer, Site(base_url=behind(proxy, str(status), peer.url)) as site:
        assert await getattr(site, operation)(name=operation) == {}
        with pytest.raises(buoy.HttpError) as caught:
            await getattr(site, operation)(name=operation)
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (status, error_type, outcome)
    assert error.meta is not None
    assert error.meta.attempts == (1 if (status, operation) == (503, "add") else 3)
    assert len(peer.heard) == 1


async def test_what_is_too_large_is_the_callers_error(proxy: Nginx, observed: Observed) -> None:
    """An upload beyond the limit, a header and a target that are too long: each has its status, and is sent once."""
    async with Peer() as peer, Site(base_url=behind(proxy, "to", peer.url)) as site:
        found = []
        for attempt in (
            site.add(name="x", data=b"x" * 5_000_000),
            site.load(name="x", headers={"X-Long": "x" * 40_000}),
            site.load(name="x" * 40_000),
        ):
            with pytest.raises(buoy.HttpError) as caught:
                await attempt
            found.append((caught.value.status, caught.value.error_type, caught.value.outcome))
        assert await site.load(name="x") == {}
    expected = [
        (413, E.CLIENT_ERROR, Outcome.REJECTED),
        (400, E.BAD_REQUEST, Outcome.REJECTED),
        (414, E.CLIENT_ERROR, Outcome.REJECTED),
    ]
    assert expected == found
    assert observed.value("buoy.client.calls", result="caller_error") == 3
    assert (len(observed.attempts()), len(peer.heard)) == (4, 1)


# TLS.


async def test_tls_is_verified(proxy: Nginx, datasette: str) -> None:
    """The proxy is believed where its authority is trusted, and else nothing is sent."""
    port, trusting = urlsplit(datasette).port, buoy.Connections(ca=proxy.files.ca)
    async with Site(base_url=f"{proxy.tls_url}/to/{port}", connections=trusting) as site:
        assert await site.get("/shop/products/1.json", _shape="array")
    async with Site(base_url=f"{proxy.tls_url}/to/{port}") as site:
        with pytest.raises(buoy.NetworkError) as caught:
            await site.get("/shop/products/1.json", _shape="array")
    error = caught.value
    assert (error.error_type, error.reason, error.outcome) == (E.NETWORK_ERROR, "certificate", Outcome.NOT_SENT)
    assert error.meta is not None
    assert error.meta.attempts == 1


async def test_a_client_certificate_is_asked_for_by_a_400(proxy: Nginx) -> None:
    """Nginx lets the handshake pass and answers 400 to who has no certificate: that is the caller's error."""
    files = proxy.files
    known = buoy.Connections(ca=files.ca, certificate=files.certificate, key=files.key)
    async with Site(base_url=proxy.tls_url, connections=known) as site:
        assert await site.load(name="members") == "let in"
    async with Site(base_url=proxy.tls_url, connections=buoy.Connections(ca=files.ca)) as site:
        with pytest.raises(buoy.HttpError) as caught:
            await site.load(name="members")
    assert (caught.value.status, caught.value.error_type) == (400, E.BAD_REQUEST)


async def test_the_wrong_scheme_for_a_port(proxy: Nginx) -> None:
    """Clear text to the TLS port is answered, by 400; TLS to the other is no handshake, and nothing is sent."""
    async with Site(base_url=proxy.tls_url.replace("https:", "http:")) as site:
        with pytest.raises(buoy.HttpError) as answered:
            await site.load(name="x")
    async with Site("other", base_url=proxy.url.replace("http:", "https:")) as site:
        with pytest.raises(buoy.NetworkError) as failed:
            await site.load(name="x")
    assert (answered.value.status, answered.value.error_type) == (400, E.BAD_REQUEST)
    assert (failed.value.reason, failed.value.outcome) == ("tls", Outcome.NOT_SENT)


async def test_the_slash_that_nginx_adds_is_followed(proxy: Nginx, observed: Observed) -> None:
    """The 301 to a folder's own name is followed within one try, or is the answer where none shall be."""
    async with Site(base_url=proxy.url) as site:
        result = await site.load.call(name="folder")
    assert (result.value, result.meta.attempts, result.meta.sends) == ("the folder", 1, 2)
    assert len(observed.attempts()) == 2
    async with Site(base_url=proxy.url, redirects=0) as site:
        result = await site.load.call(name="folder")
    assert (result.status, result.headers["Location"], result.meta.sends) == (301, f"{proxy.url}/folder/", 1)


# Restarts, with connections in the pool. The proxy is everybody's: these stand last.


async def many(site: Site, number: int) -> list[buoy.HttpResult[object]]:
    """Return the results of as many safe calls at once."""
    return list(await asyncio.gather(*(site.load.call(name="x") for _ in range(number))))


async def pooled(site: Site, server: CountingServer, number: int) -> None:
    """Leave as many connections in the pool: all calls are in flight at once before any is answered."""
    server.hold()
    calls = asyncio.ensure_future(many(site, number))
    await until(lambda: server.at_once == number)
    server.release()
    assert len({result.headers["X-Connection"] for result in await calls}) == number


@pytest.mark.parametrize("seen", [True, False], ids=["closing was seen", "closing comes with the next call"])
async def test_a_restart_costs_no_safe_call(proxy: Nginx, seen: bool) -> None:  # noqa: FBT001  # a parameter
    """Connections of before the restart are in the pool: no safe call fails, whether or not they are known dead."""
    async with (
        CountingServer(lambda _: message(200, b"1", {})) as server,
        Site(base_url=behind(proxy, "to", server.url)) as site,
    ):
        await pooled(site, server, 8)
        if seen:
            await asyncio.to_thread(proxy.server.restart)
        else:
            proxy.server.restart()  # the loop stands still, and reads of no end before the next calls are written
        results = await many(site, 16)
    assert [result.value for result in results] == [1] * 16
    assert seen is False or {result.meta.sends for result in results} == {1}


async def test_a_proxy_that_is_away_is_back_after_the_next_try(proxy: Nginx) -> None:
    """While it is away connections are refused, nothing is sent, and a write is tried again as well."""
    async with Peer() as peer, Site(base_url=behind(proxy, "to", peer.url)) as site:
        await site.load(name="x")
        await asyncio.to_thread(proxy.server.stop)  # so that the loop sees the pooled connection closed
        try:
            with pytest.raises(buoy.NetworkError) as caught:
                await site.add(name="x")
        finally:
            proxy.server.start()
        assert await site.add(name="x") == {}
    error = caught.value
    assert (error.reason, error.outcome) == ("refused", Outcome.NOT_SENT)
    assert error.meta is not None
    assert error.meta.attempts == 3
    assert len(peer.heard) == 2


async def test_a_reload_costs_no_safe_call(proxy: Nginx) -> None:
    """New workers take over while calls go on, and the old ones close their connections: no safe call fails."""
    async with CountingServer(lambda _: message(200, b"1", {})) as server:
        async with Site(base_url=behind(proxy, "to", server.url)) as site:
            await pooled(site, server, 8)
            workers, calls = proxy.workers(), 0
            proxy.reload()
            async with asyncio.timeout(30):
                while proxy.workers() == workers or calls < 100:
                    calls += len(await many(site, 4))
            calls += len(await many(site, 16))
        assert calls >= 116
        assert server.requests >= calls
