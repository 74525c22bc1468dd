"""For the tests of those who use Buoy: a scripted provider on a real socket, and aioresponses made to work.

Needs no test framework. What pytest offers by itself where Buoy is installed stands in ``buoy_pytest``.
"""

from buoy.testing.mocked import aioresponses
from buoy.testing.provider import ScriptedProvider
from buoy.testing.received import ReceivedRequest
from buoy.testing.script import Hang

__all__ = ["Hang", "ReceivedRequest", "ScriptedProvider", "aioresponses"]
