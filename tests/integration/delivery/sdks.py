"""Who configures OpenTelemetry's SDK, and when."""

import sys
from functools import partial
from pathlib import Path

from tests.integration.delivery.figures import figures
from tests.integration.delivery.place import PACKAGE, Place, Report
from tests.integration.delivery.programs.sdks import CALLS
from tests.integration.delivery.programs.shop import FAILURES
from tests.integration.delivery.row import Fate, Happened, Row, Section, all_of, whole
from tests.support.repository import ROOT
from tests.support.service import python

MADE = CALLS + FAILURES
UNKNOWN: Report = {"flushed": None, "dropped": {}}  # another's SDK does not say

# The command of the package is beside the interpreter.
INSTRUMENT = (
    str(Path(sys.executable).with_name("opentelemetry-instrument")),
    *python("-m", f"{PACKAGE}.programs.sdks", "others"),
)


def running(place: Place, how: str) -> tuple[list[dict[str, object]], Report]:
    """Run the service, and return what it said before its report, and that."""
    with place.program("programs.sdks", how) as service:
        said = [service.hear()]
        while "report" not in said[-1]:
            said.append(service.hear())
        assert service.end() == 0, service.errors
    report: Report = said.pop()["report"]
    return said, report


def raising(place: Place, how: str) -> Happened:
    """Have a span processor that raises: no call notices, spans end there, and a log says so once."""
    _, report = running(place, how)
    assert len(place.collector.spans) == report["spans"]["flushed"]
    (said,) = [record for record in place.collector.logs if record.body == "buoy.telemetry.unplugged"]
    assert said.attributes["exception.type"] == "ValueError"
    assert said.attributes["buoy.telemetry.signal"] == "span"
    return figures(place, unseen_spans=2 * place.calls - place.spans)


def twice(place: Place) -> Happened:
    """Call ``setup`` twice."""
    said, _ = running(place, "twice")
    assert said == [{"same": True}]
    (instance,) = place.collector.instances
    assert place.collector.resource(instance)["service.name"] == "first"
    return figures(place)


def nobody(place: Place, how: str) -> Happened:
    """Have nobody who listens."""
    _, report = running(place, how)
    assert [report[signal] for signal in ("spans", "metrics", "logs")] == [UNKNOWN] * 3
    assert report["result"] == "flushed"
    assert set() == place.collector.instances
    return Happened(
        spans=all_of(0), calls=Fate(made=place.calls, arrived=0, unseen=place.calls), logs=all_of(0), instances=0
    )


def others(place: Place, how: str) -> Happened:
    """Have an SDK that is not ours: it keeps what it exports to itself, so nothing is reported for it."""
    running(place, how)
    return figures(place)


def beside(place: Place) -> Happened:
    """Call ``setup`` beside an SDK of the service's own."""
    said, _ = running(place, "beside")
    assert said == [{"traces": False, "metrics": False}]
    return figures(place)


def late(place: Place, how: str) -> Happened:
    """Configure after 10 calls, whose spans nobody made."""
    running(place, how)
    happened = figures(place)
    spans = Fate(made=happened.spans.made - 2 * CALLS, arrived=happened.spans.arrived)
    return Happened(spans=spans, calls=happened.calls, logs=happened.logs, instances=happened.instances)


def instrumented(place: Place) -> Happened:
    """Run it under ``opentelemetry-instrument``."""
    protocol = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    exporters = {f"OTEL_{signal}_EXPORTER": "otlp" for signal in ("TRACES", "METRICS", "LOGS")}
    with place.command(*INSTRUMENT, **protocol, **exporters) as service:
        assert "report" in service.hear()
        assert service.end() == 0, service.errors
    return figures(place)


def declared(place: Place) -> Happened:
    """Run it under ``opentelemetry-instrument`` with a configuration file."""
    file = ROOT / "tests/integration/delivery/programs/declared.yaml"
    with place.command(*INSTRUMENT, OTEL_CONFIG_FILE=str(file)) as service:
        assert "report" in service.hear()
        assert service.end() == 0, service.errors
    assert {"declared-1"} == place.collector.instances
    return figures(place)


NOBODY = Happened(spans=all_of(0), calls=Fate(made=MADE, arrived=0, unseen=MADE), logs=all_of(0), instances=0)
LATE = Happened(spans=all_of(2 * MADE), calls=all_of(CALLS + MADE), logs=all_of(FAILURES))


def unplugged(spans: int) -> Happened:
    """So many spans arrive; then no more are made."""
    made = 2 * MADE
    return Happened(
        spans=Fate(made=made, arrived=spans, unseen=made - spans), calls=all_of(MADE), logs=all_of(FAILURES)
    )


SDKS = Section(
    title="Who configures the SDK",
    text="Each makes 13 calls, of which 3 fail and are logged, and drains.",
    rows=(
        Row(situation="`buoy.setup()` twice", run=twice, expected=whole(MADE, FAILURES)),
        Row(
            situation="`buoy.setup()` after the first 10 calls",
            run=partial(late, how="setup_late"),
            expected=LATE,
            note="no spans were made before it; counters have all",
        ),
        Row(
            situation="`buoy.setup()`, and a span processor of the service raises when a span begins",
            run=partial(raising, how="raising_at_start"),
            expected=unplugged(0),
            note="no more spans are made; a log says so",
        ),
        Row(
            situation="`buoy.setup()`, and a span processor of the service raises when a span ends",
            run=partial(raising, how="raising_at_end"),
            expected=unplugged(2),
            note="the same",
        ),
        Row(situation="the service itself", run=partial(others, how="programmed"), expected=whole(MADE, FAILURES)),
        Row(
            situation="the service itself, after the first 10 calls",
            run=partial(late, how="programmed_late"),
            expected=LATE,
        ),
        Row(situation="the service itself, and `buoy.setup()` beside it", run=beside, expected=whole(MADE, FAILURES)),
        Row(situation="`opentelemetry-instrument`", run=instrumented, expected=whole(MADE, FAILURES)),
        Row(situation="a declarative file", run=declared, expected=whole(MADE, FAILURES)),
        Row(
            situation="nobody: the SDK is not installed",
            run=partial(nobody, how="absent"),
            expected=NOBODY,
            note="nothing is made",
        ),
        Row(situation="nobody, though it is installed", run=partial(nobody, how="unconfigured"), expected=NOBODY),
    ),
)
