"""What the formats that name themselves are understood as: answers as the standards and their users have them."""

from typing import Any

import pytest

from buoy.http.dialects import JSON_RPC
from buoy.outcome import ErrorType, Outcome
from tests.unit.http.answers import Case

E = ErrorType
UNKNOWN = Outcome.UNKNOWN
PROBLEM = "application/problem+json"
IANA = "https://iana.org/assignments/http-problem-types#"


def google(status: str, code: int, *details: dict[str, Any]) -> dict[str, Any]:
    """Return google.rpc.Status as Google's HTTP APIs write it."""
    prefix = "type.googleapis.com/google.rpc."
    typed = [{**item, "@type": prefix + item["@type"]} for item in details]
    return {"error": {"code": code, "message": "a sentence", "status": status, "details": typed}}


def info(reason: str) -> dict[str, Any]:
    """Return the ErrorInfo with this reason."""
    return {"@type": "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": {"service": "x"}}


def older(reason: str, domain: str, code: int) -> dict[str, Any]:
    """Return an error as Google's older APIs write it."""
    return {"error": {"code": code, "errors": [{"domain": domain, "reason": reason, "message": "x"}], "message": "x"}}


def rpc(code: int) -> dict[str, Any]:
    """Return a JSON-RPC error."""
    return {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "a sentence"}}


