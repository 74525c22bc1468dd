"""What a caller gets instead of a failure, on real sockets, and how it is seen."""

import logging
from asyncio import create_task, gather, wait
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

import buoy
from buoy import contract
from buoy.outcome import CallResult, ErrorType, FallbackSource, Origin, StopReason
from tests.integration.http.shop import AT_ONCE, attribute, provider_of
from tests.support.faults import FaultyServer, Step, answer, hang, raw, reset_read
from tests.support.telemetry import Observed, logs

CANARY = "canary-b7e2"
PROBLEM = b'{"title": "%s"}' % CANARY.encode()


def read_or(fallback: Any, **options: Any) -> buoy.Operation[Any]:
    """Return an operation that reads an item, or else answers with the fallback."""
    return buoy.get("/items/{id}", fallback=fallback, **options)


# What is answered.

ANSWERED: dict[str, tuple[Step, ErrorType, int]] = {
    "500": (answer(500, X_A="said"), ErrorType.INTERNAL_SERVER_ERROR, 500),
    "503": (answer(503, Retry_After="3600", X_A="said"), ErrorType.SERVICE_UNAVAILABLE, 503),
    "599": (answer(599, X_A="said"), ErrorType.SERVER_ERROR, 599),
    "429": (answer(429, X_A="said"), ErrorType.RATE_LIMITED, 429),
    "401": (answer(401, X_A="said"), ErrorType.UNAUTHORIZED, 401),
    "408": (answer(408, X_A="said"), ErrorType.TIMEOUT, 408),
    "reset": (reset_read, ErrorType.NETWORK_ERROR, 0),
    "hang": (hang, ErrorType.TIMEOUT, 0),
    "no HTTP": (raw(b"canary\r\n\r\n"), ErrorType.NETWORK_ERROR, 0),
    "no JSON": (answer(200, b"<html>"), ErrorType.SERVER_ERROR, 0),
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_a_failure_is_answered(name: str, observed: Observed) -> None:
    """Whatever goes wrong over there or on the way, the caller gets the value, with what is known of the answer."""
    step, error_type, status = ANSWERED[name]
    timeout = buoy.Timeout(total=60, attempt=0.2 if step is hang else 20)
    async with (
        FaultyServer([step], [step]) as server,
        provider_of(read_or([]), server, retry=None, timeout=timeout) as shop,
    ):
        result = await shop.operate.call(id=1)
    assert (result.value, result.meta.origin, result.status) == ([], Origin.FALLBACK, status)
    assert result.headers.get("x-a") == ("said" if status else None)
    assert attribute(observed, "buoy.error.masked") == error_type
    assert observed.value("buoy.client.calls", result=CallResult.FAILURE) == 1


@pytest.mark.parametrize("status", [400, 404, 405, 409, 418, 422, 501])
async def test_a_fault_of_the_request_is_raised(status: int, observed: Observed) -> None:
    """What the request itself is at fault for is no outage: the error arrives, and nothing is said of a fallback."""
    async with FaultyServer([answer(status)]) as server, provider_of(read_or(pytest.fail), server) as shop:
        with pytest.raises(buoy.HttpError) as caught:
            await shop.operate(id=1)
    assert caught.value.status == status
    assert observed.value("buoy.client.calls", result=CallResult.CALLER_ERROR) == 1
    assert observed.value("buoy.client.fallbacks") == 0
    assert attribute(observed, "buoy.result.origin") == Origin.LIVE


@pytest.mark.parametrize("value", [None, 0, "", False, (), {"id": 0}, [1]], ids=repr)
async def test_any_value_can_stand_in(value: object) -> None:
    """A call gives the value as it was declared, also ``None`` and all that is false."""
    async with FaultyServer([answer(500)] * 2) as server, provider_of(read_or(value), server, retry=None) as shop:
        assert await shop.operate(id=1) is value
        result = await shop.operate.call(id=1)
    assert (result.value, result.meta.origin) == (value, Origin.FALLBACK)


async def test_nothing_is_answered_where_all_is_well(observed: Observed) -> None:
    """An answer of the provider, also one that a retry brought, is live."""
    async with (
        FaultyServer([answer(503), answer(200, b"[1]")]) as server,
        provider_of(read_or(pytest.fail), server) as shop,
    ):
        result = await shop.operate.call(id=1)
    assert (result.value, result.meta.origin, result.meta.attempts) == ([1], Origin.LIVE, 2)
    assert observed.value("buoy.client.fallbacks") == 0


@pytest.mark.parametrize(
    ("options", "asked", "reason"),
    [
        ({"breaker": buoy.Breaker()}, None, ErrorType.BREAKER_OPEN),
        ({"limit": buoy.RateLimit(1, per=3600)}, None, ErrorType.RATE_LIMITED_LOCALLY),
        ({}, 0, ErrorType.DEADLINE_EXCEEDED),
    ],
    ids=["breaker", "limiter", "deadline"],
)
async def test_a_refusal_is_answered(options: Any, asked: float | None, reason: ErrorType, observed: Observed) -> None:
    """What we did not send is answered at once, without status and headers, and counted as the refusal it is."""
    async with FaultyServer() as server, provider_of(read_or([]), server, **options) as shop:
        await shop.operate(id=1)
        if reason is ErrorType.BREAKER_OPEN:
            shop.control.breaker.force("forced_open")
        result = await shop.operate.call(id=1, deadline=asked)
    assert (result.value, result.status, dict(result.headers), result.meta.sends) == ([], 0, {}, 0)
    assert len(server.received) == 1
    assert observed.value("buoy.client.calls", result=CallResult.REFUSED) == 1
    assert observed.value("buoy.client.refusals", reason=reason) == 1
    assert attribute(observed, "buoy.error.masked") == reason


async def test_an_unreachable_provider_is_answered() -> None:
    """Where nobody listens the caller gets the fallback, without a status."""
    server = FaultyServer()
    async with server:
        pass
    async with provider_of(read_or([]), server) as shop:
        result = await shop.operate.call(id=1)
    assert (result.value, result.status, result.meta.attempts) == ([], 0, 3)


async def test_a_doubt_is_answered_and_stays_a_doubt(observed: Observed) -> None:
    """What may have happened is told to the function, and counted and logged as in doubt, whatever stands in for it."""
    seen: list[Any] = []
    operation = buoy.post("/items", fallback=seen.append)
    with logs() as log:
        async with FaultyServer([reset_read]) as server, provider_of(operation, server) as shop:
            await shop.operate(json={})
    assert [type(error) for error in seen] == [buoy.OutcomeUnknown]
    assert observed.value("buoy.client.in_doubt") == 1
    assert [record.levelno for record in log.of(contract.CALL_IN_DOUBT)] == [logging.ERROR]
    assert attribute(observed, "buoy.retry.stop_reason") == StopReason.NOT_IDEMPOTENT


# Functions.


async def test_a_function_gets_the_error_with_its_story(observed: Observed) -> None:
    """The function sees status, headers, problem and story; what it returns is the answer."""
    seen: list[Any] = []

    async def instead(error: buoy.BuoyError) -> str:
        seen.append(error)
        return f"after {error.meta.attempts} tries" if error.meta is not None else ""

    down = answer(503, PROBLEM, Content_Type="application/problem+json", X_A="said")
    async with FaultyServer([down] * 3) as server, provider_of(read_or(instead), server, retry=AT_ONCE) as shop:
        result = await shop.operate.call(id=1)
    (error,) = seen
    assert (result.value, result.status, result.headers["x-a"]) == ("after 3 tries", 503, "said")
    assert (error.status, error.problem, error.meta.sends) == (503, {"title": CANARY}, 3)
    assert error.meta.request_id == result.meta.request_id
    assert (error.meta.origin, result.meta.origin) == (Origin.LIVE, Origin.FALLBACK)
    assert attribute(observed, "buoy.fallback.source") == FallbackSource.FUNCTION


def raise_it(error: Exception) -> None:
    """Decide to fail after all."""
    raise error


def raise_another(_: Exception) -> None:
    """Fail in the place of what failed."""
    raise LookupError(CANARY)


@pytest.mark.parametrize(
    ("function", "arrives", "error_type"),
    [(raise_it, buoy.HttpError, "internal_server_error"), (raise_another, LookupError, "unknown")],
    ids=["the same", "another"],
)
async def test_a_function_may_raise(
    function: Callable[[Exception], None], arrives: type[Exception], error_type: str, observed: Observed
) -> None:
    """What the function raises is what the call ends with, and there was no fallback."""
    async with FaultyServer([answer(500)]) as server, provider_of(read_or(function), server, retry=None) as shop:
        with pytest.raises(arrives):
            await shop.operate(id=1)
    assert attribute(observed, "error.type") == error_type
    assert (attribute(observed, "buoy.error.masked"), observed.value("buoy.client.fallbacks")) == (None, 0)
    assert observed.value("buoy.client.errors", **{"error.type": error_type, "buoy.error.level": "call"}) == 1


async def test_a_wrapped_function_may_have_one() -> None:
    """A coroutine of one's own is answered for, also where no table knows what it raised."""
    bank = buoy.Provider("bank", retry=None)

    @bank.operation("rate", safety="safe", fallback=lambda error: type(error).__name__)
    async def rate(error: Exception) -> str:
        raise error

    async with bank:
        assert await rate(ConnectionResetError()) == "NetworkError"
        result = await rate.call(ZeroDivisionError())
    assert (result.value, result.meta.origin) == ("ZeroDivisionError", Origin.FALLBACK)


# How it is seen.


async def test_a_fallback_is_counted_as_what_it_masks(observed: Observed) -> None:
    """Calls, errors and abandoned retries are those of the failure; the span says so, and is no error itself."""
    with logs() as log:
        async with FaultyServer([answer(503)]) as server, provider_of(read_or([]), server, retry=None) as shop:
            await shop.operate(id=1)
            assert shop.snapshot().calls[CallResult.FAILURE] == 1
    assert observed.value("buoy.client.calls", result=CallResult.FAILURE) == 1
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == 0
    assert observed.value("buoy.client.errors", **{"buoy.error.level": "call"}) == 1
    assert observed.value("buoy.client.retry.abandoned", stop_reason=StopReason.MAX_ATTEMPTS) == 1
    assert observed.metric("buoy.client.fallbacks") == {
        frozenset({"buoy.provider": "custom", "buoy.operation": "operate", "buoy.fallback.source": "static"}.items()): 1
    }
    durations = [dict(labels) for labels in observed.metric("buoy.client.call.duration")]
    assert [labels.get("error.type") for labels in durations] == [None]
    (span,) = observed.calls()
    assert (span.status.status_code, attribute(observed, "error.type")) == (StatusCode.UNSET, None)
    assert attribute(observed, "buoy.error.masked") == "service_unavailable"
    assert attribute(observed, "buoy.fallback.source") == "static"
    assert attribute(observed, "buoy.result.origin") == "fallback"
    masked = {"buoy.fallback.source": "static", "buoy.error.masked": "service_unavailable"}
    assert [(event.name, dict(event.attributes or {})) for event in span.events] == [("buoy.fallback.used", masked)]
    (record,) = log.of(contract.FALLBACK_USED)
    assert record.levelno == logging.WARNING
    assert masked.items() <= vars(record).items()
    assert log.of(contract.CALL_FAILED) == []


async def test_a_fallback_is_no_success_to_the_breaker(observed: Observed) -> None:
    """The breaker sees what the provider did: it opens, and from then on the answers come without a send."""
    strict = buoy.Breaker(minimum_calls=3)
    async with (
        FaultyServer([answer(500)] * 9) as server,
        provider_of(read_or([]), server, retry=None, breaker=strict) as shop,
    ):
        assert [await shop.operate(id=1) for _ in range(5)] == [[]] * 5
        assert shop.control.breaker.state == "open"
    assert len(server.received) == 3
    assert observed.value("buoy.client.calls", result=CallResult.FAILURE) == 3
    assert observed.value("buoy.client.calls", result=CallResult.REFUSED) == 2
    assert observed.value("buoy.client.fallbacks") == 5


@pytest.mark.parametrize("fallback", [[], lambda _: [], raise_another], ids=["value", "function", "raising"])
async def test_no_secret_of_an_error_is_shown(fallback: Any, observed: Observed) -> None:
    """Body, headers and texts of what was masked, and of what a function raised, stay out of all telemetry."""
    down = answer(500, PROBLEM, Content_Type="application/problem+json", X_A=CANARY)
    bank = buoy.Provider("bank", retry=None)

    @bank.operation("rate", safety="safe", fallback=fallback)
    async def rate() -> None:
        raise ValueError(CANARY)

    with logs() as log:
        async with FaultyServer([down]) as server, provider_of(read_or(fallback), server, retry=None) as shop, bank:
            for call in (shop.operate(id=1, q=CANARY), rate()):
                try:
                    await call
                except LookupError:
                    assert fallback is raise_another
    shown = [span.to_json() for span in observed.spans()]
    shown += [metric.to_json() for metric in observed.collected()]
    shown += [str(vars(record)) for record in log.records]
    assert len(log.records) >= 2
    assert [text for text in shown if CANARY in text] == []


# Together with joining.


async def test_those_who_share_a_flight_get_a_fallback_each(observed: Observed) -> None:
    """Each caller is answered for its own error; the send and its failure are one."""
    seen: list[Any] = []

    def instead(error: Exception) -> list[Any]:
        seen.append(error)
        return []

    operation = read_or(instead, joined=True)
    async with FaultyServer([answer(500)]) as server, provider_of(operation, server, retry=None) as shop:
        results = await gather(*(shop.operate.call(id=1) for _ in range(5)))
    assert [(result.value, result.status) for result in results] == [([], 500)] * 5
    assert len({id(error) for error in seen}) == 5
    assert [result.meta.duplicate for result in results] == [False, *[True] * 4]
    assert len(server.received) == 1
    assert observed.value("buoy.client.fallbacks", source="function") == 5
    assert observed.value("buoy.client.duplicates", source="in_flight") == 4
    assert observed.value("buoy.client.errors", **{"buoy.error.level": "attempt"}) == 1


async def test_a_caller_whose_own_time_ends_is_answered(observed: Observed) -> None:
    """Who waits for another's request with less time than it takes gets the fallback, and disturbs nobody."""
    operation = read_or([], joined=True)
    async with FaultyServer([hang]) as server, provider_of(operation, server, retry=None) as shop:
        first = create_task(shop.operate.call(id=1))
        await server.wait_for(1)
        result = await shop.operate.call(id=1, deadline=0.05)
        assert not first.done()
        first.cancel()
        await wait([first])
        assert first.cancelled()
    assert (result.value, result.status, result.meta.duplicate) == ([], 0, True)
    assert observed.value("buoy.client.fallbacks") == 1
