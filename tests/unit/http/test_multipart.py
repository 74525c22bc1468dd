"""Forms with files: what a server reads out of them is what was given, and each send has a form of its own."""

import asyncio
import io
from collections.abc import AsyncIterator
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buoy.http.multipart import File, Multipart
from buoy.http.payload import prepare
from buoy.http.upload import Opened
from tests.unit.http.receiver import Got, Receiver

OWNER = "shop products.upload"
CANARY = "canary-0b6d"


class Read(NamedTuple):
    """One part as a server reads it."""

    name: str
    value: bytes
    filename: str | None = None
    content_type: str | None = None


def parts(got: Got) -> list[Read]:
    """Take a form apart by the standard library, which knows nothing of aiohttp."""
    content_type = got.headers["Content-Type"]
    boundary = content_type.partition("boundary=")[2].encode()
    assert got.body.endswith(b"--" + boundary + b"--\r\n")
    read = []
    for part in got.body.split(b"--" + boundary)[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        kind, *pairs = headers.pop("Content-Disposition").split("; ")
        assert kind == "form-data"
        said = dict(pair.split("=", 1) for pair in pairs)
        assert set(said) <= {"name", "filename"}
        filename = said.get("filename")
        read.append(
            Read(
                said["name"][1:-1],
                value[:-2],
                None if filename is None else filename[1:-1],
                headers.pop("Content-Type", None),
            )
        )
        assert headers == {}
    return read


async def sent(data: Any, times: int = 1) -> list[Got]:
    """Send a form and return what came."""
    payload = prepare(OWNER, data=data)
    async with Receiver() as receiver:
        for _ in range(times):
            await receiver.send(payload)
        return receiver.got


async def test_fields_are_written_as_browsers_do() -> None:
    """Each field is one part without a type; true, false and numbers are as in JSON, lists repeat, None is left out."""
    fields: dict[str, Any] = {
        "a": "é",
        "n": 7,
        "f": 1.5,
        "t": True,
        "b": b"\0\xff",
        "none": None,
        "l": ["1", 2, None],
        "e": "",
    }
    (got,) = await sent(Multipart(fields=fields))
    assert [
        Read("a", "é".encode()),
        Read("n", b"7"),
        Read("f", b"1.5"),
        Read("t", b"true"),
        Read("b", b"\0\xff"),
        Read("l", b"1"),
        Read("l", b"2"),
        Read("e", b""),
    ] == parts(got)
    assert int(got.framing) == len(got.body)


async def test_files_come_with_name_and_type(tmp_path: Path) -> None:
    """A file has its own name without folders, or the part's, and the type that its name tells unless one is given."""
    path = tmp_path / "photo.png"
    path.write_bytes(b"png")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"

    with path.open("rb") as file:
        files = {
            "path": path,
            "file": file,
            "bytes": b"raw",
            "text": File("words", filename="a.txt"),
            "typed": File(b"{}", filename="x.png", content_type="application/json"),
            "memory": io.BytesIO(b"memory"),
            "stream": File(pieces, filename="s.bin"),
            "nothing": File(lambda: None),
            "several": [b"1", File(b"2", filename="2.csv")],
        }
        (got,) = await sent(Multipart(files=files))
    octets = "application/octet-stream"
    assert [
        Read("path", b"png", "photo.png", "image/png"),
        Read("file", b"png", "photo.png", "image/png"),
        Read("bytes", b"raw", "bytes", octets),
        Read("text", b"words", "a.txt", "text/plain"),
        Read("typed", b"{}", "x.png", "application/json"),
        Read("memory", b"memory", "memory", octets),
        Read("stream", b"piece", "s.bin", octets),
        Read("nothing", b"", "nothing", octets),
        Read("several", b"1", "several", octets),
        Read("several", b"2", "2.csv", "text/csv"),
    ] == parts(got)
    assert got.framing == "chunked"


async def test_each_send_has_a_form_of_its_own(tmp_path: Path) -> None:
    """A form can be sent again, with the same content, a boundary of its own and a length that fits."""
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * 3_000_000)
    form = Multipart(fields={"a": "1"}, files={"f": path, "g": File(b"y" * 2_000_000)})
    first, second = await sent(form, 2)
    assert parts(first) == parts(second)
    assert first.headers["Content-Type"] != second.headers["Content-Type"]
    for got in (first, second):
        assert int(got.framing) == len(got.body)


async def test_a_form_is_read_by_others() -> None:
    """The standard library's mail parser finds the same parts."""
    (got,) = await sent(Multipart(fields={"a": "1"}, files={"f": File(b"\r\n--x\r\n", filename="n.bin")}))
    message = BytesParser(policy=HTTP).parsebytes(
        f"Content-Type: {got.headers['Content-Type']}\r\n\r\n".encode() + got.body
    )
    assert [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in message.iter_parts()
    ] == [("a", None, b"1"), ("f", "n.bin", b"\r\n--x\r\n")]