# RFC 9457 (sections 3 and 3.1), draft-ietf-httpapi-ratelimit-headers-11 section 5, the ProblemDetails of ASP.NET Core,
# RFC 8555 section 6.7, and Cloudflare's "RFC 9457 agent error pages".
PROBLEMS: list[Case] = [
    Case(
        "out of credit",
        403,
        {
            "type": "https://example.com/probs/out-of-credit",
            "title": "You do not have enough credit.",
            "detail": "Your current balance is 30, but that costs 50.",
            "instance": "/account/12345/msgs/abc",
            "balance": 30,
            "accounts": ["/account/12345", "/account/67890"],
        },
        E.FORBIDDEN,
        None,
        "out-of-credit",
        media=PROBLEM,
    ),
    Case(
        "validation error",
        422,
        {
            "type": "https://example.net/validation-error",
            "title": "Your request is not valid.",
            "errors": [{"detail": "must be a positive integer", "pointer": "#/age"}],
        },
        E.UNPROCESSABLE_ENTITY,
        "validation",
        "validation-error",
        media=f"{PROBLEM}; charset=utf-8",
    ),
    Case("about:blank", 404, {"type": "about:blank"}, E.NOT_FOUND, media=PROBLEM),
    Case("no type", 410, {"title": "Gone"}, E.NOT_FOUND, "gone", media=PROBLEM),
    Case(
        "quota exceeded",
        429,
        {"type": f"{IANA}quota-exceeded", "title": "x", "violated-policies": ["daily", "bandwidth"]},
        E.RATE_LIMITED,
        "rate_limit",
        "quota-exceeded",
        media=PROBLEM,
        headers={"RateLimit": '"daily";r=0;t=40'},
        after=40,
        again=True,
    ),
    Case(
        "reduced capacity",
        503,
        {"type": f"{IANA}temporary-reduced-capacity", "title": "x", "violated-policies": ["hourly"]},
        E.SERVICE_UNAVAILABLE,
        "overloaded",
        "temporary-reduced-capacity",
        media=PROBLEM,
        again=True,
        outcome=UNKNOWN,
    ),
    Case(
        "abnormal usage",
        429,
        {"type": f"{IANA}abnormal-usage-detected", "title": "x"},
        E.RATE_LIMITED,
        "blocked",
        "abnormal-usage-detected",
        media=PROBLEM,
        again=True,
    ),
    Case(
        "ASP.NET Core",
        400,
        {
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
            "title": "One or more validation errors occurred.",
            "status": 400,
            "errors": {"Name": ["The Name field is required."]},
            "traceId": "00-0aa7e0f6b6f8a54b9f1f3f1d5f6ad9ee-8a5b1b0d9c2c4f4e-00",
        },
        E.BAD_REQUEST,
        "validation",
        media=PROBLEM,
        id="00-0aa7e0f6b6f8a54b9f1f3f1d5f6ad9ee-8a5b1b0d9c2c4f4e-00",
    ),
    Case(
        "ACME",
        429,
        {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates"},
        E.RATE_LIMITED,
        None,
        "rateLimited",
        media=PROBLEM,
        again=True,
    ),
    Case(
        "Cloudflare 1015",
        403,
        {
            "type": "https://developers.cloudflare.com/support/troubleshooting/http-status-codes/error-1015/",
            "title": "Error 1015: You are being rate limited",
            "status": 403,
            "error_code": 1015,
            "error_name": "rate_limited",
            "error_category": "rate_limit",
            "cloudflare_error": True,
            "retryable": True,
            "retry_after": 30,
            "ray_id": "9d99a39dca6d8c1f",
        },
        E.RATE_LIMITED,
        "rate_limit",
        "1015",
        after=30,
        again=True,
        id="9d99a39dca6d8c1f",
    ),
    Case(
        "Cloudflare 1010",
        403,
        {"title": "Error 1010: Access denied", "error_code": 1010, "cloudflare_error": True, "retryable": False},
        E.FORBIDDEN,
        "blocked",
        "1010",
        media=PROBLEM,
    ),
    Case(
        "Cloudflare 502",
        502,
        {"title": "Error 502: Bad gateway", "cloudflare_error": True, "retryable": True, "retry_after": 60},
        E.BAD_GATEWAY,
        after=60,
        again=True,
        outcome=UNKNOWN,
    ),
]

# google/rpc/code.proto, error_details.proto and google/api/error_reason.proto; AIP-193; the error references of the
# Gemini, Sheets, Drive and YouTube Data APIs.
GOOGLE: list[Case] = [
    Case(
        "Gemini quota",
        429,
        google(
            "RESOURCE_EXHAUSTED",
            429,
            {
                "@type": "QuotaFailure",
                "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "20"}],
            },
            {"@type": "Help", "links": [{"description": "x", "url": "https://ai.google.dev/gemini-api/docs"}]},
            {"@type": "RetryInfo", "retryDelay": "36.429760048s"},
        ),
        E.RATE_LIMITED,
        "rate_limit",
        "RESOURCE_EXHAUSTED",
        after=36.429760048,
        again=True,
    ),
    Case(
        "Sheets",
        429,
        google("RESOURCE_EXHAUSTED", 429, info("RATE_LIMIT_EXCEEDED")),
        E.RATE_LIMITED,
        "rate_limit",
        "RATE_LIMIT_EXCEEDED",
        again=True,
    ),
    Case(
        "streamed",
        429,
        [google("RESOURCE_EXHAUSTED", 429)],
        E.RATE_LIMITED,
        "rate_limit",
        "RESOURCE_EXHAUSTED",
        again=True,
    ),
    Case(
        "resource quota",
        403,
        google("RESOURCE_EXHAUSTED", 403, info("RESOURCE_QUOTA_EXCEEDED")),
        E.RATE_LIMITED,
        "quota_exhausted",
        "RESOURCE_QUOTA_EXCEEDED",
    ),
    Case(
        "key",
        400,
        google("INVALID_ARGUMENT", 400, info("API_KEY_INVALID")),
        E.UNAUTHORIZED,
        "invalid_token",
        "API_KEY_INVALID",
    ),
    Case(
        "no credentials",
        401,
        google("UNAUTHENTICATED", 401, info("CREDENTIALS_MISSING")),
        E.UNAUTHORIZED,
        "missing_credentials",
        "CREDENTIALS_MISSING",
    ),
    Case(
        "scope",
        403,
        google("PERMISSION_DENIED", 403, info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
        E.FORBIDDEN,
        "insufficient_scope",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        headers={
            "WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="x"'
        },
    ),
    Case(
        "service disabled",
        403,
        google("PERMISSION_DENIED", 403, info("SERVICE_DISABLED")),
        E.FORBIDDEN,
        "service_disabled",
        "SERVICE_DISABLED",
    ),
    Case(
        "a reason of one API",
        503,
        google("UNAVAILABLE", 503, info("STOCKOUT"), {"@type": "RetryInfo", "retryDelay": {"seconds": 5}}),
        E.SERVICE_UNAVAILABLE,
        None,
        "STOCKOUT",
        after=5,
        again=True,
    ),
    Case(
        "bad field",
        400,
        google(
            "INVALID_ARGUMENT",
            400,
            {"@type": "BadRequest", "fieldViolations": [{"field": "name", "description": "must be set"}]},
            {"@type": "RequestInfo", "requestId": "req-7", "servingData": "x"},
        ),
        E.BAD_REQUEST,
        "validation",
        "INVALID_ARGUMENT",
        id="req-7",
    ),
    Case("precondition", 400, google("FAILED_PRECONDITION", 400), E.CONFLICT, "precondition", "FAILED_PRECONDITION"),
    Case("exists", 409, google("ALREADY_EXISTS", 409), E.CONFLICT, "already_exists", "ALREADY_EXISTS"),
    Case("aborted", 409, google("ABORTED", 409), E.CONFLICT, "contention", "ABORTED"),
    Case("data loss", 500, google("DATA_LOSS", 500), E.INTERNAL_SERVER_ERROR, None, "DATA_LOSS", outcome=UNKNOWN),
    Case(
        "deadline",
        504,
        google("DEADLINE_EXCEEDED", 504),
        E.GATEWAY_TIMEOUT,
        None,
        "DEADLINE_EXCEEDED",
        again=True,
        outcome=UNKNOWN,
    ),
    Case(
        "a gateway's status without the envelope",
        503,
        {
            "code": 14,
            "message": "x",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}],
        },
        E.SERVICE_UNAVAILABLE,
        after=2,
        again=True,
    ),
    Case(
        "Drive",
        403,
        older("userRateLimitExceeded", "usageLimits", 403),
        E.RATE_LIMITED,
        "rate_limit",
        "userRateLimitExceeded",
        again=True,
    ),
    Case(
        "YouTube", 403, older("quotaExceeded", "youtube.quota", 403), E.RATE_LIMITED, "quota_exhausted", "quotaExceeded"
    ),
    Case("the same words from somebody else", 404, {"error": {"status": "UNKNOWN", "code": 17}}, E.NOT_FOUND),
    Case("not found", 404, older("notFound", "global", 404), E.NOT_FOUND, None, "notFound"),
]

