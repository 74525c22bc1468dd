"""Calls that no class declares: ``provider.get("/repos/{owner}/{name}", ...)``, named by method and template."""

import re
from typing import Any, Protocol, TypeVar, overload

from buoy.provider.operation import BoundOperation

T = TypeVar("T")

_LONGEST = 48


def name_of(method: str, template: str) -> str:
    """Return the operation's name in telemetry: ``get.products.id`` for ``GET /products/{id}``, cut at 48."""
    words = re.findall(r"[a-z0-9_]+", template.lower())
    return ".".join([method.lower(), *words])[:_LONGEST].rstrip(".")


class Finder(Protocol):
    """Whoever makes the operation of an ad-hoc call, or finds the one that was made before."""

    def find(self, method: str, template: str, model: Any) -> BoundOperation[Any]:
        """Return the operation."""


class AdHoc:
    """One HTTP method of a provider, callable with a template."""

    __slots__ = ("_finder", "_method")

    def __init__(self, finder: Finder, method: str) -> None:
        self._finder = finder
        self._method = method

    @overload
    async def __call__(self, template: str, model: None = None, /, **fields: Any) -> Any: ...
    @overload
    async def __call__(self, template: str, model: type[T], /, **fields: Any) -> T: ...
    @overload
    async def __call__(self, template: str, model: Any, /, **fields: Any) -> Any: ...
    async def __call__(self, template: str, model: Any = None, /, **fields: Any) -> Any:
        """Call ``template`` and return the value; arguments and errors as for a declared operation.

        Ids go into ``fields``, never into the template: each template is an operation of its own.
        """
        return await self._finder.find(self._method, template, model)(**fields)


class Method:
    """The descriptor that gives a provider its ``get``, ``post``, ``put``, ``patch`` and ``delete``."""

    __slots__ = ("method",)

    def __init__(self, method: str) -> None:
        self.method = method

    @overload
    def __get__(self, instance: None, owner: type) -> "Method": ...
    @overload
    def __get__(self, instance: Finder, owner: type) -> AdHoc: ...
    def __get__(self, instance: Finder | None, owner: type) -> "Method | AdHoc":
        return self if instance is None else AdHoc(instance, self.method)
