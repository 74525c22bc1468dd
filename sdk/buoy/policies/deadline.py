"""How long a call and each of its tries may take. Deadlines are absolute inside; seconds at the edge."""

from dataclasses import dataclass, field
from math import inf

from buoy import options

ATTEMPT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Limits in seconds: ``total`` for the whole call with all tries and waits, ``attempt`` for one try.

    ``attempt=None`` means min(10, total); of a streamed answer it ends with the headers. ``total=math.inf`` is no
    limit, as an endless stream needs it. ``first_byte`` is the longest wait for the answer to begin once the request is
    sent, ``between_bytes`` the longest silence after that; ``None`` leaves both to the other two. Defaults: 30 s and
    10 s, as in Microsoft's standard resilience handler (aiohttp's own 300 s is too long for a service that has callers
    itself).
    Raises :class:`ConfigurationError` for values that are negative or zero, or an attempt timeout above the total.
    """

    total: float = 30.0
    attempt: float | None = None
    first_byte: float | None = None
    between_bytes: float | None = None
    # The limit of one try in seconds, whichever of the two it comes from: every try asks for it.
    per_attempt: float = field(init=False, repr=False, compare=False, default=inf)

    def __post_init__(self) -> None:
        """Check the values, once, when the policy is built."""
        if self.total != inf:
            options.seconds("Timeout", "total", self.total)
        if self.attempt is not None:
            options.seconds("Timeout", "attempt", self.attempt, maximum=self.total)
        for option in ("first_byte", "between_bytes"):
            value = getattr(self, option)
            if value is not None:
                options.seconds("Timeout", option, value)
        object.__setattr__(self, "per_attempt", min(ATTEMPT, self.total) if self.attempt is None else self.attempt)


def deadline_at(timeout: Timeout | None, now: float, asked: float | None = None) -> float:
    """Return the absolute deadline of a call that starts now; ``asked`` (seconds) may shorten it, never lengthen it."""
    total = inf if timeout is None else timeout.total
    return now + (total if asked is None else min(asked, total))


def time_left(deadline: float, *, now: float) -> float:
    """Return the seconds left for tries and waits together; 0 when the deadline has passed."""
    return max(0.0, deadline - now)


def attempt_limit(timeout: Timeout | None, left: float) -> float:
    """Return the limit of the next try in seconds: its own, or the time left if that is less."""
    return left if timeout is None else min(timeout.per_attempt, left)
