"""json-server: a REST API over a JSON file, by Node.js and Express."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.servers import Server, foreign


@contextmanager
def json_server(folder: Path, tables: dict[str, Any]) -> Iterator[Server]:
    """Yield a server of these tables, and of the files below ``folder / "static"``."""
    file = folder / "db.json"
    file.write_text(json.dumps(tables), encoding="utf-8")
    (folder / "static").mkdir(exist_ok=True)
    # It reads an absolute path of pages as one below the folder where it is started.
    pages = os.path.relpath(folder / "static")
    options = ["--host", "127.0.0.1", "--static", pages, "--snapshots", str(folder), "--quiet"]
    with foreign("json-server", lambda port: [str(file), "--port", str(port), *options], folder / "log") as server:
        yield server
