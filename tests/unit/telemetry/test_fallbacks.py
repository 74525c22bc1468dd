"""Fallbacks: the call is counted as the failure it was, and shown as the answer it got; the provider gains nothing."""

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

import buoy
from buoy import contract
from tests.support.peer import CUT, Peer, answer
from tests.support.telemetry import Logs, Observed
from tests.support.virtual_time import virtually
from tests.unit.telemetry.bank import ANSWER, attributes, bank, counted
from tests.unit.telemetry.shop import failing

INSTEAD = 0


async def asked(_: BaseException) -> int:
    """Stand in, after a while."""
    await asyncio.sleep(1)
    return INSTEAD


def unable(_: BaseException) -> int:
    """Fail to stand in."""
    raise LookupError


SOURCES = pytest.mark.parametrize(
    ("fallback", "source"),
    [(INSTEAD, "static"), (lambda _: INSTEAD, "function"), (asked, "function")],
    ids=["static", "function", "coroutine"],
)


@SOURCES
@virtually
async def test_a_masked_failure_is_counted_as_what_it_was(fallback: Any, source: str, observed: Observed) -> None:
    """Calls, errors and abandoned retries say what happened; one fallback is counted, with where it came from."""
    provider, ask = bank(own={"fallback": fallback})
    async with provider:
        assert await ask(error=ConnectionResetError()) == INSTEAD
    assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("failure",): 1}
    assert counted(observed, contract.ERRORS, contract.ERROR_TYPE, contract.ERROR_LEVEL) == {
        ("network_error", "attempt"): 1,
        ("network_error", "call"): 1,
    }
    assert counted(observed, contract.ABANDONED, contract.STOP_REASON) == {("max_attempts",): 1}
    expected = {("bank", "ask", source): 1}
    assert expected == counted(
        observed, contract.FALLBACKS, contract.PROVIDER, contract.OPERATION, contract.FALLBACK_SOURCE
    )


@SOURCES
@virtually
async def test_a_masked_failure_is_shown_as_an_answer(fallback: Any, source: str, observed: Observed) -> None:
    """The call's span is no error and says what it masks, its duration carries no error; the attempt's do."""
    provider, ask = bank(own={"fallback": fallback})
    async with provider:
        await ask(error=ConnectionResetError())
    (call,), (attempt,) = observed.calls(), observed.attempts()
    assert (call.status.status_code, call.status.description) == (StatusCode.UNSET, None)
    about = attributes(call)
    assert [name for name in about if name.startswith(("error.", "buoy.error.", "buoy.refusal."))] == [contract.MASKED]
    assert (about[contract.MASKED], about[contract.FALLBACK_SOURCE]) == ("network_error", source)
    assert (about[contract.RESULT_ORIGIN], about[contract.CALL_ATTEMPTS]) == ("fallback", 1)
    assert (attempt.status.status_code, attributes(attempt)[contract.ERROR_TYPE]) == (StatusCode.ERROR, "network_error")
    assert counted(observed, contract.CALL_DURATION, contract.ERROR_TYPE) == {(None,): 1}
    assert counted(observed, contract.ATTEMPT_DURATION, contract.ERROR_TYPE) == {("network_error",): 1}


@virtually
async def test_a_fallback_is_told_once(observed: Observed, seen: Logs) -> None:
    """An event on the call and a warning say what was masked and by what; no log says that the call failed."""
    provider, ask = bank(own={"fallback": INSTEAD})
    async with provider:
        await ask(error=ConnectionResetError())
    expected = {contract.FALLBACK_SOURCE: "static", contract.MASKED: "network_error"}
    (call,) = observed.calls()
    assert [(event.name, attributes(event)) for event in call.events] == [("buoy.fallback.used", expected)]
    (record,) = seen.of(contract.FALLBACK_USED)
    assert record.levelname == "WARNING"
    assert expected.items() <= vars(record).items()
    assert seen.of(contract.CALL_FAILED) == []


