"""``circuit_breaker`` and ``sliding_window``: a breaker and a window that live through all steps, told the time."""

from collections import Counter
from typing import Any

from buoy.http import classify
from buoy.outcome import TABLE, BreakerCause, BreakerOutcome, BreakerState
from buoy.policies.breaker import Breaker
from buoy.policies.circuit import Circuit, Denied, Lease
from buoy.policies.deadline import Timeout
from buoy.policies.window import CountWindow, TimeWindow
from tests.support.vectors.compare import equal
from tests.support.vectors.component import Component, Fields

# "Off" for a policy that always has a limit (seconds).
_FOR_EVER = 1e9
_NO_JITTER = 0.5
_OUTCOMES = {
    "success": BreakerOutcome.SUCCESS,
    "failure": BreakerOutcome.FAILURE,
    "ignored": BreakerOutcome.NEUTRAL,
    "cancelled": None,
}
_CROSSINGS = {
    BreakerCause.FAILURE_RATE: "failure_rate_exceeded",
    BreakerCause.SLOW_RATE: "slow_call_rate_exceeded",
}
_EVENTS = ("failure_rate_exceeded", "opened", "slow_call_rate_exceeded", "state_transition")


def policy(config: Fields) -> Breaker:
    """Return the policy of a config; one that names no window has all defaults."""
    if "window" not in config:
        return Breaker()
    given = {
        "minimum_calls": "minimum_calls",
        "wait_open_s": "wait",
        "half_open_permits": "half_open_permits",
        "slow_call_duration_s": "slow_after",
    }
    values: dict[str, Any] = {ours: config[theirs] for theirs, ours in given.items() if theirs in config}
    shape = config["window"]
    values["last" if shape["type"] == "count" else "window"] = shape["size" if shape["type"] == "count" else "seconds"]
    return Breaker(
        **{"minimum_calls": 1, **values},
        failure_rate=config.get("failure_rate_threshold"),
        slow_rate=config.get("slow_call_rate_threshold"),
        wait_factor=config.get("wait_open_multiplier", 1),
        wait_cap=_FOR_EVER,
        half_open_for=config.get("max_half_open_s", _FOR_EVER),
    )


def check_classification(table: Fields) -> None:
    """Raise unless the classifier makes of each status what the vector says."""
    for status, outcome in table.items():
        code = int(status)
        got = BreakerOutcome.SUCCESS if code < 400 else TABLE[classify.status(code).error_type].breaker
        if got is not _OUTCOMES[outcome]:
            raise ValueError(f"classification of {status}: got {got}, want {outcome}")


