"""Any coroutine as an operation: the same tries, deadlines and telemetry around code that is not ours."""

import asyncio
import functools
import inspect
import math
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, Unpack, overload
from uuid import uuid4

from buoy import options
from buoy.errors import BuoyError, ConfigurationError
from buoy.http import classify, failures
from buoy.outcome import Safety
from buoy.pipeline.call import CANCELLED, UNKNOWN, Call, Plan, current
from buoy.pipeline.run import Work, run
from buoy.provider import policies
from buoy.provider.lifetime import Lifetime
from buoy.provider.policies import PolicyOptions
from buoy.result import Result
from buoy.telemetry.context import attached

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")

_KEY = "idempotency_key"


class FunctionOperation(Generic[P, T]):
    """A wrapped coroutine function: ``await f(...)`` returns what it returned, ``await f.call(...)`` a ``Result``."""

    def __init__(  # the options of a declaration, each a keyword
        self,
        provider: str,
        life: Lifetime,
        name: str,
        function: Callable[P, Awaitable[T]],
        *,
        safety: Safety | str = Safety.UNSAFE,
        retry_on: tuple[type[Exception], ...] = (),
        **given: Unpack[PolicyOptions],
    ) -> None:
        owner = f"{provider} {name}"
        if not inspect.iscoroutinefunction(function):
            raise options.wrong(owner, "function", function, "a coroutine function (async def)")
        if safety not in set(Safety):
            raise options.wrong(owner, "safety", safety, f"one of {', '.join(Safety)}")
        self.name = name
        self.safety = Safety(safety)
        self.policies = policies.own(owner, self.safety, **given)
        self.retry_on = _exceptions(owner, retry_on, self.safety)
        # Set when the provider is entered, which enter_call checks.
        self.plan: Plan
        self.work: Work
        self._provider = provider
        self._life = life
        self._function = function
        self._makes_key = _takes_key(owner, function, self.safety)
        functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<operation {self._provider} {self.name}: {self._function.__qualname__}>"

    @overload
    def __get__(self, instance: None, owner: type) -> "FunctionOperation[P, T]": ...
    @overload
    def __get__(
        self: "FunctionOperation[Concatenate[Any, Q], T]", instance: object, owner: type
    ) -> "BoundFunction[Q, T]": ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        return self if instance is None else BoundFunction(self, instance)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function and return what it returned."""
        _, value = await self._run(args, kwargs)
        return value

    async def call(self, *args: P.args, **kwargs: P.kwargs) -> Result[T]:
        """Call the function and return its value with the story of the call."""
        call, value = await self._run(args, kwargs)
        return Result(value, call.meta())

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, T]:
        loop = self._life.enter_call()
        try:
            if self._makes_key and kwargs.get(_KEY) is None:
                kwargs = {**kwargs, _KEY: str(uuid4())}
            call = Call(self.plan, loop, request=(args, kwargs))
            if self.policies.joined:
                identity(call)  # a wrong argument is a mistake of the caller's, and nothing that a fallback may hide
            return call, await run(call, self._attempt, self.work)
        finally:
            self._life.leave_call()

    async def _attempt(self, call: Call) -> T:
        """Do one try: the function itself, with its span current and the live call at hand."""
        args, kwargs = call.request
        send = call.begin_send()
        timer = asyncio.timeout(None if call.limit == math.inf else call.limit)
        ours: Exception | None = None
        try:
            # The timer is outside: it keeps the context in which it began, and must not keep the call's arguments.
            async with timer:
                with _live(call), attached(call, send):
                    value = await self._function(*args, **kwargs)
        except Exception as error:
            ours = _translated(call, error, timed_out=timer.expired())
            call.end_send(send, ours.verdict if isinstance(ours, BuoyError) else UNKNOWN)
            if ours is error:
                raise
            raise ours from error
        except BaseException:
            call.end_send(send, CANCELLED)
            raise
        finally:
            del ours, timer  # what leads from a frame to its exception, or to the task that ends with it, is a cycle
        call.end_send(send, None)
        return value


class BoundFunction(Generic[P, T]):
    """A wrapped method on an instance."""

    __slots__ = ("_instance", "_operation")

    def __init__(self, operation: FunctionOperation[Any, T], instance: object) -> None:
        self._operation = operation
        self._instance = instance

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the method and return what it returned."""
        return await self._operation(self._instance, *args, **kwargs)

    async def call(self, *args: P.args, **kwargs: P.kwargs) -> Result[T]:
        """Call the method and return its value with the story of the call."""
        return await self._operation.call(self._instance, *args, **kwargs)


def identity(call: Call) -> Hashable:
    """Return what a call of a function asks for: its arguments and their types, because 1, 1.0 and True are equal.

    Raises ``TypeError`` for an argument that cannot be compared by its hash.
    """
    args, kwargs = call.request
    values = (*args, *(value for _, value in sorted(kwargs.items())))
    asked = (args, tuple(sorted(kwargs)), values, tuple(map(type, values)))
    try:
        hash(asked)
    except TypeError:
        plan = call.plan
        msg = (
            f"{plan.provider} {plan.operation}: joined=True needs arguments that can be hashed (str, int, tuple, ...)."
        )
        raise TypeError(msg) from None
    return asked


def standing_in(value: Any, _: Exception) -> Any:
    """Return a fallback's value as what the function returned."""
    return value


def current_call() -> Call:
    """Return the live call inside a wrapped function (``attempt``, ``time_left``); elsewhere a ``RuntimeError``."""
    call = current.get()
    if call is None:
        msg = "current_call() works inside a function wrapped by provider.operation(...), while it is called."
        raise RuntimeError(msg)
    return call


@contextmanager
def _live(call: Call) -> Iterator[None]:
    token = current.set(call)
    closed = False
    try:
        yield
    except GeneratorExit:  # from outside of this context, which goes with its task
        closed = True
        raise
    finally:
        if not closed:
            current.reset(token)


def _exceptions(owner: str, given: Any, safety: Safety) -> tuple[type[Exception], ...]:
    kinds = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise options.wrong(owner, "retry_on", given, "an exception class or a tuple of them")
    if kinds and safety is Safety.UNSAFE:
        msg = f"{owner}: retry_on= can have no effect on an unsafe operation; say safety= if repeating it is harmless."
        raise ConfigurationError(msg)
    return tuple(kinds)


def _takes_key(owner: str, function: Callable[..., Any], safety: Safety) -> bool:
    if safety is not Safety.KEYED:
        return False
    parameter = inspect.signature(function).parameters.get(_KEY)
    if parameter is None or parameter.kind is not parameter.KEYWORD_ONLY:
        msg = f"{owner}: safety='keyed' needs a keyword-only parameter {_KEY}; it is the same on every try."
        raise ConfigurationError(msg)
    return True


def _translated(call: Call, error: Exception, *, timed_out: bool) -> Exception:
    """Return our error for one that the tables know, else ``error`` itself."""
    if isinstance(error, BuoyError):
        return error
    if timed_out:
        return failures.late(call.plan, call.limit)
    answer = classify.answer_of(error)
    if answer is not None:
        return failures.answered(call.plan, *answer)
    known = classify.exception(error, sending=True)
    return error if known is None else failures.broken(call.plan, error, known)
