"""One connection to the demo server: its requests in turn, each answered as its fault wants. Does not listen."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from buoy.cli.demo.delivery import Delivery
from buoy.cli.demo.faults import BEYOND_QUOTA, BY_NAME, OK, Cut, Dice, Fault
from buoy.cli.demo.journal import Ending, Journal
from buoy.cli.demo.quota import Quota
from buoy.cli.demo.site import Site
from buoy.cli.demo.wire import Answer, MalformedError, Request, as_json, head_of, read_body, read_head

# With a linger time of 0 close() sends RST instead of FIN, also when nothing is left to send.
ABORT = struct.pack("ii", 1, 0)
# Every answer asks to keep it. It must come back, and go nowhere else.
SESSION = "session=demo-secret-session; Path=/"
RESET_NEXT = replace(OK, name="reset-next", cut=Cut.UNREAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What all connections share."""

    site: Site
    dice: Dice
    journal: Journal
    quota: Quota


class Connection:
    """A connection, from accept to close. ``ending`` is set while a request that was read waits for its answer."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        parts: Parts,
        restart: Callable[[], None],
    ) -> None:
        self.reader, self.writer = streams
        self.site, self.dice, self.journal, self.quota = parts.site, parts.dice, parts.journal, parts.quota
        self.delivery = Delivery(*streams, self.dice.pause)
        self.restart = restart
        self.task = asyncio.current_task()
        self.ending: Ending | None = None
        self._next: Fault | None = None

    async def serve(self) -> None:
        """Answer requests until one side has enough."""
        try:
            while await self._exchange():
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or drop() was called: what there was to tell is in the journal
        finally:
            self.writer.close()

    def drop(self, why: str) -> None:
        """Reset the connection now, whatever it is doing."""
        if self.ending is not None:
            self.ending.fault = why
        self._reset()
        if self.task is not None:
            self.task.cancel()

    async def _exchange(self) -> bool:
        """Read one request and answer it; return whether another may follow."""
        first = await self.reader.read(1)
        if not first:
            return False
        fault, self._next = self._next or self.dice.fault(), None
        if fault.cut is Cut.UNREAD:
            self.journal.note("reset_unread")
            self._reset()
            return False
        try:
            request, fault, refused = await self._read(first, fault)
        except MalformedError as error:
            self.journal.note("malformed")
            answer = as_json(400, {"error": str(error)})
            self.writer.write(head_of(answer, {"Connection": "close"}, len(answer.body)) + answer.body)
            return False
        self.ending = Ending(self.journal.request(request, self.site, fault.name), fault.name)
        try:
            stays = await self._answer(fault, refused or self._prepare(request, fault), self.ending)
        except ConnectionError:
            self.ending.left = True
            raise
        finally:
            self.journal.answer(self.ending)
            self.ending = None
        return stays and self._after(fault, request)

    async def _read(self, first: bytes, drawn: Fault) -> tuple[Request, Fault, Answer | None]:
        """Read a request; return it, how it fares, and an answer where it asks for the impossible."""
        request = await read_head(self.reader, first)
        if not self.quota.take(time.monotonic()):
            drawn = BEYOND_QUOTA
        fault, refused = _forced(request, drawn)
        if fault.cut is not Cut.UPLOAD or not request.has_body:
            return await read_body(self.reader, request), fault, refused
        await self.reader.readexactly(1)
        return request, fault, refused

    def _prepare(self, request: Request, fault: Fault) -> Answer:
        if fault.status is None:
            return self.site.answer(request)
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return replace(as_json(fault.status, {"error": f"scripted {fault.name}"}), headers=headers)

    async def _answer(self, fault: Fault, answer: Answer, ending: Ending) -> bool:
        """Send the answer as far as the fault allows; return whether the connection stays."""
        await asyncio.sleep(self.dice.delay(fault))
        if fault.cut is Cut.RESTART:
            self.restart()
            await asyncio.Event().wait()  # until drop() ends us
        if self.reader.at_eof() or self.writer.is_closing():
            ending.left = True
            return False
        if fault.cut in (Cut.READ, Cut.UPLOAD):
            self._reset()
            return False
        ending.remaining, ending.retry_after = self.quota.remaining(), fault.retry_after
        headers = {"X-Request-Id": f"req_{ending.seq}", **self.quota.headers(time.monotonic()), "Set-Cookie": SESSION}
        if answer.location is not None:
            # So that whoever is asked next can say who sent them.
            sign = "&" if "?" in answer.location else "?"
            headers["Location"] = f"{answer.location}{sign}via={self.site.name}-{ending.seq}"
        return await self.delivery.send(answer, headers, fault.cut, ending)

    def _after(self, fault: Fault, request: Request) -> bool:
        if fault.cut is Cut.IDLE:
            self.journal.note("closed_idle")
            return False
        if fault.cut is Cut.NEXT:
            self._next = RESET_NEXT
        return request.headers.get("connection", "").lower() != "close"

    def _reset(self) -> None:
        peer = self.writer.get_extra_info("socket")
        if peer is not None and peer.fileno() >= 0:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self.writer.transport.abort()


def _forced(request: Request, drawn: Fault) -> tuple[Fault, Answer | None]:
    """Return the fault the request asks for, else the drawn one; and an answer where it asks for the impossible."""
    name = request.headers.get("x-fault")
    if name is None:
        return drawn, None
    fault = BY_NAME.get(name)
    if fault is None:
        return OK, as_json(400, {"error": f"X-Fault: {name!r} is none of {', '.join(BY_NAME)}"})
    if fault.cut is Cut.UNREAD:
        return OK, as_json(400, {"error": "X-Fault is read too late for that: use reset-next on the request before"})
    return fault, None
