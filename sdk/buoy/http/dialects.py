"""The formats of errors that name themselves, by content type or by shape, and so can be read for every provider.

RFC 9457 (with the problem types of draft-ietf-httpapi-ratelimit-headers-11 and Cloudflare's members), google.rpc.Status
and the older Google form, JSON:API 1.1, JSON-RPC 2.0 (with MCP's codes), and OAuth (RFC 6749, 6750, 8628, 9449, 9470).
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multidict import MultiMapping

from buoy.http import classify
from buoy.http.explanation import Explanation, matching, member, number, records, text, word
from buoy.http.rules import NOTHING, Finding, Rule
from buoy.outcome import ErrorType

_E = ErrorType


def named(table: Mapping[str, Finding], code: str | None) -> Finding:
    """Return what a table says of ``code``, with the code in it; of an unknown one, only the code."""
    return replace(table.get(code or "", NOTHING), code=code)


# RFC 9457. Most types are one provider's own; these are registered, or asked to be.

_PROBLEMS = {
    "quota-exceeded": Finding(error_type=_E.RATE_LIMITED, reason="rate_limit"),
    "temporary-reduced-capacity": Finding(error_type=_E.SERVICE_UNAVAILABLE, reason="overloaded"),
    "abnormal-usage-detected": Finding(error_type=_E.RATE_LIMITED, reason="blocked"),
}
_REGISTRY = re.compile(r"https?://(www\.)?iana\.org/assignments/http-problem-types#([a-z0-9-]{1,64})")
_NAMELESS = re.compile(r"about:blank$|https?://[a-z.-]{1,64}/(doc/html|html|rfc)/rfc[0-9]")


def _problem(status: int, _: MultiMapping[str], body: Explanation) -> Finding | None:
    cloudflare = body.at("cloudflare_error") is True
    if body.media != "application/problem+json" and not cloudflare:
        return None
    kind = text(body.at("type"))
    registered = _REGISTRY.fullmatch(kind)
    known = _PROBLEMS.get(registered[2], NOTHING) if registered else NOTHING
    if cloudflare:
        known = _cloudflare(status, body)
    elif status in {400, 422} and (body.at("errors") or body.at("invalid-params")):
        known = Finding(reason="validation")
    return replace(
        known,
        code=known.code or word(body.at("code")) or _last(kind),
        provider_request_id=known.provider_request_id or body.at("traceId"),  # ASP.NET Core puts it there
    )


def _last(kind: str) -> str | None:
    """Return the part of a type's URI that tells it from the others of its provider."""
    return None if _NAMELESS.match(kind) else word(re.split("[/#:]", kind.rstrip("/"))[-1])


def _cloudflare(status: int, body: Explanation) -> Finding:
    """Read what Cloudflare says of errors that are its own, not the provider's: it also says whether to come back."""
    retryable = body.at("retryable")
    found = Finding(
        code=word(body.at("error_code")),
        retryable=retryable,
        retry_after=number(body.at("retry_after")),
        provider_request_id=body.at("ray_id"),
    )
    if found.code == "1015":
        return replace(found, error_type=_E.RATE_LIMITED, reason="rate_limit")
    return replace(found, reason="blocked") if status == 403 and retryable is False else found


# google.rpc.Status: the enum of google.rpc.Code, then the reasons of google.api.ErrorReason, which know better.

