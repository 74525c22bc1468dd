"""Which redirects are followed, and that nothing which identifies the caller follows them out of the origin."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from buoy.http.location import SENTENCES, Why, trusted_origin
from buoy.http.redirect import STATUSES, Body, Hop, NoHop, Rules, follow

CANARY = "canary-e8f4"
HOME = "https://api.shop.example"
OTHER = "https://evil.example"
RULES = Rules(origins=frozenset({trusted_origin("shop", HOME)}))
TRUSTING = replace(RULES, origins=RULES.origins | {trusted_origin("shop", OTHER)})

HARMLESS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Accept-Language": "de",
    "Cache-Control": "no-cache",
    "If-Range": '"v1"',
    "Range": "bytes=0-9",
    "User-Agent": "buoy/1",
}
OF_THE_BODY = {"Content-Type": "application/json", "Content-Encoding": "gzip", "Content-Language": "en"}
OF_THE_BODY_TOO = {"Content-Digest": "x", "Content-Location": "/x", "Repr-Digest": "x", "Digest": "x", "Expect": "x"}
# Whatever is not harmless: credentials by their many names, and all that is bound to them.
SECRETS = dict.fromkeys(
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Idempotency-Key",
        "X-Request-Token",
        "X-Api-Key",
        "Api-Key",
        "X-Shopify-Access-Token",
        "X-Amz-Security-Token",
        "X-Amz-Date",
        "Signature",
        "Signature-Input",
        "DPoP",
        "Stripe-Account",
        "traceparent",
        "tracestate",
        "baggage",
        "Referer",
        "Origin",
        "From",
        "If-None-Match",
        "X-Forwarded-For",
        "Last-Event-ID",
    ],
    CANARY,
)


def first(method: str = "GET", path: str = "/a", body: Body = Body.NONE, **headers: str) -> Hop:
    """Return the request that a call begins with."""
    given = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Hop(method, URL(HOME + path, encoded=True), given, body)


def followed(hop: Hop, status: int, location: str, rules: Rules = RULES) -> Hop:
    """Return the next request, which there must be."""
    found = follow([hop], status, [location], rules)
    assert isinstance(found, Hop)
    return found


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET"),
        (301, "HEAD", "HEAD"),
        (301, "POST", "GET"),
        (301, "PUT", "PUT"),
        (301, "DELETE", "DELETE"),
        (302, "GET", "GET"),
        (302, "POST", "GET"),
        (302, "PATCH", "PATCH"),
        (303, "GET", "GET"),
        (303, "HEAD", "HEAD"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
        (303, "QUERY", "GET"),
        (307, "POST", "POST"),
        (307, "DELETE", "DELETE"),
        (308, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
def test_the_method_changes_as_in_browsers(status: int, method: str, then: str) -> None:
    """301 and 302 turn POST into GET, 303 all but GET and HEAD, 307 and 308 nothing; a body goes only where it fits."""
    hop = followed(first(method, body=Body.REPLAYABLE), status, "/b")
    assert (then, URL(f"{HOME}/b")) == (hop.method, hop.url)
    dropped = method != then
    assert (Body.NONE if dropped else Body.REPLAYABLE) is hop.body


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_headers_of_a_body_go_with_it(status: int) -> None:
    """Where a body is dropped, no header speaks of it; where it is sent again, all of them do."""
    before = first("POST", body=Body.REPLAYABLE)
    before.headers.update(OF_THE_BODY | OF_THE_BODY_TOO | HARMLESS | SECRETS)
    hop = followed(before, status, "/b")
    kept = hop.method == "POST"
    assert (OF_THE_BODY | OF_THE_BODY_TOO if kept else {}) | HARMLESS | SECRETS == dict(hop.headers)


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "PUT"), (301, "PUT"), (302, "PATCH")])
def test_a_body_that_is_spent_ends_it(status: int, method: str) -> None:
    """A redirect that wants a body which cannot be sent again is refused; one that does not want it is followed."""
    hop = first(method, body=Body.SPENT)
    assert NoHop(Why.BODY_SPENT) == follow([hop], status, ["/b"], RULES)
    assert Body.NONE is followed(hop, 303, "/b").body


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 306, 309, 399, 400, 500])
def test_other_statuses_are_not_followed(status: int) -> None:
    """A ``Location`` with any other status is for the caller."""
    assert NoHop(Why.NOT_A_REDIRECT) == follow([first()], status, ["/b"], RULES)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", Why.NO_LOCATION),
        ("http://api.shop.example/", Why.DOWNGRADE),
        ("gopher://x/", Why.SCHEME),
        (f"https://{CANARY}@api.shop.example/", Why.USER_INFO),
        (f"https://{CANARY} x/", Why.BAD_LOCATION),
        ("/" + CANARY * 1000, Why.LONG_LOCATION),
        (f"/a#{CANARY}", Why.LOOP),
    ],
)
def test_what_is_refused_says_why_and_nothing_of_the_url(location: str, why: Why) -> None:
    """The reason is a word and a sentence of ours."""
    refused = follow([first()], 302, [location], RULES)
    assert NoHop(why) == refused
    assert isinstance(refused, NoHop)
    assert SENTENCES[why] == refused.text
    assert CANARY not in refused.text + repr(refused)


def test_every_reason_has_its_words() -> None:
    """No reason is without a sentence, and no two share one."""
    assert set(Why) == set(SENTENCES)
    assert len(Why) == len(set(SENTENCES.values()))


def test_there_are_five_redirects_at_most() -> None:
    """The fifth redirect is followed, the sixth is not, unless the provider says otherwise."""
    trail = [first()]
    for number in range(5):
        found = follow(trail, 302, [f"/{number}"], RULES)
        assert isinstance(found, Hop)
        trail.append(found)
    assert NoHop(Why.LIMIT) == follow(trail, 302, ["/next"], RULES)
    assert isinstance(follow(trail, 302, ["/next"], replace(RULES, max_hops=6)), Hop)
    assert NoHop(Why.LIMIT) == follow(trail[:1], 302, ["/next"], replace(RULES, max_hops=0))


@pytest.mark.parametrize("location", ["/a", HOME + ":443/a", "HTTPS://API.SHOP.EXAMPLE/a", "./a#there", "/b"])
def test_a_loop_is_told(location: str) -> None:
    """The same method and URL twice is a loop, however the URL is written and however long the way was."""
    trail = [first(), followed(first(), 302, "/b")]
    assert NoHop(Why.LOOP) == follow(trail, 302, [location], RULES)


def test_what_differs_is_no_loop() -> None:
    """Another method, another query or another port is another place; with cookies the same place may differ."""
    assert followed(first("POST"), 303, "/a").method == "GET"
    assert followed(first(), 302, "/a?x").url == URL(f"{HOME}/a?x")
    assert followed(first(), 302, HOME + ":444/a").url.port == 444
    assert followed(first(), 302, "/a", replace(RULES, revisits=True)).url == URL(f"{HOME}/a")


OTHERS = [
    OTHER,
    "https://api.shop.example.evil.example",
    "https://shop.example",
    "https://www.api.shop.example",
    "https://api.shop.example.",
    "https://api.shop.example:444",
]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("status", sorted(STATUSES))
def test_nothing_that_identifies_leaves_the_origin(other: str, status: int) -> None:
    """Another host, a subdomain or another port gets harmless headers only, and is not signed for."""
    before = first("POST", body=Body.REPLAYABLE)
    before.headers.update(OF_THE_BODY | OF_THE_BODY_TOO | HARMLESS | SECRETS | {"Host": "api.shop.example"})
    hop = followed(before, status, f"{other}/b")
    assert hop.trusted is False
    assert (OF_THE_BODY if hop.method == "POST" else {}) | HARMLESS == dict(hop.headers)
    assert CANARY not in repr(hop)


def test_another_scheme_is_another_origin() -> None:
    """From http to https of the same host nothing goes along either: it may be another server."""
    rules = Rules(origins=frozenset({trusted_origin("shop", "http://h")}))
    before = Hop("GET", URL("http://h/a"), CIMultiDict(SECRETS))
    hop = followed(before, 302, "https://h/a", rules)
    assert (hop.trusted, dict(hop.headers)) == (False, {})


def test_a_declared_origin_gets_all_but_the_host() -> None:
    """What is declared as trusted is like home; a Host header is of one host alone."""
    before = first("POST", body=Body.REPLAYABLE, Host="api.shop.example")
    before.headers.update(SECRETS)
    hop = followed(before, 307, f"{OTHER}/b", TRUSTING)
    assert (hop.trusted, dict(hop.headers)) == (True, SECRETS)
    back = followed(hop, 307, f"{HOME}/c", TRUSTING)
    assert (back.trusted, dict(back.headers)) == (True, SECRETS)


def test_a_host_header_stays_at_home() -> None:
    """Within the origin a Host header of the caller's is kept."""
    assert dict(followed(first(Host="shop"), 302, "/b").headers) == {"Host": "shop"}


