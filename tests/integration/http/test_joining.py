"""Identical safe calls in flight share one send: counted by a real server, and seen in the telemetry."""

import asyncio
import traceback
from collections.abc import Awaitable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import buoy
from buoy import contract
from buoy.outcome import CallResult, DuplicateSource, ErrorType, StopReason
from tests.integration.http.shop import AT_ONCE
from tests.support.eventually import until
from tests.support.faults import BOUND, FaultyServer, Peer, Step, answer, hang, message
from tests.support.telemetry import Observed, logs

WHO: ContextVar[str] = ContextVar("who", default="nobody")
CANARY = "canary-5f1d"


class Shop(buoy.Provider, base_url="http://replaced.example", retry=None, breaker=None):
    """Operations whose identical calls are joined, and one whose are not."""

    timeout = buoy.Timeout(total=60, attempt=20)

    read = buoy.get("/items/{id}", joined=True)
    search = buoy.post("/items/search", safety="safe", joined=True)
    plain = buoy.get("/plain/{id}")


class Gate:
    """Holds answers back until a test has seen enough."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()

    def open(self) -> None:
        """Let all answers go."""
        self._opened.set()

    def step(self, status: int = 200, body: bytes = b"[1]", **headers: str) -> Step:
        """Return a step that reads a request and answers it when the gate is open."""

        async def held(peer: Peer) -> None:
            await peer.read()
            async with asyncio.timeout(BOUND):
                await self._opened.wait()
            peer.writer.write(message(status, body, {name.replace("_", "-"): text for name, text in headers.items()}))
            await peer.writer.drain()

        return held


class Turning:
    """Credentials that are others with each call."""

    def __init__(self) -> None:
        self.calls = 0

    def headers(self) -> dict[str, str]:
        """Return the next."""
        self.calls += 1
        return {"Authorization": f"Bearer {self.calls}"}


async def ends(*calls: Awaitable[Any]) -> list[Any]:
    """Return what each of them returns or raises."""
    async with asyncio.timeout(BOUND):
        return await asyncio.gather(*calls, return_exceptions=True)


async def when_all_wait(shop: buoy.Provider, server: FaultyServer, gate: Gate, *, calls: int, sends: int) -> None:
    """Open the gate when so many calls are in flight by so many sends."""
    await server.wait_for(sends)
    await until(lambda: shop.snapshot().active == calls)
    gate.open()


def connector_of(shop: buoy.Provider) -> Any:
    """Return the pool of connections."""
    assert shop._transport is not None
    return shop._transport._pool.session.connector


def check_at_rest(shop: buoy.Provider) -> None:
    """Check that no call runs and no connection is taken."""
    assert (shop.snapshot().active, connector_of(shop)._acquired) == (0, set())


def attributes(spans: Sequence[ReadableSpan], name: str) -> list[Any]:
    """Return an attribute of each span."""
    return [(span.attributes or {}).get(name) for span in spans]


# One send.


async def test_identical_calls_share_one_send(observed: Observed) -> None:
    """Of twenty calls the server sees one; each is counted and has its story, and the others link to the first."""
    gate = Gate()
    async with FaultyServer([gate.step()]) as server, Shop(base_url=server.url) as shop:
        waiting = when_all_wait(shop, server, gate, calls=20, sends=1)
        *results, _ = await ends(*(shop.read.call(id=1) for _ in range(20)), waiting)
        check_at_rest(shop)
        counted = shop.snapshot()
    assert len(server.received) == 1
    assert [(result.value, result.status) for result in results] == [([1], 200)] * 20
    assert [(result.meta.attempts, result.meta.sends) for result in results] == [(1, 1), *[(0, 0)] * 19]
    assert [result.meta.duplicate_source for result in results] == [None, *[DuplicateSource.IN_FLIGHT] * 19]
    assert len({result.meta.request_id for result in results}) == 20
    assert (counted.calls[CallResult.SUCCESS], counted.attempts, counted.sends) == (20, 1, 1)
    check_telemetry(observed, server)


def check_telemetry(observed: Observed, server: FaultyServer) -> None:
    """Check spans and metrics of twenty calls that shared a send."""
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == 20
    assert observed.value("buoy.client.call.duration") == 20
    assert observed.value("buoy.client.attempt.duration") == 1
    assert observed.metric("buoy.client.duplicates") == {
        frozenset({"buoy.provider": "shop", "buoy.operation": "read", "buoy.duplicate.source": "in_flight"}.items()): 19
    }
    (attempt,) = observed.attempts()
    (first,) = [span for span in observed.calls() if contract.DUPLICATE_SOURCE not in (span.attributes or {})]
    assert attempt.parent is not None
    assert first.context is not None
    assert (attempt.parent.span_id, attempt.parent.trace_id) == (first.context.span_id, first.context.trace_id)
    assert attempt.context is not None
    assert f"-{attempt.context.trace_id:032x}-{attempt.context.span_id:016x}-" in f"-{parent_of(server)}-"
    joined = [span for span in observed.calls() if span is not first]
    assert [link.context for span in joined for link in span.links] == [first.context] * 19
    assert attributes(joined, "buoy.duplicate.source") == ["in_flight"] * 19
    assert [event.name for span in joined for event in span.events] == ["buoy.duplicate.found"] * 19
    assert (first.links, first.events) == ((), ())


def parent_of(server: FaultyServer) -> str:
    """Return trace and span id of the only request as the server read them."""
    (request,) = server.received
    return request.headers["traceparent"][3:-3]


async def test_calls_of_another_operation_are_not_joined() -> None:
    """Where an operation does not ask for it, every call is sent."""
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        await ends(*(shop.plain(id=1) for _ in range(3)))
    assert len(server.received) == 3


DIFFERENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "body": ({"json": {"a": 1}}, {"json": {"a": 2}}),
    "body or none": ({"json": {}}, {}),
    "true and one": ({"json": True}, {"json": 1}),
    "data and json": ({"data": b"1"}, {"json": 1}),
    "parameter": ({"page": 1}, {"page": 2}),
    "order of a list": ({"tag": ["a", "b"]}, {"tag": ["b", "a"]}),
    "header": ({"headers": {"Accept-Language": "de"}}, {"headers": {"Accept-Language": "en"}}),
    "header or none": ({"headers": {"X-A": "1"}}, {}),
}


@pytest.mark.parametrize("name", DIFFERENT)
async def test_different_calls_are_sent_each(name: str) -> None:
    """Body, parameters and headers all belong to what a call asks for."""
    gate, (one, other) = Gate(), DIFFERENT[name]
    async with (
        FaultyServer([gate.step(body=b"[1]")], [gate.step(body=b"[2]")]) as server,
        Shop(base_url=server.url) as shop,
    ):
        waiting = when_all_wait(shop, server, gate, calls=3, sends=2)
        first, second, again, _ = await ends(shop.search(**one), shop.search(**other), shop.search(**one), waiting)
    assert (first, second, again) == ([1], [2], [1])
    assert len(server.received) == 2


async def test_what_is_the_same_in_other_words_is_joined() -> None:
    """A parameter is one however it was given, and a deadline is no part of what is asked."""
    gate = Gate()
    async with FaultyServer([gate.step()]) as server, Shop(base_url=server.url) as shop:
        waiting = when_all_wait(shop, server, gate, calls=3, sends=1)
        calls = shop.search(page=1), shop.search(params={"page": 1}), shop.search(page="1", deadline=50)
        assert await ends(*calls, waiting) == [[1], [1], [1], None]


async def test_credentials_belong_to_what_a_call_asks_for() -> None:
    """What one account is allowed to see is no answer for another."""
    gate, auth = Gate(), Turning()
    async with (
        FaultyServer([gate.step(body=b"[1]")], [gate.step(body=b"[2]")]) as server,
        Shop(base_url=server.url, auth=auth) as shop,
    ):
        waiting = when_all_wait(shop, server, gate, calls=2, sends=2)
        assert await ends(shop.read(id=1), shop.read(id=1), waiting) == [[1], [2], None]
    assert len({request.headers["Authorization"] for request in server.received}) == 2


async def test_fields_and_providers_keep_calls_apart() -> None:
    """Another item is another call, and so is the same one of another provider."""
    async with FaultyServer() as server, Shop(base_url=server.url) as shop, Shop(base_url=server.url) as other:
        await ends(shop.read(id=1), shop.read(id=2), other.read(id=1), shop.read(id=1), other.read(id=1))
    assert sorted(request.target for request in server.received) == ["/items/1", "/items/1", "/items/2"]


async def test_after_the_landing_a_new_one_starts() -> None:
    """What was answered is not kept: the next call is sent, and so is the first after the provider was entered anew."""
    async with FaultyServer([answer(200, b"[1]"), answer(200, b"[2]")]) as server:
        shop = Shop(base_url=server.url)
        async with shop:
            assert await ends(shop.read(id=1), shop.read(id=1)) == [[1], [1]]
            assert await ends(shop.read(id=1), shop.read(id=1)) == [[2], [2]]
        async with shop:
            assert await shop.read(id=1) == {}
    assert len(server.received) == 3


# Deadlines and leaving.


async def test_the_first_callers_deadline_is_its_own(observed: Observed) -> None:
    """The request under way goes on for who has more time, and the server sees no second one."""
    gate = Gate()
    async with FaultyServer([gate.step()]) as server, Shop(base_url=server.url) as shop:
        first, joined = (asyncio.ensure_future(shop.read(id=1, deadline=left)) for left in (0.05, 50))
        (error,) = await ends(first)
        gate.open()
        assert await ends(joined) == [[1]]
        check_at_rest(shop)
    assert isinstance(error, buoy.TimedOut)
    assert error.meta is not None
    assert (error.meta.sends, len(server.received)) == (1, 1)
    assert attributes(observed.calls(), "error.type") == ["timeout", None]
    assert attributes(observed.attempts(), "error.type") == [None]


async def test_a_short_deadline_of_a_joiner_disturbs_nobody(observed: Observed) -> None:
    """Who has no time, or too little, leaves with its own error; the others get their answer."""
    gate = Gate()
    async with FaultyServer([gate.step()]) as server, Shop(base_url=server.url) as shop:
        first = asyncio.ensure_future(shop.read(id=1))
        await server.wait_for(1)
        none, short = await ends(shop.read(id=1, deadline=0), shop.read(id=1, deadline=0.05))
        gate.open()
        assert await ends(first) == [[1]]
    assert (type(none), type(short), len(server.received)) == (buoy.DeadlineExceeded, buoy.TimedOut, 1)
    assert observed.value("buoy.client.refusals", reason="deadline_exceeded") == 1
    assert observed.value("buoy.client.retry.abandoned", stop_reason=StopReason.DEADLINE) == 2
    assert observed.value("buoy.client.duplicates") == 1


async def test_a_deadline_that_ends_the_flight_is_a_timeout(observed: Observed) -> None:
    """Where nobody has more time the send is cut, is told as a timeout and opens the breaker; nothing is left."""
    strict = buoy.Breaker(minimum_calls=1)
    async with FaultyServer([hang]) as server, Shop(base_url=server.url, breaker=strict) as shop:
        first, joined = await ends(shop.read(id=1, deadline=0.05), shop.read(id=1, deadline=0.05))
        assert shop.control.breaker.state == "open"
        check_at_rest(shop)
    assert (type(first), type(joined)) == (buoy.TimedOut, buoy.TimedOut)
    assert attributes(observed.attempts(), "error.type") == ["timeout"]
    assert attributes(observed.calls(), "error.type") == ["timeout", "timeout"]


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_cancelled_caller_leaves_the_others_undisturbed(leaver: int, observed: Observed) -> None:
    """Whoever leaves, be it the first, the rest get the answer of the request that is on its way."""
    gate = Gate()
    async with FaultyServer([gate.step()]) as server, Shop(base_url=server.url) as shop:
        calls = [asyncio.ensure_future(shop.read(id=1)) for _ in range(3)]
        await server.wait_for(1)
        calls[leaver].cancel()
        await asyncio.wait([calls[leaver]], timeout=BOUND)
        gate.open()
        stayed = await ends(*calls)
        assert type(stayed.pop(leaver)) is asyncio.CancelledError
        assert (stayed, len(server.received)) == ([[1], [1]], 1)
        check_at_rest(shop)
    assert observed.value("buoy.client.calls", result=CallResult.CANCELLED) == 1
    assert observed.value("buoy.client.calls", result=CallResult.SUCCESS) == 2
    assert attributes(observed.attempts(), "error.type") == [None]


async def test_when_all_have_left_nothing_runs(observed: Observed) -> None:
    """The last one that leaves cancels the request: its connection is closed, no task is left, and all can be left."""
    before = asyncio.all_tasks()
    async with FaultyServer([hang]) as server:
        async with Shop(base_url=server.url) as shop:
            calls = [asyncio.ensure_future(shop.read(id=1)) for _ in range(3)]
            await server.wait_for(1)
            for call in calls:
                call.cancel()
                await asyncio.wait([call], timeout=BOUND)
            check_at_rest(shop)
            assert not [task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)]
            assert await shop.read(id=1) == {}
        assert len(server.received) == 2
    assert attributes(observed.attempts(), "error.type") == ["cancelled", None]
    assert observed.value("buoy.client.call.active") == 0


async def test_leaving_the_provider_waits_for_the_flight() -> None:
    """A provider that is left lets those who share a flight have their answer."""
    gate = Gate()
    async with FaultyServer([gate.step()]) as server:
        async with Shop(base_url=server.url) as shop:
            calls = [asyncio.ensure_future(shop.read(id=1)) for _ in range(3)]
            await server.wait_for(1)
            asyncio.get_running_loop().call_soon(gate.open)
        assert [call.result() for call in calls] == [[1]] * 3


# Failures, retries, policies.


async def test_a_failure_reaches_each_as_its_own(observed: Observed) -> None:
    """Each caller has an error of its own, with status, headers, problem, time to come back and its own story."""
    gate = Gate()
    problem = b'{"title": "%s"}' % CANARY.encode()
    down = gate.step(503, problem, Content_Type="application/problem+json", Retry_After="7", X_A=CANARY)
    async with FaultyServer([down]) as server, Shop(base_url=server.url) as shop:
        waiting = when_all_wait(shop, server, gate, calls=10, sends=1)
        with logs() as log:
            *errors, _ = await ends(*(shop.read(id=1) for _ in range(10)), waiting)
    assert [type(error) for error in errors] == [buoy.HttpError] * 10
    assert len({id(error) for error in errors}) == 10
    assert {(error.status, error.retry_after, error.headers["x-a"]) for error in errors} == {(503, 7.0, CANARY)}
    assert [error.problem for error in errors] == [{"title": CANARY}] * 10
    assert [error.meta.sends for error in errors] == [1, *[0] * 9]
    assert len({error.meta.request_id for error in errors}) == 10
    traces = [traceback.format_exception(error) for error in errors]
    assert traces == [traces[0]] * 10
    assert CANARY not in "".join(traces[0]) + repr(log.records)
    assert observed.value("buoy.client.calls", result=CallResult.FAILURE) == 10
    assert observed.value("buoy.client.errors", level="call") == 10
    assert observed.value("buoy.client.errors", level="attempt") == 1
    assert attributes(observed.calls(), "error.type") == ["service_unavailable"] * 10


async def test_retries_are_shared(observed: Observed) -> None:
    """A flight that fails is tried again for all of them, in the trace of the first."""
    gate = Gate()
    async with (
        FaultyServer([gate.step(503), answer(200, b"[2]")]) as server,
        Shop(base_url=server.url, retry=AT_ONCE) as shop,
    ):
        waiting = when_all_wait(shop, server, gate, calls=3, sends=1)
        assert await ends(shop.read(id=1), shop.read(id=1), shop.read(id=1), waiting) == [[2], [2], [2], None]
    assert len(server.received) == 2
    assert observed.value("buoy.client.retries") == 1
    assert len({span.context.trace_id for span in observed.attempts() if span.context is not None}) == 1
    assert sorted(attributes(observed.calls(), "buoy.call.attempts")) == [0, 0, 2]


async def test_one_turn_and_one_permit_for_all(observed: Observed) -> None:
    """However many share a flight, the policies of the provider see one call."""
    gate = Gate()
    strict: dict[str, Any] = {"limit": buoy.RateLimit(1, per=3600), "concurrency": buoy.Concurrency(1, max_wait=0)}
    async with FaultyServer([gate.step()]) as server, Shop(base_url=server.url, **strict) as shop:
        waiting = when_all_wait(shop, server, gate, calls=10, sends=1)
        *answers, _ = await ends(*(shop.read(id=1) for _ in range(10)), waiting)
        assert answers == [[1]] * 10
        refusals = await ends(*(shop.read(id=1) for _ in range(3)))
    assert [type(refusal) for refusal in refusals] == [buoy.RateLimitedLocally] * 3
    assert observed.value("buoy.client.refusals") == 3
    assert observed.value("buoy.client.calls", result=CallResult.REFUSED) == 3


# Wrapped functions.


class Ledger:
    """A provider that wraps a function, and what that was called with."""

    def __init__(self, **options: Any) -> None:
        self.provider = buoy.Provider("ledger", retry=None)
        self.asked: list[Any] = []
        self.seen: list[str] = []

        @self.provider.operation("balance", safety="safe", joined=True, **options)
        async def balance(*account: object, **more: object) -> object:
            self.asked.append((account, more))
            self.seen.append(WHO.get())
            await asyncio.sleep(0)
            return buoy.current_call().attempt, account, more

        self.balance = balance


@pytest.mark.parametrize(
    ("one", "other", "sends"),
    [
        (((1,), {}), ((1,), {}), 1),
        (((1,), {}), ((True,), {}), 2),
        (((1,), {}), ((1.0,), {}), 2),
        (((1, 2), {}), ((2, 1), {}), 2),
        (((), {"a": 1, "b": 2}), ((), {"b": 2, "a": 1}), 1),
        (((), {"a": 1}), ((), {"a": True}), 2),
        (((), {"a": 1}), ((), {"b": 1}), 2),
        (((("a", 1),), {}), ((), {"a": 1}), 2),
        (((None,), {}), ((), {}), 2),
        ((("x", b"x"), {}), ((b"x", "x"), {}), 2),
    ],
    ids=str,
)
async def test_arguments_and_their_types_are_what_a_call_asks_for(one: Any, other: Any, sends: int) -> None:
    """Equal arguments of equal types are the same call, in whatever order they were named."""
    ledger = Ledger()
    async with ledger.provider:
        (args, named), (others, other_named) = one, other
        first, second = await ends(ledger.balance(*args, **named), ledger.balance(*others, **other_named))
    assert len(ledger.asked) == sends
    assert (first, second) == ((1, args, named), (1, others, other_named))


@pytest.mark.parametrize("options", [{}, {"fallback": "instead"}], ids=["plain", "with a fallback"])
async def test_arguments_that_cannot_be_compared_are_refused(options: dict[str, Any], observed: Observed) -> None:
    """An argument without a hash is a ``TypeError`` that says so, before there is any call, also with a fallback."""
    ledger = Ledger(**options)
    async with ledger.provider:
        with pytest.raises(TypeError, match=r"ledger balance: joined=True needs arguments that can be hashed"):
            await ledger.balance([CANARY])
        assert ledger.provider.snapshot().active == 0
    assert (ledger.asked, observed.calls()) == ([], [])


async def test_methods_are_joined_by_instance() -> None:
    """The same method of two objects is two calls, and of one object it is one."""
    bank = buoy.Provider("bank", retry=None)
    asked: list[object] = []

    class Account:
        @bank.operation("balance", safety="safe", joined=True)
        async def balance(self) -> object:
            asked.append(self)
            await asyncio.sleep(0)
            return self

    one, other = Account(), Account()
    async with bank:
        assert await ends(one.balance(), other.balance(), one.balance()) == [one, other, one]
    assert asked == [one, other]


async def test_a_function_runs_in_the_context_of_its_first_caller() -> None:
    """Context variables inside are those of the caller who came first."""
    ledger = Ledger()

    async def ask_as(name: str) -> None:
        WHO.set(name)
        await ledger.balance(1)

    async with ledger.provider:
        await ends(asyncio.create_task(ask_as("first")), asyncio.create_task(ask_as("second")))
    assert ledger.seen == ["first"]


class Odd(Exception):
    """An exception that cannot be made again from its ``args``."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"odd {code}")
        self.code = code


@pytest.mark.parametrize(
    "error", [Odd(code=7), KeyError("x"), ConnectionResetError("x")], ids=lambda error: type(error).__name__
)
async def test_an_exception_of_a_function_reaches_all(error: Exception, observed: Observed) -> None:
    """Each caller sees what the function raised: as its own copy where it can be copied, and never another error."""
    bank = buoy.Provider("bank", retry=None)

    @bank.operation("ask", safety="safe", joined=True)
    async def ask() -> None:
        await asyncio.sleep(0)
        raise error

    async with bank:
        first, second, third = await ends(ask(), ask(), ask())
    known = isinstance(error, ConnectionResetError)
    assert type(first) is type(second) is type(third) is (buoy.NetworkError if known else type(error))
    assert (first is second, second is third) == (isinstance(error, Odd),) * 2
    assert str(first) == str(second) == str(third)
    assert [getattr(each, "code", None) for each in (first, second, third)] == [getattr(error, "code", None)] * 3
    assert [each.__cause__ for each in (first, second, third)] == [error if known else None] * 3
    expected = ErrorType.NETWORK_ERROR if known else ErrorType.UNKNOWN
    assert observed.value("buoy.client.errors", **{"error.type": expected, "buoy.error.level": "call"}) == 3
