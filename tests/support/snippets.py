"""Runs the Python examples of a page, against a server that stands in for the hosts they name.

The blocks of a page are executed in their order, in one namespace and one process; `await` may stand at top level.
A comment above a block says what is special about it:

    <!-- example: NAME -->      the site NAME of SITES stands in for its host, where another one would by default
    <!-- not run: REASON -->    the block is compiled only, and the test shows the reason

`python -m tests.support.snippets PAGE SERVER` runs one page. What an example prints is shown; what it raises ends it.
"""

import ast
import asyncio
import inspect
import json
import re
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = re.compile(
    r"(?:<!--[ ]*(?P<kind>example|not[ ]run):[ ]*(?P<text>[^\n]*?)[ ]*-->\s*)?"
    r"^[ ]*```(?:python|py)\b[^\n]*\n(?P<code>.*?)^[ ]*```[ ]*$",
    re.DOTALL | re.MULTILINE,
)


class Answer(NamedTuple):
    """What the stand-in says to one request."""

    body: Any = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Site(NamedTuple):
    """A host that examples name, and its answers by method and path. Of several answers the last one is repeated."""

    base: str
    answers: dict[str, tuple[Answer, ...]]


# The first site of a host stands in for it wherever no comment names another.
SITES = {
    "github": Site(
        "https://api.github.com",
        {"GET /repos/python/cpython": (Answer({"full_name": "python/cpython", "stargazers_count": 70_000}),)},
    ),
    "github-flaky": Site(
        "https://api.github.com",
        {
            "GET /repos/python/cpython": (
                Answer({"message": "try again"}, 503, (("Retry-After", "0"),)),
                Answer({"full_name": "python/cpython", "stargazers_count": 70_000}),
            )
        },
    ),
    "shop": Site(
        "https://api.shop.example",
        {
            "GET /v2/products/7": (Answer({"id": "7", "name": "buoy", "price": 12.5}),),
            "POST /v2/products": (Answer({"id": "8", "name": "bell", "price": 3.0}, 201),),
            "GET /v2/moved": (Answer(status=302, headers=(("Location", "products/7"),)),),
            "GET /v2/lost": (Answer(status=302, headers=(("Location", "ftp://files.shop.example/7"),)),),
            "PUT /v2/products/7/photo": (Answer({"stored": True}),),
            "POST /v2/imports": (Answer({"rows": 2}, 202),),
            "POST /v2/login": (
                Answer(status=303, headers=(("Location", "products/7"), ("Set-Cookie", "sid=1; Path=/"))),
            ),
            "GET /v2/products/rows": (Answer(b'{"id": "7", "price": 12.5}\n{"id": "8", "price": 3.0}\n'),),
            "POST /v2/answers": (Answer(b'id: 1\ndata: {"text": "A buoy"}\n\nid: 2\ndata: {"text": " floats."}\n\n'),),
            "GET /v2/search": (
                Answer([], headers=(("RateLimit-Policy", '"day";q=1000;w=86400'), ("RateLimit", '"day";r=999;t=3600'))),
            ),
        },
    ),
    "shop-down": Site(
        "https://api.shop.example",
        {
            "GET /v2/products/7": (Answer({"title": "down for maintenance"}, 503),),
            "POST /v2/products": (Answer({"title": "down for maintenance"}, 503),),
        },
    ),
}


class Example(NamedTuple):
    """One block of a page."""

    line: int
    code: str
    site: str = ""
    not_run: str = ""


def examples(page: Path) -> list[Example]:
    """Return the Python blocks of ``page`` in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Example(
            line=text.count("\n", 0, found.start("code")) + 1,
            code=textwrap.dedent(found["code"]),
            site=found["text"] if found["kind"] == "example" else "",
            not_run=found["text"] if found["kind"] == "not run" else "",
        )
        for found in BLOCK.finditer(text)
    ]


def compiled(page: Path, example: Example, server: str = "") -> types.CodeType:
    """Return the code of ``example``, with the lines of its page, calling ``server`` in place of the hosts it names."""
    code = example.code
    for name, site in _sites(example.site).items():
        code = code.replace(site.base, f"{server}/{name}")
    code = "\n" * (example.line - 1) + code
    top_level_await = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    result: types.CodeType = compile(code, str(page), "exec", flags=top_level_await, dont_inherit=True)
    return result


def _sites(named: str) -> dict[str, Site]:
    """Return one site for each host: the one named, else the first."""
    chosen: dict[str, tuple[str, Site]] = {SITES[named].base: (named, SITES[named])} if named else {}
    for name, site in SITES.items():
        chosen.setdefault(site.base, (name, site))
    return dict(chosen.values())


def run(page: Path, server: str) -> None:
    """Execute the examples of ``page`` in one namespace, as a program would."""
    program = types.ModuleType("__main__")
    sys.modules["__main__"] = program  # so that what looks up a class by its module finds it
    with asyncio.Runner() as runner:
        for example in examples(page):
            code = compiled(page, example, server)
            if example.not_run:
                continue
            print(f"{page}:{example.line}", flush=True)
            result = eval(code, program.__dict__)  # noqa: S307 - our own pages
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(result)


@contextmanager
def standing_in() -> Iterator[str]:
    """Serve SITES on a free port, each below its name, and take whatever telemetry is sent; yield the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler() -> type[BaseHTTPRequestHandler]:
    """Return a handler with answers of its own: what one test has used up is there for the next."""
    left = {f"{name} {route}": list(answers) for name, site in SITES.items() for route, answers in site.answers.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.read_body()
            name, _, path = self.path.partition("?")[0].removeprefix("/").partition("/")
            answers = left.get(f"{name} {self.command} /{path}", [Answer({"message": "not found"}, 404)])
            if name == "v1":  # OTLP
                answers = [Answer({})]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for header, value in (("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
                self.send_header(header, value)
            for header, value in answer.headers:
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body)

        def read_body(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    self.rfile.read(size + 2)
                self.rfile.readline()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names http.server looks for

        def log_message(self, *_: object) -> None:
            """Stay silent: what matters is what the example sees."""

    return Handler


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
