"""Whether a claim's words, numbers and names are found in the texts it cites; by counting words, with no model.

A logistic regression over seven features of the words, fitted on AttributionBench's development pairs (1,198). It sees
what is missing, never what is meant: a sentence that says the opposite in the same words looks supported to it. So it
has no verdict that says contradicted or proved, and where it is not sure, or cannot tell (two languages), it says
`uncertain`.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from spadework.evidence.language import language
from spadework_tools.models import Verdict

SupportVerdict = Literal["lexically_supported", "uncertain", "lexically_unsupported"]
METHOD: Final = "lexical-v1"
#: Below and above these probabilities it speaks; measured on the development pairs.
UNSUPPORTED, SUPPORTED = 0.2, 0.8
#: What a claim and a source may have at most, in characters; what is beyond is not looked at.
LONGEST_CLAIM, LONGEST_TEXT = 4_000, 1_000_000
#: The regression knows passages, not books: of a longer text, so many characters around its best windows are judged.
_LONG, _AROUND, _BEST = 6_000, 1_200, 3

_STOP_WORDS = """
a an and are as at be by for from has have he in is it its of on or that the to was were which who what when where why
how did does do whose whom with into than then this these those there both same after before during first also had
"""
_STOP: Final = frozenset(_STOP_WORDS.split())
_SUFFIXES: Final = ("'s", "ingly", "edly", "ing", "ies", "ed", "es", "ly", "s", "e")
_COUNTS = """two three four five six seven eight nine ten eleven twelve"""
_COUNTED: Final = {word: str(number) for number, word in enumerate(_COUNTS.split(), 2)}
_CJK: Final = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])\w)+(?:['’]s\b)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]”’]*\s+|(?<=[。！？])|\n+")
_MARKS = re.compile(r"\[(?:c?\d{1,4}|web:\d{1,4})\]|[*_`#>|]+|\[([^\[\]]{0,300}+)\]\([^()\s]{0,2000}+\)")


@dataclass(frozen=True, slots=True)
class Finding:
    """What the count found: a verdict, the probability behind it, and what of the claim is in none of the texts.

    `coverage` is the share of the claim's telling words, weighed by their rarity, that stand in the best passage.
    """

    verdict: SupportVerdict
    probability: float
    missing_numbers: tuple[str, ...] = ()
    missing_names: tuple[str, ...] = ()
    coverage: float = 0.0

    def told(self) -> Verdict:
        """The finding as a citation's verdict."""
        detail: dict[str, object] = {"coverage": round(self.coverage, 3), "p": round(self.probability, 3)}
        if self.missing_numbers:
            detail["missing_numbers"] = list(self.missing_numbers)
        if self.missing_names:
            detail["missing_names"] = list(self.missing_names)
        return Verdict(verdict=self.verdict, method=METHOD, detail=detail)


class Rarity:
    """How rare words are in the texts of a report; a word that none of them holds is the rarest."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._held: Counter[str] = Counter()
        self._total = 0
        for text in texts:
            self._held.update(_evidence(text).words)
            self._total += 1

    def of(self, word: str) -> float:
        """ln(1 + (N - df + 0.5) / (df + 0.5))."""
        held = self._held[word]
        return math.log(1 + (self._total - held + 0.5) / (held + 0.5))


def judge(claim: str, texts: Sequence[str], rarity: Rarity | None = None) -> Finding:
    """Whether the texts, taken together, hold what a claim says, as far as words can tell.

    Args:
        claim: a sentence or two; marks such as `[c3]` and Markdown do not count.
        texts: what is cited for it.
        rarity: how rare words are; by default in these texts alone.

    Returns:
        The finding; `uncertain` also where the claim has no telling word or is in another language than the texts.
    """
    said = _claim(claim)
    held = [_evidence(text[:LONGEST_TEXT]) for text in texts if text.strip()]
    if not held or not said.words or not _comparable(said, held):
        return Finding("uncertain", 0.5)
    rarity = rarity or Rarity(texts)
    lacking = _lacking(said, held)
    looked = (_features(said, part, lacking, rarity) for part in _passages(said, held, rarity))
    best = max(looked, key=_Features.weighed)
    probability = 1 / (1 + math.exp(-best.weighed()))
    verdict: SupportVerdict = "uncertain"
    if probability < UNSUPPORTED:
        verdict = "lexically_unsupported"
    elif probability > SUPPORTED and not lacking.numbers:
        verdict = "lexically_supported"
    return Finding(verdict, probability, lacking.numbers, lacking.names, best.best)


def _passages(said: _Claim, held: Sequence[_Evidence], rarity: Rarity) -> Iterable[Sequence[_Evidence]]:
    """What is judged together: all the texts where they are short, else the passages around the best windows."""
    if sum(len(one.text) for one in held) <= _LONG:
        return (held,)
    ranked = heapq.nlargest(
        _BEST,
        ((_covered(said, window.words, rarity), at, window) for at, one in enumerate(held) for window in one.windows),
        key=lambda found: found[:2],
    )
    return [(_read(_around(held[at], window)),) for _, at, window in ranked]


def _around(one: _Evidence, window: _Window) -> str:
    """The text around a window, from sentence to sentence."""
    starts = [other.start for other in one.windows if other.start >= window.start - _AROUND]
    ends = [other.end for other in one.windows if other.end <= window.end + _AROUND]
    return one.text[min(starts) : max(ends)]


def _covered(said: _Claim, words: AbstractSet[str], rarity: Rarity) -> float:
    """The share of a claim's words that are among these, weighed by their rarity."""
    whole = sum(rarity.of(word) for word in said.words)
    return sum(rarity.of(word) for word in said.words if word in words) / (whole or 1.0)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim's telling words in their order, all its words in pairs, its numbers, and its capitalised words."""

    words: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    numbers: tuple[str, ...]
    names: tuple[tuple[str, str], ...]
    language: str | None


