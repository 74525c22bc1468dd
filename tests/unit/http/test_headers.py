"""What an answer's headers say, and what a header to be sent may hold."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from buoy.http import headers

# 1994-11-06 08:49:37 UTC, the example of RFC 9110 section 5.6.7.
MOMENT = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC).timestamp()
PREFERRED = "Sun, 06 Nov 1994 08:49:37 GMT"
RFC_850 = "Sunday, 06-Nov-94 08:49:37 GMT"
ASCTIME = "Sun Nov  6 08:49:37 1994"

FORMS = [PREFERRED, RFC_850, ASCTIME]
GARBAGE = [
    "",
    " ",
    "soon",
    "-1",
    "+1",
    "1.5",
    "1e3",
    "1_000",
    "0x10",
    "NaN",
    "inf",
    "٣",  # a digit, but not an ASCII one
    "12 seconds",
    "1, 2",
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 CET",
    "Sun, 06 Nov 1994 08:49:37 +0200",
    "Sun, 99 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 25:49:37 GMT",
    "Sun, 06 Foo 1994 08:49:37 GMT",
    "Sun, 31 Feb 1994 08:49:37 GMT",
    "06 Nov 1994 08:49:37 GMT",
    "1994-11-06T08:49:37Z",
]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("1000000000", 1e9),
        (f"{MOMENT + 1e9:.0f}", 1e9),  # a moment, as some providers write it
        ("1000000001", 1e9 + 1 - MOMENT),
        ("9" * 5000, 1e10 - MOMENT),  # longer than int() would read
    ],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    """The form in seconds is read as it stands; beyond 30 years it is a moment, and that is capped, too."""
    assert seconds == headers.retry_after(value, now=MOMENT)


@pytest.mark.parametrize("value", FORMS)
def test_retry_after_as_a_date(value: str) -> None:
    """The preferred form of a date and both obsolete ones count from the given moment, and never below 0."""
    assert [headers.retry_after(value, now=MOMENT + ago) for ago in (-30, 0, 30)] == [30.0, 0.0, 0.0]


@pytest.mark.parametrize("value", GARBAGE)
def test_garbage_in_retry_after_says_nothing(value: str) -> None:
    """What is not in the grammar of ``Retry-After`` is no wait, and no error."""
    assert headers.retry_after(value, now=MOMENT) is None
    assert headers.wait_asked(CIMultiDict({"Retry-After": value})) is None


def test_a_missing_retry_after_says_nothing() -> None:
    """Without the header there is no wait."""
    assert headers.retry_after(None, now=MOMENT) is None
    assert headers.wait_asked(CIMultiDict()) is None


@given(value=st.text() | st.from_regex(r"[A-Za-z0-9,: +-]{0,40}"), date=st.none() | st.text())
def test_no_text_makes_a_header_raise(value: str, date: str | None) -> None:
    """Whatever a provider writes, a wait is ``None`` or a finite number from 0 on."""
    fields = CIMultiDict({"Retry-After": value})
    if date is not None:
        fields["Date"] = date
    for seconds in (headers.retry_after(value, now=MOMENT), headers.wait_asked(fields)):
        assert seconds is None or 0 <= seconds <= 1e10
    assert headers.should_retry(CIMultiDict({"x-should-retry": value})) in {None, True, False}
    identifier = headers.provider_request_id(CIMultiDict({"x-request-id": value}))
    assert identifier in {None, value}


@given(
    weekday=st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
    day=st.integers(0, 99),
    month=st.sampled_from(["Jan", "Feb", "Dec", "Foo"]),
    year=st.integers(0, 9999),
    clock=st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
)
def test_no_date_of_the_right_shape_raises(
    weekday: str, day: int, month: str, year: int, clock: tuple[int, int, int]
) -> None:
    """A date with impossible numbers says nothing; a possible one gives a number."""
    hour, minute, second = clock
    text = f"{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    seconds = headers.retry_after(text, now=MOMENT)
    assert seconds is None or 0 <= seconds <= 1e10


@given(st.integers(0, 4_000_000_000))
def test_every_date_we_can_write_is_read_back(moment: int) -> None:
    """The preferred form of any second from 1970 to 2096 is read as that second."""
    text = datetime.fromtimestamp(moment, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert float(moment) == headers.http_date(text)


@pytest.mark.parametrize("date", FORMS)
def test_a_date_counts_from_the_answers_own_clock(date: str) -> None:
    """A date in ``Retry-After`` is relative to the answer's ``Date``: the provider's clock may be wrong."""
    answer = CIMultiDict({"Date": date, "Retry-After": "Sun, 06 Nov 1994 08:50:37 GMT"})
    assert headers.wait_asked(answer) == 60.0


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_date_counts_from_our_clock_where_the_answer_has_none(date: str | None) -> None:
    """Without a readable ``Date`` our own clock is asked: a date in the past is no wait, one far ahead is long."""
    own = {} if date is None else {"Date": date}
    assert headers.wait_asked(CIMultiDict({**own, "Retry-After": PREFERRED})) == 0.0
    assert headers.wait_asked(CIMultiDict({**own, "Retry-After": "Fri, 01 Jan 2190 00:00:00 GMT"})) == pytest.approx(
        datetime(2190, 1, 1, tzinfo=UTC).timestamp() - datetime.now(UTC).timestamp(), abs=60
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, None),
        ({"Stripe-Should-Retry": "true"}, True),
        ({"stripe-should-retry": "false"}, False),
        ({"X-Should-Retry": " TRUE "}, True),
        ({"X-Should-Retry": "False"}, False),
        ({"X-Should-Retry": "1"}, None),
        ({"X-Should-Retry": ""}, None),
        ({"Stripe-Should-Retry": "maybe", "X-Should-Retry": "false"}, False),
        ({"Stripe-Should-Retry": "true", "X-Should-Retry": "false"}, True),
    ],
)
def test_what_the_provider_says_about_trying_again(fields: dict[str, str], said: object) -> None:
    """The headers of Stripe and of Stainless SDKs are understood; anything unreadable in them says nothing."""
    assert said == headers.should_retry(CIMultiDict(fields))


@pytest.mark.parametrize(
    ("fields", "identifier"),
    [
        ({}, None),
        ({"X-Request-Id": "req_8Zk"}, "req_8Zk"),
        ({"Request-Id": "a.b:c-d_1"}, "a.b:c-d_1"),
        ({"x-amzn-RequestId": "7f1d"}, "7f1d"),
        ({"CF-Ray": "8a-FRA"}, "8a-FRA"),
        ({"X-Request-Id": "x" * 64}, "x" * 64),
        ({"X-Request-Id": "x" * 65}, None),
        ({"X-Request-Id": ""}, None),
        ({"X-Request-Id": "two words"}, None),
        ({"X-Request-Id": "someone@example.org"}, None),
        ({"X-Request-Id": "id\n"}, None),
        ({"X-Request-Id": "no id", "X-Correlation-Id": "good"}, "good"),
    ],
)
def test_the_providers_request_id_is_a_short_word_or_nothing(fields: dict[str, str], identifier: str | None) -> None:
    """An id goes to spans and logs only if it is at most 64 harmless characters: it is the provider's free text."""
    assert identifier == headers.provider_request_id(CIMultiDict(fields))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Plain", "value"),
        ("X-Empty", ""),
        ("X-Tab", "a\tb"),
        ("X-Umlaut", "ü"),
        ("!#$%&'*+.^_`|~09", "every token character"),
    ],
)
def test_good_headers_meet_no_objection(name: str, value: str) -> None:
    """What RFC 9110 allows in a header may be sent."""
    assert headers.objection(name, value) is None


