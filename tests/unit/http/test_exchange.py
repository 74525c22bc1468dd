"""One try's account of its sends and of what goes wrong, without a socket."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from buoy.errors import BuoyError, HttpError, NetworkError, TimedOut, Undecodable
from buoy.events import Silent
from buoy.http.body import MisfitError
from buoy.http.exchange import Exchange
from buoy.http.payload import NOTHING
from buoy.http.upload import Opened
from buoy.outcome import ErrorType, Outcome, Phase, Safety, Verdict
from buoy.pipeline.call import CANCELLED, UNKNOWN, Call
from tests.unit.pipeline.scripted import PLAN, busy


class Notes(Silent):
    """Writes down how each send ended."""

    def __init__(self) -> None:
        self.ended: list[Verdict | None] = []

    def send_ended(self, call: object, send: Any) -> None:
        """Note it."""
        del call
        self.ended.append(send.failure)


class Failing:
    """A body whose source fails while it is sent."""

    replayable = False
    spent = True

    def __init__(self, fault: Exception | None = None) -> None:
        self.faults = [] if fault is None else [fault]
        self.closed = 0

    async def open(self) -> Opened:
        """Return it for one send."""

        def close() -> None:
            self.closed += 1

        return Opened(b"", {}, faults=self.faults, release=close)


def begun(payload: Any = NOTHING, safety: Safety = Safety.SAFE) -> tuple[Exchange, Notes]:
    """Return the exchange of a call's first try."""
    notes = Notes()
    call = Call(replace(PLAN, recorder=notes, safety=safety), asyncio.get_running_loop())
    assert call.begin_try(call.loop.time())
    return Exchange(call, payload), notes


async def ending(exchange: Exchange, error: BaseException, *, response: Any = None) -> None:
    """Let a try send its body, if it has one, and end with this."""
    with exchange:
        await exchange.open_body()
        exchange.begin()
        exchange.response = response
        raise error


LOST = Verdict(ErrorType.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="disconnected")
CASES: dict[str, tuple[Callable[[], Exception], type[BuoyError], Verdict]] = {
    "the network": (aiohttp.ServerDisconnectedError, NetworkError, LOST),
    "the timer": (
        TimeoutError,
        TimedOut,
        Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="timer"),
    ),
    "silence": (
        aiohttp.SocketTimeoutError,
        TimedOut,
        Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="timer"),
    ),
    "a broken answer": (
        lambda: aiohttp.ClientResponseError(None, ()),  # type: ignore[arg-type]  # it is not looked at
        NetworkError,
        Verdict(ErrorType.NETWORK_ERROR, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True, reason="broken_answer"),
    ),
}


@pytest.mark.parametrize(("made", "kind", "verdict"), CASES.values(), ids=CASES)
async def test_what_goes_wrong_leaves_in_our_own_words(
    made: Callable[[], Exception], kind: type[BuoyError], verdict: Verdict
) -> None:
    """A foreign exception becomes one of ours, without a cause whose text may carry a URL; the send ends with it."""
    exchange, notes = begun()
    with pytest.raises(kind) as caught:
        await ending(exchange, made())
    assert (verdict, [verdict]) == (caught.value.verdict, notes.ended)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)


async def test_a_try_that_went_well_ends_its_send() -> None:
    """Without an error the open send is a success, and what was opened is closed."""
    payload = Failing()
    exchange, notes = begun(payload)
    with exchange:
        await exchange.open_body()
        exchange.begin()
    assert (notes.ended, payload.closed, exchange.call.spent) == ([None], 1, False)


async def test_a_cancelled_try_is_cancelled() -> None:
    """A cancellation passes as it is, and is nobody's failure."""
    exchange, notes = begun()
    with pytest.raises(asyncio.CancelledError):
        await ending(exchange, asyncio.CancelledError())
    assert notes.ended == [CANCELLED]


async def test_an_error_of_ours_passes_as_it_is() -> None:
    """The send ends with the verdict that it has already."""
    exchange, notes = begun()
    error = busy()
    with pytest.raises(HttpError) as caught:
        await ending(exchange, error)
    assert caught.value is error
    assert notes.ended == [error.verdict]


