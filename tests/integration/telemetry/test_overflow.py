"""Ten thousand of everything: no instrument grows beyond its cap, what was folded is counted, and memory stays flat.

What is thrown: operations (ad-hoc templates), hosts (where redirects lead, and what providers are declared for), names
of providers, request ids, status texts, error codes in bodies, classes of exceptions, idempotency keys. What is read is
the OTLP that a receiver got; what it must be follows from the log of the server that was called.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.telemetry import flood
from tests.integration.telemetry.configured import MODES
from tests.integration.telemetry.programs import said
from tests.integration.telemetry.provider import Answer, Provider, Request, answering
from tests.integration.telemetry.sink import Labels, Sink, receiving

# What a status is (the contract, section 1), and its category and call result, by hand.
Meaning = tuple[str, str, str]
MEANING: Mapping[int, Meaning | None] = {
    400: ("bad_request", "validation", "caller_error"),
    401: ("unauthorized", "authentication", "failure"),
    403: ("forbidden", "authentication", "failure"),
    404: ("not_found", "not_found", "caller_error"),
    405: ("method_not_allowed", "general", "caller_error"),
    408: ("timeout", "network", "failure"),
    409: ("conflict", "general", "caller_error"),
    418: ("client_error", "general", "caller_error"),
    422: ("unprocessable_entity", "validation", "caller_error"),
    500: ("internal_server_error", "server_error", "failure"),
    502: ("bad_gateway", "server_error", "failure"),
    503: ("service_unavailable", "server_error", "failure"),
    504: ("gateway_timeout", "server_error", "failure"),
    505: ("server_error", "server_error", "failure"),
    200: None,
}
CALLS, CALL, ATTEMPT = "buoy.client.calls", "buoy.client.call.duration", "buoy.client.attempt.duration"
OVERFLOWS = "buoy.telemetry.attribute_overflows"
CAP, MOST = 1_500, 2_000  # as the issue has them
BLOCKS = 0.25  # small objects that a name may leave behind
PEAK = 16 * 1024  # kibibytes


@dataclass
class Flooded:
    """What came of one run with so many names of each kind."""

    names: int
    provider: Provider
    sink: Sink
    said: list[dict[str, Any]]


# Ten thousand where Buoy configures OpenTelemetry; enough to pass every cap where somebody else does.
NAMES = {mode: 10_000 if mode == "setup" else 2_000 for mode in MODES}


@pytest.fixture(scope="module", params=NAMES)
def flooded(request: pytest.FixtureRequest) -> Iterator[Flooded]:
    """Run the flood once for each way to configure OpenTelemetry."""
    names = NAMES[request.param]
    with answering(_say) as provider, receiving() as sink:
        told = said(
            f"from tests.integration.telemetry import flood; flood.main({request.param!r}, {provider.url!r}, {names})",
            OTEL_EXPORTER_OTLP_ENDPOINT=sink.url,
            OTEL_BSP_MAX_QUEUE_SIZE="2048",  # spans that wait are bounded, and no matter here
            OTEL_METRIC_EXPORT_INTERVAL="3600000",  # when flushed, and not while memory is measured
        )
        yield Flooded(names, provider, sink, told)


_counter = iter(range(10**9))


def _say(path: str, asked: Mapping[str, str]) -> Answer:
    """Answer with something new in every place that a provider can put a word."""
    new = next(_counter)
    headers = {"X-Request-Id": f"flooded-{new}", "Server": f"flooded/{new}"}
    if path == "/away":
        return Answer(302, f"Flooded {new}", {**headers, "Location": f"http://{asked['to']}:9/"})
    body = b'{"error": {"code": "flooded_%d", "type": "flooded_%d"}}' % (new, new)
    return Answer(int(asked["say"]), f"Flooded {new}", headers, body)


class Kept:
    """The rule of the contract for one metric: the first 1,500 sets stay as they are, later ones keep who and what."""

    def __init__(self) -> None:
        self.counts: Counter[Labels] = Counter()
        self.own: set[Labels] = set()
        self.folded = 0

    def add(self, labels: Mapping[str, str], times: int = 1, *, folded: bool = False) -> None:
        """Count so many measurements; ``folded``: the operation had no room among the 200."""
        key: Labels = frozenset(labels.items())
        if key not in self.own and len(self.own) == CAP:
            kept = {"buoy.provider", "error.type", "buoy.error.category"}
            key, folded = frozenset((name, value if name in kept else "_OTHER") for name, value in labels.items()), True
        else:
            self.own.add(key)
        self.counts[key] += times
        self.folded += times if folded else 0


class Expected:
    """What must be counted: by the log of the server, and for the bank, which has none, by what it is."""

    def __init__(self, flooded: Flooded) -> None:
        self.kept = {name: Kept() for name in (CALLS, CALL, ATTEMPT)}
        self.errors: Counter[Labels] = Counter()
        # "away" of the shop and "fail" of the bank have two of the 200 places.
        self.operations: set[str] = {"away", "fail"}
        self._call("bank", "fail", ("unknown", "general", "failure"), "function", flooded.names)
        self._send("bank", "fail", ("unknown", "general", "failure"), "first", flooded.names)
        for request in flooded.provider.log:
            self._take(request)

    def _take(self, request: Request) -> None:
        if request.path == "/away":  # and where it led, nobody listened
            self._send("shop", "away", None, "first")
            self._send("shop", "away", ("network_error", "network", "failure"), "redirect")
            self._call("shop", "away", ("network_error", "network", "failure"), "http")
        else:
            operation = f"get{request.path.replace('/', '.')}"
            if len(self.operations) < flood.NAMED:
                self.operations.add(operation)
            self._send("shop", operation, MEANING[request.status], "first")
            self._call("shop", operation, MEANING[request.status], "http")

    def _call(self, provider: str, operation: str, meaning: Meaning | None, transport: str, times: int = 1) -> None:
        name, folded = self._named(provider, operation)
        result = "success" if meaning is None else meaning[2]
        self.kept[CALLS].add({**name, "buoy.call.result": result}, times, folded=folded)
        labels = {**name, "buoy.transport": transport, **self._error(provider, meaning, "call", times)}
        self.kept[CALL].add(labels, times, folded=folded)

    def _send(self, provider: str, operation: str, meaning: Meaning | None, kind: str, times: int = 1) -> None:
        name, folded = self._named(provider, operation)
        labels = {**name, "buoy.attempt.kind": kind, **self._error(provider, meaning, "attempt", times)}
        self.kept[ATTEMPT].add(labels, times, folded=folded)

    def _named(self, provider: str, operation: str) -> tuple[dict[str, str], bool]:
        room = operation in self.operations
        return {"buoy.provider": provider, "buoy.operation": operation if room else "_OTHER"}, not room

    def _error(self, provider: str, meaning: Meaning | None, level: str, times: int) -> dict[str, str]:
        if meaning is None:
            return {}
        error = {"error.type": meaning[0], "buoy.error.category": meaning[1]}
        self.errors[frozenset({"buoy.provider": provider, **error, "buoy.error.level": level}.items())] += times
        return error


def test_no_instrument_grows_beyond_its_cap(flooded: Flooded) -> None:
    """In no export has an instrument more than 1,500 sets of its own, nor 2,000 with those that were folded."""
    assert {name: count for name, count in flooded.sink.most_sets().items() if count > MOST} == {}
    own = {name: sum(not _is_folded(labels) for labels in flooded.sink.last(name)) for name in flooded.sink.metrics()}
    assert {name: count for name, count in own.items() if count > CAP} == {}
    assert (own[CALL], own[ATTEMPT]) == (CAP, CAP)  # so that it was the cap that held


def test_every_count_is_right_also_where_it_was_folded(flooded: Flooded) -> None:
    """Calls, sends and errors are those of the server's log, each under its own name or under ``_OTHER``."""
    expected = Expected(flooded)
    for metric, kept in expected.kept.items():
        assert kept.counts == flooded.sink.numbers(metric), metric
    assert expected.errors == flooded.sink.numbers("buoy.client.errors")
    assert [fall for name in (*expected.kept, OVERFLOWS) for fall in flooded.sink.falls(name)] == []


