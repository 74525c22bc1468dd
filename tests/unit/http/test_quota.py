"""What an answer's headers say of the provider's limits: every dialect, what is not believed, and that none raises."""

import base64
from datetime import UTC, datetime
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from buoy.http import quota
from buoy.http.quota import Limit, Policy, Reading, pause_asked, read
from buoy.result import Quota

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC).timestamp()
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
DIALECTS = ["RateLimit", "X-RateLimit", "X-Rate-Limit"]


def answer(*lines: tuple[str, str]) -> CIMultiDictProxy[str]:
    """Return the headers of an answer."""
    return CIMultiDictProxy(CIMultiDict(lines))


def said(*lines: tuple[str, str]) -> Reading:
    """Return what headers say that say something."""
    reading = read(answer(*lines), now=NOW)
    assert reading is not None
    return reading


def reset(text: str, *more: tuple[str, str]) -> float | None:
    """Return how a reset is understood."""
    return said(("X-RateLimit-Reset", text), *more).reset


def test_without_such_headers_nothing_is_said() -> None:
    """An answer that says nothing of limits gives nothing."""
    assert read(answer(("Content-Type", "text/plain"), ("Age", "7")), now=NOW) is None


def test_policies() -> None:
    """``RateLimit-Policy`` is read with all its parameters, in order; unknown ones are comments."""
    reading = said(
        ("RateLimit-Policy", '"burst";q=100;w=60,"daily";q=1000;w=86400;acme-note=tag'),
        ("ratelimit-policy", '"peruser";q=65535;qu="content-bytes";w=10;pk=:AAEC:'),
    )
    assert reading.policies == (
        Policy(name="burst", quota=100, window=60),
        Policy(name="daily", quota=1000, window=86400),
        Policy(name="peruser", quota=65535, unit="content-bytes", window=10, partition=b"\x00\x01\x02"),
    )
    assert (reading.limit, reading.remaining, reading.reset, reading.ignored) == (100, None, None, ())


def test_the_window_is_that_of_the_tightest_limit() -> None:
    """The length of a window comes from the policy of the same name, and only where it says one."""
    policies = ("RateLimit-Policy", '"hour";q=1000;w=3600,"minute";q=20;w=60,"free";q=9')
    tightest = ['"hour";r=1;t=9,"minute";r=9;t=9', '"hour";r=9;t=9,"minute";r=1;t=9', '"free";r=1;t=9', '"new";r=1;t=9']
    readings = [said(policies, ("RateLimit", limits)) for limits in tightest]
    assert [(reading.limit, reading.window) for reading in readings] == [
        (1000, 3600),
        (20, 60),
        (9, None),
        (None, None),
    ]


def test_limits() -> None:
    """``RateLimit`` is read over all its lines, and the tightest limit is the one that counts."""
    reading = said(
        ("RateLimit", '"hour";r=900;t=2402, "minute";r=20;t=23'),
        ("RateLimit", f'"day";r=20;pk=:{base64.b64encode(b"me").decode()}:'),
        ("RateLimit-Policy", '"minute";q=50;w=60, "hour";q=1000;w=3600, "day";q=5000'),
    )
    assert reading.limits == (
        Limit(name="hour", remaining=900, reset=2402),
        Limit(name="minute", remaining=20, reset=23),
        Limit(name="day", remaining=20, partition=b"me"),
    )
    assert reading.quota == Quota(limit=5000, remaining=20, reset=None), "of two equal ones the longer"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "default r=50",
        "default;r=50;t=30",  # a token, as in older drafts
        "limit=100, remaining=50, reset=30",  # draft 7
        '"default"',
        '"default";t=30',
        '"default";r=-1',
        '"default";r=1.5',
        '"default";r="1"',
        '"default";r=?1',
        '"default";r=1;t=-3',
        '"default";r=1;t=0.5',
        '"default";r=1;pk="me"',
        '"default";r=1, 7;r=1',
        '"default";r=1, ("a");r=1',
        '"default";r=1,',
        '"default";r=9999999999999999',
        '"d\xe9fault";r=1',
        '"\udcff";r=1',
        "\x00",
    ],
)
def test_a_malformed_limit_is_ignored(text: str) -> None:
    """One item that is not as the draft says spoils the field: it is named as ignored and says nothing."""
    reading = said(("RateLimit", text), ("RateLimit-Policy", '"default";q=100;w=60'))
    assert (reading.limits, reading.ignored) == ((), ("RateLimit",))
    assert (reading.remaining, reading.pause, reading.rate) == (None, None, 100 / 60)


