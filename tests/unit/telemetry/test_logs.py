"""Events as logs: where they go, what they carry, how often; and that nobody's logging is touched."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

import buoy
from buoy import contract
from buoy.telemetry.logs import INTERVAL, Log
from tests.support.telemetry import Observed, logs, observe

FIELDS = {"buoy.provider": "bank", "duration": 0.5}


@pytest.fixture
def captured() -> Iterator[list[dict[str, Any]]]:
    """Configure structlog as a service would, and undo it."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[capture])
    try:
        yield capture.entries  # type: ignore[misc]  # mappings, as dicts
    finally:
        structlog.reset_defaults()


async def lose(name: str = "bank", times: int = 1) -> None:
    """Make calls that fail."""
    bank = buoy.Provider(name, retry=None, breaker=None)

    @bank.operation("charge", safety="safe")
    async def charge() -> None:
        raise ConnectionResetError

    async with bank:
        for _ in range(times):
            with pytest.raises(buoy.NetworkError):
                await charge()


def test_a_record_is_readable_and_has_every_field() -> None:
    """Without structlog a record's text has name and fields, and its attributes have them for a formatter."""
    with logs() as seen:
        Log().emit(logging.ERROR, "buoy.call.failed", "bank", "timeout", {**FIELDS, "note": "50%s"})
    (record,) = seen.records
    assert record.getMessage() == "buoy.call.failed buoy.provider=bank duration=0.5 note=50%s"
    assert (vars(record)["buoy.provider"], vars(record)["duration"]) == ("bank", 0.5)
    assert (record.name, record.levelno) == ("buoy", logging.ERROR)


def test_structlog_is_used_where_it_is_configured(captured: list[dict[str, Any]]) -> None:
    """The event goes through the service's own processors, with its fields as they are and nothing else."""
    with logs() as seen:
        Log().emit(logging.WARNING, "buoy.call.refused", "bank", "timeout", FIELDS)
    assert captured == [{"event": "buoy.call.refused", "log_level": "warning", **FIELDS}]
    assert seen.records == []


def test_a_level_that_nobody_asked_for_costs_nothing() -> None:
    """A record below the logger's level is not made, and does not count as logged."""
    log = Log()
    with logs(logging.ERROR) as seen:
        log.emit(logging.INFO, "buoy.retry.scheduled", "bank", "timeout", {})
    assert seen.records == []
    assert log._last == {}


async def test_no_handler_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that fail leave the handlers and levels of the root and of the logger ``buoy`` as they were."""
    loggers = [logging.getLogger(), logging.getLogger("buoy")]
    before = [(tuple(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    monkeypatch.setattr(logging, "basicConfig", lambda **_: pytest.fail("somebody configured logging"))
    with observe(monkeypatch):
        await lose()
    assert before == [(tuple(logger.handlers), logger.level, logger.propagate) for logger in loggers]
    assert not structlog.is_configured()


async def test_a_log_leads_to_its_trace(observed: Observed) -> None:
    """Every log of a call has the ids of the call's span."""
    with logs() as seen:
        await lose()
    (call,) = observed.calls()
    assert call.context is not None
    expected = (f"{call.context.trace_id:032x}", f"{call.context.span_id:016x}")
    assert [expected] == [(vars(record)["trace_id"], vars(record)["span_id"]) for record in seen.records]


async def test_without_a_trace_a_log_has_no_ids() -> None:
    """Where nobody traces, a log says nothing of a trace, and still which call it was."""
    with logs() as seen:
        await lose()
    (record,) = seen.records
    assert {"trace_id", "span_id"} & set(vars(record)) == set()
    assert {contract.PROVIDER, contract.OPERATION, contract.REQUEST_ID} <= set(vars(record))


async def test_failures_refusals_and_cancellations_differ_in_level(observed: Observed) -> None:
    """An error is ERROR, a refusal WARNING."""
    del observed
    async with buoy.Provider("shop", base_url="http://127.0.0.1:9", retry=None) as shop:
        with logs() as seen:
            with pytest.raises(buoy.NetworkError):
                await shop.get("/items")
            with pytest.raises(buoy.DeadlineExceeded):
                await shop.get("/items", deadline=0)
    assert [(record.getMessage().split(" ")[0], record.levelname) for record in seen.records] == [
        ("buoy.call.failed", "ERROR"),
        ("buoy.call.refused", "WARNING"),
        ("buoy.call.failed", "WARNING"),
    ]


def test_the_same_event_is_logged_once_in_ten_seconds(clock: SimpleNamespace) -> None:
    """What came in between is counted, and told by the next one; then the count starts anew."""
    log = Log()
    with logs() as seen:
        for now in (0.0, 1.0, INTERVAL - 0.001, INTERVAL, INTERVAL + 1, 2 * INTERVAL + 1, 4 * INTERVAL):
            clock.now = 1000.0 + now
            log.emit(logging.ERROR, "buoy.call.failed", "bank", "timeout", {})
    assert [vars(record).get("suppressed") for record in seen.records] == [None, 2, 1, None]


def test_other_events_providers_and_errors_are_not_held_back(clock: SimpleNamespace) -> None:
    """The limit is one per event, provider and error type."""
    del clock
    log = Log()
    with logs() as seen:
        for event, provider, error in (
            ("buoy.call.failed", "bank", "timeout"),
            ("buoy.call.failed", "bank", "network_error"),
            ("buoy.call.failed", "shop", "timeout"),
            ("buoy.call.in_doubt", "bank", "timeout"),
            ("buoy.call.in_doubt", "bank", "timeout"),
        ):
            log.emit(logging.ERROR, event, provider, error, {})
    assert len(seen.records) == 4


async def test_an_outage_does_not_flood_the_log(observed: Observed, clock: SimpleNamespace) -> None:
    """A hundred failures within the interval are a hundred counts and one log."""
    with logs() as seen:
        await lose(times=100)
        clock.now += INTERVAL
        await lose()
    assert [vars(record).get("suppressed") for record in seen.records] == [None, 99]
    assert observed.value("buoy.client.errors", level="call") == 101


async def test_a_log_that_raises_breaks_no_call(
    observed: Observed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A processor of the service's own that raises costs its log and nothing more; stderr tells, as logging's does."""

    def explode(*_: object) -> Any:
        message = "private"
        raise ZeroDivisionError(message)

    structlog.configure(processors=[explode])
    try:
        await lose()
        monkeypatch.setattr(logging, "raiseExceptions", False)
        await lose("quiet")
    finally:
        structlog.reset_defaults()
    assert observed.value("buoy.client.calls", result="failure") == 2
    assert capsys.readouterr().err == "buoy: buoy.call.failed could not be logged: ZeroDivisionError\n"
