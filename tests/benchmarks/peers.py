"""What one composes today instead of Buoy: aiohttp, its instrumentor, tenacity, aiolimiter and purgatory.

Only in the environment of tools/peers.txt, which has them.
"""

import itertools

import aiohttp
from aiolimiter import AsyncLimiter  # type: ignore[import-not-found]  # in their environment alone
from purgatory import AsyncCircuitBreakerFactory  # type: ignore[import-not-found]  # the same
from tenacity import (  # type: ignore[import-not-found]  # the same
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from tests.benchmarks.by_hand import PRODUCTS, OneCall


def instrument() -> None:
    """Instrument the sessions that are made from now on."""
    from opentelemetry.instrumentation.aiohttp_client import (  # type: ignore[import-not-found]  # noqa: PLC0415  # it costs the others nothing
        AioHttpClientInstrumentor,
    )

    AioHttpClientInstrumentor().instrument()


def composed(session: aiohttp.ClientSession, base: str) -> OneCall:
    """Return the call with retry, breaker and limiter around it. None of them ever has to step in."""
    limiter = AsyncLimiter(1_000_000, 1)
    breakers = AsyncCircuitBreakerFactory(default_threshold=10, default_ttl=10)
    numbers = itertools.cycle(range(PRODUCTS))

    @retry(  # type: ignore[untyped-decorator]  # its types are in their environment alone
        stop=stop_after_attempt(3),
        wait=wait_random_exponential(multiplier=0.1, max=20),
        retry=retry_if_exception_type((aiohttp.ClientError, TimeoutError)),
        reraise=True,
    )
    async def call() -> object:
        async with (
            await breakers.get_breaker("shop"),
            limiter,
            session.get(f"{base}/products/{next(numbers)}", raise_for_status=True) as response,
        ):
            return await response.json()

    return call  # type: ignore[no-any-return]  # the decorator is untyped here
