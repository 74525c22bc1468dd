"""``Provider``: the remote party. It checks a declaration, opens in a loop, counts calls in and out, and closes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, overload

from multidict import CIMultiDict

from buoy import options, runtime
from buoy.contract import OTHER
from buoy.errors import ConfigurationError
from buoy.http.auth import Auth
from buoy.http.transport import HttpTransport
from buoy.http.url import Base, parse_base
from buoy.outcome import Safety, Transport
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.provider import declaration
from buoy.provider.adhoc import Method, name_of
from buoy.provider.function import FunctionOperation
from buoy.provider.operation import INHERIT, BoundOperation, Inherit, Operation, Spec, specify
from buoy.result import HttpResult
from buoy.telemetry.names import HOST, HttpNames, OperationNames
from buoy.version import __version__

P = ParamSpec("P")
T = TypeVar("T")

# Ad-hoc operations that a provider keeps ready; further ones are made for each call.
_KEPT = 256


class _State(Enum):
    NEW = "has not been entered: use it inside 'async with'"
    OPENING = "is being entered: use it inside 'async with'"
    OPEN = "is open"
    CLOSING = "is closing: the 'async with' block is being left"
    CLOSED = "is closed: the 'async with' block was left"


class Provider:
    """A remote party and what it does.

    Subclass it and declare operations, or make one with ``Provider("name", base_url=...)``; without a ``base_url`` it
    wraps coroutines of yours. Enter it with ``async with``: it then belongs to that event loop. Policies are class
    attributes, class keywords or arguments, ``None`` switches one off. ``name`` defaults to the class name in
    snake_case. ``auth`` signs every request; ``headers`` are added to each; ``propagate=False`` keeps ``traceparent``
    from the provider. Raises :class:`ConfigurationError` for what cannot work.
    """

    label: str
    retry: Retry | None = Retry()
    timeout: Timeout | None = Timeout()
    auth: Auth | None = None
    propagate: bool = True

    get = Method("GET")
    post = Method("POST")
    put = Method("PUT")
    patch = Method("PATCH")
    delete = Method("DELETE")

    _name: ClassVar[str | None] = None
    _base_url: ClassVar[str | None] = None
    _declared: ClassVar[Mapping[str, Operation[Any]]] = {}

    def __init_subclass__(cls, *, base_url: str | None = None, name: str | None = None, **policies: Any) -> None:
        super().__init_subclass__()
        owner = cls.__name__
        unknown = sorted(set(policies) - declaration.POLICIES)
        if unknown:
            allowed = ", ".join(["base_url", "name", *sorted(declaration.POLICIES)])
            msg = f"{owner}: unknown class keyword {', '.join(unknown)}; allowed are {allowed}."
            raise ConfigurationError(msg)
        for option, value in policies.items():
            setattr(cls, option, value)
        cls._name = options.name(owner, "name", declaration.snake_case(owner) if name is None else name)
        if base_url is not None:
            parse_base(owner, base_url)
            cls._base_url = base_url
        cls._declared = declaration.collect(cls, Provider)
        declaration.check_policies(owner, cls)

    def __init__(  # the options of a provider, each a keyword
        self,
        name: str | None = None,
        *,
        base_url: str | None = None,
        auth: Auth | None = None,
        headers: Mapping[str, str] | None = None,
        retry: Retry | Inherit | None = INHERIT,
        timeout: Timeout | Inherit | None = INHERIT,
        propagate: bool | None = None,
    ) -> None:
        self.label = options.name(type(self).__name__, "name", name if name is not None else self._name)
        if not isinstance(retry, Inherit):
            self.retry = retry
        if not isinstance(timeout, Inherit):
            self.timeout = timeout
        if auth is not None:
            self.auth = auth
        if propagate is not None:
            self.propagate = propagate
        declaration.check_policies(self.label, self)
        address = base_url if base_url is not None else self._base_url
        self._base: Base | None = None if address is None else parse_base(self.label, address)
        self._headers = declaration.checked_headers(self.label, headers)
        self._state = _State.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: HttpTransport | None = None
        self._budgets: runtime.Budgets | None = None
        self._in_flight = 0
        self._idle: asyncio.Future[None] | None = None
        self._functions: dict[str, FunctionOperation[Any, Any]] = {}
        self._adhoc: dict[tuple[str, str, Any], tuple[BoundOperation[Any], Spec]] = {}
        self._bound = {
            operation.name: self._bind(attribute, operation) for attribute, operation in self._declared.items()
        }
        runtime.names().declare(self.label, self._declaration())

    def __repr__(self) -> str:
        where = "" if self._base is None else f" {self._base.prefix}"
        return f"<{type(self).__name__} {self.label}{where} {self._state.name.lower()}>"

    # Opening and closing.

    async def __aenter__(self) -> Self:
        """Open in the running loop."""
        if self._state not in {_State.NEW, _State.CLOSED}:
            msg = f"provider {self.label!r} is entered already; it can be open in one place at a time."
            raise RuntimeError(msg)
        self._state = _State.OPENING
        loop = self._loop = asyncio.get_running_loop()
        self._budgets = runtime.Budgets(loop, self.label)
        if self._base is not None:
            self._transport = HttpTransport(f"buoy/{__version__}")
        for name, (operation, spec) in self._bound.items():
            self._wire(operation, name, spec)
        for function in self._functions.values():
            self._plan_function(loop, function)
        self._adhoc.clear()
        try:
            await runtime.announce()
        except BaseException:  # cancelled: nobody leaves what was not entered
            await self._close()
            raise
        self._state = _State.OPEN
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take no more calls, let those in flight end (their deadlines bound that), and close the connections."""
        self._state = _State.CLOSING
        try:
            if self._in_flight:
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
        finally:
            await self._close()

    async def _close(self) -> None:
        self._state = _State.CLOSED
        self._budgets = None
        runtime.flush()
        if self._transport is not None:
            await self._transport.close()

    def enter_call(self) -> asyncio.AbstractEventLoop:
        """Count a call in, or raise ``RuntimeError`` when the provider is not open in the running loop."""
        loop = asyncio.get_running_loop()
        if self._state is not _State.OPEN:
            msg = f"provider {self.label!r} {self._state.value}."
            raise RuntimeError(msg)
        if loop is not self._loop:
            msg = f"provider {self.label!r} belongs to the event loop that entered it; enter one of your own here."
            raise RuntimeError(msg)
        self._in_flight += 1
        return loop

    def leave_call(self) -> None:
        """Count a call out."""
        self._in_flight -= 1
        if self._idle is not None and not self._in_flight and not self._idle.done():
            self._idle.set_result(None)

    # Calls over HTTP.

    @overload
    async def request(self, method: str, template: str, model: None = None, /, **fields: Any) -> HttpResult[Any]: ...
    @overload
    async def request(self, method: str, template: str, model: type[T], /, **fields: Any) -> HttpResult[T]: ...
    @overload
    async def request(self, method: str, template: str, model: Any, /, **fields: Any) -> HttpResult[Any]: ...
    async def request(self, method: str, template: str, model: Any = None, /, **fields: Any) -> HttpResult[Any]:
        """Call what no class declares, and return the whole result; arguments and errors as for an operation."""
        return await self.find(method, template, model).call(**fields)

    def find(self, method: str, template: str, model: Any) -> BoundOperation[Any]:
        """Return the operation of an ad-hoc call."""
        key = (method, template, _identity(model))
        found = self._adhoc.get(key)
        if found is not None:
            return found[0]
        self._need_base(f"{method} {template}")
        spec = specify(str(method).upper(), template, model)
        name = name_of(spec.method, template)
        operation: BoundOperation[Any] = BoundOperation(self, spec, f"{self.label} {name}")
        if self._state is not _State.OPEN or asyncio.get_running_loop() is not self._loop:
            return operation  # calling it says what is wrong
        room = runtime.names().admit(self.label, name)
        self._wire(operation, name if room else OTHER, spec)
        if len(self._adhoc) < _KEPT:
            self._adhoc[key] = (operation, spec)
        return operation

    def prefix(self) -> str:
        """Return the base URL without a slash at the end."""
        assert self._base is not None  # noqa: S101  # checked when the operation was made
        return self._base.prefix

    def base_headers(self) -> CIMultiDict[str]:
        """Return the headers of every request, credentials included; to be copied, not changed."""
        if self.auth is None:
            return self._headers
        headers = self._headers.copy()
        headers.update(self.auth.headers())
        return headers

    # Wrapped coroutines.

    def operation(
        self,
        name: str,
        *,
        safety: Safety | str = Safety.UNSAFE,
        retry: Retry | Inherit | None = INHERIT,
        timeout: Timeout | Inherit | None = INHERIT,
        retry_on: tuple[type[Exception], ...] | type[Exception] = (),
    ) -> Callable[[Callable[P, Awaitable[T]]], FunctionOperation[P, T]]:
        """Wrap a coroutine function as an operation of this provider.

        ``safety`` says what repeating it does: ``safe``, ``idempotent``, ``keyed`` (it takes ``idempotency_key``) or
        ``unsafe``. ``retry_on`` names exceptions to be retried that our table does not know. Raises
        :class:`ConfigurationError`.
        """
        options.name(self.label, "operation", name)

        def wrap(function: Callable[P, Awaitable[T]]) -> FunctionOperation[P, T]:
            if name in self._functions or name in self._bound:
                msg = f"provider {self.label!r} has an operation {name!r} already."
                raise ConfigurationError(msg)
            kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
            wrapped = FunctionOperation(
                self, name, function, safety=safety, retry=retry, timeout=timeout, retry_on=kinds
            )
            runtime.names().add(self.label, name)
            self._functions[name] = wrapped
            if self._state in {_State.OPENING, _State.OPEN} and self._loop is not None:
                self._plan_function(self._loop, wrapped)
            return wrapped

        return wrap

    # Wiring.

    def _bind(self, attribute: str, operation: Operation[Any]) -> tuple[BoundOperation[Any], Spec]:
        self._need_base(operation.name)
        bound: BoundOperation[Any] = BoundOperation(self, operation.spec, f"{self.label} {operation.name}")
        self.__dict__[attribute] = bound
        return bound, operation.spec

    def _need_base(self, what: str) -> None:
        if self._base is None:
            msg = f"provider {self.label!r}: {what!r} needs a base_url, and none was given."
            raise ConfigurationError(msg)

    def _wire(self, operation: BoundOperation[Any], name: str, spec: Spec) -> None:
        base, loop, transport, budgets = self._base, self._loop, self._transport, self._budgets
        assert base is not None  # noqa: S101  # checked when the operation was bound
        assert loop is not None  # noqa: S101  # the provider is being entered, or is open
        assert transport is not None  # noqa: S101  # the same
        assert budgets is not None  # noqa: S101  # the same
        template = f"/{OTHER}" if name == OTHER else spec.template.text
        retry = self.retry if isinstance(spec.retry, Inherit) else spec.retry
        operation.send = transport.send
        operation.plan = runtime.plan(
            loop,
            OperationNames(
                provider=self.label,
                operation=name,
                transport=Transport.HTTP,
                safety=spec.safety,
                http=HttpNames(
                    method=spec.method,
                    template=template,
                    url=base.prefix + template,
                    host=base.host,
                    port=base.port,
                ),
                propagate=self.propagate,
                folded=name == OTHER,
            ),
            retry=retry,
            timeout=self.timeout if isinstance(spec.timeout, Inherit) else spec.timeout,
            budget=budgets.of(retry),
        )

    def _plan_function(self, loop: asyncio.AbstractEventLoop, function: FunctionOperation[Any, Any]) -> None:
        assert self._budgets is not None  # noqa: S101  # the provider is being entered, or is open
        retry = self.retry if isinstance(function.retry, Inherit) else function.retry
        function.plan = runtime.plan(
            loop,
            OperationNames(
                provider=self.label,
                operation=function.name,
                transport=Transport.FUNCTION,
                safety=function.safety,
            ),
            retry=retry,
            timeout=self.timeout if isinstance(function.timeout, Inherit) else function.timeout,
            retry_on=function.retry_on,
            budget=self._budgets.of(retry),
        )

    def _declaration(self) -> dict[str, str]:
        operations = {name: f"{spec.method} {spec.template.text}" for name, (_, spec) in self._bound.items()}
        return operations if self._base is None else {**operations, HOST: self._base.prefix}


def _identity(model: Any) -> Any:
    """Return what tells an ad-hoc model from others: ``list[Item]`` is a new object each time, and yet the same."""
    try:
        hash(model)
    except TypeError:
        return id(model)  # the kept operation keeps the model alive
    return model
