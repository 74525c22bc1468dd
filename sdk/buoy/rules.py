"""How providers say what went wrong, for ``rules=``: ``class Shop(buoy.Provider, rules=buoy.rules.shopify, ...)``.

``common`` is read for every provider: formats that name themselves. The others are one company's habits, or look
behind a status that says all is well, and are read where they are declared. A rule of your own is a :class:`Rule`.
"""

from buoy.http.dialects import COMMON as common  # noqa: N811  # names of providers, as a caller writes them
from buoy.http.dialects import JSON_RPC as json_rpc  # noqa: N811
from buoy.http.explanation import Explanation
from buoy.http.rules import Finding, Rule
from buoy.http.vendors import AWS as aws  # noqa: N811
from buoy.http.vendors import GITHUB as github  # noqa: N811
from buoy.http.vendors import META as meta  # noqa: N811
from buoy.http.vendors import SHOPIFY as shopify  # noqa: N811
from buoy.http.vendors import SLACK as slack  # noqa: N811
from buoy.http.vendors import STRIPE as stripe  # noqa: N811

__all__ = [
    "Explanation",
    "Finding",
    "Rule",
    "aws",
    "common",
    "github",
    "json_rpc",
    "meta",
    "shopify",
    "slack",
    "stripe",
]
