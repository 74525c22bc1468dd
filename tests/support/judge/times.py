"""The checks of time: what a call says of its tries and waits adds up to what its span lasted."""

from collections.abc import Callable, Iterator

from tests.support.judge.case import Case, joined
from tests.support.judge.otlp import Span

PARTS = ("attempts", "backoff", "rate_limit", "concurrency", "auth")
# What a call may leave unexplained: the work of the service's own process between two steps.
OWN = 0.005
# That process may be held up by others. For so long, once, and for this part of all the time.
HELD_UP = 0.25
SHARE = 0.01


def parts_fit_into_the_call(case: Case) -> Iterator[str]:
    """Tries and waits are no longer than the call that they are parts of."""
    for call in case.calls:
        # Who joined waits for the whole time, from a moment before the span begins.
        slack = HELD_UP if joined(call) else OWN
        if told(call) > call.duration + slack:
            yield f"{call} lasted {call.duration:.4f} s, and its parts {told(call):.4f} s"


def calls_are_explained(case: Case) -> Iterator[str]:
    """Tries and waits are all that a call does: 99 % of it, or all but 5 ms, unless the process was held up."""
    for call in case.calls:
        rest = unexplained(call)
        if rest > HELD_UP and not case.may_be_outlived(call):
            yield f"{call} lasted {call.duration:.4f} s, of which {rest:.4f} s are unexplained"
    # A flight is a task of its own: those who board it wait for the event loop, too, which may be busy.
    shared = {call.text("buoy.operation") for call in case.calls if joined(call)}
    alone = [call for call in case.calls if call.text("buoy.operation") not in shared]
    total, rest = sum(call.duration for call in alone), sum(map(unexplained, alone))
    if rest > SHARE * total:
        yield f"all calls that nobody could join lasted {total:.4f} s, of which {rest:.4f} s are unexplained"


def sends_fit_into_the_tries(case: Case) -> Iterator[str]:
    """The sends of a call are no longer than its tries."""
    for call in case.calls:
        tries = call.seconds("buoy.time.attempts")
        sends = sum(send.duration for send in case.begun_by_end_of(call))
        if not joined(call) and not case.may_be_outlived(call) and sends > tries + OWN:
            yield f"{call} tried for {tries:.4f} s, its sends took {sends:.4f} s"


def told(call: Span) -> float:
    """Return the seconds that a call explains."""
    return sum(call.seconds(f"buoy.time.{part}") for part in PARTS)


def unexplained(call: Span) -> float:
    """Return the seconds of a call that are neither tries nor waits, beyond what it may keep for itself."""
    rest = call.duration - told(call)
    return rest if rest > max(OWN, SHARE * call.duration) else 0.0


CHECKS: tuple[tuple[str, Callable[[Case], Iterator[str]]], ...] = (
    ("parts fit", parts_fit_into_the_call),
    ("calls explained", calls_are_explained),
    ("sends fit", sends_fit_into_the_tries),
)
