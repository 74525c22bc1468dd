"""Connections as a caller sees them: TLS, client certificates, proxies, local sockets, pools, handed-in sessions."""

import asyncio
import gzip
import itertools
import logging
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import buoy
from tests.integration.http.shop import AT_ONCE, Shop
from tests.support import certificates
from tests.support.eventually import until
from tests.support.faults import BOUND, FaultyServer, answer, close_read
from tests.support.forward_proxy import ForwardProxy
from tests.support.telemetry import Observed

_NUMBERS = itertools.count()  # one test may call several places

CANARY = "c4n4ry"
CREDENTIALS = "Basic YzRuNHJ5OmM0bjRyeQ=="  # the canary as user and as password


@pytest.fixture
def files(tmp_path: Path) -> certificates.Files:
    """PEM files of a client and of the authority that it trusts."""
    return certificates.written(tmp_path)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the environment of this machine says of proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def shop(url: str, connections: buoy.Connections | None = None, **options: Any) -> Shop:
    """Return a provider that tries once, so that an error tells of one connection."""
    said = {"retry": None, "breaker": None, **options}
    return Shop(f"shop_{next(_NUMBERS)}", base_url=url, connections=connections or buoy.Connections(), **said)


async def failed(provider: Shop) -> tuple[str, str, str | None]:
    """Call a provider that cannot be reached; return error type, outcome and reason."""
    async with provider:
        with pytest.raises(buoy.NetworkError) as caught:
            await provider.read(id=1)
    return str(caught.value.error_type), str(caught.value.outcome), caught.value.reason


# TLS.


async def test_an_authority_of_ones_own_is_trusted(files: certificates.Files) -> None:
    """With ca= a server of that authority is called; without it, it is nobody's."""
    async with FaultyServer(tls=certificates.good()) as server:
        async with shop(server.url, buoy.Connections(ca=files.ca)) as provider:
            assert await provider.read(id=1) == {}
        assert await failed(shop(server.url)) == ("network_error", "not_sent", "certificate")


@pytest.mark.parametrize("serving", [certificates.elsewhere, certificates.expired, certificates.self_signed])
async def test_a_certificate_that_is_not_right_is_refused(files: certificates.Files, serving: Any) -> None:
    """A wrong host name, an expired certificate and one that nobody vouches for are refused, also with ca=."""
    async with FaultyServer(tls=serving()) as server:
        told = await failed(shop(server.url, buoy.Connections(ca=files.ca)))
    assert told == ("network_error", "not_sent", "certificate")
    assert server.received == []


async def test_a_context_of_ones_own_is_used() -> None:
    """With ssl= the context is the caller's."""
    said = buoy.Connections(ssl=certificates.trusting())
    async with FaultyServer(tls=certificates.good()) as server, shop(server.url, said) as provider:
        assert await provider.read(id=1) == {}


async def test_a_client_shows_its_certificate(files: certificates.Files) -> None:
    """A server that asks for a certificate gets it, from one file or from two."""
    async with FaultyServer(tls=certificates.asking()) as server:
        for said in (
            buoy.Connections(ca=files.ca, certificate=files.both),
            buoy.Connections(ca=files.ca, certificate=files.certificate, key=files.key),
        ):
            async with shop(server.url, said) as provider:
                assert await provider.read(id=1) == {}


@contextmanager
def asking(version: ssl.TLSVersion) -> Iterator[str]:
    """Serve one connection that needs a client certificate, and close it in order when there is none; yield its URL.

    asyncio's servers do not send the alert that says why.
    """
    context = certificates.asking()
    context.maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(BOUND)

        def serve() -> None:
            taken, _ = listening.accept()
            taken.settimeout(BOUND)
            secured = context.wrap_socket(taken, server_side=True, do_handshake_on_connect=False)
            with pytest.raises(ssl.SSLError):
                secured.do_handshake()
            with socket.socket(fileno=secured.detach()) as bare, suppress(OSError):  # the client may have left first
                bare.shutdown(socket.SHUT_WR)
                while bare.recv(2**16):
                    pass

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            serving.join()


