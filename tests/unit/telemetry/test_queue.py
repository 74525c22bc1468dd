"""The queue of spans and logs: bounded, exported in batches, and every item delivered or counted."""

import threading
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.outcome import DropReason, Signal
from buoy.telemetry.account import Account
from buoy.telemetry.queue import Queue

BOUND = 10.0
NEVER = 3600.0
FULL, FAILED, SHUTDOWN = DropReason.QUEUE_FULL, DropReason.EXPORT_FAILED, DropReason.SHUTDOWN


class Receiver:
    """Takes batches, loses what it is told to lose, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.losing: list[Counter[DropReason]] = []
        self.came = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self, batch: Sequence[int]) -> Counter[DropReason]:
        """Take one."""
        self.batches.append(list(batch))
        self.came.release()
        assert self.may_end.wait(BOUND)
        return self.losing.pop(0) if self.losing else Counter()


class Told:
    """Keeps what is told of losses."""

    def __init__(self) -> None:
        self.losses: Counter[tuple[Signal, DropReason]] = Counter()

    def __call__(self, signal: Signal, reason: DropReason, count: int) -> None:
        """Keep it."""
        self.losses[signal, reason] += count


def queued(*, size: int = 100, batch: int = 4, delay: float = NEVER) -> tuple[Queue[int], Receiver, Told]:
    """Return a queue, who receives from it, and who is told of losses."""
    receiver, told = Receiver(), Told()
    return Queue(Account(Signal.SPAN, told), receiver, size=size, batch=batch, delay=delay), receiver, told


def test_a_flush_exports_what_waits_in_batches() -> None:
    """Nothing is exported before it is due; a flush exports all, oldest first, at most a batch at a time."""
    queue, receiver, told = queued(batch=4)
    for number in range(3):
        queue.put(number)
    assert receiver.batches == []
    assert queue.flush(BOUND)
    for number in range(9):
        queue.put(number)
    assert queue.flush(BOUND)
    assert [0, 1, 2, *range(9)] == [number for batch in receiver.batches for number in batch]
    assert max(map(len, receiver.batches)) <= 4
    assert (queue.account.delivered, queue.account.dropped, told.losses) == (12, {}, {})
    queue.close()


def test_a_full_batch_does_not_wait() -> None:
    """As soon as a batch has come together it is exported."""
    queue, receiver, _ = queued(batch=4)
    for number in range(4):
        queue.put(number)
    assert receiver.came.acquire(timeout=BOUND)
    assert receiver.batches == [[0, 1, 2, 3]]
    queue.close()


def test_what_is_due_is_exported() -> None:
    """A single item does not wait for company longer than the delay."""
    queue, receiver, _ = queued(delay=0.001)
    queue.put(7)
    assert receiver.came.acquire(timeout=BOUND)
    assert receiver.batches == [[7]]
    queue.close()


def test_a_full_queue_drops_the_oldest_and_counts() -> None:
    """While an export hangs no more than ``size`` items are kept; putting does not wait, and each loss is told of."""
    queue, receiver, told = queued(size=5, batch=2)
    receiver.may_end.clear()
    queue.put(-2)
    queue.put(-1)
    assert receiver.came.acquire(timeout=BOUND)  # and hangs
    for number in range(12):
        queue.put(number)
    assert dict(told.losses) == {(Signal.SPAN, FULL): 7}
    receiver.may_end.set()
    assert queue.flush(BOUND)
    assert [number for batch in receiver.batches for number in batch] == [-2, -1, 7, 8, 9, 10, 11]
    assert (queue.account.delivered, queue.account.dropped) == (7, {FULL: 7})
    queue.close()


def test_what_an_export_loses_is_counted() -> None:
    """Of each batch what arrived and what did not, and why."""
    queue, receiver, told = queued(batch=3)
    receiver.losing = [Counter({FAILED: 2}), Counter(), Counter({DropReason.PARTIAL_SUCCESS: 1})]
    for count in (2, 2, 2):
        for _ in range(count):
            queue.put(0)
        assert queue.flush(BOUND)
    expected = {FAILED: 2, DropReason.PARTIAL_SUCCESS: 1}
    assert (queue.account.delivered, queue.account.dropped) == (3, expected)
    assert {(Signal.SPAN, reason): count for reason, count in expected.items()} == dict(told.losses)
    queue.close()


def test_a_flush_that_is_late_says_so_and_what_it_gives_up_is_counted_once() -> None:
    """What hangs is given up with what waits; that it ends later, well or not, changes no figure."""
    queue, receiver, _ = queued(batch=2)
    receiver.may_end.clear()
    queue.put(1)
    turn = queue.worker.ask()
    assert receiver.came.acquire(timeout=BOUND)
    queue.put(2)
    queue.put(3)
    assert not queue.worker.has_done(turn, 0)
    assert queue.give_up() == 3
    receiver.may_end.set()
    queue.put(4)
    assert queue.flush(BOUND)
    assert receiver.batches == [[1], [4]]
    assert (queue.account.delivered, queue.account.dropped) == (1, {SHUTDOWN: 3})
    queue.close()


def test_a_closed_queue_takes_nothing_and_counts_it() -> None:
    """What is put later is lost, and told of."""
    queue, receiver, told = queued()
    queue.put(1)
    queue.close()
    queue.put(2)
    assert queue.give_up() == 1
    assert not queue.flush(BOUND)
    assert receiver.batches == []
    assert dict(told.losses) == {(Signal.SPAN, SHUTDOWN): 2}


def test_a_forked_child_begins_empty() -> None:
    """What waited is the parent's; the child counts from 0, exports by a thread of its own, and is not locked out."""
    queue, receiver, _ = queued()
    queue.put(1)
    assert queue.flush(BOUND)
    queue.put(2)
    queue.worker.stop()  # the thread is not in the child
    queue._lock.acquire()  # and one of the parent's may hold this
    queue.revive()
    queue.put(3)
    assert queue.flush(BOUND)
    assert receiver.batches == [[1], [3]]
    assert (queue.account.delivered, queue.account.dropped) == (1, {})
    queue.close()


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 9)),
        st.tuples(st.sampled_from(["flush", "give up", "lose", "close"]), st.just(0)),
    ),
    max_size=30,
)


