"""From a base URL, a template and fields to a URL, and to the form of it that may be shown."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from yarl import URL

from buoy.errors import ConfigurationError
from buoy.http.location import is_host

Scalar = str | int | float | bool
Value = Scalar | None | Sequence[Scalar]

_SCALARS = (str, int, float)

RESERVED = frozenset({"json", "data", "headers", "params", "idempotency_key", "deadline"})

_UNIX = "unix://"
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*")
# A path segment of one or two dots is taken out of the path on the way (RFC 3986 section 5.2.4), encoded or not.
_DOTS = frozenset({".", ".."})


class Base(NamedTuple):
    """The origin and path below which a provider lives; over a Unix socket, its path, which is the host then."""

    prefix: str
    host: str
    port: int | None
    socket: str | None = None


def parse_base(owner: str, base_url: object) -> Base:
    """Check a base URL and take it apart. Raises :class:`ConfigurationError`, which never shows user info or query."""
    allowed = "an absolute http or https URL without user info, query or fragment, like 'https://api.example.com/v2'"
    if not isinstance(base_url, str) or any(ord(char) <= 0x20 or ord(char) == 0x7F for char in base_url):
        msg = f"{owner}: base_url must be {allowed}."
        raise ConfigurationError(msg)
    if base_url.startswith(_UNIX):
        return _over_socket(owner, base_url)
    try:
        parts = urlsplit(base_url)
        port = parts.port
        address = URL(base_url)  # yarl has objections of its own, to backslashes and to labels
        prefix = str(address).rstrip("/")
        if parts.hostname and not is_host(address.raw_host or ""):
            raise ValueError
    except ValueError:
        msg = f"{owner}: base_url must be {allowed}; its host or port is not valid."
        raise ConfigurationError(msg) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        msg = f"{owner}: base_url must be {allowed}; it has no http or https scheme, no host, or port 0."
        raise ConfigurationError(msg)
    if "@" in parts.netloc or "?" in base_url or "#" in base_url:
        msg = f"{owner}: base_url must be {allowed}; credentials belong into auth=, query values into calls."
        raise ConfigurationError(msg)
    return Base(prefix, parts.hostname, port or (443 if parts.scheme == "https" else 80))


def _over_socket(owner: str, base_url: str) -> Base:
    path = base_url.removeprefix(_UNIX)
    if not path.startswith("/") or "?" in path or "#" in path or path.endswith("/"):
        msg = f"{owner}: a base_url over a Unix socket must be the absolute path of it, like 'unix:///run/shop.sock'."
        raise ConfigurationError(msg)
    return Base("http://localhost", path, None, path)


class Template:
    """A path with named fields, like ``/repos/{owner}/{name}``; each value is one path segment, percent-encoded."""

    __slots__ = ("fields", "parts", "text")

    def __init__(self, owner: str, text: object) -> None:
        if not isinstance(text, str) or not text.startswith("/"):
            msg = f"{owner}: the template {text!r} must be a path that starts with '/'."
            raise ConfigurationError(msg)
        parts = _FIELD.split(text)
        self.text = text
        self.fields: tuple[str, ...] = tuple(parts[1::2])
        self.parts = parts
        for literal in parts[::2]:
            if not _LITERAL.fullmatch(literal):
                msg = (
                    f"{owner}: the template {text!r} has a character that a path cannot have, or an unbalanced brace; "
                    "query parameters are given with the call."
                )
                raise ConfigurationError(msg)
        if len(set(self.fields)) < len(self.fields):
            msg = f"{owner}: the template {text!r} names a field twice."
            raise ConfigurationError(msg)
        if RESERVED.intersection(self.fields):
            taken = ", ".join(sorted(RESERVED.intersection(self.fields)))
            msg = f"{owner}: the template {text!r} uses a reserved name as a field: {taken}."
            raise ConfigurationError(msg)

    def expand(self, owner: str, values: Mapping[str, Value]) -> str:
        """Return the path with its fields filled in. Raises ``TypeError`` or ``ValueError``, never showing a value."""
        parts = self.parts.copy()
        position = 1
        for field in self.fields:
            value = values.get(field)
            if value is None:
                raise TypeError(self._missing(owner, values))
            parts[position] = _segment(owner, field, value)
            position += 2
        return "".join(parts)

    def _missing(self, owner: str, values: Mapping[str, Value]) -> str:
        missing = [field for field in self.fields if values.get(field) is None]
        names = ", ".join(map(repr, missing))
        return f"{owner}: field{'s' if len(missing) > 1 else ''} {names} missing for the template {self.text!r}."


def _segment(owner: str, field: str, value: Value) -> str:
    # Most ids: nothing to check, nothing to quote.
    if type(value) is str and value.isascii() and value.isalnum():
        return value
    if type(value) is int:
        return str(value)
    if not isinstance(value, _SCALARS):
        msg = f"{owner}: field {field!r} must be a str, int, float or bool, not {type(value).__name__}."
        raise TypeError(msg)
    text = _text(value)
    if not text or text in _DOTS:
        msg = f"{owner}: field {field!r} is empty or a dot segment, which would address another path."
        raise ValueError(msg)
    return _quoted(owner, f"field {field!r}", text)


def query(owner: str, values: Mapping[str, Value]) -> tuple[str, str]:
    """Return the query string, and the same with every value ``REDACTED``; both without ``?``, ``None`` left out."""
    sent: list[str] = []
    shown: list[str] = []
    for name, value in values.items():
        items: Sequence[object] = value if isinstance(value, list | tuple) else [value]
        for item in items:
            if item is None and value is None:
                continue
            if not isinstance(item, _SCALARS):
                msg = (
                    f"{owner}: query parameter {name!r} must be str, int, float, bool, None or a list of them, "
                    f"not {type(item).__name__}."
                )
                raise TypeError(msg)
            key = _quoted(owner, "the name of a query parameter", name)
            sent.append(f"{key}={_quoted(owner, f'query parameter {name!r}', _text(item))}")
            shown.append(f"{key}=REDACTED")
    return "&".join(sent), "&".join(shown)


def _quoted(owner: str, what: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        msg = f"{owner}: {what} has a lone surrogate, which UTF-8 cannot write."
    raise ValueError(msg)


def _text(value: Scalar) -> str:
    """Write a value as JSON would: true and false, not Python's words."""
    return str(value).lower() if isinstance(value, bool) else str(value)
