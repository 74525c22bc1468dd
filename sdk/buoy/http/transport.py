"""One try over aiohttp: one request, its answer classified, decoded and released before anybody waits.

aiohttp may send an idempotent request a second time by itself (RFC 9110 section 9.2.2). A client middleware sees each
send, so that each has its own span and ``traceparent`` and nothing is hidden.
"""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any, NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler
from multidict import CIMultiDict
from yarl import URL

from buoy.errors import Failed
from buoy.events import Resent
from buoy.http import body, classify, connection, failures, headers, quota
from buoy.http.credentials import Outgoing, Signer
from buoy.http.dialects import COMMON
from buoy.http.rules import Rule, judge
from buoy.outcome import AttemptKind, DuplicateSource, Outcome, Safety, Verdict
from buoy.pipeline.call import CANCELLED, UNKNOWN, Call, Send

_LARGE = 2**20
_PROBLEM = "application/problem+json"


class Request:
    """What one call sends, the same on every try. The secrets in it stay out of its repr."""

    __slots__ = ("data", "decoder", "headers", "method", "url")

    def __init__(
        self, method: str, url: URL, headers: CIMultiDict[str], data: bytes | None, decoder: body.Decoder[Any]
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.data = data
        self.decoder = decoder

    def payload(self) -> bytes | BytesIO | None:
        """Return the body for one send: a large one as a file, which aiohttp writes in pieces."""
        return BytesIO(self.data) if self.data is not None and len(self.data) >= _LARGE else self.data

    def identity(self) -> tuple[object, ...]:
        """Return all of it in a form that is equal for identical requests."""
        return self.method, str(self.url), tuple(self.headers.items()), self.data

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.origin()}>"


class Answer(NamedTuple):
    """A complete answer."""

    value: Any
    status: int
    headers: Mapping[str, str]


