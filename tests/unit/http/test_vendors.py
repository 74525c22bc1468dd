"""What single providers' answers are understood as: as their documentation, their servers or their users have them."""

from typing import Any

import pytest

from buoy.http import vendors
from buoy.http.rules import REASONS, Rule
from buoy.outcome import ErrorType, Outcome
from buoy.result import Quota
from tests.unit.http.answers import NOW, Case
from tests.unit.http.test_dialects import EVERYBODY

E = ErrorType
REJECTED, UNKNOWN = Outcome.REJECTED, Outcome.UNKNOWN
RATE_PAGE = "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api"
OLDER_PAGE = "https://docs.github.com/en/free-pro-team@latest/rest/overview/resources-in-the-rest-api"
USAGE = (
    '{"66782684":[{"type":"ads_management","call_count":95,"total_cputime":20,"total_time":20,'
    '"estimated_time_to_regain_access":19}]}'
)
S3_SLOW = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message><RequestId>4442587FB7D0A2F9</RequestId>"
    b"<HostId>x=</HostId></Error>"
)
EC2_FAST = (
    b"<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded."
    b"</Message></Error></Errors><RequestID>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestID></Response>"
)
EC2_GONE = (
    b'<?xml version="1.0" encoding="utf-8"?>\n'
    b'<Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><Errors><Error>'
    b"<Code>InvalidInstanceID.NotFound</Code><Message>The instance ID 'i-12345678' does not exist"
    b"</Message></Error></Errors><RequestID>request-id</RequestID></Response>"
)
IAM_GONE = (
    b'<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
    b"<Code>NoSuchEntity</Code><Message>The user with name nope cannot be found.</Message></Error>"
    b"<RequestId>Azrbu64o50N7</RequestId></ErrorResponse>"
)


def graphql(code: str, **extensions: Any) -> dict[str, Any]:
    """Return a GraphQL error as Shopify writes it."""
    return {"message": "x", "extensions": {"code": code, **extensions}}


def cost(asked: float, left: float, rate: float) -> dict[str, Any]:
    """Return the cost that Shopify reports beside data and errors."""
    status = {"maximumAvailable": 1000.0, "currentlyAvailable": left, "restoreRate": rate}
    return {"cost": {"requestedQueryCost": asked, "actualQueryCost": None, "throttleStatus": status}}


def stripe(**error: Any) -> dict[str, Any]:
    """Return Stripe's error object."""
    return {"error": {"message": "a sentence", "doc_url": "https://stripe.com/docs/error-codes", **error}}


def facebook(code: int, subcode: int | None = None, **more: Any) -> dict[str, Any]:
    """Return an error of the Graph API."""
    known = {} if subcode is None else {"error_subcode": subcode}
    error = {"message": "x", "type": "OAuthException", "code": code, **known, "fbtrace_id": "EJplcsCHuLu", **more}
    return {"error": error}


def amazon(code: str) -> dict[str, Any]:
    """Return an error of AWS JSON 1.0 and 1.1, with the namespace of DynamoDB."""
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "a sentence"}


