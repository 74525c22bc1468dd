"""What a caller gets instead of a failure, in virtual time, and what is said of it."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from buoy.errors import (
    BreakerOpen,
    BuoyError,
    ConcurrencyLimited,
    DeadlineExceeded,
    HttpError,
    KeyConflict,
    NeedsConsent,
    NetworkError,
    OutcomeUnknown,
    RateLimitedLocally,
    StateUnavailable,
    TimedOut,
    Undecodable,
)
from buoy.events import FallbackUsed, Joined
from buoy.outcome import (
    TABLE,
    CallResult,
    DuplicateSource,
    ErrorType,
    FallbackSource,
    Origin,
    Outcome,
    Phase,
    Safety,
    StopReason,
    Verdict,
)
from buoy.pipeline.call import CANCELLED, UNKNOWN, Call
from buoy.pipeline.fallback import Fallback
from buoy.pipeline.run import run, tries
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from buoy.result import Meta
from tests.support import virtual_time
from tests.support.virtual_time import now, virtually
from tests.unit.pipeline.gated import Gates
from tests.unit.pipeline.joining import ONCE, Desk, all_of, ends, later
from tests.unit.pipeline.scripted import PLAN, Step, busy, late, lost, missing


class Wrapped:
    """An answer made of a fallback's value and of the error that it stands in for."""

    def __init__(self, value: Any, error: Exception) -> None:
        self.value = value
        self.kind = type(error)


def desk_with(fallback: Any, *steps: Step, **options: Any) -> Desk:
    """Return a desk whose failures the fallback answers."""
    desk = Desk(*steps, **options)
    desk.work = Fallback(tries, fallback, Wrapped)
    return desk


def story(desk: Desk) -> tuple[Meta, FallbackSource | None, Verdict | None]:
    """Return what became of the only call."""
    (call,) = desk.calls
    return call.meta(), call.fallback, call.masked


# What answers.


@virtually
async def test_a_success_needs_no_fallback() -> None:
    """As long as the provider answers, the fallback is not asked and nothing is said of it."""
    desk = desk_with(pytest.fail, Step(seconds=1))
    assert await desk.ask() == 1
    meta, source, masked = story(desk)
    assert (meta.origin, source, masked, desk.calls[0].failure) == (Origin.LIVE, None, None, None)
    assert desk.listening.told == []


@pytest.mark.parametrize("value", [7, None, 0, "", False, (), {"price": None}])
def test_a_value_stands_in(value: object) -> None:
    """Any value can stand in for a failure, also ``None`` and all that is false; the answer is made of it."""

    async def scenario() -> None:
        desk = desk_with(value, Step(busy(), seconds=1), plan=ONCE)
        answer: Any = await desk.ask()
        assert (answer.value, answer.kind) == (value, HttpError)
        assert answer.value is value
        meta, source, masked = story(desk)
        assert (meta.origin, meta.attempts, meta.sends) == (Origin.FALLBACK, 1, 1)
        assert (source, masked) == (FallbackSource.STATIC, busy().verdict)

    virtual_time.run(scenario())


def told(error: Exception) -> str:
    """Return what a function makes of an error."""
    return f"instead of {type(error).__name__}"


async def told_later(error: Exception) -> str:
    """Return the same, after a while."""
    await asyncio.sleep(2)
    return told(error)


class Teller:
    """An object that can be called."""

    def __call__(self, error: Exception) -> str:
        """Return the same."""
        return told(error)


@pytest.mark.parametrize(
    ("function", "takes"), [(told, 0), (told_later, 2), (Teller(), 0)], ids=["plain", "coroutine", "object"]
)
def test_a_function_stands_in(function: Callable[[Exception], Any], takes: float) -> None:
    """A function, a coroutine function or whatever can be called is given the error and makes the value."""

    async def scenario() -> None:
        desk = desk_with(function, Step(lost(), seconds=1), plan=ONCE)
        answer: Any = await desk.ask()
        assert (answer.value, answer.kind) == ("instead of NetworkError", NetworkError)
        meta, source, masked = story(desk)
        assert (source, masked, meta.origin) == (FallbackSource.FUNCTION, lost().verdict, Origin.FALLBACK)
        assert (meta.duration, now()) == (1 + takes, 1 + takes)

    virtual_time.run(scenario())


@virtually
async def test_the_function_gets_the_story_of_the_failure() -> None:
    """The error that the function is given has its ``meta``: the tries that failed, and how long they took."""
    seen: list[Any] = []
    desk = desk_with(seen.append, Step(busy(), seconds=1), plan=replace(PLAN, retry=Retry(base=0)))
    await desk.ask()
    (error,) = seen
    assert (error.meta.attempts, error.meta.sends, error.meta.duration, error.meta.origin) == (3, 3, 3.0, Origin.LIVE)
    assert error.meta.request_id == desk.calls[0].request_id


# What it answers.

