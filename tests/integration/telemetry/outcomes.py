"""A table of calls with what becomes of them, by hand: every error type, and each way to end that is no error.

``ROWS`` is both: what the program does, in a process of its own, and what its telemetry must say.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry import context, trace
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

import buoy
from buoy.outcome import Outcome, Phase, Verdict
from tests.contract.failing import fails
from tests.integration.telemetry.configured import configure
from tests.support.peer import CUT, HANG, Peer, answer

# What follows from an error type (the contract, section 1), by hand: the category, and the result of the call.
FAMILY = {
    "bad_request": ("validation", "caller_error"),
    "unauthorized": ("authentication", "failure"),
    "forbidden": ("authentication", "failure"),
    "not_found": ("not_found", "caller_error"),
    "method_not_allowed": ("general", "caller_error"),
    "conflict": ("general", "caller_error"),
    "unprocessable_entity": ("validation", "caller_error"),
    "rate_limited": ("rate_limiting", "failure"),
    "internal_server_error": ("server_error", "failure"),
    "bad_gateway": ("server_error", "failure"),
    "service_unavailable": ("server_error", "failure"),
    "gateway_timeout": ("server_error", "failure"),
    "client_error": ("general", "caller_error"),
    "server_error": ("server_error", "failure"),
    "network_error": ("network", "failure"),
    "timeout": ("network", "failure"),
    "unknown": ("general", "failure"),
    "breaker_open": (None, "refused"),
    "rate_limited_locally": (None, "refused"),
    "concurrency_limited": (None, "refused"),
    "deadline_exceeded": (None, "refused"),
    "state_unavailable": (None, "refused"),
    "needs_consent": (None, "refused"),
    "cancelled": (None, "cancelled"),
}


class Ends(NamedTuple):
    """How one call ends: with an error or none, after these sends, each a kind and an error or none.

    ``stop`` says why it was not tried again, ``waits`` what it waited for, ``refused`` that Buoy itself did not send.
    """

    error: str | None = None
    sends: tuple[tuple[str, str | None], ...] = ()
    stop: str | None = None
    waits: tuple[str, ...] = ()
    refused: bool = False
    duplicate: str | None = None
    fallback: str | None = None
    doubt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Calls of one operation, made by ``do``; ``heard`` is how many requests the server read."""

    do: Callable[["Stage"], Awaitable[None]]
    provider: str
    operation: str
    ends: tuple[Ends, ...]
    heard: int
    transport: str = "http"


class Site(buoy.Provider, base_url="http://127.0.0.1:9", retry=None, breaker=None):
    """What is called over HTTP."""

    joined = buoy.get("/joined", name="joined", joined=True)
    typed = buoy.get("/typed", dict[str, Any], name="typed")
    static = buoy.get("/static", name="static", fallback=0)


@dataclass(slots=True)
class Stage:
    """What the calls need: the server, and providers by name."""

    peer: Peer
    providers: dict[str, buoy.Provider] = field(default_factory=dict)


SHORT = buoy.Timeout(total=30, attempt=0.05)
TWICE = buoy.Retry(max_attempts=2, base=0.01, throttled_base=0.01, budget=None)


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """Set the stage."""
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(Peer())
        set_up = Stage(peer)
        for name, options in _PROVIDERS.items():
            provider = Site(name, base_url="http://127.0.0.1:9" if name == "nobody" else peer.url, **options)
            set_up.providers[name] = await stack.enter_async_context(provider)
        bank = _bank()
        set_up.providers["bank"] = await stack.enter_async_context(bank)
        yield set_up


_PROVIDERS: dict[str, dict[str, Any]] = {
    "once": {},
    "twice": {"retry": TWICE},
    "throttled": {},
    "nobody": {},
    "slow": {"timeout": SHORT},
    "guarded": {"breaker": buoy.Breaker()},
    "paused": {"limit": buoy.RateLimit(100, max_wait=1)},
    "narrow": {"concurrency": buoy.Concurrency(1, max_wait=0)},
}


def _bank() -> buoy.Provider:
    bank = buoy.Provider("bank", retry=None, breaker=None)

    @bank.operation("raise", safety="safe")
    async def fail(error: Exception) -> None:
        raise error

    @bank.operation("function", safety="safe", fallback=lambda _: 0)
    async def function(error: Exception) -> int:
        raise error

    return bank


# What is done.


