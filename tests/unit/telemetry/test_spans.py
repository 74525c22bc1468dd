"""Spans of calls and sends: status, parents, context for the wire and for the code inside, exemplars."""

import asyncio
import re
from collections.abc import Awaitable

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, TraceState

import buoy
from buoy import contract
from buoy.events import WaitEnded
from buoy.outcome import TABLE, Outcome, Phase, Safety, Transport, Verdict, WaitCause
from buoy.pipeline import run
from buoy.pipeline.call import Call, Plan
from buoy.telemetry.names import OperationNames
from tests.support.eventually import until
from tests.support.peer import CUT, HANG, Peer, answer
from tests.support.telemetry import Observed, logs, observe

AT_ONCE = buoy.Retry(base=0.0, throttled_base=0.0)


class Shop(buoy.Provider, base_url="http://127.0.0.1:9", retry=AT_ONCE):
    """Something to call."""

    item = buoy.get("/items/{id}", name="items.get")
    tell = buoy.post("/notes", name="notes.make")


async def failing(call: Awaitable[object]) -> BaseException:
    """Return what the call raises."""
    try:
        await call
    except BaseException as error:  # noqa: BLE001  # a cancellation too
        return error
    msg = "a call that must fail succeeded"
    raise AssertionError(msg)


def context_of(span: ReadableSpan) -> SpanContext:
    """Return the ids of a finished span."""
    context: SpanContext | None = span.context
    assert context is not None
    return context


