"""Servers with workers, ended by SIGTERM: uvicorn and gunicorn, with the applications of the recipes."""

import json
import urllib.request
from collections import Counter
from collections.abc import Callable
from functools import partial

from tests.integration.delivery.figures import figures, spread
from tests.integration.delivery.place import PACKAGE, Place
from tests.integration.delivery.row import Fate, Happened, Row, Section

MOST = 500  # requests until each worker has had one


def served(place: Place, arguments: Callable[[int], list[str]], *, workers: int, idle: int = 0) -> Happened:
    """Ask until each worker has answered, end the server, and compare each worker's figures with its calls.

    ``idle`` processes export their zeros, and have made no call.
    """
    made: Counter[int] = Counter()
    with place.server(arguments) as server:
        for _ in range(MOST):
            with urllib.request.urlopen(server.url, timeout=60) as response:  # noqa: S310  # our own server
                said = json.load(response)
            made[said["process"]] += said["calls"]
            if len(made) == workers and made.total() >= 20:
                break
        server.stop()
    assert workers == len(made)
    assert sorted(made.values()) == [calls for calls in spread(place) if calls]
    assert workers + idle == len(place.collector.instances)
    happened = figures(place)
    return Happened(
        spans=_scaled(happened.spans), calls=_scaled(happened.calls), logs=happened.logs, instances=happened.instances
    )


def _scaled(fate: Fate) -> Fate:
    """Return it per 100 made: how many requests it took is chance."""
    return Fate(made=100, arrived=100 * fate.arrived // fate.made, lost=fate.lost, unseen=fate.unseen)


def _uvicorn(port: int, *, workers: int) -> list[str]:
    options = ["--port", str(port), "--workers", str(workers), "--log-level", "warning"]
    return ["-m", "uvicorn", f"{PACKAGE}.recipes.asgi:app", *options]


def _gunicorn(port: int, *, recipe: str, options: list[str]) -> list[str]:
    common = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--no-control-socket", *options]
    return ["-m", "gunicorn", f"{PACKAGE}.recipes.{recipe}:app", *common]


def uvicorn(workers: int) -> Row:
    """Return the row of uvicorn."""
    return Row(
        situation=f"uvicorn, {workers} worker{'s' * (workers > 1)}, lifespan (recipe)",
        run=lambda place: served(place, partial(_uvicorn, workers=workers), workers=workers),
        expected=_everything(workers),
    )


def gunicorn(recipe: str, *options: str, idle: int = 0) -> Row:
    """Return a row of gunicorn."""
    return Row(
        situation=f"gunicorn {' '.join(options)}, {_LOOPS[recipe]} (recipe)",
        run=lambda place: served(place, partial(_gunicorn, recipe=recipe, options=[*options]), workers=2, idle=idle),
        expected=_everything(2 + idle),
    )


def _everything(instances: int) -> Happened:
    every = Fate(made=100, arrived=100)
    return Happened(spans=every, calls=every, logs=Fate(made=0, arrived=0), instances=instances)


_LOOPS = {"wsgi": "a loop for each request", "threads": "a loop for each worker"}

SERVERS = Section(
    title="A server with workers ends by SIGTERM",
    text="Figures per 100 calls: each worker's own counters are compared with the calls that it made.",
    rows=(
        uvicorn(1),
        uvicorn(2),
        gunicorn("wsgi", "--worker-class=sync"),
        gunicorn("wsgi", "--worker-class=sync", "--preload", idle=1),
        gunicorn("wsgi", "--worker-class=gthread", "--threads=2"),
        gunicorn("threads", "--worker-class=gthread", "--threads=2", "--preload", idle=1),
    ),
)
