"""What aiohttp 3.14 leaves open about a connection: when a request begins to leave, and who answers it.

A request goes over no connection that has talked before it was asked.
"""

from collections.abc import Coroutine
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

_SPOILT = 3  # connections in a row; a server that talks before it is asked spoils each


class SpoiltError(aiohttp.ServerDisconnectedError):
    """A connection has an answer in it before anything was asked: it is not used, and nothing was sent."""


class Observed(aiohttp.ClientRequest):
    """aiohttp's request, which also tells whether it has begun to leave: that decides what a fault proves.

    ``protocol`` parses the answer; there is none where a test's session answers by itself.
    """

    leaving = False
    protocol: ResponseHandler | None = None

    def send(self, conn: Any) -> Coroutine[Any, Any, aiohttp.ClientResponse]:
        """Begin to send it. Raises :class:`SpoiltError`."""
        # What came over an idle connection answers nothing (RFC 9112 section 9.2). aiohttp 3.14 would hand it to this
        # request (aiohttp#13656).
        if conn.protocol.should_close:
            raise SpoiltError
        self.leaving = True
        self.protocol = conn.protocol
        return super().send(conn)


async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send what was to go over a spoilt connection over the next one that is not."""
    for _ in range(_SPOILT - 1):
        try:
            return await handler(request)
        except SpoiltError:
            continue
    return await handler(request)
