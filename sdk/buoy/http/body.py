"""Bodies: what is sent, and what an answer's body becomes. No value of a body is ever part of an error."""

import codecs
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import from_json, to_jsonable_python

from buoy.errors import ConfigurationError

T = TypeVar("T")

# Codecs of Python's own that no body is written in: some warn, some take time that grows with the square. UTF-7 keeps
# what it has read without a limit, and browsers refuse it too (WHATWG Encoding has no such label).
NO_CHARSETS = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
)


class MisfitError(Exception):
    """A body that is not what was declared, or not what we take.

    ``reason`` is ``malformed``, ``misfit``, ``too_large`` or ``content_encoding``; ``text`` says where.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


def encode(owner: str, *, json_value: Any, data: Any) -> tuple[bytes | None, str | None]:
    """Return the bytes to send and their content type; ``(None, None)`` for no body.

    ``json_value`` is anything JSON or pydantic can write; ``data`` is bytes, text, or a mapping for a form. Raises
    ``TypeError`` or ``ValueError`` before anything is sent.
    """
    if json_value is not None and data is not None:
        msg = f"{owner}: give json= or data=, not both."
        raise TypeError(msg)
    if json_value is not None:
        return _json(owner, json_value), "application/json"
    if data is None:
        return None, None
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), "application/octet-stream"
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    if isinstance(data, Mapping):
        return urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    msg = f"{owner}: data= must be bytes, str or a mapping (a form), not {type(data).__name__}."
    raise TypeError(msg)


def _json(owner: str, value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=to_jsonable_python).encode()
    except (TypeError, ValueError, RecursionError) as error:
        msg = f"{owner}: json= cannot be written as JSON ({type(error).__name__})."
    raise TypeError(msg)


class Decoder(Generic[T]):
    """Turns a body into the declared model: anything pydantic's ``TypeAdapter`` takes.

    Without a model: decoded JSON, or text, or bytes, by content type; ``None`` for an empty body.
    """

    __slots__ = ("_adapter", "_fields")

    def __init__(self, owner: str, model: Any) -> None:
        self._fields: frozenset[str] | None = None
        self._adapter: TypeAdapter[T] | None = None
        if model is None:
            return
        try:
            self._adapter = TypeAdapter(model)
            self._adapter.rebuild()  # of a name that is not defined, pydantic else tells only when a body has come
        except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
            msg = f"{owner}: pydantic cannot make a model of {model!r} ({type(error).__name__})."
            raise ConfigurationError(msg) from error

    def decode(self, body: bytes, content_type: str) -> T:
        """Return the value of a body. Raises :class:`MisfitError` with the path of the first misfit, and no value."""
        if self._adapter is None:
            value: Any = plain(body, content_type)
            return value  # type: ignore[no-any-return]  # without a model, T is Any
        try:
            return self._adapter.validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise MisfitError("malformed", "the body is not JSON")
        raise MisfitError("misfit", f"the body does not fit the model at {self._path(first['loc'])} ({first['type']})")

    def _path(self, location: tuple[int | str, ...]) -> str:
        """Write where the misfit is; keys that no model declares are data of the body, and shown as ``*``."""
        if self._fields is None:
            self._fields = _declared(self._adapter)
        known = self._fields
        return "$" + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part if part in known else '*'}" for part in location
        )


def _declared(adapter: Any) -> frozenset[str]:
    """Return the names of all fields of a model, from its JSON schema where it has one."""
    try:
        schema = adapter.json_schema()
    except PydanticUserError:
        return frozenset()
    names: set[str] = set()
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            names.update(node.get("properties", ()))
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return frozenset(names)


def plain(body: bytes, content_type: str) -> Any:
    """Return a body by its content type: decoded JSON, text, or the bytes; ``None`` when it is empty."""
    if not body:
        return None
    kind, charset = _kind(content_type)
    if kind == "json":
        try:
            return _loaded(body)
        except (ValueError, RecursionError):
            raise MisfitError("malformed", "the body is not JSON") from None
    if kind == "text":
        try:
            if codecs.lookup(charset).name in NO_CHARSETS:
                raise LookupError
            return body.decode(charset)
        except (LookupError, ValueError):
            raise MisfitError("malformed", "the body is not text in the charset it declares") from None
    return body


def _loaded(body: bytes) -> Any:
    try:
        return from_json(body)  # in a quarter of the time; what it takes, it takes as json does
    except ValueError:
        return json.loads(body)  # which takes more: UTF-16, a byte order mark, lone surrogates, deep nesting


def charset_of(content_type: str) -> str:
    """Return the charset that a content type declares, or UTF-8."""
    return _kind(content_type)[1]


@lru_cache(maxsize=64)
def _kind(content_type: str) -> tuple[str, str]:
    """Return ``json``, ``text`` or ``bytes`` for a content type, and the charset it declares."""
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if media == "application/json" or media.endswith("+json"):
        return "json", "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"')
            break
    else:
        charset = "utf-8"
    return ("text" if media.startswith("text/") else "bytes"), charset
