"""The verdicts of a report: each citation judged against the page it points to, on each axis by itself.

Pure and offline: given the same texts it gives the same verdicts, so that anybody can replay them from the snapshots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spadework.evidence import entail, fragments, support
from spadework.evidence.quotes import Canon
from spadework_tools.models import Citation, Report, Source, Target, Verdict, Verdicts

QUOTES: Final = "quote-check@1"
#: Better verdicts first, on each axis; those that say the same share a place, and one not named here has none.
ORDER: Final[Mapping[str, Sequence[frozenset[str]]]] = {
    "url": (frozenset({"resolves", "redirected"}), frozenset({"dead_archived"}), frozenset({"not_found"})),
    "quote": (
        frozenset({"verbatim", "verbatim_normalised", "verbatim_elided"}),
        frozenset({"near_verbatim"}),
        frozenset({"altered"}),
        frozenset({"not_found"}),
    ),
    "support": (
        frozenset({"lexically_supported", "entailed"}),
        frozenset({"uncertain", "not_enough_info"}),
        frozenset({"lexically_unsupported", "contradicted"}),
    ),
}


@dataclass(frozen=True, slots=True)
class Page:
    """A source as it was read: its text, and where its pages (PDF) and headings begin, where that is known."""

    text: str
    sha256: str
    pages: tuple[int, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict that a second check gave otherwise."""

    citation_id: str
    axis: str
    before: str
    after: str
    worse: bool


class Judge:
    """Judges the citations of one report, one at a time, against the texts of its sources.

    Args:
        report: the report, checked before or not.
        pages: the texts of its sources, by source id; a source without one leaves its axes as far as they can go.
        links: what its addresses gave, by source id; others keep the url verdict they have.
    """

    def __init__(self, report: Report, pages: Mapping[str, Page], links: Mapping[str, Verdict] | None = None) -> None:
        self._report, self._pages, self._links = report, pages, links or {}
        self._sources = {source.id: source for source in report.sources}
        self._canons = {name: Canon(page.text) for name, page in pages.items()}
        self._rarity = support.Rarity(page.text for page in pages.values())
        self._shared = _together(report.citations)
        self._asked: dict[str, str] | None = None

    def citation(self, citation: Citation) -> Citation:
        """The citation with its verdicts.

        A quote that stands in its page becomes the page's own slice, and the wording that was given is kept in the
        verdict; one that does not keeps its wording and loses its place.
        """
        name = citation.source_id
        page = self._pages.get(name)
        placed = _quoted(citation, page, self._canons.get(name), self._sources.get(name))
        siblings = [self._pages[one].text for one in self._shared[entail.place(citation.target)] if one in self._pages]
        verdicts = Verdicts(
            url=self._links.get(name, citation.verdicts.url),
            quote=placed.verdicts.quote,
            support=self._argued(citation, _supported(self._report, citation, page, siblings, self._rarity)),
        )
        return placed.model_copy(update={"verdicts": verdicts})

    def _argued(self, citation: Citation, counted: Verdict) -> Verdict:
        """The count of words with a model's word beside it, if there is one on just what stands here now."""
        told = entail.kept(citation.verdicts.support)
        if not told:
            return counted
        if self._asked is None:
            self._asked = entail.named(self._report, {name: page.text for name, page in self._pages.items()})
        return entail.ruled(counted, told) if told.get("asked") == self._asked.get(citation.id) else counted

    def report(self, citations: Iterable[Citation]) -> Report:
        """The report with these citations, its sources named by the snapshots they were judged against."""
        pages = self._pages
        sources = tuple(
            source.model_copy(update={"sha256": pages[source.id].sha256}) if source.id in pages else source
            for source in self._report.sources
        )
        return self._report.model_copy(update={"citations": tuple(citations), "sources": sources})


def judge(report: Report, pages: Mapping[str, Page], links: Mapping[str, Verdict] | None = None) -> Report:
    """The report with every citation's verdicts; see `Judge`."""
    court = Judge(report, pages, links)
    return court.report(map(court.citation, report.citations))


def compare(before: Report, after: Report) -> tuple[Change, ...]:
    """The verdicts that two checks of one report gave differently, in the order of its citations."""
    later = {citation.id: citation for citation in after.citations}
    changes: list[Change] = []
    for citation in before.citations:
        for axis in ORDER:
            one: str = getattr(citation.verdicts, axis).verdict
            two: str = getattr(later[citation.id].verdicts, axis).verdict
            if one != two:
                changes.append(Change(citation.id, axis, one, two, _rank(axis, two) > _rank(axis, one) >= 0))
    return tuple(changes)


