"""The wiring of an open provider: each of its operations gets its names in telemetry, its plan and its work."""

from dataclasses import dataclass
from typing import Any

from buoy.contract import OTHER
from buoy.http.transport import HttpTransport
from buoy.options import Inherit
from buoy.outcome import Transport
from buoy.pipeline.call import Plan
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.provider import function, operation
from buoy.provider.function import FunctionOperation
from buoy.provider.operation import BoundOperation, Spec
from buoy.provider.policies import Breakers, Policies, chosen, compose, rates
from buoy.provider.remote import Remote
from buoy.runtime import Live
from buoy.telemetry.names import HttpNames, OperationNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What the operations of a provider are wired to while it is open, and the policies that they inherit.

    ``remote`` and ``transport`` are ``None`` where it only wraps coroutines.
    """

    live: Live
    remote: Remote | None
    transport: HttpTransport | None
    propagate: bool
    retry: Retry | None
    timeout: Timeout | None
    breakers: Breakers

    def connect(self, bound: BoundOperation[Any], name: str, spec: Spec) -> None:
        """Wire an operation over HTTP. One that found no room for its ``name`` is ``_OTHER``, and so is its path."""
        remote, transport = self.remote, self.transport
        assert remote is not None  # noqa: S101  # checked when the operation was made
        assert transport is not None  # noqa: S101  # the same
        base, folded = remote.base, name == OTHER
        template = f"/{OTHER}" if folded else spec.template.text
        names = OperationNames(
            provider=self.live.provider,
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
            folded=folded,
        )
        bound.send, bound.open = transport.send, transport.stream
        bound.work = compose(spec.policies, identity=transport.identity, wrap=operation.standing_in)
        bound.plan = self._plan(names, spec.policies)

    def connect_function(self, wrapped: FunctionOperation[..., Any]) -> None:
        """Wire a wrapped coroutine."""
        names = OperationNames(
            provider=self.live.provider,
            operation=wrapped.name,
            transport=Transport.FUNCTION,
            safety=wrapped.safety,
        )
        wrapped.work = compose(wrapped.policies, identity=function.identity, wrap=function.standing_in)
        wrapped.plan = self._plan(names, wrapped.policies, retry_on=wrapped.retry_on)

    def _plan(self, names: OperationNames, policies: Policies, *, retry_on: tuple[type[Exception], ...] = ()) -> Plan:
        limit = policies.limit
        return self.live.plan(
            names,
            retry=chosen(policies.retry, self.retry),
            timeout=chosen(policies.timeout, self.timeout),
            breaker=self.breakers.name_of(names.operation, policies.breaker),
            rates=limit if isinstance(limit, Inherit) else rates(limit),
            concurrency=policies.concurrency,
            cost=policies.cost,
            retry_on=retry_on,
        )