def _status(status: int, provider: str = "once") -> Callable[[Stage], Awaitable[None]]:
    async def do(stage: Stage) -> None:
        stage.peer.script.append(answer(status))
        call = stage.providers[provider].get(f"/s{status}")
        await (call if status == 200 else fails(call))

    return do


def _scripted(
    provider: str, path: str, *said: bytes, method: str = "GET", ends_well: bool = False
) -> Callable[[Stage], Awaitable[None]]:
    async def do(stage: Stage) -> None:
        stage.peer.script.extend(said)
        call = stage.providers[provider].request(method, path)
        await (call if ends_well else fails(call))

    return do


def _raising(operation: str, error_type: str | None) -> Callable[[Stage], Awaitable[None]]:
    async def do(stage: Stage) -> None:
        error: Exception = LookupError()
        if error_type is not None:
            error = buoy.BuoyError(
                "said so", verdict=Verdict(buoy.ErrorType(error_type), Outcome.REJECTED, Phase.LOCAL)
            )
        call = stage.providers["bank"]._functions[operation](error)
        await (fails(call) if operation == "raise" else call)

    return do


async def _undecodable(stage: Stage) -> None:
    stage.peer.script.append(answer(200, b"[1]"))
    await fails(_site(stage, "once").typed())


async def _cancelled(stage: Stage) -> None:
    call = await _hanging(stage, stage.providers["once"].get("/left"))
    await _cancel(call)


async def _late(stage: Stage) -> None:
    await fails(stage.providers["once"].get("/late", deadline=0))


async def _breaker_open(stage: Stage) -> None:
    stage.providers["guarded"].control.breaker.force("open")
    await fails(stage.providers["guarded"].get("/open"))


async def _limited(stage: Stage) -> None:
    provider = stage.providers["paused"]
    provider.control.limiter.penalize(asyncio.get_running_loop().time() + 3600)
    await fails(provider.get("/paused"))


async def _crowded(stage: Stage) -> None:
    call = await _hanging(stage, stage.providers["narrow"].get("/narrow"))
    await fails(stage.providers["narrow"].get("/narrow"))
    await _cancel(call)


async def _join(stage: Stage) -> None:
    site = _site(stage, "once")
    await asyncio.gather(site.joined(), site.joined())


async def _fall_back(stage: Stage) -> None:
    stage.peer.script.append(answer(500))
    await _site(stage, "once").static()


def _site(stage: Stage, name: str) -> Site:
    site = stage.providers[name]
    assert isinstance(site, Site)
    return site


async def _hanging(stage: Stage, call: Awaitable[Any]) -> asyncio.Future[Any]:
    stage.peer.reading.clear()
    stage.peer.script.append(HANG)
    begun = asyncio.ensure_future(call)
    await stage.peer.reading.wait()
    return begun


async def _cancel(call: asyncio.Future[Any]) -> None:
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


# What becomes of it.

_MAY_PASS = {
    "timeout",
    "internal_server_error",
    "bad_gateway",
    "service_unavailable",
    "gateway_timeout",
    "server_error",
    "rate_limited",
}


def _failed(error: str, **more: Any) -> Ends:
    stop = "max_attempts" if error in _MAY_PASS else "not_retryable"
    return Ends(**{"error": error, "sends": (("first", error),), "stop": stop, **more})


def _http(provider: str, operation: str, do: Callable[[Stage], Awaitable[None]], *ends: Ends, heard: int = 1) -> Row:
    return Row(do=do, provider=provider, operation=operation, ends=ends, heard=heard)


def _of(status: int, error: str, provider: str = "once") -> Row:
    return _http(provider, f"get.s{status}", _status(status, provider), _failed(error))


def _bank_row(operation: str, error: str | None, ends: Ends) -> Row:
    return Row(
        do=_raising(operation, error), provider="bank", operation=operation, ends=(ends,), heard=0, transport="function"
    )


AWAY = answer(302, Location="/there")
WELL = Ends(sends=(("first", None),))

