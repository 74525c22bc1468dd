"""A call that is expected to fail, whatever it raises."""

from collections.abc import Awaitable


async def fails(call: Awaitable[object]) -> None:
    """Await a call that must fail."""
    try:
        await call
    except Exception:  # noqa: BLE001  # which one it is, other tests say
        return
    msg = "a call that must fail succeeded"
    raise AssertionError(msg)
