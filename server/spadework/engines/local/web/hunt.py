"""Research on the web: rounds of search, read, find, until the question is answered or the budget is spent.

What a round reads is settled and kept before the first page is fetched, and pages are taken into the index in that
order, whatever came first: a killed job that goes on finds the same, and fetches again only what was under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event

import anyio
from pydantic import TypeAdapter

from spadework.engines.local.database import discard
from spadework.engines.local.document import Document
from spadework.engines.local.index import Index, Stamp
from spadework.engines.local.intake import Reading
from spadework.engines.local.look import Look, Notes, threaded
from spadework.engines.local.plan import Part
from spadework.engines.local.select import Finding
from spadework.engines.local.web.address import canonical, wanted
from spadework.engines.local.web.budget import Budget
from spadework.engines.local.web.choose import best, linked, ranked
from spadework.engines.local.web.lead import Lead
from spadework.engines.local.web.pages import Pages
from spadework.engines.local.web.search import Searches
from spadework.engines.local.web.shelf import Page
from spadework.engines.local.words import matter
from spadework_tools.models import Request

#: A round that adds less than this share of new quotes is the last one; a part needs so many sources to be settled.
NEWS, SOURCES = 0.1, 2
#: The share of the time left that one round may search for.
SEARCHING = 0.4
#: How many words of a question go with what is open of it.
NAMES = 6
_LEADS = TypeAdapter(tuple[Lead, ...])

Gaps = Callable[[Sequence[Finding]], Awaitable[tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Tools:
    """What a hunt works with: where its index lies, who searches, fetches and looks up, and who thinks of gaps."""

    place: Path
    searches: Searches
    pages: Pages
    look: Look
    gaps: Gaps


class Hunt:
    """One job's research on the web; `seeds` are pages to begin with, from the report that this one follows up.

    `fetched` says when each page that was taken in was fetched (Unix seconds).
    """

    def __init__(
        self, request: Request, bench: Notes, tools: Tools, budget: Budget, parts: Sequence[Part], seeds: Sequence[str]
    ) -> None:
        self._request, self._bench, self._tools, self._budget, self._parts = request, bench, tools, budget, parts
        self._seeds = [url for url in map(canonical, seeds) if url]
        self._until = bench.clock.boot() + budget.seconds * (1 - budget.writing)
        self._seen: set[str] = set()
        self._held: dict[str, Document] = {}
        self._unread: dict[str, str] = {}
        self._size = 0
        self.fetched: dict[str, float] = {}
        self._late = False

    async def run(self, queries: Sequence[str]) -> tuple[tuple[Finding, ...], Reading]:
        """What was found, and what was read; `queries` are searched for in the first round."""
        await threaded(partial(discard, self._tools.place), Event())
        findings: tuple[Finding, ...] = ()
        if self._seeds:
            findings = await self._read(0, [Lead(url, backend="earlier") for url in self._seeds[: self._budget.batch]])
        number = 0
        while not _settled(findings) and number < self._budget.rounds and self._left() > 0:
            number += 1
            asked = queries if number == 1 else await self._asked(findings)
            leads = await self._leads(number, asked, findings)
            if not leads:
                break
            before, findings = findings, await self._read(number, leads)
            if number > 1 and not _news(before, findings):
                break
        return await self._final(), await self._reading()

    @property
    def troubles(self) -> tuple[str, ...]:
        """What the reader should know went otherwise."""
        failed = [f"search by {name} failed: {why}" for name, why in self._tools.searches.troubles.items()]
        late = ["the time for reading was over before every page was read"] if self._late else []
        return (*failed, *late, *self._tools.look.troubles)

    def _left(self) -> float:
        return self._until - self._bench.clock.boot()

    async def _asked(self, findings: Sequence[Finding]) -> tuple[str, ...]:
        """What to search for next: what is open of each unsettled part, and what the model thinks is missing."""
        words = [_gap(finding) for finding in findings if not _settled((finding,))]
        return tuple(dict.fromkeys([*await self._tools.gaps(findings), *words]))

    async def _leads(self, number: int, queries: Sequence[str], findings: Sequence[Finding]) -> list[Lead]:
        """The pages of one round, as an earlier run of this job settled them, or as search and links give them."""
        step = f"leads-{number}"
        kept = await self._bench.recall(step)
        if kept is not None:
            return list(_LEADS.validate_json(kept))
        await self._bench.progress("searching", number - 1, self._budget.rounds, sources=len(self._held))
        lists = await self._tools.searches.all(queries, number - 1, max(1.0, self._left() * SEARCHING))
        scored = ranked(lists, [*queries, *(part.text for part in self._parts)])
        open_words = dict.fromkeys(word for finding in findings for word in finding.open)
        asked = tuple(dict.fromkeys(word for part in self._parts for word in matter(part.text)))
        for url, found in linked(self._held.values(), asked, open_words).items():
            scored[url] = max(scored.get(url, found), found, key=lambda pair: pair[0])
        fitting = {url: pair for url, pair in scored.items() if url not in self._seen and self._fits(url)}
        room = min(self._budget.batch, self._budget.pages - len(self._seen))
        leads = best(fitting, room)
        await self._bench.keep(step, _LEADS.dump_json(tuple(leads)))
        return leads

    def _fits(self, url: str) -> bool:
        return wanted(url, self._request.include_domains, self._request.exclude_domains)

    async def _read(self, number: int, leads: Sequence[Lead]) -> tuple[Finding, ...]:
        """Fetch the pages, take them in, and look for quotes."""
        got: dict[int, Page] = {}
        self._seen.update(lead.url for lead in leads)
        slots = anyio.Semaphore(self._budget.at_once)

        async def fetch(place: int, lead: Lead) -> None:
            async with slots:
                if self._size >= self._budget.size:
                    self._unread[lead.url] = "over_budget"
                    return
                got[place] = page = await self._tools.pages.get(lead)
                self._size += page.size
                await self._bench.progress("reading", len(got), len(leads), sources=len(self._held) + len(got))

        with anyio.move_on_after(max(0.0, self._left())) as scope:
            async with anyio.create_task_group() as group:
                for place, lead in enumerate(leads):
                    group.start_soon(fetch, place, lead)
        self._late = self._late or scope.cancelled_caught
        for place, lead in enumerate(leads):
            if place not in got:
                self._unread.setdefault(lead.url, "out_of_time")
        fresh = [document for place in sorted(got) if (document := self._judged(got[place], leads[place])) is not None]
        await threaded(partial(_taken, self._tools.place, fresh, number), Event())
        return await self._tools.look.all(self._tools.place, self._parts, self._bench, len(self._held), keep=False)

    def _judged(self, page: Page, lead: Lead) -> Document | None:
        """The page's document under its final address, if it is one to use; else its reason is noted."""
        document = page.document
        if document is None:
            self._unread[page.url] = page.reason or "empty"
            return None
        dated = replace(document, path=page.final, published=document.published or lead.published)
        reason = self._objection(dated)
        if reason is not None:
            self._unread[page.url] = reason
            return None
        self._seen.add(page.final)
        self._held[page.final] = dated
        self.fetched[page.final] = page.at
        return dated

    def _objection(self, document: Document) -> str | None:
        if not self._fits(document.path):
            return "other_site"
        if document.path in self._held or any(document.sha256 == held.sha256 for held in self._held.values()):
            return "duplicate"
        return _untimely(document.published, self._request.published_after, self._request.published_before)

    async def _final(self) -> tuple[Finding, ...]:
        if not self._tools.place.exists():
            await threaded(partial(_taken, self._tools.place, [], 0), Event())
        return await self._tools.look.all(self._tools.place, self._parts, self._bench, len(self._held))

    async def _reading(self) -> Reading:
        size = await threaded(partial(_size, self._tools.place), Event())
        expected = ("duplicate", "other_site")
        unread = tuple(item for item in self._unread.items() if item[1] not in expected)
        left_out = tuple(item for item in self._unread.items() if item[1] in expected)
        return Reading(*size, unread, left_out)


