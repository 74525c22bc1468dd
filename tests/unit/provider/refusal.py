"""How a test says that something cannot be built."""

from collections.abc import Callable

import pytest

import buoy


def refused(make: Callable[[], object], *words: str) -> str:
    """Check that making it is a configuration error whose text has all ``words``; return the text."""
    with pytest.raises(buoy.ConfigurationError) as caught:
        make()
    text = str(caught.value)
    assert [word for word in words if word not in text] == []
    return text
