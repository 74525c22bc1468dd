"""A URL from the command line: taken apart, sent as it was given, shown without what may be secret."""

import string
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from yarl import URL

from buoy.errors import ConfigurationError
from buoy.http.url import parse_base

REDACTED = "REDACTED"


class NotCallableError(ValueError):
    """The URL cannot be called; the message says why and shows no part of it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. Path and query are exactly those of the URL given; only non-ASCII is percent-encoded."""

    origin: str
    path: str
    query: str = field(repr=False)

    @property
    def url(self) -> URL:
        """What goes onto the wire: no escape added or taken away, no dot segment resolved."""
        return URL(self.origin + self.path + self._after(self.query), encoded=True)

    @property
    def redacted_query(self) -> str:
        """The query with every value ``REDACTED``."""
        return redact_query(self.query)

    def shown(self, *, show_query: bool) -> str:
        """Return the URL for the eyes of whoever typed it."""
        return self.origin + self.path + self._after(self.query if show_query else self.redacted_query)

    @staticmethod
    def _after(query: str) -> str:
        return f"?{query}" if query else ""


def parse(text: str) -> Target:
    """Take a URL apart. Raises :class:`NotCallableError`."""
    if not text or any(char.isspace() or not char.isprintable() for char in text):
        raise NotCallableError("it is empty, or has a space or a control character; write a space as %20")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise NotCallableError("its host is not valid") from None
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise NotCallableError("it must begin with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise NotCallableError("credentials do not belong into a URL; give them with --header 'Authorization: ...'")
    try:
        base = parse_base("buoy call", f"{parts.scheme}://{parts.netloc}")
    except ConfigurationError:
        raise NotCallableError("its host or port is not valid") from None
    return Target(base.prefix, _ascii(parts.path) or "/", _ascii(parts.query))


def redact_query(query: str) -> str:
    """Return a query string with every value ``REDACTED``; what has no name is a value."""
    return "&".join(_redacted(part) for part in query.split("&"))


def redact_url(url: str) -> str:
    """Return the URL or reference of an answer without user info, and without values of query and fragment."""
    rest, hash_mark, _ = url.partition("#")
    address, question_mark, query = rest.partition("?")
    before, slashes, after = address.partition("//")
    if slashes:
        authority, slash, path = after.partition("/")
        address = before + slashes + authority.rpartition("@")[2] + slash + path
    return address + (question_mark and question_mark + redact_query(query)) + (hash_mark and hash_mark + REDACTED)


def _redacted(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    if equals:
        return f"{name}={REDACTED}"
    return REDACTED if parameter else ""


def _ascii(text: str) -> str:
    """Percent-encode what a request line cannot carry, and nothing else (RFC 3987 section 3.1)."""
    return quote(text, safe=string.punctuation)
