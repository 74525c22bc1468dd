"""The entry point: commands, options, exit codes. Nothing here reaches a network."""

import asyncio
import builtins
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import buoy
from buoy import Retry, Timeout, __version__
from buoy.cli import call, main


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that parses ``buoy call`` arguments with the command itself left out."""
    seen: list[Any] = []

    def keep(args: Any) -> int:
        seen.append(args)
        return 0

    monkeypatch.setattr(call, "main", keep)

    def parse(*argv: str) -> Any:
        assert main(["call", *argv]) == 0
        return seen.pop()

    return parse


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """``buoy --version`` names the version and succeeds."""
    assert main(["--version"]) == 0
    assert f"buoy {__version__}\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [(["--help"], ["call", "demo"]), (["call", "--help"], ["URL", "--header", "--show-query", "--attempts"])],
    ids=["buoy", "call"],
)
def test_help_succeeds(argv: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help is on standard output and names what there is."""
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert [word for word in words if word not in out] == []


def test_arguments_come_from_the_process_where_none_are_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The installed command calls ``main()`` without arguments."""
    monkeypatch.setattr(sys, "argv", ["buoy", "--version"])
    assert main() == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "buoy call URL"),
        (["https://CANARY.example/"], "buoy call URL"),
        (["--CANARY"], "needs a command"),
        (["call"], "URL"),
        (["call", "CANARY"], "http:// or https://"),
        (["call", "http://user:CANARY@h/"], "--header"),
        (["call", "http://h/", "--header", "CANARY"], "'Name: value'"),
        (["call", "http://h/", "--header", ": CANARY"], "'Name: value'"),
        (["call", "http://h/", "--header", "CANARY CANARY: x"], "'Name: value'"),
        (["call", "http://h/", "--header", "X-A: CANARY\r\nX-B: 1"], "control character"),
        (["call", "http://h/", "--header", "Content-Length: 5"], "set by the transport"),
        (["call", "http://h/", "--header", "transfer-encoding: chunked"], "set by the transport"),
        (["call", "http://h/", "--header", "Authorization:", "Bearer", "CANARY"], "quotes"),
        (["call", "http://h/", "--method", "CANARY"], "GET, HEAD"),
        (["call", "http://h/", "--attempts", "0"], "1 to 20"),
        (["call", "http://h/", "--attempts", "21"], "1 to 20"),
        (["call", "http://h/", "--attempts", "CANARY"], "1 to 20"),
        (["call", "http://h/", "--timeout", "0"], "above 0"),
        (["call", "http://h/", "--timeout", "-1"], "above 0"),
        (["call", "http://h/", "--timeout", "nan"], "above 0"),
        (["call", "http://h/", "--timeout", "inf"], "above 0"),
        (["call", "http://h/", "--timeout", "CANARY"], "above 0"),
        (["call", "http://h/", "--data", "@/CANARY/none"], "No such file"),
        (["call", "http://h/", "--data", "@\0CANARY"], "ValueError"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_wrong(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message is on standard error, says what is allowed, and never repeats what was given."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "CANARY" not in err


def test_an_exit_without_a_number_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that leaves by ``sys.exit("text")`` did not succeed."""

    def leave(_: Any) -> int:
        sys.exit("text")

    monkeypatch.setattr(call, "main", leave)
    assert main(["call", "http://h/"]) == 1


def test_an_interrupt_before_the_call_began_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no story to tell yet, and no traceback either."""

    def interrupted(main: Any) -> None:
        main.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupted)
    assert main(["call", "http://h/"]) == 130
    assert capsys.readouterr() == ("", "buoy: interrupted\n")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the demo cannot be imported, the message says what to install."""
    real = builtins.__import__

    def without_rich(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  # the names of __import__
        locals: Mapping[str, Any] | None = None,  # noqa: A002  # the same
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:
        root = name.partition(".")[0]
        if root in {"rich", "opentelemetry"} or name.startswith("buoy.cli.demo."):
            raise ModuleNotFoundError(name=root)
        return real(name, globals, locals, fromlist, level)

    for module in [name for name in sys.modules if name.startswith("buoy.cli.demo")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(builtins, "__import__", without_rich)
    assert main(["demo"]) == 1
    assert "pip install 'buoy[otel,cli]'" in capsys.readouterr().err


def test_the_demo_is_imported_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """``buoy demo`` hands its own arguments to the demo and returns its exit code; nothing else touches it."""
    demo = SimpleNamespace(
        add_arguments=lambda parser: parser.add_argument("--seed", type=int),
        main=lambda args: args.seed,
    )
    monkeypatch.setitem(sys.modules, "buoy.cli.demo.run", None)
    assert main(["call", "--help"]) == 0
    monkeypatch.setitem(sys.modules, "buoy.cli.demo.run", demo)
    assert main(["demo", "--seed", "7"]) == 7


def test_defaults(parsed: Any) -> None:
    """Three tries in thirty seconds, no header, no body, and a method that follows from that."""
    args = parsed("http://h/")
    assert (Retry(), Timeout(), [], None, None) == (args.attempts, args.timeout, args.header, args.data, args.method)


def test_one_call_has_no_breaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tries that were asked for are made: a breaker would stop after ten that failed."""
    given: dict[str, Any] = {}

    def provider(name: str, **options: Any) -> Any:
        given.update(options, name=name)
        raise LookupError

    monkeypatch.setattr(buoy, "Provider", provider)
    with pytest.raises(LookupError):
        main(["call", "http://h/", "--attempts", "20"])
    assert (Retry(max_attempts=20), None) == (given["retry"], given["breaker"])


def test_options_become_policies(parsed: Any) -> None:
    """``--attempts`` and ``--timeout`` are the SDK's own policies, checked by them."""
    args = parsed("http://h/", "--attempts", "20", "--timeout", "0.5", "--method", "put")
    assert (Retry(max_attempts=20), Timeout(total=0.5), "PUT") == (args.attempts, args.timeout, args.method)


@pytest.mark.parametrize(
    ("text", "content", "content_type"),
    [
        ('{"a": 1}', b'{"a": 1}', "application/json"),
        ("[1]", b"[1]", "application/json"),
        ("1", b"1", "text/plain; charset=utf-8"),
        ("a=1", b"a=1", "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        ("\udcff", b"\xff", "text/plain; charset=utf-8"),
        ("[" * 100_000, b"[" * 100_000, "text/plain; charset=utf-8"),
    ],
    ids=["object", "array", "number", "form", "empty", "not utf-8", "deep"],
)
def test_a_body_from_the_command_line(text: str, content: bytes, content_type: str, parsed: Any) -> None:
    """The bytes are what was typed; a JSON object or array is declared as such."""
    body = parsed("http://h/", "--data", text).data
    assert (content, content_type) == (body.content, body.content_type)
    assert "content=" not in repr(body)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b'{"a":1}', "application/json"), (b"\x00\xff", "application/octet-stream")],
    ids=["json", "bytes"],
)
def test_a_body_from_a_file(content: bytes, content_type: str, tmp_path: Path, parsed: Any) -> None:
    """``@FILE`` sends the bytes of the file."""
    (tmp_path / "body").write_bytes(content)
    body = parsed("http://h/", "--data", f"@{tmp_path / 'body'}").data
    assert (content, content_type) == (body.content, body.content_type)


def test_a_body_from_standard_input(monkeypatch: pytest.MonkeyPatch, parsed: Any) -> None:
    """``@-`` sends what comes in."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff piped")))
    assert parsed("http://h/", "--data", "@-").data.content == b"\xff piped"
