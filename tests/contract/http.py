"""What only HTTP has: redirects, bodies that cannot be sent twice, streams that are left, and calls that are cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import buoy
from tests.contract.failing import fails
from tests.contract.scenarios import PATIENT
from tests.support.peer import HANG, Peer, answer


class Site(buoy.Provider, base_url="http://127.0.0.1:9", retry=PATIENT):
    """Something that redirects, takes and gives."""

    page = buoy.get("/pages/{id}", name="pages.get")
    send = buoy.put("/pages/{id}", name="pages.put")


async def everything() -> None:
    """Run all of it."""
    async with Peer() as peer, Site("site", base_url=peer.url) as site:
        await redirects(peer, site)
        await spent(peer, site)
        async with site.page.stream(id="1") as answered:
            assert answered.status == 200
        await cut(peer, site)


async def redirects(peer: Peer, site: Site) -> None:
    """Be sent elsewhere, also by a breaker that is not closed, and in circles."""
    away = answer(302, Location="/elsewhere", X_Request_Id="req_2")
    peer.script.append(away)
    await site.page(id="1")
    site.control.breaker.force("disabled")
    peer.script.extend([away, answer(503, X_Request_Id="req_3")] * 2)
    await fails(site.page(id="1"))
    site.control.breaker.reset()
    peer.script.extend([away, away])
    await fails(site.page(id="1"))


async def spent(peer: Peer, site: Site) -> None:
    """Send what cannot be sent again, and be asked to."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x"

    peer.script.append(answer(503))
    await fails(site.send(id="1", data=pieces()))


async def cut(peer: Peer, site: Site) -> None:
    """Leave while a call is on its way, where a redirect has led it."""
    peer.reading.clear()
    peer.script.extend([answer(302, Location="/elsewhere"), HANG])
    call = asyncio.create_task(site.page(id="1"))
    await peer.reading.wait()
    await site.drain(0)
    with suppress(asyncio.CancelledError):
        await call
