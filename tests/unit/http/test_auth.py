"""Credentials: what goes onto the wire, and what never shows."""

import pickle
from typing import Any

import pytest

import buoy
from buoy.http.auth import Bearer

SECRET = "canary-7c1f0e.token~+/="


def test_a_bearer_token_becomes_one_header() -> None:
    """A bearer token is sent as RFC 6750 says, and nothing else is added."""
    assert {"Authorization": f"Bearer {SECRET}"} == Bearer(SECRET).headers()


def test_the_token_is_in_no_text_of_the_object() -> None:
    """Neither repr, str nor formatting shows the token."""
    bearer = Bearer(SECRET)
    assert "Bearer(<secret>)" == repr(bearer) == str(bearer) == f"{bearer}"


def test_the_token_is_no_ordinary_attribute() -> None:
    """``vars()`` has nothing to show, so debuggers and loggers that dump attributes do not show the token."""
    assert not hasattr(Bearer(SECRET), "__dict__")


@pytest.mark.parametrize(
    "token",
    ["", " ", "two words", "line\nbreak", "line\r\nX-Injected: 1", "tab\t", "nul\0", "schlüssel", None, 7, b"bytes"],
    ids=repr,
)
def test_what_is_no_token_is_refused_when_it_is_built(token: Any) -> None:
    """A token that could not be sent, or would inject a header, is a ``ConfigurationError`` that does not show it."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        Bearer(token)
    message = str(caught.value)
    assert message.startswith("Bearer: the token must be")
    assert not isinstance(token, str) or not token.strip() or token not in message


def test_a_copy_signs_like_the_original() -> None:
    """Credentials survive pickling, for those who hand a configured provider to a worker process."""
    assert Bearer(SECRET).headers() == pickle.loads(pickle.dumps(Bearer(SECRET))).headers()  # noqa: S301  # our own bytes
