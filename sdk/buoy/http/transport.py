"""One try over aiohttp: a request, the redirects that it meets, and the answer, classified and decoded."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from buoy.errors import HttpError
from buoy.http import body, failures, reading, redirect
from buoy.http.cookies import Cookies
from buoy.http.credentials import Outgoing, Signer
from buoy.http.dialects import COMMON
from buoy.http.exchange import Exchange
from buoy.http.location import Origin, origin
from buoy.http.payload import NOTHING
from buoy.http.pool import Pool
from buoy.http.reading import Bodies
from buoy.http.redirect import Body, Hop, NoHop
from buoy.http.request import Answer, Request
from buoy.http.rules import Rule, judge
from buoy.http.stream import Stream
from buoy.outcome import AttemptKind
from buoy.pipeline.admission import another_turn
from buoy.pipeline.call import Call, Target
from buoy.pipeline.timer import Timers

T = TypeVar("T")

_PROBLEM = "application/problem+json"

# Lets go of a streamed answer, and returns when nobody needs it any more.
HandOver = Callable[[Stream[Any]], Awaitable[None]]


class HttpTransport:
    """What one provider sends and gets, in one event loop.

    Credentials, cookies and ``traceparent`` go to the ``trusted`` origins and nowhere else; at most ``redirects`` of
    a try are followed. Without ``cookies`` none are kept.
    """

    __slots__ = (
        "_bodies",
        "_cookies",
        "_pool",
        "_reads_successes",
        "_redirects",
        "_rules",
        "_signer",
        "_timeout",
        "_timers",
        "_trusted",
    )

    def __init__(
        self,
        pool: Pool,
        *,
        trusted: frozenset[Origin],
        redirects: int = redirect.MAX_HOPS,
        cookies: Cookies | None = None,
        signer: Signer | None = None,
        rules: tuple[Rule, ...] = COMMON,
    ) -> None:
        self._pool = pool
        self._trusted = trusted
        self._redirects = redirects
        self._cookies = cookies
        self._signer = signer
        self._rules = rules
        self._reads_successes = any(rule.in_success for rule in rules)
        self._bodies = Bodies()
        self._timers = Timers(asyncio.get_running_loop())
        self._timeout = aiohttp.ClientTimeout(total=None)

    async def send(self, call: Call) -> Answer:
        """Do one try of ``call``. Raises our own errors; the answer is read or released when this returns."""
        request: Request = call.request
        with Exchange(call, request.payload) as exchange:
            response = await self._ask(exchange, request)
            if response.status >= 400:
                raise await self._refused(exchange, response)
            # While a request is still being written its answer is waited for, also where it has come.
            payload = reading.at_once(response, request.sizes) if request.payload is NOTHING else None
            if payload is None:
                payload = await self._bodies.whole(response, exchange.protocol, request.sizes)
            if self._reads_successes:
                failure = self._judged(call, response, payload)
                if failure is not None:
                    raise failure
            value = request.decoder.decode(payload, response.headers.get("Content-Type", ""))
            return Answer(value, response.status, response.headers)

    async def stream(self, call: Call, hand_over: HandOver) -> None:
        """Do one try of ``call`` whose answer is used as it arrives. The try's own limit ends with the headers."""
        request: Request = call.request
        with Exchange(call, request.payload) as exchange:
            exchange.streamed = True
            response = await self._ask(exchange, request)
            if response.status >= 400:
                raise await self._refused(exchange, response)
            pieces = self._bodies.pieces(response, exchange.protocol, request.sizes)
            await hand_over(Stream(response, pieces, request.decoder))

    def identity(self, call: Call) -> tuple[object, ...]:
        """Return what a call asks for, and as whom: what one account may see is no answer for another."""
        request: Request = call.request
        return request.identity() if self._signer is None else (*request.identity(), *self._signer.identity())

    async def close(self) -> None:
        """Close all connections."""
        self._timers.close()
        await self._pool.close()

    # Asking: one request after the other, until an answer is no redirect.

    async def _ask(self, exchange: Exchange, request: Request) -> aiohttp.ClientResponse:
        call, url, sent, data = exchange.call, request.url, request.headers, None
        if request.payload is NOTHING and self._signer is None and self._cookies is None:
            exchange.begin()
            limit = call.limit
        else:
            url, sent, data = await self._prepared(exchange, request.first())
            exchange.begin()
            limit = call.try_left
        response = await self._asking(exchange, request.method, url, sent, data, limit)
        self._arrived(exchange, response, url)
        if response.status in redirect.STATUSES and self._redirects:
            return await self._follow(exchange, request, response)
        return response

    async def _follow(
        self, exchange: Exchange, request: Request, response: aiohttp.ClientResponse
    ) -> aiohttp.ClientResponse:
        """Follow redirects, each a send of the same try with a turn of its own."""
        call, trail = exchange.call, [request.first()]
        while response.status in redirect.STATUSES:
            withheld = frozenset[str]() if self._signer is None else self._signer.withheld
            rules = redirect.Rules(
                origins=self._trusted,
                withheld=withheld,
                max_hops=self._redirects,
                revisits=self._cookies is not None,
            )
            hop = redirect.follow(trail, response.status, response.headers.getall("Location", ()), rules)
            if isinstance(hop, NoHop):
                raise failures.unfollowed(call.plan, response.status, response.headers, hop.text)
            exchange.redirected(acted=hop.method != trail[-1].method)
            await another_turn(call)
            trail.append(hop)
            url, sent, data = await self._prepared(exchange, hop)
            exchange.begin(AttemptKind.REDIRECT, _target(hop), trusted=hop.trusted)
            limit = min(call.try_left, call.time_left)
            response = await self._asking(exchange, hop.method, url, sent, data, limit, trusted=hop.trusted)
            self._arrived(exchange, response, url, trusted=hop.trusted)
        return response

    async def _prepared(self, exchange: Exchange, hop: Hop) -> tuple[URL, CIMultiDict[str], Any]:
        """Return where a request goes, with which headers, and its body: all that is made for each send anew."""
        exchange.preparing = True
        url, sent, data = hop.url, hop.headers.copy(), None
        known: bytes | None = b""
        if hop.body is not Body.NONE:
            opened = await _in_time(exchange, exchange.open_body(), "opening the body")
            opened.add_to(sent)
            data, known = opened.body, opened.data
        if hop.trusted and self._cookies is not None:
            self._cookies.add_to(sent, url)
        if hop.trusted and self._signer is not None:
            outgoing = Outgoing(hop.method, url, sent, known)
            if self._signer.waits:
                await _in_time(exchange, self._signer.sign(outgoing), "auth")
            else:
                await self._signer.sign(outgoing)
            url, sent = outgoing.url, outgoing.headers
        exchange.preparing = False
        return url, sent, data

    def _asking(  # noqa: PLR0917  # on the way of every call
        self,
        exchange: Exchange,
        method: str,
        url: URL,
        sent: CIMultiDict[str],
        data: Any,
        limit: float,
        *,
        trusted: bool = True,
    ) -> Awaitable[aiohttp.ClientResponse]:
        timeout, longest = exchange.call.plan.timeout, exchange.call.request.sizes.headers
        exchange.timer = self._timers.start(limit)
        return (self._pool.session if trusted else self._pool.bare).request(
            method,
            url,
            headers=sent,
            data=data,
            allow_redirects=False,
            middlewares=(exchange,),
            timeout=self._silence(None if timeout is None else timeout.first_byte),
            max_line_size=longest,
            max_field_size=longest,
            **self._pool.options(url),
        )

    def _arrived(self, exchange: Exchange, response: aiohttp.ClientResponse, url: URL, *, trusted: bool = True) -> None:
        exchange.received(response)
        timeout = exchange.call.plan.timeout
        if timeout is not None and timeout.between_bytes != timeout.first_byte:
            _watch_silence(exchange, response, timeout.between_bytes)
        if self._cookies is not None and trusted:
            self._cookies.keep(response, url)

    def _silence(self, first_byte: float | None) -> aiohttp.ClientTimeout:
        """Return aiohttp's timers for a send: the limit of the try is no matter of theirs."""
        if self._timeout.sock_read != first_byte:
            self._timeout = aiohttp.ClientTimeout(total=None, sock_read=first_byte)
        return self._timeout

    # What the answer says.

    async def _refused(self, exchange: Exchange, response: aiohttp.ClientResponse) -> HttpError:
        """Return the error for an answer that says so. Its status counts, also where its body does not come whole."""
        call, lost, payload = exchange.call, None, b""
        if exchange.streamed:
            exchange.timer = self._timers.start(call.try_left)
        try:
            payload = await self._bodies.whole(response, exchange.protocol, call.request.sizes)
        except (aiohttp.ClientError, HttpProcessingError, OSError, body.MisfitError) as error:
            lost = type(error).__name__
        except asyncio.CancelledError:
            if not exchange.stop_timer():
                raise
            lost = TimeoutError.__name__
        failure = self._judged(call, response, payload)
        assert failure is not None  # noqa: S101  # its status says so
        if lost is not None:
            if exchange.protocol is not None:
                exchange.protocol.force_close()
            failure.add_note(f"The body of this answer did not come whole ({lost}): no rule has read it.")
        return failure

    def _judged(self, call: Call, response: aiohttp.ClientResponse, payload: bytes) -> HttpError | None:
        judged = judge(response.status, response.headers, payload, self._rules, now=time.time())
        if judged.quota is not None:
            call.heed(judged.quota)
        if judged.verdict is None:
            return None
        call.provider_request_id = judged.provider_request_id
        problem = _problem(payload, response.headers.get("Content-Type", ""))
        return failures.answered(call.plan, response.status, response.headers, problem, judged)


