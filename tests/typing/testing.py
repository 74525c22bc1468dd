"""The test kit as its users' tests call it. Never run: mypy and pyright, both strict, read it and must agree."""

from typing import Any, assert_type

from aioresponses import aioresponses
from multidict import CIMultiDictProxy, MultiDictProxy

import buoy.testing


async def scripted() -> None:
    """Say what is answered, in every way that there is."""
    async with buoy.testing.ScriptedProvider(strict=False) as remote:
        assert_type(remote, buoy.testing.ScriptedProvider)
        assert_type(remote.url, str)
        remote.answer("GET", "/products/7", json={"id": "7"})
        remote.answer("GET", "/products/7", status=503, headers={"Retry-After": "1"}, times=2)
        remote.answer("GET", "/products/7", body=b"", always=True)
        remote.cut("POST", "/orders")
        remote.cut("POST", "/orders", after=3, body="text", status=201)
        hanging = remote.hang("GET", "/slow", after=0, json=[1])
        assert_type(hanging, buoy.testing.Hang)
        await hanging.arrived()
        hanging.release()
        remote.answer("GET", "/products/7", text="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        remote.answer("GET", "/products/7", after=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        for request in remote.requests:
            assert_type(request, buoy.testing.ReceivedRequest)
            assert_type(request.query, MultiDictProxy[str])
            assert_type(request.headers, CIMultiDictProxy[str])
            assert_type(request.body, bytes)
            assert_type(request.json(), Any)


def mocked(buoy_aioresponses: aioresponses) -> None:
    """The fixture's type is the package's own, and so is what the block gives."""
    assert_type(buoy_aioresponses, aioresponses)
    with buoy.testing.aioresponses(passthrough=["http://127.0.0.1"], passthrough_unmatched=True) as also:
        assert_type(also, aioresponses)