@given(steps=STEPS, size=st.integers(1, 7), batch=st.integers(1, 5))
def test_every_item_is_delivered_or_counted(steps: list[Step], size: int, batch: int) -> None:
    """Whatever happens in whatever order: once nothing waits, what was put is what was delivered and what was lost."""
    queue, receiver, told = queued(size=size, batch=min(batch, size))
    put = 0
    for what, count in steps:
        if what == "put":
            for _ in range(count):
                queue.put(put)
                put += 1
        elif what == "flush":
            queue.flush(BOUND)
        elif what == "give up":
            queue.give_up()
        elif what == "lose":
            receiver.losing.append(Counter({FAILED: 1}))
        else:
            queue.close()
    queue.flush(BOUND)
    queue.close()
    queue.give_up()
    assert put == queue.account.delivered + sum(queue.account.dropped.values())
    assert {(Signal.SPAN, reason): count for reason, count in queue.account.dropped.items()} == dict(told.losses)


@pytest.mark.parametrize("threads", [8])
def test_many_threads_put(threads: int) -> None:
    """Loops in several threads share it without losing one item."""
    queue, receiver, _ = queued(size=100_000, batch=64)

    def put() -> None:
        for number in range(1000):
            queue.put(number)

    putting = [threading.Thread(target=put) for _ in range(threads)]
    for thread in putting:
        thread.start()
    for thread in putting:
        thread.join()
    assert queue.flush(BOUND)
    assert Counter(dict.fromkeys(range(1000), threads)) == Counter(
        number for batch in receiver.batches for number in batch
    )
    assert queue.account.delivered == 1000 * threads
    queue.close()