@pytest.mark.parametrize("name", ["", " ", "X Y", "X:Y", "X\r\nY", "X\n", "Ü", "X\0", 7, None], ids=repr)
def test_a_header_name_that_is_no_token_is_refused(name: Any) -> None:
    """A header name with anything but token characters is refused, by name."""
    said = headers.objection(name, "value")
    assert f"header name {name!r} is not a token (RFC 9110 section 5.6.2)" == said


@pytest.mark.parametrize(
    "value", ["canary\r\nX-Injected: 1", "canary\n", "canary\r", "canary\0", "canary\x7f", "\x1b[31mcanary"], ids=repr
)
def test_a_header_value_cannot_inject_another_header(value: str) -> None:
    """Line breaks and control characters in a value are refused, and the value is not shown."""
    said = headers.objection("X-Name", value)
    assert said == "header 'X-Name' has a line break or another control character in its value"


@pytest.mark.parametrize("value", [None, 7, b"canary", ["canary"]], ids=repr)
def test_a_header_value_that_is_no_text_is_refused(value: Any) -> None:
    """A value of another type is refused by its type, not shown."""
    assert f"header 'X-Name' must be a str, not {type(value).__name__}" == headers.objection("X-Name", value)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_framing_is_not_the_callers(name: str) -> None:
    """A header that frames the body is refused: two opinions about it are how requests are smuggled."""
    assert (
        headers.objection(name, "5") == f"header {name!r} is set by the transport: it has to fit the body that is sent"
    )


def test_a_lone_surrogate_is_refused() -> None:
    """What UTF-8 cannot write never comes as far as the connection."""
    assert headers.objection("X-Note", "a\ud800b") is not None


@pytest.mark.parametrize(
    ("key", "raw", "quoted"),
    [
        ("order-42", "order-42", '"order-42"'),
        ('a"b\\c', 'a"b\\c', '"a\\"b\\\\c"'),
        ("été", "été", None),
        ("a\tb", "a\tb", None),
        ("a\nb", None, None),
        ("", None, None),
        (5, None, None),
    ],
)
def test_an_idempotency_key_as_a_header(key: object, raw: str | None, quoted: str | None) -> None:
    """A key goes as it is, or as a structured field's string where it can be one; what no header carries is refused."""
    assert (raw, quoted) == (headers.key_field(key, quoted=False), headers.key_field(key, quoted=True))
