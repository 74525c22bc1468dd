"""Whether a redirect is followed, and what goes along: pure decisions, nothing is sent here.

Sources: RFC 9110 sections 10.2.2 and 15.4; Fetch, "HTTP-redirect fetch" (which methods become GET, which headers go
with a dropped body); RFC 3986 section 5.2 (relative references). What must not leave an origin was learned by others
the hard way: credentials sent on to another host (curl: CVE-2018-1000007), port or scheme (CVE-2022-27774), cookies set
by hand (CVE-2022-27776), a host hidden behind a percent sign (CVE-2022-27780).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from multidict import CIMultiDict
from yarl import URL

from buoy.http import location
from buoy.http.location import Origin, Why, origin, without_query

STATUSES = frozenset({301, 302, 303, 307, 308})
MAX_HOPS = 5

# What may go to an origin that nobody declared. It is a list of what is harmless, not of what is secret: any header may
# be a credential (X-Api-Key, X-Shopify-Access-Token, X-Amz-Security-Token, an idempotency key under a declared name,
# whatever an auth function has set), and a list of secrets lacks the next one. If-Range goes where Range goes: a range
# without its condition could be a part of something else.
_HARMLESS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-type",
        "if-range",
        "range",
        "user-agent",
    }
)
# What speaks of a body has no meaning without it. Digests: RFC 9530.
_OF_A_BODY = frozenset({"digest", "expect", "repr-digest", "trailer", "transfer-encoding"})


class Body(StrEnum):
    """What is known of a request's body when the redirect comes."""

    NONE = "none"
    REPLAYABLE = "replayable"
    SPENT = "spent"


@dataclass(frozen=True, slots=True, repr=False)
class Hop:
    """One request of a chain; the first is the call's own.

    ``headers`` are those from before auth signed them: each hop is signed for itself. ``trusted`` says whether it may
    be: once a chain has left the trusted origins nothing brings the trust back, or the one it was lost to could send us
    home with credentials, to a place of its choice. What is not trusted gets no credentials, no cookies, no key and no
    ``traceparent``.
    """

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: Body = Body.NONE
    trusted: bool = True

    def __repr__(self) -> str:
        return f"<Hop {self.method} {self.url.origin()}>"


@dataclass(frozen=True, slots=True)
class NoHop:
    """The redirect is not followed; ``text`` says why, without anything of the URL."""

    why: Why

    @property
    def text(self) -> str:
        """The words for a message."""
        return location.SENTENCES[self.why]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a provider allows.

    ``origins`` are its own origin and those declared as trusted. ``withheld`` are the names of query parameters that
    carry a credential: a server that repeats them in the target of a redirect does not get them to another origin.
    ``revisits`` is for those who keep cookies: with a new cookie the same URL answers something else.
    """

    origins: frozenset[Origin]
    withheld: frozenset[str] = field(default=frozenset(), repr=False)
    max_hops: int = MAX_HOPS
    revisits: bool = False


def follow(trail: Sequence[Hop], status: int, locations: Sequence[str], rules: Rules) -> Hop | NoHop:
    """Return what to send next, or why nothing.

    ``trail`` is all that was sent, the redirected request last; ``locations`` are the answer's ``Location`` values.
    """
    if status not in STATUSES:
        return NoHop(Why.NOT_A_REDIRECT)
    if len(trail) > rules.max_hops:
        return NoHop(Why.LIMIT)
    last = trail[-1]
    target = location.target(last.url, locations)
    if isinstance(target, Why):
        return NoHop(target)
    hop = _next(last, status, target, rules)
    if hop.body is Body.SPENT:
        return NoHop(Why.BODY_SPENT)
    if not rules.revisits and any(_place(hop) == _place(been) for been in trail):
        return NoHop(Why.LOOP)
    return hop


def _place(hop: Hop) -> tuple[str, Origin, str]:
    return hop.method, origin(hop.url), hop.url.raw_path_qs


def _next(last: Hop, status: int, target: URL, rules: Rules) -> Hop:
    method, body = last.method, last.body
    headers = last.headers
    trusted = last.trusted and origin(target) in rules.origins
    if (status == 303 and method not in {"GET", "HEAD"}) or (status in {301, 302} and method == "POST"):
        method, body = "GET", Body.NONE
        headers = _kept(headers, lambda name: not name.startswith("content-") and name not in _OF_A_BODY)
    if not trusted:
        headers = _kept(headers, lambda name: name in _HARMLESS)
        target = without_query(target, rules.withheld)
    elif origin(target) != origin(last.url):
        headers = _kept(headers, lambda name: name != "host")
    return Hop(method, target, headers, body, trusted)


def _kept(headers: CIMultiDict[str], wanted: Callable[[str], bool]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if wanted(name.lower()))
