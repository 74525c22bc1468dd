"""One try: its requests on the wire, each seen and told, and what goes wrong with them in our own words.

aiohttp may send an idempotent request a second time by itself (RFC 9110 section 9.2.2). A client middleware sees each
send, so that each has its own span and ``traceparent`` and nothing is hidden.
"""

import asyncio
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.client_proto import ResponseHandler

from buoy.errors import Failed
from buoy.events import Resent
from buoy.http import classify, connection, failures, headers, proxy, quota
from buoy.http.body import MisfitError
from buoy.http.upload import Opened, Payload
from buoy.outcome import AttemptKind, DuplicateSource, Outcome, Safety, Verdict
from buoy.pipeline.call import CANCELLED, UNKNOWN, Call, Send, Target
from buoy.pipeline.timer import Timer

# A body that is not what was declared, and yet came as HTTP wants it: its connection may go on.
_WELL_FRAMED = frozenset({"malformed", "misfit"})
_UNDONE = frozenset({Outcome.NOT_SENT, Outcome.REJECTED})


class Exchange:
    """The requests of one try, one after the other, and the last answer. Enter it, and leave it when that is read.

    What leaves it is an error of ours, or one of the caller's own code; by then the last send has ended.
    """

    __slots__ = (
        "_acted",
        "_observed",
        "_open",
        "_opened",
        "_payload",
        "_seen",
        "_target",
        "_trusted",
        "_verdict",
        "call",
        "preparing",
        "response",
        "streamed",
        "timer",
    )

    def __init__(self, call: Call, payload: Payload) -> None:
        self.call = call
        self.preparing = False  # what fails now is the caller's own code, and nothing of the provider's
        self.streamed = False  # the limit of the try ends with the headers
        self.response: aiohttp.ClientResponse | None = None
        self.timer: Timer | None = None  # what it cuts is late
        self._payload = payload
        self._acted = False  # an earlier send of the try may have had its effect
        self._opened: Opened | None = None
        self._open: Send | None = None
        self._verdict: Verdict | None = None
        self._target: Target | None = None
        self._trusted = False
        self._seen = False  # the request has passed the middleware
        self._observed: connection.Observed | None = None

    async def open_body(self) -> Opened:
        """Return the body for the next send."""
        self._opened = await self._payload.open()
        return self._opened

    def begin(self, kind: AttemptKind | None = None, target: Target | None = None, *, trusted: bool = True) -> None:
        """Begin a request on the wire: the try's own, or one that a redirect asked for.

        ``trusted``: it goes to an origin that may have a ``traceparent``, and whose limits are the provider's.
        """
        self._target = target
        self._trusted = trusted
        self._seen = False
        self._observed = None
        self._verdict = None
        self._open = self.call.begin_send(kind, target)

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """See one send of aiohttp's."""
        if self._seen:
            self._begin_again(request)
        self._seen = True
        self._observed = request if isinstance(request, connection.Observed) else None
        send = self._open
        if self._trusted and send is not None and send.traceparent is not None:
            request.headers["traceparent"] = send.traceparent
        try:
            if request.proxy is not None:
                return await proxy.through(request, handler)
            try:
                return await handler(request)
            except connection.SpoiltError:
                return await connection.again(request, handler)
        except (aiohttp.ClientError, OSError) as error:
            # aiohttp may now send again: this one is over. A cancellation stays open, for only the caller of the
            # session learns whether it was aiohttp's timer.
            self.close(self.judge(error))
            raise

    def _begin_again(self, request: aiohttp.ClientRequest) -> None:
        if self.call.plan.safety is Safety.UNSAFE:
            # aiohttp repeats what its method allows; here the declaration says otherwise, and the first verdict stands.
            raise aiohttp.ClientConnectionError
        self._acted = True
        self._open = send = self.call.begin_send(AttemptKind.RESEND, self._target)
        self.call.duplicate = DuplicateSource.RESEND
        self.call.happened(Resent(method=request.method, send=send))

    def stop_timer(self) -> bool:
        """Let the try take longer; tell whether it was late, so that a cancellation is no more than that."""
        timer, self.timer = self.timer, None
        return timer is not None and timer.stop()

    def received(self, response: aiohttp.ClientResponse) -> None:
        """Note what the headers of an answer say."""
        self.response = response
        call, send = self.call, self._open
        if self.streamed:
            self.stop_timer()
        # What another origin says of its own limit is not about ours.
        said = quota.read(response.headers, now=time.time()) if self._trusted else None
        if said is not None and said.quota is not None:
            call.heed(said.quota, said.window)
        if send is not None:
            send.status = response.status
            if send.span is not None or response.status >= 400:
                send.version = _version(response)
                send.provider_request_id = call.provider_request_id = headers.provider_request_id(response.headers)

    def redirected(self, *, acted: bool) -> None:
        """End the request whose answer was a redirect; ``acted``: it was carried out, and the next is another one."""
        self.stop_timer()
        self._acted |= acted
        self.call.unsettled |= acted and self.call.plan.safety is not Safety.SAFE
        self.close(None)
        self.release()
        self._observed = None  # its connection may serve another call by now

    @property
    def protocol(self) -> ResponseHandler | None:
        """What parses the answer, where there is a connection that we know."""
        return None if self._observed is None else self._observed.protocol

    def judge(self, error: BaseException) -> Verdict:
        """Return the verdict on what ended the try; one that was given when the send ended stands."""
        if self._open is None and self._verdict is not None:
            return self._verdict
        if self.call.abandoned:
            return CANCELLED
        # What we cannot watch may have left.
        leaving = self._observed is None or self._observed.leaving
        return classify.exception(error, sending=leaving) or UNKNOWN

    def whole(self, verdict: Verdict) -> Verdict:
        """Return the last send's verdict as that of the try: what was sent before it may have happened."""
        return replace(verdict, outcome=Outcome.UNKNOWN) if self._acted and verdict.outcome in _UNDONE else verdict

    def close(self, verdict: Verdict | None) -> None:
        """End the send that is open, if there is one."""
        if self._open is not None:
            self._verdict = verdict
            self.call.end_send(self._open, verdict)
            self._open = None

    def release(self) -> None:
        """Let go of the answer and of what was opened to send. A body that is not read takes its connection along."""
        if self.response is not None:
            self.response.release()
            self.response = None
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        late = self.timer is not None and self.stop_timer()
        try:
            if error is None:
                self.close(None)
            elif late and isinstance(error, asyncio.CancelledError):
                self._explain(TimeoutError())
            elif isinstance(error, Exception):
                self._explain(error)
            else:
                self.close(CANCELLED)
        finally:
            self.release()
            del error  # an exception kept in a local of a frame of its own traceback is a reference cycle

    def _explain(self, error: Exception) -> None:
        """End the send by what went wrong, and raise it in our own words, unless it is that already."""
        self.call.spent = self._payload.spent
        if self.preparing:
            self.call.own = True
            return
        if isinstance(error, Failed):
            self.close(error.verdict)
            error.verdict = self.whole(error.verdict)
            return
        fault = None if self._opened is None else self._opened.fault
        if fault is not None:
            # The source of the body failed, and the connection only because of that.
            self.call.own = True
            self.close(UNKNOWN if isinstance(fault, Exception) else CANCELLED)
            if fault is error:
                return
            try:
                raise fault
            finally:
                del fault
        if self.protocol is not None and getattr(error, "reason", None) not in _WELL_FRAMED:
            self.protocol.force_close()  # also where it is in the pool already: nobody gets it from there then
        if isinstance(error, MisfitError) and self.response is not None:
            ours: Failed = failures.undecodable(self.call.plan, self.response.status, error)
            self.close(ours.verdict)
            ours.verdict = self.whole(ours.verdict)
        else:
            verdict = self.judge(error)
            self.close(verdict)
            if verdict is UNKNOWN or verdict is CANCELLED:
                return
            ours = failures.broken(self.call.plan, error, self.whole(verdict))
        # aiohttp's texts carry URLs: what is telling in them is in ours, and the rest stays here.
        try:
            raise ours from None
        finally:
            del ours


def _version(response: aiohttp.ClientResponse) -> str | None:
    version = response.version
    return None if version is None else f"{version.major}.{version.minor}"
