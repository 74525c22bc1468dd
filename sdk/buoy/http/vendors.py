"""How single providers say what went wrong, beyond and against their statuses: read only where ``rules=`` declares it.

Sources: the error references of Stripe, Shopify (REST and GraphQL), Meta's Graph API, GitHub (REST and GraphQL) and
Slack; for AWS the Smithy protocols, botocore's list of throttling codes, and the answers of moto.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from multidict import MultiMapping

from buoy.http.dialects import named
from buoy.http.explanation import Explanation, decoded, digits, member, number, records, text, word
from buoy.http.rules import NOTHING, Finding, Rule
from buoy.outcome import ErrorType, Outcome
from buoy.result import Quota

_E = ErrorType

_INVALID = Finding(error_type=_E.BAD_REQUEST, reason="validation")
_TOKEN = Finding(error_type=_E.UNAUTHORIZED, reason="invalid_token")
_EXPIRED = Finding(error_type=_E.UNAUTHORIZED, reason="expired_token")
_PERMISSION = Finding(error_type=_E.FORBIDDEN, reason="permission")
_SCOPE = Finding(error_type=_E.FORBIDDEN, reason="insufficient_scope")
_DISABLED = Finding(error_type=_E.FORBIDDEN, reason="account_disabled")
_MISSING = Finding(error_type=_E.NOT_FOUND)
_EXISTS = Finding(error_type=_E.CONFLICT, reason="already_exists")
_LIMITED = Finding(error_type=_E.RATE_LIMITED, reason="rate_limit")
_INSIDE = Finding(error_type=_E.INTERNAL_SERVER_ERROR)
_AWAY = Finding(error_type=_E.SERVICE_UNAVAILABLE)
_KEY_CONFLICT = Finding(error_type=_E.CONFLICT, reason="key_conflict", retryable=False)


def _keyed(codes: str, finding: Finding) -> dict[str, Finding]:
    return dict.fromkeys(codes.split(), finding)


# Stripe

_STRIPE_CODES = {
    "idempotency_key_in_use": Finding(error_type=_E.CONFLICT, reason="in_progress"),
    # A 429, but of one object, not of the account: a reason to come back, none to slow everything down.
    "lock_timeout": Finding(error_type=_E.CONFLICT, reason="locked", retryable=True),
    "rate_limit": _LIMITED,
    **_keyed("api_key_expired platform_api_key_expired", _EXPIRED),
    "secret_key_required": _TOKEN,
    "more_permissions_required": _PERMISSION,
    "resource_already_exists": _EXISTS,
}
_STRIPE_TYPES = {
    "idempotency_error": _KEY_CONFLICT,
    "card_error": Finding(error_type=_E.CLIENT_ERROR, reason="card_declined", retryable=False),
    "authentication_error": _TOKEN,
    "rate_limit_error": _LIMITED,
}


def _stripe(status: int, _: MultiMapping[str], body: Explanation) -> Finding | None:
    kind, code = text(body.at("error", "type")), text(body.at("error", "code"))
    if not kind:
        return None
    known = _STRIPE_CODES.get(code) or _STRIPE_TYPES.get(kind)
    if known is None:
        invalid = status == 400 and body.at("error", "param") is not None
        known = Finding(reason="validation") if invalid else NOTHING
    return replace(known, code=word(body.at("error", "decline_code")) or word(code) or word(kind))


# Shopify and GitHub speak GraphQL, where a request that failed altogether is a 200 without data.

_ERRORS = re.compile(rb'"errors"')


def _graphql(status: int, body: Explanation, read: Callable[[dict[str, Any]], Finding | None]) -> Finding | None:
    """Return what ``read`` says of the first error it knows; ``None`` where data came, even in part."""
    if status < 400 and not body.found(_ERRORS):
        return None
    errors = records(body.at("errors"))
    if not errors or body.at("data") is not None:
        return None
    found = next(filter(None, map(read, errors)), None)
    # GitHub also has resources that list errors, so an unknown one must look like GraphQL's.
    if found is not None or status >= 400 or not {"locations", "extensions"} & errors[0].keys():
        return found
    # Null data, unlike none, says that execution began (GraphQL specification, section 7.1): something may be done.
    outcome = Outcome.UNKNOWN if "data" in body.json else None
    return replace(_INVALID, code=word(member(errors[0], "extensions", "code")), outcome=outcome)


_SHOPIFY = {
    "THROTTLED": _LIMITED,
    "ACCESS_DENIED": _SCOPE,
    "SHOP_INACTIVE": _DISABLED,
    "MAX_COST_EXCEEDED": Finding(error_type=_E.BAD_REQUEST, reason="too_costly"),
    "INTERNAL_SERVER_ERROR": _INSIDE,
}
_SHOPIFY_STATUS = {
    401: _TOKEN,
    402: Finding(reason="payment_required"),
    403: _PERMISSION,
    423: Finding(reason="account_disabled"),
    429: _LIMITED,
    430: Finding(reason="blocked"),
}
_CALL_LIMIT = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


def _shopify(status: int, answer: MultiMapping[str], body: Explanation) -> Finding | None:
    found = _graphql(status, body, _shopify_error)
    if found is not None:
        return replace(found, retry_after=_restored(body)) if found.error_type is _E.RATE_LIMITED else found
    used = _CALL_LIMIT.fullmatch(answer.get("X-Shopify-Shop-Api-Call-Limit", ""))
    limit = Quota(limit=int(used[2]), remaining=max(0, int(used[2]) - int(used[1]))) if used else None
    if status < 400:
        return Finding(quota=limit)
    found = _SHOPIFY_STATUS.get(status, NOTHING)
    if status in {400, 422} and isinstance(body.at("errors"), dict):
        found = Finding(reason="validation")  # a map from field to complaints; elsewhere `errors` is a sentence
    # "2.0", which no grammar of Retry-After has
    return replace(found, retry_after=digits(answer.get("Retry-After")), quota=limit)


def _shopify_error(error: dict[str, Any]) -> Finding | None:
    code = text(member(error, "extensions", "code"))
    if code not in _SHOPIFY:
        return None
    return replace(named(_SHOPIFY, code), provider_request_id=member(error, "extensions", "requestId"))


def _restored(body: Explanation) -> float | None:
    """Return the seconds until the bucket holds what the query costs; it is filled at a constant rate."""
    cost = body.at("extensions", "cost")
    asked = number(member(cost, "requestedQueryCost"))
    left = number(member(cost, "throttleStatus", "currentlyAvailable"))
    rate = number(member(cost, "throttleStatus", "restoreRate"))
    return None if asked is None or left is None or not rate or rate < 0 else max(0.0, (asked - left) / rate)


# GitHub: one status for "you may not" and for "not so fast"; the headers tell which, and the page that is pointed at.

_GITHUB_GRAPHQL = {
    **_keyed("RATE_LIMITED RATE_LIMIT", _LIMITED),
    "FORBIDDEN": _PERMISSION,
    "INSUFFICIENT_SCOPES": _SCOPE,
    "NOT_FOUND": _MISSING,
    "MAX_NODE_LIMIT_EXCEEDED": Finding(error_type=_E.BAD_REQUEST, reason="too_costly"),
}
_SECONDARY = Finding(error_type=_E.RATE_LIMITED, reason="secondary_limit", retry_after=60)  # "at least one minute"


def _github(status: int, answer: MultiMapping[str], body: Explanation) -> Finding | None:
    found = _graphql(status, body, _github_error)
    if found is not None or status < 400:
        return found
    if status in {403, 429}:
        return _github_limit(status, answer, text(body.at("documentation_url")))
    problems = records(body.at("errors"))
    if status == 422 and problems:
        code = word(problems[0].get("code"))
        return Finding(reason="already_exists" if code == "already_exists" else "validation", code=code)
    return _TOKEN if status == 401 else None


def _github_limit(status: int, answer: MultiMapping[str], page: str) -> Finding:
    about_limits = "rate-limit" in page
    hidden = "Retry-After" in answer or "secondary" in page or "abuse" in page
    used_up = answer.get("X-RateLimit-Remaining", "").strip() == "0" and (about_limits or not page)
    if used_up and not hidden:
        return _LIMITED
    return _SECONDARY if hidden or about_limits or status == 429 else _PERMISSION


def _github_error(error: dict[str, Any]) -> Finding | None:
    kind = text(error.get("type"))
    return named(_GITHUB_GRAPHQL, kind) if kind in _GITHUB_GRAPHQL else None


# Slack: all is a 200, and `ok` tells.

_NOT_OK = re.compile(rb'"ok"\s{0,8}:\s{0,8}false')
_SLACK = {
    **_keyed("ratelimited rate_limited", _LIMITED),
    "not_authed": Finding(error_type=_E.UNAUTHORIZED, reason="missing_credentials"),
    **_keyed("invalid_auth token_revoked", _TOKEN),
    "token_expired": _EXPIRED,
    "account_inactive": Finding(error_type=_E.UNAUTHORIZED, reason="account_disabled"),
    "missing_scope": _SCOPE,
    **_keyed(
        "access_denied accesslimited ekm_access_denied no_permission not_allowed_token_type restricted_action "
        "team_access_not_granted enterprise_is_restricted",
        _PERMISSION,
    ),
    **_keyed("org_login_required two_factor_setup_required", replace(_PERMISSION, reason="consent_required")),
    **_keyed("method_deprecated deprecated_endpoint", replace(_MISSING, reason="gone")),
    "unknown_method": Finding(error_type=_E.METHOD_NOT_ALLOWED),
    "name_taken": _EXISTS,
    # "It's possible some aspect of the operation succeeded before the error was raised."
    **_keyed("internal_error fatal_error", _INSIDE),
    **_keyed("service_unavailable team_added_to_org", _AWAY),
}
_SLACK_FORMS = (
    (re.compile(r"[a-z_]+_not_found"), _MISSING),
    (re.compile(r"already_[a-z_]+"), _EXISTS),
    (re.compile(r"(invalid|missing)_[a-z_]+|[a-z_]+_too_long"), _INVALID),
)


def _slack(_status: int, _: MultiMapping[str], body: Explanation) -> Finding | None:
    if not body.found(_NOT_OK) or body.at("ok") is not False:
        return None
    return _by_form(_SLACK, _SLACK_FORMS, word(body.at("error")), Finding(error_type=_E.CLIENT_ERROR))


def _by_form(
    table: Mapping[str, Finding],
    forms: tuple[tuple[re.Pattern[str], Finding], ...],
    code: str | None,
    otherwise: Finding = NOTHING,
) -> Finding:
    """Return what the table says of ``code``, else the first form that fits it, else ``otherwise``."""
    if code in table:
        return named(table, code)
    return replace(next((found for form, found in forms if form.fullmatch(code or "")), otherwise), code=code)


# Meta: the status is mostly 400, the numbers tell.

_META_LIMITS = frozenset({4, 17, 32, 341, 613, *range(80000, 80015)})
_META = {
    1: _INSIDE,
    2: _AWAY,
    3: _PERMISSION,
    10: _PERMISSION,
    100: _INVALID,
    102: _TOKEN,
    190: _TOKEN,
    368: Finding(error_type=_E.FORBIDDEN, reason="blocked"),
    506: _EXISTS,
    **dict.fromkeys(range(200, 300), _PERMISSION),
    **dict.fromkeys(_META_LIMITS, _LIMITED),
}
# Of 102 and 190. Without a subcode the token has "expired, been revoked, or is otherwise invalid": a new one helps.
_META_TOKENS = {
    458: Finding(error_type=_E.UNAUTHORIZED, reason="consent_required"),
    459: Finding(error_type=_E.UNAUTHORIZED, reason="account_disabled"),
    463: _EXPIRED,
    464: Finding(error_type=_E.UNAUTHORIZED, reason="account_disabled"),
}


def _meta(_status: int, answer: MultiMapping[str], body: Explanation) -> Finding | None:
    code, subcode = body.at("error", "code"), body.at("error", "error_subcode")
    if type(code) is not int:
        return None
    found = _META.get(code, NOTHING)
    if code in {102, 190}:
        found = _META_TOKENS.get(subcode, _TOKEN) if type(subcode) is int else _EXPIRED
    if body.at("error", "is_transient") is True:
        found = replace(found, retryable=True)
    return replace(
        found,
        code="/".join(filter(None, map(word, (code, subcode)))),
        retry_after=_regained(answer) if found.error_type is _E.RATE_LIMITED else None,
        provider_request_id=body.at("error", "fbtrace_id"),
    )


def _regained(answer: MultiMapping[str]) -> float | None:
    """Return the longest time that the usage headers name: minutes in the one, seconds in the other."""
    uses = decoded(answer.get("X-Business-Use-Case-Usage"))
    account = decoded(answer.get("X-Ad-Account-Usage"))
    listed = [use for entries in uses.values() for use in records(entries)] if isinstance(uses, dict) else []
    minutes = [number(use.get("estimated_time_to_regain_access")) for use in listed]
    waits = [60 * minute for minute in minutes if minute] + [number(member(account, "reset_time_duration")) or 0]
    return max(waits) or None


# AWS: throttling in a 400, unknown things in a 400, expired tokens in a 403; the code is in a header, JSON or XML.

_AWS = {
    # botocore's list, without the suffix that only some services add
    **_keyed(
        "BandwidthLimitExceeded EC2Throttled LimitExceededException PriorRequestNotComplete "
        "ProvisionedThroughputExceeded RequestLimitExceeded RequestThrottled SlowDown Throttled Throttling "
        "TooManyRequests",
        _LIMITED,
    ),
    # Without the suffix it is IAM's, and of what the account may own.
    "LimitExceeded": Finding(reason="quota_exhausted"),
    "ServiceQuotaExceeded": Finding(error_type=_E.CLIENT_ERROR, reason="quota_exhausted"),
    **_keyed("ExpiredToken TokenRefreshRequired", _EXPIRED),
    **_keyed("RequestTimeTooSkewed RequestExpired RequestInTheFuture", replace(_TOKEN, reason="clock_skew")),
    **_keyed("SignatureDoesNotMatch InvalidSignature IncompleteSignature", replace(_TOKEN, reason="signature")),
    **_keyed("InvalidClientTokenId UnrecognizedClient InvalidAccessKeyId InvalidToken AuthFailure", _TOKEN),
    "MissingAuthenticationToken": replace(_TOKEN, reason="missing_credentials"),
    **_keyed("AccessDenied UnauthorizedOperation AuthorizationError", _PERMISSION),
    **_keyed("OptInRequired SubscriptionRequired", replace(_PERMISSION, reason="service_disabled")),
    **_keyed("ResourceNotFound QueueDoesNotExist AWS.SimpleQueueService.NonExistentQueue", _MISSING),
    "ConditionalCheckFailed": Finding(error_type=_E.CONFLICT, reason="precondition"),
    "TransactionConflict": Finding(error_type=_E.CONFLICT, reason="contention"),
    "OperationAborted": Finding(error_type=_E.CONFLICT, reason="contention", retryable=True),
    "TransactionInProgress": Finding(error_type=_E.CONFLICT, reason="in_progress", retryable=True),
    "IdempotentParameterMismatch": _KEY_CONFLICT,
    **_keyed("Validation ValidationError Serialization MissingParameter InvalidArgument", _INVALID),
    **_keyed("InternalError InternalFailure InternalServer InternalServerError ServiceFailure", _INSIDE),
    **_keyed("ServiceUnavailable Unavailable", _AWAY),
    "RequestTimeout": Finding(error_type=_E.TIMEOUT),
}
_AWS_FORMS = (
    (re.compile(r"NoSuch[A-Za-z]+|[A-Za-z.]*NotFound"), _MISSING),
    (re.compile(r"[A-Za-z]+AlreadyExists|[A-Za-z]+\.Duplicate"), _EXISTS),
    (re.compile(r"InvalidParameter[A-Za-z]*"), _INVALID),
)
_XML_CODE = re.compile(
    rb"<Error(?:\s[^<>]{0,256})?>\s{0,64}(?:<Type>[A-Za-z]{1,16}</Type>\s{0,64})?<Code>([A-Za-z0-9._:/-]{1,64})</Code>"
)
_XML_REQUEST = re.compile(rb"<Request(?:Id|ID)>([A-Za-z0-9._:-]{1,64})</Request(?:Id|ID)>")


def _aws(_status: int, answer: MultiMapping[str], body: Explanation) -> Finding | None:
    said = answer.get("x-amzn-query-error") or answer.get("x-amzn-errortype")
    in_xml = said is None and body.raw[:64].lstrip().startswith(b"<")
    code = _xml(body, _XML_CODE) if in_xml else _aws_code(said, body)
    if code is None:
        return None
    wait = digits(answer.get("x-amz-retry-after"))  # milliseconds
    return replace(
        _by_form(_AWS, _AWS_FORMS, code if code in _AWS else code.removesuffix("Exception")),
        code=code,
        retry_after=None if wait is None else wait / 1000,
        provider_request_id=_xml(body, _XML_REQUEST) if in_xml else None,
    )


def _aws_code(said: str | None, body: Explanation) -> str | None:
    """Return the code without what is around it: a namespace and ``#`` before, ``:`` and a URI or ``;Sender`` after."""
    full = said or text(body.at("__type")) or text(body.at("code")) or text(body.at("Code"))
    return word(re.split("[:;]", full[:512], maxsplit=1)[0].rpartition("#")[2])


def _xml(body: Explanation, pattern: re.Pattern[bytes]) -> str | None:
    found = body.found(pattern)
    return found[1].decode() if found else None


STRIPE = Rule("stripe", _stripe)
SHOPIFY = Rule("shopify", _shopify, in_success=True)
GITHUB = Rule("github", _github, in_success=True)
SLACK = Rule("slack", _slack, in_success=True)
META = Rule("meta", _meta)
AWS = Rule("aws", _aws)