# Stripe API reference "Errors", "Error codes", "Idempotent requests", "Rate limits" (object lock timeouts).
STRIPE: list[Case] = [
    Case(
        "declined",
        402,
        stripe(type="card_error", code="card_declined", decline_code="insufficient_funds", charge="ch_1"),
        E.CLIENT_ERROR,
        "card_declined",
        "insufficient_funds",
        headers={"Request-Id": "req_8Zk"},
        id="req_8Zk",
    ),
    Case("key reused", 400, stripe(type="idempotency_error"), E.CONFLICT, "key_conflict", "idempotency_error"),
    Case(
        "key in use",
        409,
        stripe(type="invalid_request_error", code="idempotency_key_in_use"),
        E.CONFLICT,
        "in_progress",
        "idempotency_key_in_use",
    ),
    Case(
        "lock",
        429,
        stripe(type="invalid_request_error", code="lock_timeout", request_log_url="https://dashboard/req_o7"),
        E.CONFLICT,
        "locked",
        "lock_timeout",
        again=True,
    ),
    Case(
        "lock, as older versions of the API type it",
        429,
        stripe(type="rate_limit_error", code="lock_timeout"),
        E.CONFLICT,
        "locked",
        "lock_timeout",
        again=True,
    ),
    Case(
        "too fast",
        429,
        stripe(type="invalid_request_error", code="rate_limit"),
        E.RATE_LIMITED,
        "rate_limit",
        "rate_limit",
        again=True,
    ),
    Case(
        "expired",
        401,
        stripe(type="invalid_request_error", code="api_key_expired"),
        E.UNAUTHORIZED,
        "expired_token",
        "api_key_expired",
    ),
    Case(
        "parameter",
        400,
        stripe(type="invalid_request_error", code="parameter_missing", param="amount"),
        E.BAD_REQUEST,
        "validation",
        "parameter_missing",
    ),
    Case(
        "their fault, and they say not to come back",
        500,
        stripe(type="api_error"),
        E.INTERNAL_SERVER_ERROR,
        None,
        "api_error",
        headers={"Stripe-Should-Retry": "false"},
        outcome=UNKNOWN,
    ),
    Case(
        "their header is about this very answer",
        429,
        stripe(type="invalid_request_error", code="lock_timeout"),
        E.CONFLICT,
        "locked",
        "lock_timeout",
        headers={"Stripe-Should-Retry": "false"},
    ),
    Case(
        "Connect's OAuth",
        400,
        {"error": "invalid_grant", "error_description": "x"},
        E.UNAUTHORIZED,
        "invalid_grant",
        "invalid_grant",
    ),
]

