"""How many retries a provider gets: examples, and the account against a ledger that keeps every booking."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from buoy.errors import ConfigurationError
from buoy.policies.budget import SLICES, Budget, RetryBudget

START = 1000.0


def account(now: float = START, **options: float) -> Budget:
    """Return a fresh account."""
    return Budget(RetryBudget(**options), now)


def drained(budget: Budget, now: float) -> int:
    """Withdraw all there is and return how much that was."""
    count = 0
    while budget.withdraw(now):
        count += 1
    return count


def test_the_defaults() -> None:
    """A fifth of the calls, one per second in reserve, over 10 s."""
    assert RetryBudget(ratio=0.2, reserve=1.0, ttl=10.0) == RetryBudget()
    assert account().remaining(START) == 10


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("ratio", -0.1, "retries per call from 0 to 1000"),
        ("ratio", 1001, "retries per call from 0 to 1000"),
        ("ratio", float("nan"), "retries per call from 0 to 1000"),
        ("ratio", True, "retries per call from 0 to 1000"),
        ("ratio", "0.2", "retries per call from 0 to 1000"),
        ("reserve", -1, "retries per second from 0 to 10000"),
        ("reserve", float("inf"), "retries per second from 0 to 10000"),
        ("reserve", None, "retries per second from 0 to 10000"),
        ("ttl", 0, "seconds from 1 to 60"),
        ("ttl", 0.99, "seconds from 1 to 60"),
        ("ttl", 61, "seconds from 1 to 60"),
    ],
)
def test_values_out_of_range_are_refused(option: str, value: Any, allowed: str) -> None:
    """A wrong value is refused when the policy is built, with option, value and range."""
    with pytest.raises(ConfigurationError) as refused:
        RetryBudget(**{option: value})
    assert str(refused.value) == f"RetryBudget: {option}={value!r} is not allowed; it must be a number of {allowed}."


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.1, 1000), (0.25, 2500), (0.99, 9900), (0.0001, 1), (1, 10_000), (2, 10_000), (0, 0)]
)
def test_retries_are_a_share_of_the_calls(ratio: float, expected: int) -> None:
    """Without a reserve, calls that all ask for a retry get exactly their share, with no error of rounding."""
    budget = account(ratio=ratio, reserve=0)
    granted = 0
    for _ in range(10_000):
        budget.deposit(START)
        granted += budget.withdraw(START)
    assert expected == granted


def test_the_reserve_is_there_at_once() -> None:
    """``reserve * ttl`` retries need no deposit, and what was taken is back after ``ttl``."""
    budget = account(ratio=0, reserve=2, ttl=5)
    assert (drained(budget, START), budget.remaining(START)) == (10, 0)
    assert budget.remaining(START + 4.9) == 0
    assert budget.remaining(START + 5) == 10


def test_both_at_zero_allow_none() -> None:
    """Without ratio and reserve no retry is allowed, whatever is paid in."""
    budget = account(ratio=0, reserve=0)
    budget.deposit(START)
    assert not budget.withdraw(START)


def test_a_deposit_expires() -> None:
    """What a call paid in counts for ``ttl``, to the slice, and is then gone."""
    budget = account(ratio=1, reserve=0)
    budget.deposit(START + 0.2)
    assert [budget.remaining(START + age) for age in (0.2, 9.9, 10.0, 10.1)] == [1, 1, 0, 0]


def test_a_deposit_counts_for_nine_to_ten_tenths() -> None:
    """The window moves in ten slices: who pays in late in a slice leaves with it."""
    budget = account(ratio=1, reserve=0)
    budget.deposit(START + 1.9)
    assert [budget.remaining(START + at) for at in (10.9, 11.0)] == [1, 0]


@pytest.mark.parametrize(("start", "ttl"), [(0.1, 1.0), (0.3, 1.1), (5.7, 3.0), (123.4, 1.1)])
def test_an_edge_is_met_in_spite_of_rounding(start: float, ttl: float) -> None:
    """Times are sums of floats, where 8.7 - 5.7 is less than 3 and 1.0 // 0.1 is 9: the edge is where it should be."""
    budget = account(start, ratio=1, reserve=0, ttl=ttl)
    budget.deposit(start)
    assert (start + ttl - start) // (ttl / SLICES) < 10, "an example that needs the slack"
    assert budget.remaining(start + ttl) == 0


def test_a_hair_before_an_edge_is_at_the_edge() -> None:
    """A deposit that rounding put before the edge of its slice stays as long as one at the edge."""
    budget = account(0.0, ratio=1, reserve=0)
    for edge in (1, 2, 3):
        budget.deposit(edge - 1e-12)
    assert [budget.remaining(at) for at in (10.5, 11.5, 12.5, 13.0)] == [3, 2, 1, 0]


def test_an_edge_belongs_to_the_slice_that_it_begins() -> None:
    """At the very float of an edge the next slice has begun, for who reads and for who pays in."""
    budget, edge = account(0.0, ratio=1, reserve=0), 10 - 1e-9
    budget.deposit(0.0)
    budget.deposit(9.0)
    assert budget.remaining(edge) == 1
    budget.deposit(edge)
    assert budget.remaining(19.5) == 1


def test_the_slack_is_a_hair() -> None:
    """What is paid in seconds before an edge leaves with its slice, in long slices as well."""
    budget = account(ratio=1, reserve=0, ttl=60)
    budget.deposit(START + 5.5)
    assert [budget.remaining(START + at) for at in (59.9, 60)] == [1, 0]


