"""Verification: after a report is stored, each page it cites is fetched, kept and compared with what was said of it.

Its own step, bounded in pages, bytes and time: whatever fails here, the report stays as its engine gave it, and each
check that did not run says so. What was fetched is a checkpoint, so a killed verification fetches nothing twice; one
that was killed twice is not tried again. It works by itself, so it keeps to robots.txt as every reader of ours does;
and where the user has a model, that is asked last whether the quotes show what they are cited for.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import anyio.to_thread
from pydantic import TypeAdapter

from spadework.bench import JobBench, Kit
from spadework.engines.local.model.chat import chat_of, has_model
from spadework.engines.local.model.jury import Jury
from spadework.engines.local.web.address import site
from spadework.engines.local.web.pages import SLOWEST_S
from spadework.engines.local.web.reach import Reach
from spadework.engines.local.web.robots import Robots
from spadework.engines.local.web.shelf import Shelf
from spadework.evidence import entail
from spadework.evidence.links import WAYBACK, Look, look
from spadework.evidence.untrusted import flagged
from spadework.evidence.verdicts import Judge, Page
from spadework.reading import page_of
from spadework_tools.errors import EgressRefused
from spadework_tools.models import Report, Source, Verdict

_TRIES = 2
#: Up to so many characters of sources are judged on the event loop, a citation at a time; more in a thread.
_LIGHT = 30_000
_READ, RULES = "read", "robots.txt"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one verification may take: pages, seconds in all, decoded bytes, citations, and hosts at once.

    `gap_s` is how long a host is left alone between two of its pages; so many hosts that cannot be reached, and none
    that can, mean that there is no network.
    """

    pages: int = 40
    seconds: float = 90.0
    bytes: int = 60 * 1024 * 1024
    citations: int = 1_000
    hosts: int = 4
    gap_s: float = 0.5
    unreachable: int = 3
    archive: str = WAYBACK
    #: How long a model may be asked in all, how many claims, and how many of them at once.
    model_s: float = 90.0
    claims: int = 48
    batch: int = 6


async def verified(report: Report, bench: JobBench, kit: Kit, limits: Limits | None = None) -> Report:
    """The report with its verdicts, as far as the limits let it be checked; what runs out of time comes back unjudged.

    Given a report that is stored already where pages are to be fetched. Raises what the store raises; nothing that a
    page could cause.
    """
    if fetches(report, bench) and not await _tries(bench):
        return report
    limits, pages, judged = limits or Limits(), dict[str, Page](), None
    with anyio.move_on_after(limits.seconds):
        kept, links = await _kept(report, kit)
        pages.update(kept)
        missing = [source for source in _cited(report) if source.url and source.id not in pages]
        if missing and kit.settings.web != "off":
            visit = _Visit(report, bench, kit, limits, pages, links, _robots(bench, kit))
            # A fifth of the time is kept for judging what came.
            with anyio.move_on_after(limits.seconds * 0.8):
                await visit.all(missing[: limits.pages])
        judged = await _judged(report, pages, links, limits)
    return report if judged is None else await _argued(judged, pages, bench, limits)


def fetches(report: Report, bench: JobBench) -> bool:
    """Whether checking a report takes pages that nobody has kept yet, or the word of a model."""
    claimed = any(entail.claimed(report, one) for one in report.citations)
    return any(source.url and not source.sha256 for source in _cited(report)) or (claimed and has_model(bench))


async def _tries(bench: JobBench) -> bool:
    """Whether this may be tried: a page that brings the process down may do so once more, and no further time."""
    for number in range(_TRIES):
        if await bench.recall(f"verify/try/{number}") is None:
            await bench.keep(f"verify/try/{number}", b"1", durable=True)
            return True
    return False


def _cited(report: Report) -> list[Source]:
    cited = {citation.source_id for citation in report.citations}
    return [source for source in report.sources if source.id in cited]


