"""Secrets planted wherever a caller or a provider can put one, through success and failure: none is ever shown."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pydantic
import pytest
import structlog

import buoy
from buoy.pipeline.call import Call
from tests.support.peer import CUT, HANG, Peer, answer
from tests.support.telemetry import Observed

MARK = "c4n4ry"


def secret(place: str) -> str:
    """Return the canary of a place."""
    return f"{MARK}-{place}"


PLACES = ("query", "path", "header", "fixed", "body", "token", "key")
SAID = secret("answer")
NOT_JSON = f"{{{SAID}".encode()
MISFIT = f'{{"name": "{SAID}", "counts": {{"{SAID}": "{SAID}"}}, "{SAID}": 1}}'.encode()
PROBLEM = f'{{"title": "{SAID}", "detail": "{SAID}"}}'.encode()


AT_ONCE = buoy.Retry(max_attempts=2, base=0.0, throttled_base=0.0)


class Thing(pydantic.BaseModel):
    """What the provider is to answer with."""

    name: str
    counts: dict[str, int] = {}


class Shop(
    buoy.Provider, base_url="http://127.0.0.1:9", retry=buoy.Retry(max_attempts=2, base=0.0, throttled_base=0.0)
):
    """Operations with and without a model, repeatable and not."""

    read = buoy.get("/things/{id}")
    model = buoy.get("/models/{id}", Thing)
    write = buoy.post("/things/{id}", key_header="Idempotency-Key")
    tell = buoy.post("/notes/{id}")


Scripted = tuple[tuple[bytes, ...], str]

# What the peer does, and which operation is called then.
STORIES: dict[str, Scripted] = {
    "success": ((answer(200, f'"{SAID}"'.encode(), Set_Cookie=SAID, X_Secret=SAID),), "read"),
    "model": ((answer(200, f'{{"name": "{SAID}"}}'.encode()),), "model"),
    "written": ((answer(201),), "write"),
    "repaired": ((answer(503, SAID.encode(), Retry_After=f"{SAID} !"), answer()), "read"),
    "redirect": ((answer(302, SAID.encode(), Location=f"http://{SAID}@127.0.0.1/{SAID}"),), "read"),
    "client error": ((answer(404, SAID.encode(), X_Request_Id=f"{SAID} {SAID}"),), "read"),
    "problem": ((answer(422, PROBLEM, Content_Type="application/problem+json"),), "write"),
    "broken problem": ((answer(422, NOT_JSON, Content_Type="application/problem+json"),), "write"),
    "server error": ((answer(500, SAID.encode()),) * 2, "read"),
    "server error, unsafe": ((answer(500, SAID.encode()),), "tell"),
    "throttled": ((answer(429, SAID.encode(), Retry_After="3600"),), "tell"),
    "malformed": ((answer(200, NOT_JSON),) * 2, "read"),
    "malformed model": ((answer(200, NOT_JSON),) * 2, "model"),
    "misfit": ((answer(200, MISFIT),), "model"),
    "charset": ((answer(200, b"\xff" + SAID.encode(), Content_Type=f"text/plain; charset={SAID}"),) * 2, "read"),
    "no HTTP": ((f"{SAID} {SAID}\r\n\r\n".encode() + CUT,) * 4, "read"),
    "bad header": ((f"HTTP/1.1 200 OK\r\n{SAID}\x00: {SAID}\r\n\r\n".encode() + CUT,) * 4, "read"),
    "bad length": ((f"HTTP/1.1 200 OK\r\nContent-Length: {SAID}\r\n\r\n".encode() + CUT,) * 4, "read"),
    "truncated": ((answer(200, SAID.encode(), length=1000),) * 2, "read"),
    "cut": ((CUT,) * 4, "read"),
    "cut, in doubt": ((CUT,), "tell"),
    "resent": ((CUT, answer()), "read"),
    "late": ((HANG,) * 2, "read"),
    "late, in doubt": ((HANG,), "tell"),
}


class Ears:
    """Every text that a run shows, and where."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []

    def hear(self, where: str, *things: object) -> None:
        """Take the texts of some things."""
        for thing in things:
            self.shown += [(where, str(thing)), (where, repr(thing))]

    def hear_error(self, error: BaseException, *, chained: bool = True) -> None:
        """Take the texts of an error and, as its traceback shows them, of those behind it."""
        lines = traceback.format_exception(error) if chained else traceback.format_exception_only(error)
        self.hear("error", error, "".join(lines))
        if isinstance(error, buoy.BuoyError):
            self.hear("error", error.advice, error.meta, error.verdict, error.reason)

    def hear_telemetry(self, observed: Observed) -> None:
        """Take every exported span and metric."""
        for span in observed.spans():
            self.hear("span", span.to_json())
        self.hear("metric", *(metric.to_json() for metric in observed.collected()))

    def hear_logs(self, records: list[logging.LogRecord]) -> None:
        """Take every record of every logger, with its fields."""
        for record in records:
            self.hear("log", record.getMessage(), vars(record))

    def secrets(self) -> list[tuple[str, str]]:
        """Return what should not have been shown."""
        return [(where, text) for where, text in self.shown if MARK in text]


