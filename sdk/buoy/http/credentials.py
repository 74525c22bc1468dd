"""Credentials beyond the bearer token, and the one thing that puts any of them on a send.

Signing is done for each send anew, and only where it goes to an origin that the credentials are bound to. No secret is
part of a repr, an error or a pickle.
"""

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, NoReturn, Self
from urllib.parse import quote

from multidict import CIMultiDict
from yarl import URL

from buoy.errors import ConfigurationError
from buoy.http import headers as http_headers
from buoy.http.auth import Bearer
from buoy.http.location import Origin, origin, without_query

# Control characters, and what UTF-8 cannot write.
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What providers hand out: visible ASCII; spaces inside for schemes of their own, like `Authorization: Token abc`.
_KEY = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")


class Outgoing:
    """One send as an auth function sees it: it reads method, URL and body, and adds headers or query parameters.

    ``body`` is the bytes as they will be sent, empty without a body, and ``None`` where they are not known in advance.
    ``url`` is what goes onto the wire; what is shown in telemetry is made elsewhere, and never has what is added here.
    Where the send goes cannot be changed.
    """

    __slots__ = ("_body", "_method", "_url", "added", "headers")

    def __init__(self, method: str, url: URL, headers: CIMultiDict[str], body: bytes | None = b"") -> None:
        self._method = method
        self._url = url.with_fragment(None)  # it is not sent, and a query would end up in it
        self._body = body
        self.headers = headers
        self.added: frozenset[str] = frozenset()  # the names of the query parameters that were set

    @property
    def method(self) -> str:
        """The method."""
        return self._method

    @property
    def url(self) -> URL:
        """The URL with all that was added so far."""
        return self._url

    @property
    def body(self) -> bytes | None:
        """The bytes of the body, where they are known."""
        return self._body

    def set_query(self, name: str, value: str) -> None:
        """Add a query parameter, in the place of those that have its name."""
        if not _sendable(name) or not _sendable(value):
            msg = "auth: a query parameter needs a str without control characters as its name and as its value."
            raise ValueError(msg)
        self.added |= {name}
        bare = without_query(self._url, {name})
        mark = "&" if bare.raw_query_string else "?"
        self._url = URL(f"{bare}{mark}{quote(name, safe='')}={quote(value, safe='')}", encoded=True)

    def __repr__(self) -> str:
        return f"<Outgoing {self._method} {self._url.origin()}>"


AuthFunction = Callable[[Outgoing], Awaitable[None]]


