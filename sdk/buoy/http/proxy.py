"""Which proxy a request goes through, and what of a failure is the proxy's. Its credentials go to nobody else."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.request import getproxies_environment
from urllib.request import proxy_bypass_environment as bypasses  # type: ignore[attr-defined]  # typeshed lacks it

import aiohttp
from yarl import URL

from buoy.errors import ConfigurationError
from buoy.http import connection

ENVIRONMENT = "environment"

NO_PROXY: Mapping[str, Any] = MappingProxyType({})

_ALLOWED = "the http or https URL of a proxy, without path, query and fragment, like 'http://proxy.example:3128'"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, by its URL without user info; ``credentials`` are the value of ``Proxy-Authorization``."""

    url: URL
    credentials: str | None = field(default=None, repr=False)

    def options(self) -> Mapping[str, Any]:
        """Return what aiohttp is told with each request."""
        if self.credentials is None:
            return MappingProxyType({"proxy": self.url})
        # Under this name aiohttp 3.14 takes them for the proxy's own, with CONNECT and without, on a new connection and
        # on a kept one, and writes Proxy-Authorization. Under that name it would drop them for http, and as user info
        # of the URL they would be part of its reprs.
        return MappingProxyType({"proxy": self.url, "proxy_headers": {"Authorization": self.credentials}})


def parse(owner: str, option: str, text: object) -> Proxy:
    """Return the proxy that ``text`` names. Raises :class:`ConfigurationError`, which never shows it."""
    msg = f"{owner}: {option} must be {_ALLOWED}."
    if not isinstance(text, str) or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in text):
        raise ConfigurationError(msg)
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ConfigurationError(msg) from None
    if url.scheme not in {"http", "https"} or not url.raw_host or not port:
        raise ConfigurationError(msg)
    if url.raw_path != "/" or "?" in text or "#" in text:
        raise ConfigurationError(msg)
    return Proxy(url.origin(), _basic(url))


def _basic(url: URL) -> str | None:
    if url.raw_user is None and url.raw_password is None:
        return None
    return "Basic " + b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()


class Environment:
    """The proxies of HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case, as they were when this was made."""

    __slots__ = ("_found", "_proxies")

    def __init__(self) -> None:
        self._found = getproxies_environment()
        self._proxies: dict[str, Proxy] = {}
        for scheme in ("http", "https"):
            text = self._found.get(scheme)
            if text:
                # Many write no more than host and port there, and all who read it take that for http.
                whole = text if "://" in text else f"http://{text}"
                self._proxies[scheme] = parse("the environment", f"{scheme.upper()}_PROXY", whole)

    def proxy(self, url: URL) -> Proxy | None:
        """Return the proxy for the origin of ``url``, unless NO_PROXY has it: host, domain or host and port."""
        host = url.raw_host or ""
        if any(bypasses(name, self._found) for name in (host, f"{host}:{url.port}")):
            return None
        return self._proxies.get(url.scheme)


async def through(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request, and tell what its proxy did as the proxy's doing."""
    try:
        try:
            response = await handler(request)
        except connection.SpoiltError:
            response = await connection.again(request, handler)
    except (aiohttp.ClientError, OSError) as error:
        raise blamed(error, request) from None
    refused = refusal(request, response)
    if refused is not None:
        response.close()
        raise refused
    return response


def blamed(error: Exception, request: aiohttp.ClientRequest) -> Exception:
    """Return what ended a request, as the proxy's doing where it was. What had begun to leave was through with it.

    Until then a connection is made: to the proxy, through it, and TLS in the tunnel. What is told of the tunnel's far
    end stays as it is. aiohttp 3.14 tells the rest as if the provider had done it, and sends again by itself.
    """
    proxy = request.proxy
    if proxy is None or getattr(request, "leaving", False):
        return error
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return error
    # Whose address it was that failed: also of a name, for only that of the proxy is looked up here.
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        if (error.host, error.port) != (proxy.raw_host, proxy.port):
            return error
    elif not isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError):
        return error
    cause = getattr(error, "os_error", None)
    return aiohttp.ClientProxyConnectionError(
        request.connection_key, cause if isinstance(cause, OSError) else OSError()
    )


def refusal(request: aiohttp.ClientRequest, response: aiohttp.ClientResponse) -> aiohttp.ClientHttpProxyError | None:
    """Return the error for an answer by which a proxy says that it sent nothing on (RFC 9110 section 15.5.8).

    Within a tunnel the answer would be the provider's, and 407 from a provider means nothing.
    """
    if response.status != 407 or request.proxy is None or request.is_ssl():
        return None
    return aiohttp.ClientHttpProxyError(response.request_info, (), status=407)
