"""An operation over HTTP: declared on a class, bound to a provider, called."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Generic, TypeVar, Unpack, overload
from uuid import uuid4

from multidict import CIMultiDict
from yarl import URL

from buoy import options
from buoy.errors import ConfigurationError
from buoy.http import headers as http_headers
from buoy.http import url as http_url
from buoy.http.body import Decoder
from buoy.http.payload import NOTHING, prepare
from buoy.http.request import Answer, Request
from buoy.http.sizes import Sizes
from buoy.http.transport import HandOver
from buoy.http.url import Template, Value
from buoy.options import INHERIT, Inherit
from buoy.outcome import Safety
from buoy.pipeline.call import Call, Plan
from buoy.pipeline.run import Work, run
from buoy.provider import policies
from buoy.provider.lifetime import Lifetime
from buoy.provider.policies import Policies, PolicyOptions, chosen
from buoy.provider.remote import Remote
from buoy.provider.streaming import Streaming
from buoy.result import HttpResult

T = TypeVar("T")


SAFETY = {
    "GET": Safety.SAFE,
    "HEAD": Safety.SAFE,
    "OPTIONS": Safety.SAFE,
    "PUT": Safety.IDEMPOTENT,
    "DELETE": Safety.IDEMPOTENT,
    "POST": Safety.UNSAFE,
    "PATCH": Safety.UNSAFE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a declaration says, checked: all that does not depend on the provider."""

    method: str
    template: Template
    name: str | None
    model: Any
    decoder: Decoder[Any]
    safety: Safety
    key_header: str | None
    key_quoted: bool
    sizes: Sizes | Inherit
    policies: Policies


def specify(
    method: str,
    template: str,
    model: Any = None,
    *,
    name: str | None = None,
    safety: Safety | str | None = None,
    key_header: str | None = None,
    key_quoted: bool = False,
    sizes: Sizes | Inherit = INHERIT,
    **given: Unpack[PolicyOptions],
) -> Spec:
    """Check a declaration and return it. Raises :class:`ConfigurationError`."""
    owner = f"{method} {template}"
    if method not in SAFETY:
        raise options.wrong(owner, "method", method, f"one of {', '.join(SAFETY)}")
    if name is not None:
        options.name(owner, "name", name)
    if key_header is not None and http_headers.objection(key_header, "") is not None:
        raise options.wrong(owner, "key_header", key_header, "the name of a header, like 'Idempotency-Key'")
    options.instance(owner, "key_quoted", key_quoted, bool, optional=False)
    if not isinstance(sizes, Inherit):
        options.instance(owner, "sizes", sizes, Sizes, optional=False)
    told = _safety(owner, method, safety, keyed=key_header is not None)
    return Spec(
        method=method,
        template=Template(owner, template),
        name=name,
        model=model,
        decoder=Decoder(owner, model),
        safety=told,
        key_header=key_header,
        key_quoted=key_quoted,
        sizes=sizes,
        policies=policies.own(owner, told, **given),
    )


def _safety(owner: str, method: str, declared: Safety | str | None, *, keyed: bool) -> Safety:
    """Return what repeating does: as declared, by key, or by method (RFC 9110 section 9.2)."""
    if declared is None:
        natural = SAFETY[method]
        return Safety.KEYED if keyed and natural is not Safety.SAFE else natural
    if declared not in set(Safety):
        raise options.wrong(owner, "safety", declared, f"one of {', '.join(Safety)}")
    if Safety(declared) is Safety.KEYED and not keyed:
        msg = f"{owner}: safety='keyed' needs key_header=, the header that carries the key."
        raise ConfigurationError(msg)
    return Safety(declared)


