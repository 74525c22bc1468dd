"""What may be said of connections, which proxy a request goes through, and whose sessions a pool opens and closes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from buoy.errors import ConfigurationError
from buoy.http import proxy
from buoy.http.pool import Connections, Pool
from buoy.http.sizes import Sizes
from tests.support import certificates

CANARY = "c4n4ry"
OURS = {"User-Agent": "buoy/test", "Accept-Encoding": "gzip, deflate"}  # what we undo, and no more
SAFE = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~", min_size=1, max_size=20)


@pytest.fixture
def files(tmp_path: Path) -> certificates.Files:
    """PEM files of a client and of the authority that it trusts."""
    return certificates.written(tmp_path)


@asynccontextmanager
async def opened(
    connections: Connections | None = None,
    *,
    socket: str | None = None,
    session: aiohttp.ClientSession | None = None,
) -> AsyncIterator[Pool]:
    """Open a pool, and close it."""
    pool = Pool(connections or Connections(), agent="buoy/test", sizes=Sizes(), unix_socket=socket, given=session)
    try:
        yield pool
    finally:
        await pool.close()


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"per_host": 0}, "per_host=0"),
    ({"per_host": True}, "per_host=True"),
    ({"per_host": 2.5}, "per_host=2.5"),
    ({"keep_alive": -1}, "keep_alive=-1"),
    ({"keep_alive": float("inf")}, "keep_alive=inf"),
    ({"keep_alive": None}, "keep_alive=None"),
    ({"dns_cache": "10"}, "dns_cache='10'"),
    ({"ca": 7}, "ca=7"),
    ({"ca": "no-such-file.pem"}, "ca='no-such-file.pem'"),
    ({"certificate": "no-such-file.pem"}, "certificate='no-such-file.pem'"),
    ({"key": "key.pem"}, "certificate= is not given"),
    ({"ssl": True}, "ssl=True"),
    ({"ssl": False}, "ssl=False"),
    ({"ssl": certificates.trusting(), "ca": "ca.pem"}, "ca= would not be used"),
    ({"ssl": certificates.trusting(), "certificate": "c.pem", "key": "k.pem"}, "certificate=, key= would not be used"),
    ({"ssl": _unverified()}, "CERT_NONE"),
    ({"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, "CERT_NONE"),
    ({"proxy": 7}, "proxy must be"),
    ({"proxy": "proxy.example:3128"}, "proxy must be"),
    ({"proxy": "socks5://proxy.example"}, "proxy must be"),
    ({"proxy": "http://"}, "proxy must be"),
    ({"proxy": "http://proxy.example:0"}, "proxy must be"),
    ({"proxy": "http://proxy.example:99999"}, "proxy must be"),
    ({"proxy": "http://proxy.example/path"}, "proxy must be"),
    ({"proxy": "http://proxy.example?query"}, "proxy must be"),
    ({"proxy": "http://proxy.example#fragment"}, "proxy must be"),
    ({"proxy": "http://proxy.example\r\nX: y"}, "proxy must be"),
    ({"proxy": ""}, "proxy must be"),
]


@pytest.mark.parametrize(("said", "complaint"), WRONG, ids=lambda value: str(value)[:60])
def test_what_cannot_work_is_refused(said: dict[str, Any], complaint: str) -> None:
    """Options of connections that cannot work are refused when they are said, by name and with what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        Connections(**said)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("Connections: ")


def test_a_file_that_is_no_pem_is_refused(tmp_path: Path, files: certificates.Files) -> None:
    """A file without what it should have is refused when it is named, not by the first call."""
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing", encoding="utf-8")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"ca": nothing}, "ca"),
        ({"certificate": nothing}, "certificate"),
        ({"certificate": files.certificate}, "certificate"),  # and its key is nowhere
        ({"certificate": files.certificate, "key": nothing}, "certificate"),
    ]
    for said, option in wrong:
        with pytest.raises(ConfigurationError, match=rf"Connections: {option}=.*PEM file"):
            Connections(**said)


