"""The server of the benchmarks, in a process of its own: one small JSON answer, keep-alive, nothing else."""

import asyncio
import sys

_BODY = b'{"id": "7", "name": "buoy", "price": 1250, "tags": ["red", "steel"]}'
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + str(len(_BODY)).encode() + b"\r\n\r\n"
) + _BODY


class _Answering(asyncio.Protocol):
    """Answers each request that ends in an empty line; requests of the benchmarks have no body."""

    def __init__(self) -> None:
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        if self._transport is not None and requests:
            self._transport.write(_ANSWER * len(requests))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # the benchmark ends by closing our standard input


if __name__ == "__main__":
    asyncio.run(_serve())
