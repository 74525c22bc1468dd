"""localstripe in a process and an environment of its own: Stripe's API, with objects that it really keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import foreign

# Its own start() listens on every address of the machine and keeps its objects in a file that all its users share.
_START = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda store: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@contextmanager
def localstripe(folder: Path) -> Iterator[str]:
    """Yield the base URL of a server without objects."""
    with foreign("localstripe", lambda port: ["-I", "-c", _START, str(port)], folder / "log") as server:
        yield server.url
