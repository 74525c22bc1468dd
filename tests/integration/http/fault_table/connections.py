"""Faults of connections: they end within an answer, before it, or while nobody uses them."""

from dataclasses import replace

from buoy import ErrorType, Outcome
from tests.integration.http.fault_table.row import (
    ANSWERED,
    ANSWERED_LAST,
    BODY,
    DISCONNECTED,
    RESET,
    TRUNCATED,
    Becomes,
    Cut,
    Ending,
    Row,
    Section,
    lost,
    said,
)
from tests.integration.http.fault_table.wire import Meddle, on_idle, on_wire, sized, unbounded
from tests.support.faults import End, FaultyServer, Peer, close_read, reset_read, reset_unread, say, turns

# As short as they can be: each is cut before every byte.
_STATUS = b"HTTP/1.1 200 OK\r\n"
UNBOUNDED = "no length"
ANSWERS = {
    "Content-Length": (_STATUS + b"Content-Length: 3\r\n\r\n", BODY),
    "chunked": (_STATUS + b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\n[7\r\n1\r\n]\r\n0\r\n\r\n"),
    UNBOUNDED: (_STATUS + b"\r\n", BODY),
}
_ENDS: dict[str, tuple[End, Becomes]] = {"closed": (Peer.close, DISCONNECTED), "reset": (Peer.reset, RESET)}


def _cuts() -> list[Cut]:
    found = []
    for framing, (head, body) in ANSWERS.items():
        for how, (end, in_head) in _ENDS.items():
            whole = head + body
            parts = [
                ("the status line", 0, len(_STATUS), in_head),
                ("the headers", len(_STATUS), len(head), in_head),
                ("the body", len(head), len(whole), TRUNCATED),
            ]
            if framing == UNBOUNDED:
                # Closed, it would be a whole answer to everybody; a reset is the end of nothing.
                parts[2:] = (
                    [] if how == "closed" else [("the body", len(head), len(whole) + 1, lost("connection_lost"))]
                )
            found += [
                Cut(
                    fault=f"{how} before each byte of {part} ({framing})",
                    answer=whole,
                    end=end,
                    start=start,
                    stop=stop,
                    becomes=becomes,
                )
                for part, start, stop, becomes in parts
            ]
    return found


BREAKING_OFF = Section(
    title="Answers that break off",
    text="Before the headers are complete aiohttp sends a GET once more by itself, and that is counted.",
    rows=[
        Row(fault="reset at the first byte of the request", stage=on_wire(reset_unread), becomes=RESET),
        Row(fault="reset when the request was read", stage=on_wire(reset_read), becomes=RESET),
        Row(fault="closed when the request was read", stage=on_wire(close_read), becomes=DISCONNECTED),
        Row(
            fault="closed after `100 Continue`",
            stage=on_wire(say(b"HTTP/1.1 100 Continue\r\n\r\n", end=Peer.close)),
            becomes=DISCONNECTED,
        ),
        Row(
            fault="closed after nothing but empty lines",
            stage=on_wire(say(b"\r\n\r\n\r\n", end=Peer.close)),
            becomes=DISCONNECTED,
        ),
        Row(
            fault="closed within a body of no length: nobody can tell",
            stage=on_wire(say(unbounded(), end=Peer.close)),
            becomes=ANSWERED_LAST,
        ),
        Row(
            fault="closed after the answer, though it said nothing of it",
            stage=on_wire(say(sized(), end=Peer.close)),
            becomes=ANSWERED_LAST,
        ),
        Row(
            fault="reset after the answer",
            stage=on_wire(say(sized(), end=Peer.reset)),
            becomes=ANSWERED_LAST,
        ),
    ],
    cuts=_cuts(),
)


def _unasked(words: bytes) -> Meddle:
    """Return what writes these bytes while nobody waits for any."""

    async def meddle(server: FaultyServer) -> None:
        await server.connections[0].write(words)

    return meddle


async def _closed(server: FaultyServer) -> None:
    server.connections[0].cut()


async def _reset(server: FaultyServer) -> None:
    server.connections[0].reset()


async def _closed_and_noticed(server: FaultyServer) -> None:
    server.connections[0].close()
    await turns()


async def _reset_and_noticed(server: FaultyServer) -> None:
    server.connections[0].reset()
    await turns()


async def _told_to_go(server: FaultyServer) -> None:
    await server.connections[0].write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    server.connections[0].close()
    await turns()


_WELL = Becomes(Ending(value={}, kept=True), Ending(value={}, kept=True))


def _too_late(becomes: Becomes) -> Becomes:
    """It was written to a connection that was no more: none of it arrived. aiohttp sends a GET again, and well."""
    assert becomes.write is not None
    return Becomes(Ending(value={}, kept=True, sends=2), replace(becomes.write, arrived=0))


IDLE = Section(
    title="Connections that end or talk between two calls",
    text="What comes over an idle connection answers nothing (RFC 9112 section 9.2): the next call takes another one.\n"
    "Written to a connection that was no more, a GET is sent again by aiohttp, and counted; a POST is in doubt.",
    rows=[
        Row(fault="closed, not yet noticed", stage=on_idle(_closed), becomes=_too_late(DISCONNECTED)),
        Row(fault="reset, not yet noticed", stage=on_idle(_reset), becomes=_too_late(RESET)),
        Row(fault="closed and noticed", stage=on_idle(_closed_and_noticed), becomes=_WELL),
        Row(fault="reset and noticed", stage=on_idle(_reset_and_noticed), becomes=_WELL),
        Row(fault="a 408, and closed", stage=on_idle(_told_to_go), becomes=_WELL),
        Row(fault="an answer nobody asked for", stage=on_idle(_unasked(sized())), becomes=_WELL),
        Row(
            fault="an error nobody asked for",
            stage=on_idle(_unasked(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")),
            becomes=_WELL,
        ),
        Row(
            fault="a `100 Continue` nobody asked for",
            stage=on_idle(_unasked(b"HTTP/1.1 100 Continue\r\n\r\n")),
            becomes=_WELL,
        ),
        Row(
            fault="half an answer nobody asked for",
            stage=on_idle(_unasked(sized(length=9))),
            becomes=_WELL,
        ),
        Row(fault="half a status line", stage=on_idle(_unasked(b"HTTP/1.1 20")), becomes=_WELL),
        Row(fault="garbage", stage=on_idle(_unasked(b"\0\xffgarbage")), becomes=_WELL),
        Row(fault="empty lines", stage=on_idle(_unasked(b"\r\n\r\n")), becomes=_WELL),
    ],
)


async def _early(peer: Peer) -> None:
    await peer.first()
    await peer.write(sized())
    await peer.read()


async def _early_and_closed(peer: Peer) -> None:
    await peer.first()
    await peer.reader.readuntil(b"\r\n\r\n")
    await peer.write(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    peer.close()


EARLY = Section(
    title="Answers before the request was read",
    text="An answer counts once the request has begun to leave.",
    rows=[
        Row(fault="answered at the first byte", stage=on_wire(_early), becomes=ANSWERED),
        Row(
            fault="answered at the first byte of a request of 8 MiB",
            stage=on_wire(_early),
            becomes=Becomes(Ending(value=[7], kept=True), Ending(value=[7])),
            body=bytes(2**23),
        ),
        Row(
            fault="a 413 after the headers of a request of 8 MiB, then closed",
            stage=on_wire(_early_and_closed),
            becomes=said(ErrorType.CLIENT_ERROR, Outcome.REJECTED, kept=False),
            body=bytes(2**23),
        ),
    ],
)
