"""What a call hands back: the value and what became of it on the way. Nothing here decides anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from buoy.outcome import DuplicateSource, Origin, WaitCause

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What the provider says of its own limit: requests allowed and left, and seconds from now until it is full."""

    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The story of one call. Times are in seconds.

    ``attempts`` counts tries, ``sends`` every request on the wire (a silent resend of the transport included).
    ``duplicate`` says that the request may have run twice, and ``duplicate_source`` why we think so. ``waited`` maps
    each cause to the time spent waiting for it before sending. ``quota`` is ``None`` where the provider said nothing
    of it, ``stored`` where no store was asked to keep the result. ``trace_id`` is 32 hex digits, ``None`` where no
    trace was recorded.
    """

    request_id: str
    provider: str
    operation: str
    attempts: int
    sends: int
    duration: float
    duplicate: bool = False
    duplicate_source: DuplicateSource | None = None
    origin: Origin = Origin.LIVE
    waited: Mapping[WaitCause, float] = field(default_factory=dict)
    quota: Quota | None = None
    stored: bool | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Result(Generic[T]):
    """A value and its :class:`Meta`. The value stays out of the repr: it is the caller's data."""

    value: T = field(repr=False)
    meta: Meta


@dataclass(frozen=True, slots=True)
class HttpResult(Result[T]):
    """A result over HTTP: also the status and the headers (case-insensitive) of the answer."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
