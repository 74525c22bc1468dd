"""How a finding becomes a verdict, what may come out of an answer at all, and that no answer makes any rule raise."""

import json
import re
from math import inf, isfinite, nan
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from buoy.errors import ConfigurationError
from buoy.http import classify, vendors
from buoy.http.dialects import COMMON, JSON_RPC
from buoy.http.explanation import LARGEST, Explanation, digits, member, number, records, text, word
from buoy.http.rules import NOTHING, REASONS, Finding, Judgement, Rule, judge, resolve, sound
from buoy.outcome import TABLE, ErrorType, Outcome, Phase, Verdict
from buoy.result import Quota

NOW = 1_800_000_000.0
VENDORS = (vendors.STRIPE, vendors.SHOPIFY, vendors.GITHUB, vendors.SLACK, vendors.META, vendors.AWS)
EVERY = (*VENDORS, JSON_RPC, *COMMON)
CODE = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
E = ErrorType

# Words for exceptions, of a body that cannot be read, and those that the telemetry contract names for later.
OTHERS = {row.reason for row in (*classify.FAULTS.values(), *classify.FOREIGN.values())}
OTHERS |= {"malformed", "misfit", "in_doubt", "tool_error", "too_large"}


def answer(**fields: str) -> CIMultiDictProxy[str]:
    """Return the headers of an answer; an underscore stands for a hyphen."""
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()}))


def saying(finding: Any, *, name: str = "told", in_success: bool = False) -> Rule:
    """Return a rule that says this of every answer."""
    return Rule(name, lambda _status, _answer, _body: finding, in_success)


def judged(status: int, *rules: Rule, **fields: str) -> Judgement:
    """Return the judgement on an answer with these headers and no body."""
    return judge(status, answer(**fields), b"", rules, now=NOW)


def verdict(status: int, finding: Finding, **fields: str) -> Verdict:
    """Return the verdict on an answer of which this was found."""
    said = judged(status, saying(finding, in_success=True), **fields).verdict
    assert said is not None
    return said


# The vocabulary


def test_the_catalogue_is_closed() -> None:
    """The words are distinct, look like words, cover what the statuses say, and stay within the contract's 64."""
    assert sorted(set(REASONS)) == sorted(REASONS)
    assert [reason for reason in REASONS if not re.fullmatch(r"[a-z]+(_[a-z]+)*", reason)] == []
    assert set(classify._REASONS.values()) <= set(REASONS)
    assert len(set(REASONS) | OTHERS) <= 64


FAILURES = [error_type for error_type, facts in TABLE.items() if facts.category and error_type is not E.NETWORK_ERROR]


@pytest.mark.parametrize("error_type", FAILURES)
@pytest.mark.parametrize("status", [200, 302, 400, 418, 429, 500, 503, 599, 600])
def test_a_type_means_the_same_under_every_status(error_type: ErrorType, status: int) -> None:
    """A type that a rule names is judged as the status that means it, whatever status it came with."""
    own = next((code for code, meant in sorted(classify.STATUS.items()) if meant is error_type), None)
    own = own or {E.CLIENT_ERROR: 499, E.SERVER_ERROR: 599, E.UNKNOWN: 600}[error_type]
    said, expected = verdict(status, Finding(error_type=error_type)), classify.status(own)
    assert expected.error_type is said.error_type is error_type
    assert (expected.outcome, expected.retryable, Phase.RECEIVE) == (said.outcome, said.retryable, said.phase)
    assert said.reason is None, "above all no in_progress: that would be retried"


@pytest.mark.parametrize("error_type", [kind for kind in ErrorType if kind not in FAILURES])
def test_what_an_answer_cannot_be(error_type: ErrorType) -> None:
    """An answer is no network error and none of our refusals: a rule that says so is not believed."""
    assert judged(400, saying(Finding(error_type=error_type))).verdict == classify.status(400)
    assert judged(200, saying(Finding(error_type=error_type), in_success=True)).verdict is None


@pytest.mark.parametrize("status", [400, 404, 409, 410, 425, 429, 499, 500, 501, 503, 529, 530, 600, 999])
def test_without_a_finding_the_status_decides(status: int) -> None:
    """Without rules, or where they find nothing, the table of the statuses has the word, with its reason."""
    for rules in ((), COMMON, (saying(None), saying(NOTHING, name="other"))):
        said = judge(status, answer(Content_Type="text/html"), b"<html>no</html>", rules, now=NOW)
        assert said == Judgement(verdict=classify.status(status))


