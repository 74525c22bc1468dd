"""What a scripted provider shall do: its lines, checked when they are written, and which is next. No sockets."""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, TypedDict, Unpack

from multidict import CIMultiDict
from yarl import URL

from buoy import options
from buoy.errors import ConfigurationError
from buoy.http.headers import objection as objection_to

_PATIENCE = 10  # seconds; a test that waits for what never comes shall fail and say so
_NO_BODY = frozenset({204, 304})


class Said(TypedDict, total=False):
    """The options of an answer, and how often it is given: once, unless ``times=`` or ``always=True`` says more."""

    status: int
    json: Any
    body: str | bytes
    headers: Mapping[str, str] | None
    times: int
    always: bool


class Fault(Enum):
    """What becomes of an answer."""

    NONE = "answer"
    CUT = "cut"
    HANG = "hang"


class Hang:
    """An answer that is held back: wait until it was asked for, let the caller wait, then release it."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._asked = asyncio.Event()
        self._released = asyncio.Event()

    async def arrived(self) -> None:
        """Wait until a request has come that now hangs. Raises ``AssertionError`` when none comes within 10 s."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._asked.wait()
        except TimeoutError:
            msg = f"no request came for {self._where}, which was to hang, within {_PATIENCE} s"
            raise AssertionError(msg) from None

    def release(self) -> None:
        """Give the answer: to the request that hangs, and at once to those that follow."""
        self._released.set()

    async def held(self) -> None:
        """Hold a request back until the release."""
        self._asked.set()
        await self._released.wait()

    def __repr__(self) -> str:
        return f"<Hang {self._where}{' released' if self._released.is_set() else ''}>"


class Line:
    """One answer, or what comes in its place; ``after`` is how much of the body comes before the fault, if any does."""

    def __init__(self, where: str, fault: Fault, after: int | None, said: Said) -> None:
        owner = f"{fault.value} for {where}"
        self.fault = fault
        self.after = after
        self.hang = Hang(where)
        self.asked = 0
        self.status = options.count(owner, "status", said.get("status", 200), minimum=200, maximum=599)
        self.times = _times(owner, said)
        self.body, kind = _body(owner, said)
        self.headers = _headers(owner, said.get("headers"), kind)
        self._check(owner, {"status", "json", "body", "headers"}.intersection(said))

    @property
    def used_up(self) -> bool:
        """Whether it was given as often as it was meant to be."""
        return self.asked >= self.times

    @property
    def missed(self) -> str:
        """What of it was never asked for, in words; empty where nothing was."""
        if self.used_up or (self.asked and self.times == math.inf):
            return ""
        return (
            self.fault.value if self.times in {1, math.inf} else f"{self.fault.value}, {self.asked} of {self.times:g}"
        )

    def _check(self, owner: str, given: set[str]) -> None:
        """Refuse what would not be seen by the caller, or would be another thing than was meant."""
        if self.status in _NO_BODY and self.body:
            raise ConfigurationError(f"{owner}: an answer of status {self.status} has no body.")
        if self.after is not None:
            options.count(owner, "after", self.after, minimum=0, maximum=max(len(self.body) - 1, 0))
            if not self.body:
                raise ConfigurationError(f"{owner}: after= counts bytes of a body, and there is none.")
        elif self.fault is Fault.CUT and given:
            named = ", ".join(sorted(given))
            raise ConfigurationError(f"{owner}: without after= nothing is answered, so {named} would never be seen.")


class Script:
    """The lines of all methods and paths, each given in its order."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], list[Line]] = {}

    def add(self, method: str, path: str, fault: Fault, after: int | None, **said: Unpack[Said]) -> Line:
        """Write one more line for a method and path."""
        where = f"{method} {path}"
        if not path.startswith("/") or "?" in path or "#" in path:
            allowed = "a path that begins with '/', without query: answers are told apart by method and path"
            raise options.wrong(where, "path", path, allowed)
        line = Line(where, fault, after, said)
        lines = self._lines.setdefault(_key(method, path), [])
        if lines and lines[-1].times == math.inf:
            raise ConfigurationError(f"{where}: what is given always is the last; nothing can follow it.")
        lines.append(line)
        return line

    def next(self, method: str, path: str) -> Line | None:
        """Return the line for a request, which is then used; ``None`` where nothing is left."""
        for line in self._lines.get(_key(method, path), ()):
            if not line.used_up:
                line.asked += 1
                return line
        return None

    def missed(self) -> Iterator[str]:
        """Return what was never asked for."""
        for (method, path), lines in self._lines.items():
            yield from (f"{method} {path} ({line.missed})" for line in lines if line.missed)


def _key(method: str, path: str) -> tuple[str, str]:
    # Both ways of writing a path, with its characters or with their encoding, are the same path.
    return method.upper(), URL(f"http://provider{path}").raw_path


def _times(owner: str, said: Said) -> float:
    if said.get("always"):
        if "times" in said:
            raise ConfigurationError(f"{owner}: either always= or times=, not both.")
        return math.inf
    return options.count(owner, "times", said.get("times", 1), minimum=1, maximum=1_000_000)


def _body(owner: str, said: Said) -> tuple[bytes, str | None]:
    """Return the bytes of the body, and the type that they have unless the headers say another."""
    if "json" in said:
        if "body" in said:
            raise ConfigurationError(f"{owner}: either json= or body=, not both.")
        return json.dumps(said["json"]).encode(), "application/json"
    body = said.get("body", b"")
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    options.instance(owner, "body", body, bytes, optional=False)
    return body, None


def _headers(owner: str, given: Mapping[str, str] | None, kind: str | None) -> CIMultiDict[str]:
    for name, value in (given or {}).items():
        objection = objection_to(name, value)
        if objection is not None:
            raise ConfigurationError(f"{owner}: headers=: {objection}.")
    headers = CIMultiDict(given or {})
    if kind is not None:
        headers.setdefault("Content-Type", kind)
    return headers
