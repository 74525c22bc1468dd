"""Attributes that need no cleaning, and a type that says so."""

from opentelemetry.util.types import AttributeValue


class Plain(dict[str, AttributeValue]):
    """Attributes that Buoy itself made: the keys are names, the values exactly ``str``, ``bool``, ``int`` or ``float``.

    Who is handed one may keep it as it is: it does not change any more.
    """

    __slots__ = ()
