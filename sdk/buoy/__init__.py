"""Buoy: outgoing calls that are seen and survive.

The floors, imports only point down:
    cli | testing               commands | for the tests of those who use Buoy
    provider                    Provider and its operations
    runtime | rules             wiring | how providers say what went wrong
    telemetry | http            OpenTelemetry and structlog | aiohttp
    pipeline                    the only floor that waits
    policies                    decisions: pure, told the time and the randomness
    contract | events           every telemetry name | records of rare facts
    options, errors, result, outcome    the shared vocabulary
"""

from buoy import contract, rules
from buoy.errors import (
    BreakerOpen,
    BuoyError,
    ConcurrencyLimited,
    ConfigurationError,
    DeadlineExceeded,
    Failed,
    HttpError,
    KeyConflict,
    NeedsConsent,
    NetworkError,
    OutcomeUnknown,
    RateLimitedLocally,
    Refused,
    StateUnavailable,
    TimedOut,
    Undecodable,
)
from buoy.http.auth import Bearer
from buoy.http.credentials import ApiKey, Basic, Outgoing
from buoy.http.multipart import File, Multipart
from buoy.http.pool import Connections
from buoy.http.sizes import Sizes
from buoy.http.sse import ServerSentEvent
from buoy.http.stream import Stream
from buoy.outcome import (
    BreakerState,
    CallResult,
    Category,
    DrainResult,
    DuplicateSource,
    ErrorType,
    Origin,
    Outcome,
    Safety,
    WaitCause,
)
from buoy.policies.breaker import Breaker
from buoy.policies.budget import RetryBudget
from buoy.policies.concurrency import Concurrency
from buoy.policies.deadline import Timeout
from buoy.policies.rate_limit import RateLimit
from buoy.policies.retry import Retry
from buoy.provider.base import Provider
from buoy.provider.declare import delete, get, patch, post, put
from buoy.provider.drain import drain, drain_on_signals
from buoy.provider.function import FunctionOperation, current_call
from buoy.provider.lifetime import Drained
from buoy.provider.operation import BoundOperation, Operation
from buoy.provider.snapshot import Snapshot
from buoy.result import HttpResult, Meta, Quota, Result
from buoy.telemetry.drain import Delivered, DrainReport
from buoy.telemetry.setup import Telemetry, setup
from buoy.version import __version__

__all__ = [
    "ApiKey",
    "Basic",
    "Bearer",
    "BoundOperation",
    "Breaker",
    "BreakerOpen",
    "BreakerState",
    "BuoyError",
    "CallResult",
    "Category",
    "Concurrency",
    "ConcurrencyLimited",
    "ConfigurationError",
    "Connections",
    "DeadlineExceeded",
    "Delivered",
    "DrainReport",
    "DrainResult",
    "Drained",
    "DuplicateSource",
    "ErrorType",
    "Failed",
    "File",
    "FunctionOperation",
    "HttpError",
    "HttpResult",
    "KeyConflict",
    "Meta",
    "Multipart",
    "NeedsConsent",
    "NetworkError",
    "Operation",
    "Origin",
    "Outcome",
    "OutcomeUnknown",
    "Outgoing",
    "Provider",
    "Quota",
    "RateLimit",
    "RateLimitedLocally",
    "Refused",
    "Result",
    "Retry",
    "RetryBudget",
    "Safety",
    "ServerSentEvent",
    "Sizes",
    "Snapshot",
    "StateUnavailable",
    "Stream",
    "Telemetry",
    "TimedOut",
    "Timeout",
    "Undecodable",
    "WaitCause",
    "__version__",
    "contract",
    "current_call",
    "delete",
    "drain",
    "drain_on_signals",
    "get",
    "patch",
    "post",
    "put",
    "rules",
    "setup",
]