# What wins over what


def test_the_first_rule_that_says_what_went_wrong_speaks_alone() -> None:
    """Findings are not mixed: one answer has one explanation, and its rule is named."""
    said = judged(
        400,
        saying(None, name="silent"),
        saying(Finding(code="first"), name="first"),
        saying(Finding(error_type=E.RATE_LIMITED, code="second"), name="second"),
    )
    assert (said.rule, said.code, said.verdict) == ("first", "first", classify.status(400))


def test_ids_and_quotas_are_no_explanation() -> None:
    """A rule that only knows an id or a quota is heard, and the next one is asked."""
    quota = Quota(limit=40, remaining=1)
    said = judged(
        400,
        saying(Finding(quota=quota), name="quota"),
        saying(Finding(provider_request_id="r1", quota=Quota(limit=1)), name="id"),
        saying(Finding(reason="validation", provider_request_id="r2"), name="reason"),
    )
    assert (said.rule, said.quota, said.provider_request_id) == ("reason", quota, "r1")
    assert judged(200, saying(Finding(quota=quota), in_success=True)) == Judgement(quota=quota)


def test_the_request_id_of_a_header_is_preferred() -> None:
    """The body's id counts where no header has one."""
    told = saying(Finding(provider_request_id="body", code="x"))
    assert judged(400, told).provider_request_id == "body"
    assert judged(400, told, X_Request_Id="header").provider_request_id == "header"


def test_only_a_type_makes_a_failure_of_a_success() -> None:
    """Behind a good status, a rule has to be made for it and has to say what it was instead."""
    limited = Finding(error_type=E.RATE_LIMITED)
    assert judged(200, saying(limited)).verdict is None
    assert judged(200, saying(Finding(code="x", reason="validation"), in_success=True)) == Judgement()
    assert judged(399, saying(limited, in_success=True)).verdict == classify.status(429)
    both = judged(200, saying(Finding(code="x"), in_success=True), saying(limited, name="second", in_success=True))
    assert (both.rule, both.code) == ("second", None)


@pytest.mark.parametrize(
    ("found", "header", "retryable"),
    [
        (None, None, True),
        (False, None, False),
        (True, "false", False),
        (False, "true", True),
        (None, "maybe", True),
    ],
)
def test_who_says_whether_to_try_again(found: bool | None, header: str | None, retryable: bool) -> None:  # noqa: FBT001
    """The provider's header is about this very answer and wins over the rule, the rule over the table."""
    fields = {} if header is None else {"X_Should_Retry": header}
    said = verdict(400, Finding(error_type=E.RATE_LIMITED, retryable=found), **fields)
    assert retryable == said.retryable


@pytest.mark.parametrize(
    ("fields", "after"),
    [
        ({}, 7.0),
        ({"Retry_After": "3"}, 3.0),
        ({"Retry_After": "3", "Retry_After_Ms": "2500"}, 3.0),
        ({"Retry_After": "soon", "Retry_After_Ms": "2500"}, 2.5),
        ({"X_Ms_Retry_After_Ms": "999999999999"}, 999999999.999),
        ({"Retry_After_Ms": "-1"}, 7.0),
        ({"RateLimit": '"a";r=0;t=5'}, 7.0),
    ],
)
def test_who_says_how_long_to_wait(fields: dict[str, str], after: float) -> None:
    """Retry-After wins, then milliseconds, then what a rule read in the body."""
    assert after == verdict(429, Finding(retry_after=7), **fields).retry_after


