"""The provider that the tests of this folder call, and what they read of a call's spans."""

from typing import Any

import buoy
from tests.support.faults import FaultyServer
from tests.support.telemetry import Observed

AT_ONCE = buoy.Retry(base=0, throttled_base=0)


class Shop(buoy.Provider):
    """One operation of each kind of safety; retries do not wait."""

    retry = AT_ONCE
    timeout = buoy.Timeout(total=60, attempt=20)

    read = buoy.get("/items/{id}")
    make = buoy.post("/items")
    order = buoy.post("/orders", key_header="Idempotency-Key")
    replace = buoy.put("/items/{id}")
    remove = buoy.delete("/items/{id}")


class Single(buoy.Provider):
    """One operation of a test's own."""

    retry = AT_ONCE
    operate: buoy.BoundOperation[Any]


def provider_of(operation: buoy.Operation[Any], server: FaultyServer, **options: Any) -> Single:
    """Return a provider with ``operation`` as its ``operate``."""
    made: type[Single] = type("Custom", (Single,), {"operate": operation})
    return made(base_url=server.url, **options)


def attribute(observed: Observed, name: str) -> Any:
    """Return an attribute of the last call's span."""
    return (observed.calls()[-1].attributes or {}).get(name)


def first_attribute(observed: Observed, name: str) -> Any:
    """Return an attribute of the first call's span."""
    return (observed.calls()[0].attributes or {}).get(name)


def kinds(observed: Observed) -> list[str]:
    """Return the kind of each send so far, in the order in which they began."""
    spans = sorted(observed.attempts(), key=lambda span: span.start_time or 0)
    return [str((span.attributes or {})["buoy.attempt.kind"]) for span in spans]


def span_ids(observed: Observed) -> set[str]:
    """Return trace and span id of each send as a ``traceparent`` has them."""
    contexts = [span.context for span in observed.attempts()]
    return {f"{context.trace_id:032x}-{context.span_id:016x}" for context in contexts if context is not None}


def parents(server: FaultyServer) -> list[str]:
    """Return trace and span id of each request as the server read them."""
    return [request.headers["traceparent"][3:-3] for request in server.received]
