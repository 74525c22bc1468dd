"""Records of rare facts, and the recorder that keeps none of them."""

import inspect
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from buoy import events
from buoy.outcome import DelaySource, ErrorType, Outcome, Phase, Verdict, WaitCause

VERDICT = Verdict(ErrorType.TIMEOUT, Outcome.UNKNOWN, Phase.RECEIVE, retryable=True)
RECORDS: list[events.Event] = [
    events.RetryScheduled(attempt=2, delay=0.5, source=DelaySource.BACKOFF, verdict=VERDICT),
    events.WaitEnded(cause=WaitCause.BACKOFF, seconds=0.5),
    events.Resent(method="GET", send=object()),
]


def named(record: events.Event) -> str:
    """Return the name of the record's class."""
    return type(record).__name__


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_record_is_frozen(record: events.Event) -> None:
    """What happened cannot be changed by one listener before the next one sees it."""
    for field in fields(record):
        with pytest.raises(FrozenInstanceError):
            setattr(record, field.name, None)


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_record_is_a_value(record: events.Event) -> None:
    """Two records of the same fact are equal, and a record has no room for anything else."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    assert record == type(record)(**values)
    assert not hasattr(record, "__dict__")


@pytest.mark.parametrize("record", RECORDS, ids=named)
def test_a_record_is_made_by_name(record: events.Event) -> None:
    """Fields are given by name, so that two numbers cannot change places unseen."""
    make: Any = type(record)
    with pytest.raises(TypeError):
        make(*(getattr(record, field.name) for field in fields(record)))


def test_nobody_listens() -> None:
    """The null recorder hears everything that a recorder hears, says nothing and keeps nothing."""
    silent = events.Silent()
    recorder: events.Recorder[object, object] = silent
    recorder.call_started(object())
    recorder.send_started(object(), object())
    recorder.send_ended(object(), object())
    for record in RECORDS:
        recorder.happened(object(), record)
    recorder.call_ended(object())
    assert vars(silent) == {}


def test_the_null_recorder_is_complete() -> None:
    """Whatever is added to the protocol is added to its null object with the same arguments."""
    for name, method in inspect.getmembers(events.Recorder, inspect.isfunction):
        if not name.startswith("_"):
            expected = list(inspect.signature(method).parameters)
            assert expected == list(inspect.signature(getattr(events.Silent, name)).parameters)
