"""A call that goes on while its answer is used: who is told what, when it ends, and that nothing is kept of it."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from buoy.errors import BuoyError, HttpError, NetworkError, OutcomeUnknown, TimedOut
from buoy.outcome import CallResult, Safety, StopReason
from buoy.pipeline.call import UNKNOWN, Call, Plan
from buoy.pipeline.handover import Handover
from buoy.pipeline.tally import Tally
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from tests.support import virtual_time
from tests.support.cancelling import CancelledAt, Moment
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.scripted import ANSWER, PLAN, Recording, busy, late, lost

Give = Callable[[str], Awaitable[None]]


class Streamed:
    """A call whose tries fail with these errors, before one has an answer; it ends ``after`` seconds after its use."""

    def __init__(self, *errors: Exception, after: float = 0, plan: Plan = PLAN, **options: Any) -> None:
        self.after = after
        self.recording = Recording()
        self.tally = Tally()
        self.errors = list(errors)
        changed: dict[str, Any] = {"retry": Retry(base=0, throttled_base=0), **options}
        self.plan = replace(plan, recorder=self.recording, tally=self.tally, **changed)
        self.call = Call(self.plan, asyncio.get_running_loop())
        self.handover: Handover[str] = Handover(self.call, self._send)

    async def _send(self, call: Call, give: Give) -> None:
        send = call.begin_send()
        verdict = UNKNOWN
        try:
            await asyncio.sleep(1)
            if self.errors:
                raise self.errors.pop(0)
            try:
                await give(ANSWER)
                await asyncio.sleep(self.after)
            except TimeoutError:
                raise late() from None
            verdict = None  # type: ignore[assignment]  # it ended well
        finally:
            call.end_send(send, verdict)

    @property
    def results(self) -> dict[CallResult, int]:
        """How the call was counted."""
        return {result: count for result, count in self.tally.results.items() if count}


@virtually
async def test_the_answer_is_there_while_the_call_goes_on() -> None:
    """The call begins with its opening and ends when its user says so: span, duration and count go as far as that."""
    streamed = Streamed()
    assert await streamed.handover.begin() == ANSWER
    assert (streamed.recording.lines, streamed.handover.is_over) == (["call started", "send 1 started first"], False)
    assert (streamed.call.answered, streamed.results) == (1, {})
    await asyncio.sleep(7)
    await streamed.handover.end()
    assert streamed.recording.lines[2:] == ["send 1 ended well", "call ended well"]
    assert (streamed.recording.times[2:], streamed.handover.is_over) == ([8, 8], True)
    assert (streamed.call.meta().duration, streamed.call.attempts_time) == (8, 8)
    assert streamed.results == {CallResult.SUCCESS: 1}
    assert streamed.tally.active == {}


@virtually
async def test_until_the_answer_a_call_is_tried_again() -> None:
    """What goes wrong before is retried, and what is raised in the end is what a plain call raises."""
    repaired = Streamed(busy(), busy())
    assert await repaired.handover.begin() == ANSWER
    assert repaired.call.attempt == 3
    await repaired.handover.end()
    down = Streamed(busy(), busy(), busy())
    with pytest.raises(HttpError) as caught:
        await down.handover.begin()
    assert caught.value.meta == down.call.meta()
    assert (down.call.stop_reason, down.results) == (StopReason.MAX_ATTEMPTS, {CallResult.FAILURE: 1})


@pytest.mark.parametrize(
    ("safety", "kind"),
    [(Safety.SAFE, NetworkError), (Safety.KEYED, NetworkError), (Safety.UNSAFE, OutcomeUnknown)],
)
def test_after_the_answer_a_call_is_not_tried_again(safety: Safety, kind: type[BuoyError]) -> None:
    """What goes wrong with it then ends the call, whatever could be retried; who uses it is told, once."""

    async def scenario() -> None:
        streamed = Streamed(safety=safety)
        await streamed.handover.begin()
        with pytest.raises(kind) as caught:
            await streamed.handover.end(lost())
        assert type(caught.value) is kind
        assert (streamed.call.attempt, streamed.call.stop_reason) == (1, StopReason.NOT_RETRYABLE)
        assert (streamed.results, caught.value.meta) == ({CallResult.FAILURE: 1}, streamed.call.meta())
        await streamed.handover.end()
        await streamed.handover.leave()

    virtual_time.run(scenario())


@virtually
async def test_a_fault_that_the_call_makes_nothing_of() -> None:
    """It comes back as it was given."""
    fault = LookupError()
    streamed = Streamed()
    await streamed.handover.begin()
    with pytest.raises(LookupError) as caught:
        await streamed.handover.end(fault)
    assert caught.value is fault


@virtually
async def test_the_deadline_of_the_call_passes_in_its_use() -> None:
    """The call ends then, not when its user looks; who then says what went wrong hears of the deadline instead."""
    streamed = Streamed(timeout=Timeout(total=30, attempt=5))
    await streamed.handover.begin()
    await asyncio.sleep(50)
    assert (streamed.handover.is_over, streamed.recording.times[-1]) == (True, 30)
    assert streamed.call.stop_reason is StopReason.DEADLINE
    with pytest.raises(TimedOut):
        await streamed.handover.end(lost())


@virtually
async def test_an_endless_call() -> None:
    """Without a deadline its use takes as long as it takes."""
    for timeout in (None, Timeout(total=inf, attempt=5)):
        streamed = Streamed(timeout=timeout)
        await streamed.handover.begin()
        began = now()
        await asyncio.sleep(1e5)
        await streamed.handover.end()
        assert streamed.results == {CallResult.SUCCESS: 1}
        assert now() - began >= 1e5


@virtually
async def test_who_leaves_is_not_told() -> None:
    """Leaving raises nothing of what the call ended with, before or now; a slip of our own passes."""
    well = Streamed()
    await well.handover.begin()
    await well.handover.leave()
    assert well.results == {CallResult.SUCCESS: 1}
    ended = Streamed(timeout=Timeout(total=5))
    await ended.handover.begin()
    await asyncio.sleep(9)
    await ended.handover.leave()
    assert ended.results == {CallResult.FAILURE: 1}
    at_once = Streamed(timeout=Timeout(total=5))
    await at_once.handover.begin()
    virtual_time.pass_time(9)  # the deadline has passed, and the call has not noticed yet
    await at_once.handover.leave()
    assert at_once.handover.is_over


@virtually
async def test_who_is_cut_is_the_user() -> None:
    """Before the answer the call's own task is the one to cancel, and then the task that uses it."""
    streamed = Streamed()
    opening = asyncio.ensure_future(streamed.handover.begin())
    await asyncio.sleep(0.5)
    before = streamed.tally.active[streamed.call]
    assert before not in {None, opening, asyncio.current_task()}
    await opening
    assert streamed.tally.active == {streamed.call: opening}
    await streamed.handover.end()