ROWS: dict[str, Row] = {
    "success": _http("once", "get.s200", _status(200), WELL),
    "400": _of(400, "bad_request"),
    "401": _of(401, "unauthorized"),
    "403": _of(403, "forbidden"),
    "404": _of(404, "not_found"),
    "405": _of(405, "method_not_allowed"),
    "408": _of(408, "timeout"),
    "409": _of(409, "conflict"),
    "418": _of(418, "client_error"),
    "422": _of(422, "unprocessable_entity"),
    "429": _of(429, "rate_limited", "throttled"),
    "500": _of(500, "internal_server_error"),
    "502": _of(502, "bad_gateway"),
    "503": _of(503, "service_unavailable"),
    "504": _of(504, "gateway_timeout"),
    "505": _of(505, "server_error"),
    "undecodable": _http("once", "typed", _undecodable, _failed("server_error", stop="not_retryable")),
    "nobody there": _http(
        "nobody", "get.s200", _scripted("nobody", "/s200"), _failed("network_error", stop="max_attempts"), heard=0
    ),
    "silent": _http("slow", "get.slow", _scripted("slow", "/slow", HANG), _failed("timeout")),
    "cancelled": _http("once", "get.left", _cancelled, Ends("cancelled", (("first", "cancelled"),))),
    "too late": _http("once", "get.late", _late, Ends("deadline_exceeded", stop="deadline", refused=True), heard=0),
    "breaker open": _http(
        "guarded", "get.open", _breaker_open, Ends("breaker_open", stop="refused", refused=True), heard=0
    ),
    "limited": _http(
        "paused", "get.paused", _limited, Ends("rate_limited_locally", stop="refused", refused=True), heard=0
    ),
    "crowded": _http(
        "narrow",
        "get.narrow",
        _crowded,
        Ends("concurrency_limited", stop="refused", refused=True),
        Ends("cancelled", (("first", "cancelled"),)),
    ),
    "repaired": _http(
        "twice",
        "get.repaired",
        _scripted("twice", "/repaired", answer(500), answer(), ends_well=True),
        Ends(sends=(("first", "internal_server_error"), ("retry", None)), waits=("backoff",)),
        heard=2,
    ),
    "exhausted": _http(
        "twice",
        "get.exhausted",
        _scripted("twice", "/exhausted", answer(503), answer(502)),
        Ends(
            "bad_gateway",
            (("first", "service_unavailable"), ("retry", "bad_gateway")),
            stop="max_attempts",
            waits=("backoff",),
        ),
        heard=2,
    ),
    "in doubt": _http(
        "twice",
        "post.doubt",
        _scripted("twice", "/doubt", CUT, method="POST"),
        Ends("network_error", (("first", "network_error"),), stop="not_idempotent", doubt=True),
    ),
    "redirected": _http(
        "once",
        "get.away",
        _scripted("once", "/away", AWAY, answer(), ends_well=True),
        Ends(sends=(("first", None), ("redirect", None))),
        heard=2,
    ),
    "redirected into nothing": _http(
        "once",
        "get.lost",
        _scripted("once", "/lost", AWAY, answer(404)),
        Ends("not_found", (("first", None), ("redirect", "not_found")), stop="not_retryable"),
        heard=2,
    ),
    "resent": _http(
        "once",
        "get.resent",
        _scripted("once", "/resent", CUT, answer(), ends_well=True),
        Ends(sends=(("first", "network_error"), ("resend", None)), duplicate="resend"),
        heard=2,
    ),
    "joined": _http("once", "joined", _join, WELL, Ends(duplicate="in_flight")),
    "fallen back": _http("once", "static", _fall_back, _failed("internal_server_error", fallback="static")),
    "unknown": _bank_row("raise", None, _failed("unknown")),
    "needs consent": _bank_row("raise", "needs_consent", _failed("needs_consent")),
    "store down": _bank_row("raise", "state_unavailable", _failed("state_unavailable")),
    "function": _bank_row("function", "timeout", _failed("timeout", stop="not_retryable", fallback="function")),
}
REMOTE = SpanContext(0x5AFE << 64 | 7, 0x7, is_remote=True, trace_flags=TraceFlags(0))


async def _play(names: list[str], *, remote: bool) -> None:
    if remote:
        context.attach(trace.set_span_in_context(NonRecordingSpan(REMOTE)))
    async with stage() as set_up:
        for name in names:
            set_up.peer.script.clear()
            before = len(set_up.peer.heard)
            await ROWS[name].do(set_up)
            parents = [heard.headers.get("traceparent") for heard in set_up.peer.heard[before:]]
            print(json.dumps({"row": name, "parents": parents}), flush=True)


def main(mode: str, *, remote: bool = False, sampler: Sampler | None = None) -> None:
    """Play all rows."""
    flush = configure(mode, sampler)
    asyncio.run(_play(list(ROWS), remote=remote))
    print(json.dumps({"flushed": flush()}), flush=True)