@pytest.mark.parametrize(
    ("version", "reason"), [(ssl.TLSVersion.TLSv1_2, "tls"), (ssl.TLSVersion.TLSv1_3, "client_certificate")]
)
async def test_a_missing_client_certificate_is_told(
    files: certificates.Files, version: ssl.TLSVersion, reason: str
) -> None:
    """Without the certificate that a server asks for nothing was sent, also where it says so after the handshake."""
    with asking(version) as url:
        async with shop(url, buoy.Connections(ca=files.ca)) as provider:
            with pytest.raises(buoy.NetworkError) as caught:
                await provider.make()  # not idempotent: aiohttp does not send it again by itself
    assert (caught.value.outcome, caught.value.reason) == (buoy.Outcome.NOT_SENT, reason)


# Names.


async def test_a_name_that_does_not_exist_is_told() -> None:
    """A host name that cannot be resolved is told as that, and nothing was sent."""
    assert await failed(shop("http://shop.invalid")) == ("network_error", "not_sent", "dns")


# Proxies.


async def test_a_proxy_is_gone_through(files: certificates.Files) -> None:
    """In clear a proxy is asked for the URL, for https it is asked for a tunnel; it learns nothing else of a tunnel."""
    async with ForwardProxy() as between, FaultyServer() as plain, FaultyServer(tls=certificates.good()) as secret:
        said = buoy.Connections(ca=files.ca, proxy=between.url)
        for server in (plain, secret):
            async with shop(server.url, said, headers={"X-Key": CANARY}) as provider:
                assert await provider.read(id=1) == {}
                assert await provider.read(id=2) == {}
    tunnel = f"127.0.0.1:{secret.port}"
    first, second = f"{plain.url}/items/1", f"{plain.url}/items/2"
    assert [(asked.method, asked.target) for asked in between.asked] == [
        ("GET", first),
        ("GET", second),
        ("CONNECT", tunnel),
    ]
    assert CANARY not in str(between.asked[-1])
    assert [request.headers["X-Key"] for request in secret.received] == [CANARY, CANARY]
    assert between.connections == 2


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
async def test_a_proxys_credentials_go_to_it_alone(
    files: certificates.Files, observed: Observed, caplog: pytest.LogCaptureFixture, *, secure: bool
) -> None:
    """A proxy gets the credentials of its URL; no provider, no span, no metric, no log and no repr does."""
    caplog.set_level(logging.DEBUG)
    tls = certificates.good() if secure else None
    async with ForwardProxy(credentials=CREDENTIALS) as between, FaultyServer(tls=tls) as server:
        address = f"http://{CANARY}:{CANARY}@127.0.0.1:{between.port}"
        said = buoy.Connections(ca=files.ca, proxy=address)
        async with shop(server.url, said) as provider:
            answers = [await provider.read.call(id=number) for number in (1, 2)]
    assert [asked.headers["Proxy-Authorization"] for asked in between.asked] == [CREDENTIALS] * len(between.asked)
    _never_shown(
        server.received,
        answers,
        said,
        provider,
        [span.to_json() for span in observed.spans()],
        observed.collected(),
        caplog.text,
    )


def _never_shown(*things: object) -> None:
    shown = repr(things)
    for secret in (CANARY, CREDENTIALS, CREDENTIALS.removeprefix("Basic ")):
        assert secret not in shown


WORSE: list[dict[str, Any]] = [{"refuses": 407}, {"refuses": 403}, {"refuses": 502}, {"refuses": 0}, {"garbles": True}]


@pytest.mark.parametrize("does", WORSE, ids=str)
async def test_a_proxy_that_gives_no_tunnel_is_told(
    files: certificates.Files, observed: Observed, does: dict[str, Any]
) -> None:
    """A proxy that refuses, hangs up or garbles instead of a tunnel is the reason, in one send, without secrets."""
    async with ForwardProxy(**does) as between, FaultyServer(tls=certificates.good()) as server:
        address = f"http://{CANARY}:{CANARY}@127.0.0.1:{between.port}"
        async with shop(server.url, buoy.Connections(ca=files.ca, proxy=address)) as provider:
            with pytest.raises(buoy.NetworkError) as caught:
                await provider.read(id=1)
    error = caught.value
    assert (str(error.outcome), error.reason) == ("not_sent", "proxy")
    assert (len(between.asked), server.connections, len(observed.attempts())) == (1, [], 1)
    _never_shown(
        error, "".join(traceback.format_exception(error)), vars(error), [span.to_json() for span in observed.spans()]
    )


