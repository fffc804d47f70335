"""Choosing quotes: the sentences of the best passages that say most about a question, word for word.

A quote is a slice of its document. It must share enough of what the question asks for, by weight and by number of
words: one common word in common is no evidence. Headings, bare lists of links and lines of contents are never quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from spadework.engines.local.chunk import ARROW
from spadework.engines.local.cut import cut, says
from spadework.engines.local.extract.kinds import kind_of
from spadework.engines.local.index import Index, Passage
from spadework.engines.local.plan import Part
from spadework.engines.local.retrieve import Hit, Weights, rank
from spadework.engines.local.words import FRAME, covered, keys, literals, matter, mentions, stem, stems, terms
from spadework.evidence.quotes import check
from spadework_tools.models import Effort

Judgement = Literal["found", "partial", "not found"]

#: How many passages are looked through and how many quotes are kept for each question, by effort.
DEPTH: dict[Effort, tuple[int, int]] = {"low": (16, 4), "medium": (30, 6), "high": (60, 8)}
#: A question is answered when the quotes cover this share of its words, by weight.
ENOUGH = 0.7
#: What a word of the question counts when the passage's title already holds it.
TITLED = 0.3
_PER_PASSAGE = 3
_SAME = 0.75
#: A single word of the question is evidence where it carries this share of it.
_ONE_WORD = 0.7
_FEW_WORDS = 8
#: From this many letters on, a text that holds the whole question is an echo of it and no answer.
_ECHO = 20
_CONSIDERED = 150
#: A sentence with one word of the question is evidence where its passage holds this share of the question.
_AROUND = 0.7
#: A quote that adds no new word must hold this share of what the fullest quote holds.
_NEARLY = 0.65


@dataclass(frozen=True, slots=True)
class Quote:
    """A slice of a document: `text` is the document's text from `start` to `end`; `sha256` names that text."""

    path: str
    title: str
    sha256: str
    heading: str
    start: int
    end: int
    text: str
    score: float
    covers: tuple[str, ...]
    page: int | None = None
    line: int | None = None
    published: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found for one question: its quotes, best first, and which of its words they leave open."""

    question: str
    quotes: tuple[Quote, ...]
    covered: tuple[str, ...]
    open: tuple[str, ...]
    judgement: Judgement


@dataclass(frozen=True)
class _Ask:
    """A question as sentences are judged by it: each word that matters, and of its context, with its weight."""

    weights: dict[str, float]
    context: dict[str, float]
    literals: tuple[str, ...]
    wants_number: bool
    asked: str = ""

    @cached_property
    def whole(self) -> float:
        return sum(self.weights.values()) or 1.0

    def share(self, words: Iterable[str]) -> float:
        """The share of the question that these words are, by weight."""
        return sum(self.weights[word] for word in words) / self.whole

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """What a text must contain, one of them at least, to hold any of the question's words."""
        return tuple({stem(part) for word in self.weights for part in (word, *word.split("_")) if part})

    def touches(self, text: str) -> bool:
        """Whether a text may hold a word of the question: a quick look that spares most sentences the slow one."""
        low = text.lower()
        return not text.isascii() or any(piece in low for piece in self.pieces)

    def echoes(self, text: str) -> bool:
        """Whether a text repeats the question: whoever asks the same has not answered it."""
        return len(self.asked) >= _ECHO and self.asked in _plain(text)

    def spelled(self, text: str) -> float:
        """The share of the question's literals that stand in a text letter by letter."""
        low = text.lower() if self.literals else ""
        return sum(literal in low for literal in self.literals) / (len(self.literals) or 1)

    def fitting(self, present: frozenset[str]) -> float:
        """The share of what the question leaves unsaid (the question before it, the list's lead) among these stems."""
        held = sum(weight for word, weight in self.context.items() if covered(word, present))
        return held / (sum(self.context.values()) or 1.0)

    def held(self, present: frozenset[str]) -> frozenset[str]:
        """The question's words among these stems."""
        return frozenset(word for word in self.weights if covered(word, present))


@dataclass(frozen=True)
class _Sentence:
    """A candidate: where it stands, and what of the question it, its headings and its whole passage hold."""

    hit: Hit
    start: int
    end: int
    place: int
    own: frozenset[str]
    around: frozenset[str]
    near: frozenset[str]
    stems: frozenset[str]
    value: float

    @property
    def text(self) -> str:
        passage = self.hit.passage
        return passage.text[self.start : self.end]

    @property
    def figures(self) -> frozenset[str]:
        """The numbers it gives."""
        return frozenset(word for word in self.stems if word[:1].isdigit())

    @property
    def both(self) -> frozenset[str]:
        return self.own | self.around


