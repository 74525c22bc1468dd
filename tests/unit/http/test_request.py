"""What a call asks for, as it may be shown."""

from typing import Any

from multidict import CIMultiDict
from yarl import URL

from buoy.http.body import Decoder
from buoy.http.payload import prepare
from buoy.http.request import Request
from buoy.http.sizes import Sizes

CANARY = "canary-30aa"


def request_of(data: bytes) -> Request:
    """Return a request whose every part that may be secret is the canary."""
    url = URL(f"https://api.example/{CANARY}?q={CANARY}")
    headers = CIMultiDict({"Authorization": CANARY})
    return Request("POST", url, headers, prepare("shop make", data=data), Decoder[Any]("shop make", None), Sizes())


def test_a_request_shows_its_method_and_origin_only() -> None:
    """Path values, query, headers and body are in no repr: tracebacks with locals print them."""
    assert repr(request_of(CANARY.encode())) == "<Request POST https://api.example>"
