"""Secrets planted in request bodies of every kind and in answers that pass a limit: none is ever shown."""

import io
import logging
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import buoy
from tests.integration.test_canaries import AT_ONCE, SAID, Ears, overhear, secret, told
from tests.support.faults import FaultyServer, Peer, Step, answer, close_read, endless, hang, message, say
from tests.support.telemetry import Observed

SENT = secret("body")


class Shop(buoy.Provider, retry=AT_ONCE, breaker=None, timeout=buoy.Timeout(total=5, first_byte=0.05)):
    """Writes, repeatable and not, with small limits for what is answered."""

    sizes = buoy.Sizes(body=10_000, decompressed=20_000)

    write = buoy.post("/things", key_header="Idempotency-Key")
    tell = buoy.post("/notes")


async def pieces() -> AsyncIterator[bytes]:
    """Give a secret in pieces."""
    yield SENT.encode()
    yield SENT.encode()


async def failing() -> AsyncIterator[bytes]:
    """Give a secret, and fail with another one."""
    yield SENT.encode()
    raise LookupError(secret("fault"))


def refusing() -> Any:
    """Fail with a secret before there is a body."""
    raise LookupError(secret("fault"))


def path_of(folder: Path) -> Path:
    """Return a file whose name and content are secrets."""
    path = folder / f"{secret('file')}.csv"
    path.write_text(SENT)
    return path


def form_of(folder: Path) -> buoy.Multipart:
    """Return a form with a secret in every place."""
    file = buoy.File(SENT, filename=secret("file"), content_type=f"text/{secret('file')}")
    files = {secret("field"): file, "path": path_of(folder), "file": io.BytesIO(SENT.encode()), "made": pieces}
    return buoy.Multipart(fields={secret("field"): SENT}, files=files)


BODIES: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda _: SENT.encode(),
    "text": lambda _: SENT,
    "form": lambda _: {secret("field"): SENT},
    "compressed": lambda _: SENT * 1000,
    "path": path_of,
    "file": lambda _: io.BytesIO(SENT.encode()),
    "iterator": lambda _: pieces(),
    "factory": lambda _: pieces,
    "multipart": form_of,
}

PACKED = zlib.compressobj(wbits=31)
BOMB = PACKED.compress(SAID.encode() * 10_000) + PACKED.flush()

# Each happens on every connection.
STORIES: dict[str, Step] = {
    "success": answer(201, f'"{SAID}"'.encode()),
    "rejected": answer(422, SAID.encode()),
    "busy": answer(503, SAID.encode()),
    "cut": close_read,
    "silent": hang,
    "too long": say(message(200, SAID.encode(), {}, length=10_001)),
    "too long in pieces": endless(b"HTTP/1.1 200 OK\r\n\r\n", SAID.encode() * 10),
    "a bomb": say(message(200, BOMB, {"Content-Encoding": "gzip"})),
    "a bomb and an error": say(message(500, BOMB, {"Content-Encoding": "gzip"})),
    "broken gzip": say(message(200, SAID.encode(), {"Content-Encoding": "gzip"})),
    "another coding": say(message(200, SAID.encode(), {"Content-Encoding": f"br, {SAID}"})),
    "an error that was cut": say(message(404, SAID.encode(), {}, length=1000), end=Peer.close),
    "a long header": say(message(200, b"{}", {"X-Odd": SAID * 1000})),
}


# Every story with a body that has all the others in it, and every body with one story.
CASES = [*((story, "multipart") for story in STORIES), *(("rejected", body) for body in BODIES if body != "multipart")]


@pytest.mark.parametrize("operation", ["write", "tell"])
@pytest.mark.parametrize(("story", "body"), CASES)
async def test_no_secret_of_a_body_is_shown(  # noqa: PLR0917  # a table, and fixtures
    story: str,
    body: str,
    operation: str,
    tmp_path: Path,
    observed: Observed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However a call with a body ends, nothing of what was sent or answered is in what it shows."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    async with FaultyServer(*[[STORIES[story]]] * 3) as server, Shop(base_url=server.url, compress=1000) as shop:
        bound, data = getattr(shop, operation), BODIES[body](tmp_path)
        overhear(bound, ears)
        await told(ears, bound.call(data=data))
        sent = b"".join(received.body for received in server.received)
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []
    assert SENT.encode() in sent or b"\x1f\x8b" in sent
    assert {"call", "span", "metric"} <= {where for where, _ in ears.shown}


FAULTS: dict[str, Callable[[Path], Any]] = {
    "an iterator that fails": lambda _: failing(),
    "a part that fails": lambda _: buoy.Multipart(files={secret("field"): failing()}),
    "a factory that fails": lambda _: refusing,
    "a file that is not there": lambda folder: folder / secret("file"),
    "a part that is not there": lambda folder: buoy.Multipart(files={secret("field"): folder / secret("file")}),
}


@pytest.mark.parametrize("body", FAULTS.values(), ids=FAULTS)
async def test_what_a_source_raises_is_for_the_caller_only(
    body: Callable[[Path], Any], tmp_path: Path, observed: Observed, caplog: pytest.LogCaptureFixture
) -> None:
    """The exception of the caller's own code passes with its text, which is in no span, log or metric."""
    ears = Ears()
    caplog.set_level(logging.DEBUG)
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        overhear(shop.write, ears)
        with pytest.raises((LookupError, FileNotFoundError), match="c4n4ry"):
            await shop.write(data=body(tmp_path))
    ears.hear_telemetry(observed)
    ears.hear_logs(caplog.records)
    assert ears.secrets() == []
    assert {"call", "span", "log"} <= {where for where, _ in ears.shown}


def nonsense(folder: Path) -> list[Any]:
    """Return bodies that cannot be sent, a secret in each."""
    return [
        [SENT],
        LookupError(SENT),
        lambda: [SENT],
        buoy.Multipart(fields={f"{secret('field')}\n": 1}),
        buoy.Multipart(fields={"a": f"{SENT}\ud800"}),
        buoy.Multipart(files={"a": buoy.File(SENT, filename=f"{secret('file')}\n")}),
        buoy.Multipart(files={"a": buoy.File(SENT, content_type=f"{secret('file')}\n")}),
        buoy.Multipart(files={"a": {SENT: SENT}}),
        io.StringIO(SENT),
        folder / "none",
    ]


async def test_no_secret_is_shown_by_bodies_that_cannot_be_sent(tmp_path: Path) -> None:
    """What refuses a body says its kind, and nothing that is in it; nor do its own reprs."""
    ears = Ears()
    async with FaultyServer() as server, Shop(base_url=server.url) as shop:
        for body in nonsense(tmp_path):
            with pytest.raises((TypeError, ValueError, OSError)) as caught:
                await shop.write(data=body)
            ears.hear_error(caught.value)
    ears.hear("object", form_of(tmp_path), buoy.File(SENT))
    assert [text for _, text in ears.secrets() if str(tmp_path) not in text] == []
    assert server.connections == []
