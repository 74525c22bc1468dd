"""What one call asks for over HTTP, and what it gets."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from multidict import CIMultiDict
from yarl import URL

from buoy.http.body import Decoder
from buoy.http.payload import NOTHING
from buoy.http.redirect import Body, Hop
from buoy.http.sizes import Sizes
from buoy.http.upload import Payload


class Request:
    """What one call sends, the same on every try. The secrets in it stay out of its repr."""

    __slots__ = ("decoder", "headers", "method", "payload", "sizes", "url")

    def __init__(  # noqa: PLR0917  # on the way of every call: positions cost half of what names do
        self,
        method: str,
        url: URL,
        headers: CIMultiDict[str],
        payload: Payload,
        decoder: Decoder[Any],
        sizes: Sizes,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.payload = payload
        self.decoder = decoder
        self.sizes = sizes

    def identity(self) -> tuple[object, ...]:
        """Return all of it in a form that is equal for identical requests."""
        # A body that is not known in advance equals none but itself.
        sent = getattr(self.payload, "identity", self.payload)
        return self.method, str(self.url), tuple(self.headers.items()), sent

    def first(self) -> Hop:
        """Return it as the first of a chain of redirects, when it has been sent."""
        payload = self.payload
        state = Body.NONE if payload is NOTHING else Body.SPENT if payload.spent else Body.REPLAYABLE
        return Hop(self.method, self.url, self.headers, state)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.origin()}>"


class Answer(NamedTuple):
    """A complete answer."""

    value: Any
    status: int
    headers: Mapping[str, str]
