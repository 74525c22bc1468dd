"""How many requests per time: GCRA in reserve form, several rates at once, and the pauses that the provider asks for.

A caller reserves and is told when to act; there is no queue, only one number per rate: the time at which everything
claimed so far is worked off. Sources: golang/time ``rate`` (reserve and cancel) and throttled (GCRA). The sleeping is
the pipeline's, reading headers is the transport's.
"""

# Conditions in place of min() and max(): this is on the way of every send, and a call is not free.
# ruff: noqa: FURB136, PLR1730

from collections import deque
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from math import floor, inf
from typing import NamedTuple

from buoy import options

# Times are sums and differences of floats: 5.2 - 0.2 must count as 5.
_SLACK = 1e-9
# Units per second: one in thirty years, and as many as the slack leaves distinct.
_SLOWEST, _FASTEST = 1e-9, 1e6
_LARGEST_BURST = 1e9
_LARGEST = 1e15
# Seconds (thirty years): what a provider says beyond this is no quota.
_LONGEST = 1e9
# A reset is told in whole seconds or milliseconds and on the way for a while: within this (seconds) it is the same one,
# and those who wait need no new turn for it.
_JITTER = 0.05
# A waiter that has neither acted nor cancelled this long after its time (seconds) was forgotten by its owner.
_FORGOTTEN = 60.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``rate`` units per ``per`` seconds, up to ``burst`` of them at once after a quiet time; a call is one unit.

    ``burst=None`` means as many as ``rate``, at least 1. ``max_wait`` is the longest wait in seconds for a turn (also
    while paused); ``None`` means the time left of the call. Raises :class:`ConfigurationError` for values out of range.
    """

    rate: float
    _: KW_ONLY
    per: float = 1.0
    burst: float | None = None
    max_wait: float | None = None

    def __post_init__(self) -> None:
        """Check the values, once, when the policy is built."""
        options.seconds("RateLimit", "per", self.per)
        if not _within(self.rate, 0, _LARGEST) or not _SLOWEST <= self.rate / self.per <= _FASTEST:
            allowed = f"a number from {_SLOWEST:g} to {_FASTEST:g} for each second of per={self.per!r}"
            raise options.wrong("RateLimit", "rate", self.rate, allowed)
        if self.burst is not None and not _within(self.burst, 1, _LARGEST_BURST):
            raise options.wrong("RateLimit", "burst", self.burst, f"a number from 1 to {_LARGEST_BURST:g}")
        if self.max_wait is not None:
            options.seconds("RateLimit", "max_wait", self.max_wait, zero=True)

    @property
    def capacity(self) -> float:
        """The most units at once: ``burst``, or what stands for it."""
        return max(1.0, self.rate) if self.burst is None else self.burst


class Rejected(NamedTuple):
    """No turn within the wait allowed.

    ``retry_after``: seconds after which the same request would fit; ``None`` when it never will.
    """

    retry_after: float | None


class Window(NamedTuple):
    """What the provider lets us send before ``end``; not ``told`` while only assumed to be like the one before."""

    end: float
    left: float
    told: bool


class Reservation:
    """A turn: act at ``act_at``, not before. The rest is the limiter's own book-keeping."""

    __slots__ = ("act_at", "before", "cost", "gone", "window")

    def __init__(
        self,
        act_at: float,
        cost: float,
        before: tuple[float, ...],
        window: Window | None,
        gone: bool,  # noqa: FBT001  # by position, because one is made for every send
    ) -> None:
        self.act_at = act_at
        self.cost = cost
        # Where the limiter returns to if this one and all later ones are cancelled.
        self.before = before
        self.window = window
        self.gone = gone

    def __repr__(self) -> str:
        return f"Reservation(act_at={self.act_at!r}, cost={self.cost!r})"