def test_a_limit_found_waits_for_the_quota() -> None:
    """What turns out to be throttling waits until the headers say that there is quota again, and nothing else does."""
    fields = {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": str(int(NOW) + 90)}
    limited = Finding(error_type=E.RATE_LIMITED)
    assert [verdict(status, limited, **fields).retry_after for status in (200, 400, 403, 429)] == [90.0] * 4
    assert [judged(status, **fields).verdict for status in (403, 429)] == [
        classify.status(403),
        classify.status(429, retry_after=90.0),
    ]
    assert verdict(429, Finding(error_type=E.CONFLICT), **fields).retry_after is None
    assert verdict(429, limited, X_RateLimit_Remaining="1", X_RateLimit_Reset="90").retry_after is None


def test_a_wait_in_the_body_of_a_503_says_that_nothing_was_done() -> None:
    """It means what Retry-After means: refused before it began."""
    said = [verdict(503, finding).outcome for finding in (NOTHING, Finding(retry_after=2), Finding(retry_after=0))]
    assert said == [Outcome.UNKNOWN, Outcome.REJECTED, Outcome.REJECTED]


def test_a_rule_may_know_the_outcome() -> None:
    """What a rule knows of the effect stands; that nothing was sent it cannot know."""
    outcomes = [Outcome.APPLIED, Outcome.UNKNOWN, Outcome.REJECTED, Outcome.NOT_SENT]
    said = [verdict(400, Finding(outcome=outcome, code="x")).outcome for outcome in outcomes]
    assert said == [Outcome.APPLIED, Outcome.UNKNOWN, Outcome.REJECTED, Outcome.REJECTED]


@pytest.mark.parametrize(
    ("status", "finding", "reason"),
    [
        (409, Finding(code="x"), "in_progress"),
        (409, Finding(reason="already_exists"), "already_exists"),
        (409, Finding(error_type=E.CONFLICT), None),
        (410, Finding(error_type=E.NOT_FOUND), None),
        (410, Finding(code="x"), "gone"),
        (400, Finding(error_type=E.CONFLICT, reason="key_conflict"), "key_conflict"),
    ],
)
def test_whose_reason_it_is(status: int, finding: Finding, reason: str | None) -> None:
    """Who names the type names the reason too, or there is none; a mere code leaves the status its own."""
    assert reason == verdict(status, finding).reason


# The gate


@pytest.mark.parametrize(
    "finding",
    [
        Finding(reason="the card of Jane Doe was declined"),  # type: ignore[arg-type]  # free text
        Finding(reason=["validation"]),  # type: ignore[arg-type]
        Finding(error_type="rate_limited"),  # type: ignore[arg-type]
        Finding(error_type=[]),  # type: ignore[arg-type]
        Finding(code="jane@example.com"),
        Finding(code="two words"),
        Finding(code="x" * 65),
        Finding(code=""),
        Finding(code="caf\xe9"),
        Finding(code="x\n"),
        Finding(code=10**400),  # type: ignore[arg-type]
        Finding(code=1.5),  # type: ignore[arg-type]
        Finding(code=True),  # type: ignore[arg-type]
        Finding(code=b"x"),  # type: ignore[arg-type]
        Finding(retry_after=-1),
        Finding(retry_after=nan),
        Finding(retry_after=inf),
        Finding(retry_after=10**400),
        Finding(retry_after=True),
        Finding(retry_after="5"),  # type: ignore[arg-type]
        Finding(retryable="false"),  # type: ignore[arg-type]
        Finding(outcome="rejected"),  # type: ignore[arg-type]
        Finding(outcome=Outcome.NOT_SENT),
        Finding(provider_request_id="a b"),
        Finding(provider_request_id=7),  # type: ignore[arg-type]
        Finding(quota={"limit": 1}),  # type: ignore[arg-type]
    ],
)
def test_the_gate(finding: Finding) -> None:
    """Whatever a rule says that may not be shown, or cannot be true, is as if it had not been said."""
    assert sound(finding) == NOTHING
    assert judged(400, saying(finding)) == Judgement(verdict=classify.status(400))


def test_what_passes_the_gate() -> None:
    """A code may be a number, a wait is capped, and the rest comes out as it went in."""
    assert sound(Finding(code=1015)).code == "1015"  # type: ignore[arg-type]
    assert sound(Finding(retry_after=10**14)).retry_after == 1e9
    whole = Finding(
        error_type=E.CONFLICT,
        reason="locked",
        code="a-b_c.d:e/f",
        retry_after=0.5,
        retryable=False,
        outcome=Outcome.APPLIED,
        provider_request_id="req_8Zk",
        quota=Quota(limit=1),
    )
    assert sound(whole) == whole


def test_a_rule_of_the_callers_that_raises_says_nothing() -> None:
    """The failure it was to explain is not hidden by it: it is named, and the next one is asked."""

    def broken(_status: int, _answer: MultiMapping[str], body: Explanation) -> Finding:
        return Finding(code=body.json["code"])

    rules = (Rule("broken", broken), saying("no finding", name="wrong"), saying(Finding(code="x"), name="right"))
    said = judge(400, answer(), b"[]", rules, now=NOW)
    assert (said.broken, said.rule, said.code) == (("broken", "wrong"), "right", "x")


def test_a_rule_cannot_swallow_what_is_not_an_error() -> None:
    """Only exceptions are caught: an interrupt passes through."""

    def stopped(_status: int, _answer: MultiMapping[str], _body: Explanation) -> Finding:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(400, Rule("stopped", stopped))


# Declaring


def test_declared_rules_come_before_those_for_everybody() -> None:
    """A rule, several, and sets of them may be declared; of two with one name the first counts; None is none."""
    own = saying(None, name="own")
    assert resolve("shop", None, COMMON) == ()
    assert resolve("shop", (), COMMON) == COMMON
    assert resolve("shop", vendors.STRIPE, COMMON) == (vendors.STRIPE, *COMMON)
    assert resolve("shop", [own, vendors.AWS], COMMON) == (own, vendors.AWS, *COMMON)
    assert resolve("shop", (COMMON, own, (own,)), COMMON) == (*COMMON, own)
    names = [rule.name for rule in COMMON if rule.name != "json_rpc"]
    assert [rule.name for rule in resolve("shop", JSON_RPC, COMMON)] == ["json_rpc", *names]
    assert resolve("shop", JSON_RPC, COMMON)[0].in_success


@pytest.mark.parametrize("given", ["stripe", 7, vendors, (vendors.STRIPE, "aws"), ((COMMON,),), lambda: None, {}])
def test_what_is_no_rule(given: Any) -> None:
    """Anything else is refused when the provider is made, with the option's name."""
    with pytest.raises(ConfigurationError, match=r"^shop: rules= must be a Rule"):
        resolve("shop", given, COMMON)


@pytest.mark.parametrize("name", ["", "Stripe", "a b", None, "x" * 49])
def test_a_rule_has_a_declared_name(name: Any) -> None:
    """The name of a rule is checked when it is made."""
    with pytest.raises(ConfigurationError, match="name="):
        Rule(name, lambda _status, _answer, _body: None)


def test_a_rule_reads() -> None:
    """A rule without a function is refused when it is made."""
    with pytest.raises(ConfigurationError, match="read="):
        Rule("x", "no function")  # type: ignore[arg-type]


def test_rules_for_everybody_leave_successes_alone() -> None:
    """Without a declaration no success is taken for a failure, nor is its body looked at."""
    assert [rule.name for rule in COMMON if rule.in_success] == []


# The body


def test_a_body_is_parsed_once_and_only_if_asked() -> None:
    """All rules share one parsed body."""
    body = Explanation(b'{"a": [1, {"b": "c"}]}', "Application/JSON ; charset=utf-8")
    assert body.json is body.json
    assert body.media == "application/json"
    assert (body.at("a", 1, "b"), body.at("a", -1, "b"), body.at()) == ("c", "c", body.json)
    beside: list[tuple[str | int, ...]] = [("a", 2), ("a", -3), ("a", "b"), ("b",), (0,), ("a", 0, "b")]
    assert [body.at(*path) for path in beside] == [None] * 6


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"nul",
        b"9" * 5000,  # more digits than the interpreter converts
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b" " * LARGEST + b"1",
        b"\x00\x00\x00",
        b'"\\ud800',
    ],
)
def test_garbage_is_no_body(body: bytes) -> None:
    """What is no JSON, or more than an explanation of an error would be, is nothing, and nothing raises."""
    assert Explanation(body, "application/json").json is None
    for status in (200, 400, 500):
        assert judge(status, answer(), body, EVERY, now=NOW).broken == ()


