"""``buoy demo``: a service calls a faulty provider through Buoy, and its exported telemetry is shown as it arrives.

Four processes: the provider and another server, to which it redirects (both log every request they read), the OTLP
receiver, and this one, the service (whose callers note what they saw). Logs, notes and telemetry are left in a
directory, where a judge can compare them.
"""

import argparse
import asyncio
import logging
import os
import secrets
from contextlib import ExitStack
from pathlib import Path

import buoy
from buoy.cli.demo.callers import Callers
from buoy.cli.demo.load import Load
from buoy.cli.demo.processes import Process
from buoy.cli.demo.service import SECRET, Shop
from buoy.cli.demo.view import REDRAW, View, closing, fetch

# The provider goes away for so many seconds at a time, and lets one client send so many requests per second.
_TEMPER = ("--away", "1.5", "--quota", "100")

# So that the view is live; the environment wins, as it does in any service.
_LIVELY = {"OTEL_BSP_SCHEDULE_DELAY": "500", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``buoy demo``."""
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="how long the load lasts (default 20)")
    parser.add_argument("--seed", type=int, help="seed of faults and load; printed, random by default")
    parser.add_argument("--workers", type=int, choices=range(1, 65), default=12, metavar="1..64", help="default 12")
    parser.add_argument("--out", type=Path, default=Path("buoy-demo"), help="where log and telemetry are left")


def main(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when it ran to its end and everything was exported."""
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    for variable, value in _LIVELY.items():
        os.environ.setdefault(variable, value)
    _log_to(out / "service.log")
    print(f"seed {seed}: {arguments.workers} callers for {arguments.seconds:g} s against a provider that misbehaves")
    with ExitStack() as running:
        shop, receiver = _start(running, out, seed)
        telemetry = buoy.setup(service_name="buoy-demo", endpoint=f"http://127.0.0.1:{receiver.port}")
        asyncio.run(_run(arguments, seed, shop.port, receiver.port))
        exported = telemetry.flush(30.0)
        print(f"\nat the end: {closing(fetch(receiver.port))}")
        telemetry.shutdown()
    print(
        f"\nIn {out}/: the logs of the provider (server.jsonl) and of who it redirects to (depot.jsonl), the callers' "
        "notes (callers.jsonl), and otlp.jsonl."
    )
    if not exported:
        print("Not everything was exported: the receiver did not answer in time.")
    return 0 if exported else 1


def _start(running: ExitStack, out: Path, seed: int) -> tuple[Process, Process]:
    """Start what the service talks to: the provider, and the receiver of its telemetry."""
    server = "buoy.cli.demo.server"
    depot = Process(server, "--log", str(out / "depot.jsonl"), "--site", "depot", "--faults", "none")
    running.enter_context(depot)
    sends_on = ("--depot", f"http://127.0.0.1:{depot.port}")
    shop = Process(server, "--log", str(out / "server.jsonl"), "--seed", str(seed), *_TEMPER, *sends_on)
    receiver = Process("buoy.cli.demo.receiver", "--out", str(out))
    return running.enter_context(shop), running.enter_context(receiver)


async def _run(arguments: argparse.Namespace, seed: int, port: int, receiver: int) -> None:
    callers = Callers(arguments.out / "callers.jsonl")
    headers = {"X-Customer": f"{SECRET}-customer"}
    async with Shop(base_url=f"http://127.0.0.1:{port}", headers=headers) as shop:
        load = Load(shop, callers, seed=seed, workers=arguments.workers, seconds=arguments.seconds)
        watching = asyncio.create_task(_watch(receiver, arguments.seconds))
        try:
            await load.run()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            callers.close()


async def _watch(receiver: int, seconds: float) -> None:
    view = View(seconds)
    with view.open():
        while True:
            view.show(await asyncio.to_thread(fetch, receiver))
            await asyncio.sleep(REDRAW)


def _log_to(path: Path) -> None:
    """Send Buoy's own log to a file: the terminal is the view's."""
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("buoy")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 600:  # noqa: PLR2004  # also refuses NaN
        msg = f"{text} is not from 1 to 600"
        raise argparse.ArgumentTypeError(msg)
    return value