class Limiter:
    """The state of one or several rates of one provider; without a rate it only obeys what the provider says.

    Whoever reserves and has to wait sleeps until ``act_at``, asks :meth:`act_at` again (a pause may have come) until
    that is not in the future, and then acts; or calls :meth:`cancel` at any time before acting. Acts happen in the
    order of reservation. ``now`` is a monotonic clock, read afresh for every question: a time before an earlier one
    is a clock that stepped back, and the whole timetable steps back with it.
    """

    __slots__ = (
        "_clock",
        "_length",
        "_pending",
        "_quota",
        "_rates",
        "_tats",
        "_window",
        "capacity",
        "max_wait",
        "paused_until",
    )

    def __init__(self, limits: tuple[RateLimit, ...] = ()) -> None:
        # Seconds per unit, and the burst in seconds, of each rate.
        self._rates = tuple((limit.per / limit.rate, limit.capacity * limit.per / limit.rate) for limit in limits)
        # The theoretical arrival time of each rate: when all that was claimed of it is worked off.
        self._tats = (-inf,) * len(limits)
        self._pending: deque[Reservation] = deque()
        self._clock = -inf
        self._window: Window | None = None
        # How much the provider lets us send in each of its windows, and how long they are. Unknown before it spoke.
        self._quota: float
        self._length = 0.0
        self.capacity = min((limit.capacity for limit in limits), default=inf)
        self.max_wait = min((inf if limit.max_wait is None else limit.max_wait for limit in limits), default=inf)
        self.paused_until = -inf

    def reserve(self, now: float, *, cost: float = 1, left: float = inf) -> Reservation | Rejected:
        """Claim ``cost`` units of every rate for the earliest turn, or change nothing: none within ``left`` seconds."""
        if now < self._clock:
            self._step_back(now)
        self._clock = now
        pending = self._pending
        while pending and pending[0].act_at < (now if pending[0].gone else now - _FORGOTTEN):
            pending.popleft()
        if cost > self.capacity:
            return Rejected(None)
        act_at, window = self._turn(now, cost)
        wait = act_at - now
        at_once = wait <= _SLACK
        allowed = self.max_wait if self.max_wait < left else left
        if wait > allowed + _SLACK or wait == inf:
            return Rejected(None if wait == inf else wait - allowed)
        reservation = Reservation(now if at_once else act_at, cost, self._tats, self._window, at_once)
        if self._rates or window is not None or not at_once:
            pending.append(reservation)
            self._claim(reservation, window)
        return reservation

    def is_idle(self, now: float) -> bool:
        """Tell whether a turn now would be had at once, and claim nothing of anybody: most providers have no rate."""
        return not self._rates and self._window is None and not self._pending and now >= self.paused_until

    def act_at(self, reservation: Reservation, now: float) -> float:
        """Return when the reservation may act, as things stand; if that is not in the future, it is taken to act."""
        self._tick(now)
        if reservation.act_at <= now + _SLACK:
            reservation.gone = True
        return reservation.act_at

    def cancel(self, reservation: Reservation, now: float) -> None:
        """Give back what later reservations have not claimed; the rest returns if all of them are cancelled too.

        After its ``act_at`` a reservation gives back nothing. For requests that were not sent.
        """
        self._tick(now)
        pending = self._pending
        if reservation.act_at < now - _SLACK:
            reservation.gone = True
        elif pending and pending[-1] is reservation:
            pending.pop()
            self._tats, self._window = reservation.before, reservation.window
        elif reservation in pending:
            index = pending.index(reservation)
            spare = self._spare(reservation, index)
            if spare > 0:
                self._give_back(reservation, index, spare)
            heir = pending[index + 1]
            heir.before, heir.window = reservation.before, reservation.window
            del pending[index]

    def penalize(self, until: float) -> None:
        """Let nobody act before ``until``, those who wait already included. A pause never shortens an earlier one."""
        if until > self.paused_until:
            self.paused_until = until
            if any(self._waiting()):
                self._rebook(self._standing())

    def pace(
        self, remaining: float, reset: float, now: float, *, limit: float | None = None, window: float | None = None
    ) -> None:
        """Heed the provider: ``remaining`` units for the next ``reset`` seconds. This can only slow us down.

        ``limit`` units in each ``window`` seconds are its policy, where known: it holds for the time after the reset
        as well, and a generous ``remaining`` does not lift the rate above its average.
        """
        if not 0 < reset <= _LONGEST:
            return
        self._tick(now)
        before = self._standing()
        self._length = max(reset, window if window is not None and 0 < window <= _LONGEST else self._length)
        self._quota = inf if limit is None or not limit >= 1 else min(_LARGEST_BURST, limit)
        remaining = max(0.0, min(_LARGEST_BURST, remaining))
        if window is not None:
            remaining = min(remaining, max(1.0, self._quota * reset / self._length))
        told = Window(now + reset, remaining, told=True)
        after = self._agreed(before, told)
        if remaining <= 0:
            self.paused_until, after = max(self.paused_until, told.end), told
        elif after == before:
            return
        self._rebook(after)

    def peek(self, now: float, *, cost: float = 1) -> float | None:
        """Return the seconds that a reservation made now would wait; ``None`` when it never gets a turn."""
        now = max(now, self._clock)
        wait = inf if cost > self.capacity else self._turn(now, cost)[0] - now
        return None if wait == inf else wait if wait > _SLACK else 0.0

    def remaining(self, now: float) -> int | None:
        """Return the whole units left of the tightest own rate; ``None`` without own rates."""
        now = max(now, self._clock)
        left = [
            (depth - max(0.0, tat - now)) / spacing
            for tat, (spacing, depth) in zip(self._tats, self._rates, strict=True)
        ]
        return max(0, floor(min(left) + _SLACK)) if left else None

    def full_in(self, now: float) -> float:
        """Return the seconds until every own rate has its whole burst again."""
        return max(0.0, max(self._tats, default=-inf) - max(now, self._clock))

    def _turn(self, earliest: float, cost: float) -> tuple[float, Window | None]:
        """Return the first turn from ``earliest`` on, behind all who wait, and the provider's window after it."""
        act_at = earliest if earliest > self.paused_until else self.paused_until
        if self._pending and self._pending[-1].act_at > act_at:
            act_at = self._pending[-1].act_at
        for tat, (spacing, depth) in zip(self._tats, self._rates):  # noqa: B905  # strict costs, and both are ours
            turn = tat + cost * spacing - depth
            if turn > act_at:
                act_at = turn
        window = self._window
        return (act_at, None) if window is None else self._within(window, act_at, cost)

    def _within(self, window: Window, act_at: float, cost: float) -> tuple[float, Window | None]:
        """Return the turn that the provider's window leaves, and what is left of it then."""
        if act_at < window.end - _SLACK and cost <= window.left + _SLACK:
            return act_at, window._replace(left=window.left - cost)
        act_at = max(act_at, window.end)
        # Nothing is known of the time after the reset, or nobody spoke for a whole window and what is known is too old.
        if self._quota == inf or self._clock >= window.end + self._length:
            return act_at, None
        passed = floor((act_at - window.end + _SLACK) / self._length)
        end = window.end + (passed + 1) * self._length
        # What costs more than a whole window is let go alone: the provider may count otherwise.
        return act_at, Window(end, max(0.0, self._quota - cost), told=False)

    def _claim(self, reservation: Reservation, window: Window | None) -> None:
        """Take the units of every rate at the time of the turn: a turn delayed by one rate is late for all."""
        self._tats = self._worked_off(self._tats, reservation)
        self._window = window

    def _worked_off(self, tats: tuple[float, ...], reservation: Reservation) -> tuple[float, ...]:
        act_at, cost = reservation.act_at, reservation.cost
        if len(tats) == 1:  # the usual case, without the loop
            return ((tats[0] if tats[0] > act_at else act_at) + cost * self._rates[0][0],)
        return tuple([max(tat, act_at) + cost * rate[0] for tat, rate in zip(tats, self._rates, strict=True)])

    def _spare(self, reservation: Reservation, index: int) -> float:
        """Return the units of the reservation that later ones have not claimed."""
        spare = reservation.cost
        for later in islice(self._pending, index + 1, None):
            spare -= later.cost
            if spare <= 0:
                break
        return spare

    def _give_back(self, reservation: Reservation, index: int, spare: float) -> None:
        """Take ``spare`` units off everything after the reservation, but never below what the later ones claim."""
        needed = reservation.before
        for later in islice(self._pending, index + 1, None):
            later.before = self._lowered(later.before, spare, needed)
            needed = self._worked_off(needed, later)
        self._tats = self._lowered(self._tats, spare, needed)

    def _lowered(self, tats: tuple[float, ...], spare: float, needed: tuple[float, ...]) -> tuple[float, ...]:
        rows = zip(tats, needed, self._rates, strict=True)
        return tuple([max(tat - spare * spacing, least) for tat, least, (spacing, _) in rows])

    def _waiting(self) -> Iterator[Reservation]:
        return (reservation for reservation in self._pending if not reservation.gone)

    def _standing(self) -> Window | None:
        """Return the provider's window without those who wait."""
        return next((reservation.window for reservation in self._waiting()), self._window)

    def _agreed(self, known: Window | None, told: Window) -> Window:
        """Return the window that holds after the provider spoke, given what we had counted ourselves.

        What we sent since is on its way and not in the provider's count, so ours may be the lower one, and it wins.
        """
        if known is None or self._clock >= known.end:
            return told
        if known.told:
            # Resets are told in whole seconds, rounded up: of all ends that are told of a window the first is the
            # nearest, and an answer from the next window, which has begun over there, must not put this one's end off.
            end = told.end if told.end < known.end - _JITTER else known.end
            return Window(end, min(known.left, told.left), told=True)
        # The first answer in a window that we only assumed: it counts itself, and none of the others that we sent.
        sent = max(0.0, self._quota - known.left - 1) if self._quota < inf else 0.0
        return told._replace(left=max(0.0, told.left - sent))

    def _rebook(self, window: Window | None) -> None:
        """Give all who wait a new turn, in their order and never an earlier one; ``window`` is what stands before."""
        entries = list(self._pending)
        self._pending.clear()
        waiting = [entry for entry in entries if not entry.gone]
        if waiting:
            self._tats = entries[0].before
            for entry in entries:
                if entry.gone:
                    self._tats = self._worked_off(self._tats, entry)
        self._window = window
        for entry in waiting:
            entry.before, entry.window = self._tats, self._window
            entry.act_at, after = self._turn(entry.act_at, entry.cost)
            self._claim(entry, after)
            self._pending.append(entry)

    def _tick(self, now: float) -> None:
        if now < self._clock:
            self._step_back(now)
        self._clock = now

    def _step_back(self, now: float) -> None:
        """Move the whole timetable back with the clock, so that nothing is won or lost."""
        by = self._clock - now
        self._tats = tuple([tat - by for tat in self._tats])
        self._window = _moved(self._window, by)
        self.paused_until -= by
        for entry in self._pending:
            entry.act_at -= by
            entry.before = tuple([tat - by for tat in entry.before])
            entry.window = _moved(entry.window, by)


def _moved(window: Window | None, by: float) -> Window | None:
    return None if window is None else window._replace(end=window.end - by)


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