def test_an_explanation_does_not_show_its_body() -> None:
    """The repr says how much there is and of what type, and nothing of it."""
    assert (
        repr(Explanation(b'{"token": "canary"}', "application/json")) == "<Explanation of 19 bytes, application/json>"
    )
    assert repr(Explanation(b"canary")) == "<Explanation of 6 bytes, unknown type>"


XML = [
    b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Error><Code>&b;</Code></Error>',
    b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><Error><Code>&a;</Code></Error>',
    b"<Error><Code></Code></Error>",
    b"<Error><Code>" + b"A" * 65 + b"</Code></Error>",
    b"<Error>" + b" " * 65 + b"<Code>SlowDown</Code></Error>",
    b"<Error><Message>&lt;Code&gt;SlowDown&lt;/Code&gt;</Message></Error>",
    b"<Other><Code>SlowDown</Code></Other>",
    b"<Error><Code>Slow Down</Code></Error>",
    b"<Error><Code>SlowDown",
    b"<html>SlowDown</html>",
    b"<Error><Code>\xff</Code></Error>",
]


@pytest.mark.parametrize("body", XML)
def test_hostile_xml_says_nothing(body: bytes) -> None:
    """No entity is expanded, nothing is fetched, and what is not a short plain word in its place is no code."""
    said = judge(503, answer(Content_Type="application/xml"), body, (vendors.AWS,), now=NOW)
    assert (said.code, said.broken, said.verdict) == (None, (), classify.status(503))