def test_a_long_silence_empties_the_account() -> None:
    """After any number of windows without a call only the reserve is there."""
    budget = account(ratio=1, reserve=0.1)
    for second in range(25):
        budget.deposit(START + second)
    assert budget.remaining(START + 1e9) == 1


def test_expired_deposits_leave_a_debt_not_a_negative_number() -> None:
    """When deposits expire before the retry that they paid for, nothing is available, and the debt ends with it."""
    budget = account(ratio=1, reserve=0)
    budget.deposit(START)
    assert budget.withdraw(START + 5)
    assert budget.remaining(START + 10) == 0
    budget.deposit(START + 11)
    assert not budget.withdraw(START + 11), "it pays the debt"
    assert budget.remaining(START + 15) == 1


def test_what_was_not_used_is_given_back() -> None:
    """A retry that sent nothing costs nothing, now and when its window ends."""
    budget = account(ratio=0, reserve=0.1)
    assert budget.withdraw(START)
    budget.give_back(START + 6, taken=START)
    assert [budget.remaining(START + age) for age in (6, 10, 16, 30)] == [1, 1, 1, 1]


def test_what_has_expired_is_not_given_back() -> None:
    """A withdrawal that left the window is no debit any more: giving it back changes nothing."""
    budget = account(ratio=0, reserve=0.1)
    assert budget.withdraw(START)
    budget.give_back(START + 10, taken=START)
    assert budget.remaining(START + 10) == 1


def test_a_clock_that_steps_back_changes_nothing() -> None:
    """An earlier ``now`` neither expires nor revives anything."""
    budget = account(ratio=1, reserve=0)
    for at in (START + 5, START, START - 50, START + 5):
        budget.deposit(at)
    assert [budget.remaining(START + at) for at in (-50, 0, 14.9, 15)] == [4, 4, 4, 0]


def test_a_small_step_back_moves_nothing_either() -> None:
    """A deposit that comes a slice too early is booked in the present one, and stays as long."""
    budget = account(ratio=1, reserve=0)
    budget.deposit(START + 9.5)
    budget.deposit(START + 8.5)
    assert [budget.remaining(START + at) for at in (18.9, 19)] == [2, 0]


def test_a_clock_that_steps_back_at_the_very_beginning_changes_nothing_either() -> None:
    """A deposit that comes before the account was opened counts from there."""
    budget = account(ratio=1, reserve=0)
    budget.deposit(START - 0.5)
    assert [budget.remaining(START + at) for at in (0, 9.9, 10)] == [1, 1, 0]


@given(st.floats(min_value=0, max_value=1e9), st.lists(st.floats(min_value=0, max_value=30), max_size=40))
def test_no_time_makes_the_balance_negative(start: float, steps: list[float]) -> None:
    """At any time the number is 0 or more, and a withdrawal is granted exactly when it is not 0."""
    budget, now = account(start, ratio=0.5, reserve=0.2), start
    for step in steps:
        now += step
        budget.deposit(now)
        before = budget.remaining(now)
        assert budget.withdraw(now) is (before > 0)
        assert budget.remaining(now) == max(0, before - 1)


class Ledger(RuleBasedStateMachine):
    """Every booking with its slice, added up from the beginning each time, in exact fractions."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.bookings: list[tuple[int, Fraction]] = []
        self.open: list[float] = []

    @initialize(ratio=st.integers(0, 20), reserve=st.integers(0, 3), ttl=st.sampled_from([1.25, 5.0, 10.0, 60.0]))
    def build(self, ratio: int, reserve: int, ttl: float) -> None:
        """Open the account."""
        self.policy = RetryBudget(ratio=ratio / 10, reserve=reserve / 10, ttl=ttl)
        self.ratio = Fraction(ratio, 10)
        self.reserve = Fraction(reserve, 10) * Fraction(ttl)
        self.budget = Budget(self.policy, self.now)

    def slice_of(self, at: float) -> int:
        """Return the number of the slice; the times used here are exact in binary."""
        return int(Fraction(at - START) / (Fraction(self.policy.ttl) / SLICES))

    @property
    def counted(self) -> list[Fraction]:
        """The bookings that have not expired."""
        return [amount for number, amount in self.bookings if number > self.slice_of(self.now) - SLICES]

    @property
    def balance(self) -> Fraction:
        """The reserve and all that has not expired."""
        return self.reserve + sum(self.counted)

    @rule(eighths=st.integers(0, 700))
    def wait(self, eighths: int) -> None:
        """Let time pass."""
        self.now += eighths / 8

    @rule(times=st.integers(1, 5))
    def deposit(self, times: int) -> None:
        """Begin calls."""
        for _ in range(times):
            self.budget.deposit(self.now)
            self.bookings.append((self.slice_of(self.now), self.ratio))

    @rule()
    def withdraw(self) -> None:
        """Ask for a retry: it is granted exactly when a whole one is there."""
        expected = self.balance >= 1
        assert expected == self.budget.withdraw(self.now)
        if expected:
            self.bookings.append((self.slice_of(self.now), Fraction(-1)))
            self.open.append(self.now)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Find out that one of the retries, of whatever age, sent nothing."""
        taken = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.budget.give_back(self.now, taken=taken)
        self.bookings.remove((self.slice_of(taken), Fraction(-1)))

    @invariant()
    def never_negative(self) -> None:
        """What is said to be there is what the ledger says, and 0 instead of a debt."""
        assert max(0, self.balance // 1) == self.budget.remaining(self.now)


TestLedger = Ledger.TestCase
TestLedger.__doc__ = """Deposits, withdrawals and returns of any age come out as in a ledger that forgets nothing."""