@pytest.fixture
def structured() -> Iterator[Callable[[], list[Any]]]:
    """Configure structlog; return what it was given."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[capture])
    yield lambda: list(capture.entries)
    structlog.reset_defaults()


async def told(ears: Ears, call: Awaitable[object], *, chained: bool = True) -> None:
    """Await a call and take the texts of what comes of it."""
    try:
        ears.hear("result", await call)
    except BaseException as error:  # noqa: BLE001  # a cancellation too
        ears.hear_error(error, chained=chained)


def arguments(operation: str) -> dict[str, Any]:
    """Return the arguments of a call, a secret in each."""
    given: dict[str, Any] = {
        "id": secret("path"),
        "page": secret("query"),
        "params": {"cursor": secret("query")},
        "headers": {"X-Given": secret("header")},
    }
    if operation in {"write", "tell"}:
        given["json"] = {"card": secret("body")}
    if operation == "write":
        given["idempotency_key"] = secret("key")
    return given


def heard_by(peer: Peer) -> str:
    """Return all that the peer read."""
    return "".join(f"{request.line}{request.headers}{request.body!r}" for request in peer.heard)


def overhear(operation: Any, ears: Ears) -> None:
    """Take the texts of each live call and of its request, as the transport gets them."""
    send = operation.send

    async def listening(call: Call) -> Any:
        ears.hear("call", call, call.request, call.url)
        return await send(call)

    operation.send = listening


@pytest.mark.parametrize("structlog_configured", [False, True], ids=["logging", "structlog"])
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_no_secret_is_shown_over_http(
    story: Scripted,
    structlog_configured: bool,  # noqa: FBT001  # a table
    observed: Observed,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    """However a call ends, no span, metric, log, result, repr or traceback has any of what was sent or answered."""
    script, name = story
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    logged = request.getfixturevalue("structured") if structlog_configured else list
    bearer = buoy.Bearer(secret("token"))
    late = "late" in request.node.callspec.id
    timeout = buoy.Timeout(total=5, attempt=0.05) if late else buoy.Timeout()
    async with (
        Peer(*script) as peer,
        Shop(base_url=peer.url, auth=bearer, headers={"X-Fixed": secret("fixed")}, timeout=timeout) as shop,
    ):
        operation = getattr(shop, name)
        overhear(operation, ears)
        ears.hear("object", shop, operation, bearer, getattr(Shop, name), operation.plan)
        await told(ears, operation.call(**arguments(name)))
        sent = heard_by(peer)
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    ears.hear("structlog", *logged())
    assert ears.secrets() == []
    expected = {place for place in PLACES if place in {"query", "path", "header", "fixed", "token"}}
    expected |= {"write": {"body", "key"}, "tell": {"body"}}.get(name, set())
    assert expected == {place for place in PLACES if secret(place) in sent}
    assert {"call", "span", "metric", "object"} <= {where for where, _ in ears.shown}


async def test_no_secret_is_shown_where_nothing_was_sent(observed: Observed, caplog: pytest.LogCaptureFixture) -> None:
    """Refused connections, deadlines and cancellations show nothing either."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    async with Shop("nobody", auth=buoy.Bearer(secret("token"))) as shop:
        await told(ears, shop.write.call(**arguments("write")))
        await told(ears, shop.write.call(**arguments("write"), deadline=0))
        await told(ears, shop.get("/things/{id}", id=secret("path"), page=secret("query")))
    async with Peer(HANG) as peer, Shop("left", base_url=peer.url, auth=buoy.Bearer(secret("token"))) as shop:
        task = asyncio.ensure_future(shop.write.call(**arguments("write")))
        await peer.reading.wait()
        task.cancel()
        await told(ears, task)
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []


async def test_no_secret_is_shown_by_arguments_that_cannot_work() -> None:
    """The error that refuses an argument names it, and never repeats its value."""
    ears = Ears()
    async with Shop(auth=buoy.Bearer(secret("token"))) as shop:
        for call in (
            shop.read(id=None, page=secret("query")),
            shop.read(id=[secret("path")]),
            shop.read(id="1", page={"a": secret("query")}),  # type: ignore[arg-type]  # what a caller may do
            shop.read(id="1", headers={"X-A": f"{secret('header')}\n"}),
            shop.read(id="1", headers={"X-A": [secret("header")]}),  # type: ignore[dict-item]  # the same
            shop.write(id="1", json={"a": {secret("body")}, "b": object()}),
            shop.write(id="1", data=[secret("body")]),
            shop.write(id="1", data=secret("body"), json=secret("body")),
            shop.write(id="1", json=1, idempotency_key=f"{secret('key')}\n"),
            shop.tell(id="1", idempotency_key=secret("key")),
        ):
            with pytest.raises((TypeError, ValueError)) as caught:
                await call
            ears.hear_error(caught.value)
    assert ears.secrets() == []


