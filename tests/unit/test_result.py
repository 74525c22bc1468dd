"""What a call hands back: frozen, comparable, and silent about the caller's data."""

import pickle
from dataclasses import FrozenInstanceError, fields, replace

import pytest
from multidict import CIMultiDict

from buoy.outcome import DuplicateSource, Origin, WaitCause
from buoy.result import HttpResult, Meta, Result

CANARY = "canary-5f1e"
META = Meta(request_id="7d0f", provider="shop", operation="products.get", attempts=2, sends=3, duration=0.42)


def test_the_story_of_a_plain_call() -> None:
    """Unless somebody says otherwise a result is live, no duplicate, waited for nothing and has no trace."""
    assert (
        META.duplicate,
        META.duplicate_source,
        META.origin,
        META.waited,
        META.trace_id,
    ) == (False, None, Origin.LIVE, {}, None)


def test_no_two_stories_share_their_waits() -> None:
    """Each story has a mapping of its own: what one caller does to it does not reach another."""
    assert replace(META, waited={WaitCause.BACKOFF: 0.1}).waited != META.waited
    first = Meta(request_id="1", provider="p", operation="o", attempts=1, sends=1, duration=0.0)
    assert first.waited is not META.waited


@pytest.mark.parametrize("field", [field.name for field in fields(Meta)])
def test_a_story_is_frozen(field: str) -> None:
    """The story of a call is finished when it is handed out."""
    with pytest.raises(FrozenInstanceError):
        setattr(META, field, None)


def test_a_story_survives_a_pickle() -> None:
    """A story can be sent to another process."""
    meta = replace(META, duplicate=True, duplicate_source=DuplicateSource.RESEND, waited={WaitCause.BACKOFF: 0.1})
    assert meta == pickle.loads(pickle.dumps(meta))  # noqa: S301  # our own bytes


def test_a_result_is_its_value_and_story() -> None:
    """A result has the value and the story; one over HTTP also has the status and the headers, in any case."""
    assert (Result("v", META).value, Result("v", META).meta) == ("v", META)
    result = HttpResult("v", META, 200, CIMultiDict({"ETag": "1"}))
    assert (result.value, result.meta, result.status, result.headers["etag"]) == ("v", META, 200, "1")
    assert isinstance(result, Result)


def test_a_result_shows_no_data() -> None:
    """Neither the value nor a header is in the repr of a result: that is the caller's data."""
    for result in (Result(CANARY, META), HttpResult(CANARY, META, 200, {"Set-Cookie": CANARY})):
        assert CANARY not in repr(result)
        assert "products.get" in repr(result)
