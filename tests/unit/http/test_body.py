"""Bodies: what is sent, what comes of an answer, and that no value of a body is part of any error."""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import GenericAlias
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

import buoy
from buoy.http.body import Decoder, MisfitError, encode, plain

OWNER = "shop products.create"
CANARY = "canary-5b1d"
JSON = "application/json"


class Price(BaseModel):
    """A nested model."""

    amount: Decimal
    currency: str = Field(max_length=3)


class Product(BaseModel):
    """What most tests decode."""

    id: int
    name: str = "none"
    price: Price | None = None
    tags: list[str] = []
    stock: dict[str, int] = {}


@dataclass
class Point:
    """A plain dataclass."""

    x: int
    y: int = 0


class Row(TypedDict):
    """A typed dict."""

    id: int


class Cat(BaseModel):
    """One of a union."""

    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    """The other of a union."""

    kind: Literal["dog"]
    tricks: list[int]


# What is sent.


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ({"a": 1, "b": [True, None, "ü"]}, b'{"a":1,"b":[true,null,"\\u00fc"]}'),
        ([], b"[]"),
        ("text", b'"text"'),
        (0, b"0"),
        (False, b"false"),
        (Price(amount=Decimal("1.50"), currency="EUR"), b'{"amount":"1.50","currency":"EUR"}'),
        ({"p": Point(1, 2)}, b'{"p":{"x":1,"y":2}}'),
        ({"d": date(2026, 1, 2), "u": UUID(int=7)}, b'{"d":"2026-01-02","u":"00000000-0000-0000-0000-000000000007"}'),
    ],
    ids=repr,
)
def test_json_is_written_compactly_and_knows_pydantics_types(value: Any, sent: bytes) -> None:
    """JSON, models, dataclasses, dates, UUIDs and decimals can be sent."""
    assert (sent, "application/json") == encode(OWNER, json_value=value, data=None)


@pytest.mark.parametrize(
    ("data", "sent", "content_type"),
    [
        (None, None, None),
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
        (bytearray(b"ab"), b"ab", "application/octet-stream"),
        (memoryview(b"ab"), b"ab", "application/octet-stream"),
        (b"", b"", "application/octet-stream"),
        ("grün", "grün".encode(), "text/plain; charset=utf-8"),
        (
            {"a": "b c", "d": ["1", "2"], "e": "ü&="},
            b"a=b+c&d=1&d=2&e=%C3%BC%26%3D",
            "application/x-www-form-urlencoded",
        ),
        ({}, b"", "application/x-www-form-urlencoded"),
    ],
    ids=repr,
)
def test_data_is_bytes_text_or_a_form(data: Any, sent: bytes | None, content_type: str | None) -> None:
    """``data=`` sends bytes as they are, text as UTF-8, and a mapping as a form."""
    assert (sent, content_type) == encode(OWNER, json_value=None, data=data)


def test_json_and_data_together_are_refused() -> None:
    """A request has one body."""
    with pytest.raises(TypeError, match=r"^shop products\.create: give json= or data=, not both\.$"):
        encode(OWNER, json_value={}, data=b"")


@pytest.mark.parametrize("data", [7, [CANARY], object()], ids=lambda value: type(value).__name__)
def test_data_of_another_type_is_refused(data: Any) -> None:
    """A body of another type is refused by its type, not shown."""
    with pytest.raises(TypeError) as caught:
        encode(OWNER, json_value=None, data=data)
    assert f"{OWNER}: data= must be bytes, str or a mapping (a form), not {type(data).__name__}." == str(caught.value)


class Opaque:
    """Something nobody can write as JSON."""

    def __repr__(self) -> str:
        return CANARY


def endless() -> list[Any]:
    """Return a list that contains itself."""
    loop: list[Any] = [CANARY]
    loop.append(loop)
    return loop


def deep() -> list[Any]:
    """Return a list too deep to be written."""
    nested: list[Any] = [CANARY]
    for _ in range(100_000):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    "value",
    [{CANARY: float("nan")}, [float("inf")], Opaque(), {CANARY: Opaque()}, {(CANARY, 1): 1}, endless(), deep()],
    ids=["nan", "infinity", "opaque", "opaque-inside", "key", "endless", "deep"],
)
def test_what_cannot_be_json_is_refused_without_being_shown(value: Any) -> None:
    """NaN, infinity, foreign objects and loops are a ``TypeError`` before anything is sent, and not shown."""
    with pytest.raises(TypeError) as caught:
        encode(OWNER, json_value=value, data=None)
    assert str(caught.value).startswith(f"{OWNER}: json= cannot be written as JSON (")
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_json_goes_there_and_back(value: Any) -> None:
    """What is sent as JSON is what an answer of the same bytes is decoded to."""
    sent, content_type = encode(OWNER, json_value=value, data=None)
    assert sent is not None
    assert content_type is not None
    assert value == plain(sent, content_type)


