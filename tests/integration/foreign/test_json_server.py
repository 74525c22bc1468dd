"""json-server, a server that is not ours: REST over a JSON file by Express, with the habits that Express has."""

import asyncio
import signal

import pytest
from pydantic import BaseModel

import buoy
from buoy.outcome import Outcome
from tests.support.servers import Server
from tests.support.telemetry import Observed

E = buoy.ErrorType


class Post(BaseModel):
    """A post as it is kept."""

    id: int
    title: str
    author: str | None = None


class Blog(buoy.Provider):
    """The resources of the server."""

    retry = buoy.Retry(base=0, budget=None)
    breaker = None

    posts = buoy.get("/posts", list[Post])
    read = buoy.get("/posts/{id}", Post)
    add = buoy.post("/posts", Post)
    store = buoy.put("/posts/{id}", Post)
    change = buoy.patch("/posts/{id}", Post)
    remove = buoy.delete("/posts/{id}")
    profile = buoy.get("/profile")
    page = buoy.get("/{page}")


async def test_a_post_is_made_read_changed_and_removed(blog: Server, observed: Observed) -> None:
    """Each verb does what it says, once: 201 with a Location, 200, and after the removal 404."""
    async with Blog(base_url=blog.url) as api:
        made = await api.add.call(json={"title": "grün & 100 %"})
        post = made.value
        assert (made.status, made.headers["Location"]) == (201, f"{blog.url}/posts/{post.id}")
        assert await api.read(id=post.id) == Post(id=post.id, title="grün & 100 %")
        changed = await api.change(id=post.id, json={"author": "me"})
        assert changed == Post(id=post.id, title="grün & 100 %", author="me")
        assert await api.store(id=post.id, json={"title": "new"}) == Post(id=post.id, title="new")
        assert await api.remove(id=post.id) == {}
        with pytest.raises(buoy.HttpError) as caught:
            await api.read(id=post.id)
    assert (caught.value.status, caught.value.error_type, caught.value.outcome) == (404, E.NOT_FOUND, Outcome.REJECTED)
    assert len(observed.attempts()) == 6


async def test_a_form_is_read_as_well(blog: Server) -> None:
    """What is sent as a form arrives as its fields."""
    async with Blog(base_url=blog.url) as api:
        post = await api.add(data={"title": "a=b&c ü", "author": "form"})
        await api.remove(id=post.id)
    assert (post.title, post.author) == ("a=b&c ü", "form")


async def test_pages_say_where_the_next_one_is(blog: Server) -> None:
    """The Link header and the total are with the result; a long page comes compressed and is unzipped."""
    async with Blog(base_url=blog.url) as api:
        page = await api.posts.call(_page=2, _limit=10)
        whole = await api.posts.call(_sort="id", _limit=30)
    assert [post.id for post in page.value] == list(range(11, 21))
    assert f'<{blog.url}/posts?_page=3&_limit=10>; rel="next"' in page.headers["Link"]
    assert page.headers["X-Total-Count"] == "30"
    assert (len(whole.value), whole.headers["Content-Encoding"]) == (30, "gzip")


async def test_its_500_to_a_write_leaves_it_open(blog: Server) -> None:
    """An id that is taken is a 500 with a stack trace: one send, outcome unknown, and no trace of it in the text."""
    async with Blog(base_url=blog.url) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.add(json={"id": 7, "title": "again"})
        assert (await api.read(id=7)).title == "post 7"
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (500, E.INTERNAL_SERVER_ERROR, Outcome.UNKNOWN)
    assert error.meta is not None
    assert error.meta.attempts == 1
    assert "duplicate" not in str(error)


async def test_its_500_to_a_read_is_tried_again(blog: Server) -> None:
    """A filter that is no regular expression is a 500 each time: three tries, and the last answer is raised."""
    async with Blog(base_url=blog.url) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.posts(title_like="(canary")
    assert (caught.value.status, caught.value.error_type) == (500, E.INTERNAL_SERVER_ERROR)
    assert caught.value.meta is not None
    assert caught.value.meta.attempts == 3
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "status", "error_type"),
    [(b'{"title":', 400, E.BAD_REQUEST), (b'"' + b"x" * 11_000_000 + b'"', 413, E.CLIENT_ERROR)],
    ids=["no JSON", "too large"],
)
async def test_what_it_does_not_take_is_the_callers_error(
    blog: Server, body: bytes, status: int, error_type: buoy.ErrorType, observed: Observed
) -> None:
    """Bad JSON and a body beyond its limit are told by status, sent once, and the next call works."""
    async with Blog(base_url=blog.url) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.add(data=body, headers={"Content-Type": "application/json"})
        assert await api.profile() == {"name": "blog"}
    error = caught.value
    assert (error.status, error.error_type, error.outcome) == (status, error_type, Outcome.REJECTED)
    assert len(observed.attempts()) == 2
    assert observed.value("buoy.client.calls", result="caller_error") == 1


async def test_an_unknown_resource_is_an_empty_object_and_a_404(blog: Server) -> None:
    """The body says nothing, the status does."""
    async with Blog(base_url=blog.url) as api:
        with pytest.raises(buoy.HttpError) as caught:
            await api.page(page="nowhere")
    assert (caught.value.status, caught.value.error_type) == (404, E.NOT_FOUND)


async def test_its_redirect_to_a_folder_is_followed(blog: Server) -> None:
    """Express adds the slash by a 301 with a relative target: two sends of one try, or the answer itself."""
    async with Blog(base_url=blog.url) as api:
        followed = await api.page.call(page="pages")
    async with Blog(base_url=blog.url, redirects=0) as api:
        first = await api.page.call(page="pages")
    assert (followed.value, followed.meta.attempts, followed.meta.sends) == ("all pages", 1, 2)
    assert (first.status, first.headers["Location"], first.meta.sends) == (301, "/pages/", 1)


@pytest.mark.parametrize("seen", [True, False], ids=["closing was seen", "closing comes with the next call"])
async def test_a_restart_costs_no_safe_call(blog: Server, seen: bool) -> None:  # noqa: FBT001  # a parameter
    """Connections of before the restart are in the pool, known dead or not: each read is answered."""
    async with Blog(base_url=blog.url) as api:
        await asyncio.gather(*(api.read(id=number) for number in range(1, 5)))
        if seen:
            await asyncio.to_thread(blog.restart)
        else:
            blog.restart()  # the loop stands still, and reads of no end before the next calls are written
        posts = await asyncio.gather(*(api.read(id=number) for number in range(1, 9)))
    assert [post.id for post in posts] == list(range(1, 9))


async def test_what_timed_out_may_have_happened(blog: Server) -> None:
    """A server that stands still takes a write and says nothing: we say that we do not know, and then it is done."""
    async with Blog(base_url=blog.url) as api:
        await api.profile()  # a connection is there
        blog.send(signal.SIGSTOP)
        try:
            with pytest.raises(buoy.OutcomeUnknown) as caught:
                await api.add(json={"title": "late"}, deadline=0.5)
        finally:
            blog.send(signal.SIGCONT)
        found: list[Post] = []

        async def look() -> None:
            while not found:
                found.extend(await api.posts(title="late"))

        await asyncio.wait_for(look(), 20)
        await api.remove(id=found[0].id)
    error = caught.value
    assert isinstance(error.cause, buoy.TimedOut)
    assert (error.error_type, error.outcome, len(found)) == (E.TIMEOUT, Outcome.UNKNOWN, 1)
    assert error.meta is not None
    assert (error.meta.attempts, error.meta.sends) == (1, 1)
