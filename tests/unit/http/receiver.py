"""A server on a real socket that takes any body: it keeps what came, whole, and answers or hangs up as told."""

import asyncio
from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from buoy.http.upload import Opened, Payload


class Got(NamedTuple):
    """One request that came in whole."""

    headers: CIMultiDict[str]
    body: bytes

    @property
    def framing(self) -> str:
        """How the length was told: in advance as a number, or not."""
        return str(self.headers.get("Content-Length", self.headers.get("Transfer-Encoding")))


class Receiver:
    """Answers 200 to each request, or hangs up after reading it where the script says so."""

    def __init__(self, *script: str) -> None:
        self.script = deque(script)
        self.got: list[Got] = []
        self.reading = asyncio.Event()
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen on a free port of the loopback, with a client beside it."""
        self._runner = web.ServerRunner(web.Server(self._serve, lingering_time=0))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up."""
        self._leaving.set()
        await self._session.close()
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        said = self.script.popleft() if self.script else "answer"
        self.reading.set()
        if said == "do not read":
            await self._leaving.wait()
            return web.Response()
        body = await request.content.read()  # request.read() has a limit
        self.got.append(Got(CIMultiDict(request.headers), body))
        if said == "hang up":
            assert request.transport is not None
            request.transport.close()
        return web.Response()

    async def send(self, payload: Payload, method: str = "POST", **headers: str) -> Opened:
        """Send a body once, as the transport does, and return what was opened for it."""
        opened = await payload.open()
        given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
        opened.add_to(given)
        try:
            async with self._session.request(method, self.url, data=opened.body, headers=given) as response:
                assert response.status == 200
                await response.read()
        except aiohttp.ClientError:
            if opened.fault is None:
                raise
        finally:
            opened.close()
        return opened
