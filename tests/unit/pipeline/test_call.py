"""The record of a call: its deadline, its identity, what it counts, and what it hands out."""

import asyncio
from dataclasses import replace
from math import inf
from uuid import UUID

import pytest

from buoy.errors import BuoyError
from buoy.events import Resent
from buoy.outcome import AttemptKind, DuplicateSource, Origin, Verdict, WaitCause
from buoy.pipeline.call import CANCELLED, UNKNOWN, Call, Plan, verdict_of
from buoy.policies.deadline import Timeout
from tests.support import virtual_time
from tests.unit.pipeline.scripted import MISSING, PLAN, Recording, missing


async def made(plan: Plan = PLAN, *, asked: float | None = None) -> Call:
    """Return a call in the running loop."""
    return Call(plan, asyncio.get_running_loop(), asked=asked)


@pytest.mark.parametrize(
    ("timeout", "asked", "left", "limit"),
    [
        (Timeout(total=30, attempt=10), None, 30, 10),
        (Timeout(total=30), None, 30, 10),
        (Timeout(total=3), None, 3, 3),
        (Timeout(total=30, attempt=10), 4, 4, 4),
        (Timeout(total=30, attempt=10), 99, 30, 10),
        (None, None, inf, inf),
        (None, 4, 4, 4),
    ],
)
def test_deadline_and_limit(timeout: Timeout | None, asked: float | None, left: float, limit: float) -> None:
    """The time left is the total, or what the caller asked for if that is less; a try gets its own limit within it."""

    async def scenario() -> tuple[float, float]:
        call = await made(replace(PLAN, timeout=timeout), asked=asked)
        assert call.begin_try(call.loop.time())
        return call.time_left, call.limit

    assert (left, limit) == virtual_time.run(scenario())


@pytest.mark.parametrize("asked", [0, -1, -inf])
def test_no_try_begins_without_time(asked: float) -> None:
    """A deadline that has passed lets no try begin, and leaves the counts alone."""

    async def scenario() -> Call:
        call = await made(asked=asked)
        assert not call.begin_try(call.loop.time())
        return call

    call = virtual_time.run(scenario())
    assert (call.attempt, call.sends) == (0, 0)


def test_time_left_ends_at_zero() -> None:
    """After the deadline the time left is 0, never negative, and the last try before it got what was left."""

    async def scenario() -> None:
        call = await made()
        virtual_time.pass_time(25)
        assert call.begin_try(call.loop.time())
        assert call.limit == 5
        virtual_time.pass_time(10)
        assert call.time_left == 0
        assert not call.begin_try(call.loop.time())

    virtual_time.run(scenario())


def test_request_id_is_a_random_uuid() -> None:
    """The request id is a UUID of version 4, the same whenever asked, another for each call."""

    async def scenario() -> None:
        calls = [await made() for _ in range(100)]
        ids = [UUID(call.request_id) for call in calls]
        assert [str(uuid) for uuid in ids] == [call.request_id for call in calls]
        assert {4} == {uuid.version for uuid in ids}
        assert {"specified in RFC 4122"} == {uuid.variant for uuid in ids}
        assert len(set(ids)) == 100

    virtual_time.run(scenario())


def test_sends_are_numbered_and_named() -> None:
    """A send carries the number of its try and says whether it is the first, a retry or the transport's resend."""

    async def scenario() -> None:
        recording = Recording()
        call = await made(replace(PLAN, recorder=recording))
        call.begin_try(call.loop.time())
        call.end_send(call.begin_send(), MISSING)
        call.end_send(call.begin_send(AttemptKind.RESEND), None)
        call.begin_try(call.loop.time())
        call.end_send(call.begin_send(), None)
        assert call.sends == 3
        assert recording.lines == [
            "send 1 started first",
            "send 1 ended not_found",
            "send 1 started resend",
            "send 1 ended well",
            "send 2 started retry",
            "send 2 ended well",
        ]

    virtual_time.run(scenario())


def test_meta_tells_the_story() -> None:
    """``meta`` has names, counts and times of the call, and keeps them when the call goes on."""

    async def scenario() -> None:
        call = await made()
        call.begin_try(call.loop.time())
        call.begin_send()
        call.begin_send(AttemptKind.RESEND)
        call.duplicate = DuplicateSource.RESEND
        call.add_wait(WaitCause.BACKOFF, 1.5)
        call.add_wait(WaitCause.BACKOFF, 0.5)
        call.trace_id = 0xABC
        virtual_time.pass_time(3)
        call.end()
        meta = call.meta()
        assert ("shop", "list", call.request_id) == (meta.provider, meta.operation, meta.request_id)
        assert (meta.attempts, meta.sends, meta.duration) == (1, 2, 3.0)
        assert meta.waited == {WaitCause.BACKOFF: 2.0}
        assert (meta.duplicate, meta.duplicate_source) == (True, DuplicateSource.RESEND)
        assert (meta.origin, meta.trace_id) == (Origin.LIVE, "00000000000000000000000000000abc")
        call.add_wait(WaitCause.BACKOFF, 5)
        assert meta.waited == {WaitCause.BACKOFF: 2.0}

    virtual_time.run(scenario())


def test_meta_of_a_call_without_trouble() -> None:
    """Nothing waited for, no duplicate, no trace: ``meta`` says so with empty values."""

    async def scenario() -> None:
        meta = (await made()).meta()
        assert (meta.attempts, meta.sends, meta.waited, meta.trace_id) == (0, 0, {}, None)
        assert (meta.duplicate, meta.duplicate_source) == (False, None)

    virtual_time.run(scenario())


def test_calls_do_not_share_their_waits() -> None:
    """The wait of one call is not seen in another."""

    async def scenario() -> None:
        first, second = await made(), await made()
        first.add_wait(WaitCause.BACKOFF, 1)
        assert (first.waited, second.waited) == ({WaitCause.BACKOFF: 1}, {})

    virtual_time.run(scenario())


def test_rare_facts_reach_the_recorder() -> None:
    """``happened`` hands the event to the recorder as it is."""

    async def scenario() -> None:
        recording = Recording()
        call = await made(replace(PLAN, recorder=recording))
        event = Resent(method="GET", send=None)
        call.happened(event)
        assert [event] == recording.events

    virtual_time.run(scenario())


def test_repr_has_names_and_counts_only() -> None:
    """The repr names the operation and counts; the request and its values are not in it."""

    async def scenario() -> None:
        call = Call(PLAN, asyncio.get_running_loop(), request=("canary",), url="https://canary")
        call.begin_try(call.loop.time())
        assert repr(call) == "<Call shop list attempt=1 sends=0>"

    virtual_time.run(scenario())


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (missing(), MISSING),
        (BuoyError("x"), BuoyError.default),
        (KeyError("x"), UNKNOWN),
        (asyncio.CancelledError(), CANCELLED),
        (KeyboardInterrupt(), CANCELLED),
    ],
)
def test_verdict_of_an_exception(error: BaseException, verdict: Verdict) -> None:
    """Our errors carry their verdict, foreign ones are unknown, and what is no ``Exception`` is a cancellation."""
    assert verdict == verdict_of(error)