_CODES = {
    "INVALID_ARGUMENT": Finding(error_type=_E.BAD_REQUEST),
    "OUT_OF_RANGE": Finding(error_type=_E.BAD_REQUEST, reason="validation"),
    "FAILED_PRECONDITION": Finding(error_type=_E.CONFLICT, reason="precondition"),
    "UNAUTHENTICATED": Finding(error_type=_E.UNAUTHORIZED, reason="invalid_token"),
    "PERMISSION_DENIED": Finding(error_type=_E.FORBIDDEN, reason="permission"),
    "NOT_FOUND": Finding(error_type=_E.NOT_FOUND),
    "ALREADY_EXISTS": Finding(error_type=_E.CONFLICT, reason="already_exists"),
    "ABORTED": Finding(error_type=_E.CONFLICT, reason="contention"),
    "RESOURCE_EXHAUSTED": Finding(error_type=_E.RATE_LIMITED, reason="rate_limit"),
    "CANCELLED": Finding(error_type=_E.CLIENT_ERROR),
    "UNKNOWN": Finding(error_type=_E.INTERNAL_SERVER_ERROR),
    "INTERNAL": Finding(error_type=_E.INTERNAL_SERVER_ERROR),
    "DATA_LOSS": Finding(error_type=_E.INTERNAL_SERVER_ERROR, retryable=False),
    "UNIMPLEMENTED": Finding(error_type=_E.METHOD_NOT_ALLOWED),
    "UNAVAILABLE": Finding(error_type=_E.SERVICE_UNAVAILABLE),
    "DEADLINE_EXCEEDED": Finding(error_type=_E.GATEWAY_TIMEOUT),
}
_USED_UP = Finding(error_type=_E.RATE_LIMITED, reason="quota_exhausted", retryable=False)
_DISABLED = Finding(error_type=_E.FORBIDDEN, reason="service_disabled")
_REASONS = {
    "RATE_LIMIT_EXCEEDED": Finding(error_type=_E.RATE_LIMITED, reason="rate_limit"),
    "RESOURCE_QUOTA_EXCEEDED": _USED_UP,
    "API_KEY_INVALID": Finding(error_type=_E.UNAUTHORIZED, reason="invalid_token"),  # comes with a 400
    "ACCESS_TOKEN_EXPIRED": Finding(error_type=_E.UNAUTHORIZED, reason="expired_token"),
    "CREDENTIALS_MISSING": Finding(error_type=_E.UNAUTHORIZED, reason="missing_credentials"),
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT": Finding(error_type=_E.FORBIDDEN, reason="insufficient_scope"),
    "ACCOUNT_STATE_INVALID": Finding(error_type=_E.UNAUTHORIZED, reason="account_disabled"),
    "CONSUMER_SUSPENDED": Finding(error_type=_E.FORBIDDEN, reason="account_disabled"),
    "BILLING_DISABLED": Finding(error_type=_E.FORBIDDEN, reason="payment_required"),
    "SERVICE_DISABLED": _DISABLED,
    # the older form of the same, with errors[].reason
    "rateLimitExceeded": Finding(error_type=_E.RATE_LIMITED, reason="rate_limit"),
    "userRateLimitExceeded": Finding(error_type=_E.RATE_LIMITED, reason="rate_limit"),
    "quotaExceeded": _USED_UP,
    "dailyLimitExceeded": _USED_UP,
    "accessNotConfigured": _DISABLED,
    "authError": Finding(error_type=_E.UNAUTHORIZED, reason="invalid_token"),
    "insufficientPermissions": Finding(error_type=_E.FORBIDDEN, reason="insufficient_scope"),
}
_DETAIL = "type.googleapis.com/google.rpc."
_DURATION = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?s")


def _google(status: int, _: MultiMapping[str], body: Explanation) -> Finding | None:
    # A streaming method answers with a list; a gRPC gateway with the status itself, known by its typed details.
    error = body.at("error") or body.at(0, "error") or body.json
    details = {
        text(item.get("@type")).removeprefix(_DETAIL): item
        for item in records(member(error, "details"))
        if text(item.get("@type")).startswith(_DETAIL)
    }
    # The enum has words that anybody may use; only Google's own repeat the HTTP status beside it.
    name = text(member(error, "status")) if member(error, "code") == status else ""
    name = name if name in _CODES else ""
    older = [item.get("reason") for item in records(member(error, "errors")) if "domain" in item]
    if not name and not details and not older:
        return None
    code = member(details.get("ErrorInfo"), "reason") or (older[0] if older and not name else None)
    found = named(_REASONS, word(code))
    if found.error_type is None:
        found = replace(_CODES.get(name, NOTHING), code=found.code or name or None)
    if "BadRequest" in details and found.reason is None:
        found = replace(found, reason="validation")
    return replace(
        found,
        retry_after=_duration(member(details.get("RetryInfo"), "retryDelay")),
        provider_request_id=member(details.get("RequestInfo"), "requestId"),
    )


def _duration(value: Any) -> float | None:
    """Return a protobuf duration in seconds: ``"1.5s"`` in JSON, an object where somebody wrote it field by field."""
    if isinstance(value, dict):
        return number(value.get("seconds"))
    written = matching(_DURATION, value)
    return None if written is None else float(written[:-1])


# JSON:API 1.1: known by its content type, or by the member that only it has.


def _json_api(status: int, _: MultiMapping[str], body: Explanation) -> Finding | None:
    errors = records(body.at("errors"))
    if not errors or (body.media != "application/vnd.api+json" and not isinstance(body.at("jsonapi"), dict)):
        return None
    # Several errors of different kinds come under a status that is right for all of them and precise for none.
    said = {word(item.get("status")) or "" for item in errors}
    only = said.pop() if len(said) == 1 else ""
    precise = int(only) if only.isdigit() and int(only) // 100 == status // 100 else status
    invalid = status in {400, 422} and any(isinstance(item.get("source"), dict) for item in errors)
    return Finding(
        error_type=None if precise == status else classify.status(precise).error_type,
        reason="validation" if invalid else None,
        code=word(errors[0].get("code")),
    )