def test_readers_take_anything() -> None:
    """Each reader answers None, or nothing, to what it was not made for."""
    anything: list[Any] = [
        None,
        True,
        0,
        -1,
        1.5,
        nan,
        inf,
        10**400,
        "",
        "x",
        "x y",
        b"x",
        [],
        {},
        [{}],
        {"a": 1},
        {"a": {"b": 2}},
    ]
    assert [member(value, "a", "b") for value in anything] == [None] * 16 + [2]
    assert [records(value) for value in anything] == [[]] * 14 + [[{}], [], []]
    assert "".join(text(value) for value in anything) == "xx y"
    assert [word(value) for value in anything if word(value)] == ["0", "-1", "x"]
    assert [number(value) for value in anything if number(value) is not None] == [0.0, -1.0, 1.5]
    headers = [None, "", "1", "1.5", "-1", "1e3", "\u0661", " 1", "9" * 13, "nan"]
    assert [digits(value) for value in headers if digits(value)] == [1.0, 1.5]


# Whatever comes. Words in a row, to be split: they are read better than quoted ones.

KEYS = (
    "error errors code type status reason details @type errors domain message param decline_code data extensions cost "
    "throttleStatus requestedQueryCost currentlyAvailable restoreRate requestId locations documentation_url ok jsonrpc "
    "id error_subcode is_transient fbtrace_id __type Code cloudflare_error error_code retryable retry_after ray_id "
    "traceId invalid-params retryDelay seconds jsonapi source error_description"
)
WORDS = (
    "invalid_grant 2.0 THROTTLED card_error lock_timeout RESOURCE_EXHAUSTED RATE_LIMITED ratelimited 36.5s 429 "
    "about:blank type.googleapis.com/google.rpc.RetryInfo type.googleapis.com/google.rpc.ErrorInfo usageLimits "
    "ThrottlingException https://iana.org/assignments/http-problem-types#quota-exceeded x#y:z canary@example.com"
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([4, 190, 80004, -32603, 10**400, -(10**400), 2**63])
    | st.floats()
    | st.text(max_size=80)
    | st.sampled_from(WORDS.split())
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split()) | st.text(max_size=8), inner, max_size=6)
    ),
    max_leaves=25,
)
NAMES = (
    "Content-Type Retry-After retry-after-ms x-ms-retry-after-ms x-should-retry stripe-should-retry WWW-Authenticate "
    "X-Request-Id X-RateLimit-Remaining X-RateLimit-Reset RateLimit x-amzn-errortype x-amzn-query-error "
    "x-amz-retry-after X-Shopify-Shop-Api-Call-Limit X-Business-Use-Case-Usage X-Ad-Account-Usage Date"
)
CONTENT = (
    "application/json",
    "application/problem+json",
    "application/vnd.api+json; ext=x",
    "text/xml",
    '{"1":[{"estimated_time_to_regain_access":1e999}]}',
    '{"reset_time_duration":-5}',
    "40/40",
    "0",
    "1800000090",
    'Bearer error="invalid_token"',
    "Bearer " * 900,
    "ThrottlingException:http://x#y",
    "#;:",
)
HEADERS = st.dictionaries(st.sampled_from(NAMES.split()), st.sampled_from(CONTENT) | st.text(max_size=60), max_size=6)
STATUSES = st.sampled_from([200, 201, 299, 304, 400, 401, 402, 403, 404, 409, 410, 422, 423, 425, 429, 430]) | (
    st.sampled_from([500, 501, 502, 503, 504, 529]) | st.integers(min_value=100, max_value=999)
)
BACKWARDS = tuple(reversed(EVERY))  # where a body speaks to several rules, another one gets to read it first
RULES = st.sampled_from([(rule,) for rule in EVERY] + [EVERY, BACKWARDS])


