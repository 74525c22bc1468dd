"""What those who share a flight get of its failure, and that nothing of it is kept."""

import asyncio
import gc
import traceback
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from buoy.errors import (
    BuoyError,
    HttpError,
)
from buoy.outcome import StopReason
from buoy.pipeline.call import Call
from buoy.pipeline.join import Flights
from buoy.pipeline.run import run, tries
from buoy.policies.retry import Retry
from tests.support import virtual_time
from tests.support.virtual_time import virtually
from tests.unit.pipeline.joining import ONCE, Desk, ends
from tests.unit.pipeline.scripted import PLAN, Step, busy, missing

# Failures.


@virtually
async def test_a_failure_reaches_each_as_its_own() -> None:
    """Each caller has an exception of its own: same class, facts and cause, but a story and a traceback of its own."""
    cause, plan = ValueError("why"), replace(PLAN, retry=Retry(base=0))
    failure = HttpError(
        "busy.",
        status=503,
        headers={"x": "y"},
        problem={"title": "down"},
        verdict=busy(retry_after=0.0).verdict,
        provider="shop",
        operation="list",
    )
    failure.__cause__ = cause
    desk = Desk(Step(failure, seconds=1), plan=plan)
    errors = await ends(*(desk.ask() for _ in range(50)))
    assert errors[0] is failure
    assert len({id(error) for error in errors}) == 50
    for error, call in zip(errors, desk.calls, strict=True):
        assert isinstance(error, HttpError)
        assert (error.status, error.headers, error.problem, error.args) == (
            503,
            {"x": "y"},
            {"title": "down"},
            ("busy.",),
        )
        assert (error.retry_after, error.verdict, error.advice) == (0.0, failure.verdict, failure.advice)
        assert (error.provider, error.operation, error.__cause__) == ("shop", "list", cause)
        assert error.__suppress_context__
        assert error.meta == call.meta()
        assert (call.stop_reason, call.failure, call.exception) == (StopReason.MAX_ATTEMPTS, error.verdict, "HttpError")
    assert [error.meta.attempts for error in errors] == [3, *[0] * 49]
    check_tracebacks(errors)


def check_tracebacks(errors: list[BaseException]) -> None:
    """Check that each leads from its caller to where it happened, and that none has grown by the others."""
    names = [[frame.name for frame in traceback.extract_tb(error.__traceback__)] for error in errors]
    assert names == [names[0]] * len(errors)
    assert (names[0][0], names[0][-1], names[0].count("ask")) == ("ask", "_send", 1)


class NeedsMore(Exception):
    """Its constructor takes what its ``args`` do not have."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.detail = detail


class Adds(Exception):
    """Its constructor makes its text from what it is given."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Unreducible(Exception):
    """It cannot say what it is made of."""

    def __reduce__(self) -> Any:
        msg = "canary"
        raise RuntimeError(msg)


class Single(Exception):
    """It is always the same object."""

    def __reduce__(self) -> str:
        return "SINGLE"


class Disguised(Exception):
    """A copy of it would be something else."""

    def __reduce__(self) -> Any:
        return ValueError, ("canary",)