def _watch_silence(exchange: Exchange, response: aiohttp.ClientResponse, limit: float | None) -> None:
    """From the headers on another limit holds for how long nothing may come."""
    protocol = exchange.protocol
    if protocol is not None and not response.content.is_eof():
        protocol.read_timeout = limit
        # Where we are behind with reading, it begins when that goes on.
        if not protocol._reading_paused:  # noqa: SLF001  # it has no public name
            protocol.start_timeout()


def _target(hop: Hop) -> Target:
    place = origin(hop.url)
    return Target(hop.method, f"{hop.url.origin()}/REDACTED", place.host, place.port)


async def _in_time(exchange: Exchange, step: Coroutine[Any, Any, T], what: str) -> T:
    """Do what the caller's own code does before a send, within the time of the try."""
    call = exchange.call
    left = call.try_left
    timer = asyncio.timeout(None if left == math.inf else left)
    try:
        async with timer:
            return await step
    except TimeoutError:
        if not timer.expired():
            raise
        exchange.preparing = False
        raise failures.unprepared(call.plan, call.limit, what) from None


def _problem(payload: bytes, content_type: str) -> Mapping[str, Any] | None:
    if not content_type.lower().startswith(_PROBLEM):
        return None
    try:
        problem = body.plain(payload, content_type)
    except body.MisfitError:
        return None
    return problem if isinstance(problem, dict) else None
