"""What a call costs, in function calls: they are the same on every machine and on every day, as no clock is.

Counted are the calls and resumptions of functions of ours and of OpenTelemetry's, and whatever they call directly:
more of them is more work on the way of every call. `make bench` says what that is in microseconds.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import opentelemetry.trace
import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import buoy
from buoy import contract
from buoy.telemetry import scope
from buoy.telemetry.buckets import Buckets
from buoy.telemetry.light import LightTracer
from buoy.telemetry.scope import Scope
from tests.support.peer import Peer
from tests.support.telemetry import Observed

CALLS = 64  # whole batches of histogram records
# Function calls per call, counted on Python 3.11; 3.12 and 3.13 take up to 2 % fewer. A change that is worth more
# raises the number and says why, one that saves some brings it down.
WITHOUT_SDK = 142.28
SAMPLED = 676.42
FAST = 223.09
MARGIN = 1.01  # `asyncio.timeout` around a try would be 1.03

COUNTED = tuple(str(Path(place).parent) for place in (buoy.__file__, Path(opentelemetry.trace.__file__).parent))


class Shop(buoy.Provider):
    """The five lines."""

    product = buoy.get("/products/{id}")


@dataclass
class Count:
    """How many function calls there were."""

    calls: int = 0


@contextmanager
def counting() -> Iterator[Count]:
    """Count the function calls of what runs inside."""
    count = Count()

    def see(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            back = frame.f_back
            if _is_counted(frame) or (back is not None and _is_counted(back)):
                count.calls += 1
        elif event == "c_call" and _is_counted(frame):
            count.calls += 1

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        yield count
    finally:
        sys.setprofile(before)


def _is_counted(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(COUNTED)


async def _per_call() -> float:
    """Return the function calls per call of an operation that has been called before."""
    async with Peer() as peer, Shop(base_url=peer.url) as shop:
        for _ in range(CALLS):
            await shop.product(id=7)
        scope.flush()
        with counting() as count:
            for _ in range(CALLS):
                await shop.product(id=7)
            scope.flush()
    return count.calls / CALLS


async def test_a_call_without_an_sdk_does_no_more_than_it_did() -> None:
    """Without an SDK a call takes no more function calls than the committed number, and a margin of 1 %."""
    found = await _per_call()
    assert found <= WITHOUT_SDK * MARGIN, f"{found:.2f} function calls per call"


async def test_a_sampled_call_does_no_more_than_it_did(observed: Observed) -> None:
    """With the stock SDK a sampled call takes no more function calls than the committed number, and a margin of 1 %."""
    found, expected = await _per_call(), 2 * CALLS
    assert expected == len(observed.calls())
    assert found <= SAMPLED * MARGIN, f"{found:.2f} function calls per call"


class Kept(SpanProcessor):
    """Keeps the spans that end, at no cost that would count."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        self.spans.append(span)


async def test_a_call_on_the_cheap_path_does_no_more_than_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``setup()`` takes for a sampled call needs no more function calls than the committed number, and 1 %."""
    kept, processors = Kept(), SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    processors.add_span_processor(kept)
    provider = TracerProvider(shutdown_on_exit=False, active_span_processor=processors)
    tracer = LightTracer(provider, processors, InstrumentationScope(contract.SCOPE))
    fast = Scope(tracer, NoOpMeter(contract.SCOPE), buckets=Buckets())
    monkeypatch.setattr(scope, "_present", fast)
    found = await _per_call()
    assert len(kept.spans) == 4 * CALLS
    assert found <= FAST * MARGIN, f"{found:.2f} function calls per call"


def test_what_is_called_is_counted() -> None:
    """Functions of ours count with what they call directly; the test's own do not."""
    with counting() as count:
        pass
    idle = count.calls
    with counting() as count:
        len("not ours")
        buoy.Timeout(total=30)
    assert count.calls > idle
    with counting() as count:
        len("not ours")
    assert idle == count.calls
