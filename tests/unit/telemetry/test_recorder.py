"""What a call and its sends leave behind: status, error, events, and who names the call."""

import asyncio

import pytest
from opentelemetry.trace import StatusCode

import buoy
from buoy import contract
from buoy.events import WaitEnded
from buoy.outcome import TABLE, Outcome, Phase, Safety, Transport, Verdict, WaitCause
from buoy.pipeline import run
from buoy.pipeline.call import Call, Plan
from buoy.telemetry.names import OperationNames
from tests.support.eventually import until
from tests.support.peer import CUT, HANG, Peer, answer
from tests.support.telemetry import Observed, logs
from tests.unit.telemetry.shop import AT_ONCE, Shop, failing

# Status.


async def test_success_leaves_the_status_unset(observed: Observed) -> None:
    """Neither the call nor its attempt is marked, and a call without trouble has no events."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        await shop.item(id="1")
    assert [span.status.status_code for span in observed.spans()] == [StatusCode.UNSET] * 2
    assert [span.status.description for span in observed.spans()] == [None, None]
    assert [span.events for span in observed.spans()] == [(), ()]


@pytest.mark.parametrize("error_type", [error for error in buoy.ErrorType if error is not buoy.ErrorType.CANCELLED])
async def test_failure_is_an_error_with_a_fixed_sentence(error_type: buoy.ErrorType, observed: Observed) -> None:
    """Call and attempt say ERROR and the sentence of the table, and carry category or refusal reason, never both."""
    bank = buoy.Provider("bank", retry=None)

    @bank.operation("fail", safety="safe")
    async def fail() -> None:
        message = "what happened in the bank"
        raise buoy.BuoyError(message, verdict=Verdict(error_type, Outcome.REJECTED, Phase.LOCAL))

    async with bank:
        await failing(fail())
    category = TABLE[error_type].category
    expected = {contract.ERROR_TYPE: str(error_type)}
    expected |= {contract.REFUSAL_REASON: str(error_type)} if category is None else {contract.ERROR_CATEGORY: category}
    for span in (*observed.calls(), *observed.attempts()):
        assert StatusCode.ERROR is span.status.status_code
        assert TABLE[error_type].sentence == span.status.description
        named = {contract.ERROR_TYPE, contract.ERROR_CATEGORY, contract.REFUSAL_REASON}
        assert expected == {name: value for name, value in (span.attributes or {}).items() if name in named}


async def test_a_cancelled_call_has_no_status(observed: Observed) -> None:
    """Who leaves is no error: ``error.type`` says so, the status stays unset, no error is counted."""
    async with Peer(HANG) as peer, Shop(base_url=peer.url) as shop:
        task = asyncio.ensure_future(shop.item(id="1"))
        await peer.reading.wait()
        task.cancel()
        assert isinstance(await failing(task), asyncio.CancelledError)
    for span in (*observed.calls(), *observed.attempts()):
        assert StatusCode.UNSET is span.status.status_code
        assert (span.attributes or {})[contract.ERROR_TYPE] == "cancelled"
    assert observed.value("buoy.client.calls", result="cancelled") == 1
    assert observed.value("buoy.client.errors") == 0


async def test_a_retry_that_repairs_leaves_the_call_unmarked(observed: Observed) -> None:
    """The failed attempt is an error; the call is a success without ``error.type``, and tells of the retry."""
    async with Peer(answer(503), answer()) as peer, Shop(base_url=peer.url) as shop:
        await shop.item(id="1")
    first, second = observed.attempts()
    (call,) = observed.calls()
    assert StatusCode.ERROR is first.status.status_code
    assert [span.status.status_code for span in (second, call)] == [StatusCode.UNSET] * 2
    assert contract.ERROR_TYPE not in (call.attributes or {})
    assert [event.name for event in call.events] == ["buoy.retry.scheduled"]
    attributes = second.attributes or {}
    assert (
        attributes[contract.ATTEMPT_KIND],
        attributes[contract.ATTEMPT_NUMBER],
        attributes[contract.RESEND_COUNT],
        attributes[contract.RETRY_REASON],
    ) == ("retry", 2, 1, "server_error")
    assert observed.value("buoy.client.retries", reason="server_error") == 1
    assert observed.value("buoy.client.errors", level="attempt") == 1
    assert observed.value("buoy.client.errors", level="call") == 0


async def test_a_wait_that_counts_is_an_event(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait of 10 ms or more is an event on the call; it, and the shorter one, is in the histogram."""
    monkeypatch.setattr(run, "random", lambda: 1.0)
    async with Peer(answer(503), answer()) as peer, Shop(base_url=peer.url, retry=buoy.Retry(base=0.01)) as shop:
        await shop.item(id="1")
        (call,) = observed.calls()
        assert [event.name for event in call.events] == ["buoy.retry.scheduled", "buoy.wait.ended"]
        waited = (call.events[1].attributes or {})[contract.WAIT_DURATION]
        assert (call.attributes or {})[contract.TIME_BACKOFF] == waited
        assert observed.value("buoy.client.wait.duration", **{contract.WAIT_FOR: "backoff"}) == 1


# Who names the call.