# What comes of an answer without a model.


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b"", JSON, None),
        (b"", "", None),
        (b'{"a": 1}', JSON, {"a": 1}),
        (b'{"a": 1}', "Application/JSON; charset=utf-8", {"a": 1}),
        (b"[1]", "application/problem+json", [1]),
        (b"[1]", "application/vnd.api+json;version=1", [1]),
        (b"null", JSON, None),
        (b'{"a": 1}', "text/plain", '{"a": 1}'),
        ("grün".encode(), "text/plain", "grün"),
        ("grün".encode("latin-1"), "text/html; charset=ISO-8859-1", "grün"),
        ("grün".encode("utf-16"), 'text/csv; header=present; Charset="UTF-16"', "grün"),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
        (b"{}", "", b"{}"),
        (b"{}", "application/jsonlines", b"{}"),
        (b"{}", ";;=", b"{}"),
    ],
)
def test_without_a_model_the_content_type_decides(body: bytes, content_type: str, value: Any) -> None:
    """JSON is decoded, text is text in its charset, all else is bytes, and nothing is ``None``."""
    assert value == plain(body, content_type)
    assert value == Decoder[Any](OWNER, None).decode(body, content_type)


NO_JSON = "the body is not JSON"
NO_TEXT = "the body is not text in the charset it declares"


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"<html>canary", JSON, NO_JSON),
        (b'{"canary": ', JSON, NO_JSON),
        (b'"canary\xff"', JSON, NO_JSON),
        (b"[" * 200_000, JSON, NO_JSON),
        (b"canary\xff", "text/plain", NO_TEXT),
        (b"canary", "text/plain; charset=canary", NO_TEXT),
        (b"canary", "text/plain; charset=", NO_TEXT),
        (b"canary", "text/plain; charset=hex", NO_TEXT),
        (b"canary", "text/plain; charset=a\0b", NO_TEXT),
        # found by fuzzing: half a minute for 300 kB, and a warning
        (b"canary", "text/plain; charset=punycode", NO_TEXT),
        (rb"canary\d", "text/plain; charset=unicode_escape", NO_TEXT),
    ],
    ids=[
        "html",
        "cut",
        "not-utf8",
        "deep",
        "charset",
        "unknown-charset",
        "no-charset",
        "no-text-codec",
        "nul",
        "punycode",
        "escapes",
    ],
)
def test_a_body_that_is_not_what_it_says(body: bytes, content_type: str, text: str) -> None:
    """A body that is not of its content type is ``malformed``; no byte of it is in the error or behind it."""
    with pytest.raises(MisfitError) as caught:
        plain(body, content_type)
    assert ("malformed", text) == (caught.value.reason, caught.value.text)
    assert caught.value.__suppress_context__


@given(st.binary(max_size=50), st.text() | st.sampled_from([JSON, "text/plain", "text/plain; charset=utf-7"]))
def test_no_body_raises_anything_else(body: bytes, content_type: str) -> None:
    """Whatever comes, it is a value or a misfit."""
    try:
        plain(body, content_type)
    except MisfitError as misfit:
        assert misfit.reason == "malformed"  # noqa: PT017  # the law is about those that are one


# JSON by the standard library's meaning, whoever reads it.

_TOKENS = (
    *'{}[]:, \n"',
    *("0", "-0", "1", "1.5", "1e400", "-1E-400", "9" * 25, "0.1000000000000000055511151231257827", "01", "1.", "NaN"),
    *(
        "Infinity",
        "-Infinity",
        "true",
        "null",
        '"a"',
        '"b"',
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\/\\n"',
        '"é"',
        '"\x7f"',
    ),
)
_WRITTEN = st.one_of(
    st.lists(st.sampled_from(_TOKENS), max_size=9).map("".join),
    st.floats().map(json.dumps),
    st.integers().map(str),
    st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    ).map(json.dumps),
)
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1")


def meaning(body: bytes) -> str:
    """Return what the standard library makes of it: types, order, signs and infinities are in the text."""
    try:
        return repr(json.loads(body))
    except (ValueError, RecursionError):
        return "malformed"


def ours(body: bytes) -> str:
    """Return the same of what we make of it."""
    try:
        return repr(plain(body, JSON))
    except MisfitError as misfit:
        return misfit.reason