def test_the_overflow_counter_says_how_many_were_folded(flooded: Flooded) -> None:
    """``buoy.telemetry.attribute_overflows`` is, by instrument, the exact number of measurements under ``_OTHER``."""
    expected = Expected(flooded)
    folded = {metric: kept.folded for metric, kept in expected.kept.items()}
    assert {frozenset({("buoy.telemetry.instrument", name)}): n for name, n in folded.items()} == (
        flooded.sink.numbers(OVERFLOWS)
    )
    for metric, kept in expected.kept.items():
        others = {labels: n for labels, n in flooded.sink.numbers(metric).items() if _is_folded(labels)}
        assert kept.folded == sum(others.values()), metric


def test_the_log_names_each_instrument_once(flooded: Flooded) -> None:
    """The event ``buoy.telemetry.overflow`` comes once for each instrument that has a folded series, be it at 0."""
    assert flooded.said[-1] == {"logged": {CALLS: 1, CALL: 1, ATTEMPT: 1, "buoy.client.in_doubt": 1}}


def test_nothing_that_was_thrown_became_a_series(flooded: Flooded) -> None:
    """The SDK itself folded nothing, and no label of a metric has a word that came from outside."""
    sink, operations = flooded.sink, Expected(flooded).operations
    labels = {(key, value) for name in sink.metrics() for series in sink.last(name) for key, value in series}
    assert "otel.metric.overflow" not in {key for key, _ in labels}
    thrown = {str(value) for key, value in labels if re.search("(?i)flooded|127[.]", str(value))}
    assert thrown - {f"flooded{number}" for number in range(18)} <= operations  # 18 providers found room


