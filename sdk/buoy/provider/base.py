"""``Provider``: the remote party. It checks what is declared, opens, is called, and closes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, Unpack, overload

import aiohttp

from buoy import options, runtime
from buoy.contract import OTHER
from buoy.errors import ConfigurationError
from buoy.http.auth import Auth
from buoy.http.credentials import AuthFunction
from buoy.http.pool import Connections
from buoy.http.redirect import MAX_HOPS
from buoy.http.rules import Rules
from buoy.http.sizes import Sizes
from buoy.http.transport import HttpTransport
from buoy.http.url import parse_base
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
from buoy.provider.lifetime import DRAIN, Drained, Lifetime
from buoy.provider.operation import BoundOperation, Operation, Spec, specify
from buoy.provider.policies import Breakers, Limits, Policies, PolicyOptions, check_cost, chosen, rates
from buoy.provider.remote import Remote, RemoteOptions
from buoy.provider.snapshot import Snapshot, take
from buoy.provider.wiring import Wiring
from buoy.result import HttpResult
from buoy.telemetry.names import HOST

P = ParamSpec("P")
T = TypeVar("T")

# Ad-hoc operations that a provider keeps ready; further ones are made for each call.
_KEPT = 256


class Provider:
    """A remote party and what it does.

    Subclass it and declare operations, or make one with ``Provider("name", base_url=...)``; without a ``base_url`` it
    wraps coroutines of yours. Enter it with ``async with``: it then belongs to that event loop. Policies are class
    attributes, class keywords or arguments, ``None`` switches one off; an operation may name its own. So are the other
    options (:class:`~buoy.provider.remote.RemoteOptions`), which are about HTTP. ``name`` defaults to the class name in
    snake_case; ``headers`` are added to each request; ``session`` is one of your own whose connections are used, and
    which stays yours to close. Raises :class:`ConfigurationError` for what cannot work.
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
    redirects: int = MAX_HOPS
    trusted_origins: tuple[str, ...] = ()
    cookies: bool = False
    compress: int | None = None
    sizes: Sizes = Sizes()
    connections: Connections = Connections()

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
        declaration.check_options(owner, cls)

    def __init__(  # the options of a provider, each a keyword
        self,
        name: str | None = None,
        *,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        session: aiohttp.ClientSession | None = None,
        retry: Retry | Inherit | None = INHERIT,
        timeout: Timeout | Inherit | None = INHERIT,
        breaker: Breaker | Inherit | None = INHERIT,
        limit: Limits | Inherit | None = INHERIT,
        concurrency: Concurrency | Inherit | None = INHERIT,
        **far: Unpack[RemoteOptions],
    ) -> None:
        self.label = options.name(type(self).__name__, "name", name if name is not None else self._name)
        self.retry = chosen(retry, self.retry)
        self.timeout = chosen(timeout, self.timeout)
        self.breaker = chosen(breaker, self.breaker)
        self.limit = chosen(limit, self.limit)
        self.concurrency = chosen(concurrency, self.concurrency)
        declaration.check_arguments(self.label, far)
        for option, value in far.items():
            setattr(self, option, value)
        declaration.check_options(self.label, self)
        address = base_url if base_url is not None else self._base_url
        self._remote: Remote | None = None
        if address is not None:
            base = parse_base(self.label, address)
            self._remote = Remote(self.label, base, self, headers=headers, session=session)
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
        where = "" if self._remote is None else f" {self._remote.base.socket or self._remote.base.prefix}"
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
        assert self._live is not None  # noqa: S101  # it was wired
        self._life.open(self._live.tally.active, self._live.calls_cut)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drain, and close the connections."""
        try:
            await self._life.drain(DRAIN)
        finally:
            await self._close()

    async def drain(self, deadline: float = DRAIN) -> Drained:
        """Take no more calls, wait ``deadline`` seconds for those in flight to end, and cancel the rest.

        Leaving the block does the same, with 8 s (what is left of the 30 s that Kubernetes gives, when load balancers
        have noticed and telemetry is still to be sent). To a task whose call is cut it is a cancellation.
        """
        options.seconds(f"{self.label}.drain", "deadline", deadline, zero=True)
        self._life.check()
        return await self._life.drain(deadline)

    def _wire(self, loop: asyncio.AbstractEventLoop) -> Wiring:
        """Begin with policies and connections in which nothing has happened yet."""
        live = self._live = runtime.Live(
            loop,
            self.label,
            breakers=self._breakers.policies,
            rates=rates(self.limit),
            concurrency=self.concurrency,
        )
        if self._remote is not None:
            self._transport = self._remote.open()
        wiring = self._wiring = Wiring(
            live=live,
            remote=self._remote,
            transport=self._transport,
            propagate=self.propagate,
            retry=self.retry,
            timeout=self.timeout,
            breakers=self._breakers,
        )
        return wiring

    async def _close(self) -> None:
        self._life.close()
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
        remote = self._need_base(f"{method} {template}")
        spec = specify(str(method).upper(), template, model)
        name = name_of(spec.method, template)
        operation: BoundOperation[Any] = BoundOperation(remote, self._life, spec, f"{self.label} {name}")
        if self._wiring is None or not self._life.is_here():
            return operation  # calling it says what is wrong
        room = runtime.names().admit(self.label, name)
        self._wiring.connect(operation, name if room else OTHER, spec)
        if len(self._adhoc) < _KEPT:
            self._adhoc[key] = (operation, spec)
        return operation

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
            wrapped = FunctionOperation(
                self.label, self._life, name, function, safety=safety, retry_on=kinds, **policies
            )
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
        remote, owner = self._need_base(operation.name), f"{self.label} {operation.name}"
        bound: BoundOperation[Any] = BoundOperation(remote, self._life, operation.spec, owner)
        self.__dict__[attribute] = bound
        return bound, operation.spec

    def _need_base(self, what: str) -> Remote:
        if self._remote is None:
            msg = f"provider {self.label!r}: {what!r} needs a base_url, and none was given."
            raise ConfigurationError(msg)
        return self._remote

    def _check_bound(self) -> None:
        """Add the breakers of all operations, and then check each: it may share that of a later one."""
        for operation, (_, spec) in self._bound.items():
            self._breakers.add(operation, spec.policies.breaker)
        for operation, (_, spec) in self._bound.items():
            if spec.policies.joined and self._remote is not None and self._remote.signs_by_function:
                msg = f"{self.label} {operation}: joined=True needs fixed credentials; a function may sign for anybody."
                raise ConfigurationError(msg)
            self._check(operation, spec.policies)

    def _check(self, operation: str, policies: Policies) -> str | None:
        """Refuse an operation that could never be sent, or whose breaker there cannot be; return its breaker's name."""
        check_cost(f"{self.label} {operation}", policies.cost, chosen(policies.limit, self.limit))
        return self._breakers.name_of(operation, policies.breaker)

    def _declaration(self) -> dict[str, str]:
        operations = {name: f"{spec.method} {spec.template.text}" for name, (_, spec) in self._bound.items()}
        if self._remote is None:
            return operations
        return {**operations, HOST: self._remote.base.socket or self._remote.base.prefix}


def _identity(model: Any) -> Any:
    """Return what tells an ad-hoc model from others: ``list[Item]`` is a new object each time, and yet the same."""
    try:
        hash(model)
    except TypeError:
        return id(model)  # the kept operation keeps the model alive
    return model
