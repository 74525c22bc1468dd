"""The table of deliveries: what becomes of telemetry in each situation. ``test_table`` measures it."""

from collections.abc import Sequence

from tests.integration.delivery.endings import ENDINGS, SIGNALS
from tests.integration.delivery.forking import FORKING
from tests.integration.delivery.receivers import RECEIVERS
from tests.integration.delivery.row import Section
from tests.integration.delivery.sdks import SDKS
from tests.integration.delivery.servers import SERVERS

SECTIONS: Sequence[Section] = (ENDINGS, SIGNALS, SERVERS, FORKING, RECEIVERS, SDKS)