def test_an_encrypted_key_does_not_ask_on_the_terminal(tmp_path: Path, files: certificates.Files) -> None:
    """An encrypted key is refused with words, where OpenSSL would wait for somebody to type."""
    secret = tmp_path / "secret.pem"
    pair = certificates.stranger()
    locked = BestAvailableEncryption(b"password")
    secret.write_bytes(pair.certificate_pem + pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(ConfigurationError, match="is encrypted"):
        Connections(certificate=secret)
    with pytest.raises(ConfigurationError, match="is encrypted"):
        Connections(certificate=files.certificate, key=secret)


def test_what_is_not_asked_for_is_aiohttps() -> None:
    """Without options there is no limit, no file, no proxy and no context of ours."""
    plain = Connections()
    assert (
        plain.per_host,
        plain.keep_alive,
        plain.dns_cache,
        plain.context,
        plain.fixed_proxy,
    ) == (None, 15.0, 10.0, None, None)
    assert repr(plain) == "Connections()"


def test_what_is_read_verifies(files: certificates.Files) -> None:
    """A context made of files verifies certificate and name; one of the caller's is taken as it is."""
    for said in ({"ca": files.ca}, {"certificate": files.both}, {"ca": str(files.ca), "certificate": files.both}):
        context = Connections(**said).context
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [cert["subject"] for cert in _trusted(Connections(ca=files.ca))] == [
        ((("commonName", "Authority of the tests"),),)
    ]
    own = certificates.trusting()
    assert Connections(ssl=own).context is own


def _trusted(connections: Connections) -> list[dict[str, Any]]:
    assert connections.context is not None
    found: list[dict[str, Any]] = connections.context.get_ca_certs()
    return found


@given(user=SAFE, password=SAFE)
def test_a_repr_shows_no_credentials(user: str, password: str) -> None:
    """No repr of connections, of a proxy or of what is told to aiohttp's connections shows who we are to the proxy."""
    said = Connections(proxy=f"http://{CANARY}{user}:{CANARY}{password}@proxy.example:3128", per_host=3)
    assert repr(said) == "Connections(per_host=3, proxy='http://proxy.example:3128')"
    assert CANARY not in repr(said.fixed_proxy)
    assert CANARY not in str(URL(said.fixed_proxy.url if said.fixed_proxy else ""))


@given(text=st.text(max_size=40), scheme=st.sampled_from(["", "http://", "https://", "socks5://", "http:"]))
def test_any_text_is_a_proxy_or_refused(text: str, scheme: str) -> None:
    """Whatever is given as a proxy is one, or a ConfigurationError that does not repeat it."""
    given_text = f"{scheme}{CANARY}:{CANARY}@{text}"
    try:
        found = proxy.parse("Connections", "proxy", given_text)
    except ConfigurationError as error:
        shown = f"{error} {error.__cause__}"
    else:
        shown = f"{found!r} {found.url}"
        assert found.url == found.url.origin()
    assert CANARY not in shown


PROXIES: list[tuple[str, str, str | None]] = [
    ("http://proxy.example:3128", "http://proxy.example:3128", None),
    ("https://proxy.example", "https://proxy.example", None),
    ("http://[::1]:3128/", "http://[::1]:3128", None),
    ("http://user:pass@proxy.example:1", "http://proxy.example:1", "Basic dXNlcjpwYXNz"),
    ("http://user@proxy.example:1", "http://proxy.example:1", "Basic dXNlcjo="),
    ("http://us%3Aer:p%40ss@proxy.example:1", "http://proxy.example:1", "Basic dXM6ZXI6cEBzcw=="),
]


@pytest.mark.parametrize(("text", "url", "credentials"), PROXIES)
def test_user_info_becomes_a_header_for_the_proxy(text: str, url: str, credentials: str | None) -> None:
    """The URL of a proxy loses its user info, which becomes the credentials of RFC 7617."""
    found = proxy.parse("Connections", "proxy", text)
    assert (URL(url), credentials) == (found.url, found.credentials)


ENVIRONMENTS: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "http://a.example", None),
    ({"HTTP_PROXY": "http://p:1"}, "http://a.example", "http://p:1"),
    ({"HTTP_PROXY": "http://p:1"}, "https://a.example", None),
    ({"HTTPS_PROXY": "http://p:2"}, "https://a.example", "http://p:2"),
    ({"https_proxy": "http://p:3"}, "https://a.example", "http://p:3"),
    ({"HTTPS_PROXY": "p:4"}, "https://a.example", "http://p:4"),
    ({"HTTPS_PROXY": "http://p:5", "NO_PROXY": "a.example"}, "https://a.example", None),
    ({"HTTPS_PROXY": "http://p:5", "NO_PROXY": "a.example"}, "https://b.a.example", None),
    ({"HTTPS_PROXY": "http://p:5", "NO_PROXY": ".a.example"}, "https://b.a.example", None),
    ({"HTTPS_PROXY": "http://p:5", "NO_PROXY": "a.example"}, "https://aa.example", "http://p:5"),
    ({"HTTPS_PROXY": "http://p:5", "NO_PROXY": "x, a.example:443"}, "https://a.example", None),
    ({"HTTPS_PROXY": "http://p:5", "NO_PROXY": "a.example:444"}, "https://a.example", "http://p:5"),
    ({"HTTPS_PROXY": "http://p:5", "no_proxy": "*"}, "https://a.example", None),
    ({"HTTP_PROXY": "http://p:6", "NO_PROXY": "::1"}, "http://[::1]:80", None),
    ({"HTTP_PROXY": "http://p:7", "REQUEST_METHOD": "GET"}, "http://a.example", None),  # CGI: a header, not a setting
]