def find(index: Index, part: Part, effort: Effort, dense: Mapping[int, float] | None = None) -> Finding:
    """The best quotes for one question, and how much of it they cover; `dense` as `rank` takes it."""
    weigh = Weights(index)
    passages, most = DEPTH[effort]
    hits = rank(index, part.query, passages, weigh, dense)
    ask = _asked(part, weigh)
    top = max((hit.score for hit in hits), default=1.0) or 1.0
    every = [sentence for hit in hits for sentence in _sentences(hit, hit.score / top, ask)]
    fit = [sentence for sentence in every if _bears(sentence, ask)]
    chosen = _diverse(_lifted(fit, hits, ask), ask, most)
    chosen += _bridges(chosen, every, hits)[: max(0, most + 2 - len(chosen))]
    quotes = tuple(quote for quote in (_quote(index, sentence) for sentence in chosen) if quote)
    return _finding(part.text, quotes, ask, weigh)


def _asked(part: Part, weigh: Weights) -> _Ask:
    asks = part.text.lower()
    number = any(
        sign in asks
        for sign in ("how many", "how much", "how long", "how often", "default", "limit", "maximum", "minimum")
    )
    weights = {word: weigh(word) for word in matter(part.text)}
    context = {word: weigh(word) for word in matter(part.query) if word not in weights}
    number = number or "when " in asks or "year" in asks
    return _Ask(weights, context, literals(part.text), number, _plain(part.text))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _sentences(hit: Hit, rank_share: float, ask: _Ask) -> Iterator[_Sentence]:
    """The passage's sentences that have anything to do with the question, judged."""
    passage = hit.passage
    around = ask.held(stems(passage.heading))
    every = stems(passage.text) | stems(passage.heading)
    near = ask.held(every)
    floor = 0.5 * rank_share + 0.2 * ask.share(near) + 0.1 * ask.spelled(passage.text) + 0.5 * ask.fitting(every)
    place = 0
    for start, end in cut(passage, ask.weights):
        text = passage.text[start:end]
        if place and not ask.touches(text):
            place += 1
            continue
        present = stems(text)
        own = ask.held(present)
        if (own or place == 0) and says(passage, start, end) and not ask.echoes(text):
            value = floor + _value(text, own, around, ask) + (0.7 + 0.2 / (1 + place)) * ask.share(around)
            yield _Sentence(hit, start, end, place, own, around, near, present, value * _readable(text, passage.path))
            place += 1
        elif not own:
            place += 1


def _value(text: str, own: frozenset[str], around: frozenset[str], ask: _Ask) -> float:
    """What a sentence says of the question; words that its headings hold count less, and length is held against it."""
    said = ask.share(own - around) + TITLED * ask.share(own & around)
    value = said / math.sqrt(1 + len(text.split()) / 25) + 0.5 * ask.share(own | around)
    value += 0.3 * ask.spelled(text)
    return value + (0.35 if ask.wants_number and own and any(map(str.isdigit, text)) else 0.0)


def _readable(text: str, path: str) -> float:
    """How much a text reads as a statement: less for code, data and figures, less for a question or a fragment."""
    letters = (sum(map(str.isalpha, text)) + text.count(" ") + text.count("\n")) / len(text)
    signs = sum(map(text.count, "(){}[]=_;<>\\|")) / len(text)
    value = 0.5 + 0.5 * min(1.0, letters / 0.85) - min(0.4, 3 * max(0.0, signs - 0.04))
    if "\n    " in text:
        value *= 0.75
    if text.endswith(("?", ":")):
        value *= 0.6
    if len(text.split()) < _FEW_WORDS and text.isascii():
        value *= 0.85
    return value * (0.8 if kind_of(path) in ("code", "table") else 1.0)


def _bears(sentence: _Sentence, ask: _Ask) -> bool:
    """The floor: enough of the question by weight, and not by one common word alone.

    A sentence may leave to its headings and to the sentences around it what they are about.
    """
    count = len(ask.weights)
    if count == 1:
        return bool(sentence.own) or (bool(sentence.around) and sentence.place == 0)
    share, least = ask.share(sentence.both), max(0.2, min(0.45, 1.6 / count))
    if not sentence.own:
        return sentence.place == 0 and share >= max(0.5, least)
    if len(sentence.both) >= (2 if count < 6 else 3):
        return share >= least
    return share >= _ONE_WORD or (ask.share(sentence.near) >= _AROUND and ask.share(sentence.own) >= least / 2)


def _lifted(fit: list[_Sentence], hits: Sequence[Hit], ask: _Ask) -> list[_Sentence]:
    """The sentences, those that name another found document raised: they say how the two belong together."""
    titles = {key: hit.passage.document for hit in hits[:8] for key in keys(hit.passage.title)}
    bonus = 2 / ask.whole
    lifted: list[_Sentence] = []
    for sentence in fit:
        named = {titles[key] for key in mentions(sentence.text, titles)} - {sentence.hit.passage.document}
        value = sentence.value + (min(bonus, 0.2) if named else 0.0)
        lifted.append(_valued(sentence, value))
    return lifted


