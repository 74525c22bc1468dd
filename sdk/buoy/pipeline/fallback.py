"""What a caller gets instead of a failure: never counted as a success of the provider, never silent."""

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from buoy.errors import BuoyError
from buoy.events import FallbackUsed
from buoy.outcome import CallResult, FallbackSource, Origin, result_of
from buoy.pipeline.call import Call
from buoy.pipeline.run import Try, Work


class Fallback:
    """A fixed value, or a function of the error (also a coroutine function), for what we refused or they failed.

    What the request itself is at fault for passes. ``wrap`` makes an answer of the value and the error.
    """

    def __init__(self, work: Work, given: Any, wrap: Callable[[Any, Exception], Any]) -> None:
        self._work = work
        self._given = given
        self._wrap = wrap

    async def __call__(self, call: Call, send: Try[Any]) -> Any:
        """Answer ``call``; raises what the function raises, be it the error it was given."""
        try:
            return await self._work(call, send)
        except Exception as error:
            verdict = call.judge(error)
            if result_of(verdict) is CallResult.CALLER_ERROR:
                raise
            source, value = FallbackSource.STATIC, self._given
            if callable(value):
                call.end(verdict)
                if isinstance(error, BuoyError) and not call.own:
                    error.meta = call.meta()
                source, value = FallbackSource.FUNCTION, await _asked(call, value, error)
            answer = self._wrap(value, error)
        call.masked, call.fallback = verdict, source
        call.origin = Origin.FALLBACK
        call.happened(FallbackUsed(source=source, masked=verdict))
        return answer


async def _asked(call: Call, function: Callable[[Exception], Any], error: Exception) -> Any:
    try:
        value = function(error)
        return await value if isawaitable(value) else value
    except asyncio.CancelledError:
        call.stop_reason = None  # cancelled wins, also over what was to be masked
        raise
    finally:
        del error  # an exception kept in a local of its own frame is a reference cycle
