"""The thread that does one job: when it is due, when it is asked for, and never twice at once."""

import threading
from collections.abc import Callable, Iterator

import pytest

from buoy.telemetry.worker import Worker

BOUND = 10.0
NEVER = 3600.0


class Job:
    """A job that tells of its turns, and whose turns can be held up."""

    def __init__(self) -> None:
        self.turns = 0
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.may_end.set()
        self.at_once = 0

    def __call__(self) -> None:
        """Do it."""
        self.at_once += 1
        assert self.at_once == 1
        self.turns += 1
        self.begun.release()
        assert self.may_end.wait(BOUND)
        self.at_once -= 1


@pytest.fixture
def working() -> Iterator[Callable[..., tuple[Worker, Job]]]:
    """Start workers that are stopped at the end."""
    started: list[tuple[Worker, Job]] = []

    def start(interval: float = NEVER) -> tuple[Worker, Job]:
        job = Job()
        started.append((Worker("test", job, interval), job))
        return started[-1]

    yield start
    for worker, job in started:
        job.may_end.set()
        worker.stop()


def test_it_is_done_when_asked_for(working: Callable[..., tuple[Worker, Job]]) -> None:
    """Who asks can wait for the end of a turn that began after the asking."""
    worker, job = working()
    assert [worker.has_done(worker.ask(), BOUND) for _ in range(3)] == [True] * 3
    assert job.turns == 3


def test_it_is_done_when_due(working: Callable[..., tuple[Worker, Job]]) -> None:
    """Nobody has to ask."""
    _, job = working(0.001)
    assert all(job.begun.acquire(timeout=BOUND) for _ in range(3))


def test_who_waits_can_stop_waiting(working: Callable[..., tuple[Worker, Job]]) -> None:
    """A turn that takes longer goes on without whoever waited for it."""
    worker, job = working()
    job.may_end.clear()
    turn = worker.ask()
    assert job.begun.acquire(timeout=BOUND)
    assert not worker.has_done(turn, 0)
    job.may_end.set()
    assert worker.has_done(turn, BOUND)


def test_a_turn_under_way_is_not_enough(working: Callable[..., tuple[Worker, Job]]) -> None:
    """What was recorded after a turn began is not in it: who asks then waits for the next, several for the same."""
    worker, job = working()
    job.may_end.clear()
    first = worker.ask()
    assert job.begun.acquire(timeout=BOUND)
    later = [worker.ask(), worker.ask()]
    job.may_end.set()
    assert worker.has_done(first, BOUND)
    assert [worker.has_done(turn, BOUND) for turn in later] == [True, True]
    assert job.turns == 2


def test_after_the_stop_nothing_is_done(working: Callable[..., tuple[Worker, Job]]) -> None:
    """Who asks a stopped worker is told at once that it was not done."""
    worker, job = working()
    worker.stop()
    assert not worker.has_done(worker.ask(), BOUND)
    assert job.turns == 0


def test_it_revives(working: Callable[..., tuple[Worker, Job]]) -> None:
    """A forked child, in which the thread is gone and a lock may be held for ever, works on with others."""
    worker, job = working()
    worker.stop()
    worker._changed.acquire()  # by a thread that the child does not have
    worker.revive()
    assert worker.has_done(worker.ask(), BOUND)
    assert job.turns == 1
