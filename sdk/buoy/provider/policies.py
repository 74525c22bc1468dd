"""Which policies an operation has: its own, or its provider's. Checked where they are given."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, TypedDict, TypeVar, Unpack

from buoy import options
from buoy.errors import ConfigurationError
from buoy.options import INHERIT, Inherit
from buoy.outcome import Safety
from buoy.pipeline.call import Call
from buoy.pipeline.fallback import Fallback
from buoy.pipeline.join import Flights
from buoy.pipeline.run import Work, tries
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry

T = TypeVar("T")

Limits = RateLimit | tuple[RateLimit, ...]

_HIGHEST_COST = 1e9


class PolicyOptions(TypedDict, total=False):
    """The policies that an operation may name; ``None`` switches one off, and without a word it is the provider's.

    ``breaker`` may be the name of one that the provider or another operation has. ``cost`` is what a send takes of the
    rate limit. ``joined``: identical safe calls in flight share one send. ``fallback``: a value, or a function of the
    error, instead of a failure.
    """

    retry: Retry | Inherit | None
    timeout: Timeout | Inherit | None
    breaker: Breaker | str | Inherit | None
    limit: Limits | Inherit | None
    concurrency: Concurrency | Inherit | None
    cost: float
    joined: bool
    fallback: Callable[[Exception], object] | object


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What one operation says of its policies, checked. ``fallback`` is ``INHERIT`` where there is none."""

    retry: Retry | Inherit | None = INHERIT
    timeout: Timeout | Inherit | None = INHERIT
    breaker: Breaker | str | Inherit | None = INHERIT
    limit: Limits | Inherit | None = INHERIT
    concurrency: Concurrency | Inherit | None = INHERIT
    cost: float = 1
    joined: bool = False
    fallback: Any = INHERIT


def own(owner: str, safety: Safety, **given: Unpack[PolicyOptions]) -> Policies:
    """Check what an operation says, and return it. Raises :class:`ConfigurationError`."""
    policies = Policies(**given)
    for option in _KINDS:
        value = getattr(policies, option)
        if not isinstance(value, Inherit):
            check(owner, option, value, by_name=option == "breaker")
    if not _is_cost(policies.cost):
        raise options.wrong(owner, "cost", policies.cost, f"a number above 0 and at most {_HIGHEST_COST:g}")
    if not isinstance(policies.limit, Inherit):
        check_cost(owner, policies.cost, policies.limit)
    options.instance(owner, "joined", policies.joined, bool, optional=False)
    if policies.joined and safety is not Safety.SAFE:
        msg = f"{owner}: joined=True is for safe operations: two calls that change something are two, not one."
        raise ConfigurationError(msg)
    if callable(policies.fallback) and not _takes_one(policies.fallback):
        raise options.wrong(owner, "fallback", policies.fallback, "a value, or a function of one argument, the error")
    return policies


def check_all(owner: str, subject: Any) -> None:
    """Refuse what cannot be a policy, on a provider's class or on an instance."""
    for option in _KINDS:
        check(owner, option, getattr(subject, option))


def check(owner: str, option: str, value: object, *, by_name: bool = False) -> None:
    """Refuse a ``value`` that is no such policy; several rates may be a tuple, a breaker may be told ``by_name``."""
    kind, allowed = _KINDS[option]
    if value is None or isinstance(value, kind):
        return
    if option == "limit" and isinstance(value, tuple) and value and all(isinstance(rate, kind) for rate in value):
        return
    if by_name:
        if isinstance(value, str):
            return
        allowed = "a Breaker, the name of one, or None"
    raise options.wrong(owner, option, value, allowed)


def chosen(own: T | Inherit, inherited: T) -> T:
    """Return what holds: the operation's own, or the provider's."""
    return inherited if isinstance(own, Inherit) else own


def rates(limit: Limits | None) -> tuple[RateLimit, ...]:
    """Return a limit as the rates that it is made of."""
    if limit is None:
        return ()
    return limit if isinstance(limit, tuple) else (limit,)


def check_cost(owner: str, cost: float, limit: Limits | None) -> None:
    """Refuse an operation that its limit could never admit."""
    capacity = min((rate.capacity for rate in rates(limit)), default=cost)
    if cost > capacity:
        raise options.wrong(
            owner, "cost", cost, f"at most {capacity:g}, the burst of its limit: it could never be sent"
        )


def compose(policies: Policies, *, identity: Callable[[Call], Hashable], wrap: Callable[[Any, Exception], Any]) -> Work:
    """Return all of a call: its tries, and around them what the operation asked for, joining inside the fallback.

    ``identity`` says what a call asks for; ``wrap`` makes an answer of a fallback's value and the error.
    """
    work: Work = tries
    if policies.joined:
        work = Flights(work, identity)
    if not isinstance(policies.fallback, Inherit):
        work = Fallback(work, policies.fallback, wrap)
    return work


class Breakers:
    """The breakers of one provider, by name: its own, and those that its operations bring or share."""

    def __init__(self, provider: str, policy: Breaker | None) -> None:
        self._provider = provider
        self._policies: dict[str, Breaker] = {}
        self.shared: str | None = None
        if policy is not None:
            self.shared = policy.name or provider
            self._policies[self.shared] = replace(policy, name=self.shared)

    @property
    def policies(self) -> Mapping[str, Breaker]:
        """All of them."""
        return self._policies

    def add(self, operation: str, given: Breaker | str | Inherit | None) -> None:
        """Add the breaker that an operation brings, if it does. Raises as :meth:`name_of`."""
        if isinstance(given, Breaker):
            name = self._named(operation, given)
            self._policies[name] = replace(given, name=name)

    def name_of(self, operation: str, given: Breaker | str | Inherit | None) -> str | None:
        """Return the name of the breaker of an operation, ``None`` where it has none.

        Raises :class:`ConfigurationError` for a name that nobody has, that is taken, or that is no name.
        """
        if isinstance(given, Inherit):
            return self.shared
        if isinstance(given, Breaker):
            return self._named(operation, given)
        if given is not None and given not in self._policies:
            known = ", ".join(map(repr, self._policies)) or "none"
            allowed = f"the name of a breaker that was declared; there is {known}"
            raise options.wrong(f"{self._provider} {operation}", "breaker", given, allowed)
        return given

    def _named(self, operation: str, policy: Breaker) -> str:
        owner = f"{self._provider} {operation}"
        name = policy.name or f"{self._provider}.{operation}"
        if options.NAME.fullmatch(name) is None:
            msg = f"{owner}: the name {name!r} of its breaker is too long; give it a name= of at most 48 characters."
            raise ConfigurationError(msg)
        if self._policies.get(name) not in {None, replace(policy, name=name)}:
            msg = f"{owner}: there is a breaker {name!r} already, with other options; give this one another name=."
            raise ConfigurationError(msg)
        return name


def _is_cost(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _HIGHEST_COST


def _takes_one(function: Callable[..., object]) -> bool:
    """Tell whether a function can be called with one argument."""
    try:
        signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # some builtins do not say
        return True
    return True


# The policies that a provider or an operation may have, and how to say it.
_KINDS: dict[str, tuple[type[Any], str]] = {
    "retry": (Retry, "a Retry or None"),
    "timeout": (Timeout, "a Timeout or None"),
    "breaker": (Breaker, "a Breaker or None"),
    "limit": (RateLimit, "a RateLimit, a tuple of them, or None"),
    "concurrency": (Concurrency, "a Concurrency or None"),
}
