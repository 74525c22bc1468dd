"""The cookies of one provider, for who knows where a request may take them along."""

import re

import aiohttp
from multidict import CIMultiDict
from yarl import URL

# By an expiry at the epoch a cookie is taken back, and aiohttp 3.14 takes it for no date (aiohttp#13692).
_EPOCH = re.compile(r"(?i)(;\s*expires=[^;]*\b0?1[ -]jan[ -](?:19)?70 00:00:0)0")


class Cookies:
    """aiohttp's jar, which knows paths, expiry and ``Secure``. Made in the loop that uses it."""

    __slots__ = ("_jar",)

    def __init__(self) -> None:
        # Hosts that are addresses have cookies too; whose they are is decided by origin.
        self._jar = aiohttp.CookieJar(unsafe=True)

    def add_to(self, sent: CIMultiDict[str], url: URL) -> None:
        """Add those for this URL to the ones that the caller gave."""
        kept = [f"{cookie.key}={cookie.coded_value}" for cookie in self._jar.filter_cookies(url).values()]
        if kept:
            given = sent.get("Cookie")
            sent["Cookie"] = "; ".join(kept if given is None else [given, *kept])

    def keep(self, response: aiohttp.ClientResponse, url: URL) -> None:
        """Keep those that an answer sets."""
        said = response.headers.getall("Set-Cookie", ())
        if said:
            self._jar.update_cookies_from_headers([_EPOCH.sub(r"\g<1>1", each) for each in said], url)
