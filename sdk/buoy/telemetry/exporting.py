"""Exports spans over OTLP http/protobuf, packed by ours and sent by the stock exporter; says what did not arrive."""

import os
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Literal

import requests
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE

from buoy.telemetry.packing import pack

Reason = Literal["export_failed", "partial_success", "shutdown"]
OnLoss = Callable[[str, Reason, int], None]

_SIGNAL = "traces"
# What the stock exporter has below its public face, and what we send with. Where one is missing, it exports by itself.
_PARTS = ("_client", "_metrics", "_max_request_size", "_shutdown")

# With these the environment names the session. The stock exporter makes it, and its answers are not read.
_SESSIONS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)


class PackingSpanExporter(OTLPSpanExporter):
    """The stock exporter with its settings, retries and metrics; only the encoding is ours.

    ``on_loss(signal, reason, count)`` is told of spans that the receiver rejected, and of batches that did not get
    there. It is called from the thread that exports, and must not raise.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        timeout: float | None = None,
        session: requests.Session | None = None,
        on_loss: OnLoss,
    ) -> None:
        if session is None and not any(os.environ.get(variable) for variable in _SESSIONS):
            session = requests.Session()
        if session is not None:
            session.hooks["response"].append(self._answered)
        super().__init__(endpoint, timeout=timeout, session=session)
        self._on_loss = on_loss
        self._rejected = 0
        self._packs = all(hasattr(self, part) for part in _PARTS)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans; blocks until they have arrived, or are given up."""
        self._rejected = 0
        done = self._send(spans)
        if done is not SpanExportResult.SUCCESS:
            self._on_loss(_SIGNAL, "shutdown" if getattr(self, "_shutdown", False) else "export_failed", len(spans))
        elif self._rejected > 0:
            self._on_loss(_SIGNAL, "partial_success", min(self._rejected, len(spans)))
        return done

    def _send(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self._packs or self._shutdown:
            return super().export(spans)
        try:
            data = pack(spans)
        except Exception:  # noqa: BLE001  # the stock exporter meets the same, and says so in its log and metrics
            return super().export(spans)
        if 0 < self._max_request_size < len(data):
            return super().export(spans)  # the same
        with self._metrics.export_operation(len(spans)) as result:
            sent = self._client.export(data)
            # A redirect is not followed, and so no success, whatever the client says of it.
            if sent.success and (sent.status_code or 0) < HTTPStatus.MULTIPLE_CHOICES:
                return SpanExportResult.SUCCESS
            result.error = sent.error
            if sent.status_code is not None:
                result.error_attrs = {HTTP_RESPONSE_STATUS_CODE: sent.status_code}
        return SpanExportResult.FAILURE

    def _answered(self, response: requests.Response, **_: Any) -> None:
        """Read how many spans the receiver rejected, which the stock exporter does not."""
        if response.status_code != HTTPStatus.OK:
            return
        try:
            self._rejected = ExportTraceServiceResponse.FromString(response.content).partial_success.rejected_spans
        except DecodeError:
            self._rejected = 0  # an answer that is not the protocol's: it took the request, more is not known