@virtually
async def test_a_masked_refusal_stays_a_refusal(observed: Observed) -> None:
    """What a policy of ours refused is counted as refused, and answered all the same."""
    provider, ask = bank(own={"fallback": INSTEAD}, breaker=buoy.Breaker())
    async with provider:
        provider.control.breaker.force("forced_open")
        assert await ask() == INSTEAD
    assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("refused",): 1}
    assert counted(observed, contract.REFUSALS, contract.REFUSAL_REASON) == {("breaker_open",): 1}
    (call,) = observed.calls()
    assert attributes(call)[contract.MASKED] == "breaker_open"
    assert contract.REFUSAL_REASON not in attributes(call)
    assert [event.name for event in call.events] == ["buoy.call.refused", "buoy.fallback.used"]


@virtually
async def test_success_needs_no_fallback(observed: Observed) -> None:
    """A call that is answered says nothing of the fallback that it would have had."""
    provider, ask = bank(own={"fallback": INSTEAD})
    async with provider:
        assert await ask() == ANSWER
    assert counted(observed, contract.FALLBACKS) == {}
    (call,) = observed.calls()
    assert {contract.MASKED, contract.FALLBACK_SOURCE} & set(attributes(call)) == set()
    assert attributes(call)[contract.RESULT_ORIGIN] == "live"


@virtually
async def test_a_fallback_that_fails_is_none(observed: Observed, seen: Logs) -> None:
    """Where the function raises, the call failed with that, and no fallback is counted."""
    provider, ask = bank(own={"fallback": unable})
    async with provider:
        assert isinstance(await failing(ask(error=ConnectionResetError())), LookupError)
    assert counted(observed, contract.FALLBACKS) == {}
    (call,) = observed.calls()
    assert (call.status.status_code, attributes(call)[contract.ERROR_TYPE]) == (StatusCode.ERROR, "unknown")
    assert contract.MASKED not in attributes(call)
    assert len(seen.of(contract.CALL_FAILED)) == 1


@virtually
async def test_a_cancelled_call_has_no_fallback(observed: Observed) -> None:
    """Who leaves gets nothing instead, and is counted as having left."""
    provider, ask = bank(own={"fallback": INSTEAD})
    async with provider:
        task = asyncio.create_task(ask(5))
        await asyncio.sleep(1)
        task.cancel()
        await failing(task)
    assert counted(observed, contract.CALLS, contract.CALL_RESULT) == {("cancelled",): 1}
    assert counted(observed, contract.FALLBACKS) == {}


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=None):
    """Operations that have something instead."""

    item = buoy.get("/items/{id}", fallback={})
    tell = buoy.post("/notes", fallback={})


async def test_a_caller_s_own_error_is_not_masked(observed: Observed) -> None:
    """A 404 is the request's own fault: it stays an error everywhere, and no fallback is counted."""
    async with Peer(answer(404)) as peer, Shop(base_url=peer.url) as shop:
        await failing(shop.item(id="1"))
    assert counted(observed, contract.FALLBACKS) == {}
    (call,) = observed.calls()
    assert attributes(call)[contract.ERROR_TYPE] == "not_found"


async def test_a_masked_doubt_is_still_told(observed: Observed, seen: Logs) -> None:
    """That a call may have had its effect is counted and logged, whatever the caller got instead."""
    async with Peer(CUT) as peer, Shop(base_url=peer.url) as shop:
        assert await shop.tell(json={}) == {}
    assert counted(observed, contract.IN_DOUBT, contract.OPERATION) == {("tell",): 1}
    (record,) = seen.of(contract.CALL_IN_DOUBT)
    assert (record.levelname, vars(record)[contract.ERROR_TYPE]) == ("ERROR", "network_error")
    (call,) = observed.calls()
    assert (call.status.status_code, attributes(call)[contract.MASKED]) == (StatusCode.UNSET, "network_error")