@pytest.mark.parametrize(("variables", "url", "expected"), ENVIRONMENTS)
async def test_the_environment_is_read_only_if_asked(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    """HTTP_PROXY, HTTPS_PROXY and NO_PROXY count where proxy="environment" is said, and nowhere else."""
    _set(monkeypatch, variables)
    async with opened(Connections(proxy="environment")) as asked, opened() as unasked:
        told = asked.options(URL(url))
        assert (None if expected is None else URL(expected)) == told.get("proxy")
        assert asked.options(URL(f"{url}/elsewhere")) is told
        assert dict(unasked.options(URL(url))) == {}


async def test_a_wrong_proxy_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment that is none ends the entering with the variable's name, and without its value."""
    _set(monkeypatch, {"HTTPS_PROXY": f"socks5://{CANARY}@p:1"})
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY must be") as caught:
        Pool(Connections(proxy="environment"), agent="buoy/test", sizes=Sizes())
    assert CANARY not in str(caught.value)


async def test_many_origins_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of origins is bounded, however many redirects lead to."""
    _set(monkeypatch, {"HTTP_PROXY": "http://p:1"})
    async with opened(Connections(proxy="environment")) as pool:
        for number in range(1000):
            pool.options(URL(f"http://h{number}.example"))
        assert len(pool._by_origin) <= 256


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


async def test_a_session_of_ours_is_plain() -> None:
    """A session of ours keeps no cookies, undoes no compression, raises for no status and reads no environment."""
    async with opened() as pool:
        session = pool.session
        assert pool.bare is session
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        assert (session.auto_decompress, session.raise_for_status, session.trust_env) == (False, False, False)
        assert dict(session.headers) == OURS
    assert session.closed


OPTIONS: list[tuple[Connections, tuple[int, int, bool, float | None]]] = [
    (Connections(), (0, 0, False, 15.0)),
    (Connections(per_host=3, keep_alive=1.5), (0, 3, False, 1.5)),
    (Connections(keep_alive=0), (0, 0, True, None)),
]


@pytest.mark.parametrize(("connections", "expected"), OPTIONS, ids=repr)
@pytest.mark.parametrize("socket", [None, "there.sock"])
async def test_the_connector_is_as_told(
    connections: Connections, expected: tuple[int, int, bool, float | None], socket: str | None
) -> None:
    """Limits and keep-alive reach the connector, of a network or of a local socket; none of its own is left."""
    async with opened(connections, socket=socket) as pool:
        connector = pool.session.connector
        assert connector is not None
        assert isinstance(connector, aiohttp.UnixConnector) == (socket is not None)
        assert expected == (
            connector.limit,
            connector.limit_per_host,
            connector.force_close,
            connector._keepalive_timeout,
        )


@pytest.mark.parametrize(("seconds", "used"), [(0, False), (0.5, True), (60, True)])
async def test_names_are_kept_as_long_as_told(seconds: float, *, used: bool) -> None:
    """What a name resolved to is kept for so many seconds, 0 not at all."""
    async with opened(Connections(dns_cache=seconds)) as pool:
        connector = pool.session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        assert used == connector.use_dns_cache
        assert seconds == connector._cached_hosts._ttl


async def test_a_handed_in_session_is_left_as_it_is() -> None:
    """What was handed in is not used, not changed and not closed; ours has its connections, headers and cookies."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(headers={"X-Who": CANARY}, cookie_jar=jar, raise_for_status=True) as session:
        before = dict(session.headers), list(session.trace_configs)
        async with opened(session=session) as pool:
            assert session not in {pool.session, pool.bare}
            assert {session.connector} == {pool.session.connector, pool.bare.connector}
            assert dict(pool.session.headers) == {"X-Who": CANARY, **OURS}
            assert jar is pool.session.cookie_jar
            assert dict(pool.bare.headers) == OURS
            assert isinstance(pool.bare.cookie_jar, aiohttp.DummyCookieJar)
        assert (False, before) == (session.closed, (dict(session.headers), list(session.trace_configs)))
        assert session.connector is not None
        assert not session.connector.closed


async def test_a_handed_in_session_keeps_its_user_agent() -> None:
    """The User-Agent of a session that was handed in stands before ours."""
    async with aiohttp.ClientSession(headers={"user-agent": "theirs/1"}) as session, opened(session=session) as pool:
        assert pool.session.headers["User-Agent"] == "theirs/1"
        assert pool.bare.headers["User-Agent"] == "buoy/test"


PROXIED: list[tuple[dict[str, Any], Connections, str | None]] = [
    ({}, Connections(), None),
    ({"proxy": "http://u:p@theirs:1"}, Connections(), "http://theirs:1"),
    ({"proxy": "http://theirs:1"}, Connections(proxy="http://ours:2"), "http://ours:2"),
    ({"proxy": "http://theirs:1"}, Connections(proxy="environment"), "http://env:3"),
    ({"trust_env": True}, Connections(), "http://env:3"),
    ({"trust_env": True}, Connections(proxy="http://ours:2"), "http://ours:2"),
    ({"trust_env": True, "proxy": "http://theirs:1"}, Connections(), "http://theirs:1"),
]


@pytest.mark.parametrize(("said", "connections", "expected"), PROXIED, ids=repr)
async def test_the_proxy_of_a_handed_in_session_counts(
    monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], connections: Connections, expected: str | None
) -> None:
    """The proxy of a session that was handed in is used, unless another one was asked for."""
    _set(monkeypatch, {"HTTPS_PROXY": "http://env:3"})
    async with aiohttp.ClientSession(**said) as session, opened(connections, session=session) as pool:
        told = pool.options(URL("https://a.example"))
        assert (None if expected is None else URL(expected)) == told.get("proxy")