class _Secret:
    """What holds a secret: it says so instead of showing it, it copies as itself, and it does not pickle."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        msg = f"{type(self).__name__} is not pickled: it would write the secret out. Make it where it is used."
        raise TypeError(msg)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<secret>)"


class Basic(_Secret):
    """User and password (RFC 7617) in UTF-8. One of them may be empty, as providers that take a key want it.

    Raises :class:`ConfigurationError`.
    """

    __slots__ = ("_value",)

    def __init__(self, user: str, password: str, /) -> None:
        for what, given in (("user", user), ("password", password)):
            if not _sendable(given):
                msg = f"Basic: the {what} must be a str without control characters."
                raise ConfigurationError(msg)
        if ":" in user:
            msg = "Basic: the user must not have a colon, which separates it from the password (RFC 7617)."
            raise ConfigurationError(msg)
        if not user and not password:
            msg = "Basic: user and password are both empty."
            raise ConfigurationError(msg)
        self._value = "Basic " + b64encode(f"{user}:{password}".encode()).decode()

    def headers(self) -> dict[str, str]:
        """Return the headers to add to one send."""
        return {"Authorization": self._value}


class ApiKey(_Secret):
    """A key in a header or in a query parameter of the provider's choice: exactly one of them is named.

    Raises :class:`ConfigurationError`.
    """

    __slots__ = ("_header", "_query", "_value")

    def __init__(self, value: str, /, *, header: str | None = None, query: str | None = None) -> None:
        if not isinstance(value, str) or not _KEY.fullmatch(value):
            msg = "ApiKey: the key must be a non-empty str of visible ASCII characters, without line breaks."
            raise ConfigurationError(msg)
        if (header is None) == (query is None):
            msg = "ApiKey: say where the key goes, by header='X-Api-Key' or by query='api_key', not both."
            raise ConfigurationError(msg)
        # Neither name is shown: who mixed up the arguments has put the key there.
        if header is not None and http_headers.objection(header, "") is not None:
            msg = "ApiKey: header must be the name of a header that a caller may set, like 'X-Api-Key'."
            raise ConfigurationError(msg)
        if query is not None and (not query or not _sendable(query)):
            msg = "ApiKey: query must be the name of a query parameter, like 'api_key'."
            raise ConfigurationError(msg)
        self._value = value
        self._header = header
        self._query = query

    def headers(self) -> dict[str, str]:
        """Return the headers to add to one send."""
        return {} if self._header is None else {self._header: self._value}

    def query(self) -> dict[str, str]:
        """Return the query parameters to add to one send."""
        return {} if self._query is None else {self._query: self._value}


class Signer:
    """Puts one provider's credentials on its sends: ``await signer.sign(outgoing)``, for each send anew.

    ``auth`` has ``headers()`` and, if it wants, ``query()``; or it is any ``async def auth(request)`` that is given an
    :class:`Outgoing`. Raises :class:`ConfigurationError` for anything else. ``origins`` is where it may be sent.
    """

    __slots__ = ("_auth", "_fixed", "_known", "_origins", "_owner", "withheld")

    def __init__(self, owner: str, auth: object, origins: frozenset[Origin]) -> None:
        self._fixed = callable(getattr(auth, "headers", None))
        if isinstance(auth, type) or not (self._fixed or callable(auth)):
            kind = auth.__name__ if isinstance(auth, type) else type(auth).__name__
            msg = (
                f"{owner}: auth must be a Bearer, Basic or ApiKey, something with headers(), or an "
                f"'async def auth(request)', not {kind}."
            )
            raise ConfigurationError(msg)
        self._auth: Any = auth
        self._known = type(auth) in _KINDS  # they have looked at what they were given
        self._owner = owner
        self._origins = origins
        # The names of query parameters that carry a credential: no redirect may carry them on. What an auth function
        # adds is known when it has.
        self.withheld: frozenset[str] = frozenset(_query(auth))

    @property
    def waits(self) -> bool:
        """Whether it may take time: it asks a function of somebody's own."""
        return not self._fixed

    def identity(self) -> tuple[object, ...]:
        """Return what tells one account from another; only where it does not wait."""
        return (*self._auth.headers().items(), *_query(self._auth).items())

    async def sign(self, outgoing: Outgoing) -> None:
        """Add the credentials, if the send goes to where they belong.

        What ``auth`` raises passes. Raises ``TypeError`` or ``ValueError`` for what it adds and cannot be sent.
        """
        if origin(outgoing.url) not in self._origins:
            return
        if self._fixed:
            self._add(outgoing)
        else:
            await self._ask(outgoing)
        if not self._known:
            for name, value in outgoing.headers.items():
                if (objection := http_headers.objection(name, value)) is not None:
                    msg = f"{self._owner}: of what auth has added, {objection}."
                    raise ValueError(msg)

    def _add(self, outgoing: Outgoing) -> None:
        for name, value in self._auth.headers().items():
            outgoing.headers.setdefault(name, value)  # what the caller gave to this one call stands
        for name, value in _query(self._auth).items():
            outgoing.set_query(name, value)

    async def _ask(self, outgoing: Outgoing) -> None:
        done = self._auth(outgoing)
        if isawaitable(done):
            done = await done
        if done is not None:
            msg = f"{self._owner}: auth returned a {type(done).__name__}; it has to change request.headers instead."
            raise TypeError(msg)
        if not outgoing.added <= self.withheld:
            self.withheld |= outgoing.added


_KINDS = (Bearer, Basic, ApiKey)


def _query(auth: object) -> Mapping[str, str]:
    query = getattr(auth, "query", None)
    return query() if callable(query) else {}


def _sendable(text: object) -> bool:
    return isinstance(text, str) and not _UNSENDABLE.search(text)
