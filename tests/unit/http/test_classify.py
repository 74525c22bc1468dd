"""The table of statuses, against the contract written out a second time."""

from unittest.mock import Mock

import aiohttp
import httpx
import pytest
import requests
from multidict import CIMultiDict, CIMultiDictProxy

from buoy.http import classify
from buoy.outcome import TABLE, CallResult, Outcome, Phase

# Telemetry contract, section 1, column "source"; written out here so that a slip in the code's table shows.
CONTRACT: dict[str, list[int]] = {
    "bad_request": [400],
    "unauthorized": [401],
    "forbidden": [403],
    "not_found": [404, 410],
    "method_not_allowed": [405, 501],
    "conflict": [409, 412, 423],
    "unprocessable_entity": [422],
    "rate_limited": [429, 430, 529],
    "internal_server_error": [500],
    "bad_gateway": [502, 520, 521, 523, 525, 526, 527, 530],
    "service_unavailable": [503],
    "gateway_timeout": [504, 522, 524],
    "timeout": [408],
}
EXPECTED = {code: error for error, codes in CONTRACT.items() for code in codes}


def expected_type(code: int) -> str:
    """Return what section 1 of the contract says of a status."""
    if code in EXPECTED:
        return EXPECTED[code]
    return "client_error" if code < 500 else "server_error" if code < 600 else "unknown"


ALL = range(400, 1000)


def test_every_error_status_lands_where_the_contract_says() -> None:
    """Each status from 400 to 999 has the error type of the contract."""
    assert {code: expected_type(code) for code in ALL} == {code: classify.status(code).error_type for code in ALL}


def test_every_error_status_is_a_failure_in_the_one_table() -> None:
    """Each status from 400 to 999 has a category, and is never counted as a success, a refusal or a cancellation."""
    for verdict in map(classify.status, ALL):
        assert verdict.phase == Phase.RECEIVE
        assert TABLE[verdict.error_type].category is not None
        assert TABLE[verdict.error_type].result in {CallResult.FAILURE, CallResult.CALLER_ERROR}


RETRYABLE = {408, 425, 429, 430, 500, *range(502, 600)}


def test_trying_again_makes_sense_only_where_it_may_pass() -> None:
    """Server errors, throttling, 408 and 425 may pass; every other 4xx, 501 and what is no HTTP status will not."""
    assert {code for code in ALL if classify.status(code).retryable} == RETRYABLE


@pytest.mark.parametrize(
    ("code", "retry_after", "outcome"),
    [
        (400, None, Outcome.REJECTED),
        (404, None, Outcome.REJECTED),
        (408, None, Outcome.UNKNOWN),  # the server gave up waiting: what it did with what it got is open
        (425, None, Outcome.REJECTED),
        (429, None, Outcome.REJECTED),
        (429, 3.0, Outcome.REJECTED),
        (499, None, Outcome.REJECTED),
        (500, None, Outcome.UNKNOWN),
        (500, 3.0, Outcome.UNKNOWN),
        (501, None, Outcome.REJECTED),
        (502, None, Outcome.UNKNOWN),
        (503, None, Outcome.UNKNOWN),  # may come from a proxy whose backend has done it
        (503, 0.0, Outcome.REJECTED),
        (503, 3.0, Outcome.REJECTED),
        (504, 3.0, Outcome.UNKNOWN),
        (529, None, Outcome.REJECTED),
        (600, None, Outcome.UNKNOWN),
        (999, None, Outcome.UNKNOWN),
    ],
)
def test_what_a_status_proves(code: int, retry_after: float | None, outcome: Outcome) -> None:
    """A status says that nothing was done only where it can be known; from 500 on the effect is open."""
    verdict = classify.status(code, retry_after=retry_after)
    assert (outcome, retry_after) == (verdict.outcome, verdict.retry_after)


@pytest.mark.parametrize(("code", "said"), [(500, False), (503, False), (400, True), (409, True)])
def test_the_providers_own_word_on_retrying_wins(code: int, said: bool) -> None:  # noqa: FBT001  # a table's column
    """What the provider says about trying again overrides the table, in both directions."""
    assert said is classify.status(code, should_retry=said).retryable


@pytest.mark.parametrize(("code", "reason"), [(409, "in_progress"), (410, "gone"), (425, "too_early"), (404, None)])
def test_some_statuses_have_a_closer_reason(code: int, reason: str | None) -> None:
    """Where two statuses share a type, the reason tells them apart."""
    assert reason == classify.status(code).reason


def test_a_conflict_that_the_provider_calls_final_is_not_in_progress() -> None:
    """A 409 with "do not retry" is no first try that still runs: nothing suggests to come back."""
    assert classify.status(409, should_retry=False).reason is None


def responded(status: int, headers: dict[str, str]) -> list[Exception]:
    """Return what aiohttp, httpx and requests raise for an error status."""
    sent = Mock(spec=aiohttp.RequestInfo)
    old = requests.Response()
    old.status_code, old.headers = status, requests.structures.CaseInsensitiveDict(headers)
    new = httpx.Response(status, headers=headers)
    return [
        aiohttp.ClientResponseError(sent, (), status=status, headers=CIMultiDictProxy(CIMultiDict(headers))),
        httpx.HTTPStatusError("canary", request=httpx.Request("GET", "http://host"), response=new),
        requests.HTTPError("canary", response=old),
    ]


@pytest.mark.parametrize("library", range(3), ids=["aiohttp", "httpx", "requests"])
def test_a_librarys_status_error_is_an_answer(library: int) -> None:
    """What these raise for an error status is judged by the status and the headers that came with it."""
    found = classify.answer_of(responded(503, {"Retry-After": "7"})[library])
    assert found is not None
    assert (found[0], found[1]["retry-after"]) == (503, "7")


@pytest.mark.parametrize(
    "error",
    [
        *responded(302, {}),
        aiohttp.ClientResponseError(Mock(spec=aiohttp.RequestInfo), ()),
        requests.HTTPError("without a response"),
        ValueError("canary"),
    ],
    ids=["aiohttp", "httpx", "requests", "no-status", "no-response", "other"],
)
def test_what_carries_no_error_status_is_no_answer(error: Exception) -> None:
    """Without a status from 400 on, an exception is judged by its class."""
    assert classify.answer_of(error) is None


def test_an_answer_without_headers_is_one() -> None:
    """Aiohttp leaves the headers away in some of its errors; the status counts all the same."""
    assert classify.answer_of(aiohttp.ClientResponseError(Mock(spec=aiohttp.RequestInfo), (), status=502)) == (502, {})
