"""What the body of an answer says about a failure: what a rule is, and how its finding becomes a verdict.

The rules themselves are in ``dialects`` (formats that name themselves, read for every provider) and ``vendors`` (one
company's habits, read where declared). A rule is a pure function; whatever it says passes one gate here, so that only
words of the catalogue, short codes and sane numbers come out, and no text of a body ever does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

from multidict import MultiMapping

from buoy import options
from buoy.errors import ConfigurationError
from buoy.http import classify, headers, quota
from buoy.http.explanation import Explanation, digits, matching, number, word
from buoy.outcome import ErrorType, Outcome, Verdict
from buoy.result import Quota

# All that an answer can be said to mean beyond its error type. They go into spans and logs, so the list is closed; with
# the words for exceptions (`classify`, `body`) it has to stay within the 64 of the telemetry contract.
Reason = Literal[
    # who we are
    "missing_credentials",
    "invalid_token",  # unknown, revoked or malformed: a key as well as a token
    "expired_token",
    "invalid_grant",
    "invalid_client",
    "signature",
    "clock_skew",
    "consent_required",  # a person has to log in or agree again
    "pending",  # a person has not agreed yet
    # what we may do
    "permission",
    "insufficient_scope",
    "account_disabled",
    "service_disabled",
    "payment_required",
    "card_declined",
    "blocked",  # by a firewall or an abuse check: repeating makes it worse
    # how much of it
    "rate_limit",
    "secondary_limit",
    "quota_exhausted",  # what is allotted is used up: waiting seconds does not help
    "too_costly",
    "overloaded",
    # what is there
    "already_exists",
    "precondition",
    "contention",  # somebody else changed it at the same time
    "locked",
    "in_progress",
    "key_conflict",
    "gone",
    # what was asked
    "validation",
    "too_early",
]
REASONS: tuple[str, ...] = get_args(Reason)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_LONGEST = 1e9
# OpenAI and Azure say it more exactly beside, or instead of, Retry-After.
_MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")

# An error type that a rule found is classified as the status that means it: the outcome and whether to try again
# follow from the one table. An answer came, so it was no network error; the refusals are ours.
_STATUS_OF: Mapping[ErrorType, int] = {
    **{error_type: code for code, error_type in sorted(classify.STATUS.items(), reverse=True)},
    ErrorType.CLIENT_ERROR: 499,
    ErrorType.SERVER_ERROR: 599,
    ErrorType.UNKNOWN: 600,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule read in one answer; ``None`` leaves it to the status and the headers.

    Naming the ``error_type`` settles outcome and ``retryable`` as for the status that means it, unless they are given.
    ``code`` is the provider's own word and ``quota`` its numbers; ``retry_after`` is in seconds.
    """

    error_type: ErrorType | None = None
    reason: Reason | None = None
    code: str | None = None
    retry_after: float | None = None
    retryable: bool | None = None
    outcome: Outcome | None = None
    provider_request_id: str | None = None
    quota: Quota | None = None


NOTHING = Finding()


class Read(Protocol):
    """Reads one answer; the names of its headers are case-insensitive."""

    def __call__(self, status: int, answer: MultiMapping[str], body: Explanation, /) -> Finding | None:
        """Return what the answer says, ``None`` where it is not in this rule's dialect."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one dialect says what went wrong. ``in_success``: also behind a status that says all is well.

    In a success only a finding with an ``error_type`` makes it a failure.
    """

    name: str
    read: Read
    in_success: bool = False

    def __post_init__(self) -> None:
        """Check the rule once, when it is declared."""
        options.name("Rule", "name", self.name)
        if not callable(self.read):
            raise options.wrong("Rule", "read", self.read, "a function of status, headers and body")


