"""Which operations a breaker stops: those that share it, and no other, of this provider or another."""

import pytest

import buoy
from buoy.outcome import BreakerState
from tests.integration.policies.conftest import Tell
from tests.support.counting_server import CountingServer
from tests.support.peer import answer
from tests.support.telemetry import Observed

MINIMUM = 5
POLICY = buoy.Breaker(minimum_calls=MINIMUM, wait=60)


class Shop(buoy.Provider):
    """Three breakers: the provider's own, one that two operations share, and one of a single operation."""

    retry = None
    breaker = POLICY

    read = buoy.get("/read")
    search = buoy.get("/search")
    write = buoy.post("/write", breaker=buoy.Breaker(minimum_calls=MINIMUM, wait=60, name="write"))
    remove = buoy.delete("/remove", breaker="write")
    report = buoy.get("/report", breaker=POLICY)


BREAKERS = {"read": "shop", "search": "shop", "write": "write", "remove": "write", "report": "shop.report"}


@pytest.mark.parametrize("failing", BREAKERS)
async def test_failures_of_an_operation_stop_those_that_share_its_breaker(
    failing: str, observed: Observed, tell: Tell
) -> None:
    """After the failures of one operation the others of its breaker are refused unsent, and all others are served."""
    async with (
        CountingServer(lambda target: answer(500 if target == f"/{failing}" else 200)) as server,
        Shop(base_url=server.url) as shop,
        Shop("elsewhere", base_url=server.url) as elsewhere,
    ):
        for _ in range(MINIMUM):
            with pytest.raises(buoy.HttpError):
                await getattr(shop, failing)()
        told = {operation: await _ask(shop, operation) for operation in BREAKERS}
        states = {name: breaker.state for name, breaker in shop.snapshot().breakers.items()}
        untouched = [breaker.state for breaker in elsewhere.snapshot().breakers.values()]
        others = {operation: await _ask(elsewhere, operation) for operation in BREAKERS if operation != failing}
    name = BREAKERS[failing]
    stopped = {operation for operation, breaker in BREAKERS.items() if breaker == name}
    assert {operation: name if operation in stopped else None for operation in BREAKERS} == told
    assert {f"/{operation}": 2 for operation in BREAKERS if operation not in stopped} | {
        f"/{operation}": 1 for operation in stopped if operation != failing
    } | {f"/{failing}": MINIMUM} == server.targets
    # Another provider has breakers of its own, also one of the same name.
    assert {None} == set(others.values())
    assert untouched == [BreakerState.CLOSED] * 3
    assert {breaker: "open" if breaker == name else "closed" for breaker in set(BREAKERS.values())} == states
    assert len(stopped) == observed.value("buoy.client.refusals", **{"buoy.provider": "shop"})
    assert 1 == observed.value("buoy.breaker.transitions") == observed.value("buoy.breaker.transitions", name=name)
    tell(f"shared breakers: {MINIMUM} failures of {failing} stop {sorted(stopped)} of {sorted(BREAKERS)}")


async def _ask(shop: Shop, operation: str) -> str | None:
    """Call an operation; return which breaker refused it, if one did."""
    try:
        await getattr(shop, operation)()
    except buoy.BreakerOpen as refusal:
        return str(refusal).rpartition("(breaker ")[2].partition(")")[0]
    return None
