"""Bodies of several parts, ``multipart/form-data``: what the caller gives, and how it is written.

Sources: RFC 7578; WHATWG HTML section 4.10.21.8 for how names are written: as they are, in UTF-8, with quotes escaped.
aiohttp's writer can be sent once, so each send gets one of its own.
"""

import mimetypes
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from buoy.http.upload import Opened, Payload

Scalar = str | int | float | bool | bytes | None

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class File:
    """One file of a multipart body: bytes, text, a path, a binary file, an async iterator, or a function for one.

    Without ``filename`` it is that of the path or file, else the name of the part; without ``content_type`` it is
    guessed from the file's name.
    """

    content: Any = field(repr=False)
    filename: str | None = field(default=None, kw_only=True)
    content_type: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Multipart:
    """A form with files. Each value may be a list; a field that is ``None`` is left out, as in a query.

    A file is a :class:`File`, or what one can be made of.
    """

    fields: Mapping[str, Scalar | Sequence[Scalar]] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Multipart: fields {len(self.fields)}, files {len(self.files)}>"


class Part(NamedTuple):
    """One part of a form; one with a ``filename`` is a file."""

    name: str
    payload: Payload
    filename: str | None = None
    content_type: str | None = None


class Form:
    """A multipart body. It can be sent again where all of its parts can."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    @property
    def replayable(self) -> bool:
        """Whether it can be sent any number of times."""
        return all(part.payload.replayable for part in self._parts)

    @property
    def spent(self) -> bool:
        """Whether it can not be sent again."""
        return any(part.payload.spent for part in self._parts)

    async def open(self) -> Opened:
        """Return it for one send."""
        writer = aiohttp.MultipartWriter("form-data")
        within: list[Opened] = []
        form = Opened(writer, {"Content-Type": writer.headers["Content-Type"]}, within=within)
        try:
            for part in self._parts:
                opened = await part.payload.open()
                within.append(opened)
                writer.append_payload(_written(part, opened))
        except BaseException:
            form.close()
            raise
        return form


def _written(part: Part, opened: Opened) -> aiohttp.Payload:
    payload = aiohttp.get_payload(b"" if opened.body is None else opened.body)
    disposition = f'form-data; name="{_quoted(part.name)}"'
    # aiohttp's own idea of both is for messages, and browsers send no type for a field.
    payload.headers.clear()
    if part.filename is not None:
        disposition += f'; filename="{_quoted(part.filename)}"'
        payload.headers["Content-Type"] = part.content_type or _guessed(part.filename)
    payload.headers["Content-Disposition"] = disposition
    return payload


def _quoted(name: str) -> str:
    return name.replace('"', "%22")


def _guessed(filename: str) -> str:
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def parts(owner: str, form: Multipart, prepare: Callable[[Any], Payload]) -> Iterator[Part]:
    """Give the parts of a form; ``prepare`` makes bodies of what is in them. Raises ``TypeError`` or ``ValueError``."""
    for name, value in _flat(form.fields):
        _check(owner, "the name of a field", name)
        if value is not None:
            yield Part(name, prepare(_field(owner, name, value)))
    for name, value in _flat(form.files):
        _check(owner, "the name of a file", name)
        yield _file(owner, name, value if isinstance(value, File) else File(value), prepare)


def _flat(named: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in named.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            yield name, one


def _field(owner: str, name: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str | int | float):
        kinds = "str, int, float, bool, bytes, None or a list of them"
        raise TypeError(f"{owner}: field {name!r} must be {kinds}, not {type(value).__name__}.")
    try:
        return (str(value).lower() if isinstance(value, bool) else str(value)).encode()
    except UnicodeEncodeError:
        msg = f"{owner}: field {name!r} has a lone surrogate, which UTF-8 cannot write."
    raise ValueError(msg)


def _file(owner: str, name: str, file: File, prepare: Callable[[Any], Payload]) -> Part:
    content = file.content
    if content is None or isinstance(content, Mapping | Multipart):
        raise TypeError(f"{owner}: file {name!r} cannot be made of {type(content).__name__}.")
    filename = file.filename or _name_of(content) or name
    _check(owner, "a file name", filename)
    if file.content_type is not None:
        _check(owner, "the content type of a file", file.content_type)
    return Part(name, prepare(content), filename, file.content_type)


def _name_of(content: object) -> str:
    """Return the name of a path or file without its folders, which are nobody else's business."""
    path = content if isinstance(content, os.PathLike) else getattr(content, "name", None)
    return Path(os.fsdecode(path)).name if isinstance(path, str | os.PathLike) else ""


def _check(owner: str, what: str, text: object) -> None:
    if not isinstance(text, str) or _UNSENDABLE.search(text):
        raise ValueError(f"{owner}: {what} must be a str without control characters.")
