"""What holds for the breaker under any interleaving: it is driven beside a plain model that keeps every result."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from buoy.outcome import BreakerOutcome, BreakerState
from buoy.policies.breaker import Breaker
from buoy.policies.circuit import Circuit, Denied, Lease

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
FORCED_OPEN, DISABLED, METRICS_ONLY = BreakerState.FORCED_OPEN, BreakerState.DISABLED, BreakerState.METRICS_ONLY
# All times are eighths of a second and all waits are whole: exact, so that the model needs no slack.
OUTCOMES = st.sampled_from([*BreakerOutcome, None])


@dataclass
class Period:
    """What the model knows of a period: its state, its results as (failed, slow), and the leases it granted."""

    state: BreakerState
    until: float = 0.0
    results: list[tuple[bool, bool]] = field(default_factory=list)
    out: set[Lease] = field(default_factory=set)
    refusals: int = 0


class Life(RuleBasedStateMachine):
    """A breaker with a count window lives; results come at any time, in any order, from any period, or twice."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.leases: list[Lease] = []
        self.openings = 0
        self.changes: list[tuple[BreakerState, BreakerState]] = []
        self.period = Period(CLOSED)

    @initialize(last=st.integers(1, 6), minimum=st.integers(1, 6), permits=st.integers(1, 4), length=st.integers(1, 9))
    def build(self, last: int, minimum: int, permits: int, length: int) -> None:
        """Make the breaker."""
        self.policy = Breaker(
            last=last,
            minimum_calls=minimum,
            slow_rate=0.75,
            wait=4,
            wait_factor=2,
            wait_cap=30,
            half_open_permits=permits,
            half_open_for=length,
        )
        self.circuit = Circuit(self.policy)

    # The model.

    def enter(self, state: BreakerState, until: float = 0.0) -> None:
        """Begin a period."""
        if state is not self.period.state:
            self.changes.append((self.period.state, state))
        self.period = Period(state, until)
        if state is CLOSED:
            self.openings = 0

    def open(self, at: float, wait: float | None = None) -> None:
        """Open, for the wait of so many openings in a row."""
        self.openings += 1
        own = min(30, 4 * 2 ** (self.openings - 1))
        self.enter(OPEN, at + (own if wait is None else wait))

    def half_open(self) -> None:
        """Begin to probe."""
        assert self.policy.half_open_for is not None
        self.enter(HALF_OPEN, self.now + self.policy.half_open_for)

    def catch_up(self) -> None:
        """End a half-open period that is over."""
        if self.period.state is HALF_OPEN and self.now >= self.period.until:
            self.open(self.period.until)

    @property
    def verdict(self) -> bool | None:
        """Whether the results of the period are good, or ``None`` while there are too few."""
        size = self.policy.half_open_permits if self.period.state is HALF_OPEN else self.policy.last
        assert size is not None
        seen = self.period.results[-size:]
        if len(seen) < min(self.policy.minimum_calls, size):
            return None
        failed, slow = (sum(result[kind] for result in seen) for kind in range(2))
        return failed * 2 < len(seen) and slow * 4 < len(seen) * 3

    # What may happen.

    @rule(eighths=st.integers(0, 100))
    def wait(self, eighths: int) -> None:
        """Let time pass."""
        self.now += eighths / 8

    @rule()
    def admit(self) -> None:
        """Ask for a lease: the answer is the model's."""
        self.catch_up()
        if self.period.state is OPEN and self.now >= self.period.until:
            self.half_open()
        period = self.period
        used = len(period.out) + len(period.results)
        full = period.state is HALF_OPEN and used >= self.policy.half_open_permits
        expected = period.state is FORCED_OPEN or period.state is OPEN or full
        answer = self.circuit.admit(self.now)
        assert expected == isinstance(answer, Denied)
        if isinstance(answer, Denied):
            period.refusals += 1
            assert answer.retry_after == (period.until - self.now if period.state is OPEN else None)
        else:
            assert answer.shadow == (period.state is METRICS_ONLY and self.verdict is False)
            period.out.add(answer)
            self.leases.append(answer)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), outcome=OUTCOMES, slow=st.booleans())
    def settle(self, data: st.DataObject, outcome: BreakerOutcome | None, *, slow: bool) -> None:
        """Settle any lease there ever was, also a second time."""
        lease = data.draw(st.sampled_from(self.leases))
        if not lease.settled:
            self.catch_up()
        period = self.period
        current = lease in period.out
        period.out.discard(lease)
        recorded = outcome is BreakerOutcome.SUCCESS or outcome is BreakerOutcome.FAILURE
        expected = current and recorded and period.state is not DISABLED
        assert expected == self.circuit.settle(lease, outcome, slow=slow, now=self.now, random=0.5)
        if expected:
            period.results.append((outcome is BreakerOutcome.FAILURE, slow))
            if self.verdict is False and period.state is not METRICS_ONLY:
                self.open(self.now)
            elif self.verdict is True and period.state is HALF_OPEN:
                self.enter(CLOSED)

    @rule(seconds=st.integers(1, 40))
    def open_for(self, seconds: int) -> None:
        """The provider names a time."""
        self.catch_up()
        self.circuit.open_for(seconds, self.now)
        if self.period.state is OPEN:
            self.period.until = max(self.period.until, self.now + seconds)
        elif self.period.state in (CLOSED, HALF_OPEN):
            self.open(self.now, seconds)

    @rule(state=st.sampled_from([*BreakerState, OPEN, OPEN, CLOSED]))
    def force(self, state: BreakerState) -> None:
        """An operator interferes."""
        self.catch_up()
        if (self.period.state, state) == (CLOSED, HALF_OPEN):
            try:
                self.circuit.force(state, self.now)
            except ValueError:
                return
            raise AssertionError("closed -> half_open by hand")
        self.circuit.force(state, self.now)
        if state is self.period.state:
            return
        if state is OPEN:
            self.open(self.now)
        elif state is HALF_OPEN:
            self.half_open()
        else:
            self.enter(state)

    @rule()
    def reset(self) -> None:
        """An operator begins anew."""
        self.catch_up()
        self.circuit.reset(self.now)
        self.enter(CLOSED)

    # What always holds.

    @invariant()
    def half_open_is_bounded(self) -> None:
        """Probes under way and recorded are never more than the permits."""
        if self.period.state is HALF_OPEN:
            assert len(self.period.out) + len(self.period.results) <= self.policy.half_open_permits

    @invariant()
    def the_state_is_the_models(self) -> None:
        """State, refusals, window, openings and leases are what the model says, and reading changes none of it."""
        expired = self.period.state is HALF_OPEN and self.now >= self.period.until
        assert (OPEN if expired else self.period.state) == self.circuit.state(self.now)
        figures = self.circuit.figures(self.now)
        assert (self.period.refusals, self.openings) == (figures.not_permitted, self.circuit.openings)
        if self.period.state is not OPEN:
            size = self.policy.half_open_permits if self.period.state is HALF_OPEN else self.policy.last
            assert size is not None
            seen = self.period.results[-size:]
            counts = (len(seen), sum(failed for failed, _ in seen), sum(slow for _, slow in seen))
            assert counts == figures[:3]
            assert (self.verdict is None) == (figures.failure_rate is None) == (figures.slow_rate is None)
        holding = {lease for lease in self.leases if self.circuit.holds(lease, self.now)}
        assert (set() if expired else self.period.out) == holding

    @invariant()
    def each_change_is_told_once(self) -> None:
        """The changes are told in order, and none is a change to the same state."""
        changes = [(change.previous, change.state) for change in self.circuit.drain()]
        assert self.changes == changes
        self.changes = []


