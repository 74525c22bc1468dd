"""Which components of the vectors' README are offered today, and which it names but Buoy does not have yet."""

from collections.abc import Mapping

from tests.support.vectors.budget import Ratio
from tests.support.vectors.cancel import Cancel
from tests.support.vectors.component import Component
from tests.support.vectors.retry import AfterHeader, Backoff, Deadline, Eligibility

OFFERED: Mapping[str, type[Component]] = {
    "retry_after_parse": AfterHeader,
    "retry_backoff": Backoff,
    "retry_budget_finagle": Ratio,
    "retry_cancel": Cancel,
    "retry_deadline": Deadline,
    "retry_eligibility": Eligibility,
}

NOT_YET = frozenset(
    {
        "circuit_breaker",
        "idempotency",
        "limiter_fairness",
        "limiter_gcra",
        "limiter_property",
        "limiter_token_bucket",
        "ratelimit_headers",
        "sliding_window",
    }
)
