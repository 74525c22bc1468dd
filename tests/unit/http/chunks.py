"""A body in chunks, fed to a decoder: what it gives must not depend on where the body was cut."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from buoy.http.body import MisfitError

T_co = TypeVar("T_co", covariant=True)

anywhere = st.lists(st.integers(min_value=0, max_value=10**6), max_size=12)


class Decoder(Protocol[T_co]):
    """What all decoders of streamed bodies have."""

    def feed(self, chunk: bytes, /) -> Iterator[T_co]:
        """Give what the chunk completes."""

    def finish(self) -> Iterator[T_co]:
        """Give what the end completes."""


def outcome(decoder: Decoder[T_co], body: bytes, cuts: Iterable[int]) -> tuple[list[T_co], str | None]:
    """Return what came out of a body that was cut at these places, and the words of the error that ended it."""
    got: list[T_co] = []
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    try:
        for start, end in pairwise(places):
            for item in decoder.feed(body[start:end]):
                got.append(item)  # noqa: PERF402  # what came before an error counts
        for item in decoder.finish():
            got.append(item)  # noqa: PERF402  # the same
    except MisfitError as misfit:
        return got, f"{misfit.reason}: {misfit.text}"
    return got, None
