"""The error tree: who is whose child, what each error says, and that it survives copies, pickles and the pipeline."""

import asyncio
import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict

import buoy
from buoy import errors
from buoy.events import Silent
from buoy.outcome import TABLE, Category, ErrorType, Outcome, Phase, Safety, Transport, Verdict, WaitCause
from buoy.pipeline.call import Call, Plan
from buoy.pipeline.run import run
from buoy.policies.deadline import Timeout
from buoy.policies.retry import Retry
from buoy.result import Meta

# Section 5 of the public names, as it is written there.
TREE = {
    "BuoyError": "Exception",
    "Refused": "BuoyError",
    "BreakerOpen": "Refused",
    "RateLimitedLocally": "Refused",
    "ConcurrencyLimited": "Refused",
    "DeadlineExceeded": "Refused",
    "StateUnavailable": "Refused",
    "NeedsConsent": "Refused",
    "Failed": "BuoyError",
    "HttpError": "Failed",
    "NetworkError": "Failed",
    "TimedOut": "Failed",
    "Undecodable": "Failed",
    "OutcomeUnknown": "Failed",
    "KeyConflict": "BuoyError",
    "ConfigurationError": "BuoyError ValueError",
}
CANARY = "canary-9b27"
META = Meta(
    request_id="7d0f",
    provider="shop",
    operation="orders.create",
    attempts=3,
    sends=4,
    duration=1.5,
    waited={WaitCause.BACKOFF: 0.5},
)
LIMITED = Verdict(ErrorType.RATE_LIMITED, Outcome.REJECTED, Phase.RECEIVE, retryable=True, retry_after=7.0)


def classes() -> list[type[errors.BuoyError]]:
    """Return every error class that the module defines."""
    return [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.BuoyError)]


def made(kind: type[errors.BuoyError]) -> errors.BuoyError:
    """Return an error of ``kind`` with everything that it can hold."""
    known: dict[str, Any] = {"provider": "shop", "operation": "orders.create"}
    error: errors.BuoyError
    if issubclass(kind, errors.HttpError):
        headers = CIMultiDict({"Set-Cookie": CANARY, "Retry-After": "7"})
        error = kind("shop said no", status=429, headers=headers, problem={"detail": CANARY}, verdict=LIMITED, **known)
    elif issubclass(kind, errors.OutcomeUnknown):
        error = kind("may have happened", cause=made(errors.NetworkError), advice="Ask them.", **known)
    else:
        error = kind("it went wrong", advice="Look there.", **known)
    error.meta = META
    return error


def story(error: errors.BuoyError) -> dict[str, Any]:
    """Return everything that an error says, its cause included."""
    said = {name: getattr(error, name) for name in dir(errors.BuoyError) if not name.startswith("_")}
    said |= {key: value for key, value in vars(error).items() if key != "cause"}
    cause = getattr(error, "cause", None)
    methods = {"add_note", "with_traceback"}
    return {key: value for key, value in said.items() if key not in methods} | {
        "kind": type(error),
        "text": str(error),
        "cause": None if cause is None else story(cause),
    }


def test_the_tree() -> None:
    """The classes and their parents are those of the public tree, and every one is exported from the package."""
    assert {kind.__name__: " ".join(base.__name__ for base in kind.__bases__) for kind in classes()} == TREE
    for name in TREE:
        assert getattr(errors, name) is getattr(buoy, name)
        assert name in buoy.__all__


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda error, p=protocol: pickle.loads(pickle.dumps(error, p)) for protocol in range(6)),  # noqa: S301
    ],
    ids=["copy", "deepcopy", *(f"pickle{protocol}" for protocol in range(6))],
)
@pytest.mark.parametrize("kind", classes())
def test_errors_survive_copies(
    kind: type[errors.BuoyError], duplicate: Callable[[errors.BuoyError], errors.BuoyError]
) -> None:
    """A copied or pickled error says all that the original says: text, verdict, story, headers, problem, cause."""
    error = made(kind)
    assert story(error) == story(duplicate(error))


