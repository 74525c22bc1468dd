"""The components that the vectors' README names, all of them."""

from collections.abc import Mapping

from tests.support.vectors.breaker import Switch, Window
from tests.support.vectors.budget import Ratio
from tests.support.vectors.cancel import Cancel
from tests.support.vectors.component import Component
from tests.support.vectors.idempotency import Keys
from tests.support.vectors.limiter import Fairness, Gcra, LongRun, TokenBucket
from tests.support.vectors.quota import RateHeaders
from tests.support.vectors.retry import AfterHeader, Backoff, Deadline, Eligibility

OFFERED: Mapping[str, type[Component]] = {
    "circuit_breaker": Switch,
    "idempotency": Keys,
    "limiter_fairness": Fairness,
    "limiter_gcra": Gcra,
    "limiter_property": LongRun,
    "limiter_token_bucket": TokenBucket,
    "ratelimit_headers": RateHeaders,
    "retry_after_parse": AfterHeader,
    "retry_backoff": Backoff,
    "retry_budget_finagle": Ratio,
    "retry_cancel": Cancel,
    "retry_deadline": Deadline,
    "retry_eligibility": Eligibility,
    "sliding_window": Window,
}