_NOT_SENT = (BreakerOpen, RateLimitedLocally, ConcurrencyLimited, DeadlineExceeded, StateUnavailable, NeedsConsent)
MASKED: list[Exception] = [
    busy(),
    lost(),
    late(),
    Undecodable("x"),
    *(kind("x") for kind in _NOT_SENT),
    KeyError("x"),
    TimeoutError(),
]


@pytest.mark.parametrize("error", MASKED, ids=lambda error: type(error).__name__)
def test_failures_and_refusals_are_masked(error: Exception) -> None:
    """What went wrong over there, on the way or in a policy of ours is answered, and counted as what it was."""

    async def scenario() -> None:
        desk = desk_with("instead", Step(error, seconds=1), plan=ONCE)
        answer: Any = await desk.ask()
        assert answer.value == "instead"
        verdict = error.verdict if isinstance(error, BuoyError) else UNKNOWN
        assert (desk.calls[0].failure, desk.calls[0].masked) == (verdict, verdict)
        assert [event for _, event in desk.listening.told] == [
            FallbackUsed(source=FallbackSource.STATIC, masked=verdict)
        ]
        assert desk.calls[0].exception is None

    virtual_time.run(scenario())


@pytest.mark.parametrize("error_type", ErrorType)
def test_the_table_says_what_is_masked(error_type: ErrorType) -> None:
    """Every error type that counts as a failure or a refusal is masked; a caller's error passes, nothing is told."""

    async def scenario() -> None:
        error = BuoyError("x", verdict=Verdict(error_type, Outcome.REJECTED, Phase.RECEIVE))
        desk = desk_with("instead", Step(error, seconds=1), plan=ONCE)
        (end,) = await ends(desk.ask())
        passes = TABLE[error_type].result is CallResult.CALLER_ERROR
        assert (end is error) == passes
        assert len(desk.listening.told) == (0 if passes else 1)
        assert desk.calls[0].origin == (Origin.LIVE if passes else Origin.FALLBACK)

    virtual_time.run(scenario())


@pytest.mark.parametrize("error", [missing(), KeyConflict("x")], ids=lambda error: type(error).__name__)
def test_a_callers_error_passes(error: BuoyError) -> None:
    """What the request itself is at fault for is raised as ever: a default value would hide a bug."""

    async def scenario() -> None:
        desk = desk_with(pytest.fail, Step(error, seconds=1), plan=ONCE)
        assert await ends(desk.ask()) == [error]
        assert (desk.calls[0].masked, desk.calls[0].failure) == (None, error.verdict)
        assert error.meta is not None
        assert error.meta.origin is Origin.LIVE

    virtual_time.run(scenario())


@virtually
async def test_a_doubt_stays_a_doubt() -> None:
    """A fallback for what may have happened does not undo it: the call is in doubt, and says so."""
    seen: list[Any] = []
    desk = desk_with(seen.append, Step(lost(), seconds=1), plan=replace(PLAN, safety=Safety.UNSAFE))
    await desk.ask()
    assert [type(error) for error in seen] == [OutcomeUnknown]
    call = desk.calls[0]
    assert (call.in_doubt, call.stop_reason, call.masked) == (True, StopReason.NOT_IDEMPOTENT, lost().verdict)


@pytest.mark.parametrize("fallback", ["instead", told_later], ids=["value", "function"])
@pytest.mark.parametrize("at", [0.5, 2.0])
def test_a_cancellation_is_never_answered(fallback: Any, at: float) -> None:
    """Who is cancelled is cancelled, in the send and in the function that was to answer."""

    async def scenario() -> None:
        desk = desk_with(fallback, Step(busy(), seconds=1), plan=ONCE)
        caller = desk.begin()
        await asyncio.wait([caller], timeout=at)
        answered = caller.done()
        assert answered == (fallback == "instead" and at > 1)
        caller.cancel("canary")
        await asyncio.wait([caller])
        assert caller.cancelled() != answered
        call = desk.calls[0]
        if not answered:
            assert (call.failure, call.stop_reason, call.masked) == (CANCELLED, None, None)
            assert desk.listening.told == []

    virtual_time.run(scenario())


# What the function may raise.


@virtually
async def test_the_function_may_raise_the_error_after_all() -> None:
    """A function that raises what it was given has looked at it and passed it on: the call fails as without it."""

    def look(error: Exception) -> None:
        raise error

    failure = busy()
    desk = desk_with(look, Step(failure, seconds=1), plan=ONCE)
    assert await ends(desk.ask()) == [failure]
    call = desk.calls[0]
    assert (call.failure, call.masked, call.origin) == (failure.verdict, None, Origin.LIVE)
    assert (call.stop_reason, failure.meta, desk.listening.told) == (StopReason.MAX_ATTEMPTS, call.meta(), [])


