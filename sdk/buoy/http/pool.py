"""The connections of a provider: how they are made, and the pool in which they are kept."""

import asyncio
import os
import ssl as tls
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ssl import SSLContext
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from buoy import options
from buoy.errors import ConfigurationError
from buoy.http import connection, inflate, proxy
from buoy.http.proxy import Environment, Proxy
from buoy.http.sizes import Sizes

FilePath = str | os.PathLike[str]

_INSTRUMENTOR = "opentelemetry.instrumentation.aiohttp_client"
# Origins whose proxy is remembered; redirects may lead to any number of them.
_KEPT = 256


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Connections:
    """How connections to a provider are made and kept.

    ``per_host``: connections to one host at once, unlimited unless given, for whoever waits for one waits within the
    time of its try; :class:`Concurrency` is the limit that is seen. ``keep_alive`` and ``dns_cache`` are in seconds, 0
    switches them off; 15 and 10 are aiohttp's. ``ca``: a PEM file of the authorities that are trusted instead of the
    system's. ``certificate`` and ``key``: a client's, in PEM; the key may stand in the certificate's file. ``ssl``: a
    context of your own instead of these three. ``proxy``: its URL, or ``"environment"`` for HTTP_PROXY, HTTPS_PROXY and
    NO_PROXY; user info in it goes to the proxy only.

    TLS is verified, always. Files are read when this is built. Raises :class:`ConfigurationError` for what cannot work.
    """

    per_host: int | None = None
    keep_alive: float = 15.0
    dns_cache: float = 10.0
    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    ssl: SSLContext | None = None
    proxy: str | None = None
    context: SSLContext | None = field(init=False, compare=False, default=None)
    fixed_proxy: Proxy | None = field(init=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Check the values and read the files, once, when it is built."""
        if self.per_host is not None:
            options.count("Connections", "per_host", self.per_host, minimum=1, maximum=100_000)
        options.seconds("Connections", "keep_alive", self.keep_alive, zero=True)
        options.seconds("Connections", "dns_cache", self.dns_cache, zero=True)
        object.__setattr__(self, "context", _context(self))
        if self.proxy is not None and self.proxy != proxy.ENVIRONMENT:
            object.__setattr__(self, "fixed_proxy", proxy.parse("Connections", "proxy", self.proxy))

    def __repr__(self) -> str:
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        if self.fixed_proxy is not None:
            given["proxy"] = str(self.fixed_proxy.url)
        shown = (f"{each.name}={given[each.name]!r}" for each in fields(self) if given.get(each.name) != each.default)
        return f"Connections({', '.join(shown)})"


def _context(given: Connections) -> SSLContext | None:
    """Return the TLS context that is asked for, ``None`` for the usual one. It is read from files here and now."""
    files = {option: getattr(given, option) for option in ("ca", "certificate", "key")}
    for option, path in files.items():
        if path is not None and not isinstance(path, str | os.PathLike):
            raise options.wrong("Connections", option, path, "the path of a PEM file")
    if given.ssl is not None:
        taken = ", ".join(f"{option}=" for option, path in files.items() if path is not None)
        if taken:
            msg = f"Connections: ssl= is a whole context, and {taken} would not be used: load it into the context."
            raise ConfigurationError(msg)
        return _verifying(given.ssl)
    if given.key is not None and given.certificate is None:
        raise ConfigurationError("Connections: key= is that of a client certificate, and certificate= is not given.")
    if given.ca is None and given.certificate is None:
        return None
    return _read(given)


def _verifying(context: object) -> SSLContext:
    # No way around it: credentials go over this connection, and whoever asks for CERT_NONE can have what is meant,
    # for a server with a certificate of its own making is verified by giving that certificate as ca=.
    if not isinstance(context, SSLContext):
        raise options.wrong("Connections", "ssl", context, "an ssl.SSLContext or None")
    if context.verify_mode == tls.CERT_NONE:
        msg = (
            "Connections: the context in ssl= does not verify the server (CERT_NONE); use one that does. "
            "A server's self-signed certificate can be given as ca=."
        )
        raise ConfigurationError(msg)
    return context


def _read(given: Connections) -> SSLContext:
    option, path = "ca", given.ca
    try:
        context = tls.create_default_context(cafile=path)
        context.set_alpn_protocols(["http/1.1"])
        if given.certificate is not None:
            option, path = "certificate", given.certificate
            context.load_cert_chain(given.certificate, given.key, _no_password)
    except OSError as error:  # ssl.SSLError is one
        what = "certificates" if option == "ca" else "a certificate with its key, or with the key that key= names"
        why = error.strerror or "it is not"
        raise options.wrong("Connections", option, path, f"a PEM file of {what} ({why})") from error
    return context


def _no_password() -> str:
    """Stand where OpenSSL would else ask for a password on the terminal, and wait."""
    msg = "Connections: the key of certificate= is encrypted; load it into a context, with its password, and give ssl=."
    raise ConfigurationError(msg)


class Pool:
    """The connections of one provider in one event loop.

    ``session`` is for the provider's own origins. A session that was ``given`` is neither used nor changed nor closed:
    ours stands over its connector, with its headers, cookies and trace hooks, and without what would come between (its
    decompression, its ``raise_for_status``, the instrumentor's hooks). ``bare`` has the same connections and nothing of
    what may identify the caller: it is for all other origins.

    Raises ``RuntimeError`` for a session that cannot be used here, :class:`ConfigurationError` for options that do not
    go together and for a proxy in the environment that is none.
    """

    __slots__ = ("_by_origin", "_environment", "_options", "_owned", "_tls", "bare", "session")

    def __init__(
        self,
        connections: Connections,
        *,
        agent: str,
        sizes: Sizes,
        unix_socket: str | None = None,
        given: aiohttp.ClientSession | None = None,
    ) -> None:
        if unix_socket is not None and (given is not None or connections.fixed_proxy is not None):
            msg = "a unix:// base URL makes its own connections: neither session= nor proxy= goes with it."
            raise ConfigurationError(msg)
        connector = _connector(connections, unix_socket) if given is None else _usable(given)
        through = connections.fixed_proxy if given is None or connections.proxy else _proxy_of(given)
        wanted = connections.proxy == proxy.ENVIRONMENT or (
            given is not None and connections.proxy is None and through is None and given.trust_env
        )
        self._environment = Environment() if wanted and unix_socket is None else None
        # Our connector has the context already.
        self._tls = {} if given is None or connections.context is None else {"ssl": connections.context}
        self._options = self._told(through)
        self._by_origin: dict[tuple[str, str | None, int | None], Mapping[str, Any]] = {}
        self.session = self.bare = _session(connector, agent, sizes, owner=given is None)
        self._owned = [self.session]
        if given is not None:
            self.session = _session(connector, agent, sizes, owner=False, like=given)
            self._owned.append(self.session)

    def options(self, url: URL) -> Mapping[str, Any]:
        """Return the arguments for ``session.request`` that a request to the origin of ``url`` needs."""
        if self._environment is None:
            return self._options
        place = url.scheme, url.raw_host, url.port
        found = self._by_origin.get(place)
        if found is None:
            if len(self._by_origin) >= _KEPT:
                self._by_origin.clear()
            found = self._by_origin[place] = self._told(self._environment.proxy(url))
        return found

    async def close(self) -> None:
        """Close all connections, unless they are the caller's."""
        for session in self._owned:
            await session.close()

    def _told(self, through: Proxy | None) -> dict[str, Any]:
        return {**self._tls, **(proxy.NO_PROXY if through is None else through.options())}


def _connector(connections: Connections, unix_socket: str | None) -> aiohttp.BaseConnector:
    kept = {"keepalive_timeout": connections.keep_alive} if connections.keep_alive else {}
    shared: dict[str, Any] = {
        # No limit of the pool's own (aiohttp: 100): a queue in there would hold permits, and its waiting would be told
        # as the provider's. Concurrency is the limit.
        "limit": 0,
        "limit_per_host": connections.per_host or 0,
        "force_close": not kept,
        **kept,
    }
    if unix_socket is not None:
        return aiohttp.UnixConnector(unix_socket, **shared)
    return aiohttp.TCPConnector(
        use_dns_cache=connections.dns_cache > 0,
        ttl_dns_cache=connections.dns_cache,  # type: ignore[arg-type]  # it adds it to a time, and any number will do
        ssl=True if connections.context is None else connections.context,
        **shared,
    )


def _usable(given: aiohttp.ClientSession) -> aiohttp.BaseConnector:
    connector = given.connector
    if connector is None or given.closed:
        raise RuntimeError("session= is closed; a provider is entered before its session is closed.")
    if getattr(given, "_middlewares", ()):
        msg = (
            "session= has middlewares, and Buoy's requests would pass them by: what they sign belongs into auth=, what "
            "they retry is Buoy's. Hand in a session without them."
        )
        raise ConfigurationError(msg)
    if given._loop is not asyncio.get_running_loop():  # noqa: SLF001 - its public name is deprecated
        raise RuntimeError("session= belongs to another event loop; make it in the loop that enters the provider.")
    return connector


def _proxy_of(given: aiohttp.ClientSession) -> Proxy | None:
    """Return the proxy that a caller's session has: to go around it unasked would be worse than a private name."""
    url, auth = getattr(given, "_default_proxy", None), getattr(given, "_default_proxy_auth", None)
    if url is None:
        return None
    found = proxy.parse("session", "proxy", str(url))
    return found if auth is None else Proxy(found.url, auth.encode())


def _session(
    connector: aiohttp.BaseConnector,
    agent: str,
    sizes: Sizes,
    *,
    owner: bool,
    like: aiohttp.ClientSession | None = None,
) -> aiohttp.ClientSession:
    """Return a session over ``connector``, with the headers, cookies and hooks of the one that it shall be ``like``."""
    headers: CIMultiDict[str] = CIMultiDict() if like is None else CIMultiDict(like.headers)
    headers.setdefault("User-Agent", agent)
    headers["Accept-Encoding"] = inflate.ACCEPTED  # aiohttp would ask for more than we undo
    if like is not None and like.auth is not None:
        headers.setdefault("Authorization", like.auth.encode())
    session = aiohttp.ClientSession(
        connector=connector,
        connector_owner=owner,
        request_class=connection.Observed,
        cookie_jar=aiohttp.DummyCookieJar() if like is None else like.cookie_jar,
        headers=headers,
        skip_auto_headers=() if like is None else like.skip_auto_headers,
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        trace_configs=[] if like is None else list(like.trace_configs),
        max_line_size=sizes.headers,
        max_field_size=sizes.headers,
    )
    # The instrumentor has put its hooks into the session just made. They would make a second span and a second
    # traceparent for each send of ours; taken out here they cost no call anything.
    session.trace_configs[:] = [config for config in session.trace_configs if not _is_instrumentors(config)]
    return session


def _is_instrumentors(config: aiohttp.TraceConfig) -> bool:
    return any(getattr(hook, "__module__", None) == _INSTRUMENTOR for hook in config.on_request_start)
