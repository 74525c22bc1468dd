"""Faults of time: answers that never come, or never end. The timeout of a try is what ends them."""

from tests.integration.http.fault_table.row import LATE, Row, Section
from tests.integration.http.fault_table.wire import chunked, on_wire, sized, unbounded
from tests.support.faults import Step, drip, endless, hang, say

_ATTEMPT = 0.1  # the connection is there before the try begins: only writing has to fit
_EVERY = 0.02  # a byte each, and far more bytes than fit
_MUCH = b"x" * 1000


def _slow(fault: str, *script: Step) -> Row:
    return Row(fault=fault, stage=on_wire(*script, warm=True), becomes=LATE, attempt=_ATTEMPT)


SLOW = Section(
    title="Answers that never come, or never end",
    text="A byte now and then does not help: what is timed is the try, from its begin to the last byte of the body.",
    rows=[
        _slow("silence", hang),
        _slow("the status line, byte by byte", drip(b"HTTP/1.1 200 ", _MUCH, every=_EVERY)),
        _slow("a header, byte by byte", drip(b"HTTP/1.1 200 OK\r\nX-Odd: ", _MUCH, every=_EVERY)),
        _slow("a body, byte by byte", drip(sized(b"", length=1000), _MUCH, every=_EVERY)),
        _slow("`100 Continue` without end", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        _slow("silence within the body", say(sized(length=1000))),
        _slow("silence within a body of no length", say(unbounded())),
        _slow("silence within a chunk", say(chunked(b"ff\r\n[7]"))),
        _slow("chunks without end", endless(chunked(b""), b"400\r\n" + b"x" * 1024 + b"\r\n")),
        _slow("a body of no length, without end", endless(unbounded(b""), b"x" * 1024)),
    ],
)