@settings(max_examples=500)
@given(_WRITTEN, st.sampled_from(_ENCODINGS))
def test_json_means_what_the_standard_library_says(text: str, encoding: str) -> None:
    """Whatever it is and however it is encoded, it is read, or refused, as by ``json.loads``."""
    body = text.encode(encoding, "replace")
    if body:
        assert meaning(body) == ours(body)


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * depth + b"]" * depth for depth in (199, 201, 500, 100_000)),
        *(b"1" * digits for digits in (400, 4300, 4301)),
        b'{"a": 1, "b": 2, "a": 3}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\x00"',
        b"1\x00",
        b"\xc2\xa01",
        b"1 2",
    ],
    ids=range(14),
)
def test_json_at_its_edges(body: bytes) -> None:
    """Depth, long numbers, a key twice, lone surrogates and stray bytes are what they are to ``json.loads``."""
    assert meaning(body) == ours(body)


# Models.


@pytest.mark.parametrize(
    ("model", "body", "value"),
    [
        (Product, b'{"id": 7}', Product(id=7)),
        (Product | None, b"null", None),
        (list[Product], b'[{"id": 1}, {"id": 2}]', [Product(id=1), Product(id=2)]),
        (Point, b'{"x": 1}', Point(1)),
        (Row, b'{"id": 1}', {"id": 1}),
        (dict[str, int], b'{"a": 1}', {"a": 1}),
        (int, b"7", 7),
        (Annotated[int, Field(gt=0)], b"7", 7),
        (Cat | Dog, b'{"kind": "dog", "tricks": [1]}', Dog(kind="dog", tricks=[1])),
        (Literal["on", "off"], b'"on"', "on"),
        (bytes, b'"x"', b"x"),
    ],
    ids=str,
)
def test_a_model_is_anything_a_type_adapter_takes(model: Any, body: bytes, value: Any) -> None:
    """Models, dataclasses, typed dicts, unions, containers and scalars; the content type does not matter."""
    assert value == Decoder[Any](OWNER, model).decode(body, "text/plain")


def misfit(model: Any, value: Any) -> str:
    """Return what is said when ``value`` is decoded as ``model``."""
    with pytest.raises(MisfitError) as caught:
        Decoder[Any](OWNER, model).decode(json.dumps(value).encode(), JSON)
    assert caught.value.reason == "misfit"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "pydantic's error carries the input, and must not be reachable"
    return caught.value.text.removeprefix("the body does not fit the model at ")


PET = Annotated[Cat | Dog, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("model", "value", "said"),
    [
        (Product, {}, "$.id (missing)"),
        (Product, [CANARY], "$ (model_type)"),
        (Product, {"id": CANARY}, "$.id (int_parsing)"),
        (Product, {"id": 1, "price": {"amount": "1", "currency": CANARY}}, "$.price.currency (string_too_long)"),
        (Product, {"id": 1, "tags": ["a", 7, CANARY]}, "$.tags[1] (string_type)"),
        (Product, {"id": 1, "stock": {CANARY: CANARY}}, "$.stock.* (int_parsing)"),
        (list[Product], [{"id": 1}, {"id": CANARY}], "$[1].id (int_parsing)"),
        (dict[str, Product], {CANARY: {"id": CANARY}}, "$.*.id (int_parsing)"),
        (dict[str, dict[str, int]], {CANARY: {CANARY: CANARY}}, "$.*.* (int_parsing)"),
        (Row, {"id": CANARY}, "$.id (int_parsing)"),
        (Point, {"x": 1, "y": CANARY}, "$.y (int_parsing)"),
        (int, CANARY, "$ (int_parsing)"),
        (Literal["on", "off"], CANARY, "$ (literal_error)"),
        (PET, {"kind": CANARY}, "$ (union_tag_invalid)"),
    ],
)
def test_a_misfit_says_where_and_what_and_no_value(model: Any, value: Any, said: str) -> None:
    """The path of the first misfit has declared names and indexes; a key that no model declares is ``*``."""
    assert said == misfit(model, value)


def test_a_decoder_says_the_same_every_time() -> None:
    """The declared names are found once, at the first misfit, and serve the next."""
    decoder = Decoder[Any](OWNER, Product)
    texts = []
    for _ in range(2):
        with pytest.raises(MisfitError) as caught:
            decoder.decode(b'{"id": 1, "stock": {"canary": "x"}}', JSON)
        texts.append(caught.value.text)
    assert texts == ["the body does not fit the model at $.stock.* (int_parsing)"] * 2


