"""Whether a quote stands in a text, word for word, and where.

Why not a similarity score: at any threshold that lets honest noise through, a changed number or an inserted "not"
passes too. So the letters, digits and meaning marks must be equal, and every gap between them is judged by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Literal

from spadework.evidence.edges import closes, fits, opens
from spadework.evidence.gaps import Match, compare, outer, unspaced
from spadework.evidence.letters import agree
from spadework.evidence.near import nearest
from spadework.evidence.skeleton import Skeleton, has_lists

QuoteVerdict = Literal[
    "verbatim", "verbatim_normalised", "verbatim_elided", "altered", "near_verbatim", "not_found", "too_short"
]

ACCEPTED: Final = frozenset({"verbatim", "verbatim_normalised", "verbatim_elided"})
SHORTEST: Final = 8
_HOPS: Final = 300
_SEGMENTS: Final = 12
_TRIES: Final = 200
_WORK: Final = 400_000
_AROUND: Final = 32
_OUTER = " \t\r\n\u00a0\"'“”„‟«»‘’‚‛‹›`´「」『』"
_ELLIPSIS = re.compile(r"[\[(]\s?(?:…|\.{3,}|\. \. \.)\s?[\])]|…|\.{3,}|\. \. \.(?: \.)?")
_SENTENCE_END = re.compile(r"[.!?。！？][\"'”’)\]]*(?:\s|\Z)")
_PARAGRAPH = re.compile(r"\n[ \t]*\n")
# What an elision may not hide: words that turn the statement round, in the languages we meet most.
_TURNING = re.compile(
    r"\b(?:not|no|never|neither|nor|none|nobody|nothing|nowhere|cannot|without|except|unless|hardly|barely|scarcely|"
    r"rarely|seldom|fail(?:s|ed)?|den(?:y|ies|ied)|refus(?:e|es|ed)|lack(?:s|ed)?|unable|unlikely|false|falsely|"
    r"nicht|kein\w*|nie|niemals|ohne|pas|jamais|sans|aucune?|nunca|ning[uú]n\w*|sin|não|nem|sem|non|mai|senza)\b|n['’]t\b|"
    r"[不没沒未無无非]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a quote check found; `start:end` are code points of the original text, None where nothing was found.

    `diff` lists how an altered quote differs: `op` replaced, inserted or dropped, `quote` and `source` the words.
    """

    verdict: QuoteVerdict
    start: int | None = None
    end: int | None = None
    diff: tuple[dict[str, str], ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the quote counts as occurring in the text."""
        return self.verdict in ACCEPTED


class Canon:
    """A text prepared for checking many quotes against it. Building is linear and done when first needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def skeleton(self) -> Skeleton:
        """The text's skeleton."""
        return Skeleton(self.text)

    @cached_property
    def unlisted(self) -> Skeleton | None:
        """The skeleton without list numbers; None where the text has none."""
        return Skeleton(self.text, drop_lists=True) if has_lists(self.text) else None

    def check(self, quote: str) -> Finding:
        """Judges one quote; see `check`."""
        quote = quote.strip(_OUTER)
        if _length(quote) < SHORTEST:
            return Finding("too_short")
        return self._exact(quote) or _whole(self, quote) or _elided(self, quote) or _nearest(self, quote)

    def _exact(self, quote: str) -> Finding | None:
        """The quote as it stands; its place is judged on a window around it."""
        place = -1
        for _ in range(_TRIES):
            place = self.text.find(quote, place + 1)
            if place < 0:
                return None
            if _stands_free(self.text, place, place + len(quote)):
                return Finding("verbatim", place, place + len(quote))
        return None


def check(quote: str, text: str | Canon) -> Finding:
    """Whether `quote` occurs in `text`, tolerant of extraction noise and of nothing else.

    Args:
        quote: what is said to stand in the text; outer quote marks do not count.
        text: the source's text, or a `Canon` of it.

    Returns:
        The finding; `start` and `end` are code points of the original text.
    """
    return (text if isinstance(text, Canon) else _canon(_Keyed(text))).check(quote)


class _Keyed:
    """A text as a cache key: by digest, so that the cache compares no long strings."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Keyed) and self.digest == other.digest


# Two at most: the skeleton of a 10 MB text takes several times its size.
@lru_cache(maxsize=2)
def _canon(keyed: _Keyed) -> Canon:
    return Canon(keyed.text)


def _length(quote: str) -> int:
    """A quote's length; a character of a script without spaces says about as much as two letters."""
    return sum(2 if unspaced(char) else 1 for char in quote[: SHORTEST + 1])


def _stands_free(text: str, start: int, end: int) -> bool:
    """Whether a slice of a text begins and ends between words; only its surroundings are looked at."""
    low, high = max(0, start - _AROUND), max(0, end - _AROUND)
    head = Skeleton(text[low : start + _AROUND])
    tail = Skeleton(text[high : end + _AROUND])
    return opens(head, head.position(start - low)) and closes(tail, tail.position(end - high))


def _variants(canon: Canon, quote: str) -> Iterator[tuple[Skeleton, Skeleton]]:
    """The skeletons to try: as they are, then without list numbers on one side or both."""
    ours = Skeleton(quote)
    yield ours, canon.skeleton
    bare = Skeleton(quote, drop_lists=True) if has_lists(quote) else None
    if bare:
        yield bare, canon.skeleton
    if canon.unlisted:
        yield ours, canon.unlisted
        if bare:
            yield bare, canon.unlisted


def _whole(canon: Canon, quote: str) -> Finding | None:
    """The quote in one piece, noise allowed."""
    near: Finding | None = None
    for ours, theirs in _variants(canon, quote):
        for place, match in _places(ours, theirs, 0, len(theirs.string)):
            start, end = _grown(ours, theirs, place)
            if match is Match.SAME:
                return Finding("verbatim_normalised", start, end)
            near = near or Finding("near_verbatim", start, end)
    return near


def _places(ours: Skeleton, theirs: Skeleton, low: int, high: int) -> Iterator[tuple[int, Match]]:
    """Where a quote's skeleton stands in the source with every gap the same, or nearly."""
    size = len(ours.string)
    if not size:
        return
    place, tries = low - 1, max(1, min(_TRIES, _WORK // size))
    for _ in range(tries):
        place = theirs.string.find(ours.string, place + 1, high)
        if place < 0:
            return
        match = _judged(ours, theirs, place)
        if match is not Match.CHANGED:
            yield place, match


def _judged(ours: Skeleton, theirs: Skeleton, place: int) -> Match:
    size, worst = len(ours.string), outer(ours, theirs, place)
    if not fits(theirs, place, place + size, full_stop=ours.text.endswith((".", "!", "?"))):
        return Match.CHANGED
    spots = {*ours.breaks(0, size), *(spot - place for spot in theirs.breaks(place, place + size))}
    for spot in spots:
        worst = max(worst, compare(ours, spot, theirs, place + spot))
        if worst is Match.CHANGED:
            return worst
    return worst if agree(ours, theirs, place) else max(worst, Match.NEAR)


def _grown(ours: Skeleton, theirs: Skeleton, place: int) -> tuple[int, int]:
    """The original span of a hit, with the punctuation around it that the quote has too."""
    size = len(ours.string)
    low, high = theirs.folded_at(place), theirs.folded_at(place + size - 1) + 1
    head, tail = ours.folded_at(0), ours.folded_at(size - 1) + 1
    while head and low and ours.folded[head - 1] == theirs.folded[low - 1] != " ":
        head, low = head - 1, low - 1
    while tail < len(ours.folded) and high < len(theirs.folded) and ours.folded[tail] == theirs.folded[high] != " ":
        tail, high = tail + 1, high + 1
    return theirs.origin(low), theirs.origin_end(high)


def _elided(canon: Canon, quote: str) -> Finding | None:
    """The quote in segments joined by an ellipsis: all there, in order, close together, and hiding no negation."""
    parts = [part.strip(_OUTER + ",;") for part in _ELLIPSIS.split(quote)]
    segments = [Skeleton(part) for part in parts if part]
    if not 2 <= len(segments) <= _SEGMENTS or any(_length(segment.text) < SHORTEST for segment in segments):
        return None
    source = canon.skeleton
    for place, match in _places(segments[0], source, 0, len(source.string)):
        if match is not Match.SAME:
            continue
        end = _chained(canon, segments, place)
        if end is not None:
            start = source.span(place, place + 1)[0]
            return Finding("verbatim_elided", start, end) if end - start < 3 * len(quote) + 2 * _HOPS else None
    return None


def _chained(canon: Canon, segments: list[Skeleton], place: int) -> int | None:
    """The original end of the last segment when each follows the one before it honestly, else None."""
    source = canon.skeleton
    at = place + len(segments[0].string)
    for segment in segments[1:]:
        limit = min(len(source.string), at + _HOPS + len(segment.string))
        for found, match in _places(segment, source, at, limit):
            skipped = canon.text[source.span(at - 1, at)[1] : source.span(found, found + 1)[0]]
            if match is Match.SAME and not _hides(skipped):
                at = found + len(segment.string)
                break
        else:
            return None
    return source.span(at - 1, at)[1]


def _hides(skipped: str) -> bool:
    """Whether left-out text is too much, or turns round the sentence it is torn from; whole sentences may say no."""
    if len(skipped) > _HOPS or _PARAGRAPH.search(skipped):
        return True
    ends = list(_SENTENCE_END.finditer(skipped))
    torn = (skipped[: ends[0].start()], skipped[ends[-1].end() :]) if ends else (skipped,)
    return any(_TURNING.search(part) for part in torn)


def _nearest(canon: Canon, quote: str) -> Finding:
    near = nearest(Skeleton(quote), canon.skeleton)
    if near is None:
        return Finding("not_found")
    return Finding("altered" if near.diff else "near_verbatim", near.start, near.end, near.diff)
