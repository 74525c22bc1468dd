"""How each target reads what it is given, and what has to be true of whatever comes out."""

import math
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from multidict import CIMultiDict
from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, Json
from yarl import URL

from buoy import rules as known
from buoy.http import body, headers, location, quota, redirect
from buoy.http.body import Decoder, MisfitError
from buoy.http.inflate import Inflater, coding_of
from buoy.http.lines import JsonLines, TextLines
from buoy.http.redirect import Hop, NoHop
from buoy.http.rules import Rule, judge
from buoy.http.sse import Events
from buoy.outcome import Outcome
from tests.fuzz.built import answer as built_answer
from tests.fuzz.target import answer, chunks, first_line, lines, text
from tests.fuzz.target import headers as headers_of

T_co = TypeVar("T_co", covariant=True)

NOW = 1_700_000_000.0
LONGEST = 64  # of a line or an event: short inputs shall reach the limit too
INFLATED = 2**17  # the same, of a body
ALL = (
    known.stripe,
    known.shopify,
    known.github,
    known.slack,
    known.meta,
    known.aws,
    known.json_rpc,
    *known.common,
)
KNOWN = (b'{"a": 1}', b"\xff\xfea\0", "ä".encode(), rb"\d")
SLOW = b"a" * 100_000 + b"-" + b"z9" * 100_000  # Python's decoder of punycode needs ten seconds for it
FAULTS = frozenset({"malformed", "misfit", "too_large", "content_encoding"})


class Item(BaseModel):
    """A model of what is parsed inside of strings, and of itself."""

    id: int
    at: datetime | AwareDatetime | None = None
    price: Decimal | None = None
    key: UUID | None = None
    link: HttpUrl | None = None
    kind: Literal["a", "b"] = "a"
    sku: str = Field(default="", pattern=r"^[a-z]+(-[0-9]+)*$")
    inside: Json[Any] = None
    by_name: "dict[str, Item]" = {}
    parts: "list[Item | int]" = []


ITEM: Decoder[Item] = Decoder("fuzz", Item)
LOOSE: Decoder[Any] = Decoder("fuzz", None)


class Streamed(Protocol[T_co]):
    """What all decoders of streamed bodies have."""

    def feed(self, chunk: bytes, /) -> Iterator[T_co]:
        """Give what the chunk completes."""

    def finish(self) -> Iterator[T_co]:
        """Give what the end completes."""


def waits(data: bytes) -> None:
    """Retry-After in the first line, Date in the second: a wait is a number that arithmetic is safe with."""
    asked, date = first_line(data)
    _bounded(headers.retry_after(asked, now=NOW), 1e10)
    _bounded(headers.wait_asked({"Retry-After": asked, "Date": text(date)}), 1e10)


def hints(data: bytes) -> None:
    """All that is read of single headers besides: an id that is shown is a short word."""
    said = headers_of(data)
    assert headers.should_retry(said) in {None, True, False}
    _word(headers.provider_request_id(said))


def limits(data: bytes) -> None:
    """Headers of quotas, in every dialect: no number is negative or without an end."""
    said = headers_of(data)
    reading = quota.read(said, now=NOW)
    _bounded(quota.pause_asked(said, reading), 1e10)
    if reading is not None:
        for amount in (reading.limit, reading.remaining, reading.reset, reading.window):
            _bounded(amount)
        for rate in (reading.pause, reading.rate, reading.remaining_rate, reading.policy_rate):
            _bounded(rate)


def judged(rules: tuple[Rule, ...], media: str | None = None) -> Callable[[bytes], None]:
    """Return the reading of a whole answer by ``rules``: none of them raises, and only words come out."""

    def read(data: bytes) -> None:
        status, said, content = answer(data)
        if media is not None:
            said["Content-Type"] = media
        _judge(status, said, content, rules)

    return read


def built(data: bytes) -> None:
    """A whole answer that bytes choose, by each rule alone: the first that speaks would hide the others."""
    status, said, content = built_answer(data)
    for rule in ALL:
        _judge(status, said, content, (rule,))


def _judge(status: int, said: CIMultiDict[str], content: bytes, rules: tuple[Rule, ...]) -> None:
    found = judge(status, said, content, rules, now=NOW)
    assert found.broken == (), found.broken
    assert found.verdict is not None or status < 400
    assert found.verdict is None or found.verdict.outcome is not Outcome.NOT_SENT
    _bounded(None if found.verdict is None else found.verdict.retry_after, 1e10)
    _word(found.code)
    _word(found.provider_request_id)


def plain(data: bytes) -> None:
    """A content type in the first line, and a body of it: JSON, text, bytes or nothing."""
    kind, content = first_line(data)
    _told(partial(body.plain, content, kind))


