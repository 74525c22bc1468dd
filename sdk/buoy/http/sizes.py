"""How large an answer may be."""

from dataclasses import dataclass

from buoy import options

_MOST = 2**40  # 1 TiB: beyond it a limit is a slip of the pen


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Limits of an answer in bytes. What is longer is not read to its end; the call fails and says which limit it was.

    ``body``: as it comes over the wire, 64 MiB; far above what JSON APIs answer, and a small part of a container's
    memory. ``decompressed``: after ``Content-Encoding`` is undone, 256 MiB, so that a body at its limit may still be
    four times as long as it came; gzip makes up to a thousandfold of it, which is what stops a zip bomb. ``headers``:
    the longest line of a header and of the status line, 8190, which is aiohttp's and Apache's. Raises
    :class:`ConfigurationError` for values out of range.
    """

    body: int = 64 * 2**20
    decompressed: int = 256 * 2**20
    headers: int = 8190

    def __post_init__(self) -> None:
        """Check the values, once, when it is built."""
        options.count("Sizes", "body", self.body, minimum=1, maximum=_MOST)
        options.count("Sizes", "decompressed", self.decompressed, minimum=1, maximum=_MOST)
        # Below 256 bytes no usual answer could be read; beyond 1 MiB it is no header any more.
        options.count("Sizes", "headers", self.headers, minimum=256, maximum=2**20)