def test_spans_of_what_found_no_room_have_no_name_of_it(flooded: Flooded) -> None:
    """A span of the ten-thousandth operation is named ``_OTHER``, as is its template: an id may be in it."""
    operations = Expected(flooded).operations
    calls = Counter(span.name for span in flooded.sink.spans if "buoy.call.safety" in span.attributes)
    assert {name.partition(" ")[2] for name in calls} <= {*operations, "_OTHER"}
    templates = {span.attributes["url.template"] for span in flooded.sink.spans if "url.template" in span.attributes}
    assert len(templates) <= flood.NAMED
    assert "/_OTHER" in templates


def test_memory_is_flat(flooded: Flooded) -> None:
    """After a fifth of the names of a kind, the others leave less than a quarter of a small object each behind."""
    waves = {said["wave"]: said for said in flooded.said if "wave" in said}
    most = max(BLOCKS * 0.8 * flooded.names, 1_000)  # caches of aiohttp and yarl fill up, whatever the names are
    assert {"hosts", "exceptions", "operations", "declarations"} == set(waves)
    assert {name: said["blocks"] for name, said in waves.items() if said["blocks"] > most} == {}
    assert {name: said["peak"] for name, said in waves.items() if said["peak"] > PEAK} == {}


def test_declared_limits_are_errors_before_anything_is_sent(flooded: Flooded) -> None:
    """Providers beyond the twentieth, and another host under a known name, are refused where they are declared."""
    assert {"refused": {"names": flooded.names - 18, "hosts": flooded.names}} in flooded.said
    assert 2 * flooded.names + flood.NAMED * len(flood.STATUSES) == len(flooded.provider.log)


def _is_folded(labels: Labels) -> bool:
    return "_OTHER" in {value for _, value in labels}