def content_type(data: bytes) -> None:
    """A content type, of bodies that are well known: whole and by lines."""
    kind = text(data)
    for content in KNOWN:
        _told(partial(body.plain, content, kind))
        _told(partial(_by_lines, content, kind))
    _told(partial(body.plain, SLOW, kind))


def model(data: bytes) -> None:
    """A body that a model is made of."""
    _told(lambda: ITEM.decode(data, "application/json"))


def text_lines(data: bytes) -> None:
    """A charset in the first line, and a body: no line is longer than allowed."""
    charset, content = first_line(data)
    for line in _all(TextLines(charset, longest=LONGEST), content):
        assert len(line.encode()) <= LONGEST


def json_lines(data: bytes) -> None:
    """Lines of JSON, with a model and without."""
    _told(lambda: _all(JsonLines(LOOSE, longest=LONGEST), data))
    _told(lambda: _all(JsonLines(ITEM, longest=LONGEST), data))


def events(data: bytes) -> None:
    """A stream of events: none is longer than allowed."""
    stream = Events(longest=LONGEST)
    for event in _all(stream, data):
        assert len(event.data) <= LONGEST  # in characters, for a byte that is no text becomes one of three bytes
    _bounded(stream.retry, 1e7)
    assert "\0" not in stream.last_event_id


def target(data: bytes) -> None:
    """Values of Location: where one leads is http or https, in ASCII, and the same once it is absolute."""
    for base in (URL("https://shop.example/a/b?c=d"), URL("http://[::1]:8080/")):
        found = location.target(base, [text(line) for line in lines(data)])
        if isinstance(found, URL):
            assert found.scheme in {"http", "https"}
            assert found.scheme == "https" or base.scheme == "http"
            assert str(found).isascii()
            assert found.host
            assert (found.user, found.password, found.fragment) == (None, None, "")
            again = location.target(base, [str(found)])
            # Written, not as yarl compares them: there, https://a:443/ that came so is not https://a/.
            assert isinstance(again, URL)
            assert (str(found), location.origin(found)) == (str(again), location.origin(again))


def hops(data: bytes) -> None:
    """A chain of redirects, one a line, a status and a Location: it ends, and what is secret stays at home."""
    home = URL("https://shop.example/orders?key=canary&page=1")
    said = CIMultiDict({"Authorization": "canary", "X-Api-Key": "canary", "Accept": "*/*", "Content-Type": "a/b"})
    allowed = redirect.Rules(origins=frozenset({location.origin(home)}), withheld=frozenset({"key"}))
    trail = [Hop("POST", home, said, redirect.Body.REPLAYABLE)]
    for line in lines(data):
        status, _, where = line.partition(b" ")
        hop = redirect.follow(
            trail, int(status) if status.isdigit() and len(status) < 5 else 302, [text(where)], allowed
        )
        if isinstance(hop, NoHop):
            assert hop.text
            return
        trail.append(hop)
        assert len(trail) <= 1 + allowed.max_hops
        if location.origin(hop.url) not in allowed.origins:
            assert not hop.trusted
            assert "canary" not in str([*hop.headers.items()])
            assert "key" not in hop.url.query


def inflated(data: bytes) -> None:
    """A Content-Encoding in the first line, and a body: never more than allowed comes out."""
    value, content = first_line(data)
    coding = coding_of(value)
    if coding is None:
        return
    inflater, left = Inflater(coding, longest=INFLATED), INFLATED
    for chunk in chunks(content):
        for piece in inflater.feed(chunk):
            left -= len(piece)
            assert left >= 0
    inflater.finish()


def _by_lines(content: bytes, kind: str) -> list[str]:
    return _all(TextLines(body.charset_of(kind)), content)


def _all(stream: Streamed[T_co], content: bytes) -> list[T_co]:
    """Return all that a stream gives."""
    got = [item for chunk in chunks(content) for item in stream.feed(chunk)]
    return [*got, *stream.finish()]


def _told(read: Callable[[], object]) -> None:
    """Let a misfit pass, so that what comes after it is read too, if it is one of those that are known."""
    reason = text = None
    try:
        read()
    except MisfitError as misfit:
        reason, text = misfit.reason, misfit.text
    assert reason is None or reason in FAULTS, reason
    assert text is None or text.isascii(), text


def _bounded(value: float | None, longest: float = math.inf) -> None:
    assert value is None or (0 <= value <= longest and math.isfinite(value)), value


def _word(value: str | None) -> None:
    """Of what may be shown: no sentence, and nothing that a terminal would follow."""
    assert value is None or (value.isascii() and value.isprintable() and " " not in value), value
