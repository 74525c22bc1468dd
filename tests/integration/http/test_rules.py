"""What providers say in the bodies of their answers decides over the status, on a real socket."""

import json
from typing import Any

import pytest

import buoy
from buoy.rules import Explanation, Finding, Rule
from tests.support.peer import Peer, answer
from tests.support.telemetry import Observed

CANARY = "canary-7f3a"
AT_ONCE = buoy.Retry(max_attempts=2, base=0, throttled_base=0)


def said(status: int, body: Any, **headers: Any) -> bytes:
    """Return an answer with a JSON body."""
    return answer(status, json.dumps(body).encode(), **headers)


def shop(peer: Peer, rules: Any, **options: Any) -> buoy.Provider:
    """Return a provider that reads its answers by ``rules``."""
    return buoy.Provider("shop", base_url=peer.url, rules=rules, **{"retry": None, "breaker": None, **options})


@pytest.mark.parametrize(
    ("rules", "reply", "error_type", "reason", "code"),
    [
        (
            buoy.rules.slack,
            said(200, {"ok": False, "error": "channel_not_found"}),
            "not_found",
            None,
            "channel_not_found",
        ),
        (
            buoy.rules.stripe,
            said(429, {"error": {"type": "invalid_request_error", "code": "lock_timeout"}}),
            "conflict",
            "locked",
            "lock_timeout",
        ),
        (
            buoy.rules.aws,
            said(400, {"__type": "com.amazonaws#ThrottlingException"}),
            "rate_limited",
            "rate_limit",
            "ThrottlingException",
        ),
        (buoy.rules.meta, said(400, {"error": {"code": 190}}), "unauthorized", "expired_token", "190"),
        ((), said(200, {"ok": False, "error": "ratelimited"}), None, None, None),
        ((), said(400, {"__type": "ThrottlingException"}), "bad_request", None, None),
    ],
    ids=["slack", "stripe", "aws", "meta", "slack undeclared", "aws undeclared"],
)
async def test_a_declared_rule_knows_better_than_the_status(
    rules: Any, reply: bytes, error_type: str | None, reason: str | None, code: str | None
) -> None:
    """Type, reason and code are those of the body where a rule is declared, and of the status where none is."""
    async with Peer(reply) as peer, shop(peer, rules) as provider:
        if error_type is None:
            await provider.get("/items")
            return
        with pytest.raises(buoy.HttpError) as caught:
            await provider.get("/items")
    assert (error_type, reason, code) == (caught.value.error_type, caught.value.reason, caught.value.code)


async def test_a_limit_behind_a_success_pauses_and_is_retried(observed: Observed) -> None:
    """A 200 that says ``ratelimited`` is a failed send: it is counted, waited for and tried again."""
    limited = said(200, {"ok": False, "error": "ratelimited"}, Retry_After="0")
    async with Peer(limited, said(200, {"ok": True})) as peer, shop(peer, buoy.rules.slack, retry=AT_ONCE) as provider:
        result = await provider.request("GET", "/items")
    assert (result.value, result.meta.attempts) == ({"ok": True}, 2)
    assert observed.value("buoy.client.errors", level="attempt") == 1


async def test_a_lock_is_no_limit() -> None:
    """Stripe's 429 for a lock pauses nobody: the next call is sent at once."""
    lock = said(429, {"error": {"type": "invalid_request_error", "code": "lock_timeout"}}, Retry_After="3600")
    async with Peer(lock) as peer, shop(peer, buoy.rules.stripe) as provider:
        with pytest.raises(buoy.HttpError):
            await provider.get("/items")
        assert provider.control.limiter.paused_for == 0
        await provider.get("/items")


async def test_a_rule_of_ones_own() -> None:
    """A provider's own dialect is a function of status, headers and body."""

    def read(status: int, _: object, body: Explanation) -> Finding | None:
        return Finding(reason="payment_required", code=body.at("why")) if status == 402 else None

    async with Peer(said(402, {"why": "E17"})) as peer, shop(peer, Rule("mine", read)) as provider:
        with pytest.raises(buoy.HttpError) as caught:
            await provider.get("/items")
    assert (caught.value.reason, caught.value.code) == ("payment_required", "E17")


async def test_a_rule_that_raises_hides_nothing() -> None:
    """The failure is told by its status, and a note on the error names the rule."""

    def read(*_: object) -> Finding:
        raise ZeroDivisionError(CANARY)

    async with Peer(said(503, {"why": CANARY})) as peer, shop(peer, Rule("mine", read)) as provider:
        with pytest.raises(buoy.HttpError) as caught:
            await provider.get("/items")
    assert caught.value.error_type == "service_unavailable"
    assert caught.value.__notes__ == ["The rule 'mine' raised on this answer and was left out."]
    assert CANARY not in str(caught.value)


async def test_nothing_of_a_body_is_told(observed: Observed) -> None:
    """No text of the body is in the message or in a span; the short code is on the exception only."""
    body = {"title": CANARY, "detail": CANARY, "error": {"code": CANARY, "message": CANARY}}
    async with Peer(said(400, body)) as peer, shop(peer, buoy.rules.stripe) as provider:
        with pytest.raises(buoy.HttpError) as caught:
            await provider.get("/items")
    assert CANARY not in f"{caught.value} {caught.value!r}"
    assert all(CANARY not in str(span.to_json()) for span in (*observed.calls(), *observed.attempts()))


@pytest.mark.parametrize("rules", [3, "stripe", (buoy.rules.stripe, "slack"), [1]])
def test_what_is_no_rule(rules: Any) -> None:
    """What cannot be a rule is refused when the provider is made."""
    with pytest.raises(buoy.ConfigurationError, match="shop: rules= must be a Rule"):
        buoy.Provider("shop", base_url="http://127.0.0.1:9", rules=rules)
