"""Where a ``Location`` leads: as RFC 3986 says, as browsers do where it says nothing, and never to a place in doubt."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

import buoy
from buoy.http.location import Origin, Why, origin, target, trusted_origin, without_query

BASE = URL("http://a/b/c/d;p?q", encoded=True)
CANARY = "canary-77aa"

# RFC 3986 section 5.4, normal and abnormal examples, without their fragments.
RFC_3986 = {
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g/",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q",
    "g#s": "http://a/b/c/g",
    "g?y#s": "http://a/b/c/g?y",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/../x": "http://a/b/c/g",
}
WRITTEN = {
    "?": "http://a/b/c/d;p",
    "http://h": "http://h/",
    "HTTP://H.Example/P": "http://h.example/P",
    "http://h:80/": "http://h/",
    "http://h:/": "http://h/",
    "http://h:08080/": "http://h:8080/",
    "https://h?q": "https://h/?q",
    "http://h/a//b/": "http://h/a//b/",
    "http://h/a/../../b": "http://h/b",
    "http://h./": "http://h./",
    "http://" + "a" * 63 + ".b/": "http://" + "a" * 63 + ".b/",
    "http://a_b-c.d/": "http://a_b-c.d/",
    "http://127.0.0.1:8080/": "http://127.0.0.1:8080/",
    "http://[::1]:8080/": "http://[::1]:8080/",
    "http://[0:0:0:0:0:0:0:A]/": "http://[::a]/",
    # what is encoded stays, what a URL cannot have is encoded
    "/x%2Fy/%2e%2e/%zz/%": "http://a/x%2Fy/%2e%2e/%zz/%",
    "/a b?c d": "http://a/a%20b?c%20d",
    "/é?é#é": "http://a/%C3%A9?%C3%A9",
    "/\udce9": "http://a/%E9",
    '/"<>^`{|}': "http://a/%22%3C%3E%5E%60%7B%7C%7D",
    "?filter[a]=1&b=a+b&c=%20": "http://a/b/c/d;p?filter[a]=1&b=a+b&c=%20",
    "/a?b?c/d:e@f": "http://a/a?b?c/d:e@f",
    "/user@host:x/": "http://a/user@host:x/",
    # names outside ASCII
    "https://bücher.example/": "https://xn--bcher-kva.example/",
    "https://BÜCHER.example/": "https://xn--bcher-kva.example/",
    "https://xn--bcher-kva.example/": "https://xn--bcher-kva.example/",
    "https://evil。example/": "https://evil.example/",
    " \t/g \t": "http://a/g",
}
REFUSED = {
    "": Why.NO_LOCATION,
    " \t": Why.NO_LOCATION,
    "ftp://h/": Why.SCHEME,
    "javascript:alert(1)": Why.SCHEME,
    "data:,x": Why.SCHEME,
    "file:///etc/passwd": Why.SCHEME,
    "unix:///run/x.sock": Why.SCHEME,
    "wss://h/": Why.SCHEME,
    "localhost:8080/x": Why.SCHEME,
    "http:g": Why.BAD_LOCATION,
    "http:/g": Why.BAD_LOCATION,
    "http:": Why.BAD_LOCATION,
    "http://": Why.BAD_LOCATION,
    "http:///g": Why.BAD_LOCATION,
    "///g": Why.BAD_LOCATION,
    "//": Why.BAD_LOCATION,
    "http://u@h/": Why.USER_INFO,
    "http://u:p@h/": Why.USER_INFO,
    "http://@h/": Why.USER_INFO,
    "//h@evil.example": Why.USER_INFO,
    "https://api.example.com%40evil.example/": Why.BAD_LOCATION,
    "http://h%2Fx/": Why.BAD_LOCATION,
    "http://h%00/": Why.BAD_LOCATION,
    "http://h:0/": Why.BAD_LOCATION,
    "http://h:65536/": Why.BAD_LOCATION,
    "http://h:123456/": Why.BAD_LOCATION,
    "http://h:\uff18\uff10/": Why.BAD_LOCATION,
    "http://h:-1/": Why.BAD_LOCATION,
    "http://h:8 0/": Why.BAD_LOCATION,
    "http://:80/": Why.BAD_LOCATION,
    "http://a:b:80/": Why.BAD_LOCATION,
    "http://[::1/": Why.BAD_LOCATION,
    "http://[::g]/": Why.BAD_LOCATION,
    "http://[fe80::1%25eth0]/": Why.BAD_LOCATION,
    "http://[::1]x/": Why.BAD_LOCATION,
    "http://::1/": Why.BAD_LOCATION,
    "http://h h/": Why.BAD_LOCATION,
    "http://h,x/": Why.BAD_LOCATION,
    "http://.h/": Why.BAD_LOCATION,
    "http://./": Why.BAD_LOCATION,
    "http://a..b/": Why.BAD_LOCATION,
    "http://h../": Why.BAD_LOCATION,
    "http://xn--/": Why.BAD_LOCATION,
    "http://xn--a.xn--/": Why.BAD_LOCATION,
    "http://" + "a" * 64 + "/": Why.BAD_LOCATION,
    "http://" + "b" * 64 + ".b/": Why.BAD_LOCATION,
    "http://évil.example\uff0fx/": Why.BAD_LOCATION,
    "http://a\uff20é.example/": Why.BAD_LOCATION,
    "http://a\u200db.example/": Why.BAD_LOCATION,
    "http://\udce9.example/": Why.BAD_LOCATION,
    "http://" + "c." * 128: Why.BAD_LOCATION,
    "https:\\\\evil.example": Why.BAD_LOCATION,
    "\\\\evil.example": Why.BAD_LOCATION,
    "/\\evil.example": Why.BAD_LOCATION,
    "/a\r\nX-Injected: 1": Why.BAD_LOCATION,
    "/a\nb": Why.BAD_LOCATION,
    "/a\tb": Why.BAD_LOCATION,
    "/a\0b": Why.BAD_LOCATION,
    "/a\x7f": Why.BAD_LOCATION,
    "/\ud800": Why.BAD_LOCATION,
    "/" + "a" * 8190: Why.LONG_LOCATION,
    "/" + "é" * 4000: Why.LONG_LOCATION,
}


@pytest.mark.parametrize(("reference", "url"), (RFC_3986 | WRITTEN).items(), ids=lambda text: ascii(text)[:40])
def test_a_reference_leads_where_the_standards_say(reference: str, url: str) -> None:
    """Absolute and relative references are resolved as by RFC 3986, with all that was encoded as it was."""
    assert url == str(target(BASE, [reference]))


@pytest.mark.parametrize(("reference", "why"), REFUSED.items(), ids=lambda text: ascii(text)[:40])
def test_a_place_in_doubt_is_refused_by_a_word(reference: str, why: Why) -> None:
    """What is no http URL, could be read in two ways, or carries a name, is refused, and the word says why."""
    assert why is target(BASE, [reference])


@pytest.mark.parametrize(
    ("locations", "expected"),
    [
        ([], Why.NO_LOCATION),
        ([" /x", "/x\t"], URL("http://a/x")),
        (["/x", "/y"], Why.SEVERAL_LOCATIONS),
        (["/x", ""], Why.SEVERAL_LOCATIONS),
    ],
)
def test_one_target_is_needed(locations: list[str], expected: URL | Why) -> None:
    """None and several are refused; the same value twice is one."""
    assert expected == target(BASE, locations)


@pytest.mark.parametrize(
    ("base", "location", "expected"),
    [
        ("https://h/a", "http://h/b", Why.DOWNGRADE),
        ("https://h/a", "HTTP://h/b", Why.DOWNGRADE),
        ("https://h/a", "http://other/", Why.DOWNGRADE),
        ("https://h/a", "//other/", URL("https://other/")),
        ("http://h/a", "https://h/b", URL("https://h/b")),
        ("https://h", "b", URL("https://h/b")),
        ("https://h", "", Why.NO_LOCATION),
        ("https://h", "#x", URL("https://h/")),
        ("https://h:8443/a/b?c", "./d", URL("https://h:8443/a/d")),
    ],
)
def test_https_is_never_left(base: str, location: str, expected: URL | Why) -> None:
    """A reference without a scheme keeps it; from https there is no way to http."""
    assert expected == target(URL(base, encoded=True), [location])


PIECES = [
    "http",
    "https",
    "ftp",
    ":",
    "//",
    "/",
    "..",
    ".",
    "?",
    "#",
    "@",
    "[",
    "]",
    "::1",
    "%2e",
    "%",
    "\\",
    "h",
    "é",
    " ",
]
references = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join)


@given(references)
def test_whatever_comes_the_target_is_a_plain_url(reference: str) -> None:
    """Nothing is raised; a target is ASCII, absolute and without user info, dots or control characters."""
    found = target(BASE, [reference])
    if isinstance(found, Why):
        return
    text = str(found)
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text
    assert (found.scheme in {"http", "https"}, found.user, found.password, found.fragment) == (True, None, None, "")
    assert {".", ".."}.isdisjoint(found.raw_path.split("/"))
    assert found == target(BASE, [text])
    assert found.host  # can be asked for: that decodes it
    assert origin(found) == trusted_origin("shop", str(found.origin()))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h", Origin("https", "h", 443)),
        ("https://H:443/x?y", Origin("https", "h", 443)),
        ("http://h:443", Origin("http", "h", 443)),
        ("http://h", Origin("http", "h", 80)),
        ("http://[::1]:81", Origin("http", "::1", 81)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: Origin) -> None:
    """Two URLs are of one origin when all three are the same, a default port being a port."""
    assert expected == origin(URL(url, encoded=True))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://api.example.com", Origin("https", "api.example.com", 443)),
        ("HTTPS://API.example.com:8443/", Origin("https", "api.example.com", 8443)),
        ("http://127.0.0.1:80", Origin("http", "127.0.0.1", 80)),
        ("https://bücher.example", Origin("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_a_declared_origin_is_read_like_a_target(value: str, expected: Origin) -> None:
    """What is declared as trusted is compared in the form that targets have."""
    assert expected == trusted_origin("shop", value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "api.example.com",
        "//api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com/v2",
        f"https://api.example.com?{CANARY}",
        f"https://api.example.com/?{CANARY}",
        f"https://{CANARY}@api.example.com",
        f"https://api.example.com#{CANARY}",
        "https://api.example.com:0",
        "https://api.exam ple.com",
        "https://api.example.com\\",
        "https://api.example.com\n",
        "https://*.example.com",
        None,
        b"https://api.example.com",
        URL("https://api.example.com"),
    ],
    ids=repr,
)
def test_what_is_no_origin_cannot_be_trusted(value: Any) -> None:
    """A path, a query, user info or a pattern would promise what is not looked at: it is refused, and not shown."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        trusted_origin("Shop", value)
    assert str(caught.value).startswith("Shop: trusted_origins must be origins")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("?a=1&b=%20+", "?a=1&b=%20+"),
        ("?key=x", ""),
        ("?key", ""),
        ("?a=1&key=x&b=2&key=y", "?a=1&b=2"),
        ("?%6Bey=x&a=%zz", "?a=%zz"),
        ("?k+y=1&KEY=2&keys=3", "?KEY=2&keys=3"),
    ],
)
def test_a_query_parameter_is_taken_out_by_its_name(query: str, left: str) -> None:
    """Parameters go by name, however it is written; all that stays is as it was written."""
    assert f"https://h/p{left}" == str(without_query(URL(f"https://h/p{query}", encoded=True), {"key", "k y"}))
