"""The table of faults, measured: each row against a real socket, with a GET and with a POST."""

import asyncio
import traceback
from collections.abc import Awaitable
from typing import Any

import pytest

import buoy
from buoy.outcome import Outcome, Phase, StopReason
from tests.integration.http.fault_table import SECTIONS
from tests.integration.http.fault_table.connections import ANSWERS, UNBOUNDED
from tests.integration.http.fault_table.places import connector_of
from tests.integration.http.fault_table.row import CANARY, Customer, Cut, Ending, Row, Scene
from tests.integration.http.shop import attribute, kinds
from tests.support.faults import BOUND, FaultyServer, Peer, answer, say
from tests.support.telemetry import Observed

CUTS = [cut for section in SECTIONS for cut in section.cuts]


def call_of(row: Row, customer: Customer, method: str) -> Awaitable[buoy.HttpResult[Any]]:
    """Begin the call that meets the fault."""
    if method == "POST":
        return customer.make.call(data=row.body)
    if method == "HEAD":
        return customer.request("HEAD", "/items/{id}", id=1)
    return customer.read.call(id=1)


async def ended(call: Awaitable[buoy.HttpResult[Any]]) -> tuple[Any, buoy.BuoyError | None, buoy.Meta]:
    """Return what a call came to: a value or an error, and its story."""
    try:
        async with asyncio.timeout(BOUND):
            result = await call
    except buoy.BuoyError as error:
        failure = error
    else:
        return result.value, None, result.meta
    assert failure.meta is not None
    return None, failure, failure.meta


def story(error: buoy.BuoyError | None, meta: buoy.Meta, value: Any, *, arrived: int, kept: bool) -> Ending:
    """Return what happened in the words of the table."""
    told = (None,) * 3 if error is None else (error.error_type, error.outcome, error.reason)
    return Ending(
        raises=None if error is None else type(error),
        error_type=told[0],
        outcome=told[1],
        reason=told[2],
        sends=meta.sends / meta.attempts,
        arrived=arrived / meta.attempts,
        retried=meta.attempts > 1,
        kept=kept,
        noted=bool(getattr(error, "__notes__", ())),
        value=value,
    )


def expected_kinds(meta: buoy.Meta) -> list[str]:
    """Return the kinds of the spans that a call has which says that it took so many tries and sends."""
    resends = ["resend"] * (meta.sends // meta.attempts - 1)
    return [kind for number in range(meta.attempts) for kind in ("retry" if number else "first", *resends)]


def check(error: buoy.BuoyError, meta: buoy.Meta, observed: Observed) -> None:
    """Check what the table does not show: phase, cause, the reason for stopping, and that nothing is quoted."""
    phases = {Outcome.NOT_SENT: Phase.CONNECT, Outcome.APPLIED: Phase.DECODE}
    assert phases.get(error.outcome, Phase.RECEIVE) == error.verdict.phase
    stop = StopReason.NOT_RETRYABLE
    if error.verdict.retryable:
        stop = StopReason.MAX_ATTEMPTS if meta.attempts > 1 else StopReason.NOT_IDEMPOTENT
    assert stop == attribute(observed, "buoy.retry.stop_reason")
    if isinstance(error, buoy.OutcomeUnknown):
        kind = buoy.TimedOut if error.error_type is buoy.ErrorType.TIMEOUT else buoy.NetworkError
        assert type(error.cause) is kind
        assert error.cause is error.__cause__
    assert CANARY not in "".join(traceback.format_exception(error))


async def met(row: Row, method: str, scene: Scene, observed: Observed) -> Ending:
    """Let a call meet the fault, and another follow when it has passed; return what became of the first."""
    timeout = buoy.Timeout(total=60, attempt=row.attempt)
    async with Customer(base_url=scene.url, timeout=timeout) as customer:
        await scene.prepare(customer)
        before = scene.arrived
        observed.clear()
        value, error, meta = await ended(call_of(row, customer, method))
        assert expected_kinds(meta) == kinds(observed)
        assert (meta.sends > meta.attempts) == meta.duplicate
        if error is not None:
            check(error, meta, observed)
        assert set() == connector_of(customer)._acquired
        await scene.heal(customer)
        connections = scene.connections
        assert await customer.calm() == {}
        assert set() == connector_of(customer)._acquired
        kept = scene.connections == connections
    await scene.left_alone()
    return story(error, meta, value, arrived=scene.arrived - before - 1, kept=kept)


def cases() -> list[Any]:
    """Return every row with every method that can meet its fault."""
    return [
        pytest.param(row, method, ending, id=f"{section.title}: {row.fault}: {method}")
        for section in SECTIONS
        for row in section.rows
        for method, ending in ((row.read_method, row.becomes.read), ("POST", row.becomes.write))
        if ending is not None
    ]


@pytest.mark.parametrize(("row", "method", "expected"), cases())
async def test_a_fault_is_told_and_survived(row: Row, method: str, expected: Ending, observed: Observed) -> None:
    """What a call comes to is what the table says, no connection leaks, and the next call works."""
    async with row.stage(expected) as scene:
        assert expected == await met(row, method, scene, observed)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("cut", CUTS, ids=[cut.fault for cut in CUTS])
async def test_an_answer_may_break_off_anywhere(cut: Cut, method: str) -> None:
    """Wherever an answer breaks off, it is the same failure, nothing leaks, and the next call works."""
    expected = cut.becomes.read if method == "GET" else cut.becomes.write
    assert expected is not None
    found = {}
    async with FaultyServer() as server, Customer(base_url=server.url) as customer:
        for position in range(cut.start, cut.stop):
            step = say(cut.answer[:position], end=cut.end)
            server.add(*[[step]] * expected.connections, [answer(Connection="close")])
            before, connections = server.arrived, len(server.connections)
            value, error, meta = await ended(
                customer.read.call(id=1) if method == "GET" else customer.make.call(data=b"")
            )
            assert await customer.calm() == {}
            assert set() == connector_of(customer)._acquired
            kept = len(server.connections) == connections + expected.connections
            found[position] = story(error, meta, value, arrived=server.arrived - before - 1, kept=kept)
    await server.left_alone()
    assert dict.fromkeys(range(cut.start, cut.stop), expected) == found


@pytest.mark.parametrize("framing", ANSWERS)
async def test_an_answer_may_come_in_any_two_pieces(framing: str) -> None:
    """Wherever an answer is split into segments, it is the same answer, had with one send."""
    whole = b"".join(ANSWERS[framing])
    end = Peer.close if framing == UNBOUNDED else None
    found = {}
    async with FaultyServer() as server, Customer(base_url=server.url) as customer:
        steps = [say(whole[:position], whole[position:], end=end) for position in range(1, len(whole))]
        server.add(*[[step] for step in steps] if end else [steps])
        for position in range(1, len(whole)):
            result = await customer.make.call(data=b"")
            found[position] = (result.value, result.meta.sends)
    assert dict.fromkeys(range(1, len(whole)), (b"[7]", 1)) == found
    assert len(server.connections) == (len(steps) if end else 1)


@pytest.mark.parametrize("framing", ANSWERS)
async def test_an_answer_may_come_byte_by_byte(framing: str) -> None:
    """A segment for every byte makes the same answer, too."""
    whole = b"".join(ANSWERS[framing])
    end = Peer.close if framing == UNBOUNDED else None
    async with (
        FaultyServer([say(*[whole[n : n + 1] for n in range(len(whole))], end=end)]) as server,
        Customer(base_url=server.url) as customer,
    ):
        result = await customer.make.call(data=b"")
    assert (result.value, result.meta.sends) == (b"[7]", 1)