async def test_names_cannot_break_out() -> None:
    """Quotes are escaped as browsers do, and other characters are as they are, in UTF-8."""
    name = 'a"; filename="x'
    (got,) = await sent(Multipart(fields={name: "1", "é;=": "2"}, files={'"f"': File(b"", filename='é".txt')}))
    assert b'name="a%22; filename=%22x"\r\n' in got.body
    assert 'name="é;="\r\n'.encode() in got.body
    assert 'name="%22f%22"; filename="é%22.txt"\r\n'.encode() in got.body


async def test_a_form_is_replayable_where_all_of_it_is() -> None:
    """One part that can be sent once makes the form one that can be sent once."""

    async def once() -> AsyncIterator[bytes]:
        yield b"once"

    again = prepare(OWNER, data=Multipart(fields={"a": 1}, files={"f": b"x"}))
    assert (again.replayable, again.spent) == (True, False)
    single = prepare(OWNER, data=Multipart(fields={"a": 1}, files={"f": once()}))
    assert (single.replayable, single.spent) == (False, False)
    async with Receiver() as receiver:
        await receiver.send(single)
    assert (single.replayable, single.spent) == (False, True)
    with pytest.raises(TypeError, match=f"{OWNER}: the body can be sent once"):
        await single.open()


async def test_an_empty_form_is_a_form() -> None:
    """Without any parts there is still the end."""
    (got,) = await sent(Multipart())
    assert parts(got) == []


@pytest.mark.parametrize(
    ("fields", "files", "error", "message"),
    [
        ({"a": object()}, {}, TypeError, "field 'a' must be str, int, float, bool, bytes, None or a list of them, not"),
        ({"a": {"b": CANARY}}, {}, TypeError, "field 'a' must be .* not dict"),
        ({"a": [["b"]]}, {}, TypeError, "field 'a' must be .* not list"),
        ({"a": File(b"x")}, {}, TypeError, "field 'a' must be .* not File"),
        ({"a": "\ud800"}, {}, ValueError, "field 'a' has a lone surrogate"),
        ({f"{CANARY}\n": "x"}, {}, ValueError, "the name of a field must be a str without control"),
        ({7: "x"}, {}, ValueError, "the name of a field must be a str"),
        ({}, {"\0": b"x"}, ValueError, "the name of a file must be a str without control"),
        ({}, {"a": File(b"", filename="x\r\nX: 1")}, ValueError, "a file name must be a str without"),
        ({}, {"a": File(b"", filename="\ud800")}, ValueError, "a file name must be a str without"),
        ({}, {"a": File(b"", content_type="x\r\nX: 1")}, ValueError, "the content type of a file must be"),
        ({}, {"a": None}, TypeError, "file 'a' cannot be made of NoneType"),
        ({}, {"a": {"b": CANARY}}, TypeError, "file 'a' cannot be made of dict"),
        ({}, {"a": Multipart()}, TypeError, "file 'a' cannot be made of Multipart"),
        ({}, {"a": 7}, TypeError, "the body must be .* not int"),
        ({}, {"a": io.StringIO(CANARY)}, TypeError, "the file of the body was opened as text"),
    ],
    ids=range(16),
)
def test_what_cannot_be_a_part_is_refused(fields: Any, files: Any, error: type[Exception], message: str) -> None:
    """A name, type or value that cannot be sent is told by the operation before anything is sent, and not shown."""
    with pytest.raises(error, match=f"^{OWNER}: {message}") as caught:
        prepare(OWNER, data=Multipart(fields=fields, files=files))
    assert CANARY not in str(caught.value)


def test_a_form_is_no_text_for_logs() -> None:
    """Neither values nor contents are part of a repr."""
    form = Multipart(fields={"a": CANARY, "b": 1}, files={"f": File(CANARY, filename="f.txt")})
    assert repr(form) == "<Multipart: fields 2, files 1>"
    assert repr(form.files["f"]) == "File(filename='f.txt', content_type=None)"


class Wire:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent = b""

    async def write(self, piece: bytes) -> None:
        """Take one piece."""
        self.sent += piece


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters='";'), min_size=1, max_size=10
)
contents = st.binary(max_size=30).filter(lambda content: b"--" not in content)


@given(st.dictionaries(names, contents, max_size=4), st.dictionaries(names, st.tuples(names, contents), max_size=4))
def test_whatever_is_given_is_what_a_server_reads(
    fields: dict[str, bytes], files: dict[str, tuple[str, bytes]]
) -> None:
    """For all names and contents: the parts come out as they went in, and the length is the one that was told."""
    form = Multipart(
        fields=fields, files={name: File(content, filename=file) for name, (file, content) in files.items()}
    )

    async def written() -> tuple[Opened, bytes]:
        opened = await prepare(OWNER, data=form).open()
        wire = Wire()
        await opened.body.write(wire)
        return opened, wire.sent

    opened, body = asyncio.run(written())
    assert len(body) == opened.body.size
    got = [(part.name, part.value, part.filename) for part in parts(Got(opened.body.headers, body))]
    expected: list[tuple[str, bytes, str | None]] = [(name, value, None) for name, value in fields.items()]
    assert expected + [(name, content, file) for name, (file, content) in files.items()] == got
