"""Sends spans, metrics and logs by OpenTelemetry's exporters (OTLP http/protobuf), and says what did not arrive.

The stock exporters (1.45) take any answer below 400 for success, and do not read how much of a batch it rejects.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import requests
from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE

from buoy.outcome import DropReason, Signal
from buoy.telemetry.packing import pack

Batch = TypeVar("Batch", contravariant=True)

# What the stock exporter has below its public face, and what we send with. Where one is missing, it exports by itself.
_PARTS = ("_client", "_metrics", "_max_request_size", "_shutdown")


class _Protocol(NamedTuple):
    """One signal in the protocol: its part of the names of variables, its answer, and the count in that."""

    variable: str
    answer: Any
    rejected: str


_PROTOCOLS = {
    Signal.SPAN: _Protocol("TRACES", ExportTraceServiceResponse, "rejected_spans"),
    Signal.METRIC: _Protocol("METRICS", ExportMetricsServiceResponse, "rejected_data_points"),
    Signal.LOG: _Protocol("LOGS", ExportLogsServiceResponse, "rejected_log_records"),
}


class Exporter(Protocol[Batch]):
    """What OpenTelemetry's exporters have in common."""

    def export(self, batch: Batch, /) -> Any:
        """Send a batch, and return a member of an enum with ``SUCCESS``."""

    def shutdown(self) -> None:
        """Send no more, and wait for no further try."""


class Sender(Generic[Batch]):
    """Sends the batches of one signal, one at a time, and returns how many items of each were lost, by reason.

    ``make`` makes the exporter, with the session that it is given: ``None`` where the environment names one, whose
    answers cannot be read.
    """

    def __init__(self, signal: Signal, make: Callable[[requests.Session | None], Exporter[Batch]]) -> None:
        self._protocol = _PROTOCOLS[signal]
        self._make = make
        self._status = HTTPStatus.OK.value
        self._rejected = 0
        self._stopped = False
        self.exporter = make(self._session())
        self._is_spent = False

    def send(self, batch: Batch, count: int) -> Counter[DropReason]:
        """Send ``count`` items; blocks until they have arrived or are given up."""
        if self._is_spent:
            self.exporter, self._is_spent = self._make(self._session()), False
        self._status, self._rejected = HTTPStatus.OK.value, 0
        try:
            sent = self.exporter.export(batch).name == "SUCCESS"
        except Exception:  # noqa: BLE001  # whatever an exporter raises, these items did not arrive
            sent = False
        if not sent or self._status >= HTTPStatus.MULTIPLE_CHOICES:
            return Counter({DropReason.SHUTDOWN if self._stopped else DropReason.EXPORT_FAILED: count})
        rejected = min(max(self._rejected, 0), count)
        return Counter({DropReason.PARTIAL_SUCCESS: rejected}) if rejected else Counter()

    def stop(self) -> None:
        """Send no more; what waits for another try is given up."""
        self._stopped = True
        if not self._is_spent:
            self.exporter.shutdown()

    def abort(self) -> None:
        """Try no more to send the present batch; a request that is under way may still arrive."""
        if not self._stopped:
            self.exporter.shutdown()
            self._is_spent = True

    def revive(self) -> None:
        """Send over connections of its own in a forked child; those that it has inherited are the parent's."""
        self._is_spent = True

    def _session(self) -> requests.Session | None:
        credentials = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"
        if any(os.environ.get(credentials.format(part)) for part in ("", f"{self._protocol.variable}_")):
            return None
        session = requests.Session()
        session.hooks["response"].append(self._answered)
        return session

    def _answered(self, response: requests.Response, **_: Any) -> None:
        self._status = response.status_code
        if response.status_code == HTTPStatus.OK:
            try:
                said = self._protocol.answer.FromString(response.content).partial_success
            except DecodeError:
                return  # an answer that is not the protocol's: it took the request, more is not known
            self._rejected += getattr(said, self._protocol.rejected)


class PackingSpanExporter(OTLPSpanExporter):
    """The stock exporter with its settings, retries and metrics; only the encoding is ours."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans; blocks until they have arrived, or are given up."""
        if not all(hasattr(self, part) for part in _PARTS) or self._shutdown:
            return super().export(spans)
        try:
            data = pack(spans)
        except Exception:  # noqa: BLE001  # the stock exporter meets the same, and says so in its log and metrics
            return super().export(spans)
        if 0 < self._max_request_size < len(data):
            return super().export(spans)  # the same
        with self._metrics.export_operation(len(spans)) as result:
            sent = self._client.export(data)
            if sent.success:
                return SpanExportResult.SUCCESS
            result.error = sent.error
            if sent.status_code is not None:
                result.error_attrs = {HTTP_RESPONSE_STATUS_CODE: sent.status_code}
        return SpanExportResult.FAILURE