@pytest.mark.parametrize(
    "text",
    [
        "100;w=60",  # draft 6
        '"default"',
        '"default";w=60',
        '"default";q=-1',
        '"default";q=?1',
        '"default";q=1;w=0',
        '"default";q=1;w=?1',
        '"default";q=1;w=1.5',
        '"default";q=1;qu=requests',  # a token
        '"default";q=1;qu=1',
        '"default";q=1;pk="me"',
    ],
)
def test_a_malformed_policy_is_ignored(text: str) -> None:
    """The same holds for policies, and a readable limit beside them stands."""
    reading = said(("RateLimit-Policy", text), ("RateLimit", '"default";r=50;t=30'))
    assert (reading.policies, reading.ignored) == ((), ("RateLimit-Policy",))
    assert reading.quota == Quota(limit=None, remaining=50, reset=30.0)


@pytest.mark.parametrize(
    ("age", "believed"),
    [
        ("1", False),
        ("007", False),
        ("9" * 400, False),
        ("3, 0", False),
        *((age, True) for age in ("0", "000", "-1", "", "soon", "\u0663")),
    ],
)
def test_what_comes_from_a_cache_is_ignored(age: str, believed: bool) -> None:  # noqa: FBT001
    """With an ``Age`` above 0 the figures are old; what is no age says nothing about it."""
    reading = said(("RateLimit", '"default";r=0;t=30'), ("X-RateLimit-Limit", "5"), ("Age", age))
    expected = Reading(ignored=("RateLimit", "X-RateLimit-Limit"))
    assert (reading != expected) is believed
    assert (reading.remaining, reading.pause) == ((0, 30) if believed else (None, None))


@pytest.mark.parametrize("prefix", DIALECTS)
def test_the_triples(prefix: str) -> None:
    """The triple of the older drafts and both forms with an X are read alike."""
    reading = said((f"{prefix}-Limit", "100"), (f"{prefix}-Remaining", "40"), (f"{prefix}-Reset", "20"))
    assert reading == Reading(limit=100, remaining=40, reset=20.0)
    assert (reading.rate, reading.policy_rate, reading.pause) == (2.0, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", 100),
        (" 100 ", 100),
        ("0", 0),
        ("100, 100;w=60", 100),  # the older drafts: the limit, then the policies
        ("100;w=21600", 100),  # Docker Hub
        ("595.0", 595),  # Reddit
        ("595.9", 595),
        ("999999999999999", 999999999999999),
        ("9999999999999999", None),
        ("-1", None),
        ("1e3", None),
        ("1_0", None),
        ("\u0663", None),
        ("unlimited", None),
        ("", None),
    ],
)
def test_numbers_in_a_triple(text: str, expected: int | None) -> None:
    """A number of requests is read down to a whole one; what is no number is named as ignored."""
    reading = said(("X-RateLimit-Remaining", text))
    assert expected == reading.remaining
    assert reading.ignored == (() if expected is not None else ("X-RateLimit-Remaining",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("30", 30),
        ("0.25", 0.25),
        ("1000000000", 1e9),  # the longest that counts from now
        ("1000000001", 0),  # seconds since the epoch, and long past
        (f"{NOW:.0f}", 0),
        (f"{NOW + 30:.0f}", 30),
        (f"{NOW + 29.2:.3f}", 30),  # up to the whole second
        (f"{NOW - 30:.0f}", 0),
        ("1000000000000", 1e9),  # seconds in the far future
        (f"{(NOW + 30) * 1000:.0f}", 30),
        (f"{(NOW - 30) * 1000:.0f}", 0),
        ("2026-11-20T12:00:30Z", 30),
        ("2026-11-20T12:00:30", 30),
        ("2026-11-20 12:00:30", 30),
        ("2026-11-20T12:00:29.500Z", 30),
        ("2026-11-20T21:00:30+09:00", 30),
        ("2026-11-20T11:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 1e9),
        ("0001-01-01T00:00:00+14:00", 0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ],
)
def test_a_reset_in_any_form(text: str, expected: float) -> None:
    """Seconds, seconds and milliseconds since the epoch, ISO 8601 and HTTP-dates are told apart."""
    assert expected == reset(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "-30", "+30", "30s", "1e9", "NaN", "inf", "1" * 16, "\u0663"),
        *("2026-11-20", "2026-13-20T12:00:30Z", "2026-11-20T12:99", "2026-11-20T12:00:30+99:99", "12:00:30"),
        "Fri, 20 Nov 2026 12:00:30 CET",
    ],
)
def test_a_reset_in_no_form(text: str) -> None:
    """What is no time is named as ignored and says nothing."""
    reading = said(("X-RateLimit-Reset", text))
    assert (reading.reset, reading.quota, reading.ignored) == (None, None, ("X-RateLimit-Reset",))