@dataclass(frozen=True, slots=True)
class _Window:
    """Two neighbouring sentences of a text."""

    start: int
    end: int
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """A source text with its words, pairs and numbers, and its windows."""

    text: str
    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    numbers: frozenset[str]
    windows: tuple[_Window, ...]
    language: str | None


@dataclass(frozen=True, slots=True)
class _Lacking:
    """What of a claim is in none of the texts, and how many numbers and names it has in all."""

    numbers: tuple[str, ...]
    names: tuple[str, ...]
    numbers_of: int
    names_of: int


@dataclass(frozen=True, slots=True)
class _Features:
    anywhere: float
    best: float
    paired: float
    numberless: float
    nameless: float
    length: float
    numbered: float

    def weighed(self) -> float:
        return (
            0.375
            + 0.142 * self.anywhere
            + 1.990 * self.best
            + 1.812 * self.paired
            - 2.481 * self.numberless
            - 0.475 * self.nameless
            - 0.338 * self.length
            + 0.593 * self.numbered
        )


def _lacking(said: _Claim, held: Sequence[_Evidence]) -> _Lacking:
    stated, named = tuple(dict.fromkeys(said.numbers)), dict(said.names)
    numbers = tuple(number for number in stated if not any(number in one.numbers for one in held))
    names = tuple(name for name, stem in named.items() if not any(stem in one.words for one in held))
    return _Lacking(numbers, names, len(stated), len(named))


def _features(said: _Claim, held: Sequence[_Evidence], lacking: _Lacking, rarity: Rarity) -> _Features:
    paired = sum(any(pair in one.pairs for one in held) for pair in said.pairs)
    return _Features(
        anywhere=_covered(said, frozenset[str]().union(*(one.words for one in held)), rarity),
        best=max((_covered(said, window.words, rarity) for one in held for window in one.windows), default=0.0),
        paired=paired / len(said.pairs) if said.pairs else 0.0,
        numberless=len(lacking.numbers) / max(1, lacking.numbers_of),
        nameless=len(lacking.names) / max(1, lacking.names_of),
        length=math.log(1 + sum(len(one.text) for one in held)),
        numbered=1.0 if lacking.numbers_of else 0.0,
    )


def plain(claim: str) -> str:
    """A claim without citation marks and Markdown signs, on one line."""
    return " ".join(_MARKS.sub(lambda mark: f" {mark[1] or ''} ", claim[:LONGEST_CLAIM]).split())


def _claim(claim: str) -> _Claim:
    text = plain(claim)
    tokens = _stems(text)
    names: list[tuple[str, str]] = []
    for sentence in _SENTENCE.split(text):
        spelled = _TOKEN.findall(sentence)
        names += [(word, _stem(word)) for word in spelled[1:] if word[0].isupper() and word.casefold() not in _STOP]
    return _Claim(
        words=tuple(dict.fromkeys(word for word in tokens if word not in _STOP)),
        pairs=tuple(dict.fromkeys(itertools.pairwise(tokens))),
        numbers=tuple(_numbers(text)),
        names=tuple(names),
        language=language(_words(text)),
    )


# A report's citations are judged source by source, so a few texts are asked for again and again.
@lru_cache(maxsize=16)
def _evidence(text: str) -> _Evidence:
    return _read(text)


def _read(text: str) -> _Evidence:
    tokens = _stems(text)
    return _Evidence(
        text=text,
        words=frozenset(tokens),
        pairs=frozenset(itertools.pairwise(tokens)),
        numbers=frozenset(_numbers(text)),
        windows=tuple(_windows(text)),
        language=language(_words(text)),
    )


def _windows(text: str) -> Iterator[_Window]:
    """Each two neighbouring sentences; a text of one sentence is its own window."""
    ends = [*(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    spans = zip([0, *ends], ends, strict=False)
    sentences = [_Window(start, end, frozenset(_stems(text[start:end]))) for start, end in spans]
    sentences = [sentence for sentence in sentences if sentence.words]
    if len(sentences) == 1:
        yield sentences[0]
    for one, two in itertools.pairwise(sentences):
        yield _Window(one.start, two.end, one.words | two.words)


def _stems(text: str) -> list[str]:
    return [_stem(word) for word in _TOKEN.findall(text)]


@lru_cache(maxsize=50_000)
def _stem(word: str) -> str:
    """A word in lower case without its ending; at least three letters stay."""
    word = word.casefold().replace("’", "'")
    if word in _STOP:
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def _numbers(text: str) -> list[str]:
    """The numbers in a text, spelled one way: `1,200` and `1200`, `3rd` and `3`, `two` and `2` are the same."""
    text = _ORDINAL.sub(r"\1", text)
    found = [number.replace(",", "").rstrip(".") for number in _NUMBER.findall(text)]
    words = (word.casefold() for word in _TOKEN.findall(text))
    return found + [_COUNTED[word] for word in words if word in _COUNTED]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _TOKEN.findall(text[:20_000])]


def _comparable(said: _Claim, held: Sequence[_Evidence]) -> bool:
    """Whether the words of both could be the same at all: no language that is known on both sides and differs."""
    languages = {one.language for one in held}
    return said.language is None or None in languages or said.language in languages
