"""A WSGI application for gunicorn, with and without ``--preload``: a loop for each request."""

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import buoy


class Shop(buoy.Provider, base_url=os.environ["SHOP_URL"]):
    item = buoy.get("/items/{id}")


async def work(calls: int) -> None:
    async with Shop() as shop:
        for number in range(calls):
            await shop.item(id=number)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    asyncio.run(work(2))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"process": os.getpid(), "calls": 2}).encode()]


buoy.setup("wsgi")  # with --preload this runs in the master, before the workers are forked