@pytest.mark.parametrize(
    "makes", [lambda: KeyError("mine"), lambda: HttpError("mine", verdict=busy().verdict)], ids=["foreign", "ours"]
)
def test_the_function_may_raise_another_error(makes: Callable[[], Exception]) -> None:
    """An error of the function's own names the call, with the one that it was given as its context."""
    mine, failure = makes(), late()

    async def look(_: Exception) -> None:
        await asyncio.sleep(1)
        raise mine

    async def scenario() -> None:
        desk = desk_with(look, Step(failure, seconds=1), plan=ONCE)
        assert await ends(desk.ask()) == [mine]
        assert mine.__context__ is failure
        call = desk.calls[0]
        assert (call.failure, call.exception) == (getattr(mine, "verdict", UNKNOWN), type(mine).__name__)
        assert (call.masked, call.ended, desk.listening.told) == (None, 2.0, [])

    virtual_time.run(scenario())


def test_an_error_is_no_reference_cycle() -> None:
    """What was masked is freed with the answer, and what was raised after all with its error."""

    def look(error: Exception) -> None:
        try:
            raise error
        finally:
            del error

    async def scenario(fallback: Any) -> "list[weakref.ref[Exception]]":
        seen: list[weakref.ref[Exception]] = []

        async def fail(_: Call) -> None:
            error = busy()
            seen.append(weakref.ref(error))
            try:
                raise error
            finally:
                del error

        await ends(run(Call(ONCE, asyncio.get_running_loop()), fail, Fallback(tries, fallback, lambda value, _: value)))
        return seen

    gc.collect()
    gc.disable()
    try:
        for fallback in ("instead", told, told_later, look):
            (error,) = virtual_time.run(scenario(fallback))
            assert error() is None
    finally:
        gc.enable()


# With the other policies.


@virtually
async def test_a_fallback_is_no_success_of_the_provider() -> None:
    """Answers of a fallback leave the breaker to what the provider did: it opens, and refusals are answered as well."""
    gates = Gates(breaker=Breaker(minimum_calls=3, wait=100))
    desk = desk_with("instead", Step(busy(), seconds=1), plan=replace(gates.plan, retry=None))
    kinds = [answer.kind for answer in await all_of(*(later(2 * n, desk.ask()) for n in range(4)))]
    assert kinds == [HttpError, HttpError, HttpError, BreakerOpen]
    assert gates.tally.results == {
        **dict.fromkeys(CallResult, 0),
        CallResult.FAILURE: 3,
        CallResult.REFUSED: 1,
    }


@pytest.mark.parametrize(
    ("policies", "kind"),
    [
        ({"rates": (RateLimit(1, per=1000, burst=1),)}, RateLimitedLocally),
        ({"concurrency": Concurrency(1, max_wait=0)}, ConcurrencyLimited),
    ],
    ids=["limiter", "permits"],
)
def test_a_refusal_of_a_policy_is_answered(policies: dict[str, Any], kind: type[BuoyError]) -> None:
    """Whoever finds no turn or no permit gets the fallback at once, and everything is back at rest."""

    async def scenario() -> None:
        gates = Gates(**policies)
        desk = desk_with("instead", Step(seconds=5), plan=gates.plan)
        first, second = await all_of(desk.ask(), later(1, desk.ask()))
        assert (first, second.kind) == (1, kind)
        assert (desk.calls[1].ended, desk.calls[1].sends) == (1.0, 0)
        gates.check_at_rest()

    virtual_time.run(scenario())


@pytest.mark.parametrize(("asked", "kind"), [(0, DeadlineExceeded), (3, TimedOut)])
def test_a_deadline_is_answered(asked: float, kind: type[BuoyError]) -> None:
    """A caller without time left gets the fallback, when its time is up."""

    async def scenario() -> None:
        desk = desk_with("instead", Step(seconds=50))
        answer: Any = await desk.ask(deadline=asked)
        assert (answer.kind, now()) == (kind, asked)

    virtual_time.run(scenario())


@virtually
async def test_joined_callers_get_a_fallback_each() -> None:
    """Each caller of a flight that fails is answered for its own error, and one whose time ends before is, too."""
    seen: list[Any] = []
    desk = Desk(Step(busy(), seconds=5), plan=ONCE)
    desk.work = Fallback(desk.flights, seen.append, Wrapped)
    answers = await all_of(desk.ask(), desk.ask(), desk.ask(deadline=2))
    assert [answer.kind for answer in answers] == [HttpError, HttpError, TimedOut]
    assert len({id(error) for error in seen}) == 3
    assert [error.meta.request_id for error in seen] == [desk.calls[n].request_id for n in (2, 0, 1)]
    assert [call.ended for call in desk.calls] == [5.0, 5.0, 2.0]
    assert [(call.meta().origin, call.meta().duplicate_source) for call in desk.calls] == [
        (Origin.FALLBACK, None),
        *[(Origin.FALLBACK, DuplicateSource.IN_FLIGHT)] * 2,
    ]
    kinds = [type(event) for _, event in desk.listening.told]
    assert (kinds.count(Joined), kinds.count(FallbackUsed), len(desk.sends)) == (2, 3, 1)
    desk.check_at_rest()