TestLife = Life.TestCase
TestLife.__doc__ = """Under any interleaving of calls, late and repeated results and operators it is the plain model."""


def opened(policy: Breaker, random: float) -> float:
    """Return the wait of a breaker that the first call opened, at 0."""
    circuit = Circuit(policy)
    lease = circuit.admit(0.0)
    assert isinstance(lease, Lease)
    circuit.settle(lease, BreakerOutcome.FAILURE, slow=False, now=0.0, random=random)
    denied = circuit.admit(0.0)
    assert isinstance(denied, Denied)
    assert denied.retry_after is not None
    return denied.retry_after


@given(st.floats(1e-3, 300), st.floats(0, 1))
def test_the_jitter_is_a_fifth(wait: float, random: float) -> None:
    """Whatever is drawn, the wait is within a fifth of the nominal one."""
    got = opened(Breaker(minimum_calls=1, wait=wait), random)
    assert 0.8 * wait * (1 - 1e-12) <= got <= 1.2 * wait * (1 + 1e-12)


@given(st.floats(1e-3, 300), st.floats(0, 1), st.floats(0, 1))
def test_who_draws_more_waits_at_least_as_long(wait: float, one: float, other: float) -> None:
    """The jitter keeps the order of the draw, so that the whole range is used."""
    policy = Breaker(minimum_calls=1, wait=wait)
    low, high = sorted((one, other))
    assert opened(policy, low) <= opened(policy, high)


@given(st.floats(0.5, 60), st.floats(1, 5), st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_an_open_breaker_never_admits_before_its_time(wait: float, factor: float, draws: list[float]) -> None:
    """However often it opens in a row, nobody is admitted before the time that the refusal names, and then one is."""
    policy = Breaker(minimum_calls=1, wait=wait, wait_factor=factor, half_open_permits=1)
    circuit, now = Circuit(policy), 0.0
    for random in draws:
        lease = circuit.admit(now)
        assert isinstance(lease, Lease)
        circuit.settle(lease, BreakerOutcome.FAILURE, slow=False, now=now, random=random)
        denied = circuit.admit(now)
        assert isinstance(denied, Denied)
        assert denied.retry_after is not None
        assert 0 < denied.retry_after <= 1.2 * policy.wait_cap + 1e-9
        assert isinstance(circuit.admit(now + denied.retry_after * 0.999), Denied)
        now += denied.retry_after
