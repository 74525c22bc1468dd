"""The checks: what each is about, what is lost where it fails, and how to mend it. The reference is made from them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from buoy.telemetry.diagnosis import symptoms
from buoy.telemetry.diagnosis.reaching import Answer
from buoy.telemetry.diagnosis.symptoms import Examined, Trouble


class Severity(StrEnum):
    """How bad it is: a problem loses telemetry or makes it wrong, a warning may be meant so."""

    PROBLEM = "problem"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: where, and how to mend it. Nothing to mend where it is ``ok``."""

    name: str
    severity: Severity
    what: str
    where: str = ""
    fix: str = ""


Look = Callable[[Examined], Iterable[Trouble]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question. ``loses`` says what is lost, and why; ``well`` is said when there is no trouble, if anything is."""

    name: str
    severity: Severity
    loses: str
    fix: str
    look: Look
    well: str = ""


def diagnose(examined: Examined) -> list[Finding]:
    """Return what all checks found: problems first, then warnings, then what is well."""
    found: list[Finding] = []
    for check in CHECKS:
        places: dict[str, list[str]] = {}
        for trouble in check.look(examined):
            places.setdefault(trouble.what, []).append(trouble.where)
        found += [
            Finding(check.name, check.severity, f"{what}: {check.loses}", ", ".join(where), check.fix)
            for what, where in places.items()
        ]
        if not places and check.well:
            found.append(Finding(check.name, Severity.OK, check.well))
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


_P, _W = Severity.PROBLEM, Severity.WARNING

CHECKS: tuple[Check, ...] = (
    Check(
        "sdk.disabled",
        _P,
        "nothing is recorded and nothing leaves",
        "Unset OTEL_SDK_DISABLED.",
        symptoms.disabled,
        "the SDK is not switched off",
    ),
    Check(
        "provider.none",
        _P,
        "all of this signal is lost, because nobody records it",
        "Call buoy.setup() where the service starts, before its first call; at import, for this check to see it.",
        symptoms.nobody,
    ),
    Check(
        "provider.no_exporter",
        _P,
        "all of this signal is recorded and thrown away",
        "Add a BatchSpanProcessor, a metric reader or a BatchLogRecordProcessor with an OTLP exporter to the provider.",
        symptoms.no_way,
    ),
    Check(
        "provider.overridden",
        _W,
        "OpenTelemetry keeps the first provider; what the second was configured with has no effect",
        "Configure OpenTelemetry in one place: by buoy.setup(), or by the service, or by opentelemetry-instrument.",
        symptoms.overridden,
        "nobody set a second provider",
    ),
    Check(
        "exporter.none",
        _W,
        "none of this signal leaves, as was asked for",
        "Unset it where that is not meant.",
        symptoms.exporter_none,
    ),
    Check(
        "exporter.not_offered",
        _P,
        "buoy.setup() raises ConfigurationError",
        "Set it to otlp, or run the service under opentelemetry-instrument, which has other exporters.",
        symptoms.exporter_other,
    ),
    Check(
        "exporter.protocol",
        _P,
        "buoy.setup() speaks http/protobuf only, and raises ConfigurationError",
        "Unset it (the port is 4318 then), or run the service under opentelemetry-instrument.",
        symptoms.protocol,
    ),
    Check(
        "exporter.timeout",
        _W,
        "it gives up before it has tried again (3 s: within one second), and a restart of the collector loses batches",
        "Set OTEL_EXPORTER_OTLP_TIMEOUT=10 or more; the unit is seconds.",
        symptoms.timeout,
    ),
    Check(
        "exporter.timeout_unit",
        _W,
        "an export that hangs holds back all others, and the end of the process",
        "Set OTEL_EXPORTER_OTLP_TIMEOUT=10: in Python the unit is seconds, where the specification says milliseconds.",
        symptoms.long_timeout,
    ),
    Check(
        "processor.simple",
        _P,
        "every call waits for an export, and all of them hang while the collector is down",
        "Use BatchSpanProcessor, or BatchLogRecordProcessor.",
        symptoms.at_once,
        "nothing is exported within a call",
    ),
    Check(
        "queue.small",
        _P,
        "a burst is dropped, and the SDK's own processor refuses to be made",
        "Raise it above the batch; buoy.setup() takes 16384 spans and 2048 log records where nothing is said.",
        symptoms.queue,
        "queues hold more than a batch",
    ),
    Check(
        "metrics.interval",
        _W,
        "alerts come late, and the last counts of a process that is killed are lost",
        "Set OTEL_METRIC_EXPORT_INTERVAL=10000 (milliseconds).",
        symptoms.interval,
    ),
    Check(
        "metrics.buckets",
        _W,
        "percentiles of calls that take less than a second are lost, because these bounds are made for milliseconds",
        "Leave buoy.* out of the view, give it bounds in seconds, or use an exponential histogram.",
        symptoms.boundaries,
        "durations have buckets in seconds",
    ),
    Check(
        "resource.service_name",
        _P,
        "nobody can tell whose telemetry it is, and it goes together with that of all who have none",
        "Set OTEL_SERVICE_NAME, or call buoy.setup('my-service').",
        partial(symptoms.resource, "service.name"),
        "the service has a name",
    ),
    Check(
        "resource.service_instance_id",
        _P,
        "counters of two processes of the service are one series, which falls and jumps",
        "Make the resource by Resource.create(...), which adds one for each process.",
        partial(symptoms.resource, "service.instance.id"),
        "each process has an id",
    ),
    Check(
        "sampler.off",
        _P,
        "no trace leaves, and no exemplar leads to one; metrics are complete all the same",
        "Unset OTEL_TRACES_SAMPLER, or set it to parentbased_always_on; sample in the gateway.",
        symptoms.never_sampled,
    ),
    Check(
        "sampler.ratio",
        _W,
        "traces of most failures are lost, because it is decided before they fail; metrics are complete all the same",
        "Sample in the gateway, where the outcome is known (tail sampling), and keep all here.",
        symptoms.partly_sampled,
    ),
    Check(
        "sampler.not_parent_based",
        _W,
        "attempts of calls that are not sampled are lost, and traces have holes",
        "Use the parentbased_ form of the sampler.",
        symptoms.not_parent_based,
    ),
    Check(
        "logs.twice",
        _W,
        "each of Buoy's logs arrives more than once",
        "Keep one: a handler of OpenTelemetry, or logs by buoy.setup() (OTEL_LOGS_EXPORTER=none switches these off).",
        symptoms.logged_twice,
    ),
    Check(
        "instrumentor.aiohttp",
        _W,
        "Buoy takes its hooks off the sessions that it uses, so its sends are counted once; but what else uses aiohttp "
        "has spans with whole URLs, and error rates that miss what was not sampled",
        "Nothing for calls through Buoy. Leave the instrumentor out where all calls go through Buoy.",
        symptoms.aiohttp,
    ),
    Check(
        "endpoint.insecure",
        _P,
        "whoever is on the way can read them",
        "Use https, or a sidecar on localhost that has the credentials.",
        symptoms.insecure,
        "no header with a credential leaves in clear",
    ),
    Check(
        "endpoint.grpc_port",
        _W,
        "nothing arrives where gRPC is what listens there",
        "Use port 4318, the one of OTLP over HTTP.",
        symptoms.grpc_port,
    ),
    Check(
        "endpoint.invalid",
        _P,
        "nothing can be sent there",
        "Write it like http://127.0.0.1:4318; the exporters add /v1/traces, /v1/metrics and /v1/logs.",
        partial(symptoms.answered, Answer.INVALID),
    ),
    Check(
        "endpoint.unknown_host",
        _P,
        "nothing arrives, because its name leads nowhere",
        "Check the spelling and the DNS of this host.",
        partial(symptoms.answered, Answer.UNKNOWN_HOST),
    ),
    Check(
        "endpoint.refused",
        _P,
        "nothing arrives, because nobody listens there",
        "Start the collector (sidecar), or set OTEL_EXPORTER_OTLP_ENDPOINT to where it is.",
        partial(symptoms.answered, Answer.REFUSED),
    ),
    Check(
        "endpoint.silent",
        _P,
        "nothing arrives in time, and exports wait",
        "Check the firewall between here and there, and the load of the collector.",
        partial(symptoms.answered, Answer.SILENT),
    ),
    Check(
        "endpoint.untrusted",
        _P,
        "nothing is sent, because TLS fails",
        "Set OTEL_EXPORTER_OTLP_CERTIFICATE to its authority's certificate, or use http where it speaks no TLS.",
        partial(symptoms.answered, Answer.UNTRUSTED),
    ),
    Check(
        "endpoint.unreachable",
        _P,
        "nothing arrives",
        "Check the route between here and there.",
        partial(symptoms.answered, Answer.UNREACHABLE),
    ),
    Check(
        "endpoint.unauthorized",
        _P,
        "everything is turned away",
        "Check OTEL_EXPORTER_OTLP_HEADERS, like authorization=Bearer%20TOKEN.",
        partial(symptoms.answered, Answer.UNAUTHORIZED),
    ),
    Check(
        "endpoint.not_found",
        _P,
        "everything is turned away, for there is no OTLP at this path",
        "Give the base URL by OTEL_EXPORTER_OTLP_ENDPOINT; one for a signal needs its whole path, like /v1/traces.",
        partial(symptoms.answered, Answer.NOT_FOUND),
    ),
    Check(
        "endpoint.not_otlp",
        _P,
        "what answers there is no OTLP receiver, and takes nothing, whatever it says",
        "Check host and port: OTLP over HTTP is 4318.",
        partial(symptoms.answered, Answer.NOT_OTLP),
    ),
    Check(
        "endpoint.failing",
        _P,
        "exports are tried again for as long as the timeout is, and then dropped",
        "Look at the collector: it is overloaded, or what it exports to is down.",
        partial(symptoms.answered, Answer.FAILING),
    ),
    Check(
        "sdk.unknown",
        _W,
        "what is lost cannot be told",
        "Read the configuration by hand; Buoy knows opentelemetry-sdk 1.45.",
        symptoms.unknown,
    ),
)
