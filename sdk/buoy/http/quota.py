"""What an answer's headers say of the provider's own limits, in the dialects that are in use.

The structured fields ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers, September 2025), the
triple of the older drafts (``RateLimit-Limit``, ``-Remaining``, ``-Reset``), and ``X-RateLimit-*``, ``X-Rate-Limit-*``.
Whatever is malformed, or comes from a cache, says nothing and never raises. Nothing here decides how fast to send.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, inf
from typing import Any, TypeVar, cast

from http_sf import parse
from multidict import MultiMapping, istr

from buoy.http import headers
from buoy.result import Quota

POLICY = istr("RateLimit-Policy")
LIMIT = istr("RateLimit")
_REQUESTS = (None, "requests")

# In the order of preference: the first of which anything is readable is believed.
_TRIPLES = tuple(
    (istr(f"{prefix}-Limit"), istr(f"{prefix}-Remaining"), istr(f"{prefix}-Reset"))
    for prefix in ("RateLimit", "X-RateLimit", "X-Rate-Limit")
)
_NAMES = (LIMIT, POLICY, *(name for triple in _TRIPLES for name in triple))

# No more digits than a structured field's Integer has. Reddit sends fractions of a request.
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,}(Z|[+-][0-9:]{4,6})?")
# 31 years: as seconds from now it is more than anybody means, so a larger number is a moment (1e9 was in 2001), and
# one that is a thousand times larger is a moment in milliseconds.
_LONGEST = 1e9
_MILLISECONDS = 1e12

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An item of ``RateLimit-Policy``: ``quota`` units per ``window`` seconds. ``unit=None`` means requests."""

    name: str
    quota: int
    unit: str | None = None
    window: int | None = None
    partition: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """An item of ``RateLimit``: the units ``remaining`` for the next ``reset`` seconds."""

    name: str
    remaining: int
    reset: int | None = None
    partition: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one answer said.

    ``limit``, ``remaining`` and ``reset`` (seconds from now) are those of the tightest limit that counts requests;
    ``window`` is its length in seconds, where a policy says so. ``policies`` and ``limits`` are the structured fields
    as they came. ``ignored`` names the headers not believed.
    """

    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None
    window: int | None = None
    policies: tuple[Policy, ...] = ()
    limits: tuple[Limit, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def quota(self) -> Quota | None:
        """The same for the caller, ``None`` where nothing was said."""
        if self.limit is None and self.remaining is None and self.reset is None:
            return None
        return Quota(limit=self.limit, remaining=self.remaining, reset=self.reset)

    @property
    def pause(self) -> float | None:
        """The seconds until anything is allowed again; ``None`` where something is left or the time is unknown."""
        if not self.limits:
            return self.reset if self.remaining == 0 else None
        used_up = [item.reset for item in self.limits if item.remaining == 0 and item.reset is not None]
        return min(_LONGEST, max(used_up)) if used_up else None

    @property
    def remaining_rate(self) -> float | None:
        """Requests per second that use up what remains just until it is full again; 0 during a pause."""
        if not self.limits:
            return self.remaining / self.reset if self.remaining is not None and self.reset else None
        counted = _counting_requests(self.limits, self.policies)
        return min((item.remaining / item.reset for item in counted if item.reset), default=None)

    @property
    def policy_rate(self) -> float | None:
        """Requests per second that the policies allow on average, the strictest of them."""
        counted = [item for item in self.policies if item.unit in _REQUESTS and item.window]
        return min((item.quota / item.window for item in counted if item.window), default=None)

    @property
    def rate(self) -> float | None:
        """Requests per second to stay below. A generous remainder never lifts it above the policy's average."""
        known = [rate for rate in (self.remaining_rate, self.policy_rate) if rate is not None]
        return min(known, default=None)


def read(answer: MultiMapping[str], *, now: float) -> Reading | None:
    """Return what an answer's headers say of limits, ``None`` where there is no such header.

    ``now`` is the wall clock in seconds since the epoch, for a reset given as a moment; the answer's own ``Date`` is
    preferred to it, because the moment is by the same clock.
    """
    for name in _NAMES:  # a loop, because every answer is asked and most say nothing
        if name in answer:
            break
    else:
        return None
    if _from_cache(answer):
        return Reading(ignored=tuple(name for name in _NAMES if name in answer))
    policies, limits = _items(answer, POLICY, _policy), _items(answer, LIMIT, _limit)
    unread = [str(name) for name, items in ((LIMIT, limits), (POLICY, policies)) if items == () and name in answer]
    window: int | None = None
    if limits:
        limit, remaining, reset, window = _tightest(limits, policies)
    else:
        limit, remaining, reset, bad = _triple(answer, now)
        unread += bad
        if limit is None and remaining is None:
            limit = min((item.quota for item in policies if item.unit in _REQUESTS), default=None)
    return Reading(
        limit=limit,
        remaining=remaining,
        reset=reset,
        window=window,
        policies=policies,
        limits=limits,
        ignored=tuple(unread),
    )