FAULTS = {"a mistake": LookupError(), "one of ours": busy()}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_the_source_of_a_body_is_the_callers_own(fault: Exception) -> None:
    """What it raised leaves instead of the broken connection, blames nobody, and the body is spent."""
    payload = Failing(fault)
    exchange, notes = begun(payload)
    with pytest.raises(type(fault)) as caught:
        await ending(exchange, aiohttp.ClientConnectionError())
    assert caught.value is fault
    assert (notes.ended, payload.closed) == ([UNKNOWN], 1)
    assert (exchange.call.own, exchange.call.spent) == (True, True)
    assert exchange.call.judge(fault) is UNKNOWN


async def test_an_answer_wins_over_the_source_of_the_body() -> None:
    """Where the provider has answered with an error, that is what is told."""
    exchange, _ = begun(Failing(LookupError()))
    error = busy()
    with pytest.raises(HttpError) as caught:
        await ending(exchange, error)
    assert caught.value is error
    assert not exchange.call.own


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_what_fails_before_a_send_is_the_callers_own(fault: Exception) -> None:
    """While a send is prepared only the caller's code runs: its error passes, no send was begun, nobody is blamed."""
    exchange, notes = begun()

    def preparing() -> None:
        with exchange:
            exchange.preparing = True
            raise fault

    with pytest.raises(type(fault)) as caught:
        preparing()
    assert (caught.value, notes.ended, exchange.call.own) == (fault, [], True)


async def test_an_unknown_error_blames_nobody() -> None:
    """What the tables do not know passes as it is."""
    exchange, notes = begun()
    with pytest.raises(LookupError):
        await ending(exchange, LookupError())
    assert (notes.ended, exchange.call.own) == ([UNKNOWN], False)


class Answered:
    """As much of an answer as is looked at."""

    status = 200

    def __init__(self) -> None:
        self.released = 0

    def release(self) -> None:
        """Count it."""
        self.released += 1


@pytest.mark.parametrize(("reason", "retryable"), [("malformed", True), ("misfit", False), ("too_large", False)])
async def test_a_misfit_is_undecodable(reason: str, *, retryable: bool) -> None:
    """A body that is not what was declared was an answer: it is applied, and the answer is let go."""
    exchange, notes = begun()
    answered: Any = Answered()
    with pytest.raises(Undecodable) as caught:
        await ending(exchange, MisfitError(reason, "the body is odd"), response=answered)
    verdict = Verdict(ErrorType.SERVER_ERROR, Outcome.APPLIED, Phase.DECODE, retryable, reason)
    assert (verdict, [verdict]) == (caught.value.verdict, notes.ended)
    assert answered.released == 1


@pytest.mark.parametrize(
    ("outcome", "acted", "expected"),
    [
        (Outcome.NOT_SENT, True, Outcome.UNKNOWN),
        (Outcome.REJECTED, True, Outcome.UNKNOWN),
        (Outcome.APPLIED, True, Outcome.APPLIED),
        (Outcome.UNKNOWN, True, Outcome.UNKNOWN),
        (Outcome.NOT_SENT, False, Outcome.NOT_SENT),
        (Outcome.REJECTED, False, Outcome.REJECTED),
    ],
)
async def test_what_was_sent_before_may_have_happened(outcome: Outcome, expected: Outcome, *, acted: bool) -> None:
    """A redirect that was carried out is not undone by a last send that never left."""
    exchange, _ = begun()
    exchange.begin()
    exchange.redirected(acted=acted)
    assert expected == exchange.whole(replace(LOST, outcome=outcome)).outcome


async def test_a_verdict_given_at_the_end_of_a_send_stands() -> None:
    """What is raised after a send has ended is the same failure."""
    exchange, notes = begun()
    exchange.begin()
    first = exchange.judge(aiohttp.ServerDisconnectedError())
    exchange.close(first)
    exchange.close(UNKNOWN)
    assert exchange.judge(ConnectionRefusedError()) is first
    assert notes.ended == [first]
