"""Answers that are always JSON: each byte of an input is a choice, so that what is changed in it is still an answer.

Changed byte by byte, JSON is mostly none any more, and what rules look for is deep inside of it.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from multidict import CIMultiDict

T = TypeVar("T")

RPC = "type.googleapis.com/google.rpc."
DEPTH = 6
STATUSES = (200, 400, 401, 403, 404, 409, 422, 429, 500, 503)
_NAMES = (
    "error errors code status type reason details domain @type retryDelay seconds requestId jsonrpc jsonapi source "
    "extensions locations data cost requestedQueryCost throttleStatus currentlyAvailable restoreRate ok error_subcode "
    "is_transient fbtrace_id __type Code documentation_url message param decline_code cloudflare_error error_code "
    "retryable retry_after ray_id invalid-params traceId 1 estimated_time_to_regain_access reset_time_duration a"
)
KEYS = tuple(_NAMES.split())
SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 17, 190, 463, 1015, -32602, 400, 403, 404, 429),
    *(1.5, -0.5, 1e308, float("nan"), float("inf"), 10**30),
    *("", "a", "2.0", "1.5s", "9" * 70, "404", "²", "\ud800", "\x1b[0m", "about:blank", "a b"),
    *("PERMISSION_DENIED", "UNAVAILABLE", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED", "THROTTLED", "RATE_LIMITED"),
    *(
        "card_error",
        "lock_timeout",
        "ratelimited",
        "already_x",
        "a#ThrottlingException:b",
        "invalid_grant",
        "slow_down",
    ),
    "https://iana.org/assignments/http-problem-types#quota-exceeded",
    *(f"{RPC}{name}" for name in ("RetryInfo", "ErrorInfo", "BadRequest", "RequestInfo")),
)
HEADERS = (
    ("Content-Type", "application/problem+json"),
    ("Content-Type", "application/vnd.api+json"),
    ("WWW-Authenticate", 'Bearer error="invalid_token"'),
    ("Retry-After", "2.0"),
    ("X-RateLimit-Remaining", "0"),
    ("X-Shopify-Shop-Api-Call-Limit", "50/40"),
    ("x-amzn-errortype", "Throttling"),
    ("x-amz-retry-after", "1"),
)
IN_JSON = ("X-Business-Use-Case-Usage", "X-Ad-Account-Usage")


def answer(data: bytes) -> tuple[int, CIMultiDict[str], bytes]:
    """Return the answer that these choices make; when they are used up, the first of everything is chosen."""
    chosen = iter(data)
    status, said = _one(chosen, STATUSES), CIMultiDict[str]()
    for _ in range(next(chosen, 0) % 3):
        said.add(*_one(chosen, HEADERS))
    if next(chosen, 0) % 8 == 1:
        said.add(_one(chosen, IN_JSON), json.dumps(_value(chosen, DEPTH)))
    return status, said, json.dumps(_value(chosen, DEPTH)).encode()


def choices(status: int, value: Any) -> bytes:
    """Return the bytes that choose this answer, without headers: how a seed is written."""
    return bytes([STATUSES.index(status), 0, 0, *_chosen(value)])


def _chosen(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        yield len(value)
        for key, inner in value.items():
            yield KEYS.index(key)
            yield from _chosen(inner)
    elif isinstance(value, list):
        yield 4 + len(value)
        for inner in value:
            yield from _chosen(inner)
    else:
        yield 0
        yield next(
            place
            for place, known in enumerate(SCALARS)
            if known is value or (known, type(known)) == (value, type(value))
        )


def _value(chosen: Iterator[int], depth: int) -> Any:
    kind = next(chosen, 0) % 8
    if depth and kind in {1, 2, 3, 4}:
        return {_one(chosen, KEYS): _value(chosen, depth - 1) for _ in range(kind)}
    if depth and kind in {5, 6}:
        return [_value(chosen, depth - 1) for _ in range(kind - 4)]
    return _one(chosen, SCALARS)


def _one(chosen: Iterator[int], of: Sequence[T]) -> T:
    return of[next(chosen, 0) % len(of)]
