"""Traces: parents, what the provider is told, what is current inside a function, sampling, exemplars."""

import asyncio
import re

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

import buoy
from buoy import contract
from tests.support.peer import CUT, Peer, answer
from tests.support.telemetry import Observed, observe
from tests.unit.telemetry.program import process
from tests.unit.telemetry.shop import AT_ONCE, Shop, context_of, failing


def traceparent_of(span: ReadableSpan) -> str:
    """Return the header that names this span."""
    context = context_of(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


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


@pytest.mark.parametrize("propagate", [True, False])
async def test_propagation_can_be_switched_off(propagate: bool, observed: Observed) -> None:  # noqa: FBT001  # a table
    """With ``propagate=False`` the provider is told nothing; the spans are the same."""
    async with Peer() as peer, Shop(base_url=peer.url, propagate=propagate) as shop:
        await shop.item(id="1")
    assert [propagate] == ["traceparent" in request.headers for request in peer.heard]
    assert len(observed.spans()) == 2


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
    assert [header for header in sent if not re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", header)] == []


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


@pytest.mark.parametrize(("flags", "told"), [(1, "01"), (0, "00"), (3, "01")])
async def test_a_trace_passes_through_where_nobody_listens(flags: int, told: str) -> None:
    """Without an SDK the trace that the caller is in goes on to the provider, with its own sampled flag."""
    remote = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(flags))
    token = otel.attach(trace.set_span_in_context(NonRecordingSpan(remote)))
    try:
        async with Peer(answer(503), CUT, answer()) as peer, Shop(base_url=peer.url) as shop:
            result = await shop.item.call(id="1")
    finally:
        otel.detach(token)
    assert result.meta.trace_id == f"{0xABC:032x}"
    assert {request.headers.get("traceparent") for request in peer.heard} == {f"00-{0xABC:032x}-{0xDEF:016x}-{told}"}


def test_an_sdk_that_comes_late_is_noticed_at_the_next_call() -> None:
    """An SDK set while a provider is open gets the spans of all calls from then on, and the counts of all before."""
    (said,) = process(
        "from opentelemetry import metrics, trace\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import SimpleSpanProcessor\n"
        "from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter\n"
        "exporter, reader, provider = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()\n"
        "provider.add_span_processor(SimpleSpanProcessor(exporter))\n"
        "async def main(bank, balance):\n"
        "    async with bank:\n"
        "        await balance()\n"
        "        trace.set_tracer_provider(provider)\n"
        "        metrics.set_meter_provider(MeterProvider([reader]))\n"
        "        await balance()\n"
        "    scope = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]\n"
        "    found = {metric.name: metric.data.data_points for metric in scope.metrics}\n"
        "    calls = sum(point.value for point in found['buoy.client.calls'])\n"
        "    timed = sum(point.count for point in found['buoy.client.call.duration'])\n"
        "    say(spans=len(exporter.get_finished_spans()), calls=calls, timed=timed)\n"
        "asyncio.run(main(*declared()))\n"
    )
    assert said == {"spans": 2, "calls": 2, "timed": 2}