# Shopify "API response status and error codes", "API limits", GraphQL Admin API "Status and error codes", and answers
# quoted in its community.
SHOPIFY: list[Case] = [
    Case(
        "throttled",
        200,
        {"errors": [graphql("THROTTLED")], "extensions": cost(752, 666, 50)},
        E.RATE_LIMITED,
        "rate_limit",
        "THROTTLED",
        after=(752 - 666) / 50,
        again=True,
    ),
    Case(
        "throttled, and filled meanwhile",
        200,
        {"errors": [graphql("THROTTLED")], "extensions": cost(50, 100, 50)},
        E.RATE_LIMITED,
        "rate_limit",
        "THROTTLED",
        after=0,
        again=True,
    ),
    Case(
        "throttled, and nothing is refilled",
        200,
        {"errors": [graphql("THROTTLED")], "extensions": cost(50, 1, 0)},
        E.RATE_LIMITED,
        "rate_limit",
        "THROTTLED",
        again=True,
    ),
    Case(
        "too costly",
        200,
        {"errors": [graphql("MAX_COST_EXCEEDED", cost=2003, maxCost=1000)]},
        E.BAD_REQUEST,
        "too_costly",
        "MAX_COST_EXCEEDED",
    ),
    Case(
        "internal",
        200,
        {"errors": [graphql("INTERNAL_SERVER_ERROR", requestId="1b355a21-7117-44c5-8d8b-8948082f40a8")]},
        E.INTERNAL_SERVER_ERROR,
        None,
        "INTERNAL_SERVER_ERROR",
        again=True,
        outcome=UNKNOWN,
        id="1b355a21-7117-44c5-8d8b-8948082f40a8",
    ),
    Case(
        "scope",
        200,
        {"errors": [graphql("ACCESS_DENIED", requiredAccess="`read_customers` access scope.")], "data": None},
        E.FORBIDDEN,
        "insufficient_scope",
        "ACCESS_DENIED",
    ),
    Case("inactive", 200, {"errors": [graphql("SHOP_INACTIVE")]}, E.FORBIDDEN, "account_disabled", "SHOP_INACTIVE"),
    Case(
        "a query that is wrong",
        200,
        {"errors": [{"locations": [{"line": 1, "column": 3}], **graphql("undefinedField")}]},
        E.BAD_REQUEST,
        "validation",
        "undefinedField",
    ),
    Case(
        "an unknown error after execution began",
        200,
        {"data": None, "errors": [graphql("SOMETHING_NEW")]},
        E.BAD_REQUEST,
        "validation",
        "SOMETHING_NEW",
        outcome=UNKNOWN,
    ),
    Case("data came, in part", 200, {"data": {"shop": None}, "errors": [graphql("ACCESS_DENIED")]}, None),
    Case("data", 200, {"data": {"shop": {"errors": []}}, "extensions": cost(1, 999, 50)}, None),
    Case(
        "REST, too fast",
        429,
        {"errors": "Exceeded 2 calls per second for api client. Reduce request rates."},
        E.RATE_LIMITED,
        "rate_limit",
        headers={"Retry-After": "2.0", "X-Shopify-Shop-Api-Call-Limit": "40/40"},
        after=2,
        again=True,
    ),
    Case("REST, a field", 422, {"errors": {"title": ["can't be blank"]}}, E.UNPROCESSABLE_ENTITY, "validation"),
    Case("REST, a list", 422, {"errors": ["x"]}, E.UNPROCESSABLE_ENTITY),
    Case(
        "REST, frozen",
        402,
        {"errors": "This shop's plan does not have access to this feature"},
        E.CLIENT_ERROR,
        "payment_required",
    ),
    Case("REST, locked", 423, {"errors": "This shop is unavailable"}, E.CONFLICT, "account_disabled"),
    Case("REST, security", 430, b"<html></html>", E.RATE_LIMITED, "blocked", media="text/html", again=True),
    Case(
        "REST, key",
        401,
        {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"},
        E.UNAUTHORIZED,
        "invalid_token",
    ),
    Case(
        "its call limit is no explanation",
        400,
        {"error": "invalid_grant"},
        E.UNAUTHORIZED,
        "invalid_grant",
        "invalid_grant",
        headers={"X-Shopify-Shop-Api-Call-Limit": "1/40"},
    ),
]

# GitHub "Rate limits for the REST API", "Troubleshooting the REST API", the GraphQL counterpart; answers quoted in
# octokit's and other clients' threads.
GITHUB: list[Case] = [
    Case(
        "primary",
        403,
        {"message": "API rate limit exceeded for 198.51.100.7.", "documentation_url": f"{RATE_PAGE}#rate-limiting"},
        E.RATE_LIMITED,
        "rate_limit",
        headers={
            "X-RateLimit-Limit": "60",
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(int(NOW) + 90),
            "X-GitHub-Request-Id": "0403:094E:157B29B",
        },
        after=90,
        again=True,
        id="0403:094E:157B29B",
    ),
    Case(
        "secondary, with a time",
        403,
        {
            "message": "You have exceeded a secondary rate limit.",
            "documentation_url": f"{RATE_PAGE}#about-secondary-rate-limits",
        },
        E.RATE_LIMITED,
        "secondary_limit",
        headers={"Retry-After": "17", "X-RateLimit-Remaining": "4999"},
        after=17,
        again=True,
    ),
    Case(
        "secondary, without",
        403,
        {
            "documentation_url": f"{OLDER_PAGE}#secondary-rate-limits",
            "message": "You have exceeded a secondary rate limit.",
        },
        E.RATE_LIMITED,
        "secondary_limit",
        after=60,
        again=True,
    ),
    Case(
        "permission",
        403,
        {
            "message": "Resource not accessible by integration",
            "documentation_url": "https://docs.github.com/rest/issues/issues#create-an-issue",
        },
        E.FORBIDDEN,
        "permission",
        headers={"X-RateLimit-Remaining": "4999"},
    ),
    Case(
        "permission, with the last request of the hour",
        403,
        {"documentation_url": "https://docs.github.com/rest/issues/issues#create-an-issue"},
        E.FORBIDDEN,
        "permission",
        headers={"X-RateLimit-Remaining": "0"},
    ),
    Case(
        "bad credentials",
        401,
        {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401"},
        E.UNAUTHORIZED,
        "invalid_token",
    ),
    Case(
        "validation",
        422,
        {"message": "Validation Failed", "errors": [{"resource": "Issue", "field": "title", "code": "missing_field"}]},
        E.UNPROCESSABLE_ENTITY,
        "validation",
        "missing_field",
    ),
    Case(
        "exists",
        422,
        {"message": "Validation Failed", "errors": [{"resource": "Label", "code": "already_exists"}]},
        E.UNPROCESSABLE_ENTITY,
        "already_exists",
        "already_exists",
    ),
    *(
        Case(
            f"GraphQL {kind}",
            200,
            {"errors": [{"type": kind, "message": "API rate limit exceeded for installation ID 1."}]},
            E.RATE_LIMITED,
            "rate_limit",
            kind,
            again=True,
        )
        for kind in ("RATE_LIMIT", "RATE_LIMITED")
    ),
    Case(
        "GraphQL, data came",
        200,
        {"data": {"repository": None}, "errors": [{"type": "NOT_FOUND", "path": ["repository"]}]},
        None,
    ),
    Case(
        "a resource that lists errors",
        200,
        {"errors": [{"line": 3, "column": 1, "kind": "Invalid pattern", "message": "x", "path": "CODEOWNERS"}]},
        None,
    ),
]

# Slack Web API, "Errors" of the methods and "Rate limits".
SLACK: list[Case] = [
    Case(
        "too fast",
        429,
        {"ok": False, "error": "ratelimited"},
        E.RATE_LIMITED,
        "rate_limit",
        "ratelimited",
        headers={"Retry-After": "30"},
        after=30,
        again=True,
    ),
    *(
        Case(code, 200, {"ok": False, "error": code}, kind, reason, code, again=retryable, outcome=outcome)
        for code, kind, reason, retryable, outcome in [
            ("ratelimited", E.RATE_LIMITED, "rate_limit", True, REJECTED),
            ("not_authed", E.UNAUTHORIZED, "missing_credentials", False, REJECTED),
            ("invalid_auth", E.UNAUTHORIZED, "invalid_token", False, REJECTED),
            ("token_expired", E.UNAUTHORIZED, "expired_token", False, REJECTED),
            ("account_inactive", E.UNAUTHORIZED, "account_disabled", False, REJECTED),
            ("missing_scope", E.FORBIDDEN, "insufficient_scope", False, REJECTED),
            ("no_permission", E.FORBIDDEN, "permission", False, REJECTED),
            ("org_login_required", E.FORBIDDEN, "consent_required", False, REJECTED),
            ("method_deprecated", E.NOT_FOUND, "gone", False, REJECTED),
            ("unknown_method", E.METHOD_NOT_ALLOWED, None, False, REJECTED),
            ("channel_not_found", E.NOT_FOUND, None, False, REJECTED),
            ("already_reacted", E.CONFLICT, "already_exists", False, REJECTED),
            ("invalid_arguments", E.BAD_REQUEST, "validation", False, REJECTED),
            ("msg_too_long", E.BAD_REQUEST, "validation", False, REJECTED),
            ("fatal_error", E.INTERNAL_SERVER_ERROR, None, True, UNKNOWN),
            ("service_unavailable", E.SERVICE_UNAVAILABLE, None, True, UNKNOWN),
            ("is_archived", E.CLIENT_ERROR, None, False, REJECTED),
        ]
    ),
    Case("no word", 200, {"ok": False}, E.CLIENT_ERROR),
    Case("fine", 200, {"ok": True, "error": "x"}, None),
    Case("inside", 200, {"ok": True, "items": [{"ok": False}]}, None),
]

# Meta Graph API, "Handling errors" and "Rate limits"; answers quoted in threads of its SDKs and of Airbyte.
META: list[Case] = [
    Case(
        "ad account",
        400,
        facebook(80004, 2446079),
        E.RATE_LIMITED,
        "rate_limit",
        "80004/2446079",
        headers={"X-Business-Use-Case-Usage": USAGE},
        after=19 * 60,
        again=True,
        id="EJplcsCHuLu",
    ),
    Case(
        "ad account, in seconds",
        400,
        facebook(17),
        E.RATE_LIMITED,
        "rate_limit",
        "17",
        headers={"X-Ad-Account-Usage": '{"acc_id_util_pct":100,"reset_time_duration":100}'},
        after=100,
        again=True,
        id="EJplcsCHuLu",
    ),
    *(
        Case(
            f"{code}/{subcode}",
            400,
            facebook(code, subcode),
            kind,
            reason,
            f"{code}/{subcode}" if subcode else str(code),
            again=kind is E.RATE_LIMITED,
            id="EJplcsCHuLu",
        )
        for code, subcode, kind, reason in [
            (4, None, E.RATE_LIMITED, "rate_limit"),
            (32, None, E.RATE_LIMITED, "rate_limit"),
            (613, 1487742, E.RATE_LIMITED, "rate_limit"),
            (80014, None, E.RATE_LIMITED, "rate_limit"),
            (190, None, E.UNAUTHORIZED, "expired_token"),
            (190, 463, E.UNAUTHORIZED, "expired_token"),
            (190, 460, E.UNAUTHORIZED, "invalid_token"),
            (190, 458, E.UNAUTHORIZED, "consent_required"),
            (190, 459, E.UNAUTHORIZED, "account_disabled"),
            (10, None, E.FORBIDDEN, "permission"),
            (200, None, E.FORBIDDEN, "permission"),
            (299, None, E.FORBIDDEN, "permission"),
            (368, None, E.FORBIDDEN, "blocked"),
            (100, 33, E.BAD_REQUEST, "validation"),
            (506, None, E.CONFLICT, "already_exists"),
            (2635, None, E.BAD_REQUEST, None),
        ]
    ),
    Case(
        "service",
        400,
        facebook(2, None, is_transient=True),
        E.SERVICE_UNAVAILABLE,
        None,
        "2",
        again=True,
        outcome=UNKNOWN,
        id="EJplcsCHuLu",
    ),
    Case(
        "transient, whatever it is",
        400,
        facebook(2635, None, is_transient=True),
        E.BAD_REQUEST,
        None,
        "2635",
        again=True,
        id="EJplcsCHuLu",
    ),
]

# Smithy's AWS protocols, botocore's retry and parser code; the bodies of DynamoDB, SQS, S3, EC2 and IAM are moto's.
AWS: list[Case] = [
    Case(
        "DynamoDB, too fast",
        400,
        amazon("ProvisionedThroughputExceededException"),
        E.RATE_LIMITED,
        "rate_limit",
        "ProvisionedThroughputExceededException",
        media="application/x-amz-json-1.0",
        headers={"x-amzn-RequestId": "I4IlYm81a8EYEHOfh1n1rarVcqWDOJSGyXUKI2Qng6yXqbOtcZIP"},
        again=True,
        id="I4IlYm81a8EYEHOfh1n1rarVcqWDOJSGyXUKI2Qng6yXqbOtcZIP",
    ),
    Case(
        "Lambda, too fast",
        429,
        {"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."},
        E.RATE_LIMITED,
        "rate_limit",
        "TooManyRequestsException",
        headers={"x-amzn-ErrorType": "TooManyRequestsException"},
        again=True,
    ),
    Case(
        "REST, too fast, with a URI and a time",
        400,
        {"message": "Rate exceeded"},
        E.RATE_LIMITED,
        "rate_limit",
        "ThrottlingException",
        headers={
            "x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/coral/com.amazon.coral.service/",
            "x-amz-retry-after": "1500",
        },
        after=1.5,
        again=True,
    ),
    Case(
        "S3, too fast",
        503,
        S3_SLOW,
        E.RATE_LIMITED,
        "rate_limit",
        "SlowDown",
        media="application/xml",
        again=True,
        id="4442587FB7D0A2F9",
    ),
    Case(
        "EC2, too fast",
        503,
        EC2_FAST,
        E.RATE_LIMITED,
        "rate_limit",
        "RequestLimitExceeded",
        media="text/xml",
        again=True,
        id="7a62c49f-347e-4fc4-9331-6e8eEXAMPLE",
    ),
    Case(
        "EC2, an instance",
        400,
        EC2_GONE,
        E.NOT_FOUND,
        None,
        "InvalidInstanceID.NotFound",
        media="text/xml",
        id="request-id",
    ),
    Case(
        "IAM, a user",
        404,
        IAM_GONE,
        E.NOT_FOUND,
        None,
        "NoSuchEntity",
        media="text/xml",
        id="Azrbu64o50N7",
    ),
    Case(
        "IAM, quota",
        409,
        b"<ErrorResponse><Error><Type>Sender</Type><Code>LimitExceeded</Code></Error></ErrorResponse>",
        E.CONFLICT,
        "quota_exhausted",
        "LimitExceeded",
        media="text/xml",
    ),
    Case(
        "SQS, two names for one thing",
        400,
        {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."},
        E.NOT_FOUND,
        None,
        "AWS.SimpleQueueService.NonExistentQueue",
        media="application/x-amz-json-1.0",
        headers={
            "X-Amzn-Errortype": "com.amazonaws.sqs#QueueDoesNotExist",
            "x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender",
        },
    ),
    *(
        Case(code, status, amazon(code), kind, reason, code, again=retryable, outcome=outcome)
        for code, status, kind, reason, retryable, outcome in [
            ("LimitExceededException", 400, E.RATE_LIMITED, "rate_limit", True, REJECTED),
            ("ServiceQuotaExceededException", 402, E.CLIENT_ERROR, "quota_exhausted", False, REJECTED),
            ("ExpiredTokenException", 403, E.UNAUTHORIZED, "expired_token", False, REJECTED),
            ("UnrecognizedClientException", 400, E.UNAUTHORIZED, "invalid_token", False, REJECTED),
            ("MissingAuthenticationTokenException", 403, E.UNAUTHORIZED, "missing_credentials", False, REJECTED),
            ("InvalidSignatureException", 403, E.UNAUTHORIZED, "signature", False, REJECTED),
            ("RequestTimeTooSkewed", 403, E.UNAUTHORIZED, "clock_skew", False, REJECTED),
            ("AccessDeniedException", 400, E.FORBIDDEN, "permission", False, REJECTED),
            ("ResourceNotFoundException", 400, E.NOT_FOUND, None, False, REJECTED),
            ("ConditionalCheckFailedException", 400, E.CONFLICT, "precondition", False, REJECTED),
            ("TransactionConflictException", 400, E.CONFLICT, "contention", False, REJECTED),
            ("TransactionInProgressException", 400, E.CONFLICT, "in_progress", True, REJECTED),
            ("IdempotentParameterMismatchException", 400, E.CONFLICT, "key_conflict", False, REJECTED),
            ("EntityAlreadyExists", 409, E.CONFLICT, "already_exists", False, REJECTED),
            ("ValidationException", 400, E.BAD_REQUEST, "validation", False, REJECTED),
            ("InvalidParameterValue", 400, E.BAD_REQUEST, "validation", False, REJECTED),
            ("InternalServerError", 500, E.INTERNAL_SERVER_ERROR, None, True, UNKNOWN),
            ("ServiceUnavailableException", 503, E.SERVICE_UNAVAILABLE, None, True, UNKNOWN),
            ("RequestTimeoutException", 400, E.TIMEOUT, None, True, UNKNOWN),
            ("SomethingElseException", 400, E.BAD_REQUEST, None, False, REJECTED),
        ]
    ),
]


BY_RULE: list[tuple[Rule, list[Case]]] = [
    (vendors.STRIPE, STRIPE),
    (vendors.SHOPIFY, SHOPIFY),
    (vendors.GITHUB, GITHUB),
    (vendors.SLACK, SLACK),
    (vendors.META, META),
    (vendors.AWS, AWS),
]


@pytest.mark.parametrize(
    ("rule", "case"),
    [pytest.param(rule, case, id=f"{rule.name}: {case.name}") for rule, cases in BY_RULE for case in cases],
)
def test_a_declared_vendor_is_understood(rule: Rule, case: Case) -> None:
    """An answer of a vendor whose rule is declared means what it says, not what its status says."""
    case.check(case.judged(rule))


@pytest.mark.parametrize(("rule", "cases"), [pytest.param(*row, id=row[0].name) for row in BY_RULE])
def test_a_vendor_is_not_understood_by_accident(rule: Rule, cases: list[Case]) -> None:
    """Undeclared, no rule for everybody finds anything in ``rule``'s answers but what is said in the words of OAuth."""
    assert rule.name not in EVERYBODY
    assert {case.judged().rule for case in cases} <= {None, "oauth"}


def test_every_word_has_an_example() -> None:
    """Each word of the catalogue is one that some answer here is given: none is there for show."""
    answers = [case for cases in (*EVERYBODY.values(), *(cases for _, cases in BY_RULE)) for case in cases]
    assert {case.reason for case in answers} - {None} == set(REASONS)


@pytest.mark.parametrize(
    ("header", "quota"),
    [
        ("39/40", Quota(limit=40, remaining=1)),
        ("1/80", Quota(limit=80, remaining=79)),
        ("41/40", Quota(limit=40, remaining=0)),
        ("", None),
        ("40", None),
        ("-1/40", None),
        ("1/2/3", None),
    ],
)
@pytest.mark.parametrize("status", [200, 404, 429])
def test_shopifys_call_limit(header: str, quota: Quota | None, status: int) -> None:
    """Its own header says how many calls are left, on every answer, and makes no failure of a success."""
    case = Case("x", status, {}, None, headers={"X-Shopify-Shop-Api-Call-Limit": header})
    said = case.judged(vendors.SHOPIFY)
    assert quota == said.quota
    assert (status < 400) == (said.verdict is None)


@pytest.mark.parametrize(
    ("business", "account", "after"),
    [
        ('{"1":[{"estimated_time_to_regain_access":2},{"estimated_time_to_regain_access":3}],"2":[]}', "", 180),
        ('{"1":[{"estimated_time_to_regain_access":1}]}', '{"reset_time_duration":90}', 90),
        ('{"1":[{"estimated_time_to_regain_access":0}]}', '{"reset_time_duration":0}', None),
        ('{"1":[{"estimated_time_to_regain_access":-3}]}', '{"reset_time_duration":-9}', None),
        ('{"1":[{"estimated_time_to_regain_access":"3"},{},7],"2":7}', '{"reset_time_duration":"9"}', None),
        *((text, text, None) for text in ("", "{", "[]", "7", "null", '"x"', "{}", '[{"reset_time_duration":9}]')),
    ],
)
def test_metas_usage(business: str, account: str, after: float | None) -> None:
    """The longest time that a usage header names is waited for; garbage in it says nothing."""
    usage = {"X-Business-Use-Case-Usage": business, "X-Ad-Account-Usage": account}
    said = Case("x", 400, facebook(4), None, headers=usage).judged(vendors.META)
    assert said.verdict is not None
    assert (after, ()) == (said.verdict.retry_after, said.broken)


def test_a_limit_of_another_code_is_not_waited_for() -> None:
    """The usage headers are on most answers of Meta: only a limit waits for them."""
    usage = {"X-Ad-Account-Usage": '{"reset_time_duration":90}'}
    said = Case("x", 400, facebook(100), None, headers=usage).judged(vendors.META)
    assert said.verdict is not None
    assert said.verdict.retry_after is None
