"""From a base URL, a template and fields to a URL: nothing gets lost, and nothing gets where it should not."""

from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

import buoy
from buoy.http.url import Base, Template, Value, parse_base, query

OWNER = "shop products.get"


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://api.example.com", Base("https://api.example.com", "api.example.com", 443)),
        ("https://api.example.com/", Base("https://api.example.com", "api.example.com", 443)),
        ("http://api.example.com/v2/", Base("http://api.example.com/v2", "api.example.com", 80)),
        ("http://127.0.0.1:8080/a/b", Base("http://127.0.0.1:8080/a/b", "127.0.0.1", 8080)),
        ("https://[::1]:8443", Base("https://[::1]:8443", "::1", 8443)),
        ("HTTPS://API.Example.COM", Base("https://api.example.com", "api.example.com", 443)),
    ],
)
def test_a_base_url_is_taken_apart(given: str, base: Base) -> None:
    """Prefix, host and port of a good base URL; a slash at the end makes no difference."""
    assert base == parse_base("Shop", given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "api.example.com",
        "/v2",
        "//api.example.com",
        "ftp://api.example.com",
        "https://",
        "https:///v2",
        "https://:443",
        "https://api.example.com:port",
        "https://api.example.com:70000",
        "https://[::1",
        "https://api.example.com/v2?key=canary",
        "https://api.example.com?",
        "https://api.example.com/#canary",
        "https://canary:canary@api.example.com",
        "https://canary@api.example.com",
        "https://api.example.com/a b",
        " https://api.example.com",
        "https://api.example.com\n",
        "https://api.exam\tple.com",
        None,
        b"https://api.example.com",
        7,
        URL("https://canary@api.example.com"),
    ],
    ids=repr,
)
def test_a_base_url_that_cannot_work_is_refused(given: object) -> None:
    """No scheme, no host, a query, a fragment or credentials: a ``ConfigurationError`` that shows none of them."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        parse_base("Shop", given)
    message = str(caught.value)
    assert message.startswith("Shop: base_url must be an absolute http or https URL without user info, query")
    assert "canary" not in message


@given(st.text())
def test_no_text_as_base_url_raises_anything_else(text: str) -> None:
    """Whatever is given as a base URL, it is taken apart or refused as configuration."""
    for candidate in (text, f"https://{text}", f"https://host/{text}"):
        try:
            base = parse_base("Shop", candidate)
        except buoy.ConfigurationError:
            continue
        assert base.prefix.startswith(("http://", "https://"))
        assert base.host


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("/", ()),
        ("/products", ()),
        ("/products/{id}", ("id",)),
        ("/repos/{owner}/{name}/files", ("owner", "name")),
        ("/v1/{name}:cancel", ("name",)),
        ("/{_a1}-{b}", ("_a1", "b")),
        ("/a%20b/~x", ()),
    ],
)
def test_a_template_knows_its_fields(template: str, fields: tuple[str, ...]) -> None:
    """The fields of a template, in their order."""
    assert fields == Template(OWNER, template).fields


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("", "must be a path that starts with '/'"),
        ("products", "must be a path that starts with '/'"),
        ("https://evil.example/", "must be a path that starts with '/'"),
        (None, "must be a path that starts with '/'"),
        (7, "must be a path that starts with '/'"),
        ("/products?id={id}", "query parameters are given with the call"),
        ("/products#top", "a character that a path cannot have"),
        ("/a b", "a character that a path cannot have"),
        ("/a\nb", "a character that a path cannot have"),
        ("/ü", "a character that a path cannot have"),
        ("/{id", "unbalanced brace"),
        ("/id}", "unbalanced brace"),
        ("/{}", "unbalanced brace"),
        ("/{{id}}", "unbalanced brace"),
        ("/{1a}", "unbalanced brace"),
        ("/{a-b}", "unbalanced brace"),
        ("/{id}/{id}", "names a field twice"),
        ("/{json}", "uses a reserved name as a field: json"),
        ("/{params}/{deadline}", "uses a reserved name as a field: deadline, params"),
    ],
)
def test_a_template_that_cannot_work_is_refused(template: object, said: str) -> None:
    """A bad template is a ``ConfigurationError`` that names the operation, the template and what is wrong with it."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        Template(OWNER, template)
    message = str(caught.value)
    assert message.startswith(f"{OWNER}: the template {template!r} ")
    assert said in message


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("7", "7"),
        (70, "70"),
        (-7, "-7"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        ("a/b", "a%2Fb"),
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("100%", "100%25"),
        ("%2e%2e", "%252e%252e"),
        ("..x", "..x"),
        ("...", "..."),
        ("../etc", "..%2Fetc"),
        ("a+b&c=d;e", "a%2Bb%26c%3Dd%3Be"),
        ("ü", "%C3%BC"),
        ("{id}", "%7Bid%7D"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
        ("\\", "%5C"),
        ("~-._", "~-._"),
    ],
)
def test_a_field_is_one_percent_encoded_segment(value: Value, segment: str) -> None:
    """Whatever is in a value, it stays within its segment of the path."""
    assert f"/products/{segment}/reviews" == Template(OWNER, "/products/{id}/reviews").expand(OWNER, {"id": value})