async def test_a_proxy_that_wants_other_credentials_is_not_asked_again(files: certificates.Files) -> None:
    """What a proxy will say again is not retried; what may pass is, also for what is not safe to repeat."""
    for status, asked in ((407, 1), (403, 1), (429, 3), (502, 3), (0, 3)):
        async with ForwardProxy(refuses=status) as between, FaultyServer(tls=certificates.good()) as server:
            said = buoy.Connections(ca=files.ca, proxy=between.url)
            async with shop(server.url, said, retry=AT_ONCE) as provider:
                with pytest.raises(buoy.NetworkError):
                    await provider.make()
        assert asked == len(between.asked), status


async def test_a_proxy_that_refuses_in_clear_is_told() -> None:
    """A 407 to a request in clear is the proxy's: it was not sent on, and the provider did not answer."""
    async with ForwardProxy(credentials=CREDENTIALS) as between, FaultyServer() as server:
        told = await failed(shop(server.url, buoy.Connections(proxy=between.url)))
    assert (told, server.received) == (("network_error", "not_sent", "proxy"), [])


async def test_what_left_in_clear_may_have_got_through() -> None:
    """A proxy that took a request in clear and hung up may have sent it on: whether it happened is not known."""
    async with ForwardProxy(refuses=0) as between, shop("http://a.example", _through(between)) as provider:
        with pytest.raises(buoy.OutcomeUnknown) as caught:
            await provider.make()
    assert (str(caught.value.outcome), caught.value.reason) == ("unknown", "disconnected")


def _through(between: ForwardProxy) -> buoy.Connections:
    return buoy.Connections(proxy=between.url)


@pytest.mark.parametrize("address", ["http://proxy.invalid:3128", "http://127.0.0.1:9"], ids=["name", "port"])
@pytest.mark.parametrize("url", ["http://shop.example", "https://shop.example"])
async def test_a_proxy_that_cannot_be_reached_is_told(url: str, address: str) -> None:
    """A proxy without an address, or that nobody runs, is told as the proxy, not as the provider's name."""
    assert await failed(shop(url, buoy.Connections(proxy=address))) == ("network_error", "not_sent", "proxy")


async def test_what_is_wrong_at_the_end_of_a_tunnel_is_not_the_proxys(files: certificates.Files) -> None:
    """TLS that fails within the tunnel is told as TLS, and a wrong certificate as that."""
    async with ForwardProxy() as between, FaultyServer(tls=certificates.elsewhere()) as server:
        said = buoy.Connections(ca=files.ca, proxy=between.url)
        assert await failed(shop(server.url, said)) == ("network_error", "not_sent", "certificate")
    async with ForwardProxy(hangs_up_in_tunnel=True) as between, FaultyServer(tls=certificates.good()) as server:
        said = buoy.Connections(ca=files.ca, proxy=between.url)
        assert await failed(shop(server.url, said)) == ("network_error", "not_sent", "tls")


async def test_the_environments_proxy_is_gone_through_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY counts only where it was asked for, and not for what NO_PROXY names."""
    async with ForwardProxy() as between, FaultyServer() as server:
        monkeypatch.setenv("HTTP_PROXY", between.url)
        monkeypatch.setenv("http_proxy", between.url)
        async with shop(server.url) as provider:
            await provider.read(id=1)
        assert between.asked == []
        asking = buoy.Connections(proxy="environment")
        async with shop(server.url, asking) as provider:
            await provider.read(id=2)
        assert [asked.target for asked in between.asked] == [f"{server.url}/items/2"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with shop(server.url, asking) as provider:
            await provider.read(id=3)
        assert [request.target for request in server.received] == ["/items/1", "/items/2", "/items/3"]
        assert len(between.asked) == 1


# Local sockets.


async def test_a_local_socket_is_called(tmp_path: Path) -> None:
    """A unix:// base URL is called like any other; a socket that is not there is a connection that was not made."""
    place = tmp_path / "shop.sock"
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n[7]")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, place)
    async with shop(f"unix://{place}") as provider:
        assert await provider.read(id=1) == [7]
    server.close()
    assert heard[0].startswith(b"GET /items/1 HTTP/1.1\r\n")
    error_type, outcome, _ = await failed(shop(f"unix://{tmp_path / 'nobody.sock'}"))
    assert (error_type, outcome) == ("network_error", "not_sent")


# Pools.


