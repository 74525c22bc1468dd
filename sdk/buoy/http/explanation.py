"""What a rule may read in the body of an answer: anything at all, by functions that answer ``None`` to garbage.

Nothing here knows what a body means. XML is not parsed: the few words that matter are found by a bounded pattern in the
raw bytes, because the standard parsers expand entities and follow a document type that the other side wrote.
"""

import json
import re
from typing import Any

# A body that explains an error is small. What is larger is not parsed to find out: the event loop would stand still.
LARGEST = 2**16
CODE = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
# Every id that is a number, and thirty million years in seconds; beyond it, floats leave numbers out.
_HUGE = 10**15
_DIGITS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_UNREAD = object()


class Explanation:
    """The body of an answer, parsed at most once, and only if a rule asks. Garbage is ``None`` everywhere."""

    __slots__ = ("_json", "media", "raw")

    def __init__(self, raw: bytes, content_type: str = "") -> None:
        self.raw = raw
        self.media = content_type.partition(";")[0].strip().lower()
        self._json: Any = _UNREAD

    @property
    def json(self) -> Any:
        """The decoded body, ``None`` where it is not JSON or too large to be a mere explanation."""
        if self._json is _UNREAD:
            self._json = decoded(self.raw)
        return self._json

    def at(self, *path: str | int) -> Any:
        """Return what is at ``path``, ``None`` where there is nothing."""
        return member(self.json, *path)

    def found(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Return where ``pattern`` is in the raw bytes: a cheap look before a success is parsed."""
        return pattern.search(self.raw, 0, LARGEST)

    def __repr__(self) -> str:
        return f"<Explanation of {len(self.raw)} bytes, {self.media or 'unknown type'}>"


def decoded(text: bytes | str | None) -> Any:
    """Return JSON decoded, ``None`` where it is none. Depth and digits are bounded by the decoder, which says so."""
    if text is None or not 0 < len(text) <= LARGEST:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def member(value: Any, *path: str | int) -> Any:
    """Return what is inside ``value`` at ``path``: keys of objects and indexes of arrays."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def records(value: Any) -> list[dict[str, Any]]:
    """Return the objects in an array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """Return a string, empty where it is none."""
    return value if isinstance(value, str) else ""


def word(value: Any) -> str | None:
    """Return a code that can be shown: a short word without spaces, or a whole number as one."""
    if type(value) is int and -_HUGE < value < _HUGE:
        return str(value)
    return matching(CODE, value)


def number(value: Any) -> float | None:
    """Return a finite number of a size that arithmetic is safe with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_HUGE < value < _HUGE:
        return None
    return float(value)


def digits(value: str | None) -> float | None:
    """Return a number written in a header: digits, perhaps with a fraction."""
    return float(value) if value is not None and _DIGITS.fullmatch(value) else None


def matching(pattern: re.Pattern[str], value: Any) -> str | None:
    """Return a string that is ``pattern`` from end to end."""
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