def test_a_union_names_its_branches_only_where_they_are_declared() -> None:
    """Pydantic names the branches of a union in its path; nothing of the body is among them."""
    said = misfit(Cat | Dog | dict[str, int], {"kind": CANARY, CANARY: CANARY})
    assert CANARY not in said
    assert said.startswith("$.")
    assert misfit(PET, {"kind": "dog", "tricks": [CANARY]}) == "$.*.tricks[0] (int_parsing)"


class Strict(BaseModel):
    """A model that refuses what it does not declare."""

    model_config = ConfigDict(extra="forbid")


class Renamed(BaseModel):
    """A model whose names on the wire are not its own."""

    identifier: int = Field(alias="theId")


def refuse(value: str) -> str:
    """Raise, with the value in the text, as validators do."""
    raise ValueError(f"cannot use {value}")


class Checked(BaseModel):
    """A model with a validator of the user's own."""

    name: Annotated[str, AfterValidator(refuse)]


@pytest.mark.parametrize(
    ("model", "value", "said"),
    [
        (Strict, {CANARY: 1}, "$.* (extra_forbidden)"),
        (Renamed, {"theId": CANARY}, "$.theId (int_parsing)"),
        (Checked, {"name": CANARY}, "$.name (value_error)"),
    ],
)
def test_extra_keys_aliases_and_own_validators_show_no_value(model: Any, value: Any, said: str) -> None:
    """A key nobody declared and the text of a validator are data, and stay out."""
    assert said == misfit(model, value)


class Foreign:
    """A class pydantic does not know."""


class Unwritable(BaseModel):
    """A model that has no JSON schema."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    id: int
    other: Foreign | None = None


def test_a_model_without_a_json_schema_still_says_where() -> None:
    """Where the declared names cannot be known, every name is treated as data."""
    assert misfit(Unwritable, {"id": CANARY}) == "$.* (int_parsing)"


@pytest.mark.parametrize("body", [b"", b"<html>canary", b'{"id": ', b'{"id": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_no_json_is_malformed_for_every_model(body: bytes) -> None:
    """What is not JSON at all, also nothing at all, is ``malformed``: it may be another's page, and gone next time."""
    with pytest.raises(MisfitError) as caught:
        Decoder[Any](OWNER, Product).decode(body, JSON)
    assert (caught.value.reason, caught.value.text) == ("malformed", NO_JSON)
    assert caught.value.__context__ is None


class Early(BaseModel):
    """A model that names what is not there yet."""

    later: "Later"  # type: ignore[name-defined]  # noqa: F821  # that is what is tested


class Deferred(BaseModel):
    """A model that pydantic builds on first use."""

    model_config = ConfigDict(defer_build=True)
    id: int


def test_a_deferred_model_is_built_when_declared() -> None:
    """``defer_build`` is no reason to refuse a model."""
    assert Deferred(id=7) == Decoder[Any](OWNER, Deferred).decode(b'{"id": 7}', JSON)


UNDEFINED = GenericAlias(list, ("Nowhere",))  # what list["Nowhere"] is


@pytest.mark.parametrize("model", [Foreign, "Nowhere", UNDEFINED, Early, list[Early]], ids=str)
def test_a_model_that_pydantic_cannot_make_is_refused_when_declared(model: Any) -> None:
    """A declaration that can never be decoded is a ``ConfigurationError`` that names the operation and the model."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        Decoder[Any](OWNER, model)
    assert str(caught.value).startswith(f"{OWNER}: pydantic cannot make a model of {model!r} (")


@given(JSON_VALUES)
def test_no_json_raises_anything_but_a_misfit(value: Any) -> None:
    """Whatever JSON comes, a model gets its instance or a misfit whose text holds declared names only."""
    models: list[Any] = [Product, list[Product], Cat | Dog, dict[str, int]]
    for model in models:
        try:
            Decoder[Any](OWNER, model).decode(json.dumps(value).encode(), JSON)
        except MisfitError as misfit:
            assert misfit.reason == "misfit"  # noqa: PT017  # the law is about those that are one


def test_a_serializer_that_fails_is_a_body_that_cannot_be_written() -> None:
    """A model whose own serializer raises is refused like any other body that cannot be JSON."""

    def fail(_: int) -> int:
        raise ValueError(CANARY)

    class Broken(BaseModel):
        id: Annotated[int, PlainSerializer(fail)]

    with pytest.raises(TypeError) as caught:
        encode(OWNER, json_value=Broken(id=1), data=None)
    assert CANARY not in str(caught.value)
