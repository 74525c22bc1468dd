"""Credentials, and how they are put on a request. No secret is part of any repr."""

import re
from typing import Protocol

from buoy.errors import ConfigurationError

# RFC 6750 section 2.1 (b64token), and what providers really hand out: visible ASCII without spaces.
_TOKEN = re.compile(r"[\x21-\x7e]+")


class Auth(Protocol):
    """Anything that can sign a request by headers."""

    def headers(self) -> dict[str, str]:
        """Return the headers to add to one send."""


class Bearer:
    """A bearer token (RFC 6750), sent as ``Authorization: Bearer ...``. Raises :class:`ConfigurationError`."""

    __slots__ = ("_token",)

    def __init__(self, token: str, /) -> None:
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            msg = (
                "Bearer: the token must be a non-empty str of visible ASCII characters, without spaces or line breaks."
            )
            raise ConfigurationError(msg)
        self._token = token

    def headers(self) -> dict[str, str]:
        """Return the headers to add to one send."""
        return {"Authorization": f"Bearer {self._token}"}

    def __repr__(self) -> str:
        return "Bearer(<secret>)"
