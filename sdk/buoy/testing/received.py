"""A request as a scripted provider got it."""

import json
from dataclasses import dataclass, field
from typing import Any

from multidict import CIMultiDictProxy, MultiDictProxy


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request, read to its end; its repr shows no more than method and path.

    ``path`` is percent-encoded, as on the wire, and without the query; ``body`` is what was meant: chunks are put
    together, and compression is undone.
    """

    method: str
    path: str
    query: MultiDictProxy[str] = field(repr=False)
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body, decoded."""
        return json.loads(self.body)
