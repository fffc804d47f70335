"""The web side of the local engine: what one job's research needs, put together, and tidied up behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import anyio.to_thread

from spadework.engines import Bench
from spadework.engines.local.database import discard
from spadework.engines.local.index import Index
from spadework.engines.local.intake import Reading
from spadework.engines.local.look import Look, threaded
from spadework.engines.local.model.mind import Mind
from spadework.engines.local.plan import Part, parts
from spadework.engines.local.record import Record, Sought, searches
from spadework.engines.local.rows import Found, Side
from spadework.engines.local.select import Finding
from spadework.engines.local.web.address import wanted as wanted_site
from spadework.engines.local.web.budget import BUDGETS, ROWS, Budget
from spadework.engines.local.web.hunt import Gaps, Hunt, Tools
from spadework.engines.local.web.pages import Pages
from spadework.engines.local.web.reach import Reach
from spadework.engines.local.web.search import Lines, Searches
from spadework.engines.local.web.shelf import Shelf
from spadework.engines.local.write import Evidence
from spadework.job import Job
from spadework_tools.models import Effort

#: So many sites that a request names are begun with at their front page; and for a record, so many and so many pages
#: that it names itself.
FRONTS, OWN = 5, 2


class Online:
    """Research on the web for the jobs of one home; the pages it fetched serve them all."""

    def __init__(
        self, home: Path, budgets: Mapping[Effort, Budget] = BUDGETS, rows: Mapping[Effort, Budget] = ROWS
    ) -> None:
        self._home, self._budgets, self._rows, self._lines = home, budgets, rows, Lines()
        self.shelf = Shelf(home / "shelf.db")

    def place(self, job: Job) -> Path:
        """Where the job's index lies while it works."""
        return self._home / f"web-{job.id}.db"

    async def evidence(
        self, job: Job, bench: Bench, reach: Reach, mind: Mind, questions: Sequence[Part], searches: Sequence[str]
    ) -> Evidence:
        """What the web says. Raises OSError or sqlite3.Error where the disk refuses."""
        request = job.request
        pages = await self.opened(job, bench, reach)
        tools = self._tools(job, bench, reach, pages, mind.look, partial(mind.gaps, request.question))
        earlier = await bench.earlier() if request.follow_up_to else None
        seeds = [source.url for source in earlier.sources if source.url] if earlier else []
        seeds += _fronts(request.include_domains, FRONTS)
        hunt = Hunt(request, bench, tools, self._budgets[request.effort], questions, seeds)
        asked = dict.fromkeys([*(part.text for part in questions), *searches])
        findings, reading = await hunt.run([_sited(query, request.include_domains) for query in asked])
        await threaded(partial(discard, tools.place), Event())
        return Evidence(findings, reading, troubles=hunt.troubles, web=True, fetched=hunt.fetched)

    async def row(
        self, job: Job, reach: Reach, pages: Pages, look: Look, side: Side, record: Record, wanted: Sequence[Sought]
    ) -> Found:
        """What the web says of one record: the pages that it names itself are read first.

        Raises OSError or sqlite3.Error where the disk refuses.
        """
        request = job.request
        tools = self._tools(job, side, reach, pages, look, _no_gaps)
        named = [page for page in record.pages if wanted_site(page, request.include_domains, request.exclude_domains)]
        seeds = [*named[:OWN], *_fronts(request.include_domains, OWN)]
        queries = [_sited(query, request.include_domains) for query in searches(record, request.output_schema or {})]
        hunt = Hunt(request, side, tools, self._rows[request.effort], [one.part for one in wanted], seeds)
        findings, reading = await hunt.run(queries)
        await threaded(partial(discard, tools.place), Event())
        return Found(findings, reading, hunt.troubles, hunt.fetched)

    async def opened(self, job: Job, bench: Bench, reach: Reach) -> Pages:
        """Who fetches the pages of a job. Raises OSError or sqlite3.Error where the disk refuses."""
        await anyio.to_thread.run_sync(self.shelf.prune, bench.clock.wall())
        return Pages(bench.http, self.shelf, bench.clock, reach.agent, job.created_at)

    def _tools(self, job: Job, bench: Bench | Side, reach: Reach, pages: Pages, look: Look, gaps: Gaps) -> Tools:
        near = replace(reach, places=reach.towards(job.request.include_domains))
        searches = Searches(bench.http, self.shelf, bench.clock, near, self._lines)
        return Tools(self.place(job), searches, pages, look, gaps)

    async def remains(self, job: Job, bench: Bench) -> Evidence | None:
        """What an ended job had taken in so far, if anything."""
        place = self.place(job)
        if not await anyio.to_thread.run_sync(place.exists):
            return None
        look = Look(job.request.effort)
        size = await threaded(partial(_size, place), Event())
        findings = await look.all(place, parts(job.request.question), bench, size[0])
        await threaded(partial(discard, place), Event())
        return Evidence(findings, Reading(*size, (), ()), web=True)


async def _no_gaps(_findings: Sequence[Finding]) -> tuple[str, ...]:
    """A record is small: what its fields leave open says enough of what to search for."""
    return ()


def _fronts(domains: Sequence[str], most: int) -> list[str]:
    return [f"https://{domain.strip('.')}/" for domain in domains[:most]]


def _sited(query: str, domains: Sequence[str]) -> str:
    """The query, told to keep to the sites asked for where they are few enough to be named."""
    if not 1 <= len(domains) <= 3:
        return query
    return f"{query} {' OR '.join(f'site:{domain}' for domain in domains)}"


def _size(place: Path) -> tuple[int, int, int]:
    with Index(place) as index:
        size = index.size()
    return size.documents, size.passages, size.characters
