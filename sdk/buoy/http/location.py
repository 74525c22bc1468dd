"""Where a ``Location`` leads: an absolute URL in ASCII, or the word for why it cannot be followed. Nothing is raised.

Sources: RFC 3986 sections 5.2 and 5.4 (relative references), RFC 6454 (origins), RFC 9110 section 10.2.2.
"""

import re
from collections.abc import Container, Sequence
from enum import StrEnum
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from yarl import URL

from buoy.errors import ConfigurationError

# RFC 9110 section 4.1 asks for 8000 octets at least; aiohttp reads header lines of 8190.
_LONGEST = 8190
_LONGEST_HOST = 255

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{0,5}))?")
# Labels that DNS can have (RFC 1035 section 2.3.4): of others, Python's resolver says so by a UnicodeError.
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
# Backslashes too: browsers take them for slashes and RFC 3986 does not, so nobody knows which host is meant.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\\]")
# What a path or query keeps: RFC 3986's characters, the percent signs of what is encoded already, and the brackets that
# browsers leave alone in queries.
_AS_IT_IS = "/?:@!$&'()*+,;=-._~%[]"
_ORIGIN = re.compile(r"(?i:https?)://[^/?#@]+/?")
_NOWHERE = URL("http://relative.invalid/", encoded=True)


def is_host(name: str) -> bool:
    """Tell whether this can be the name of a host, in ASCII, or an address."""
    return ":" in name or _HOST.fullmatch(name) is not None


class Why(StrEnum):
    """Why a redirect is not followed."""

    NOT_A_REDIRECT = "not_a_redirect"
    LIMIT = "limit"
    LOOP = "loop"
    DOWNGRADE = "downgrade"
    SCHEME = "scheme"
    NO_LOCATION = "no_location"
    SEVERAL_LOCATIONS = "several_locations"
    BAD_LOCATION = "bad_location"
    LONG_LOCATION = "long_location"
    USER_INFO = "user_info"
    BODY_SPENT = "body_spent"


SENTENCES = {
    Why.NOT_A_REDIRECT: "the status is none that is followed",
    Why.LIMIT: "there were too many redirects",
    Why.LOOP: "the redirect leads to where this call has been already",
    Why.DOWNGRADE: "the redirect leads from https to http",
    Why.SCHEME: "the redirect leads to something that is neither http nor https",
    Why.NO_LOCATION: "the redirect does not say where to",
    Why.SEVERAL_LOCATIONS: "the redirect names several targets",
    Why.BAD_LOCATION: "the target of the redirect is not a valid URL",
    Why.LONG_LOCATION: f"the target of the redirect is longer than {_LONGEST} characters",
    Why.USER_INFO: "the target of the redirect carries user info",
    Why.BODY_SPENT: "the redirect asks for the body again, which cannot be sent twice",
}


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454): what credentials are bound to."""

    scheme: str
    host: str
    port: int


def origin(url: URL) -> Origin:
    """Return the origin of an absolute http or https URL."""
    return Origin(url.scheme, (url.raw_host or "").lower(), url.port or 0)


def without_query(url: URL, names: Container[str]) -> URL:
    """Return ``url`` without the query parameters of these names; what else is in it stays as it is written."""
    pairs = url.raw_query_string.split("&")
    kept = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]) not in names]
    if len(kept) == len(pairs):
        return url
    bare = str(url).partition("?")[0]
    return URL(f"{bare}?{'&'.join(kept)}" if kept else bare, encoded=True)


def trusted_origin(owner: str, value: object) -> Origin:
    """Check one of ``trusted_origins=``, like ``'https://api.example.com'``. Raises :class:`ConfigurationError`."""
    if isinstance(value, str) and _ORIGIN.fullmatch(value) and not _CONTROLS.search(value):
        resolved = _resolve(_NOWHERE, value)
        if isinstance(resolved, URL):
            return origin(resolved)
    msg = (
        f"{owner}: trusted_origins must be origins of http or https URLs, like 'https://api.example.com', "
        "without user info, path, query or fragment."
    )
    raise ConfigurationError(msg)


def target(base: URL, locations: Sequence[str]) -> URL | Why:
    """Return where the redirect leads. A header that came twice with one value is one: browsers do the same."""
    distinct = {location.strip(" \t") for location in locations}
    if distinct <= {""}:
        return Why.NO_LOCATION
    if len(distinct) > 1:
        return Why.SEVERAL_LOCATIONS
    location = distinct.pop()
    if len(location) > _LONGEST:
        return Why.LONG_LOCATION
    if _CONTROLS.search(location):
        return Why.BAD_LOCATION
    resolved = _resolve(base, location)
    if isinstance(resolved, URL) and (base.scheme, resolved.scheme) == ("https", "http"):
        return Why.DOWNGRADE
    return resolved


def _resolve(base: URL, reference: str) -> URL | Why:
    """Return the target of a reference (RFC 3986 section 5.2.2), in ASCII and without its fragment.

    A fragment, its own or the inherited one (RFC 9110 section 10.2.2), is for who shows the answer: it is never sent,
    and it makes no other place of the same URL.
    """
    rest, asked, query = reference.partition("#")[0].partition("?")
    scheme, colon, after = rest.partition(":")
    if colon and "/" not in scheme:
        if scheme.lower() not in {"http", "https"}:
            return Why.SCHEME
        if not after.startswith("//"):
            return Why.BAD_LOCATION
        rest = after
    else:
        scheme = base.scheme
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        host = _authority(authority)
        return host if isinstance(host, Why) else _written(f"{scheme.lower()}://{host}", slash + path, asked + query)
    if not rest and not asked and base.raw_query_string:
        asked, query = "?", base.raw_query_string
    return _written(f"{base.scheme}://{base.raw_authority}", _merged(base.raw_path, rest), asked + query)


def _merged(base: str, path: str) -> str:
    if path.startswith("/"):
        return path
    return base.rpartition("/")[0] + "/" + path if path else base


def _without_dots(path: str) -> str:
    """Take the segments ``.`` and ``..`` out (section 5.2.4); what is percent-encoded stays as it came."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _authority(text: str) -> str | Why:
    """Return host and port as they are written in a URL, the host in ASCII."""
    if "@" in text:
        return Why.USER_INFO
    match = _AUTHORITY.fullmatch(text)
    if match is None or len(text) > _LONGEST_HOST:
        return Why.BAD_LOCATION
    host, port = match.groups()
    try:
        number = int(port or 1)
        if host.startswith("["):
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        else:
            built = URL.build(scheme="http", host=host)
            host = (built.raw_host or "") if built.host else ""  # of a broken xn-- label, asking for the host raises
    except ValueError:
        return Why.BAD_LOCATION
    if not 0 < number < 2**16 or not (host.startswith("[") or is_host(host)):
        return Why.BAD_LOCATION
    return host.lower() + (f":{number}" if port else "")


def _written(place: str, path: str, query: str) -> URL | Why:
    try:
        text = place + _quoted(_without_dots(path)) + _quoted(query)
        return URL(text, encoded=True) if len(text) <= _LONGEST else Why.LONG_LOCATION
    except ValueError:
        return Why.BAD_LOCATION


def _quoted(text: str) -> str:
    """Quote what a URL cannot have; bytes that were no UTF-8 (aiohttp keeps them as surrogates) stay those bytes."""
    return quote(text, safe=_AS_IT_IS, errors="surrogateescape")
