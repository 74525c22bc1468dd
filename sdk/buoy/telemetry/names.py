"""The declared names of the process: providers, operations, breakers, registered before use, within their limits."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from buoy import contract
from buoy.errors import ConfigurationError
from buoy.outcome import Safety, Transport

HOST = "base_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpNames:
    """What telemetry says of an HTTP operation; ``url`` is the base URL with the template as path.

    Over a Unix socket ``host`` is its path, and there is no port.
    """

    method: str
    template: str
    url: str
    host: str
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationNames:
    """What telemetry says of an operation. ``folded``: its name found no room and it is counted as ``_OTHER``."""

    provider: str
    operation: str
    transport: Transport
    safety: Safety
    http: HttpNames | None = None
    propagate: bool = True
    folded: bool = False


class Names:
    """Who is declared. Names stay for the life of the process, as their counters do."""

    def __init__(self) -> None:
        self.clear_lock()
        self._providers: dict[str, Mapping[str, str]] = {}
        self._pairs: set[tuple[str, str]] = set()
        self._breakers: set[tuple[str, str]] = set()

    def clear_lock(self) -> None:
        """Take a lock of its own, as a forked child does: another thread of the parent may have held the other."""
        self._lock = threading.Lock()

    def declare(self, provider: str, declaration: Mapping[str, str]) -> None:
        """Register a provider: its operations with their templates, and its host.

        The same declaration may come again and shares the counters; another one under the same name, or one that
        passes a limit, raises :class:`ConfigurationError`.
        """
        operations = {(provider, name) for name in declaration if name != HOST}
        with self._lock:
            known = self._providers.get(provider)
            if known is not None and known != declaration:
                differing = sorted(name for name in {*known, *declaration} if known.get(name) != declaration.get(name))
                msg = (
                    f"provider {provider!r} is declared twice and differently (in: {', '.join(differing)}); "
                    "give one of them another name=."
                )
                raise ConfigurationError(msg)
            if known is None and len(self._providers) >= contract.PROVIDER_LIMIT:
                msg = (
                    f"provider {provider!r}: at most {contract.PROVIDER_LIMIT} providers can be declared in a process."
                )
                raise ConfigurationError(msg)
            self._check_pairs(provider, len(self._pairs | operations))
            self._providers[provider] = dict(declaration)
            self._pairs |= operations

    def add(self, provider: str, operation: str) -> None:
        """Register one more declared operation of a provider."""
        with self._lock:
            self._check_pairs(provider, len(self._pairs | {(provider, operation)}))
            self._pairs.add((provider, operation))

    def admit(self, provider: str, operation: str) -> bool:
        """Register an operation that was not declared; ``False`` when there is no room and it counts as ``_OTHER``."""
        with self._lock:
            if (provider, operation) in self._pairs:
                return True
            if len(self._pairs) >= contract.OPERATION_LIMIT:
                return False
            self._pairs.add((provider, operation))
            return True

    def add_breaker(self, provider: str, *breakers: str) -> None:
        """Register breakers of a provider, all of them or none."""
        with self._lock:
            known = set(self._breakers)
            for breaker in breakers:
                known.add((provider, breaker))
                if len(known) > contract.BREAKER_LIMIT:
                    msg = (
                        f"provider {provider!r}, breaker {breaker!r}: at most {contract.BREAKER_LIMIT} breakers can be "
                        "declared in a process, all providers together; let operations share one by name=."
                    )
                    raise ConfigurationError(msg)
            self._breakers = known

    @staticmethod
    def _check_pairs(provider: str, count: int) -> None:
        if count > contract.OPERATION_LIMIT:
            msg = (
                f"provider {provider!r}: at most {contract.OPERATION_LIMIT} operations can be declared in a process, "
                f"all providers together; with these it is {count}."
            )
            raise ConfigurationError(msg)