def test_trust_that_was_left_does_not_come_back() -> None:
    """A foreign origin cannot send the call home with credentials, to a place of its choice."""
    abroad = followed(first(Authorization=CANARY, Accept="x"), 302, f"{OTHER}/b")
    home = followed(abroad, 302, f"{HOME}/admin/delete-all")
    assert (home.trusted, dict(home.headers)) == (False, {"Accept": "x"})


def test_repeated_headers_stay_repeated() -> None:
    """A header that was given twice is sent twice again."""
    before = first()
    before.headers.extend([("Accept", "a"), ("accept", "b")])
    assert list(followed(before, 302, f"{OTHER}/b").headers.items()) == [("Accept", "a"), ("accept", "b")]


def test_a_key_in_the_query_does_not_follow_a_server_that_repeats_it() -> None:
    """A query parameter that carries a credential is taken out of a foreign target, and left in one at home."""
    rules = replace(RULES, withheld=frozenset({"api_key"}))
    location = f"/b?x=1&api_key={CANARY}&y=2"
    assert URL(f"{OTHER}/b?x=1&y=2") == followed(first(), 302, OTHER + location, rules).url
    assert URL(HOME + location) == followed(first(), 302, location, rules).url
    assert "api_key" not in repr(rules)


def test_what_is_decided_leaves_what_was_sent_alone() -> None:
    """The request that was redirected, its headers included, is as before."""
    before = first("POST", body=Body.REPLAYABLE, Authorization=CANARY, Content_Type="x")
    follow([before], 303, [f"{OTHER}/b"], RULES)
    assert dict(before.headers) == {"Authorization": CANARY, "Content-Type": "x"}


