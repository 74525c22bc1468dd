"""What HTTP adds to the public API, as callers use it. Never run: mypy and pyright, both strict, must agree with it."""

import math
from pathlib import Path
from ssl import SSLContext
from typing import assert_type

import aiohttp

import buoy


class Far(
    buoy.Provider,
    base_url="https://api.shop.example",
    auth=buoy.ApiKey("key", query="api_key"),
    rules=buoy.rules.stripe,
    propagate=False,
    redirects=0,
    trusted_origins=("https://eu.shop.example",),
    cookies=True,
    compress=1024,
    sizes=buoy.Sizes(body=2**20, decompressed=2**22, headers=2**14),
    connections=buoy.Connections(per_host=4, keep_alive=30, dns_cache=0, proxy="environment"),
):
    """Every option as a class keyword, and two as attributes."""

    timeout = buoy.Timeout(total=math.inf, first_byte=5, between_bytes=30)
    connections = buoy.Connections(ca=Path("ca.pem"), certificate="client.pem", key="client.key")

    upload = buoy.post("/files", sizes=buoy.Sizes(body=2**30))


class Misspelled(buoy.Provider, redirect=3):  # type: ignore[call-arg]  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
    """A class keyword that there is not."""


async def arguments(session: aiohttp.ClientSession, context: SSLContext) -> None:
    """Every option as an argument."""
    far = Far(
        session=session,
        headers={"X-Tenant": "a"},
        auth=buoy.Bearer("token"),
        redirects=2,
        trusted_origins=(),
        cookies=False,
        compress=None,
        sizes=buoy.Sizes(),
        connections=buoy.Connections(ssl=context),
        propagate=True,
        rules=None,
    )
    Far(redirect=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Far(redirects="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with far:
        await far.upload(data=buoy.Multipart(fields={"a": 1}, files={"f": buoy.File(Path("f"), content_type="x/y")}))
        assert_type(await far.drain(), buoy.Drained)
        drained = await far.drain(deadline=3)
        assert_type(drained.finished, int)
        assert_type(drained.cut["upload"], int)
