"""The parts of the transport that need no socket."""

from io import BytesIO
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from buoy.http.body import Decoder
from buoy.http.transport import Request

CANARY = "canary-30aa"


def request_of(data: bytes | None) -> Request:
    """Return a request whose every part that may be secret is the canary."""
    url = URL(f"https://api.example/{CANARY}?q={CANARY}")
    return Request("POST", url, CIMultiDict({"Authorization": CANARY}), data, Decoder[Any]("shop make", None))


def test_a_request_shows_its_method_and_origin_only() -> None:
    """Path values, query, headers and body are in no repr: tracebacks with locals print them."""
    assert repr(request_of(CANARY.encode())) == "<Request POST https://api.example>"


@pytest.mark.parametrize("data", [None, b"", b"x" * (2**20 - 1)], ids=["none", "empty", "small"])
def test_a_small_body_is_sent_as_it_is(data: bytes | None) -> None:
    """Up to 1 MiB the bytes themselves are handed on, the same for every send."""
    assert data is request_of(data).payload()


def test_a_large_body_is_a_new_file_for_every_send() -> None:
    """From 1 MiB on each send reads a file of its own from its beginning."""
    body = b"x" * 2**20
    request = request_of(body)
    for _ in range(2):
        payload = request.payload()
        assert isinstance(payload, BytesIO)
        assert body == payload.read()
