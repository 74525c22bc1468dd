"""What the life of the process does to telemetry that is ours: it forks, and it ends."""

import atexit
import logging
import os
import sys
import time
from collections.abc import Callable

from buoy import contract
from buoy.outcome import DrainResult
from buoy.telemetry import drain, scope
from buoy.telemetry.drain import DrainReport, Owned

# Kubernetes gives 30 seconds between SIGTERM and SIGKILL.
_DEADLINE = 8.0
# After a drain that somebody asked for: what could not leave within its time will not leave now.
_AGAIN = 1.0
# The log that tells how it ended is recorded last: so long (seconds) its own export may take.
_LAST = 0.5
# What multiprocessing runs in a child that ends; the lowest come last.
_PRIORITY = -1000

# What has to be done before telemetry is exported for the last time.
_first: list[Callable[[], None]] = []
_owned: Owned | None = None
_follows_children = False
_is_drained = False


def before_exit(function: Callable[[], None]) -> None:
    """Call ``function`` when the process ends, before telemetry is exported for the last time."""
    _first.append(function)


def leave_first() -> None:
    """When the process ends, do it before whoever has registered until now: that may be an SDK's last export."""
    atexit.unregister(leave)
    atexit.register(leave)


def watch(owned: Owned) -> None:
    """From now on survive forks, and export what is left when the process ends."""
    global _owned  # noqa: PLW0603  # one per process, as OpenTelemetry's providers are
    if _owned is None and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
    _owned = owned
    leave_first()
    _follow_children()
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _leave_as_child()


def tell(done: DrainReport) -> None:
    """Log what a drain did."""
    global _is_drained  # noqa: PLW0603  # of the process, as all here
    _is_drained = True
    level = logging.INFO if done.result is DrainResult.FLUSHED else logging.WARNING
    fields = {
        contract.DRAIN_RESULT: str(done.result),
        "flushed": done.flushed,
        "dropped": done.dropped,
        "duration": done.duration,
    }
    scope.present().log.emit(level, contract.DRAINED.name, "", str(done.result), fields)


def leave(deadline: float | None = None) -> None:
    """Export what is left within ``deadline`` seconds, and stop: the process ends, or is done with telemetry."""
    global _owned
    owned, _owned = _owned, None
    begun = time.monotonic()
    for function in _first:
        function()
    scope.flush()
    if owned is None:
        return
    if deadline is None:
        deadline = _AGAIN if _is_drained else _DEADLINE
    result = drain.deliver(owned, begun + deadline)
    tell(drain.report(owned, result, time.monotonic() - begun))
    if owned.logs is not None:
        owned.logs.queue.flush(_LAST)
    drain.stop(owned)


def _before_fork() -> None:
    if _owned is not None and _owned.metrics is not None:
        _owned.metrics.hold()
    _follow_children()


def _follow_children() -> None:
    """Leave well in children of multiprocessing, too: they end without exit handlers, but have some of their own."""
    global _follows_children  # noqa: PLW0603  # once
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _follows_children:
        util.register_after_fork(_follow_children, lambda _: _leave_as_child())
        _follows_children = True


def _in_parent() -> None:
    if _owned is not None and _owned.metrics is not None:
        _owned.metrics.release()


def _in_child() -> None:
    global _is_drained  # noqa: PLW0603  # of the process, as all here
    _is_drained = False
    if _owned is None:
        return
    for part in (_owned.traces, _owned.logs, _owned.metrics):
        if part is not None:
            part.revive()


def _leave_as_child() -> None:
    sys.modules["multiprocessing.util"].Finalize(None, leave, exitpriority=_PRIORITY)
