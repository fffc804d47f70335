"""Choosing what to read next: leads from searches and links from pages, the most promising first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from spadework.engines.local.document import Document
from spadework.engines.local.web.address import canonical, site, spoken
from spadework.engines.local.web.lead import Lead
from spadework.engines.local.words import covered, matter, stems

#: Reciprocal ranks are softened by this (Cormack et al. 2009 take 60 for hundreds of results; ours are ten).
SOFT = 10
#: A lead must hold this share of what matters in a question, unless a search engine of the user's own gave it.
LEAST = 0.2
#: What a link must cover of what is asked and still open.
LINKED = 0.08
#: No site gives more than this share of a round, as long as others have something.
SHARE = 1 / 3
#: So many links of one page are looked at.
LINKS = 400


def ranked(found: Sequence[Sequence[Lead]], questions: Sequence[str]) -> dict[str, tuple[float, Lead]]:
    """The leads of all lists by address: each with its score, the sum of its ranks and what it covers."""
    wishes = [matter(question) for question in questions]
    scores: dict[str, tuple[float, Lead]] = {}
    for leads in found:
        for rank, lead in enumerate(leads):
            share = max((_share(words, f"{lead.title} {lead.snippet}") for words in wishes), default=0.0)
            if share < LEAST and lead.backend != "searxng":
                continue
            score, kept = scores.get(lead.url, (share, lead))
            scores[lead.url] = (score + 1 / (SOFT + rank), kept if kept.text or not lead.text else lead)
    return scores


def linked(
    documents: Iterable[Document], asked: Sequence[str], still: Collection[str]
) -> dict[str, tuple[float, Lead]]:
    """The pages that documents link to, by what the link's words and address cover.

    What is `still` open counts twice as much as what is merely `asked`.
    """
    scores: dict[str, tuple[float, Lead]] = {}
    for document in documents if still else ():
        for link in document.links[:LINKS]:
            url = canonical(link.href, document.path)
            if url is None:
                continue
            said = document.text[link.start : link.end]
            told = f"{said} {spoken(url)}"
            share = (2 * _share(tuple(still), told) + _share(asked, told)) / 3
            if share >= LINKED and share > scores.get(url, (0.0, None))[0]:
                scores[url] = (share, Lead(url, said[:300], backend="link"))
    return scores


def best(scored: dict[str, tuple[float, Lead]], most: int) -> list[Lead]:
    """The best leads, no site having more than its share while others have something."""
    order = [lead for _, lead in sorted(scored.values(), key=lambda pair: (-pair[0], pair[1].url))]
    limit = max(3, round(most * SHARE))
    taken: list[Lead] = []
    over: list[Lead] = []
    counts: dict[str, int] = {}
    for lead in order:
        home = site(lead.url)
        counts[home] = counts.get(home, 0) + 1
        (taken if counts[home] <= limit else over).append(lead)
    return [*taken, *over][:most]


def _share(words: Sequence[str], text: str) -> float:
    present = stems(text)
    return sum(covered(word, present) for word in words) / (len(words) or 1)
