"""A provider on a real socket that answers as the test says and keeps what it was asked."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, Unpack

from aiohttp import web
from multidict import CIMultiDictProxy

from buoy.testing.apart import undeclared
from buoy.testing.received import ReceivedRequest
from buoy.testing.script import Fault, Hang, Line, Said, Script


class ScriptedProvider:
    """Answers as it was told: ``async with ScriptedProvider() as remote``, and a provider with ``base_url=remote.url``.

    Answers of one method and path are given in their order. Where none is left, the answer is a 501, and leaving the
    block raises an ``AssertionError``; so does an answer that was never asked for, unless ``strict`` is false.

    Inside the block no provider is declared yet, so that the same one may come with another URL in every test.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.requests: list[ReceivedRequest] = []
        self._strict = strict
        self._script = Script()
        self._unscripted: Counter[str] = Counter()
        self._url = ""
        self._open: set[asyncio.Transport] = set()
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where it listens: a free port of 127.0.0.1."""
        if not self._url:
            raise RuntimeError("a ScriptedProvider has a URL inside its block only: async with ScriptedProvider()")
        return self._url

    def answer(self, method: str, path: str, **said: Unpack[Said]) -> None:
        """Answer with ``status=200`` and ``json=`` or ``body=``; ``times=`` times or ``always=True``, else once."""
        self._script.add(method, path, Fault.NONE, None, **said)

    def cut(self, method: str, path: str, *, after: int | None = None, **said: Unpack[Said]) -> None:
        """Read the request and close the connection: without an answer, or ``after`` that many bytes of its body."""
        self._script.add(method, path, Fault.CUT, after, **said)

    def hang(self, method: str, path: str, *, after: int | None = None, **said: Unpack[Said]) -> Hang:
        """Read the request and hold the answer back until it is released: all of it, or what comes ``after`` n bytes.

        What still hangs when the block is left is cut.
        """
        return self._script.add(method, path, Fault.HANG, after, **said).hang

    async def __aenter__(self) -> Self:
        """Begin to listen."""
        if self._url:
            raise RuntimeError("a ScriptedProvider is entered once")
        # A caller that goes away ends what it had asked for, also where that hangs.
        server = web.Server(self._serve, handler_cancellation=True)
        runner = web.ServerRunner(server)
        async with AsyncExitStack() as stack:
            stack.enter_context(undeclared())
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._stack = stack.pop_all()
        self._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up on everybody, and say what came that was not scripted and what was scripted and never came."""
        for transport in self._open:
            transport.abort()
        await self._stack.aclose()
        unscripted = _listed("requests for which nothing was scripted", _counted(self._unscripted))
        if error is not None:
            if unscripted:  # it may well be why
                error.add_note(unscripted)
            return
        missed = _listed("answers that were never asked for", list(self._script.missed())) if self._strict else ""
        if unscripted or missed:
            raise AssertionError("\n".join(filter(None, [unscripted, missed])))

    def __repr__(self) -> str:
        return f"<ScriptedProvider {self._url or 'not entered'} requests={len(self.requests)}>"

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:  # already gone
            return web.Response()
        self._open.add(transport)
        try:
            received = ReceivedRequest(
                method=request.method,
                path=request.rel_url.raw_path,
                query=request.rel_url.query,
                headers=CIMultiDictProxy(request.headers.copy()),
                body=await request.content.read(),  # request.read() has a limit
            )
            self.requests.append(received)
            line = self._script.next(received.method, received.path)
            if line is None:
                self._unscripted[f"{received.method} {received.path}"] += 1
                return web.Response(status=501, text="Nothing is scripted for this.")
            return await _play(line, request, transport)
        finally:
            self._open.discard(transport)


async def _play(line: Line, request: web.BaseRequest, transport: asyncio.Transport) -> web.StreamResponse:
    """Do what a line says; aiohttp writes nothing more onto a connection that is closed."""
    response = web.StreamResponse(status=line.status, headers=line.headers)
    response.content_length = len(line.body)
    body = b"" if request.method == "HEAD" else line.body
    if line.after is not None:
        await response.prepare(request)
        await response.write(body[: line.after])
    if line.fault is Fault.CUT:
        transport.close()  # what was written still goes out
        return response
    if line.fault is Fault.HANG:
        await line.hang.held()
    await response.prepare(request)
    await response.write(body[line.after or 0 :])
    await response.write_eof()
    return response


def _counted(seen: Counter[str]) -> list[str]:
    return [what if times == 1 else f"{what} ({times} times)" for what, times in seen.items()]


def _listed(title: str, items: list[str]) -> str:
    return "\n  ".join([f"{title}:", *items]) if items else ""
