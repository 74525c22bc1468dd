"""Secrets planted in all that a redirect has and meets: none is ever shown, and none reaches a foreign origin."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import buoy
from tests.integration.cli.server import unused_port
from tests.integration.http.origins import Place, Said, cut, hang, say, to
from tests.integration.test_canaries import MARK, PROBLEM, SAID, Ears, Shop, arguments, overhear, secret, told
from tests.support.telemetry import Observed

SIGNED = secret("signed")
WHERE = secret("where")
AFTER = f"{WHERE}?{WHERE}={WHERE}#{WHERE}"


class Story(NamedTuple):
    """What home and the foreign origin say, and which operation is called; ``{far}`` stands for the foreign origin."""

    home: Callable[[str], Said]
    far: tuple[Said, ...] = ()
    operation: str = "read"


def answered(status: int, body: bytes = SAID.encode(), **headers: str) -> Said:
    """Return an answer that is full of secrets."""
    return say(status, body, Set_Cookie=f"sid={secret('theirs')}", X_Secret=SAID, **headers)


def leading(location: str, status: int = 302) -> Callable[[str], Said]:
    """Return what leads there."""
    return lambda far: to(location.format(far=far), status, Set_Cookie=f"sid={secret('ours')}", X_Secret=SAID)


FAR = leading(f"{{far}}/{AFTER}")
KEPT = leading(f"{{far}}/{AFTER}", 307)
STORIES = {
    "home": Story(leading(f"/{AFTER}")),
    "home, kept": Story(leading(f"/{AFTER}", 308), operation="write"),
    "far": Story(FAR, (answered(200, b"{}"),)),
    "far, body and all": Story(KEPT, (answered(200, b"{}"),), "write"),
    "far, a see other": Story(leading(f"{{far}}/{AFTER}", 303), (answered(200, b"{}"),), "tell"),
    "far, with our key repeated": Story(leading(f"{{far}}/{WHERE}?k={SIGNED}"), (answered(200, b"{}"),)),
    "far and back": Story(FAR, (to(f"{{home}}/{AFTER}"),)),
    "far and further": Story(FAR, (to(f"/{WHERE}/2?{WHERE}"), answered(200, b"{}"))),
    "far, not found": Story(FAR, (answered(404),)),
    "far, a problem": Story(KEPT, (say(422, PROBLEM, Content_Type="application/problem+json"),), "tell"),
    "far, busy": Story(FAR, (answered(503), answered(200, b"{}"))),
    "far, throttled": Story(FAR, (answered(429, Retry_After="0"), answered(200, b"{}"))),
    "far, not JSON": Story(FAR, (answered(200),)),
    "far, a misfit": Story(FAR, (answered(200, f'{{"{SAID}": 1}}'.encode()),), "model"),
    "far, cut": Story(FAR, (cut,)),
    "far, cut after a post": Story(leading(f"{{far}}/{AFTER}", 303), (cut,), "tell"),
    "far, no HTTP": Story(FAR, (f"{SAID} {SAID}\r\n\r\n".encode(),)),
    "far, silent": Story(FAR, (hang,)),
    "far, a loop": Story(FAR, (to(f"/{AFTER}"),)),
    "nobody": Story(lambda _: leading(f"http://127.0.0.1:{unused_port()}/{AFTER}")("")),
    "nobody, after a post": Story(lambda _: leading(f"http://127.0.0.1:{unused_port()}/{AFTER}", 303)(""), (), "tell"),
    "no such host": Story(leading(f"http://shop.invalid/{AFTER}")),
    "not https": Story(leading(f"https://127.0.0.1:{unused_port()}/{AFTER}")),
    "user info": Story(leading(f"http://{SAID}:{SAID}@127.0.0.1/{AFTER}")),
    "scheme": Story(leading(f"ftp://{SAID}/{AFTER}")),
    "own scheme": Story(leading(f"{MARK}:{AFTER}")),
    "no URL": Story(leading(f"http://{SAID}%2f/{AFTER}")),
    "port": Story(leading(f"http://127.0.0.1:{SAID}/{AFTER}")),
    "too long": Story(leading("/" + SAID * 1000)),
    "a loop": Story(
        lambda _: to(f"/things/{secret('path')}?page={secret('query')}&cursor={secret('query')}&k={SIGNED}")
    ),
}


async def sign(request: buoy.Outgoing) -> None:
    """Sign by header and by query."""
    request.headers["X-Signature"] = SIGNED
    request.set_query("k", SIGNED)


def heard(place: Place) -> list[str]:
    """Return each request as the server read it."""
    return [f"{request.target} {request.headers} {request.body!r}" for request in place.received]


class Anywhere(Place):
    """Says one thing after the other, whatever the path."""

    def __init__(self, *said: Said) -> None:
        super().__init__()
        self.said = list(said)

    def _answer(self, request: Any) -> Said:
        del request
        return (self.said.pop(0) if len(self.said) > 1 else self.said[0]) if self.said else say()


class Home(Place):
    """Leads on from the paths that are called, and answers any other."""

    def __init__(self) -> None:
        super().__init__()
        self.leads: Said = say()

    def _answer(self, request: Any) -> Said:
        called = request.target.startswith(("/things/", "/models/", "/notes/"))
        return self.leads if called else say()


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_no_secret_is_shown_over_redirects(
    story: Story, observed: Observed, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """However a chain ends, nothing shows what was sent or where it led, and a foreign origin got nothing of ours."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    late = "silent" in request.node.callspec.id
    timeout = buoy.Timeout(attempt=0.1) if late else buoy.Timeout()
    async with Anywhere() as far, Home() as home:
        home.leads = story.home(far.url)
        far.said = [
            said.replace(b"{home}", home.url.encode()) if isinstance(said, bytes) else said for said in story.far
        ]
        async with Shop(
            base_url=home.url,
            auth=sign,
            cookies=True,
            sizes=buoy.Sizes(headers=30_000),
            headers={"X-Fixed": secret("fixed")},
            timeout=timeout,
        ) as shop:
            operation = getattr(shop, story.operation)
            overhear(operation, ears)
            ears.hear("object", shop, operation, operation.plan, shop._transport, shop._remote)
            given = arguments(story.operation)
            given["headers"] |= {"Cookie": f"mine={secret('mine')}"}
            await told(ears, operation.call(**given))
            ears.hear("snapshot", shop.snapshot())
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []
    assert {"call", "span", "metric", "object"} <= {where for where, _ in ears.shown}
    sent = heard(home)
    assert [
        place for place in ("header", "fixed", "path", "query", "signed", "mine") if secret(place) not in sent[0]
    ] == []
    allowed = {WHERE} | ({secret("body")} if story.home is KEPT else set())
    for text in heard(far):
        found = {word for place in (*PLACES, "where") if (word := secret(place)) in text}
        assert found <= allowed
    assert bool(story.far) == bool(far.received)


PLACES = ("query", "path", "header", "fixed", "body", "key", "signed", "mine", "ours", "theirs")


async def test_no_secret_is_shown_where_a_stream_was_led_on(
    observed: Observed, caplog: pytest.LogCaptureFixture
) -> None:
    """A stream that was led to a foreign origin and cut there shows nothing either."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    half = say(200, f'"{SAID}"\n'.encode(), Content_Length="1000", Set_Cookie=SAID)

    async def breaking(peer: Any) -> None:
        await peer.write(half)
        peer.close()

    async with Anywhere(breaking) as far, Home() as home:
        home.leads = FAR(far.url)
        async with Shop(base_url=home.url, auth=sign, cookies=True) as shop:

            async def stream() -> None:
                async with shop.read.stream(**arguments("read")) as answer:
                    ears.hear("stream", answer, answer.meta)
                    assert [item async for item in answer.json_lines()] == []

            await told(ears, stream())
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []
    assert len(far.received) == 1
    assert [place for place in PLACES if secret(place) in heard(far)[0]] == []
