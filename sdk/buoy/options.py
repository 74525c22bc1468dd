"""How an option's value is checked when a thing is built: the message names the option, the value and the range."""

import re
from math import isfinite
from typing import Any

from buoy.errors import ConfigurationError


class Inherit:
    """The default of an option that is the provider's unless given; ``None`` would switch it off."""

    def __repr__(self) -> str:
        return "<the provider's>"


INHERIT = Inherit()

NAME = re.compile(r"[a-z][a-z0-9_.]{0,47}")


def seconds(owner: str, option: str, value: object, *, zero: bool = False, maximum: float | None = None) -> float:
    """Return ``value`` as a finite number of seconds, above 0 (or from 0 on) and at most ``maximum``."""
    low = "0 or more" if zero else "above 0"
    allowed = f"a number of seconds, {low}" + ("" if maximum is None else f" and at most {maximum:g}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise wrong(owner, option, value, allowed)
    if value < 0 or (value == 0 and not zero) or (maximum is not None and value > maximum):
        raise wrong(owner, option, value, allowed)
    return float(value)


def count(owner: str, option: str, value: object, *, minimum: int, maximum: int) -> int:
    """Return ``value`` as an integer from ``minimum`` to ``maximum``."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise wrong(owner, option, value, f"an integer from {minimum} to {maximum}")
    return value


def name(owner: str, option: str, value: object) -> str:
    """Return ``value`` as a declared name: it becomes a telemetry attribute, so its alphabet is closed."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise wrong(owner, option, value, "a name like 'products.get': [a-z][a-z0-9_.]{0,47}")
    return value


def instance(owner: str, option: str, value: object, kind: type[Any], *, optional: bool = True) -> None:
    """Refuse a ``value`` that is not a ``kind`` (or ``None``, which switches the thing off)."""
    if isinstance(value, kind) or (optional and value is None):
        return
    raise wrong(owner, option, value, f"a {kind.__name__}" + (" or None" if optional else ""))


def wrong(owner: str, option: str, value: object, allowed: str) -> ConfigurationError:
    """Return the error that says what was given where, and what is allowed."""
    return ConfigurationError(f"{owner}: {option}={value!r} is not allowed; it must be {allowed}.")