class _Sends:
    """The sends of one try, as an aiohttp client middleware sees them. At most one is open."""

    __slots__ = ("_open", "_request", "_resent", "_verdict", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._open: Send | None = None
        self._request: aiohttp.ClientRequest | None = None
        self._resent = False
        self._verdict: Verdict | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        again = self._request is not None
        if again and self.call.plan.safety is Safety.UNSAFE:
            # aiohttp repeats what its method allows; here the declaration says otherwise, and the first verdict stands.
            raise aiohttp.ClientConnectionError
        self._request = request
        self._open = send = self.call.begin_send(AttemptKind.RESEND if again else None)
        if again:
            self._resent = True
            self.call.duplicate = DuplicateSource.RESEND
            self.call.happened(Resent(method=request.method, send=send))
        if send.traceparent is not None:
            request.headers["traceparent"] = send.traceparent
        try:
            response = await connection.handed(request, handler)
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp may now send again: this one is over. A cancellation stays open, for only the caller of the
            # session learns whether it was aiohttp's timer.
            self.close(self.judge(error))
            raise
        send.status = response.status
        said = quota.read(response.headers, now=time.time())
        if said is not None and said.quota is not None:
            self.call.heed(said.quota, said.window)
        if send.span is not None or response.status >= 400:
            send.version = _version(response)
            send.provider_request_id = self.call.provider_request_id = headers.provider_request_id(response.headers)
        return response

    def judge(self, error: BaseException) -> Verdict:
        """Return the verdict on what ended the try; one that was given when the send ended stands."""
        if self._open is None and self._verdict is not None:
            return self._verdict
        return classify.exception(error, sending=getattr(self._request, "leaving", False)) or UNKNOWN

    @property
    def protocol(self) -> ResponseHandler | None:
        """What parses the answer, where there is a connection."""
        return getattr(self._request, "protocol", None)

    def whole(self, verdict: Verdict) -> Verdict:
        """Return the last send's verdict as that of the try: where it was a resend, the first may have happened."""
        done = verdict.outcome not in {Outcome.NOT_SENT, Outcome.REJECTED}
        return verdict if done or not self._resent else replace(verdict, outcome=Outcome.UNKNOWN)

    def close(self, verdict: Verdict | None) -> None:
        """End the send that is open, if there is one."""
        if self._open is not None:
            self._verdict = verdict
            self.call.end_send(self._open, verdict)
            self._open = None


class HttpTransport:
    """A pool of connections to one provider, in one event loop."""

    __slots__ = ("_bodies", "_reads_successes", "_rules", "_session", "_signer", "_timeout")

    def __init__(self, agent: str, *, signer: Signer | None = None, rules: tuple[Rule, ...] = COMMON) -> None:
        self._bodies = connection.Bodies()
        self._signer = signer
        self._rules = rules
        self._reads_successes = any(rule.in_success for rule in rules)
        self._timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(
            # No limit of the pool's own (aiohttp: 100): a queue in there would hold permits, and its waiting would be
            # told as the provider's. Concurrency is the limit.
            connector=aiohttp.TCPConnector(limit=0),
            request_class=connection.Observed,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": agent},
            timeout=self._timeout,
        )

    async def send(self, call: Call) -> Answer:
        """Do one try of ``call``. Raises our own errors; the answer is read or released when this returns."""
        request: Request = call.request
        url, sent, limit = request.url, request.headers, call.limit
        if self._signer is not None:
            # What an auth function raises is not the provider's failure: it passes as it is.
            signed = await _sign(self._signer, call, request)
            url, sent = signed.url, signed.headers
            limit -= call.loop.time() - call.try_started
        sends = _Sends(call)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._session.request(
                request.method,
                url,
                headers=sent,
                data=request.payload(),
                allow_redirects=False,
                middlewares=(sends,),
                timeout=self._limit(limit),
            )
            answer = self._answer(call, response, await self._bodies.read(response, sends.protocol))
        except Failed as error:
            sends.close(error.verdict)
            error.verdict = sends.whole(error.verdict)
            raise
        except Exception as error:
            verdict = sends.judge(error)
            sends.close(verdict)
            if verdict is UNKNOWN:
                raise
            # aiohttp's texts carry URLs: what is telling in them is in ours, and the rest stays here.
            raise failures.broken(call.plan, error, sends.whole(verdict)) from None
        except BaseException:
            sends.close(CANCELLED)
            raise
        finally:
            if response is not None:
                response.release()
        sends.close(None)
        return answer

    def identity(self, call: Call) -> tuple[object, ...]:
        """Return what a call asks for, and as whom: what one account may see is no answer for another."""
        request: Request = call.request
        return request.identity() if self._signer is None else (*request.identity(), *self._signer.identity())

    def _answer(self, call: Call, response: aiohttp.ClientResponse, payload: bytes) -> Answer:
        content_type = response.headers.get("Content-Type", "")
        if response.status >= 400 or self._reads_successes:
            judged = judge(response.status, response.headers, payload, self._rules, now=time.time())
            if judged.quota is not None:
                call.heed(judged.quota)
            if judged.verdict is not None:
                call.provider_request_id = judged.provider_request_id
                problem = _problem(payload, content_type)
                raise failures.answered(call.plan, response.status, response.headers, problem, judged)
        request: Request = call.request
        try:
            value = request.decoder.decode(payload, content_type)
        except body.MisfitError as misfit:
            raise failures.undecodable(call.plan, response.status, misfit) from None
        return Answer(value, response.status, response.headers)

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _limit(self, seconds: float) -> aiohttp.ClientTimeout:
        """Return aiohttp's timer for a try. Unless told otherwise it rounds up to whole seconds from 5 s on."""
        total = None if seconds == math.inf else seconds
        if self._timeout.total != total:
            self._timeout = aiohttp.ClientTimeout(total=total, ceil_threshold=math.inf)
        return self._timeout


async def _sign(signer: Signer, call: Call, request: Request) -> Outgoing:
    """Return what goes onto the wire: the request with its credentials, made for this try."""
    outgoing = Outgoing(request.method, request.url, request.headers.copy(), request.data or b"")
    if not signer.waits:
        await signer.sign(outgoing)
        return outgoing
    timer = asyncio.timeout(None if call.limit == math.inf else call.limit)
    try:
        async with timer:
            await signer.sign(outgoing)
    except TimeoutError:
        if not timer.expired():
            raise
        raise failures.unsigned(call.plan, call.limit) from None
    return outgoing


def _version(response: aiohttp.ClientResponse) -> str | None:
    version = response.version
    return None if version is None else f"{version.major}.{version.minor}"


def _problem(payload: bytes, content_type: str) -> Mapping[str, Any] | None:
    if not content_type.lower().startswith(_PROBLEM):
        return None
    try:
        problem = body.plain(payload, content_type)
    except body.MisfitError:
        return None
    return problem if isinstance(problem, dict) else None