@pytest.mark.parametrize(
    "build",
    [
        lambda: buoy.Provider("shop", base_url=f"https://user:{secret('password')}@shop.example"),
        lambda: buoy.Provider("shop", base_url=f"https://shop.example?key={secret('query')}"),
        lambda: buoy.Provider("shop", base_url=f"https://shop.example:{secret('port')}"),
        lambda: buoy.Provider("shop", base_url="https://shop.example", auth=secret("token")),  # type: ignore[arg-type]
        lambda: buoy.Provider("shop", base_url="https://a.example", headers={"X-Key": f"{secret('fixed')}\n"}),
        lambda: buoy.Bearer(f"{secret('token')} two"),
        lambda: buoy.setup(endpoint=f"{secret('password')}@sidecar"),
    ],
    ids=["user info", "query", "port", "auth", "header", "token", "endpoint"],
)
def test_no_secret_is_shown_by_what_cannot_be_built(build: Callable[[], object]) -> None:
    """A declaration that cannot work is refused without repeating what may be a credential."""
    ears = Ears()
    with pytest.raises(buoy.ConfigurationError) as caught:
        build()
    ears.hear_error(caught.value)
    assert ears.secrets() == []


def answered() -> httpx.HTTPStatusError:
    """Return what httpx raises for an error answer: its text has the URL."""
    asked = httpx.Request("GET", f"https://user:{secret('password')}@shop.example/?q={secret('query')}")
    said = httpx.Response(503, request=asked, headers={"X-Secret": SAID}, text=SAID)
    return httpx.HTTPStatusError(f"{asked.url} {SAID}", request=asked, response=said)


RAISED: dict[str, tuple[Callable[[], BaseException], type[BaseException]]] = {
    "known": (lambda: ConnectionResetError(secret("text")), buoy.Failed),
    "timeout": (lambda: TimeoutError(secret("text")), buoy.Failed),
    "foreign": (answered, buoy.HttpError),
    "unknown": (lambda: LookupError(secret("text")), LookupError),
    "cancelled": (lambda: asyncio.CancelledError(secret("text")), asyncio.CancelledError),
}


@pytest.mark.parametrize("safety", ["safe", "unsafe"])
@pytest.mark.parametrize(("raised", "arrives"), RAISED.values(), ids=RAISED)
async def test_no_secret_is_shown_by_wrapped_functions(
    raised: Callable[[], BaseException],
    arrives: type[BaseException],
    safety: str,
    observed: Observed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither arguments nor texts of exceptions are shown; a caller's own exception keeps its own text."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    bank = buoy.Provider("bank", retry=AT_ONCE)

    @bank.operation("charge", safety=safety)
    async def charge(card: str) -> None:
        assert card
        ears.hear("call", buoy.current_call())
        raise raised()

    async with bank:
        ears.hear("object", bank, charge)
        with pytest.raises(arrives) as caught:
            await charge(secret("argument"))
    if isinstance(caught.value, buoy.BuoyError):  # else it is the caller's own, as it was
        ears.hear_error(caught.value, chained=False)
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []
    assert {"call", "span", "metric", "log"} <= {where for where, _ in ears.shown}


async def test_no_secret_is_shown_by_a_wrapped_function_that_works(
    observed: Observed, caplog: pytest.LogCaptureFixture
) -> None:
    """Arguments, keys and results stay out of results' reprs and of telemetry."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    bank = buoy.Provider("bank")

    @bank.operation("charge", safety="keyed")
    async def charge(card: str, *, idempotency_key: str) -> str:
        return card + idempotency_key

    async with bank:
        result = await charge.call(secret("argument"), idempotency_key=secret("key"))
    ears.hear("result", result, result.meta)
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []
    assert secret("key") in result.value


def test_the_ears_hear() -> None:
    """A secret in a text, a chained error or a log's field would be found: the tests above can fail."""
    ears = Ears()
    record = logging.makeLogRecord({"msg": "quiet", "field": SAID})
    error = buoy.NetworkError("quiet")
    error.__cause__ = LookupError(SAID)
    ears.hear("text", SAID)
    ears.hear_error(error)
    ears.hear_logs([record])
    assert {"text", "error", "log"} == {where for where, _ in ears.secrets()}
