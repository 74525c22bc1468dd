"""A WSGI application for gunicorn's threads: one loop and one provider for each worker process, used by its threads."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import buoy


class Shop(buoy.Provider, base_url=os.environ["SHOP_URL"]):
    item = buoy.get("/items/{id}")


class Calls:
    """A loop in a thread of its own. It is made with the first request, which is after the fork."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._shop = self.wait(Shop().__aenter__())

    def wait(self, calls: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(calls, self._loop).result()

    async def work(self, calls: int) -> None:
        for number in range(calls):
            await self._shop.item(id=number)


@cache
def calls() -> Calls:
    return Calls()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    calls().wait(calls().work(2))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"process": os.getpid(), "calls": 2}).encode()]


buoy.setup("threads")