def test_a_hop_is_no_text_for_logs() -> None:
    """Path, query and headers are not part of the repr."""
    hop = first(path=f"/{CANARY}?{CANARY}", Authorization=CANARY)
    assert repr(hop) == "<Hop GET https://api.shop.example>"


locations = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["", HOME, OTHER, "//evil.example", "http://h"]),
        st.just("/"),
        st.text(max_size=9),
    ),
)
headers = st.dictionaries(st.sampled_from([*HARMLESS, *OF_THE_BODY, *SECRETS]), st.just(CANARY))


@given(
    st.builds(
        Hop,
        st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE"]),
        st.just(URL(f"{HOME}/a")),
        headers.map(CIMultiDict),
        st.sampled_from(Body),
        st.booleans(),
    ),
    st.sampled_from(sorted(STATUSES)),
    st.lists(locations, max_size=2),
)
def test_whatever_comes_no_secret_goes_where_there_is_no_trust(hop: Hop, status: int, places: list[str]) -> None:
    """Nothing is raised, and a next request is either trusted, within the origin, or carries harmless headers only."""
    found = follow([hop], status, places, RULES)
    if isinstance(found, NoHop):
        return
    assert found.body is not Body.SPENT
    if found.trusted:
        assert (hop.trusted, found.url.origin()) == (True, URL(HOME))
    else:
        assert set(found.headers) <= {*HARMLESS, *OF_THE_BODY}
