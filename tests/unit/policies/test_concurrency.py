"""Who holds a permit and who is next: examples, and the laws under any interleaving."""

from math import inf
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from buoy.errors import ConfigurationError
from buoy.policies.concurrency import Concurrency, Permits, longest_wait


def full(limit: int, *waiters: object) -> Permits:
    """Return permits that are all taken, with ``waiters`` in the queue."""
    permits = Permits(limit)
    assert all(permits.take() for _ in range(limit))
    for waiter in waiters:
        assert not permits.take()
        permits.join(waiter)
    return permits


def test_the_options() -> None:
    """The limit is given by position, and by default a call waits as long as it has time."""
    policy = Concurrency(20)
    assert (policy.limit, policy.max_wait) == (20, None)


@pytest.mark.parametrize("limit", [0, -1, 100_001, 2.0, True, "20", None])
def test_a_wrong_limit_is_refused(limit: Any) -> None:
    """A limit is an integer from 1 to 100,000; the refusal says so."""
    with pytest.raises(ConfigurationError) as refused:
        Concurrency(limit)
    assert str(refused.value) == (
        f"Concurrency: limit={limit!r} is not allowed; it must be an integer from 1 to 100000."
    )


@pytest.mark.parametrize("wait", [-0.1, inf, float("nan"), True, "1"])
def test_a_wrong_wait_is_refused(wait: Any) -> None:
    """A wait is a finite number of seconds from 0 on; the refusal says so."""
    with pytest.raises(ConfigurationError) as refused:
        Concurrency(20, max_wait=wait)
    assert str(refused.value) == (
        f"Concurrency: max_wait={wait!r} is not allowed; it must be a number of seconds, 0 or more."
    )


@pytest.mark.parametrize(
    ("max_wait", "left", "expected"), [(None, 7, 7), (None, inf, inf), (2, 7, 2), (9, 7, 7), (0, 7, 0), (2, inf, 2)]
)
def test_how_long_a_call_may_wait(max_wait: float | None, left: float, expected: float) -> None:
    """The policy's own limit and the time left both hold."""
    assert expected == longest_wait(Concurrency(1, max_wait=max_wait), left=left)


def test_permits_are_taken_and_returned() -> None:
    """As many are given as there are, and one that came back can be taken again."""
    permits = full(2)
    assert (permits.take(), permits.used, permits.limit) == (False, 2, 2)
    assert permits.give_back() is None
    assert (permits.used, permits.take(), permits.used) == (1, True, 2)


def test_a_permit_goes_to_who_came_first() -> None:
    """Waiters are served in their order, and the permit stays taken all the while."""
    permits = full(1, "a", "b", "c")
    assert [permits.give_back() for _ in range(3)] == ["a", "b", "c"]
    assert (permits.used, permits.waiting) == (1, 0)
    assert (permits.give_back(), permits.used) == (None, 0)


def test_a_newcomer_does_not_overtake() -> None:
    """A permit that comes back while others wait is theirs; who comes at that moment gets none."""
    permits = full(1, "a", "b")
    permits.give_back()
    assert (permits.take(), permits.used, permits.waiting) == (False, 1, 1)


def test_a_waiter_that_leaves_is_forgotten() -> None:
    """Who leaves the queue, wherever in it, takes nobody's turn and no permit."""
    permits = full(1, "a", "b", "c")
    assert [permits.leave("b"), permits.leave("a")] == [None, None]
    assert (permits.used, permits.waiting) == (1, 1)
    assert permits.give_back() == "c"


def test_a_granted_waiter_that_leaves_passes_its_permit_on() -> None:
    """Cancelled between grant and waking, a waiter hands over to the next, and so on down the queue."""
    permits = full(1, "a", "b", "c")
    assert permits.give_back() == "a"
    assert permits.leave("a") == "b"
    assert permits.leave("b") == "c"
    assert (permits.used, permits.waiting) == (1, 0)
    assert permits.leave("c") is None
    assert (permits.used, permits.take()) == (0, True)


def test_one_return_too_many_makes_no_permit() -> None:
    """What comes back beyond what was taken never lifts the number above the limit."""
    permits = Permits(1)
    permits.give_back()
    assert (permits.used, permits.take(), permits.take()) == (0, True, False)


class Interleaving(RuleBasedStateMachine):
    """Callers that take, wait, wake, send, are cancelled at any point; the model counts them by name."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.sending: set[int] = set()
        self.granted: set[int] = set()  # hold a permit and have not woken yet
        self.queue: list[int] = []

    @initialize(limit=st.integers(1, 4))
    def build(self, limit: int) -> None:
        """Start with all permits free."""
        self.limit = limit
        self.permits = Permits(limit)

    @property
    def holders(self) -> int:
        """How many hold a permit."""
        return len(self.sending) + len(self.granted)

    def wake(self, woken: object | None) -> None:
        """See that exactly the first in the queue was chosen, and nobody where the queue is empty."""
        expected = self.queue.pop(0) if self.queue else None
        assert expected == woken
        if expected is not None:
            self.granted.add(expected)

    @rule()
    def arrive(self) -> None:
        """A caller comes: it sends at once exactly when a permit is free, else it waits."""
        self.count += 1
        free = self.holders < self.limit
        assert free is self.permits.take()
        if free:
            self.sending.add(self.count)
        else:
            self.permits.join(self.count)
            self.queue.append(self.count)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """A granted waiter wakes and sends."""
        caller = data.draw(st.sampled_from(sorted(self.granted)))
        self.granted.remove(caller)
        self.sending.add(caller)

    @precondition(lambda self: self.sending)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A send ends, well or not."""
        self.sending.remove(data.draw(st.sampled_from(sorted(self.sending))))
        self.wake(self.permits.give_back())

    @precondition(lambda self: self.queue)
    @rule(data=st.data())
    def cancel_waiting(self, data: st.DataObject) -> None:
        """Somebody in the queue is cancelled or runs out of time."""
        caller = data.draw(st.sampled_from(self.queue))
        self.queue.remove(caller)
        assert self.permits.leave(caller) is None

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def cancel_granted(self, data: st.DataObject) -> None:
        """Somebody is cancelled who holds a permit and has not woken yet."""
        caller = data.draw(st.sampled_from(sorted(self.granted)))
        self.granted.remove(caller)
        self.wake(self.permits.leave(caller))

    @invariant()
    def none_lost_none_doubled(self) -> None:
        """Taken is what callers hold, never above the limit; nobody waits while a permit is free."""
        assert (self.holders, len(self.queue)) == (self.permits.used, self.permits.waiting)
        assert self.permits.used <= self.limit == self.permits.limit
        assert not self.queue or self.permits.used == self.limit

    def teardown(self) -> None:
        """All go home: every permit is back."""
        while self.count and (self.sending or self.granted or self.queue):
            if self.queue:
                assert self.permits.leave(self.queue.pop()) is None
            else:
                (self.sending or self.granted).pop()
                self.wake(self.permits.give_back())
        assert not self.count or (self.permits.used, self.permits.waiting) == (0, 0)


TestInterleaving = Interleaving.TestCase
TestInterleaving.__doc__ = """Permits are never lost or doubled, and served in order, whatever the interleaving."""