class Switch(Component):
    """One ``buoy.policies.circuit.Circuit``, with named and anonymous leases."""

    in_sequence = True
    operations = frozenset({"acquire", "check", "close", "cycle", "force", "record", "release", "reset"})
    fields = frozenset(
        {
            "call",
            "classification",
            "clock",
            "duration_s",
            "failure_rate_threshold",
            "for_s",
            "half_open_permits",
            "max_half_open_s",
            "minimum_calls",
            "open_half_open",
            "outcome",
            "slow_call_duration_s",
            "slow_call_rate_threshold",
            "state",
            "wait_open_multiplier",
            "wait_open_s",
            "window",
        }
    )
    expectations = frozenset(
        {
            "buffered",
            "error",
            "events",
            "failed",
            "failure_rate",
            "half_open_attempts_seen_at_each_open",
            "not_permitted",
            "permitted",
            "retry_after_s",
            "slow",
            "slow_call_rate",
            "state",
        }
    )

    def __init__(self, config: Fields) -> None:
        super().__init__(config)
        check_classification(config.get("classification", {}))
        self._slow_over = policy(config).slow_over(None if "window" in config else Timeout().per_attempt)
        self._circuit = Circuit(policy(config))
        self._now = 0.0
        # What `cycle` and `close` let pass, on top of every later `t`.
        self._passed = 0.0
        self._named: dict[str, Lease] = {}
        self._anonymous: list[Lease] = []
        self._openings: list[int] = []
        self._events: Counter[str] = Counter()
        self._crossed: tuple[BreakerCause, ...] = ()

    def take(self, step: Fields) -> Fields:
        """Do one operation, and say all that is known after it."""
        if "t" in step:
            self._now = step["t"] + self._passed
        told = getattr(self, f"_{step['op']}")(step) or {}
        self._count()
        figures = self._circuit.figures(self._now)
        return {
            "buffered": figures.buffered,
            "error": None,
            "events": {name: self._events[name] for name in _EVENTS},
            "failed": figures.failed,
            "failure_rate": figures.failure_rate,
            "half_open_attempts_seen_at_each_open": self._openings,
            "not_permitted": figures.not_permitted,
            "slow": figures.slow,
            "slow_call_rate": figures.slow_rate,
            "state": str(self._circuit.state(self._now)),
            **told,
        }

    def same(self, name: str, got: Any, want: Any) -> bool:
        """Compare only those events that are named."""
        if name == "events":
            return all(event in got and equal(got[event], count) for event, count in want.items())
        return super().same(name, got, want)

    def _count(self) -> None:
        for transition in self._circuit.drain():
            self._events["state_transition"] += 1
            self._events["opened"] += transition.state is BreakerState.OPEN
            if transition.cause in _CROSSINGS:
                self._events[_CROSSINGS[transition.cause]] += 1
        for cause in self._circuit.crossed:
            self._events[_CROSSINGS[cause]] += cause not in self._crossed
        self._crossed = self._circuit.crossed

    def _acquire(self, step: Fields) -> Fields:
        answer = self._circuit.admit(self._now)
        if isinstance(answer, Denied):
            return {"permitted": False, "retry_after_s": answer.retry_after}
        if "call" not in step:
            self._anonymous.append(answer)
        elif step["call"] in self._named:
            raise ValueError(f"a second call {step['call']!r}")
        else:
            self._named[step["call"]] = answer
        return {"permitted": True, "retry_after_s": None}

    def _record(self, step: Fields) -> None:
        lease = self._named[step["call"]] if "call" in step else self._anonymous_lease()
        self._settle(lease, _OUTCOMES[step["outcome"]], step.get("duration_s", 0))

    def _release(self, _step: Fields) -> None:
        self._drop_earlier()
        if not self._anonymous:
            raise ValueError("release without a permit")
        self._settle(self._anonymous.pop(0), None, 0)

    def _force(self, step: Fields) -> Fields | None:
        try:
            self._circuit.force(BreakerState(step["state"]), self._now, step.get("for_s"))
        except ValueError:
            if (self._circuit.state(self._now), step["state"]) != (BreakerState.CLOSED, BreakerState.HALF_OPEN):
                raise
            return {"error": "illegal_transition"}
        if step["state"] == BreakerState.METRICS_ONLY:
            self._count()
            self._events.clear()
        return None

    def _reset(self, _step: Fields) -> None:
        self._circuit.reset(self._now)

    def _check(self, _step: Fields) -> None:
        """Nothing happens: the step reads."""

    def _cycle(self, step: Fields) -> None:
        for _ in range(step["open_half_open"]):
            self._circuit.force(BreakerState.OPEN, self._now)
            self._openings.append(self._circuit.openings - 1)
            denied = self._circuit.admit(self._now)
            if not isinstance(denied, Denied) or denied.retry_after is None:
                raise ValueError("an open breaker admits")
            self._now += denied.retry_after
            self._passed += denied.retry_after
            self._settle(self._admitted(), None, 0)

    def _close(self, _step: Fields) -> None:
        if self._circuit.state(self._now) is not BreakerState.HALF_OPEN:
            raise ValueError("close when it is not half-open")
        while self._circuit.state(self._now) is BreakerState.HALF_OPEN:
            self._settle(self._admitted(), BreakerOutcome.SUCCESS, 0)

    def _anonymous_lease(self) -> Lease:
        self._drop_earlier()
        return self._anonymous.pop(0) if self._anonymous else self._admitted()

    def _drop_earlier(self) -> None:
        self._anonymous = [lease for lease in self._anonymous if self._circuit.holds(lease, self._now)]

    def _admitted(self) -> Lease:
        answer = self._circuit.admit(self._now)
        if isinstance(answer, Denied):
            raise ValueError("a record that is not admitted")  # noqa: TRY004  # the vector is wrong, not a type
        return answer

    def _settle(self, lease: Lease, outcome: BreakerOutcome | None, duration: float) -> None:
        slow = duration > self._slow_over
        self._circuit.settle(lease, outcome, slow=slow, now=self._now, random=_NO_JITTER)


class Window(Component):
    """A window of ``buoy.policies.window``."""

    in_sequence = True
    operations = frozenset({"add", "read"})
    fields = frozenset({"outcome", "seconds", "size", "type"})
    expectations = frozenset({"failed", "rate", "total"})

    def __init__(self, config: Fields) -> None:
        super().__init__(config)
        self._window = CountWindow(config["size"]) if config["type"] == "count" else TimeWindow(config["seconds"])
        self._now = 0.0

    def take(self, step: Fields) -> Fields:
        """Add a result or only read, and return the counts."""
        self._now = step.get("t", self._now)
        if step["op"] == "add":
            self._window.add(self._now, failed=_OUTCOMES[step["outcome"]] is BreakerOutcome.FAILURE, slow=False)
        total, failed, _ = self._window.counts(self._now)
        return {"failed": failed, "rate": failed / total if total else None, "total": total}