def check(status: int, fields: dict[str, str], body: bytes, rules: tuple[Rule, ...]) -> None:
    """Judge an answer, and check what came out."""
    said = judge(status, CIMultiDictProxy(CIMultiDict(fields)), body, rules, now=NOW)
    assert said.broken == ()
    assert said.code is None or CODE.fullmatch(said.code)
    assert said.provider_request_id is None or ID.fullmatch(said.provider_request_id)
    if said.verdict is None:
        assert (status < 400, said.rule, said.code) == (True, None, None)
        return
    assert said.verdict.error_type in FAILURES
    assert said.verdict.reason in {None, *REASONS}
    assert said.verdict.phase is Phase.RECEIVE
    assert said.verdict.outcome is not Outcome.NOT_SENT
    after = said.verdict.retry_after
    assert after is None or (isfinite(after) and 0 <= after <= 1e10)
    assert "canary@" not in repr(said)


# A pattern that backtracks, as one did, needs a minute for a type like this, and with a larger limit eight.
LONG_TYPE = {"type": "https://a/rfc/rfc" + "1" * (LARGEST - 100) + "\n"}


@given(status=STATUSES, fields=HEADERS, value=VALUES, rules=RULES)
@example(400, {"Content-Type": "application/problem+json"}, LONG_TYPE, COMMON)
def test_any_json_is_judged(status: int, fields: dict[str, str], value: Any, rules: tuple[Rule, ...]) -> None:
    """Whatever JSON comes, in whatever shape near a dialect's, no rule raises and only bounded words come out."""
    check(status, fields, json.dumps(value).encode(), rules)


@given(status=STATUSES, fields=HEADERS, body=st.binary(max_size=300), rules=RULES)
@example(400, {}, b"\xef\xbb\xbf{}", EVERY)
@example(400, {}, '{"error":{"code":190}}'.encode("utf-16"), EVERY)
@example(503, {}, b"<Error>" * 9000, EVERY)
@example(503, {}, b"<Error " + b"x" * 60_000, EVERY)
@example(200, {}, b'"ok":        ' * 4000 + b'"ok":false "errors" "jsonrpc"', EVERY)
def test_any_bytes_are_judged(status: int, fields: dict[str, str], body: bytes, rules: tuple[Rule, ...]) -> None:
    """Whatever bytes come, no rule raises and only bounded words come out."""
    check(status, fields, body, rules)


@pytest.mark.parametrize("key", sorted(set(KEYS.split())))
def test_the_wrong_type_in_the_right_place(key: str) -> None:
    """Each member that some dialect has may be of any type, wherever it is."""
    values: list[Any] = [None, True, 0, -32603, 10**400, 1e308, "", "x", "\ud800", [], [[]], {}, {"a": []}]
    for one in ({key: value} for value in values):
        bodies: list[Any] = [
            one,
            [{"error": one}],
            {"error": one},
            {"error": {"code": 190, "type": "x", **one}},
            {"error": {"details": [one]}},
            {"errors": [one, one]},
            {"jsonrpc": "2.0", "error": one, **one},
        ]
        for body in bodies:
            for status, rules in ((200, EVERY), (400, EVERY), (400, BACKWARDS)):
                check(status, {}, json.dumps(body).encode(), rules)


@given(
    inner=st.dictionaries(
        st.sampled_from(KEYS.split()),
        SCALARS | st.lists(SCALARS | st.dictionaries(st.sampled_from(KEYS.split()), SCALARS, max_size=5), max_size=3),
        max_size=9,
    ),
    outer=st.sampled_from(["error", "errors", "details", "extensions", ""]),
    status=STATUSES,
    listed=st.booleans(),
)
def test_what_is_almost_a_dialect_is_judged(inner: dict[str, Any], outer: str, status: int, listed: bool) -> None:  # noqa: FBT001
    """The right keys with values of any type are no more dangerous than garbage."""
    value: Any = [inner] if listed else inner
    check(status, {}, json.dumps({outer: value, **inner} if outer else value).encode(), EVERY)
