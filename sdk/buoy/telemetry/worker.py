"""A thread that does one job again and again: when it is due, and when somebody asks for it and waits for the end.

Nobody else does the job, so that it is never done twice at once, and who waits can stop waiting: a flush of
OpenTelemetry's own blocks its caller for as long as the export takes, whatever its timeout says.
"""

import threading
from collections.abc import Callable


class Worker:
    """Does ``job`` every ``interval`` seconds until :meth:`stop`. The job must not raise."""

    def __init__(self, name: str, job: Callable[[], None], interval: float) -> None:
        self._name = name
        self._job = job
        self._interval = interval
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._stopping = False
        # A daemon: a receiver that does not answer must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def ask(self) -> int:
        """Let the job be done soon, from its beginning; return the number of that turn."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def has_done(self, turn: int, seconds: float) -> bool:
        """Wait for the end of a turn, so many seconds at most; tell whether it came."""
        with self._changed:
            return self._changed.wait_for(lambda: self._done >= turn or self._stopping, max(seconds, 0.0)) and (
                self._done >= turn
            )

    def stop(self) -> None:
        """Do the job no more; what is being done goes on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def revive(self) -> None:
        """Begin anew in a forked child, which has no thread but the one that forked."""
        self._begin()

    def _run(self) -> None:
        changed = self._changed
        begun = 0
        while True:
            with changed:
                changed.wait_for(lambda: self._asked > begun or self._stopping, self._interval)  # noqa: B023  # at once
                if self._stopping:
                    return
                begun = self._asked
            self._job()
            with changed:
                self._done = begun
                changed.notify_all()
