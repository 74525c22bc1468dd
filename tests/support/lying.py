"""Lies built into the SDK, for a process of their own: the demo runs with them, and the judge has to notice.

``python -m tests.support.lying NAME,NAME demo ...`` runs the command line with these lies.
"""

import sys
from collections.abc import Callable
from typing import Any

from buoy.cli import main
from buoy.cli.demo import load
from buoy.http.exchange import Exchange
from buoy.http.inflate import Inflater
from buoy.outcome import AttemptKind, ErrorType
from buoy.pipeline.call import Call
from buoy.telemetry.recorder import OperationRecorder


def truncated_handed_out() -> None:
    """Hand out what there is of a compressed body that was cut, as the whole answer."""
    _patch(Inflater, "finish", lambda _: lambda _self: None)
    _patch(load, "BROKEN", lambda _: ("gzip-cut",))


def traceparent_sent_on() -> None:
    """Send ``traceparent`` to whoever a redirect leads to."""
    _patch(Exchange, "begin", lambda begin: lambda self, kind=None, target=None, **_: begin(self, kind, target))


def redirect_called_retry() -> None:
    """Count a redirect as a retry, in spans and metrics."""

    def lie(begin_send: Any) -> Any:
        return lambda self, kind=None, target=None: begin_send(
            self, AttemptKind.RETRY if kind is AttemptKind.REDIRECT else kind, target
        )

    _patch(Call, "begin_send", lie)


def redirect_dropped() -> None:
    """Never end the span of a redirect, so that it is never exported."""

    def lie(send_ended: Any) -> Any:
        def ended(self: Any, call: Any, send: Any) -> None:
            if send.kind is AttemptKind.REDIRECT:
                send.span = None
            send_ended(self, call, send)

        return ended

    _patch(OperationRecorder, "send_ended", lie)


def cancelled_told_as_success() -> None:
    """Tell a call whose caller has left as a success."""
    _patch(OperationRecorder, "call_ended", lambda ended: _forgetting(ended, _was_cancelled))


def broken_stream_told_as_success() -> None:
    """Tell a streamed call whose body broke off as a success."""
    _patch(OperationRecorder, "call_ended", lambda ended: _forgetting(ended, _broke_off))


LIES: dict[str, Callable[[], None]] = {
    lie.__name__: lie
    for lie in (
        truncated_handed_out,
        traceparent_sent_on,
        redirect_called_retry,
        redirect_dropped,
        cancelled_told_as_success,
        broken_stream_told_as_success,
    )
}


def _patch(owner: Any, name: str, lie: Callable[[Any], Any]) -> None:
    setattr(owner, name, lie(getattr(owner, name)))


def _forgetting(call_ended: Any, which: Callable[[Any], bool]) -> Any:
    def ended(self: Any, call: Any) -> None:
        if which(call):
            call.failure = call.stop_reason = None
        call_ended(self, call)

    return ended


def _was_cancelled(call: Any) -> bool:
    return call.failure is not None and call.failure.error_type is ErrorType.CANCELLED


def _broke_off(call: Any) -> bool:
    return call.answered is not None and call.failure is not None and not _was_cancelled(call)


if __name__ == "__main__":
    for told in sys.argv[1].split(","):
        LIES[told]()
    # What is not lied about would only take time.
    _patch(load, "_calls", lambda _: lambda _shop, _callers: {})
    sys.exit(main(sys.argv[2:]))