async def test_a_connection_is_used_again() -> None:
    """Calls one after the other share a connection; with keep_alive=0 each makes its own."""
    for said, connections in ((buoy.Connections(), 1), (buoy.Connections(keep_alive=0), 3)):
        async with FaultyServer() as server, shop(server.url, said) as provider:
            for number in range(3):
                await provider.read(id=number)
        assert connections == len(server.connections)


async def test_per_host_limits_connections() -> None:
    """Of many calls at once no more than per_host have a connection, and all are answered."""
    for said, connections in ((buoy.Connections(per_host=2), 2), (buoy.Connections(), 6)):
        # No answer before as many are connected as there may be: what does not come at once does not pass.
        gate = asyncio.Event()

        async def held(peer: Any, gate: asyncio.Event = gate) -> None:
            await peer.first()
            await gate.wait()

        async with FaultyServer(*[[held, answer()]] * connections) as server:
            async with shop(server.url, said) as provider:
                calls = [asyncio.create_task(_read(provider, number)) for number in range(6)]
                await until(lambda: server.arrived == connections)  # noqa: B023  # called here and now
                gate.set()
                await asyncio.gather(*calls)
            assert (connections, 6) == (len(server.connections), len(server.received))


async def _read(provider: Shop, number: int) -> object:
    return await provider.read(id=number)


async def test_a_server_that_was_restarted_is_found_again() -> None:
    """After a restart of the server every pooled connection is dead, and no safe call fails of it."""
    server = FaultyServer()
    async with server:
        pass  # it has its port now
    async with shop(server.url) as provider:
        for _ in range(2):
            async with server:
                await asyncio.gather(*[_read(provider, number) for number in range(5)])
    assert len(server.received) == 10


async def test_a_pool_that_is_cut_while_it_is_used_heals(observed: Observed) -> None:
    """Connections that the server closes as a request comes are left behind, and the safe calls on them succeed."""
    async with FaultyServer(*[[answer(), close_read]] * 4) as server, shop(server.url, retry=AT_ONCE) as provider:
        await asyncio.gather(*[_read(provider, number) for number in range(4)])
        await asyncio.gather(*[_read(provider, number) for number in range(4)])
    assert observed.value("buoy.client.calls", result="success") == 8


# Sessions that were handed in.


async def test_a_handed_in_session_is_called_through() -> None:
    """Its headers, cookies and connector are used; its settings do not come between; it stays open, and works."""
    packed = gzip.compress(b'{"id": 1}')
    jar = aiohttp.CookieJar(unsafe=True)

    async def never(response: aiohttp.ClientResponse) -> None:
        raise AssertionError(response.status)

    async with FaultyServer([answer(200, packed, Content_Encoding="gzip"), answer(404)]) as server:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(
            "http://elsewhere.example/",
            connector=connector,
            headers={"X-Key": "theirs"},
            cookie_jar=jar,
            cookies={"sid": "1"},
            raise_for_status=never,
            auto_decompress=True,
            timeout=aiohttp.ClientTimeout(total=1e-6),
        ) as session:
            async with shop(server.url, session=session) as provider:
                assert await provider.read(id=1) == {"id": 1}
                with pytest.raises(buoy.HttpError) as caught:
                    await provider.read(id=2)
                assert caught.value.status == 404
            assert not session.closed
            unhurried = aiohttp.ClientTimeout()
            async with session.get(f"{server.url}/theirs", timeout=unhurried, raise_for_status=False) as response:
                assert response.status == 200
    assert len(server.connections) == 1
    assert [(request.headers["X-Key"], request.headers["Cookie"]) for request in server.received] == [
        ("theirs", "sid=1")
    ] * 3


async def test_a_handed_in_sessions_secrets_stay_at_their_origin() -> None:
    """A redirect to another origin gets neither the headers nor the cookies of a session that was handed in."""
    async with (
        FaultyServer() as other,
        FaultyServer([answer(302, Location=f"{other.url}/there")]) as server,
        aiohttp.ClientSession(headers={"X-Key": CANARY}, cookies={"sid": CANARY}) as session,
        shop(server.url, session=session) as provider,
    ):
        assert await provider.read(id=1) == {}
    assert [request.headers["X-Key"] for request in server.received] == [CANARY]
    assert len(other.received) == 1
    assert CANARY not in str(other.received)


async def test_a_session_that_cannot_be_used_is_told_on_entering() -> None:
    """A closed session ends the entering, and the provider can be entered again with another."""
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(RuntimeError, match="session= is closed"):
        async with shop("http://127.0.0.1:9", session=session):
            pass
