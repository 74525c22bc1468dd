"""The limiter's components: one limiter, seen as GCRA, as a token bucket, over a long run, and by who waits in it."""

import re
from math import ceil, inf

from buoy.policies.rate_limit import Limiter, RateLimit, Rejected, Reservation
from tests.support.vectors.component import Component, Fields

_WAITER = re.compile(r"(?P<name>[^:]+):(?P<cost>[0-9.]+)(?: x(?P<times>[0-9]+))?")


class _Limited(Component):
    """A limiter of one rate, and its clock."""

    in_sequence = True

    def __init__(self, config: Fields, rate: float, burst: float) -> None:
        super().__init__(config)
        self._rate = rate
        self._burst = burst
        self._limiter = Limiter((RateLimit(rate, burst=burst, max_wait=config.get("max_wait_s")),))
        self._now = 0.0

    def _at(self, step: Fields) -> float:
        self._now = step.get("t", self._now)
        return self._now

    def _tokens(self) -> float:
        return self._burst - self._limiter.full_in(self._now) * self._rate


class Gcra(_Limited):
    """``limiter_gcra``: now or not at all, and what the headers of an answer would say."""

    operations = frozenset({"limit"})
    fields = frozenset({"algorithm", "capacity", "cost", "rate_per_s"})
    expectations = frozenset({"limited", "remaining", "reset_s", "retry_after_s"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config, config["rate_per_s"], config["capacity"])

    def take(self, step: Fields) -> Fields:
        """Ask for the cost of the step."""
        now = self._at(step)
        taken = self._limiter.reserve(now, cost=step.get("cost", 1), left=0)
        return {
            "limited": isinstance(taken, Rejected),
            "remaining": self._limiter.remaining(now),
            "reset_s": self._limiter.full_in(now),
            "retry_after_s": taken.retry_after if isinstance(taken, Rejected) else None,
        }


class TokenBucket(_Limited):
    """``limiter_token_bucket``: now or not at all, reservations, and their cancellation."""

    operations = frozenset({"allow", "cancel", "reserve"})
    fields = frozenset({"algorithm", "burst", "cost", "id", "max_wait_s", "rate_per_s"})
    expectations = frozenset({"act_at", "allowed", "ok", "tokens_before"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config, config["rate_per_s"], config["burst"])
        self._reserved: dict[str, Reservation | Rejected] = {}

    def take(self, step: Fields) -> Fields:
        """Allow, reserve or cancel."""
        now = self._at(step)
        if step["op"] == "cancel":
            reserved = self._reserved[step["id"]]
            if isinstance(reserved, Reservation):
                self._limiter.cancel(reserved, now)
            return {}
        tokens = self._tokens()
        waits = step["op"] == "reserve"
        taken = self._limiter.reserve(now, cost=step.get("cost", 1), left=inf if waits else 0)
        granted = isinstance(taken, Reservation)
        if not waits:
            return {"tokens_before": tokens, "allowed": granted}
        if "id" in step:
            self._reserved[step["id"]] = taken
        return {"ok": granted, "act_at": taken.act_at if isinstance(taken, Reservation) else None}


class LongRun(_Limited):
    """``limiter_property``: any algorithm; there is one, and both faces of it ask the same question."""

    in_sequence = False
    operations = frozenset({"offer"})
    fields = frozenset({"algorithm", "burst", "every_s", "for_s", "rate_per_s"})
    expectations = frozenset({"admitted_max", "admitted_min"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config, config["rate_per_s"], config["burst"])

    def take(self, step: Fields) -> Fields:
        """Offer calls that never wait, and count those admitted."""
        start, every = self._at(step), step["every_s"]
        offers = ceil(step["for_s"] / every - 1e-9)
        taken = [self._limiter.reserve(start + number * every, left=0) for number in range(offers)]
        admitted = sum(isinstance(one, Reservation) for one in taken)
        return {"admitted_min": admitted, "admitted_max": admitted}

    def same(self, name: str, got: float, want: float) -> bool:
        """Compare with the bounds, inclusive."""
        return got >= want if name == "admitted_min" else got <= want


class Fairness(_Limited):
    """``limiter_fairness``: waiters sleep until their turn, ask again, and are served."""

    operations = frozenset({"check", "drain", "enqueue"})
    fields = frozenset({"algorithm", "capacity", "order", "refill_period_s"})
    expectations = frozenset({"first_served"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config, config["capacity"] / config["refill_period_s"], config["capacity"])
        self._waiters: list[tuple[str, Reservation]] = []

    def take(self, step: Fields) -> Fields:
        """Take all tokens, let waiters come, or let time pass until all of them are served."""
        now = self._at(step)
        if step["op"] == "drain":
            self._limiter.reserve(now, cost=max(0.0, self._tokens()), left=0)
        elif step["op"] == "enqueue":
            for waiter in step["order"]:
                self._enqueue(waiter)
        else:
            return {"first_served": self._serve()}
        return {}

    def _enqueue(self, waiter: str) -> None:
        read = _WAITER.fullmatch(waiter)
        if read is None:
            raise ValueError(f"waiter {waiter!r} is not in the README")
        for _ in range(int(read["times"] or 1)):
            turn = self._limiter.reserve(self._now, cost=float(read["cost"]))
            if isinstance(turn, Rejected):
                raise ValueError(f"waiter {waiter!r} would never be served")  # noqa: TRY004  # it is the vector's number
            self._waiters.append((read["name"], turn))

    def _serve(self) -> str | None:
        """Wake the waiters by the time of their turn, as a loop's timers would, and return who acted first."""
        served: list[str] = []
        while self._waiters:
            due = min(self._waiters, key=lambda waiter: waiter[1].act_at)
            self._now = max(self._now, due[1].act_at)
            if self._limiter.act_at(due[1], self._now) <= self._now:
                served.append(due[0])
                self._waiters.remove(due)
        return served[0] if served else None