async def _kept(report: Report, kit: Kit) -> tuple[dict[str, Page], dict[str, Verdict]]:
    """The snapshots that the engine itself kept, and that their addresses answered when it read them."""
    pages: dict[str, Page] = {}
    links: dict[str, Verdict] = {}
    unchecked = {one.source_id for one in report.citations if one.verdicts.url.verdict == "not_checked"}
    for source in _cited(report):
        data = await kit.store.payload(f"src/{source.sha256}") if source.sha256 else None
        if data is None or source.sha256 is None:
            continue
        pages[source.id] = Page(data.decode("utf-8", "surrogatepass"), source.sha256)
        if source.url and source.id in unchecked:
            links[source.id] = Verdict(verdict="resolves", method=_READ, detail={"accessed": source.accessed})
    return pages, links


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a fetch found, as it is kept between runs."""

    verdict: Verdict
    sha256: str = ""
    pages: tuple[int, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()


_SEEN = TypeAdapter(_Seen)


@dataclass
class _Visit:
    """One round of fetching; what it finds goes into `pages` and `links`."""

    report: Report
    bench: JobBench
    kit: Kit
    limits: Limits
    pages: dict[str, Page]
    links: dict[str, Verdict]
    robots: Robots
    spent: int = 0
    done: int = 0
    lost: set[str] = field(default_factory=set[str])
    reached: bool = False

    async def all(self, sources: Sequence[Source]) -> None:
        """Each host's pages one after the other, a few hosts at a time."""
        by_host: dict[str, list[Source]] = defaultdict(list)
        for source in sources:
            by_host[_host(source.url or "")].append(source)
        await self.bench.progress("verifying", 0, len(sources))
        slots = anyio.Semaphore(self.limits.hosts)
        async with anyio.create_task_group() as group:
            for host, theirs in by_host.items():
                group.start_soon(self._host, host, theirs, slots, len(sources))

    async def _host(self, host: str, sources: Sequence[Source], slots: anyio.Semaphore, total: int) -> None:
        async with slots:
            for place, source in enumerate(sources):
                if self._over() or host in self.lost:
                    return
                if place:
                    await anyio.sleep(self.limits.gap_s)
                await self._one(host, source)
                self.done += 1
                await self.bench.progress("verifying", self.done, total)

    def _over(self) -> bool:
        offline = not self.reached and len(self.lost) >= self.limits.unreachable
        return offline or self.spent >= self.limits.bytes

    async def _one(self, host: str, source: Source) -> None:
        """Fetch one page, or take what an earlier life of this job fetched."""
        url = source.url or ""
        step = f"verify/{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"
        before = await self.bench.recall(step)
        if before is not None:
            await self._recalled(source, _SEEN.validate_json(before))
            return
        seen = await self._looked(url)
        self.reached = self.reached or seen.reached
        if not seen.reached:
            self.lost.add(host)
        self.links[source.id] = seen.verdict
        record = _Seen(seen.verdict)
        if seen.reply is not None:
            self.spent += len(seen.reply.body)
            quotes = [one.quote for one in self.report.citations if one.source_id == source.id]
            page = await anyio.to_thread.run_sync(partial(page_of, seen.reply, quotes), abandon_on_cancel=True)
            if page is not None:
                page = replace(page, sha256=await self.bench.snapshot(page.text))
                self.pages[source.id] = page
                record = _Seen(seen.verdict, page.sha256, page.pages, page.headings)
        await self.bench.keep(step, _SEEN.dump_json(record))

    async def _looked(self, url: str) -> Look:
        """The page with its site's leave, and that of the site where its redirects led."""
        refused = await self._refused(url)
        if refused is not None:
            return refused
        seen = await look(self.kit.http, url, archive=self.limits.archive)
        elsewhere = seen.reply is not None and site(seen.reply.url) != site(url)
        return (await self._refused(seen.reply.url) or seen) if elsewhere and seen.reply else seen

    async def _refused(self, url: str) -> Look | None:
        """Why a page is not to be read, if it is not: what its robots.txt says, or that nobody knows what it says."""
        try:
            rules = await self.robots.rules(url)
        except EgressRefused:
            # The look at the page itself says what the guard has against it.
            return None
        if rules.fault:
            return Look(Verdict(method=RULES, detail={"why": rules.fault}), reached=rules.reached)
        if not rules.allow(url):
            return Look(Verdict(verdict="blocked", method=RULES, detail={"why": "the site's robots.txt forbids it"}))
        if rules.delay_s > SLOWEST_S:
            why = f"the site's robots.txt asks for {rules.delay_s:.0f} s between requests"
            return Look(Verdict(method=RULES, detail={"why": why}))
        await anyio.sleep(rules.delay_s)
        return None

    async def _recalled(self, source: Source, record: _Seen) -> None:
        self.links[source.id] = record.verdict
        data = await self.kit.store.payload(f"src/{record.sha256}") if record.sha256 else None
        if data is not None:
            text = data.decode("utf-8", "surrogatepass")
            self.pages[source.id] = Page(text, record.sha256, record.pages, record.headings)