@pytest.mark.parametrize("text", [f"{NOW + 30:.0f}", "2026-11-20T12:00:30Z", "Fri, 20 Nov 2026 12:00:30 GMT"])
def test_a_moment_counts_by_the_clock_of_the_provider(text: str) -> None:
    """Where the answer has a ``Date``, our own clock does not matter; where it is unreadable, ours is used."""
    fields = (("X-RateLimit-Reset", text), ("Date", DATE))
    reading = read(answer(*fields), now=NOW - 86400)
    assert reading is not None
    assert reading.reset == 30
    assert reset(text, ("Date", "today")) == 30


@pytest.mark.parametrize("first", range(3))
def test_the_first_readable_dialect_is_believed(first: int) -> None:
    """Dialects are not mixed: the better one wins, and an unreadable one hands over to the next."""
    lines = [(f"{prefix}-Remaining", "many" if n < first else str(n)) for n, prefix in enumerate(DIALECTS)]
    reading = said(*lines)
    assert (reading.remaining, len(reading.ignored)) == (first, first)


def test_the_structured_field_is_preferred() -> None:
    """A readable ``RateLimit`` wins over a triple, an unreadable one hands over to it."""
    triple = (("RateLimit-Remaining", "5"), ("RateLimit-Reset", "9"))
    assert said(("RateLimit", '"default";r=50;t=30'), *triple).quota == Quota(remaining=50, reset=30.0)
    reading = said(("RateLimit", "default r=50"), *triple)
    assert (reading.quota, reading.ignored) == (Quota(remaining=5, reset=9.0), ("RateLimit",))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([("RateLimit", '"a";r=0;t=30')], 30),
        ([("RateLimit", '"a";r=0;t=0')], 0),
        ([("RateLimit", '"a";r=0;t=30, "b";r=0;t=90, "c";r=5;t=900')], 90),
        ([("RateLimit", '"a";r=0;t=999999999999999')], 1e9),
        ([("RateLimit", '"a";r=0')], None),
        ([("RateLimit", '"a";r=1;t=30')], None),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")], 30),
        ([("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset", "30")], None),
        ([("X-RateLimit-Remaining", "0")], None),
        ([("X-RateLimit-Reset", "30")], None),
    ],
)
def test_the_pause_when_nothing_is_left(lines: list[tuple[str, str]], expected: float | None) -> None:
    """Only a limit that is used up asks for a pause, until the last of them is renewed."""
    assert expected == said(*lines).pause
    assert expected == pause_asked(answer(*lines), said(*lines))


def test_retry_after_wins() -> None:
    """Where both are there, Retry-After is what counts, also when it is shorter; garbage in it does not count."""
    used_up = ("RateLimit", '"a";r=0;t=30')
    for value, expected in (("5", 5), ("60", 60), ("soon", 30)):
        fields = answer(used_up, ("Retry-After", value))
        assert expected == pause_asked(fields, read(fields, now=NOW))
    assert pause_asked(answer(("Retry-After", "5")), None) == 5
    assert pause_asked(answer(), None) is None


