"""One page from the web into a document: with the site's leave, within limits, and not at all while ours is fresh.

Whatever goes wrong with a page is its own reason and nobody else's trouble: a hostile site costs its few seconds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import anyio
import anyio.to_thread

from spadework.clock import Clock
from spadework.egress import MIB, REDIRECTS, Call, Egress, Reply
from spadework.engines.local.document import Document, Unreadable
from spadework.engines.local.extract import extract
from spadework.engines.local.extract.kinds import Kind
from spadework.engines.local.web.address import canonical, site
from spadework.engines.local.web.lead import Lead
from spadework.engines.local.web.robots import Robots
from spadework.engines.local.web.shelf import Page, Shelf
from spadework_tools.errors import BadReply, EgressRefused, Unreachable

#: How long a page is taken as it is, and a failure as lasting, before the site is asked again, in seconds.
FRESH_S, FAILED_S = 6 * 3_600.0, 600.0
#: What one page may take: seconds in all, bytes decoded, redirects, and seconds between two requests to its site.
WHOLE_S, LARGEST, HOPS, SLOWEST_S = 20.0, 8 * MIB, 5, 5.0
#: So many failures of one site in a row, and the job leaves it alone.
FAILURES = 3
_KINDS: dict[str, Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "text/plain": "text",
    "text/markdown": "markdown",
    "text/x-rst": "rst",
}
_ACCEPT = "text/html,application/xhtml+xml,application/pdf,text/plain,text/markdown;q=0.9,*/*;q=0.1"
_FAULTS = frozenset({"unreachable", "out_of_time", "http_429", "http_500", "http_502", "http_503", "http_504"})


class Refused(Exception):
    """A page that is not read; `reason` is a stable snake_case word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Pages:
    """Fetches the pages of one job. What was fetched at `since` (Unix seconds) or later is this job's own."""

    def __init__(self, http: Egress, shelf: Shelf, clock: Clock, agent: str, since: float) -> None:
        self._http, self._shelf, self._clock, self._agent, self._since = http, shelf, clock, agent, since
        self._robots = Robots(http, shelf, clock.wall, agent)
        self._failed: dict[str, int] = {}
        self._turns: dict[str, anyio.Lock] = {}

    async def get(self, lead: Lead) -> Page:
        """The page of a lead, from the shelf if it is fresh; one that could not be read comes with its reason."""
        known = await anyio.to_thread.run_sync(self._shelf.page, lead.url)
        if known is not None and self._fresh(known):
            return known
        if lead.text:
            page = Page(lead.url, lead.url, self._clock.wall(), size=len(lead.text), document=_told(lead))
        elif self._failed.get(site(lead.url), 0) >= FAILURES:
            return Page(lead.url, lead.url, self._clock.wall(), reason="site_failing")
        else:
            page = await self._fetched(lead.url, known)
            self._count(page)
        await anyio.to_thread.run_sync(self._shelf.put, page)
        return page

    def _fresh(self, page: Page) -> bool:
        lasts = FRESH_S if page.document else FAILED_S
        return page.at >= self._since or page.at + lasts > self._clock.wall()

    def _count(self, page: Page) -> None:
        home = site(page.url)
        self._failed[home] = self._failed.get(home, 0) + 1 if page.reason in _FAULTS else 0

    async def _fetched(self, url: str, known: Page | None) -> Page:
        """The page as it is now; where nothing changed, or it cannot be had now, what we have of it."""
        blank = Page(url, url, self._clock.wall())
        try:
            with anyio.fail_after(WHOLE_S):
                final, reply = await self._followed(url, known)
                if reply.status == 304 and known is not None:
                    return replace(known, at=self._clock.wall())
                return await self._taken(url, final, reply)
        except TimeoutError:
            return replace(blank, reason="out_of_time")
        except EgressRefused:
            return replace(blank, reason="forbidden_address")
        except Unreachable:
            return replace(blank, reason="unreachable")
        except BadReply:
            return replace(blank, reason="bad_reply")
        except (Refused, Unreadable) as refusal:
            return replace(blank, reason=refusal.reason)

    async def _followed(self, url: str, known: Page | None) -> tuple[str, Reply]:
        """The answer at the end of the redirects, and its address; each step needs its own site's leave."""
        here, headers = url, {"user-agent": self._agent, "accept": _ACCEPT, **_conditions(known)}
        for _ in range(HOPS + 1):
            reply = await self._once(here, headers)
            place = reply.headers.get("location")
            if reply.status not in REDIRECTS or place is None:
                return here, reply
            there = canonical(place, here)
            if there is None:
                raise Refused("bad_redirect")
            if site(there) != site(here):
                headers = {name: text for name, text in headers.items() if not name.startswith("if-")}
            here = there
        raise Refused("too_many_redirects")

    async def _once(self, url: str, headers: dict[str, str]) -> Reply:
        rules = await self._robots.rules(url)
        if not rules.allow(url):
            raise Refused("robots")
        call = Call("GET", url, headers, timeout_s=WHOLE_S, max_bytes=LARGEST)
        if not rules.delay_s:
            return await self._http.request(call)
        if rules.delay_s > SLOWEST_S:
            raise Refused("crawl_delay")
        async with self._turns.setdefault(site(url), anyio.Lock()):
            await anyio.sleep(rules.delay_s)
            return await self._http.request(call)

    async def _taken(self, url: str, final: str, reply: Reply) -> Page:
        if reply.status != 200:
            raise Refused(f"http_{reply.status}")
        kind, body = _kind(reply)
        document = await anyio.to_thread.run_sync(partial(extract, final, body, kind), abandon_on_cancel=True)
        return Page(
            url,
            final,
            self._clock.wall(),
            etag=reply.headers.get("etag"),
            modified=reply.headers.get("last-modified"),
            size=len(reply.body),
            document=document,
        )


def _conditions(known: Page | None) -> dict[str, str]:
    if known is None or known.document is None:
        return {}
    found = {"if-none-match": known.etag, "if-modified-since": known.modified}
    return {name: text for name, text in found.items() if text}


def _kind(reply: Reply) -> tuple[Kind | None, bytes]:
    """What kind of file an answer is, and its body in UTF-8 where only its header names the charset."""
    declared, _, parameters = reply.headers.get("content-type", "").lower().partition(";")
    kind = _KINDS.get(declared.strip())
    if reply.body.startswith(b"%PDF-"):
        return "pdf", reply.body
    if kind is None and declared.strip():
        raise Refused("unknown_type")
    kind = kind or "html"
    charset = parameters.partition("charset=")[2].partition(";")[0].strip("\"' ")
    if kind == "pdf" or not charset or charset in ("utf-8", "utf8"):
        return kind, reply.body
    return kind, _recoded(reply.body, charset)


def _recoded(body: bytes, charset: str) -> bytes:
    """The body in UTF-8; as it is where the charset is none, lies, or the bytes are sound UTF-8 already."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return body
    try:
        return body.decode(charset).encode("utf-8")
    except (UnicodeError, LookupError, ValueError):
        return body


def _told(lead: Lead) -> Document:
    """A document of what a back-end itself hands out of a work: its title and abstract."""
    document = extract(lead.url, lead.text.encode("utf-8", "replace"), "text")
    return replace(document, title=lead.title, published=lead.published, extractor=f"{lead.backend}@1")
