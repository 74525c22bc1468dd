"""What a provider's declaration may say, checked when it is made. Nothing here opens or calls anything."""

import re
from collections.abc import Mapping
from typing import Any

from buoy import options
from buoy.errors import ConfigurationError
from buoy.policies.breaker import Breaker
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.provider import policies, remote
from buoy.provider.operation import Operation
from buoy.provider.policies import Limits
from buoy.provider.remote import RemoteOptions


class ClassKeywords(RemoteOptions, total=False):
    """What may be said beside ``base_url`` and ``name`` where a class is made; the same as class attributes."""

    retry: Retry | None
    timeout: Timeout | None
    breaker: Breaker | None
    limit: Limits | None
    concurrency: Concurrency | None


def snake_case(name: str) -> str:
    """Return a class name as a provider's name: ``http_shop`` for ``HTTPShop``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().strip("_")


def check_keywords(owner: str, given: Mapping[str, object]) -> None:
    """Refuse class keywords that there are not."""
    known = {**RemoteOptions.__annotations__, **ClassKeywords.__annotations__}
    unknown = sorted(set(given) - set(known))
    if unknown:
        allowed = ", ".join(["base_url", "name", *sorted(known)])
        msg = f"{owner}: unknown class keyword {', '.join(unknown)}; allowed are {allowed}."
        raise ConfigurationError(msg)


def check_arguments(owner: str, given: Mapping[str, object]) -> None:
    """Refuse arguments that there are not, as Python itself does."""
    unknown = sorted(set(given) - set(RemoteOptions.__annotations__))
    if unknown:
        msg = f"{owner}: a provider has no option {', '.join(unknown)}."
        raise TypeError(msg)


def check_options(owner: str, subject: Any) -> None:
    """Refuse what cannot be an option, on a provider's class or on an instance."""
    policies.check_all(owner, subject)
    remote.check(owner, subject)


def collect(cls: type, members: type) -> dict[str, Operation[Any]]:
    """Return all operations of a class by attribute, its parents' included, each with a name of its own.

    ``members`` is the class whose own members cannot be operations.
    """
    found = {
        attribute: value
        for parent in reversed(cls.__mro__)
        for attribute, value in vars(parent).items()
        if isinstance(value, Operation)
    }
    names: dict[str, str] = {}
    for attribute, operation in found.items():
        # Also what instances have (annotated), and whatever begins like our private attributes.
        if hasattr(members, attribute) or attribute in members.__annotations__ or attribute.startswith("_"):
            msg = f"{cls.__name__}.{attribute}: the name is a member of Provider; give the operation another attribute."
            raise ConfigurationError(msg)
        options.name(f"{cls.__name__}.{attribute}", "name", operation.name)
        if operation.name in names:
            msg = (
                f"{cls.__name__}: {names[operation.name]} and {attribute} are two operations "
                f"of one name, {operation.name!r}."
            )
            raise ConfigurationError(msg)
        names[operation.name] = attribute
    return found
