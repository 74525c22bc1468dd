"""What a demo server serves: a site and its routes. Knows no connections and no data."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from buoy.cli.demo.wire import Answer, Request


class Route(NamedTuple):
    """One operation that a site offers."""

    method: str
    template: str

    @property
    def operation(self) -> str:
        """The name under which requests for it are logged."""
        return f"{self.method} {self.template}"

    def match(self, path: str) -> str | None:
        """Return the id in ``path`` ("" where the template has none), or ``None`` where it is another path."""
        found = re.fullmatch(self.template.replace("{id}", "([^/]+)"), path)
        if found is None:
            return None
        return found[1] if found.groups() else ""


class Site(Protocol):
    """A site, and what it answers."""

    @property
    def name(self) -> str:
        """What its requests are known by, with their number, where a redirect leads on."""

    def operation(self, request: Request) -> str:
        """Return the operation a request asks for, in bounded words."""

    def key_number(self, request: Request) -> int | None:
        """Return which idempotency key the request carries, as a number: equal keys, equal numbers, no secret."""

    def answer(self, request: Request) -> Answer:
        """Do what the request asks for."""


def find(routes: Sequence[Route], request: Request) -> tuple[Route | None, str]:
    """Return the route of a request, and the id in its path."""
    for route in routes:
        name = route.match(request.path)
        if name is not None and route.method == request.method:
            return route, name
    return None, ""


def operation(routes: Sequence[Route], request: Request) -> str:
    """Return the name under which a request is logged."""
    route, _ = find(routes, request)
    return route.operation if route else f"{request.method} _OTHER"