@given(st.text(min_size=1).filter(lambda text: text not in {".", ".."} and text.isprintable()), st.integers())
def test_every_value_arrives_as_it_was_given(text: str, number: int) -> None:
    """What was filled in is what a server reads: one segment each, through the URL library that sends it, too."""
    path = Template(OWNER, "/a/{one}/b/{two}").expand(OWNER, {"one": text, "two": number})
    sent = URL(f"https://host{path}", encoded=True)
    assert ["", "a", text, "b", str(number)] == [unquote(part) for part in sent.raw_path.split("/")]
    assert sent.raw_query_string == ""


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_that_would_address_another_path_is_refused(value: str) -> None:
    """An empty value or a dot segment would be taken out of the path on the way: refused, naming the field."""
    with pytest.raises(ValueError, match=r"^shop products\.get: field 'id' is empty or a dot segment"):
        Template(OWNER, "/products/{id}").expand(OWNER, {"id": value})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "shop products.get: fields 'owner', 'name' missing for the template '/repos/{owner}/{name}'."),
        ({"owner": "canary"}, "shop products.get: field 'name' missing for the template '/repos/{owner}/{name}'."),
        (
            {"owner": "canary", "name": None},
            "shop products.get: field 'name' missing for the template '/repos/{owner}/{name}'.",
        ),
    ],
    ids=["both", "one", "none"],
)
def test_a_missing_field_is_named(values: dict[str, Value], said: str) -> None:
    """The message names the operation, the template and the fields, and no value."""
    with pytest.raises(TypeError) as caught:
        Template(OWNER, "/repos/{owner}/{name}").expand(OWNER, values)
    assert said == str(caught.value)


@pytest.mark.parametrize(
    "value", [["canary"], ("canary",), b"canary", object(), {"canary": 1}], ids=lambda v: type(v).__name__
)
def test_a_field_of_another_type_is_refused_by_its_type(value: Any) -> None:
    """A value that is no scalar is refused by type, not shown."""
    with pytest.raises(TypeError) as caught:
        Template(OWNER, "/products/{id}").expand(OWNER, {"id": value})
    assert f"shop products.get: field 'id' must be a str, int, float or bool, not {type(value).__name__}." == str(
        caught.value
    )


def test_a_template_is_the_same_after_use() -> None:
    """Filling in one call's values leaves nothing for the next call."""
    template = Template(OWNER, "/products/{id}")
    template.expand(OWNER, {"id": "canary"})
    assert template.expand(OWNER, {"id": 7}) == "/products/7"


@pytest.mark.parametrize(
    ("values", "sent", "shown"),
    [
        ({}, "", ""),
        ({"q": None}, "", ""),
        ({"q": "a b"}, "q=a%20b", "q=REDACTED"),
        ({"q": "a&b=c#d+e"}, "q=a%26b%3Dc%23d%2Be", "q=REDACTED"),
        (
            {"page": 2, "full": True, "price": 1.5},
            "page=2&full=true&price=1.5",
            "page=REDACTED&full=REDACTED&price=REDACTED",
        ),
        ({"id": [1, 2]}, "id=1&id=2", "id=REDACTED&id=REDACTED"),
        ({"id": ("a", False)}, "id=a&id=false", "id=REDACTED&id=REDACTED"),
        ({"id": []}, "", ""),
        ({"filter[a]&": "x"}, "filter%5Ba%5D%26=x", "filter%5Ba%5D%26=REDACTED"),
        ({"q": ""}, "q=", "q=REDACTED"),
    ],
    ids=repr,
)
def test_query_parameters(values: dict[str, Value], sent: str, shown: str) -> None:
    """Lists repeat their name, ``None`` is left out, and the form that may be shown has no value."""
    assert (sent, shown) == query(OWNER, values)


@given(st.dictionaries(st.text(min_size=1), st.text() | st.lists(st.text())))
def test_every_query_arrives_as_it_was_given(values: dict[str, Any]) -> None:
    """What was given is what a server reads; what is shown has the same names and nothing else."""
    sent, shown = query(OWNER, values)
    pairs = [(name, item) for name, value in values.items() for item in (value if isinstance(value, list) else [value])]
    assert pairs == parse_qsl(sent, keep_blank_values=True)
    assert [(name, "REDACTED") for name, _ in pairs] == parse_qsl(shown, keep_blank_values=True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [({"canary": 1}, "dict"), (b"canary", "bytes"), (["x", None], "NoneType"), ([["canary"]], "list")],
    ids=repr,
)
def test_a_query_value_of_another_type_is_refused_by_its_type(value: Any, kind: str) -> None:
    """A query value that is no scalar or list of scalars is refused by name and type, not shown."""
    with pytest.raises(TypeError) as caught:
        query(OWNER, {"q": value})
    assert str(caught.value).startswith("shop products.get: query parameter 'q' must be str, int, float, bool, None or")
    assert str(caught.value).endswith(f"not {kind}.")
    assert "canary" not in str(caught.value)