def test_a_pickled_answer_finds_its_headers_in_any_case() -> None:
    """Headers stay case-insensitive on the way to another process."""
    error = pickle.loads(pickle.dumps(made(errors.HttpError)))  # noqa: S301  # our own bytes
    assert error.headers["retry-after"] == "7"


@pytest.mark.parametrize("kind", classes())
def test_errors_can_be_made_of_a_text_alone(kind: type[errors.BuoyError]) -> None:
    """Whoever raises one of ours by hand needs no more than a text, and every property still answers."""
    error = kind("text")
    facts = TABLE[error.error_type]
    assert str(error) == "text"
    assert facts.category is error.category
    assert (error.provider, error.operation, error.meta, error.retry_after) == (None, None, None, None)
    assert error.outcome in Outcome
    assert error.advice
    assert story(error)["text"] == "text"


@pytest.mark.parametrize("kind", classes())
def test_errors_keep_data_out_of_every_text(kind: type[errors.BuoyError]) -> None:
    """No header, body or cause is in the text, the repr or the traceback of an error."""
    error = made(kind)
    try:
        raise error
    except errors.BuoyError as caught:
        texts = [
            str(caught),
            repr(caught),
            *traceback.format_exception(caught),
            repr(caught.args),
            repr(caught.verdict),
        ]
    assert not [text for text in texts if CANARY in text]


@pytest.mark.parametrize(
    ("kind", "error_type"),
    [
        (errors.BreakerOpen, "breaker_open"),
        (errors.RateLimitedLocally, "rate_limited_locally"),
        (errors.ConcurrencyLimited, "concurrency_limited"),
        (errors.DeadlineExceeded, "deadline_exceeded"),
        (errors.StateUnavailable, "state_unavailable"),
        (errors.NeedsConsent, "needs_consent"),
    ],
)
def test_a_refusal(kind: type[errors.Refused], error_type: str) -> None:
    """A refusal has no category, its reason is its type, and nothing was sent."""
    error = kind()
    assert (error_type, None, error_type, "not_sent") == (error.error_type, error.category, error.reason, error.outcome)


def test_a_failure_tells_what_the_verdict_says() -> None:
    """The properties of a failure are those of its verdict and of the table."""
    error = made(errors.HttpError)
    expected = ("rate_limited", Category.RATE_LIMITING, None, 7.0, Outcome.REJECTED)
    assert expected == (error.error_type, error.category, error.reason, error.retry_after, error.outcome)
    assert TABLE[ErrorType.RATE_LIMITED].advice == error.advice
    assert isinstance(error, errors.HttpError)
    assert error.status == 429
    assert error.problem == {"detail": CANARY}


@pytest.mark.parametrize(
    ("kind", "error_type", "outcome"),
    [
        (errors.NetworkError, ErrorType.NETWORK_ERROR, Outcome.UNKNOWN),
        (errors.TimedOut, ErrorType.TIMEOUT, Outcome.UNKNOWN),
        (errors.Undecodable, ErrorType.SERVER_ERROR, Outcome.APPLIED),
        (errors.KeyConflict, ErrorType.CONFLICT, Outcome.REJECTED),
        (errors.ConfigurationError, ErrorType.UNKNOWN, Outcome.NOT_SENT),
    ],
)
def test_what_a_class_means_by_itself(kind: type[errors.BuoyError], error_type: ErrorType, outcome: Outcome) -> None:
    """An error that was given no verdict has that of its class, and none claims more harm than it can have done."""
    assert (error_type, outcome) == (kind().error_type, kind().outcome)


def test_a_configuration_error_is_a_value_error() -> None:
    """Whoever expects a ``ValueError`` for a wrong option gets one, and advice about the option."""
    with pytest.raises(ValueError, match="max_attempts=0") as caught:
        Retry(max_attempts=0)
    assert isinstance(caught.value, errors.ConfigurationError)
    assert caught.value.advice == "Correct the option that the message names."


def test_a_key_conflict_leaves_the_new_key_to_the_caller() -> None:
    """The advice of a key conflict says that only the caller knows whether a new key is safe."""
    assert "only you know" in errors.KeyConflict().advice