@pytest.mark.parametrize(
    ("policies", "limits", "remaining_rate", "policy_rate", "rate"),
    [
        ('"a";q=10000;w=1000', '"a";r=10000;t=10', 1000, 10, 10),
        ('"a";q=100;w=10', '"a";r=10;t=10', 1, 10, 1),
        ('"a";q=100;w=10, "b";q=60;w=60', '"a";r=100;t=10, "b";r=30;t=60', 0.5, 1, 0.5),
        ('"a";q=100;w=10', None, None, 10, 10),
        ('"a";q=100', '"a";r=50;t=10', 5, None, 5),
        (None, '"a";r=50;t=0', None, None, None),
        (None, '"a";r=50', None, None, None),
        (None, '"a";r=0;t=5', 0, None, 0),
        ('"a";q=9;qu="content-bytes";w=9, "b";q=9;qu="requests";w=3', '"a";r=1;t=9, "b";r=6;t=3', 2, 3, 2),
        ('"a";q=9;qu="concurrent-requests";w=9', '"a";r=1;t=9', None, None, None),
    ],
)
def test_the_rates(
    policies: str | None, limits: str | None, remaining_rate: float | None, policy_rate: float | None, rate: float
) -> None:
    """The rate is the lower of what remains and what is allowed on average, of requests only."""
    lines = [(quota.POLICY, policies), (quota.LIMIT, limits)]
    reading = said(*((name, text) for name, text in lines if text is not None))
    assert (remaining_rate, policy_rate, rate) == (reading.remaining_rate, reading.policy_rate, reading.rate)


def test_a_quota_counts_requests() -> None:
    """What is counted in bytes is not said to be a number of requests."""
    bytes_only = ('"a";q=9;qu="content-bytes"', '"a";r=1;t=9')
    assert said(("RateLimit-Policy", bytes_only[0]), ("RateLimit", bytes_only[1])).quota is None
    assert said(("RateLimit-Policy", bytes_only[0])).quota is None


TEXTS = st.one_of(
    st.text(),
    st.from_regex(r'[A-Za-z0-9"=:;,.?() +-]{0,60}'),
    st.lists(
        st.sampled_from(
            ['"a"', '"b"', "a", ";", ",", "r", "t", "q", "w", "qu", "pk", "=", "0", "7", "-1", "1.5", ":AA:"]
        ),
        max_size=20,
    ).map("".join),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.datetimes(timezones=st.timezones()).map(lambda when: when.isoformat()),
)
LINES = st.lists(st.tuples(st.sampled_from([*map(str, quota._NAMES), "Age", "Date", "Retry-After"]), TEXTS), max_size=8)


@given(LINES, st.floats(min_value=0, max_value=1e11))
def test_no_text_makes_it_raise(lines: list[tuple[str, str]], now: float) -> None:
    """Whatever a provider writes, each figure is absent, or a finite number from 0 on."""
    fields = answer(*lines)
    reading = read(fields, now=now)
    figures: list[float | None] = [pause_asked(fields, reading)]
    if reading is not None:
        figures += [reading.limit, reading.remaining, reading.reset]
        figures += [reading.remaining_rate, reading.policy_rate, reading.rate]
        figures += [figure for limit in reading.limits for figure in (limit.remaining, limit.reset)]
        assert set(reading.ignored) <= {str(name) for name in quota._NAMES if name in fields}
    assert all(figure is None or (figure >= 0 and isfinite(figure)) for figure in figures)


COUNTS = st.integers(0, 10**15 - 1)


@given(st.lists(st.tuples(COUNTS, COUNTS | st.none(), COUNTS, st.none() | st.integers(1, 10**15 - 1)), min_size=1))
def test_a_generous_remainder_never_lifts_the_rate(items: list[tuple[int, int | None, int, int | None]]) -> None:
    """The rate is at most every q/w and every r/t, and one of them where there is any."""
    limits = [f'"{n}";r={r}' + ("" if t is None else f";t={t}") for n, (r, t, _, _) in enumerate(items)]
    policies = [f'"{n}";q={q}' + ("" if w is None else f";w={w}") for n, (_, _, q, w) in enumerate(items)]
    reading = said(("RateLimit", ", ".join(limits)), ("RateLimit-Policy", ", ".join(policies)))
    rates = [r / t for r, t, _, _ in items if t] + [q / w for _, _, q, w in items if w]
    assert reading.rate == min(rates, default=None)
    assert reading.remaining == min(r for r, _, _, _ in items)