def traceparent_of(span: ReadableSpan) -> str:
    """Return the header that names this span."""
    context = context_of(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


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


# Parents and the wire.


async def test_spans_hang_together(observed: Observed) -> None:
    """The call is a child of what is current, each attempt a child of its call, all in one trace."""
    async with Peer(answer(503), answer()) as peer, Shop(base_url=peer.url) as shop:
        with observed.tracer.start_as_current_span("handler"):
            result = await shop.item.call(id="1")
    (handler,) = observed.others()
    (call,) = observed.calls()
    assert call.parent is not None
    assert context_of(handler).span_id == call.parent.span_id
    assert [context_of(call).span_id] * 2 == [span.parent.span_id for span in observed.attempts() if span.parent]
    assert {context_of(handler).trace_id} == {context_of(span).trace_id for span in observed.spans()}
    assert result.meta.trace_id == f"{context_of(call).trace_id:032x}"


async def test_every_send_names_its_own_span_to_the_provider(observed: Observed) -> None:
    """Each request carries the ``traceparent`` of its attempt span, and neither baggage nor tracestate."""
    state = TraceState([("vendor", "private")])
    remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
    context = baggage.set_baggage("customer", "private", trace.set_span_in_context(NonRecordingSpan(remote)))
    token = otel.attach(context)
    try:
        async with Peer(answer(503), CUT, answer()) as peer, Shop(base_url=peer.url) as shop:
            await shop.item(id="1")
    finally:
        otel.detach(token)
    assert [(span.attributes or {})[contract.ATTEMPT_KIND] for span in observed.attempts()] == [
        "first",
        "retry",
        "resend",
    ]
    assert [traceparent_of(span) for span in observed.attempts()] == [
        request.headers["traceparent"] for request in peer.heard
    ]
    assert [request for request in peer.heard if {"baggage", "tracestate"} & set(request.headers)] == []
    assert {0xABC} == {context_of(span).trace_id for span in observed.spans()}


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


@pytest.mark.parametrize("propagate", [True, False])
async def test_propagation_can_be_switched_off(propagate: bool, observed: Observed) -> None:  # noqa: FBT001  # a table
    """With ``propagate=False`` the provider is told nothing; the spans are the same."""
    async with Peer() as peer, Shop(base_url=peer.url, propagate=propagate) as shop:
        await shop.item(id="1")
    assert [propagate] == ["traceparent" in request.headers for request in peer.heard]
    assert len(observed.spans()) == 2


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


# Inside a wrapped function.


async def test_what_runs_inside_a_wrapped_function_is_a_child_of_its_attempt(observed: Observed) -> None:
    """Inside, the attempt's span is current on each try, and ``current_call()`` is the live call."""
    bank = buoy.Provider("bank", retry=AT_ONCE)
    seen: list[tuple[int, int]] = []

    @bank.operation("charge", safety="idempotent")
    async def charge() -> None:
        call = buoy.current_call()
        with observed.tracer.start_as_current_span("ledger"):
            await asyncio.sleep(0)
        seen.append((call.attempt, trace.get_current_span().get_span_context().span_id))
        if call.attempt == 1:
            raise ConnectionResetError

    async with bank:
        with observed.tracer.start_as_current_span("handler") as handler:
            await charge()
            assert trace.get_current_span() is handler
    attempts = observed.attempts()
    assert [(1, context_of(attempts[0]).span_id), (2, context_of(attempts[1]).span_id)] == seen
    ledgers = [span for span in observed.others() if span.name == "ledger"]
    assert [context_of(span).span_id for span in attempts] == [span.parent.span_id for span in ledgers if span.parent]
    with pytest.raises(RuntimeError, match=r"current_call\(\)"):
        buoy.current_call()


async def test_a_provider_inside_a_wrapped_function_is_below_it(observed: Observed) -> None:
    """The call of another provider inside a wrapped function is a child of that function's attempt."""
    bank = buoy.Provider("bank")

    async with Peer() as peer, Shop(base_url=peer.url) as shop:

        @bank.operation("charge")
        async def charge() -> None:
            await shop.item(id="1")

        async with bank:
            await charge()
    inner, outer = observed.calls()
    (attempt,) = [span for span in observed.attempts() if span.name == "bank charge attempt"]
    assert inner.parent is not None
    assert context_of(attempt).span_id == inner.parent.span_id
    assert context_of(outer).trace_id == context_of(inner).trace_id


# Sampling and exemplars.


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ParentBased(TraceIdRatioBased(0.0))], ids=["off", "ratio 0"])
async def test_an_unsampled_call_is_counted_in_full(sampler: ParentBased, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without spans the metrics are the same, error types included; the provider sees it unsampled."""
    with observe(monkeypatch, sampler) as observed:
        async with Peer(answer(503), answer(404)) as peer, Shop(base_url=peer.url) as shop:
            error = await failing(shop.item(id="1"))
        assert observed.spans() == []
        assert observed.value("buoy.client.calls", result="caller_error") == 1
        assert observed.value("buoy.client.call.duration", **{contract.ERROR_TYPE: "not_found"}) == 1
        assert observed.value("buoy.client.attempt.duration", **{contract.ERROR_TYPE: "service_unavailable"}) == 1
        assert observed.value("buoy.client.errors", **{contract.ERROR_TYPE: "not_found"}) == 2
        assert observed.value("buoy.client.retries") == 1
    assert isinstance(error, buoy.HttpError)
    assert error.meta is not None
    sent = [request.headers["traceparent"] for request in peer.heard]
    assert [f"00-{error.meta.trace_id}"] * 2 == [header[:35] for header in sent]
    # 00, or 02 where the SDK says that the trace id is random (W3C Trace Context, level 2): the last bit is "sampled".
    assert [header for header in sent if not re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[02]", header)] == []


async def test_what_runs_inside_an_unsampled_function_is_unsampled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside, the call's own unrecorded span is current, so that no half of a trace is recorded."""
    with observe(monkeypatch, ParentBased(ALWAYS_OFF)) as observed:
        bank = buoy.Provider("bank")

        @bank.operation("charge")
        async def charge() -> int:
            return trace.get_current_span().get_span_context().trace_id

        async with bank:
            result = await charge.call()
        assert result.meta.trace_id == f"{result.value:032x}"
        assert observed.spans() == []


async def test_exemplars_lead_to_their_spans(observed: Observed) -> None:
    """The duration of a call has its call span as exemplar, that of an attempt its attempt span."""
    async with Peer(answer(404)) as peer, Shop(base_url=peer.url) as shop:
        await failing(shop.item(id="1"))
    metrics = {metric.name: metric for metric in observed.collected()}  # once: the SDK hands each exemplar out once
    for name, (span,) in (
        ("buoy.client.call.duration", observed.calls()),
        ("buoy.client.attempt.duration", observed.attempts()),
    ):
        (point,) = metrics[name].data.data_points
        context = context_of(span)
        assert [(context.trace_id, context.span_id)] == [(seen.trace_id, seen.span_id) for seen in point.exemplars]


async def test_an_unsampled_call_has_no_foreign_exemplar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is handed over later, while another sampled span is current: that one is not its exemplar."""
    with observe(monkeypatch, ALWAYS_OFF) as observed, Observed() as other:
        bank = buoy.Provider("bank")

        @bank.operation("charge")
        async def charge() -> None:
            await asyncio.sleep(0)

        async with bank:
            await charge()
            with other.tracer.start_as_current_span("unrelated"):
                points = observed.points("buoy.client.call.duration")
        assert [tuple(point.exemplars) for point in points] == [()]


# Nobody listens.


async def test_calls_work_where_nobody_listens() -> None:
    """Without an SDK a call is the same; it has no trace, and the provider is told of none."""
    async with Peer(answer(503), answer()) as peer, Shop(base_url=peer.url) as shop:
        result = await shop.item.call(id="1")
    assert (result.meta.attempts, result.meta.sends, result.meta.trace_id) == (2, 2, None)
    assert [request for request in peer.heard if "traceparent" in request.headers] == []


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