@virtually
async def test_a_call_that_is_cut_before_its_answer() -> None:
    """To who opens it that is a cancellation."""
    streamed = Streamed()
    opening = asyncio.ensure_future(streamed.handover.begin())
    await asyncio.sleep(0.5)
    task = streamed.tally.active[streamed.call]
    assert task is not None
    task.cancel()
    await asyncio.wait([opening])
    assert (opening.cancelled(), streamed.results) == (True, {CallResult.CANCELLED: 1})


@virtually
async def test_a_call_that_is_cancelled_in_its_use() -> None:
    """It ends as cancelled, once; and what its user says later changes nothing."""
    streamed = Streamed()
    await streamed.handover.begin()
    await streamed.handover.cancel()
    assert (streamed.handover.is_over, streamed.results) == (True, {CallResult.CANCELLED: 1})
    await streamed.handover.end(lost())
    await streamed.handover.leave()
    assert streamed.results == {CallResult.CANCELLED: 1}


@virtually
async def test_who_is_cancelled_while_the_call_ends() -> None:
    """The call is cancelled with its user, and has ended before the user goes on."""
    streamed = Streamed(after=5)
    await streamed.handover.begin()
    ending = asyncio.ensure_future(streamed.handover.end())
    await asyncio.sleep(1)
    ending.cancel()
    await asyncio.wait([ending])
    assert (ending.cancelled(), streamed.handover.is_over, now()) == (True, True, 2)
    assert streamed.results == {CallResult.CANCELLED: 1}


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("errors", [(), (busy,), (busy, busy, busy)], ids=len)
@pytest.mark.parametrize("fault", [None, lost])
def test_cancelled_at_every_point(
    moment: Moment, errors: tuple[Callable[[], Exception], ...], fault: Callable[[], Exception] | None
) -> None:
    """Wherever its user is cancelled, the call has ended and is counted once, and nobody is missed who was not told."""

    async def use(streamed: Streamed) -> None:
        try:
            await streamed.handover.begin()
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                await streamed.handover.cancel()
                raise
            await streamed.handover.end(None if fault is None else fault())
        except BuoyError:
            pass

    async def scenario(number: int) -> list[str]:
        complaints: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        streamed = Streamed(*[make() for make in errors])
        steps = CancelledAt(use(streamed), number, moment)

        async def drive() -> None:
            await steps

        user = asyncio.create_task(drive())
        await asyncio.wait([user])
        assert user.cancelled() == steps.reached
        others = asyncio.all_tasks() - {asyncio.current_task()}
        # A call whose user was cancelled before its task had run at all never began.
        assert (others, streamed.tally.active) == (set(), {})
        assert sum(streamed.results.values()) == streamed.recording.lines.count("call started") <= 1
        assert len([line for line in streamed.recording.lines if line.startswith("call ended")]) <= 1
        return complaints

    for number in range(1, 6):
        complaints = virtual_time.run(scenario(number))
        gc.collect()
        assert complaints == []


@pytest.mark.parametrize("when", ["before", "after", "deadline", "not asked"])
def test_a_failure_is_no_reference_cycle(when: str) -> None:
    """The error is freed when its user lets go of it, or has not asked for it, without the garbage collector."""

    async def scenario() -> list["weakref.ref[Any]"]:
        streamed = Streamed(*([lost()] if when == "before" else []), retry=None, timeout=Timeout(total=5))
        left: list[weakref.ref[Any]] = []
        try:
            await streamed.handover.begin()
            if when in {"deadline", "not asked"}:
                await asyncio.sleep(9)
            if when == "not asked":
                error = streamed.handover._error
                assert error is not None
                left.append(weakref.ref(error))
                del error
                await streamed.handover.leave()
            else:
                await streamed.handover.end(lost() if when == "after" else None)
        except BuoyError as error:
            left.append(weakref.ref(error))
        return left

    gc.collect()
    gc.disable()
    try:
        left = virtual_time.run(scenario())
        assert [one() for one in left] == [None]
    finally:
        gc.enable()