def _valued(sentence: _Sentence, value: float) -> _Sentence:
    s = sentence
    return _Sentence(s.hit, s.start, s.end, s.place, s.own, s.around, s.near, s.stems, value)


def _diverse(fit: list[_Sentence], ask: _Ask, most: int) -> list[_Sentence]:
    """The best sentences, each new one weighed against those taken: what is said again counts less."""
    left = sorted(fit, key=lambda sentence: -sentence.value)[:_CONSIDERED]
    floor = 0.5 * left[0].value if left else 0.0
    strong = _NEARLY * max((ask.share(one.both) for one in left), default=0.0)
    taken: list[_Sentence] = []
    said: frozenset[str] = frozenset()
    loss = [0.0] * len(left)
    while left and len(taken) < most:
        gains = [one.value + 0.25 * ask.share(one.both - said) - lost for one, lost in zip(left, loss, strict=True)]
        at = gains.index(max(gains))
        best = left.pop(at)
        loss.pop(at)
        if best.value < floor:
            break
        weighty = max(ask.share(best.both), ask.share(best.near) if best.own else 0.0) >= strong
        if _fits(best, taken) and (weighty or not best.both <= said):
            taken.append(best)
            said |= best.both
            loss = [max(lost, _likeness(one, best)) for one, lost in zip(left, loss, strict=True)]
    return taken


def _likeness(one: _Sentence, taken: _Sentence) -> float:
    """What a sentence loses beside one that is taken: it says the same, or stands in the same document."""
    # Two sources that give different figures for the same thing are both worth showing.
    same = _alike(one, taken) if one.figures == taken.figures else 0.5 * _alike(one, taken)
    return 0.5 * same + 0.1 * (one.hit.passage.document == taken.hit.passage.document)


def _alike(one: _Sentence, other: _Sentence) -> float:
    return len(one.stems & other.stems) / (len(one.stems | other.stems) or 1)


def _fits(one: _Sentence, taken: list[_Sentence]) -> bool:
    near = [other for other in taken if other.hit.passage.id == one.hit.passage.id]
    overlap = any(one.start < other.end and other.start < one.end for other in near)
    repeated = any(_alike(one, other) >= _SAME and one.figures == other.figures for other in taken)
    return not overlap and not repeated and len(near) < _PER_PASSAGE


def _bridges(chosen: list[_Sentence], every: list[_Sentence], hits: Sequence[Hit]) -> list[_Sentence]:
    """From documents that a chosen quote names: the sentence there that says most, though it shares few words."""
    have = {sentence.hit.passage.document for sentence in chosen}
    titles = {key: hit.passage.document for hit in hits[:8] for key in keys(hit.passage.title)}
    named = {titles[key] for sentence in chosen for key in mentions(sentence.text, titles)} - have
    found: list[_Sentence] = []
    for document in sorted(named):
        there = [one for one in every if one.hit.passage.document == document and (one.own or one.place == 0)]
        if there:
            found.append(max(there, key=lambda one: one.value))
    return sorted(found, key=lambda one: -one.value)


def _quote(index: Index, sentence: _Sentence) -> Quote | None:
    passage = sentence.hit.passage
    kept = index.document(passage.document)
    start, end = passage.start + sentence.start, passage.start + sentence.end
    if kept is None or kept.text[start:end] != sentence.text:
        # Another process took the file in again between our two looks; what it says now is not what we judged.
        return None
    if check(sentence.text, sentence.text).verdict != "verbatim" or not check(sentence.text, kept.text).accepted:
        return None
    return Quote(
        path=kept.path,
        title=kept.title,
        sha256=kept.sha256,
        heading=_section(passage),
        start=start,
        end=end,
        text=sentence.text,
        score=round(sentence.value, 4),
        covers=tuple(sorted(sentence.both)),
        page=sum(1 for first in kept.pages if first <= start) or None,
        line=kept.text.count("\n", 0, start) + 1,
        published=kept.published,
    )


def _section(passage: Passage) -> str:
    """The headings below the title."""
    return "" if passage.heading == passage.title else passage.heading.removeprefix(passage.title + ARROW)


def _finding(question: str, quotes: tuple[Quote, ...], ask: _Ask, weigh: Weights) -> Finding:
    said = {word for quote in quotes for word in quote.covers}
    open_words = tuple(word for word in ask.weights if word not in said)
    judgement: Judgement = "not found"
    if quotes:
        named = any(_names(word, question) or weigh(word) >= weigh("") for word in open_words)
        judgement = "partial" if named or ask.share(said) < ENOUGH else "found"
    return Finding(question, quotes, tuple(word for word in ask.weights if word in said), open_words, judgement)


def _names(word: str, question: str) -> bool:
    """Whether a word of the question is a name: an identifier, a figure, or capitalised within the question."""
    if "_" in word or any(letter.isdigit() for letter in word):
        return True
    places = question.split()[1:]
    return any(
        place.strip("\"'(),.?:;")[:1].isupper() and word in terms(place) and word not in FRAME for place in places
    )