# Through the pipeline.


def plan(*, safety: Safety = Safety.SAFE, attempts: int = 1, timeout: Timeout | None = None) -> Plan:
    """Return a plan that retries without waiting."""
    return Plan(
        provider="shop",
        operation="orders.create",
        transport=Transport.FUNCTION,
        safety=safety,
        retry=Retry(max_attempts=attempts, base=0, throttled_base=0),
        timeout=timeout,
        recorder=Silent(),
    )


async def lose(_call: Call) -> None:
    """Fail as a lost connection does."""
    raise errors.NetworkError("shop orders.create: the connection was reset.")


async def caught(what: Plan, *, asked: float | None = None) -> errors.BuoyError:
    """Run a call that loses every try, and return what its caller gets."""
    with pytest.raises(errors.BuoyError) as info:
        await run(Call(what, asyncio.get_running_loop(), asked=asked), lose)
    return info.value


def depth(error: BaseException) -> int:
    """Return the number of frames in the traceback of ``error`` and of all that it is chained to."""
    chained = error.__cause__ or error.__context__
    return len(traceback.extract_tb(error.__traceback__)) + (0 if chained is None else depth(chained))


@pytest.mark.parametrize(
    ("what", "asked", "kind"),
    [
        (plan(timeout=Timeout()), 0.0, errors.DeadlineExceeded),
        (plan(), None, errors.NetworkError),
        (plan(attempts=3), None, errors.NetworkError),
        (plan(safety=Safety.UNSAFE), None, errors.OutcomeUnknown),
    ],
    ids=["refused", "failed", "retried", "in doubt"],
)
async def test_tracebacks_do_not_grow_with_calls(what: Plan, asked: float | None, kind: type[errors.BuoyError]) -> None:
    """The fiftieth error of an operation has as many frames as its first: no error is raised twice."""
    raised = [await caught(what, asked=asked) for _ in range(50)]
    assert {kind} == {type(error) for error in raised}
    assert len({id(error) for error in raised}) == 50
    assert len({depth(error) for error in raised}) == 1


async def test_tracebacks_do_not_grow_with_tries() -> None:
    """An error after many tries is as deep as one after a single try, and is not chained to those before it."""
    shallow, deep = [await caught(plan(attempts=attempts)) for attempts in (2, 20)]
    assert deep.meta is not None
    assert deep.meta.attempts == 20
    assert depth(shallow) == depth(deep)
    assert (deep.__cause__, deep.__context__) == (None, None)


async def test_an_error_can_be_raised_again() -> None:
    """A caller who raises a caught error again gets the same object with its story, and one frame more, not two."""
    error = await caught(plan())
    before, meta = depth(error), error.meta
    with pytest.raises(errors.NetworkError) as info:
        raise error
    assert error is info.value
    assert meta is error.meta
    assert before + 1 == depth(error)


async def test_every_error_of_a_call_has_its_story() -> None:
    """Refused, failed or in doubt: the error carries who, what and how often."""
    refused = await caught(plan(timeout=Timeout()), asked=0.0)
    failed = await caught(plan(attempts=2))
    doubtful = await caught(plan(safety=Safety.UNSAFE, attempts=2))
    stories = [error.meta for error in (refused, failed, doubtful)]
    assert [meta and (meta.provider, meta.operation, meta.attempts) for meta in stories] == [
        ("shop", "orders.create", 0),
        ("shop", "orders.create", 2),
        ("shop", "orders.create", 1),
    ]


async def test_what_may_have_happened_names_its_cause() -> None:
    """``OutcomeUnknown`` has the failure as ``cause`` and as Python's own, and advises against a repeat."""
    error = await caught(plan(safety=Safety.UNSAFE))
    assert isinstance(error, errors.OutcomeUnknown)
    assert isinstance(error.cause, errors.NetworkError)
    assert error.cause is error.__cause__
    assert str(error) == f"{error.cause} It may have happened: repeating it is not safe."
    assert (error.cause.error_type, error.cause.outcome) == (error.error_type, error.outcome)
    assert "before sending it again" in error.advice