async def test_tls_options_hold_for_a_handed_in_session(files: certificates.Files) -> None:
    """A context reaches each request of a session that was handed in, whose connector has one of its own."""
    connections = Connections(ca=files.ca)
    async with aiohttp.ClientSession() as session, opened(connections, session=session) as pool:
        assert dict(pool.options(URL("https://a.example"))) == {"ssl": connections.context}
    async with opened(connections) as pool:
        assert dict(pool.options(URL("https://a.example"))) == {}


async def test_a_closed_session_is_refused() -> None:
    """A session that is closed, or whose connector is, is refused with words when the provider is entered."""
    connector = aiohttp.TCPConnector()
    closed, cut = aiohttp.ClientSession(), aiohttp.ClientSession(connector=connector)
    await closed.close()
    await connector.close()
    for session in (closed, cut):
        with pytest.raises(RuntimeError, match="session= is closed"):
            Pool(Connections(), agent="buoy/test", sizes=Sizes(), given=session)


def test_a_session_of_another_loop_is_refused() -> None:
    """A session of another event loop is refused with words when the provider is entered."""

    async def enter(session: aiohttp.ClientSession) -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            Pool(Connections(), agent="buoy/test", sizes=Sizes(), given=session)

    async def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    with asyncio.Runner() as theirs, asyncio.Runner() as ours:
        made = theirs.run(session())
        ours.run(enter(made))
        theirs.run(made.close())


async def test_a_local_socket_goes_through_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unix:// base URL takes neither a proxy nor a session; a proxy in the environment is not for it."""
    _set(monkeypatch, {"HTTP_PROXY": "http://env:3"})
    async with opened(Connections(proxy="environment"), socket="there.sock") as pool:
        assert dict(pool.options(URL("http://localhost"))) == {}
    through = Connections(proxy="http://p:1")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="unix://"):
            Pool(through, agent="buoy/test", sizes=Sizes(), unix_socket="there.sock")
        with pytest.raises(ConfigurationError, match="unix://"):
            Pool(Connections(), agent="buoy/test", sizes=Sizes(), unix_socket="there.sock", given=session)


def test_sizes_have_their_defaults() -> None:
    """The limits of an answer are 64 MiB, 256 MiB and aiohttp's own for a line of its head."""
    assert Sizes(body=67_108_864, decompressed=268_435_456, headers=8190) == Sizes()


@pytest.mark.parametrize("option", ["body", "decompressed", "headers"])
@pytest.mark.parametrize("value", [0, -1, 2**41, 1.5, True, None, "64"])
def test_a_size_out_of_range_is_refused(option: str, value: Any) -> None:
    """A limit that is no number of bytes, or none that can be meant, is refused when it is said."""
    with pytest.raises(ConfigurationError, match=rf"Sizes: {option}="):
        Sizes(**{option: value})


async def test_a_session_with_middlewares_is_refused() -> None:
    """A middleware that signs would be passed by in silence, so its session is refused with words for what to do."""

    async def sign(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await handler(request)

    async with aiohttp.ClientSession(middlewares=(sign,)) as session:
        with pytest.raises(ConfigurationError, match="auth="):
            Pool(Connections(), agent="buoy/test", sizes=Sizes(), given=session)
