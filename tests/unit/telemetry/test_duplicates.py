"""Duplicates, avoided or possible: joined calls lead to the call whose answer they got; doubt is counted from zero."""

import asyncio

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import buoy
from buoy import contract
from tests.support.peer import CUT, Peer, answer
from tests.support.telemetry import Logs, Observed, observe
from tests.support.virtual_time import virtually
from tests.unit.telemetry.bank import ANSWER, attributes, bank, counted, told
from tests.unit.telemetry.shop import Shop, context_of, failing

BY = (contract.PROVIDER, contract.OPERATION, contract.DUPLICATE_SOURCE)


@virtually
async def test_a_joined_call_leads_to_the_first(observed: Observed) -> None:
    """Its span links to the first caller's, whose span alone has the attempt below it."""
    provider, ask = bank(own={"joined": True})
    async with provider:
        assert set(await asyncio.gather(ask(1), ask(1), ask(1))) == {ANSWER}
    (attempt,) = observed.attempts()
    first = next(span for span in observed.calls() if not span.links)
    others = [span for span in observed.calls() if span is not first]
    assert len(others) == 2
    assert [[link.context for link in span.links] for span in others] == [[context_of(first)]] * 2
    assert attempt.parent is not None
    assert attempt.parent.span_id == context_of(first).span_id


@virtually
async def test_a_joined_call_is_a_duplicate_that_sent_nothing(observed: Observed, seen: Logs) -> None:
    """Each but the first is counted and told as a duplicate in flight, with no attempt of its own."""
    provider, ask = bank(own={"joined": True})
    async with provider:
        await asyncio.gather(ask(1), ask(1), ask(1), ask(2))
    assert counted(observed, contract.DUPLICATES, *BY) == {("bank", "ask", "in_flight"): 2}
    assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("success",): 4}
    assert counted(observed, contract.ATTEMPT_DURATION) == {(): 2}
    joined = [span for span in observed.calls() if contract.DUPLICATE_SOURCE in attributes(span)]
    for span in joined:
        about = attributes(span)
        assert (about[contract.CALL_ATTEMPTS], about[contract.CALL_SENDS]) == (0, 0)
        assert about[contract.TIME_ATTEMPTS] == 1.0
        expected = {contract.DUPLICATE_SOURCE: "in_flight"}
        assert [(event.name, attributes(event)) for event in span.events] == [("buoy.duplicate.found", expected)]
    assert len(joined) == 2
    records = [
        (record.levelname, vars(record)[contract.DUPLICATE_SOURCE]) for record in seen.of(contract.DUPLICATE_FOUND)
    ]
    assert records == [("INFO", "in_flight")] * 2


@virtually
async def test_a_joined_failure_is_each_caller_s(observed: Observed) -> None:
    """Each caller's call failed and is counted and marked; the one attempt is one error."""
    provider, ask = bank(own={"joined": True})
    error = ConnectionResetError()
    async with provider:
        await asyncio.gather(failing(ask(1, error)), failing(ask(1, error)))
    assert counted(observed, contract.ERRORS, contract.ERROR_LEVEL) == {("attempt",): 1, ("call",): 2}
    assert [span.status.status_code for span in observed.calls()] == [StatusCode.ERROR] * 2
    assert [attributes(span)[contract.ERROR_TYPE] for span in observed.calls()] == ["network_error"] * 2


def test_a_call_can_be_joined_that_no_trace_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is sampled the metrics count the duplicate all the same."""

    async def twice() -> None:
        provider, ask = bank(own={"joined": True})
        async with provider:
            assert set(await asyncio.gather(ask(0.001), ask(0.001))) == {ANSWER}

    with observe(monkeypatch, ALWAYS_OFF) as observed:
        asyncio.run(twice())
        assert observed.spans() == []
        assert counted(observed, contract.DUPLICATES, *BY) == {("bank", "ask", "in_flight"): 1}


async def test_a_resend_is_a_possible_duplicate(observed: Observed) -> None:
    """What the transport sent twice by itself is counted under its own source."""
    async with Peer(CUT, answer()) as peer, Shop(base_url=peer.url) as shop:
        await shop.item(id="1")
    assert counted(observed, contract.DUPLICATES, *BY) == {("shop", "items.get", "resend"): 1}


async def test_doubt_is_counted_from_zero(observed: Observed) -> None:
    """Every declared operation starts without doubt; what may have happened and must not be repeated is one."""
    async with Peer(CUT) as peer, Shop(base_url=peer.url) as shop:
        by = (contract.PROVIDER, contract.OPERATION)
        assert told(observed, contract.IN_DOUBT, *by) == {("shop", "items.get"): 0, ("shop", "notes.make"): 0}
        assert isinstance(await failing(shop.tell(json={})), buoy.OutcomeUnknown)
        await failing(shop.item(id="1", deadline=0))
    assert told(observed, contract.IN_DOUBT, *by) == {("shop", "items.get"): 0, ("shop", "notes.make"): 1}
