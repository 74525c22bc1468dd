"""``Provider``: the remote party. It checks what is declared, opens, is called, and closes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, Unpack, overload

from multidict import CIMultiDict
from yarl import URL

from buoy import options, runtime
from buoy.contract import OTHER
from buoy.errors import ConfigurationError
from buoy.http.auth import Auth
from buoy.http.credentials import AuthFunction, Signer
from buoy.http.dialects import COMMON
from buoy.http.location import origin
from buoy.http.rules import Rules, resolve
from buoy.http.transport import HttpTransport
from buoy.http.url import Base, parse_base
from buoy.options import INHERIT, Inherit
from buoy.outcome import Safety
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.provider import declaration
from buoy.provider.adhoc import Method, name_of
from buoy.provider.control import Control
from buoy.provider.declaration import ClassKeywords
from buoy.provider.function import FunctionOperation
from buoy.provider.lifetime import Lifetime, State
from buoy.provider.operation import BoundOperation, Operation, Spec, specify
from buoy.provider.policies import Breakers, Limits, Policies, PolicyOptions, check_cost, chosen, rates
from buoy.provider.snapshot import Snapshot, take
from buoy.provider.wiring import Wiring
from buoy.result import HttpResult
from buoy.telemetry.names import HOST
from buoy.version import __version__

P = ParamSpec("P")
T = TypeVar("T")

# Ad-hoc operations that a provider keeps ready; further ones are made for each call.
_KEPT = 256


class Provider:
    """A remote party and what it does.

    Subclass it and declare operations, or make one with ``Provider("name", base_url=...)``; without a ``base_url`` it
    wraps coroutines of yours. Enter it with ``async with``: it then belongs to that event loop. Policies are class
    attributes, class keywords or arguments, ``None`` switches one off; an operation may name its own. ``name`` defaults
    to the class name in snake_case. ``auth`` signs every request; ``headers`` are added to each; ``rules`` say how the
    provider tells what went wrong (``buoy.rules``); ``propagate=False`` keeps ``traceparent`` from it. Raises
    :class:`ConfigurationError` for what cannot work.
    """

    label: str
    retry: Retry | None = Retry()
    timeout: Timeout | None = Timeout()
    breaker: Breaker | None = Breaker()
    limit: Limits | None = None
    concurrency: Concurrency | None = None
    auth: Auth | AuthFunction | None = None
    rules: Rules = ()
    propagate: bool = True

    get = Method("GET")
    post = Method("POST")
    put = Method("PUT")
    patch = Method("PATCH")
    delete = Method("DELETE")

    _name: ClassVar[str | None] = None
    _base_url: ClassVar[str | None] = None
    _declared: ClassVar[Mapping[str, Operation[Any]]] = {}

    def __init_subclass__(
        cls, *, base_url: str | None = None, name: str | None = None, **policies: Unpack[ClassKeywords]
    ) -> None:
        super().__init_subclass__()
        owner = cls.__name__
        declaration.check_keywords(owner, policies)
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
        auth: Auth | AuthFunction | None = None,
        headers: Mapping[str, str] | None = None,
        retry: Retry | Inherit | None = INHERIT,
        timeout: Timeout | Inherit | None = INHERIT,
        breaker: Breaker | Inherit | None = INHERIT,
        limit: Limits | Inherit | None = INHERIT,
        concurrency: Concurrency | Inherit | None = INHERIT,
        rules: Rules | Inherit = INHERIT,
        propagate: bool | None = None,
    ) -> None:
        self.label = options.name(type(self).__name__, "name", name if name is not None else self._name)
        self.retry = chosen(retry, self.retry)
        self.timeout = chosen(timeout, self.timeout)
        self.breaker = chosen(breaker, self.breaker)
        self.limit = chosen(limit, self.limit)
        self.concurrency = chosen(concurrency, self.concurrency)
        self.rules = chosen(rules, self.rules)
        if auth is not None:
            self.auth = auth
        if propagate is not None:
            self.propagate = propagate
        declaration.check_policies(self.label, self)
        address = base_url if base_url is not None else self._base_url
        self._base: Base | None = None if address is None else parse_base(self.label, address)
        self._headers = declaration.checked_headers(self.label, headers, self.auth)
        self._life = Lifetime(self.label)
        self._transport: HttpTransport | None = None
        self._live: runtime.Live | None = None
        self._wiring: Wiring | None = None
        self._breakers = Breakers(self.label, self.breaker)
        self._functions: dict[str, FunctionOperation[Any, Any]] = {}
        self._adhoc: dict[tuple[str, str, Any], tuple[BoundOperation[Any], Spec]] = {}
        self._bound = {
            operation.name: self._bind(attribute, operation) for attribute, operation in self._declared.items()
        }
        self._check_bound()
        runtime.names().declare(self.label, self._declaration())
        runtime.names().add_breaker(self.label, *self._breakers.policies)

    def __repr__(self) -> str:
        where = "" if self._base is None else f" {self._base.prefix}"
        return f"<{type(self).__name__} {self.label}{where} {self._life.state.name.lower()}>"

    # Opening and closing.

    async def __aenter__(self) -> Self:
        """Open in the running loop."""
        loop = self._life.begin()
        try:
            wiring = self._wire(loop)
            for name, (operation, spec) in self._bound.items():
                wiring.connect(operation, name, spec)
            for function in self._functions.values():
                wiring.connect_function(function)
            self._adhoc.clear()
            await runtime.announce()
        except BaseException:  # cancelled: nobody leaves what was not entered
            await self._close()
            raise
        self._life.state = State.OPEN
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take no more calls, let those in flight end (their deadlines bound that), and close the connections."""
        try:
            await self._life.idle()
        finally:
            await self._close()

    def _wire(self, loop: asyncio.AbstractEventLoop) -> Wiring:
        """Begin with policies and connections in which nothing has happened yet."""
        live = self._live = runtime.Live(
            loop,
            self.label,
            breakers=self._breakers.policies,
            rates=rates(self.limit),
            concurrency=self.concurrency,
        )
        if self._base is not None:
            self._transport = HttpTransport(
                f"buoy/{__version__}", signer=self._signer(), rules=resolve(self.label, self.rules, COMMON)
            )
        wiring = self._wiring = Wiring(
            live=live,
            base=self._base,
            transport=self._transport,
            propagate=self.propagate,
            retry=self.retry,
            timeout=self.timeout,
            breakers=self._breakers,
        )
        return wiring

    async def _close(self) -> None:
        self._life.state = State.CLOSED
        if self._live is not None:
            self._live.close()
            self._live = self._wiring = None
        runtime.flush()
        if self._transport is not None:
            await self._transport.close()

    # What the operator sees and does.

    @property
    def control(self) -> Control:
        """The policies as they live, and an operator's hand on them. Raises ``RuntimeError`` unless it is open here."""
        self._life.check()
        assert self._live is not None  # noqa: S101  # it is open
        plans = {name: operation.plan for name, (operation, _) in self._bound.items()}
        plans |= {name: function.plan for name, function in self._functions.items()}
        return Control(self._live, self._breakers.shared, plans)

    def snapshot(self) -> Snapshot:
        """Return the present figures. Raises ``RuntimeError`` unless it is open in the running loop."""
        self._life.check()
        assert self._live is not None  # noqa: S101  # it is open
        return take(self._live, self._breakers.shared, active=self._life.in_flight)

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
        operation: BoundOperation[Any] = BoundOperation(self, self._life, spec, f"{self.label} {name}")
        if self._wiring is None or not self._life.is_here():
            return operation  # calling it says what is wrong
        room = runtime.names().admit(self.label, name)
        self._wiring.connect(operation, name if room else OTHER, spec)
        if len(self._adhoc) < _KEPT:
            self._adhoc[key] = (operation, spec)
        return operation

    def prefix(self) -> str:
        """Return the base URL without a slash at the end."""
        assert self._base is not None  # noqa: S101  # checked when the operation was made
        return self._base.prefix

    def base_headers(self) -> CIMultiDict[str]:
        """Return the headers of every request, without credentials; to be copied, not changed."""
        return self._headers

    def _signer(self) -> Signer | None:
        if self.auth is None or self._base is None:
            return None
        return Signer(self.label, self.auth, frozenset({origin(URL(self._base.prefix))}))

    # Wrapped coroutines.

    def operation(
        self,
        name: str,
        *,
        safety: Safety | str = Safety.UNSAFE,
        retry_on: tuple[type[Exception], ...] | type[Exception] = (),
        **policies: Unpack[PolicyOptions],
    ) -> Callable[[Callable[P, Awaitable[T]]], FunctionOperation[P, T]]:
        """Wrap a coroutine function as an operation of this provider.

        ``safety`` says what repeating it does: ``safe``, ``idempotent``, ``keyed`` (it takes ``idempotency_key``) or
        ``unsafe``. ``retry_on`` names exceptions to be retried that our table does not know. ``policies`` are those of
        an operation (:class:`PolicyOptions`). Raises :class:`ConfigurationError`.
        """
        options.name(self.label, "operation", name)

        def wrap(function: Callable[P, Awaitable[T]]) -> FunctionOperation[P, T]:
            if name in self._functions or name in self._bound:
                msg = f"provider {self.label!r} has an operation {name!r} already."
                raise ConfigurationError(msg)
            kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
            wrapped = FunctionOperation(self, self._life, name, function, safety=safety, retry_on=kinds, **policies)
            self._add(wrapped)
            return wrapped

        return wrap

    def _add(self, function: FunctionOperation[Any, Any]) -> None:
        """Add a wrapped function, or nothing where it is refused."""
        breaker = self._check(function.name, function.policies)
        if breaker is not None:
            runtime.names().add_breaker(self.label, breaker)
        runtime.names().add(self.label, function.name)
        self._breakers.add(function.name, function.policies.breaker)
        self._functions[function.name] = function
        if self._live is not None and self._wiring is not None:
            if breaker is not None:
                self._live.open_breaker(breaker, self._breakers.policies[breaker])
            self._wiring.connect_function(function)

    # What was declared.

    def _bind(self, attribute: str, operation: Operation[Any]) -> tuple[BoundOperation[Any], Spec]:
        self._need_base(operation.name)
        bound: BoundOperation[Any] = BoundOperation(self, self._life, operation.spec, f"{self.label} {operation.name}")
        self.__dict__[attribute] = bound
        return bound, operation.spec

    def _need_base(self, what: str) -> None:
        if self._base is None:
            msg = f"provider {self.label!r}: {what!r} needs a base_url, and none was given."
            raise ConfigurationError(msg)

    def _check_bound(self) -> None:
        """Add the breakers of all operations, and then check each: it may share that of a later one."""
        for operation, (_, spec) in self._bound.items():
            self._breakers.add(operation, spec.policies.breaker)
        signer = self._signer()
        for operation, (_, spec) in self._bound.items():
            if spec.policies.joined and signer is not None and signer.waits:
                msg = f"{self.label} {operation}: joined=True needs fixed credentials; a function may sign for anybody."
                raise ConfigurationError(msg)
            self._check(operation, spec.policies)

    def _check(self, operation: str, policies: Policies) -> str | None:
        """Refuse an operation that could never be sent, or whose breaker there cannot be; return its breaker's name."""
        check_cost(f"{self.label} {operation}", policies.cost, chosen(policies.limit, self.limit))
        return self._breakers.name_of(operation, policies.breaker)

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
