"""``buoy.get``, ``post``, ``put``, ``patch`` and ``delete``: how an operation is declared on a provider's class."""

from typing import Any, TypeVar, Unpack, overload

from buoy.http.sizes import Sizes
from buoy.outcome import Safety
from buoy.provider.operation import Operation, specify
from buoy.provider.policies import PolicyOptions

T = TypeVar("T")


class Options(PolicyOptions, total=False):
    """What a declaration may say besides method, template and model; policies override the provider's."""

    name: str | None
    safety: Safety | str | None
    key_header: str | None
    key_quoted: bool
    sizes: Sizes


class Declare:
    """Declares operations of one HTTP method.

    ``template`` is a path like ``"/products/{id}"``; ``model`` anything pydantic's ``TypeAdapter`` takes, ``None`` for
    decoded JSON, text or bytes by content type. ``name`` defaults to the attribute's name. ``key_header`` says that the
    provider honours idempotency keys, in which header; a call then carries one, and is safe to repeat; ``key_quoted``
    sends it as a quoted string, as the draft of that header wants it. ``safety`` says what repeating does where the
    method does not tell (a search by POST is ``"safe"``). ``sizes`` bounds its answers.
    Raises :class:`ConfigurationError`.
    """

    __slots__ = ("method",)

    def __init__(self, method: str) -> None:
        self.method = method

    @overload
    def __call__(self, template: str, model: None = None, **options: Unpack[Options]) -> Operation[Any]: ...
    @overload
    def __call__(self, template: str, model: type[T], **options: Unpack[Options]) -> Operation[T]: ...
    @overload
    def __call__(self, template: str, model: Any, **options: Unpack[Options]) -> Operation[Any]: ...
    def __call__(self, template: str, model: Any = None, **options: Unpack[Options]) -> Operation[Any]:
        """Declare one operation."""
        return Operation(specify(self.method, template, model, **options))

    def __repr__(self) -> str:
        return f"buoy.{self.method.lower()}"


get = Declare("GET")
post = Declare("POST")
put = Declare("PUT")
patch = Declare("PATCH")
delete = Declare("DELETE")