class Slotted(Exception):
    """It keeps what it was given where no copy looks."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


COPIED: dict[str, Exception] = {
    "KeyError": KeyError("x"),
    "OSError": OSError(2, "gone", "file"),
    "a timeout of its own": TimeoutError("theirs"),
    "UnicodeDecodeError": UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
    "ExceptionGroup": ExceptionGroup("many", [KeyError("x"), ValueError("y")]),
    "a constructor that makes a text": Adds(7),
    "slots": Slotted(7),
}
SHARED: dict[str, Exception] = {
    "a constructor that needs more": NeedsMore(7, detail="d"),
    "no reduce": Unreducible("x"),
    "always the same": Single("x"),
    "another class": Disguised("x"),
}


@pytest.mark.parametrize("name", [*COPIED, *SHARED])
def test_a_foreign_exception_is_never_another_one(name: str) -> None:
    """An exception that is not ours is copied where it can be, else shared; each caller sees what happened."""
    failure, is_shared = {**COPIED, **SHARED}[name], name in SHARED

    async def scenario() -> None:
        desk = Desk(Step(failure, seconds=1), plan=ONCE)
        errors = await ends(*(desk.ask() for _ in range(3)))
        assert [error is failure for error in errors] == [True, is_shared, is_shared]
        for error in errors:
            assert type(error) is type(failure)
            assert (str(error), repr(error), error.args) == (str(failure), repr(failure), failure.args)
            assert vars(error) == vars(failure)
            for fact in ("code", "errno", "filename", "reason", "exceptions"):
                assert getattr(error, fact, None) == getattr(failure, fact, None)
        check_tracebacks(errors)

    virtual_time.run(scenario())


@virtually
async def test_notes_and_context_of_an_exception() -> None:
    """A copy says in what context it happened and what was noted of it; what a caller notes is on its own only."""
    failure, context = KeyError("x"), ValueError("before")
    failure.add_note("from the provider")
    failure.__context__ = context
    desk = Desk(Step(failure, seconds=1), plan=ONCE)
    first, joined = await ends(desk.ask(), desk.ask())
    joined.add_note("mine")
    assert (first.__notes__, joined.__notes__) == (["from the provider"], ["from the provider", "mine"])
    assert (joined.__context__, joined.__cause__, joined.__suppress_context__) == (context, None, False)


@virtually
async def test_a_failure_after_the_first_caller_has_left() -> None:
    """Those who joined get the failure though nobody is there any more whose own it was."""
    desk = Desk(Step(missing(), seconds=5))
    tasks = [desk.begin() for _ in range(3)]
    await asyncio.sleep(1)
    tasks[0].cancel()
    _, second, third = await ends(*tasks)
    assert (type(second), type(third), second is third) == (HttpError, HttpError, False)
    check_tracebacks([second, third])


def test_the_kinds_of_errors_of_ours_can_all_be_copied() -> None:
    """No error of ours has a constructor that a copy could not call: each caller gets its own."""

    async def scenario(error: BuoyError) -> None:
        desk = Desk(Step(error, seconds=1), plan=ONCE)
        first, joined = await ends(desk.ask(), desk.ask())
        assert first is not joined
        assert type(first) is type(joined)
        assert vars(joined) | {"meta": None} == vars(first) | {"meta": None}

    for kind in kinds(BuoyError):
        virtual_time.run(scenario(kind("what happened", provider="shop", operation="list")))


def kinds(base: type[BuoyError]) -> list[type[BuoyError]]:
    """Return the error and all its children of our own."""
    children = [kind for child in base.__subclasses__() if child.__module__ == "buoy.errors" for kind in kinds(child)]
    return [base, *children]


# What is left behind.


class Weak:
    """Something that can be watched."""


MADE: dict[str, Callable[[], Exception]] = {
    "ours": missing,
    "foreign": lambda: Adds(7),
    "shared": lambda: NeedsMore(7, detail="d"),
}


async def _left(make: Callable[[], Exception], callers: int, leave: int) -> list["weakref.ref[Any]"]:
    """Let callers share a failure, and some of them be cancelled before; return what must be gone afterwards."""
    what, loop = Weak(), asyncio.get_running_loop()
    flights = Flights(tries, lambda call: call.request)

    async def fail(call: Call) -> None:
        send = call.begin_send()
        await asyncio.sleep(1)
        call.end_send(send, None)
        raise make()

    tasks = [asyncio.create_task(run(Call(ONCE, loop, request=what), fail, flights)) for _ in range(callers)]
    await asyncio.sleep(0.5)
    left: list[weakref.ref[Any]] = [weakref.ref(what), *(weakref.ref(task) for task in asyncio.all_tasks())]
    left.remove(weakref.ref(asyncio.current_task()))
    for task in tasks[:leave]:
        task.cancel()
    await asyncio.wait(tasks)
    return left + [weakref.ref(error) for error in (task.exception() for task in tasks[leave:])]


@pytest.mark.parametrize(("callers", "leave"), [(1, 0), (3, 0), (3, 1)])
@pytest.mark.parametrize("name", MADE)
def test_a_landed_flight_leaves_nothing(name: str, callers: int, leave: int) -> None:
    """Errors, arguments and tasks are freed when the callers let go, without the garbage collector."""

    async def scenario() -> None:
        left = await _left(MADE[name], callers, leave)
        assert len(left) == 1 + (callers + 1) + (callers - leave)
        await asyncio.sleep(0)
        assert [ref() for ref in left] == [None] * len(left)

    gc.collect()
    gc.disable()
    try:
        virtual_time.run(scenario())
    finally:
        gc.enable()


@virtually
async def test_a_failure_that_nobody_waited_for_is_not_reported() -> None:
    """A flight that fails as its last caller leaves is no exception that was never retrieved."""
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def scenario() -> None:
        desk = Desk(Step(KeyError("x"), seconds=1), plan=ONCE)
        caller = desk.begin()
        await desk.bell
        caller.cancel()
        await ends(caller)

    await scenario()
    gc.collect()
    assert reported == []
