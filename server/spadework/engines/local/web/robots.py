"""What a site's robots.txt lets us read (RFC 9309): asked once a day, kept with the pages.

A site without the file allows everything; one whose file cannot be had for a fault of its own allows nothing. Whatever
reads pages by itself asks here: research, and the check of what a report cites. What a person asks for by hand, one
address at a time (`spadework verify ID --online`), is asked as a browser would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

import anyio
import anyio.to_thread

from spadework.egress import Call, Egress
from spadework.engines.local.web.shelf import Shelf
from spadework_tools.errors import BadReply, Unreachable

#: The name that sites address us by.
NAME = "spadework"
FRESH_S = 86_400.0
#: RFC 9309, 2.5: at least 500 kibibytes are to be read.
LONGEST = 512 * 1024
_NOTHING = b"User-agent: *\nDisallow: /\n"


@dataclass(frozen=True, slots=True)
class Rules:
    """A site's rules: whether an address may be read, and how many seconds are to lie between two requests.

    `fault` says why the file could not be had, where it could not, and `reached` whether the site answered at all.
    """

    parser: RobotFileParser
    fault: str = ""
    reached: bool = True

    def allow(self, url: str) -> bool:
        """Whether we may read this address."""
        return self.parser.can_fetch(NAME, url)

    @property
    def delay_s(self) -> float:
        """The seconds between two requests that the site asks for."""
        return float(self.parser.crawl_delay(NAME) or 0)


class Robots:
    """The rules of every site that one job meets."""

    def __init__(self, http: Egress, shelf: Shelf, wall: Callable[[], float], agent: str) -> None:
        self._http, self._shelf, self._wall, self._agent = http, shelf, wall, agent
        self._known: dict[str, Rules] = {}
        self._locks: dict[str, anyio.Lock] = {}

    async def rules(self, url: str) -> Rules:
        """The rules for an address. Raises EgressRefused where the guard lets nobody reach its site."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        async with self._locks.setdefault(origin, anyio.Lock()):
            if origin not in self._known:
                self._known[origin] = await self._asked(f"{origin}/robots.txt")
        return self._known[origin]

    async def _asked(self, url: str) -> Rules:
        kept = await _off(lambda: self._shelf.reply(f"robots {url}", self._wall() - FRESH_S))
        if kept is not None:
            return await anyio.to_thread.run_sync(_read, kept)
        try:
            text = await self._fetched(url)
        except (Unreachable, BadReply) as trouble:
            rules = await anyio.to_thread.run_sync(_read, _NOTHING)
            return replace(rules, fault=trouble.message, reached=not isinstance(trouble, Unreachable))
        await _off(lambda: self._shelf.hold(f"robots {url}", self._wall(), text))
        return await anyio.to_thread.run_sync(_read, text)

    async def _fetched(self, url: str) -> bytes:
        """The file. Raises Unreachable, or BadReply where its site is in trouble."""
        headers = {"user-agent": self._agent, "accept": "text/plain"}
        call = Call("GET", url, headers, timeout_s=10, max_bytes=LONGEST, hops=5, partial=True)
        reply = await self._http.request(call)
        if reply.status >= 500 or reply.status == 429:
            raise BadReply(f"its robots.txt answered with status {reply.status}. Try it later.")
        return reply.body if reply.status == 200 else b""


def _read(text: bytes) -> Rules:
    parser = RobotFileParser()
    parser.parse(text.decode("utf-8", "replace").splitlines())
    return Rules(parser)


async def _off(work: Callable[[], bytes | None]) -> bytes | None:
    call: Awaitable[bytes | None] = anyio.to_thread.run_sync(work)
    return await call
