"""A URL from the command line: sent as given, shown without secrets."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.cli.target import NotCallableError, Target, parse, redact_query, redact_url

VISIBLE = string.ascii_letters + string.digits + string.punctuation
PATHS = st.text(alphabet=VISIBLE.replace("?", "").replace("#", ""))
QUERIES = st.text(alphabet=VISIBLE.replace("#", ""), min_size=1)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://h", "http://h", "/"),
        ("http://h?x=1", "http://h", "/?x=1"),
        ("HTTPS://h:8443/a", "https://h:8443", "/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080", "/a"),
        ("http://h/a%2Fb/%zz/%e4", "http://h", "/a%2Fb/%zz/%e4"),
        ("http://h/{id}/<b>|`^\\", "http://h", "/{id}/<b>|`^\\"),
        ("http://h//a/../b/.;c=d", "http://h", "//a/../b/.;c=d"),
        ("http://h/p?a+b&c=%20&&d=?/{}", "http://h", "/p?a+b&c=%20&&d=?/{}"),
        ("http://h/caf\u00e9?\u00fc=1", "http://h", "/caf%C3%A9?%C3%BC=1"),
        ("http://h/p?a=1#fragment", "http://h", "/p?a=1"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example", "/"),
    ],
)
def test_a_url_is_sent_as_given(url: str, origin: str, target: str) -> None:
    """No escape is added or taken away, no dot segment resolved; only what ASCII cannot carry is encoded."""
    parsed = parse(url)
    assert (origin, target) == (parsed.origin, parsed.url.raw_path_qs)


@given(path=PATHS, query=QUERIES)
def test_every_visible_character_survives(path: str, query: str) -> None:
    """Whatever visible ASCII the path and the query have is on the wire, character by character."""
    assert f"/{path}?{query}" == parse(f"http://h/{path}?{query}").url.raw_path_qs


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "empty"),
        ("http://h/a b", "%20"),
        ("http://h/\n", "control character"),
        ("http://h/\x7f", "control character"),
        ("http://h/\udc80", "control character"),
        ("example.com/x", "http:// or https://"),
        ("localhost:8080/x", "http:// or https://"),
        ("ftp://h/x", "http:// or https://"),
        ("http:///x", "http:// or https://"),
        ("http://[::1", "host is not valid"),
        ("http://h:port/x", "host or port is not valid"),
        ("http://h:99999/x", "host or port is not valid"),
        ("http://h\\x/", "host or port is not valid"),
        ("http://user:CANARY@h/x", "--header"),
    ],
)
def test_a_url_that_cannot_be_called_is_refused(url: str, why: str) -> None:
    """The message says what is wrong and shows no part of the URL."""
    with pytest.raises(NotCallableError) as caught:
        parse(url)
    assert why in str(caught.value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ""),
        ("a=1", "a=REDACTED"),
        ("a=1&b=&a=2", "a=REDACTED&b=REDACTED&a=REDACTED"),
        ("a=b=c", "a=REDACTED"),
        ("token", "REDACTED"),
        ("a&&b=1", "REDACTED&&b=REDACTED"),
        ("a=1;b=2", "a=REDACTED"),
    ],
)
def test_query_values_are_redacted(query: str, shown: str) -> None:
    """Names stay, values do not; what has no name is a value."""
    assert shown == redact_query(query)


@given(name=st.text(alphabet=string.ascii_lowercase, min_size=1), value=QUERIES)
def test_no_value_is_ever_shown(name: str, value: str) -> None:
    """A value leaves no trace in the form that is shown, whatever it is."""
    value = value.replace("&", "+")
    assert f"{name}=REDACTED" == redact_query(f"{name}={value}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/login", "/login"),
        ("/login?next=CANARY", "/login?next=REDACTED"),
        ("https://u:CANARY@h/a@b?c=CANARY#CANARY", "https://h/a@b?c=REDACTED#REDACTED"),
        ("//CANARY@h", "//h"),
        ("/a#t=CANARY?x", "/a#REDACTED"),
    ],
)
def test_a_redirect_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """User info, query values and the fragment of a Location are not shown."""
    assert shown == redact_url(url)


def test_the_query_is_shown_on_request_only() -> None:
    """``shown`` redacts the query unless asked not to, and the repr never has it."""
    target = Target("http://h", "/p", "key=CANARY")
    assert target.shown(show_query=False) == "http://h/p?key=REDACTED"
    assert target.shown(show_query=True) == "http://h/p?key=CANARY"
    assert "CANARY" not in repr(target)
    assert Target("http://h", "/p", "").shown(show_query=False) == "http://h/p"