def pause_asked(answer: MultiMapping[str], reading: Reading | None) -> float | None:
    """Return the seconds that an answer asks us to stay away: its Retry-After, else the reading's own pause."""
    asked = headers.wait_asked(answer)
    if asked is not None or reading is None:
        return asked
    return reading.pause


def _from_cache(answer: MultiMapping[str]) -> bool:
    age = answer.get("Age", "").split(",", 1)[0].strip()
    return age.isascii() and age.isdigit() and age.strip("0") != ""


def _items(answer: MultiMapping[str], name: str, item: Callable[[object, dict[str, Any]], T | None]) -> tuple[T, ...]:
    """Return the items of a structured field, over all its lines; none where one of them is malformed."""
    if name not in answer:
        return ()
    try:
        listed = parse(", ".join(answer.getall(name)).encode("ascii"), tltype="list")
    except ValueError:  # not ASCII, or not in the grammar
        return ()
    items = [item(value, parameters) for value, parameters in cast("list[tuple[object, dict[str, Any]]]", listed)]
    known = tuple(each for each in items if each is not None)
    return known if len(known) == len(items) else ()


def _policy(name: object, given: dict[str, Any]) -> Policy | None:
    values: list[Any] = [given.get(key) for key in ("q", "qu", "w", "pk")]
    quota, unit, window, partition = values
    right = isinstance(name, str) and _is_count(quota) and isinstance(unit, str | None)
    right = right and (window is None or (_is_count(window) and window > 0)) and isinstance(partition, bytes | None)
    return Policy(name=str(name), quota=quota, unit=unit, window=window, partition=partition) if right else None


def _limit(name: object, given: dict[str, Any]) -> Limit | None:
    values: list[Any] = [given.get(key) for key in ("r", "t", "pk")]
    remaining, reset, partition = values
    right = isinstance(name, str) and _is_count(remaining) and (reset is None or _is_count(reset))
    right = right and isinstance(partition, bytes | None)
    return Limit(name=str(name), remaining=remaining, reset=reset, partition=partition) if right else None


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0  # a bool is an int, and `r=?1` is no number


def _counting_requests(limits: tuple[Limit, ...], policies: tuple[Policy, ...]) -> list[Limit]:
    """Return the limits that count requests; where no policy says what is counted, it is requests."""
    others = {policy.name for policy in policies if policy.unit not in _REQUESTS}
    return [limit for limit in limits if limit.name not in others]


def _tightest(
    limits: tuple[Limit, ...], policies: tuple[Policy, ...]
) -> tuple[int | None, int | None, float | None, int | None]:
    """Return limit, remaining, reset and window of what ends first, and of those the one that lasts longest."""
    counted = _counting_requests(limits, policies)
    if not counted:
        return None, None, None, None
    first = min(counted, key=lambda item: (item.remaining, -(inf if item.reset is None else item.reset)))
    policy = next((policy for policy in policies if policy.name == first.name), None)
    reset = None if first.reset is None else min(_LONGEST, float(first.reset))
    if policy is None:
        return None, first.remaining, reset, None
    return policy.quota, first.remaining, reset, policy.window


def _triple(answer: MultiMapping[str], now: float) -> tuple[int | None, int | None, float | None, list[str]]:
    """Return limit, remaining and reset of the first dialect that is readable, and the headers that were not."""
    unread: list[str] = []
    for names in _TRIPLES:
        limit, remaining = (_amount(answer.get(name)) for name in names[:2])
        reset = _seconds(answer, names[2], now)
        read_here = (limit, remaining, reset)
        unread += [str(name) for name, value in zip(names, read_here, strict=True) if value is None and name in answer]
        if read_here != (None, None, None):
            return limit, remaining, reset, unread
    return None, None, None, unread


def _amount(text: str | None) -> int | None:
    """Return a number of requests; what follows is a window (Docker Hub: ``100;w=21600``) or more policies."""
    if text is None:
        return None
    number = re.split("[,;]", text, maxsplit=1)[0].strip()
    return int(float(number)) if _NUMBER.fullmatch(number) else None


def _seconds(answer: MultiMapping[str], name: str, now: float) -> float | None:
    """Return a reset as seconds from now: it is given as seconds (or, beyond a limit, as a moment) or as a date."""
    text = answer.get(name, "").strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number <= _LONGEST:
            return number
        moment: float | None = number / 1000 if number > _MILLISECONDS else number
    else:
        moment = _iso(text) if _ISO.fullmatch(text) else headers.http_date(text)
    if moment is None:
        return None
    answered = headers.http_date(answer.get("Date"))
    # Up to the next whole second: a moment is often rounded down, and one request too early is a 429.
    left = ceil(moment - (now if answered is None else answered) - 1e-6)
    return float(min(_LONGEST, max(0, left)))


def _iso(text: str) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC).timestamp() if when.tzinfo is None else when.timestamp()
