"""Searching inside a finished job: the sentences of its kept sources that say most about a question, word for word.

Why no index: a job's snapshots are few, and finding a dozen words in a megabyte takes milliseconds.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from spadework_tools.errors import BadRequest
from spadework_tools.models import Citation, Report, Source

_WORD = re.compile(r"\w+")
_END = re.compile(r"[.!?][\"')\]”’]*\s+(?=[^\sa-z])|[。！？]|\n")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_STOP_WORDS = """
a an and are as at be by for from has have he in is it its of on or that the to was were who which what when where
why how did does do whose whom with into than then this these those there both same after before during first also
had can could would should not no
"""
_STOP: Final = frozenset(_STOP_WORDS.split())
_LONGEST: Final = 600
_TERMS: Final = 24
_HITS: Final = 20_000
_CITED_BONUS: Final = 1.2


@dataclass(frozen=True, slots=True)
class Hit:
    """A verbatim slice of a source: `snapshot[start:end] == text` where the source has one."""

    source: Source
    text: str
    start: int | None
    end: int | None
    score: float
    citation: Citation | None = None


def evidence(report: Report, texts: Mapping[str, str], query: str | None, limit: int = 8) -> tuple[Hit, ...]:
    """The sentences of a report's sources and citations that best match a question, best first.

    Args:
        report: the finished report.
        texts: its kept snapshots, by their sha256.
        query: what to look for, in words.
        limit: how many at most.

    Raises:
        BadRequest: there is nothing to look for.
    """
    terms = _terms(query or "")
    if not terms:
        raise BadRequest(
            "view=evidence needs a query with at least one telling word. "
            "Say in a few words what the quotes should be about."
        )
    found = [*_quoted(report, texts, terms), *_sentences(report, texts, terms)]
    weights = _weights(terms, found, texts)
    hits = [_hit(item, weights) for item in found]
    return _best(hits, limit)


@dataclass(frozen=True, slots=True)
class _Found:
    source: Source
    text: str
    start: int | None
    end: int | None
    terms: frozenset[str]
    citation: Citation | None


def _terms(query: str) -> tuple[str, ...]:
    """The query's telling words, without endings; runs of a script without spaces as pairs of characters."""
    words = [word.casefold() for word in _WORD.findall(_CJK.sub(" ", query))]
    telling = [_stem(word) for word in words if word not in _STOP and (len(word) > 1 or word.isdigit())]
    pairs = [run[at : at + 2] for run in _CJK.findall(query) for at in range(max(1, len(run) - 1))]
    return tuple(dict.fromkeys([*telling, *pairs]))[:_TERMS]


def _stem(word: str) -> str:
    for ending in ("ingly", "edly", "ing", "ies", "ed", "es", "ly", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def _quoted(report: Report, texts: Mapping[str, str], terms: tuple[str, ...]) -> Iterator[_Found]:
    """The citations whose source was not kept: their quotes are all there is."""
    sources = {source.id: source for source in report.sources}
    for citation in report.citations:
        source = sources.get(citation.source_id)
        if source is None or not citation.quote or (source.sha256 or "") in texts:
            continue
        held = frozenset(term for term in terms if next(_places(citation.quote.casefold(), term), None) is not None)
        if held:
            yield _Found(source, citation.quote, citation.start, citation.end, held, citation)


def _sentences(report: Report, texts: Mapping[str, str], terms: tuple[str, ...]) -> Iterator[_Found]:
    """The sentences of the kept sources that hold at least one term."""
    cited: dict[str, list[Citation]] = defaultdict(list)
    for citation in report.citations:
        cited[citation.source_id].append(citation)
    seen: set[str] = set()
    for source in report.sources:
        text = texts.get(source.sha256 or "")
        if text is None or source.sha256 is None or source.sha256 in seen:
            continue
        seen.add(source.sha256)
        for start, end, held in _held(text, terms):
            yield _Found(source, text[start:end], start, end, held, _cites(cited[source.id], start, end))


def _held(text: str, terms: tuple[str, ...]) -> Iterator[tuple[int, int, frozenset[str]]]:
    """The sentences of one text that hold a term: where, and which terms."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a few letters change length; places must not
        lowered = "".join(low if len(low := char.lower()) == 1 else char for char in text)
    bounds = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    held: dict[int, dict[str, int]] = defaultdict(dict)
    for term in terms:
        for place in _places(lowered, term):
            held[bisect_right(bounds, place) - 1].setdefault(term, place)
    for index, places in held.items():
        start, end = _trimmed(text, bounds[index], bounds[index + 1], min(places.values()))
        kept = frozenset(term for term, place in places.items() if start <= place < end)
        if end - start >= 8:
            yield start, end, kept


def _places(lowered: str, term: str) -> Iterator[int]:
    """Where a term begins a word (anywhere, in a script without spaces)."""
    place, free = -1, bool(_CJK.match(term))
    for _ in range(_HITS):
        place = lowered.find(term, place + 1)
        if place < 0:
            return
        if free or place == 0 or not lowered[place - 1].isalnum():
            yield place


def _trimmed(text: str, start: int, end: int, place: int) -> tuple[int, int]:
    """A sentence without outer white space; a very long one is cut to the words around its first term."""
    if end - start > _LONGEST:
        start = max(start, place - _LONGEST // 3)
        start = text.find(" ", start, place) + 1 or start
        end = min(end, start + _LONGEST)
        end = text.rfind(" ", place, end) if " " in text[place:end] else end
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _cites(citations: list[Citation], start: int, end: int) -> Citation | None:
    for citation in citations:
        if citation.start is not None and citation.end is not None and citation.start < end and start < citation.end:
            return citation
    return None


def _weights(terms: tuple[str, ...], found: list[_Found], texts: Mapping[str, str]) -> dict[str, float]:
    total = max(len(found), sum(map(len, texts.values())) // 120) + 1
    holding = {term: sum(term in item.terms for item in found) for term in terms}
    return {term: math.log(1 + (total - df + 0.5) / (df + 0.5)) for term, df in holding.items()}


def _hit(item: _Found, weights: dict[str, float]) -> Hit:
    score = sum(weights[term] for term in item.terms) / math.sqrt(1 + len(item.text) / 150)
    if item.citation is not None:
        score *= _CITED_BONUS
    return Hit(item.source, item.text, item.start, item.end, round(score, 4), item.citation)


def _best(hits: list[Hit], limit: int) -> tuple[Hit, ...]:
    """The best hits, each text once."""
    kept: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: -hit.score):
        kept.setdefault(" ".join(hit.text.split()), hit)
        if len(kept) == limit:
            break
    return tuple(kept.values())