def _robots(bench: JobBench, kit: Kit) -> Robots:
    """The rules of sites, kept where research keeps them."""
    shelf = Shelf(kit.settings.home / "index" / "shelf.db")
    return Robots(kit.http, shelf, bench.clock.wall, Reach.of(bench.setting).agent)


async def _judged(report: Report, pages: Mapping[str, Page], links: Mapping[str, Verdict], limits: Limits) -> Report:
    """The verdicts of as many citations as are judged at all, and warnings, without holding up the event loop."""
    texts = {page.sha256: page.text for page in pages.values()}
    court = _Court(report, pages, links, limits.citations)
    if sum(map(len, texts.values())) > _LIGHT:
        try:
            judged = await anyio.to_thread.run_sync(court.all, abandon_on_cancel=True)
            return await anyio.to_thread.run_sync(flagged, judged, texts, abandon_on_cancel=True)
        finally:
            court.stop.set()
    for at in court.order:
        court.one(at)
        await anyio.lowlevel.checkpoint()
    return flagged(court.report(), texts)


async def _argued(report: Report, pages: Mapping[str, Page], bench: JobBench, limits: Limits) -> Report:
    """The report with a model's word on its claims, if there is a model; what it got wrong is a warning."""
    chat = chat_of(bench)
    texts = {name: page.text for name, page in pages.items()}
    claims = await anyio.to_thread.run_sync(entail.claims, report, texts) if chat else ()
    if chat is None or not claims:
        return report
    await bench.progress("verifying", note="asking the model whether the quotes show the claims")
    jury = Jury(chat, bench)
    with anyio.move_on_after(limits.model_s) as scope:
        await jury.all(claims[: limits.claims], limits.batch)
    over = "its time was over" if scope.cancelled_caught else f"at most {limits.claims} are put to it"
    late = scope.cancelled_caught or len(claims) > limits.claims
    cut = (f"the model was not asked about each of the {len(claims)} claims: {over}",) if late else ()
    words = [(claim, jury.words[claim.digest]) for claim in claims if claim.digest in jury.words]
    argued = entail.spoken(report, chat.name, words)
    made = argued.provenance.model_copy(update={"warnings": (*argued.provenance.warnings, *jury.warnings(), *cut)})
    return argued.model_copy(update={"provenance": made})


class _Court:
    """Judges one citation after the other, those of a source together; `stop` ends it before the next."""

    def __init__(self, report: Report, pages: Mapping[str, Page], links: Mapping[str, Verdict], most: int) -> None:
        self._given, self._judged = report, list(report.citations)
        self._pages, self._links = pages, links
        self._judge: Judge | None = None
        self.order = sorted(range(min(most, len(self._judged))), key=lambda at: self._judged[at].source_id)
        self.stop = Event()

    def one(self, at: int) -> None:
        """Judge the citation at a place."""
        self._judged[at] = self._prepared().citation(self._given.citations[at])

    def all(self) -> Report:
        """Judge what there is to judge. Blocks; for a worker thread."""
        for at in self.order:
            if self.stop.is_set():
                break
            self.one(at)
        return self.report()

    def report(self) -> Report:
        """The report as far as it was judged."""
        return self._prepared().report(self._judged)

    def _prepared(self) -> Judge:
        # Made where it is used: counting the words of many pages is work for a thread.
        if self._judge is None:
            self._judge = Judge(self._given, self._pages, self._links)
        return self._judge


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