def claim(report: Report, target: Target) -> str:
    """What a citation is for: the span of the text, or the value in the data; nothing for the whole document."""
    if target.kind == "span" and target.start is not None and target.end is not None:
        return support.plain(report.text[target.start : target.end])
    if target.kind == "pointer" and target.pointer:
        value = entail.at(report.data, target.pointer)
        return support.plain(str(value)) if isinstance(value, str | int | float) else ""
    return ""


def _rank(axis: str, verdict: str) -> int:
    return next((place for place, words in enumerate(ORDER[axis]) if verdict in words), -1)


def _together(citations: Iterable[Citation]) -> Mapping[tuple[Any, ...], dict[str, None]]:
    """The sources that are cited for one and the same claim, by where the claim stands."""
    shared: dict[tuple[Any, ...], dict[str, None]] = defaultdict(dict)
    for citation in citations:
        shared[entail.place(citation.target)][citation.source_id] = None
    return shared


def _quoted(citation: Citation, page: Page | None, canon: Canon | None, source: Source | None) -> Citation:
    """The citation with its quote looked up in its page."""
    given = str(citation.verdicts.quote.detail.get("given", citation.quote))
    if not given.strip():
        return _with(citation, Verdict(detail={"why": "no quote was given"}))
    if page is None or canon is None:
        return _with(citation, Verdict(detail={"why": "its page was not read"}))
    finding = canon.check(given)
    detail: dict[str, Any] = {}
    if finding.diff:
        detail["diff"] = [dict(change) for change in finding.diff]
    if finding.start is None or finding.end is None:
        return _unplaced(citation, given, Verdict(verdict=finding.verdict, method=QUOTES, detail=detail))
    start, end = finding.start, finding.end
    if finding.verdict not in ("verbatim", "verbatim_normalised"):
        detail |= {"start": start, "end": end, "source": page.text[start:end][:2_000]}
        link = _link(source, page, start, end) if finding.accepted else None
        verdict = Verdict(verdict=finding.verdict, method=QUOTES, detail=detail)
        return _unplaced(citation, given, verdict).model_copy(update={"fragment_url": link})
    if page.text[start:end] != given:
        detail["given"] = given
    update: dict[str, Any] = {
        "quote": page.text[start:end],
        "start": start,
        "end": end,
        "page": sum(1 for first in page.pages if first <= start) or citation.page,
        "section": citation.section or _section(page, start),
        "fragment_url": _link(source, page, start, end),
    }
    placed = citation.model_copy(update=update)
    return _with(placed, Verdict(verdict=finding.verdict, method=QUOTES, detail=detail))


def _with(citation: Citation, verdict: Verdict) -> Citation:
    return citation.model_copy(update={"verdicts": citation.verdicts.model_copy(update={"quote": verdict})})


def _unplaced(citation: Citation, given: str, verdict: Verdict) -> Citation:
    """A quote that is no slice of its page, in the words it came in."""
    bare = citation.model_copy(update={"quote": given, "start": None, "end": None, "fragment_url": None})
    return _with(bare, verdict)


def _link(source: Source | None, page: Page, start: int, end: int) -> str | None:
    return fragments.fragment(source.url, page.text, start, end) if source and source.url else None


def _section(page: Page, place: int) -> str | None:
    titles = [title for start, title in page.headings if start <= place]
    return titles[-1] if titles else None


def _supported(
    report: Report, citation: Citation, page: Page | None, siblings: Sequence[str], rarity: support.Rarity
) -> Verdict:
    """Whether the page holds the claim, as far as words can tell; an engine's own verdict is left alone."""
    before = citation.verdicts.support
    if before.method not in (None, support.METHOD) and not entail.kept(before):
        return before
    said = claim(report, citation.target)
    if not said:
        return Verdict(detail={"why": "it is cited for no single claim"})
    quoting = report.provenance.mode == "extractive" or report.provenance.engine == "local"
    if quoting and entail.bare(citation.quote) in entail.bare(said):
        return Verdict(detail={"why": "the claim is the quote itself"})
    texts = [page.text] if page is not None else [citation.quote] if len(citation.quote.split()) >= 5 else []
    if not texts:
        return Verdict(detail={"why": "its page was not read"})
    found = support.judge(said, texts, rarity if page is not None else None)
    told = found.told()
    if page is None:
        # The vendor's excerpt is all there is: it can show that a claim is covered, never that it is not.
        verdict = told.verdict if found.verdict == "lexically_supported" else "uncertain"
        return told.model_copy(update={"verdict": verdict, "detail": {**told.detail, "against": "excerpt"}})
    if found.verdict == "lexically_unsupported" and len(siblings) > 1:
        together = support.judge(said, siblings, rarity)
        if together.verdict != "lexically_unsupported":
            return told.model_copy(update={"verdict": "uncertain", "detail": {**told.detail, "shared": True}})
    return told
