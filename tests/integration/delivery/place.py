"""Where a situation happens: a receiver, a provider to call, and services in processes of their own."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.integration.delivery.called import Called, being_called
from tests.support import servers
from tests.support.collector import Collector, collecting
from tests.support.repository import ROOT
from tests.support.service import Service, python, serving

PACKAGE = "tests.integration.delivery"
FAILED = "buoy.call.failed"  # the log record that the figures are about: one for each call that failed

# Two spans for each call: of the call, and of its one attempt.
SPANS = 2

# Nothing is exported but on demand: on a busy machine a row must not depend on how long it takes.
ON_DEMAND = {
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "OTEL_BLRP_SCHEDULE_DELAY": "600000",
    "OTEL_METRIC_EXPORT_INTERVAL": "600000",
}

Report = Mapping[str, Any]


class Place:
    """A receiver and a provider; ``folder`` is for what servers print."""

    def __init__(self, collector: Collector, called: Called, folder: Path) -> None:
        self.collector = collector
        self.called = called
        self.folder = folder

    def program(self, name: str, *arguments: object, **environment: str) -> AbstractContextManager[Service]:
        """Run a module below this package."""
        command = python("-m", f"{PACKAGE}.{name}", *map(str, arguments))
        return serving(command, **self.addresses(), **environment)

    def command(self, *command: str, **environment: str) -> AbstractContextManager[Service]:
        """Run any command."""
        return serving(command, **self.addresses(), **environment)

    @contextmanager
    def server(self, arguments: Callable[[int], list[str]], **environment: str) -> Iterator[servers.Server]:
        """Run ``python`` with ``arguments(port)`` for the length of the block, which ends it by SIGTERM."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        path = os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])
        everything = {**inherited, "PYTHONPATH": path, **self.addresses(), **environment}
        log = self.folder / "server.log"
        with servers.started(lambda port: python(*arguments(port)), log, everything) as server:
            yield server

    def addresses(self) -> dict[str, str]:
        """Return the environment that tells a service where everything is."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url, "SHOP_URL": self.called.url}

    # What happened.

    @property
    def calls(self) -> int:
        """How many calls were made, as the provider saw them."""
        return self.called.seen.total()

    @property
    def spans(self) -> int:
        """How many spans of these calls have arrived."""
        return sum(_is_ours(span.attributes) for span in self.collector.spans)

    @property
    def counted(self) -> int:
        """How many of these calls the final counters of all instances have."""
        return round(sum(self.counted_by.values()))

    @property
    def counted_by(self) -> dict[str, float]:
        """How many of these calls the final counters have, by instance."""
        return {
            instance: sum(
                value
                for attributes, value in self.collector.last(instance, "buoy.client.calls").items()
                if _is_ours(dict(attributes))
            )
            for instance in sorted(self.collector.instances)
        }

    @property
    def results(self) -> dict[str, float]:
        """How the calls ended, by the final counters of all instances."""
        results: dict[str, float] = {}
        for instance in self.collector.instances:
            for result, value in self.collector.by(instance, "buoy.client.calls", "buoy.call.result").items():
                results[result] = results.get(result, 0) + value
        return results

    @property
    def logs(self) -> int:
        """How many log records of failed calls have arrived."""
        return sum(record.body.startswith(FAILED) for record in self.collector.logs)

    def spans_by(self) -> dict[str, int]:
        """Return how many spans have arrived, by instance."""
        return {
            instance: sum(span.instance == instance and _is_ours(span.attributes) for span in self.collector.spans)
            for instance in sorted(self.collector.instances)
        }


def _is_ours(attributes: Mapping[str, Any]) -> bool:
    """Tell whether it is about a call to the provider of the place, and not about one that a program made to look."""
    return str(attributes.get("buoy.provider", "")).startswith("shop")


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    """Open a receiver and a provider."""
    with collecting() as collector, being_called() as called:
        yield Place(collector, called, folder)
