"""The targets of ``make fuzz`` with a few hundred examples each, the same ones on every run."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from buoy.http.inflate import TooLargeError
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

every = pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])

# Reading a few kB takes microseconds; what takes this long takes a time that grows with the square, or worse.
SLOW = timedelta(seconds=5)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Return a strategy for inputs: seeds with something else in them, or made of words and noise only."""
    noise = st.lists(st.sampled_from(target.words) | st.binary(max_size=4), max_size=10).map(b"".join)
    place, length = st.integers(0, 1000), st.integers(0, 20)
    return noise | st.builds(_spliced, st.sampled_from(target.seeds), place, length, noise)


def _spliced(seed: bytes, place: int, length: int, noise: bytes) -> bytes:
    start = place % (len(seed) + 1)
    return seed[:start] + noise + seed[start + length :]


@every
def test_nothing_but_what_is_named_comes_out(target: Target) -> None:
    """Whatever bytes come, a parser answers in time, and with nothing but the errors that are named."""

    @settings(max_examples=300, deadline=SLOW)
    @given(inputs(target))
    def read(data: bytes) -> None:
        target(data)

    for seed in target.seeds:
        read = example(seed)(read)
    read()


@every
def test_seeds_mean_something(target: Target) -> None:
    """Seeds are read without an error, but for the one that grows too large: what is made of them starts from sense."""
    for seed in target.seeds:
        with suppress(TooLargeError):
            target.read(seed)


def test_another_error_comes_out() -> None:
    """What is not named is not held back, and a named error that repeats what was read is none of ours."""

    def read(data: bytes) -> None:
        raise ValueError(data.decode("latin-1"))

    with pytest.raises(ValueError, match="a"):
        Target(name="a", read=read, seeds=(), words=())(b"a")
    allowing = Target(name="a", read=read, allowed=(ValueError,), seeds=(), words=())
    allowing(b"a")
    with pytest.raises(AssertionError):
        allowing(b"\xff")
