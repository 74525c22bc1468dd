"""The OTLP receiver of the benchmarks, in a process of its own: takes everything, and counts spans when it is asked.

``GET /spans`` answers how many have come since the start, by the ``service.name`` that sent them. Nothing is decoded
before, so that no work of the receiver falls into a measurement; with ``--forget`` nothing is kept at all.
"""

import asyncio
import json
import sys
from collections import Counter

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Bodies = list[bytes]


class _Receiving(asyncio.Protocol):
    """Answers each request with an empty message, which in OTLP means that all was accepted."""

    def __init__(self, kept: Bodies | None, counted: Counter[str]) -> None:
        self._kept = kept
        self._counted = counted
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            head = self._rest[:end]
            length = next(
                (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
            )
            whole = end + 4 + length
            if len(self._rest) < whole:
                return
            body, self._rest = self._rest[end + 4 : whole], self._rest[whole:]
            self._take(head.split(b" ")[1], body)

    def _take(self, path: bytes, body: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        if path == b"/spans":
            answer, kind = json.dumps(self._count()).encode(), b"application/json"
        else:
            answer, kind = b"", b"application/x-protobuf"
            if path == b"/v1/traces" and self._kept is not None:
                self._kept.append(body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(answer))
        self._transport.write(head + answer)

    def _count(self) -> Counter[str]:
        for body in self._kept or ():
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = (item.value.string_value for item in spans.resource.attributes if item.key == "service.name")
                self._counted[next(names, "")] += sum(len(scope.spans) for scope in spans.scope_spans)
        if self._kept is not None:
            self._kept.clear()
        return self._counted


async def _serve(kept: Bodies | None) -> None:
    loop, counted = asyncio.get_running_loop(), Counter[str]()
    server = await loop.create_server(lambda: _Receiving(kept, counted), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # the benchmark ends by closing our standard input


if __name__ == "__main__":
    asyncio.run(_serve(None if "--forget" in sys.argv else []))