# JSON:API 1.1, "Error Objects" and its example of several errors.
JSON_API: list[Case] = [
    Case(
        "invalid attribute",
        422,
        {
            "errors": [
                {
                    "status": "422",
                    "code": "invalid",
                    "source": {"pointer": "/data/attributes/firstName"},
                    "title": "Invalid Attribute",
                    "detail": "First name must contain at least two characters.",
                }
            ]
        },
        E.UNPROCESSABLE_ENTITY,
        "validation",
        "invalid",
        media="application/vnd.api+json",
    ),
    Case(
        "the errors agree on what the status leaves open",
        400,
        {"errors": [{"status": "403", "code": "F1"}, {"status": "403", "code": "F2"}]},
        E.FORBIDDEN,
        None,
        "F1",
        media="application/vnd.api+json",
    ),
    Case(
        "the errors differ",
        400,
        {"jsonapi": {"version": "1.1"}, "errors": [{"status": "403"}, {"status": "422"}, {"status": "500"}]},
        E.BAD_REQUEST,
    ),
    Case(
        "another class of status", 400, {"errors": [{"status": "503"}]}, E.BAD_REQUEST, media="application/vnd.api+json"
    ),
    Case("not JSON:API", 400, {"errors": [{"status": "403", "code": "x"}]}, E.BAD_REQUEST),
]

# JSON-RPC 2.0 section 5.1, the table of the telemetry contract, and the codes of the MCP specification (2026-07-28).
RPC: list[Case] = [
    Case("parse", 400, rpc(-32700), E.BAD_REQUEST, None, "-32700"),
    Case("invalid", 500, rpc(-32600), E.BAD_REQUEST, None, "-32600"),
    Case("method", 404, rpc(-32601), E.METHOD_NOT_ALLOWED, None, "-32601"),
    Case("params", 500, rpc(-32602), E.UNPROCESSABLE_ENTITY, "validation", "-32602"),
    Case("internal", 400, rpc(-32603), E.INTERNAL_SERVER_ERROR, None, "-32603", again=True, outcome=UNKNOWN),
    Case("a session that ended", 404, rpc(-32600), E.NOT_FOUND, None, "-32600"),
    Case("too fast", 429, rpc(-32005), E.RATE_LIMITED, None, "-32005", again=True),
    Case("elicitation", 400, rpc(-32042), E.FORBIDDEN, "consent_required", "-32042"),
    Case("in a 200", 200, rpc(-32603), None),
]
RPC_DECLARED: list[Case] = [
    Case("declared, in a 200", 200, rpc(-32601), E.METHOD_NOT_ALLOWED, None, "-32601"),
    *(
        Case(f"the peer's own {code}", 200, rpc(code), E.SERVER_ERROR, None, str(code), again=True, outcome=UNKNOWN)
        for code in (-32000, -32001, -32099)
    ),
    Case("an application's", 200, rpc(3), E.CLIENT_ERROR, None, "3"),
    Case("a result", 200, {"jsonrpc": "2.0", "id": 1, "result": {}}, None),
]

