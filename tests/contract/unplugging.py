"""Telemetry whose foreign parts raise. That no call notices is shown by the unit tests of ``plugs``."""

from opentelemetry.trace import NoOpTracer

from buoy.telemetry import scope
from buoy.telemetry.plugs import Plugs


def everything() -> None:
    """Unplug a tracer, and an instrument."""
    plugs = Plugs(NoOpTracer(), scope.present().log)
    plugs.unplug_tracer(LookupError())
    plugs.unplugged(LookupError())