# What a provider's option ``rules=`` takes; ``None`` is no rules at all.
Rules = Rule | tuple[Rule | tuple[Rule, ...], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One answer, judged. ``verdict`` is ``None`` for a success that stands.

    ``code`` and ``provider_request_id`` are short words, for the exception (the id also for spans). ``rule`` names the
    rule that spoke; ``broken`` those that raised, which only a rule of the caller's own does: they say nothing.
    """

    verdict: Verdict | None = None
    code: str | None = None
    provider_request_id: str | None = None
    quota: Quota | None = None
    rule: str | None = None
    broken: tuple[str, ...] = ()


def judge(status: int, answer: MultiMapping[str], body: bytes, rules: tuple[Rule, ...], *, now: float) -> Judgement:
    """Judge an answer by the first of ``rules`` that says what went wrong, else by status and headers alone.

    ``answer`` is the headers, their names case-insensitive; ``now`` is the wall clock in seconds since the epoch, for
    limits that name a moment. Nothing in an answer makes this raise.
    """
    failed = status >= 400
    told, rule, broken = _told(status, answer, Explanation(body, answer.get("Content-Type", "")), rules)
    return Judgement(
        verdict=_verdict(status, answer, told, now) if failed or told.error_type is not None else None,
        code=told.code,
        provider_request_id=headers.provider_request_id(answer) or told.provider_request_id,
        quota=told.quota,
        rule=rule,
        broken=broken,
    )


def _told(
    status: int, answer: MultiMapping[str], body: Explanation, rules: tuple[Rule, ...]
) -> tuple[Finding, str | None, tuple[str, ...]]:
    """Return what the first rule says that says what went wrong, its name, and the names of rules that raised.

    An id or numbers of a quota are no such thing: they are kept, and the next rule is asked.
    """
    failed = status >= 400
    told, broken = NOTHING, []
    for rule in rules:
        if not (failed or rule.in_success):
            continue
        try:
            found = sound(rule.read(status, answer, body) or NOTHING)
        except Exception:  # noqa: BLE001  # a rule of the caller's own must not hide the failure it was to explain
            broken.append(rule.name)
            continue
        beside = Finding(
            quota=told.quota or found.quota,
            provider_request_id=told.provider_request_id or found.provider_request_id,
        )
        told = replace(found, quota=beside.quota, provider_request_id=beside.provider_request_id)
        if told.error_type is not None or (failed and told != beside):
            return told, rule.name, tuple(broken)
        told = beside
    return told, None, tuple(broken)


def sound(finding: Finding) -> Finding:
    """Return ``finding`` without what could not be true or may not be shown: the gate that every rule passes."""
    wait = number(finding.retry_after)
    return replace(
        finding,
        error_type=_declared(finding.error_type),
        reason=finding.reason if finding.reason in REASONS else None,
        code=word(finding.code),
        retry_after=None if wait is None or wait < 0 else min(_LONGEST, wait),
        retryable=finding.retryable if isinstance(finding.retryable, bool) else None,
        # An answer came: whatever it says, the request was sent.
        outcome=finding.outcome if isinstance(finding.outcome, Outcome) and finding.outcome != "not_sent" else None,
        provider_request_id=matching(_REQUEST_ID, finding.provider_request_id),
        quota=finding.quota if isinstance(finding.quota, Quota) else None,
    )


def _declared(error_type: object) -> ErrorType | None:
    return error_type if isinstance(error_type, ErrorType) and error_type in _STATUS_OF else None


def _verdict(status: int, answer: MultiMapping[str], finding: Finding, now: float) -> Verdict:
    named = finding.error_type
    plain = classify.status(status).error_type if status >= 400 else None
    meant = status if named is None or named is plain else _STATUS_OF[named]
    # The provider's own header is about this very answer, a rule about answers like it.
    advice = headers.should_retry(answer)
    wait = _wait(answer, finding, meant, now)
    verdict = classify.status(meant, retry_after=wait, should_retry=finding.retryable if advice is None else advice)
    return replace(
        verdict,
        outcome=finding.outcome or verdict.outcome,
        # Who knows the type better also knows the reason better, even when it knows none.
        reason=finding.reason or (verdict.reason if named is None else None),
    )


def _wait(answer: MultiMapping[str], finding: Finding, meant: int, now: float) -> float | None:
    """Return the seconds to wait: Retry-After wins, then what the rule read, then when there is quota again."""
    asked = headers.wait_asked(answer)
    if asked is not None:
        return asked
    for name in _MILLISECONDS:
        asked = digits(answer.get(name))
        if asked is not None:
            return min(_LONGEST, asked / 1000)
    if finding.retry_after is not None or classify.STATUS.get(meant) is not ErrorType.RATE_LIMITED:
        return finding.retry_after
    said = quota.read(answer, now=now)
    return None if said is None else said.pause


def resolve(owner: str, given: Any, common: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return the rules of a provider for its option ``rules=``: a rule, a set of them, or several of either.

    Those given come first, then the ``common`` ones; of two with one name the first counts. ``None`` is no rules at
    all: status and headers decide alone. Raises :class:`ConfigurationError` for anything else.
    """
    if given is None:
        return ()
    listed: list[Rule] = []
    for item in given if isinstance(given, tuple | list) else (given,):
        listed += item if isinstance(item, tuple | list) else (item,)
    if not all(isinstance(rule, Rule) for rule in listed):
        raise ConfigurationError(f"{owner}: rules= must be a Rule, several of them in a tuple, or None.")
    chosen: dict[str, Rule] = {}
    for rule in (*listed, *common):
        chosen.setdefault(rule.name, rule)
    return tuple(chosen.values())
