"""A service that forks: each process counts its own calls, from 0, and nothing is lost or counted twice."""

from functools import partial

from tests.integration.delivery.figures import figures, spread
from tests.integration.delivery.place import Place
from tests.integration.delivery.programs.forks import AFTER, BEFORE, CHILD
from tests.integration.delivery.row import Happened, Row, Section, whole


def multiprocessing(place: Place, method: str) -> Happened:
    """Run the recipe: a parent with two children, each of which drains."""
    with place.program("recipes.processes", method) as service:
        assert service.end() == 0, service.errors
    assert spread(place) == [3, 4, 6]
    return figures(place)


def exporting(place: Place, *signals: str) -> Happened:
    """Fork while the parent waits for the receiver's answer."""
    place.collector.hold(*signals)
    with place.program(
        "programs.forks", "exporting", OTEL_METRIC_EXPORT_INTERVAL="50", OTEL_BSP_SCHEDULE_DELAY="50"
    ) as service:
        place.collector.wait(lambda: all(place.collector.holds(signal) for signal in signals))
        service.tell()
        assert list(service.hear()) == ["forked"]
        place.collector.release()
        reports = {said["who"]: said["report"] for said in (service.hear(), service.hear())}
        assert service.end() == 0
    assert spread(place) == [CHILD, BEFORE + AFTER]
    assert {who: report["spans"]["flushed"] for who, report in reports.items()} == {
        "child": 2 * CHILD,
        "parent": 2 * (BEFORE + AFTER),
    }
    assert {"flushed"} == {report["result"] for report in reports.values()}
    return figures(place)


def calling(place: Place) -> Happened:
    """Fork while another thread has calls in flight: they are the parent's."""
    with place.program("programs.forks", "calling") as service:
        place.called.wait_for_held(BEFORE)
        service.tell()
        assert list(service.hear()) == ["forked"]
        assert service.hear()["who"] == "child"
        place.called.release()
        assert service.hear()["who"] == "parent"
        assert service.end() == 0
    assert spread(place) == [CHILD, BEFORE + AFTER]
    return figures(place)


def entered(place: Place) -> Happened:
    """Fork inside the block of a provider: the child is told that it is the parent's."""
    with place.program("programs.forks", "entered") as service:
        said = service.hear()
        assert said["who"] == "child"
        assert "fork" in said["error"]
        assert service.hear()["who"] == "parent"
        assert service.end() == 0
    assert spread(place) == [BEFORE + 1]
    return figures(place)


def undrained(place: Place) -> Happened:
    """Let a child of multiprocessing end without a drain."""
    with place.program("programs.forks", "undrained") as service:
        assert service.hear()["who"] == "parent"
        assert service.end() == 0
    assert spread(place) == [CHILD, BEFORE]
    return figures(place)


FORKING = Section(
    title="A process forks",
    text="Each process has a `service.instance.id` and counters of its own; a child begins at 0.",
    rows=(
        *(
            Row(
                situation=f"multiprocessing, {method}: a parent and 2 children (recipe)",
                run=partial(multiprocessing, method=method),
                expected=whole(13, instances=3),
            )
            for method in ("fork", "forkserver", "spawn")
        ),
        Row(
            situation="`os.fork()` while metrics are being exported",
            run=lambda place: exporting(place, "metrics"),
            expected=whole(BEFORE + CHILD + AFTER, instances=2),
        ),
        Row(
            situation="`os.fork()` while metrics and spans are being exported",
            run=lambda place: exporting(place, "metrics", "traces"),
            expected=whole(BEFORE + CHILD + AFTER, instances=2),
        ),
        Row(
            situation="`os.fork()` while another thread has calls in flight",
            run=calling,
            expected=whole(BEFORE + CHILD + AFTER, instances=2),
        ),
        Row(
            situation="`os.fork()` inside the block of a provider",
            run=entered,
            expected=whole(BEFORE + 1),
            note="the child's calls there are a `RuntimeError`",
        ),
        Row(
            situation="a child of multiprocessing (fork) that does not drain",
            run=undrained,
            expected=whole(BEFORE + CHILD, instances=2),
            note="multiprocessing's own finalizers do it",
        ),
    ),
)
