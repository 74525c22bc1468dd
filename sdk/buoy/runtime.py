"""The one place where parts are wired: from the names and policies of an operation to the plan of its calls."""

import asyncio

from buoy.pipeline.call import Plan
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.telemetry import scope, setup
from buoy.telemetry.names import Names, OperationNames


def names() -> Names:
    """Return the declared names of the process."""
    return scope.present().names


def plan(
    loop: asyncio.AbstractEventLoop,
    operation: OperationNames,
    *,
    retry: Retry | None,
    timeout: Timeout | None,
    retry_on: tuple[type[Exception], ...] = (),
) -> Plan:
    """Return what is the same for every call of an operation in ``loop``, with the recorder that reports it."""
    return Plan(
        provider=operation.provider,
        operation=operation.operation,
        transport=operation.transport,
        safety=operation.safety,
        retry=retry,
        timeout=timeout,
        recorder=scope.present().recorder(loop, operation, total=None if timeout is None else timeout.total),
        retry_on=retry_on,
    )


async def announce() -> None:
    """Export the counters of what was just declared while they are 0, if the SDK is ours: see ``setup.announce``."""
    await asyncio.to_thread(setup.announce)


def flush() -> None:
    """Hand what is still kept of the provider's records to OpenTelemetry."""
    scope.flush()
