"""aioresponses, made to work with aiohttp 3.14 and with what Buoy hands to a session. Imported when it is asked for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import aiohttp

from buoy.testing.apart import undeclared

if TYPE_CHECKING:
    import aioresponses as library


@contextmanager
def aioresponses(
    *, passthrough: Sequence[str] = (), passthrough_unmatched: bool = False
) -> "Iterator[library.aioresponses]":
    """Answer by URL what any aiohttp session of the process asks for; yields aioresponses' own object.

    ``passthrough`` are the beginnings of URLs that are really asked. Raises ``ModuleNotFoundError`` where the package
    is missing. Inside the block no provider is declared yet, as in that of a scripted provider.
    """
    core = _core()
    recording = _recording(core.aioresponses)
    with (
        undeclared(),
        mock.patch.object(core, "ClientResponse", _Response),
        recording(passthrough=list(passthrough), passthrough_unmatched=passthrough_unmatched) as mocked,
    ):
        yield mocked


class _Written:
    """Stands in for the writer of a request that was never written."""

    output_size = 0


class _Response(aiohttp.ClientResponse):
    """aiohttp's answer, for whose constructor aioresponses 0.7.9 does not yet know an argument (aioresponses#289)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", _Written())
        super().__init__(*args, **kwargs)


def _core() -> Any:
    try:
        from aioresponses import core  # noqa: PLC0415 - a package for tests, which most who use Buoy do not have
    except ModuleNotFoundError:
        raise ModuleNotFoundError("aioresponses is not installed; pip install 'buoy[testing]' brings it") from None
    return core


def _recording(kind: Any) -> "type[library.aioresponses]":
    class Recording(kind):  # type: ignore[misc]  # known only when it is needed
        """Keeps of a request what it asks for. It copies all that it keeps, deeply: with the call, a whole loop."""

        def _build_request_call(self, *args: Any, **kwargs: Any) -> Any:
            kwargs.pop("middlewares", None)
            return super()._build_request_call(*args, **kwargs)

    return Recording