def _settled(findings: Sequence[Finding]) -> bool:
    """Whether every part is answered, from more than one source."""
    return bool(findings) and all(
        finding.judgement == "found" and len({quote.path for quote in finding.quotes}) >= SOURCES
        for finding in findings
    )


def _news(before: Sequence[Finding], after: Sequence[Finding]) -> bool:
    """Whether a round brought enough that is new."""
    old = {(quote.path, quote.start) for finding in before for quote in finding.quotes}
    new = {(quote.path, quote.start) for finding in after for quote in finding.quotes}
    return len(new - old) >= NEWS * len(new) and bool(new - old)


def _gap(finding: Finding) -> str:
    names = [word for word in matter(finding.question) if word not in finding.open]
    return " ".join([*finding.open[:NAMES], *names[:NAMES]]) or finding.question


def _untimely(published: str | None, after: str | None, before: str | None) -> str | None:
    """Why a page does not fit the dates asked for; one without a date cannot be shown to."""
    if after is None and before is None:
        return None
    if published is None:
        return "undated"
    day = published[:10]
    return (
        "too_old" if after is not None and day < after else "too_new" if before is not None and day > before else None
    )


def _taken(place: Path, documents: Sequence[Document], number: int) -> None:
    with Index(place) as index, index.writing():
        for document in documents:
            index.add(document, Stamp(number, len(document.text), document.sha256))


def _size(place: Path) -> tuple[int, int, int]:
    with Index(place) as index:
        size = index.size()
    return size.documents, size.passages, size.characters
