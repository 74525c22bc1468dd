"""Reads from datasette, a server that is not ours: a JSON API over a small SQLite file."""

import pytest
from pydantic import BaseModel

import buoy
from buoy.outcome import Outcome
from tests.support.telemetry import Observed


class Product(BaseModel):
    """A row of the table."""

    id: int
    name: str
    price: float


class Wrong(BaseModel):
    """What no row of the table is."""

    id: int
    price: int


class Page(BaseModel):
    """The table's own form of an answer."""

    rows: list[Product]
    next: str | None = None


class Data(buoy.Provider):
    """Datasette's API for one database."""

    retry = buoy.Retry(base=0)

    products = buoy.get("/shop/products.json", list[Product])
    wrong = buoy.get("/shop/products.json", list[Wrong])
    page = buoy.get("/shop/products.json", Page)
    product = buoy.get("/shop/products/{id}.json")
    text = buoy.get("/shop/products.csv")
    table = buoy.get("/shop/{table}.json")
    add = buoy.post("/shop/products.json")


@pytest.fixture(scope="module")
def url(datasette: str) -> str:
    """Return where datasette is."""
    return datasette


async def test_rows_become_models(url: str, observed: Observed) -> None:
    """A list of rows is a list of models, and the call is one send with its status."""
    async with Data(base_url=url) as data:
        result = await data.products.call(_shape="array", _size=2)
    assert [Product(id=1, name="product 1", price=1.5), Product(id=2, name="product 2", price=2.5)] == result.value
    assert (result.status, result.meta.attempts, result.meta.sends) == (200, 1, 1)
    (send,) = observed.attempts()
    assert (
        (send.attributes or {})["http.response.status_code"],
        (send.attributes or {})["network.protocol.version"],
    ) == (200, "1.1")


async def test_query_parameters_reach_the_server(url: str) -> None:
    """Filters, lists and text with every awkward character mean over there what they mean here."""
    async with Data(base_url=url) as data:
        assert [row.id for row in await data.products(_shape="array", name="product 7")] == [7]
        assert await data.products(_shape="array", name="a&b=c#d +%2B ü/?") == []
        both = await data.products(_shape="array", params={"id__in": "3,4", "price__gt": 3.6})
    assert [row.id for row in both] == [4]


async def test_pages_can_be_walked_by_hand(url: str) -> None:
    """The cursor of one answer leads to the next, until there is none."""
    seen: list[int] = []
    async with Data(base_url=url) as data:
        page = await data.page(_shape="objects", _size=8)
        while page.next is not None:
            seen += [row.id for row in page.rows]
            page = await data.page(_shape="objects", _size=8, _next=page.next)
    assert list(range(1, 21)) == seen + [row.id for row in page.rows]


async def test_without_a_model_json_is_decoded_and_text_is_text(url: str) -> None:
    """The content type decides where no model does."""
    async with Data(base_url=url) as data:
        row = await data.product(id=3, _shape="objects")
        text = await data.text(_size=1)
    assert row["rows"] == [{"id": 3, "name": "product 3", "price": 3.5}]
    assert text == "id,name,price\r\n1,product 1,1.5\r\n"


@pytest.mark.parametrize(("operation", "fields"), [("product", {"id": 99}), ("table", {"table": "nowhere"})])
async def test_what_is_not_there_is_not_found_and_not_tried_again(
    url: str, operation: str, fields: dict[str, str | int], observed: Observed
) -> None:
    """404 is the caller's own error: one send, counted apart from failures."""
    async with Data(base_url=url) as data:
        with pytest.raises(buoy.HttpError) as caught:
            await getattr(data, operation)(**fields)
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (404, buoy.ErrorType.NOT_FOUND, Outcome.REJECTED)
    assert len(observed.attempts()) == 1
    assert observed.value("buoy.client.calls", result="caller_error") == 1


async def test_a_redirect_is_followed_and_a_slash_opens_no_other_path(url: str, observed: Observed) -> None:
    """Datasette sends other spellings to its own one, where nothing is; the value stays one segment of the path."""
    async with Data(base_url=url, redirects=0) as data:
        result = await data.table.call(table="products/7 ü")
    assert (result.status, result.headers["Location"]) == (302, "/shop/products~2F7~20~C3~BC~2Ejson")
    observed.clear()
    async with Data(base_url=url) as data:
        with pytest.raises(buoy.HttpError) as caught:
            await data.table(table="products/7 ü")
    assert (caught.value.status, caught.value.error_type) == (404, buoy.ErrorType.NOT_FOUND)
    assert caught.value.meta is not None
    assert (caught.value.meta.attempts, caught.value.meta.sends, len(observed.attempts())) == (1, 2, 2)


async def test_a_bad_query_is_a_bad_request(url: str) -> None:
    """What the server finds malformed is ``bad_request``, and the query is in no text of the error."""
    async with Data(base_url=url) as data:
        with pytest.raises(buoy.HttpError) as caught:
            await data.get("/shop.json", sql="selec canary")
    assert (caught.value.status, caught.value.error_type) == (400, buoy.ErrorType.BAD_REQUEST)
    assert "canary" not in str(caught.value)


async def test_a_failing_read_is_tried_three_times(url: str, observed: Observed) -> None:
    """Datasette answers 500 to a sort it does not know: a read is tried again, and the last answer is raised."""
    async with Data(base_url=url) as data:
        with pytest.raises(buoy.HttpError) as caught:
            await data.products(_sort="nothing")
    assert (caught.value.status, caught.value.error_type) == (500, buoy.ErrorType.INTERNAL_SERVER_ERROR)
    assert len(observed.attempts()) == 3


async def test_a_failing_write_is_sent_once(url: str, observed: Observed) -> None:
    """Datasette answers 500 to a write, which leaves open whether it happened: it is not repeated."""
    async with Data(base_url=url) as data:
        with pytest.raises(buoy.HttpError) as caught:
            await data.add(json={"id": 99})
    assert (caught.value.status, caught.value.outcome) == (500, Outcome.UNKNOWN)
    assert len(observed.attempts()) == 1


async def test_rows_that_do_not_fit_are_undecodable(url: str) -> None:
    """A model that is not the provider's says where it differs, and no value."""
    async with Data(base_url=url) as data:
        with pytest.raises(buoy.Undecodable, match=r"does not fit the model at \$\[0\]\.price \(int_from_float\)"):
            await data.wrong(_shape="array")
