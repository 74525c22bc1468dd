"""The servers that several modules call: each is started once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.json_server import json_server
from tests.support.localstripe import localstripe
from tests.support.nginx import Nginx, nginx
from tests.support.servers import Server, running


@pytest.fixture(scope="session")
def datasette(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start datasette over twenty rows."""
    folder = tmp_path_factory.mktemp("datasette")
    with closing(sqlite3.connect(folder / "shop.db")) as database, database:
        database.execute("create table products (id integer primary key, name text not null, price real)")
        rows = [(number, f"product {number}", number + 0.5) for number in range(1, 21)]
        database.executemany("insert into products values (?, ?, ?)", rows)
    with running(
        lambda port: ["-m", "datasette", "serve", str(folder / "shop.db"), "--host", "127.0.0.1", "--port", str(port)],
        folder / "log",
    ) as address:
        yield address


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start moto's server."""
    log = tmp_path_factory.mktemp("moto") / "log"
    with running(lambda port: ["-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)], log) as address:
        yield address


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Start nginx."""
    with nginx(tmp_path_factory.mktemp("nginx")) as started:
        yield started


@pytest.fixture(scope="session")
def stripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start localstripe."""
    with localstripe(tmp_path_factory.mktemp("localstripe")) as address:
        yield address


@pytest.fixture(scope="session")
def blog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start json-server over thirty posts, and a folder of pages."""
    folder = tmp_path_factory.mktemp("json-server")
    (folder / "static" / "pages").mkdir(parents=True)
    (folder / "static" / "pages" / "index.html").write_text("all pages", encoding="utf-8")
    posts = [{"id": number, "title": f"post {number}", "author": "somebody"} for number in range(1, 31)]
    with json_server(folder, {"posts": posts, "comments": [], "profile": {"name": "blog"}}) as server:
        yield server