async def test_cancellation_wins_over_an_attempt_s_error(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that is cancelled while it waits for its retry is cancelled, whatever the attempt said."""
    monkeypatch.setattr(run, "random", lambda: 1.0)
    retry = buoy.Retry(base=20.0)
    with logs() as seen:
        async with Peer(answer(503)) as peer, Shop(base_url=peer.url, retry=retry) as shop:
            task = asyncio.ensure_future(shop.item(id="1"))
            await until(lambda: bool(seen.of(contract.RETRY_SCHEDULED)))
            task.cancel()
            await failing(task)
    assert [(span.attributes or {})[contract.ERROR_TYPE] for span in observed.attempts()] == ["service_unavailable"]
    assert [(span.attributes or {})[contract.ERROR_TYPE] for span in observed.calls()] == ["cancelled"]


async def test_an_attempt_s_error_wins_over_the_deadline(observed: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an attempt failed and no time is left for another, the attempt's error names the call."""
    monkeypatch.setattr(run, "random", lambda: 1.0)
    async with Peer(answer(503)) as peer, Shop(base_url=peer.url, retry=buoy.Retry(base=20.0)) as shop:
        await failing(shop.item(id="1", deadline=10))
    (call,) = observed.calls()
    assert (call.attributes or {})[contract.ERROR_TYPE] == "service_unavailable"
    assert (call.attributes or {})[contract.STOP_REASON] == "deadline"


async def test_a_refusal_names_the_call_when_nothing_was_sent(observed: Observed) -> None:
    """A call without time is refused: no attempt, an event that says why, ``refused`` in the SLI."""
    async with Shop() as shop:
        assert isinstance(await failing(shop.item(id="1", deadline=0)), buoy.DeadlineExceeded)
    assert observed.attempts() == []
    (call,) = observed.calls()
    assert [
        (
            event.name,
            (event.attributes or {})[contract.REFUSAL_REASON],
            (event.attributes or {})[contract.REFUSAL_ENFORCED],
        )
        for event in call.events
    ] == [("buoy.call.refused", "deadline_exceeded", True)]
    assert observed.value("buoy.client.calls", result="refused") == 1


async def test_a_refusal_inside_a_wrapped_function_can_be_retried(observed: Observed) -> None:
    """What another provider refused has no category; as the reason of a retry it is ``general``, one of the seven."""
    bank = buoy.Provider("bank", retry=AT_ONCE)

    @bank.operation("pay", safety="idempotent", retry_on=buoy.Refused)
    async def pay() -> int:
        if buoy.current_call().attempt == 1:
            raise buoy.BreakerOpen
        return 1

    async with bank:
        await pay()
    assert observed.value("buoy.client.retries", reason="general") == 1
    assert [(span.attributes or {})[contract.RETRY_REASON] for span in observed.attempts()[1:]] == ["general"]


# What else is told.


async def test_a_hidden_resend_is_told(observed: Observed) -> None:
    """The transport's own second send is an event on its attempt, a log, and a possible duplicate of the call."""
    with logs() as seen:
        async with Peer(CUT, answer()) as peer, Shop(base_url=peer.url) as shop:
            await shop.item(id="1")
    first, second = observed.attempts()
    assert [tuple(event.name for event in span.events) for span in (first, second)] == [(), ("buoy.transport.resend",)]
    (call,) = observed.calls()
    assert (
        (call.attributes or {})[contract.DUPLICATE_SOURCE],
        (call.attributes or {})[contract.CALL_ATTEMPTS],
        (call.attributes or {})[contract.CALL_SENDS],
    ) == ("resend", 1, 2)
    assert len(seen.of(contract.RESENT)) == 1


async def test_the_attempt_ends_with_its_body(observed: Observed) -> None:
    """An answer that breaks off in its body is an error of an attempt that had its status already."""
    async with Peer(answer(200, b'{"a":', length=100)) as peer, Shop(base_url=peer.url, retry=None) as shop:
        await failing(shop.item(id="1"))
    (attempt,) = observed.attempts()
    attributes = attempt.attributes or {}
    assert (
        attributes[contract.STATUS_CODE],
        attributes[contract.ERROR_TYPE],
        attributes[contract.ERROR_REASON],
    ) == (200, "network_error", "truncated")


async def test_the_url_shows_names_and_no_values(observed: Observed) -> None:
    """The URL of an attempt is the template, with every query value redacted."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        await shop.item(id="private", page=7, tag=["a", "b"])
    (attempt,) = observed.attempts()
    assert f"{peer.url}/items/{{id}}?page=REDACTED&tag=REDACTED&tag=REDACTED" == (attempt.attributes or {})["url.full"]


async def test_a_wait_of_no_time_is_no_wait(observed: Observed) -> None:
    """Where nothing was waited for, nothing is recorded."""
    loop = asyncio.get_running_loop()
    names = OperationNames(provider="bank", operation="charge", transport=Transport.FUNCTION, safety=Safety.SAFE)
    recorder = observed.scope.recorder(loop, names, total=None)
    plan = Plan(
        provider="bank",
        operation="charge",
        transport=Transport.FUNCTION,
        safety=Safety.SAFE,
        retry=None,
        timeout=None,
        recorder=recorder,
    )
    call = Call(plan, loop)
    recorder.call_started(call)
    recorder.happened(call, WaitEnded(cause=WaitCause.BACKOFF, seconds=0.0))
    recorder.call_ended(call)
    assert observed.metric("buoy.client.wait.duration") == {}
    assert [span.events for span in observed.calls()] == [()]
    assert [contract.DEADLINE in (span.attributes or {}) for span in observed.calls()] == [False]


async def test_doubt_is_told(observed: Observed) -> None:
    """A POST that was cut is an error of unknown outcome, logged as being in doubt with its safety."""
    with logs() as seen:
        async with Peer(CUT) as peer, Shop(base_url=peer.url) as shop:
            assert isinstance(await failing(shop.tell(json={})), buoy.OutcomeUnknown)
    (call,) = observed.calls()
    assert (
        (call.attributes or {})[contract.ERROR_OUTCOME],
        (call.attributes or {})[contract.STOP_REASON],
    ) == ("unknown", "not_idempotent")
    (record,) = seen.of(contract.CALL_IN_DOUBT)
    assert (vars(record)[contract.SAFETY], vars(record)[contract.ERROR_TYPE]) == ("unsafe", "network_error")