# JSON-RPC 2.0: the table of the telemetry contract, and the codes of MCP.

_RPC = {
    -32700: Finding(error_type=_E.BAD_REQUEST),
    -32600: Finding(error_type=_E.BAD_REQUEST),
    -32601: Finding(error_type=_E.METHOD_NOT_ALLOWED),
    -32602: Finding(error_type=_E.UNPROCESSABLE_ENTITY, reason="validation"),
    -32603: Finding(error_type=_E.INTERNAL_SERVER_ERROR),
    -32020: Finding(error_type=_E.BAD_REQUEST),
    -32021: Finding(error_type=_E.CLIENT_ERROR),
    -32022: Finding(error_type=_E.CLIENT_ERROR),
    -32042: Finding(error_type=_E.FORBIDDEN, reason="consent_required"),
}
_RPC_MARK = re.compile(rb'"jsonrpc"')
# A 404 with -32600 is a session that ended, a 503 with -32603 is a 503: where a status is this precise, only what it
# cannot say is worth more.
_RPC_PRECISE = frozenset({-32601, -32602})


def _json_rpc(status: int, _: MultiMapping[str], body: Explanation) -> Finding | None:
    if status < 400 and not body.found(_RPC_MARK):
        return None
    code = body.at("error", "code")
    if body.at("jsonrpc") != "2.0" or type(code) is not int:
        return None
    found = Finding(code=word(code))
    if status < 400 or status in {400, 500} or code in _RPC_PRECISE:
        found = replace(_RPC.get(code, NOTHING), code=word(code))
    if found.error_type is None and status < 400:
        return replace(found, error_type=_E.SERVER_ERROR if -32099 <= code <= -32000 else _E.CLIENT_ERROR)
    return found


# OAuth: the challenge of a resource server, and the answer of a token endpoint. Both by their registered words only,
# and no word makes less of a 429 or a 5xx than it is.

_WAITING = Finding(reason="pending", retryable=False)
_PERSON = Finding(error_type=_E.UNAUTHORIZED, reason="consent_required")
_OAUTH = {
    "invalid_token": Finding(error_type=_E.UNAUTHORIZED, reason="invalid_token"),
    "insufficient_scope": Finding(error_type=_E.FORBIDDEN, reason="insufficient_scope"),
    "insufficient_user_authentication": _PERSON,
    "invalid_grant": Finding(error_type=_E.UNAUTHORIZED, reason="invalid_grant"),
    "invalid_client": Finding(error_type=_E.UNAUTHORIZED, reason="invalid_client"),
    "unauthorized_client": Finding(error_type=_E.FORBIDDEN, reason="permission"),
    "access_denied": Finding(reason="permission"),
    "expired_token": Finding(error_type=_E.UNAUTHORIZED, reason="expired_token"),
    "authorization_pending": _WAITING,
    "slow_down": _WAITING,
    "login_required": _PERSON,
    "consent_required": _PERSON,
    "interaction_required": _PERSON,
    "account_selection_required": _PERSON,
    "temporarily_unavailable": Finding(error_type=_E.SERVICE_UNAVAILABLE),
    "server_error": Finding(error_type=_E.INTERNAL_SERVER_ERROR),
    "invalid_request": NOTHING,
    "invalid_scope": NOTHING,
    "invalid_target": NOTHING,
    "invalid_dpop_proof": NOTHING,
    "use_dpop_nonce": NOTHING,
    "unsupported_grant_type": NOTHING,
    "unsupported_token_type": NOTHING,
}
_CHALLENGE = re.compile(r'\b(?:Bearer|DPoP)\b.{0,1024}?[\s,]error\s{0,4}=\s{0,4}"?([a-z_]{1,64})', re.IGNORECASE)


def _oauth(status: int, answer: MultiMapping[str], body: Explanation) -> Finding | None:
    challenge = _CHALLENGE.search(", ".join(answer.getall("WWW-Authenticate", []))[:4096])
    for code in (challenge[1].lower() if challenge else None, body.at("error")):
        if isinstance(code, str) and code in _OAUTH:
            found = named(_OAUTH, code)
            return found if status < 429 else replace(found, error_type=None)
    return None


PROBLEM = Rule("problem", _problem)
GOOGLE = Rule("google", _google)
JSON_API = Rule("json_api", _json_api)
JSON_RPC = Rule("json_rpc", _json_rpc, in_success=True)
OAUTH = Rule("oauth", _oauth)

# For every provider. None of them makes a failure of a success: whoever calls JSON-RPC without saying so may well want
# to read the error in the value.
COMMON = (PROBLEM, GOOGLE, JSON_API, replace(JSON_RPC, in_success=False), OAUTH)