# RFC 6749 section 5.2, RFC 6750 section 3, RFC 8628 section 3.5, RFC 9449, RFC 9470 section 3, OpenID Connect Core.
OAUTH: list[Case] = [
    Case(
        "invalid_grant",
        400,
        {"error": "invalid_grant", "error_description": "x"},
        E.UNAUTHORIZED,
        "invalid_grant",
        "invalid_grant",
    ),
    Case("invalid_client", 400, {"error": "invalid_client"}, E.UNAUTHORIZED, "invalid_client", "invalid_client"),
    Case(
        "challenge",
        401,
        {"message": "no"},
        E.UNAUTHORIZED,
        "invalid_token",
        "invalid_token",
        headers={"WWW-Authenticate": 'Bearer realm="example", error="invalid_token", error_description="expired"'},
    ),
    Case(
        "scope",
        403,
        b"",
        E.FORBIDDEN,
        "insufficient_scope",
        "insufficient_scope",
        headers={"WWW-Authenticate": 'Basic realm="x", Bearer error = "insufficient_scope", scope="write"'},
    ),
    Case(
        "step up",
        401,
        b"",
        E.UNAUTHORIZED,
        "consent_required",
        "insufficient_user_authentication",
        headers={"WWW-Authenticate": 'Bearer error="insufficient_user_authentication", max_age="5"'},
    ),
    Case(
        "DPoP",
        401,
        b"",
        E.UNAUTHORIZED,
        None,
        "use_dpop_nonce",
        headers={"WWW-Authenticate": 'DPoP error="use_dpop_nonce"'},
    ),
    Case("device", 400, {"error": "authorization_pending"}, E.BAD_REQUEST, "pending", "authorization_pending"),
    Case("device code ran out", 400, {"error": "expired_token"}, E.UNAUTHORIZED, "expired_token", "expired_token"),
    Case(
        "temporarily",
        400,
        {"error": "temporarily_unavailable"},
        E.SERVICE_UNAVAILABLE,
        None,
        "temporarily_unavailable",
        again=True,
        outcome=UNKNOWN,
    ),
    Case(
        "a 429 stays one",
        429,
        {"error": "temporarily_unavailable"},
        E.RATE_LIMITED,
        None,
        "temporarily_unavailable",
        again=True,
    ),
    Case("an unregistered word", 400, {"error": "no_such_word"}, E.BAD_REQUEST),
]

BY_STATUS: list[Case] = [
    Case("425", 425, b"", E.CLIENT_ERROR, "too_early", again=True),
    Case("409", 409, b"", E.CONFLICT, "in_progress"),
    Case(
        "milliseconds",
        429,
        {"error": {"code": "429", "message": "x"}},
        E.RATE_LIMITED,
        headers={"retry-after-ms": "1250"},
        after=1.25,
        again=True,
    ),
]


EVERYBODY = {
    "problem": PROBLEMS,
    "google": GOOGLE,
    "json_api": JSON_API,
    "json_rpc": RPC,
    "oauth": OAUTH,
    "status": BY_STATUS,
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{dialect}: {case.name}") for dialect, cases in EVERYBODY.items() for case in cases],
)
def test_an_answer_in_a_known_format_is_understood(case: Case) -> None:
    """Without any declaration it means what it says, not what its status says."""
    case.check(case.judged())


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in RPC_DECLARED])
def test_a_declared_json_rpc_is_understood_in_a_200(case: Case) -> None:
    """JSON-RPC answers with a 200 where the call failed; whoever declares the rule wants that told."""
    case.check(case.judged(JSON_RPC))