class BoundOperation(Generic[T]):
    """One operation of one provider.

    ``await op(...)`` gives the value, ``await op.call(...)`` the whole result, ``async with op.stream(...)`` an answer
    whose body is read as it arrives.
    """

    __slots__ = ("_life", "_owner", "_remote", "_sizes", "_spec", "open", "plan", "send", "work")

    def __init__(self, remote: Remote, life: Lifetime, spec: Spec, owner: str) -> None:
        self._remote = remote
        self._spec = spec
        self._sizes = chosen(spec.sizes, remote.sizes)
        self._owner = owner
        self._life = life
        # These are set when the provider is entered, which enter_call checks.
        self.plan: Plan
        self.send: Callable[[Call], Awaitable[Answer]]
        self.open: Callable[[Call, HandOver], Awaitable[None]]
        self.work: Work

    def __repr__(self) -> str:
        return f"<operation {self._owner}: {self._spec.method} {self._spec.template.text}>"

    async def __call__(
        self,
        *,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Value] | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        **fields: Value,
    ) -> T:
        """Call it and return the value.

        ``fields`` fill the template; those it does not name become query parameters, as ``params`` do. ``json`` or
        ``data`` is the body, ``deadline`` is in seconds from now, at most the total. Raises ``TypeError`` or
        ``ValueError`` for arguments that cannot work, before anything is sent; else a :class:`BuoyError`.
        """
        loop = self._life.enter_call()
        try:
            call = self._prepare(loop, json, data, headers, params, idempotency_key, deadline, fields)
            value: T = (await run(call, self.send, self.work)).value
            return value
        finally:
            self._life.leave_call()

    async def call(
        self,
        *,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Value] | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        **fields: Value,
    ) -> HttpResult[T]:
        """Call it and return the value with the story of the call; arguments and errors as for a plain call."""
        loop = self._life.enter_call()
        try:
            call = self._prepare(loop, json, data, headers, params, idempotency_key, deadline, fields)
            answer = await run(call, self.send, self.work)
            return HttpResult(answer.value, call.meta(), answer.status, answer.headers)
        finally:
            self._life.leave_call()

    def stream(
        self,
        *,
        json: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Value] | None = None,
        idempotency_key: str | None = None,
        deadline: float | None = None,
        **fields: Value,
    ) -> Streaming[T]:
        """Call it and use the answer as it arrives; arguments as for a plain call.

        ``async with op.stream(...) as answer``: the block begins when the headers have come, and whatever goes wrong
        until then is retried and raised as by a plain call. What goes wrong with the body is raised where it is read.
        The call ends, with its span and its time, when the body does, or when the block is left. Raises ``TypeError``
        for an operation with ``joined=True`` or a ``fallback``, which are for whole answers.
        """
        if self._spec.policies.joined or not isinstance(self._spec.policies.fallback, Inherit):
            msg = (
                f"{self._owner}: an operation with joined=True or a fallback= gives whole answers and is not streamed."
            )
            raise TypeError(msg)

        def begin(loop: asyncio.AbstractEventLoop) -> Call:
            return self._prepare(loop, json, data, headers, params, idempotency_key, deadline, fields)

        return Streaming(self._life, begin, self.open)

    def _prepare(  # noqa: PLR0917  # on the way of every call: positions cost half of what names do
        self,
        loop: asyncio.AbstractEventLoop,
        json: Any,
        data: Any,
        headers: Mapping[str, str] | None,
        params: Mapping[str, Value] | None,
        key: str | None,
        deadline: float | None,
        fields: Mapping[str, Value],
    ) -> Call:
        """Check what was given and return the call, ready to run."""
        spec, owner, remote = self._spec, self._owner, self._remote
        path = remote.path + spec.template.expand(owner, fields)
        query, shown = "", None
        if params is not None or len(fields) > len(spec.template.fields):
            query, shown = self._query(fields, params)
        sent = remote.headers
        if headers is not None or key is not None or spec.key_header is not None:
            sent = self._with_headers(sent, headers, key)
        payload = NOTHING
        if json is not None or data is not None:
            compress = None if "Content-Encoding" in sent else remote.compress
            payload = prepare(owner, json_value=json, data=data, compress=compress)
        asked = None if deadline is None else _deadline(owner, deadline)
        url = remote.place.with_path(path, encoded=True)
        if query:
            url = URL(f"{url}?{query}", encoded=True)
        request = Request(spec.method, url, sent, payload, spec.decoder, self._sizes)
        return Call(self.plan, loop, request, shown, asked)

    def _query(self, fields: Mapping[str, Value], params: Mapping[str, Value] | None) -> tuple[str, str | None]:
        """Return the query, and the URL as it may be shown where there is one."""
        template = self._spec.template
        extra = {name: value for name, value in fields.items() if name not in template.fields}
        query, redacted = http_url.query(self._owner, extra | dict(params or {}))
        return query, f"{self._remote.base.prefix}{template.text}?{redacted}" if query else None

    def _with_headers(
        self, base: CIMultiDict[str], headers: Mapping[str, str] | None, key: str | None
    ) -> CIMultiDict[str]:
        sent = base.copy()
        if headers is not None:
            _add_headers(self._owner, sent, headers)
        self._add_key(sent, key)
        return sent

    def _add_key(self, sent: CIMultiDict[str], key: str | None) -> None:
        header = self._spec.key_header
        if header is None:
            if key is not None:
                msg = f"{self._owner}: idempotency_key= needs key_header= in the declaration of the operation."
                raise TypeError(msg)
            return
        field = http_headers.key_field(str(uuid4()) if key is None else key, quoted=self._spec.key_quoted)
        if field is None:
            kind = "printable ASCII" if self._spec.key_quoted else "a str without line breaks"
            msg = f"{self._owner}: idempotency_key= must be {kind}, and not empty."
            raise ValueError(msg)
        sent[header] = field


def standing_in(value: Any, error: Exception) -> Answer:
    """Return a fallback's value as an answer, with status and headers of the one it stands in for, or 0 and none."""
    return Answer(value, getattr(error, "status", 0), getattr(error, "headers", {}))


def _add_headers(owner: str, sent: CIMultiDict[str], headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        objection = http_headers.objection(name, value)
        if objection is not None:
            msg = f"{owner}: {objection}."
            raise ValueError(msg)
        sent[name] = value


def _deadline(owner: str, deadline: float) -> float:
    """Return a call's own deadline; one that has passed is no mistake, the call is then refused."""
    if isinstance(deadline, bool) or not isinstance(deadline, int | float) or isnan(deadline):
        msg = f"{owner}: deadline={deadline!r} is not allowed; it must be a number of seconds from now."
        raise ValueError(msg)
    return float(deadline)


class Operation(Generic[T]):
    """An operation as declared on a provider's class; on an instance it is a :class:`BoundOperation`."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.attribute = name

    @property
    def name(self) -> str:
        """The name of the operation in telemetry."""
        return self.spec.name or self.attribute

    @overload
    def __get__(self, instance: None, owner: type) -> "Operation[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> BoundOperation[T]: ...
    def __get__(self, instance: object | None, owner: type) -> "Operation[T] | BoundOperation[T]":
        # An instance finds its bound operation in its own __dict__ first; this is reached on the class.
        return self

    def __repr__(self) -> str:
        return f"<Operation {self.name}: {self.spec.method} {self.spec.template.text}>"
