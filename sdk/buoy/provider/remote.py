"""The far side of a provider over HTTP: where it is, what goes to it, and what is taken from it."""

from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from buoy import options
from buoy.errors import ConfigurationError
from buoy.http import headers as http_headers
from buoy.http.auth import Auth
from buoy.http.cookies import Cookies
from buoy.http.credentials import AuthFunction, Signer
from buoy.http.dialects import COMMON
from buoy.http.location import origin, trusted_origin
from buoy.http.pool import Connections, Pool
from buoy.http.rules import Rules, resolve
from buoy.http.sizes import Sizes
from buoy.http.transport import HttpTransport
from buoy.http.url import Base
from buoy.version import __version__

T = TypeVar("T")

_MOST_REDIRECTS = 20  # browsers' limit (Fetch, section 4.4); who needs more goes in circles


class RemoteOptions(TypedDict, total=False):
    """What may be said of the far side, where a class or a provider is made, or as class attributes.

    ``auth`` signs every request; ``rules`` say how it tells what went wrong (``buoy.rules``); ``propagate=False`` keeps
    ``traceparent`` from it. ``redirects`` is how many of a try are followed: with 0 the redirect itself is the answer.
    ``trusted_origins`` are those that a redirect may take credentials to, like ``("https://eu.example.com",)``.
    ``cookies=True`` keeps them while the provider is open. ``compress``: request bodies of so many bytes or more are
    sent in gzip, which the provider has to understand. ``sizes`` bounds its answers; ``connections`` says how it is
    reached.
    """

    auth: Auth | AuthFunction | None
    rules: Rules
    propagate: bool
    redirects: int
    trusted_origins: tuple[str, ...]
    cookies: bool
    compress: int | None
    sizes: Sizes
    connections: Connections


def check(owner: str, subject: Any) -> None:
    """Refuse what cannot be said of a far side, on a provider's class or on an instance."""
    resolve(owner, subject.rules, COMMON)
    for option in ("propagate", "cookies"):
        options.instance(owner, option, getattr(subject, option), bool, optional=False)
    options.count(owner, "redirects", subject.redirects, minimum=0, maximum=_MOST_REDIRECTS)
    options.instance(owner, "sizes", subject.sizes, Sizes, optional=False)
    options.instance(owner, "connections", subject.connections, Connections, optional=False)
    if subject.compress is not None:
        options.count(owner, "compress", subject.compress, minimum=1, maximum=2**40)
    if not isinstance(subject.trusted_origins, tuple):
        # Without the value: who gave one URL may have given user info with it.
        msg = f"{owner}: trusted_origins must be a tuple of origins, like ('https://eu.example.com',)."
        raise ConfigurationError(msg)
    for value in subject.trusted_origins:
        trusted_origin(owner, value)
    if subject.auth is not None:
        Signer(owner, subject.auth, frozenset())


class Remote:
    """The far side of one provider, from options that were checked; ``said`` is the provider, or whoever has them."""

    __slots__ = (
        "_agent",
        "_owner",
        "_said",
        "_session",
        "base",
        "compress",
        "headers",
        "path",
        "place",
        "sizes",
        "trusted",
    )

    def __init__(
        self,
        owner: str,
        base: Base,
        said: Any,
        *,
        headers: Mapping[str, str] | None,
        session: aiohttp.ClientSession | None,
    ) -> None:
        self._owner = owner
        self._said = said
        self._session = session
        self._agent = f"buoy/{__version__}"
        self.base = base
        # As an URL and as the path in it, from which that of a call is made without being parsed.
        self.place = URL(base.prefix, encoded=True)
        self.path = self.place.raw_path.rstrip("/")
        self.headers = _checked_headers(owner, headers, said.auth)
        self.sizes: Sizes = said.sizes
        self.compress: int | None = said.compress
        own = origin(URL(base.prefix))
        self.trusted = frozenset({own, *(trusted_origin(owner, value) for value in said.trusted_origins)})
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise options.wrong(owner, "session", session, "an aiohttp.ClientSession")

    @property
    def signs_by_function(self) -> bool:
        """Whether somebody's own function decides who a request is from."""
        signer = self._signer()
        return signer is not None and signer.waits

    def open(self) -> HttpTransport:
        """Return what carries the requests, in the running loop. Raises as :class:`~buoy.http.pool.Pool` does."""
        said = self._said
        pool = Pool(
            said.connections,
            agent=self._agent,
            sizes=self.sizes,
            unix_socket=self.base.socket,
            given=self._session,
        )
        return HttpTransport(
            pool,
            trusted=self.trusted,
            redirects=said.redirects,
            cookies=Cookies() if said.cookies else None,
            signer=self._signer(),
            rules=resolve(self._owner, said.rules, COMMON),
        )

    def _signer(self) -> Signer | None:
        auth = self._said.auth
        return None if auth is None else Signer(self._owner, auth, self.trusted)


def _checked_headers(owner: str, headers: Mapping[str, str] | None, auth: Any) -> CIMultiDict[str]:
    """Return the headers of every request, or refuse what a header cannot carry.

    Those that ``auth`` sets are its own: there is one such header on the wire.
    """
    for name, value in (headers or {}).items():
        objection = http_headers.objection(name, value)
        if objection is not None:
            msg = f"{owner}: headers=: {objection}."
            raise ConfigurationError(msg)
    checked = CIMultiDict(headers or {})
    if callable(getattr(auth, "headers", None)):
        for name in auth.headers():
            checked.popall(name, None)
    return checked
