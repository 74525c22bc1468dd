"""An ASGI application for uvicorn: one provider for each worker, from its first request to its last."""

import json
import os
from typing import Any

import buoy


class Shop(buoy.Provider, base_url=os.environ["SHOP_URL"]):
    item = buoy.get("/items/{id}")


class App:
    """Sets up telemetry when the worker starts, and drains when it ends."""

    def __init__(self) -> None:
        self.shop = Shop()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
        else:
            await self.request(send)

    async def lifespan(self, receive: Any, send: Any) -> None:
        await receive()  # lifespan.startup
        buoy.setup("asgi")
        async with self.shop:
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown: uvicorn has answered its last request
        await buoy.drain()
        await send({"type": "lifespan.shutdown.complete"})

    async def request(self, send: Any) -> None:
        for number in range(2):
            await self.shop.item(id=number)
        body = json.dumps({"process": os.getpid(), "calls": 2}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


app = App()
