"""Finding the passages that bear on a question: full-text ranking, then one hop along titles and links.

A passage that answers a question often shares no word with it; what leads there is a title that a good passage
mentions, or a hyperlink in it. So the five best passages lift what they point to, the more so the more of the
question's still open words it holds. The constants were found on half of three public multi-hop question sets, where
they sit on a flat plateau.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spadework.engines.local.index import Index, Passage
from spadework.engines.local.words import mentions, runs, terms, tokens

#: How many passages full-text search hands to the ranking.
CANDIDATES = 200
#: How many of the best passages lift what they point to.
SEEDS = 5
#: How much a hop counts, how much of that depends on the words it covers, and what a title in the question is worth.
HOP, COVERAGE, TITLE = 1.0, 0.5, 1.0
#: How many passages are compared by their embeddings, and how much that counts.
EMBEDDED, DENSE = 50, 0.5
#: From this many passages on only the rarest words are looked for, since common ones cost time and tell little.
LARGE, RAREST = 100_000, 8
#: A question of more words than this is cut to its rarest.
MOST_WORDS = 64


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found, and its score; scores compare within one question only."""

    passage: Passage
    score: float


class Weights:
    """How much each word tells, by how few passages of the corpus hold it (Robertson's idf, never negative)."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._known: dict[str, float] = {}
        self.total = index.passages()

    def __call__(self, word: str) -> float:
        """The weight of one word."""
        if word not in self._known:
            held = min(self._index.frequency(word), self.total)
            self._known[word] = math.log(1 + (self.total - held + 0.5) / (held + 0.5))
        return self._known[word]


def rank(
    index: Index,
    question: str,
    limit: int = 50,
    weights: Weights | None = None,
    dense: Mapping[int, float] | None = None,
) -> tuple[Hit, ...]:
    """The passages that bear on a question, best first, at most `limit`; none where no word of it occurs.

    `dense` holds the likeness of some passages to the question by their embeddings (`candidates` names those worth it).
    """
    weigh = weights or Weights(index)
    words = _chosen(terms(question), weigh)
    scores = _fused(_direct(index, question, words), dense or {})
    best = sorted(scores, key=lambda row: (-scores[row], row))[:SEEDS]
    for row, gain in _hops(index, words, {row: scores[row] for row in best}, weigh).items():
        scores[row] = scores.get(row, 0.0) + gain
    order = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
    found = index.passage(order)
    return tuple(Hit(found[row], scores[row]) for row in order if row in found)


def candidates(index: Index, question: str, weights: Weights | None = None) -> tuple[Passage, ...]:
    """The passages whose embeddings are worth asking for: the best by the question's own words."""
    words = _chosen(terms(question), weights or Weights(index))
    scores = _direct(index, question, words)
    order = sorted(scores, key=lambda row: (-scores[row], row))[:EMBEDDED]
    found = index.passage(order)
    return tuple(found[row] for row in order if row in found)


def _fused(scores: dict[int, float], dense: Mapping[int, float]) -> dict[int, float]:
    """The scores with each passage's likeness added, the most alike gaining most; before any hop, never after."""
    if not dense:
        return scores
    low, high = min(dense.values()), max(dense.values())
    span = (high - low) or 1.0
    return {row: score + DENSE * (dense[row] - low) / span if row in dense else score for row, score in scores.items()}


def _chosen(words: tuple[str, ...], weigh: Weights) -> tuple[str, ...]:
    """The words to look for: all of them, but only the rarest in a large corpus or a very long question."""
    most = RAREST if weigh.total >= LARGE else MOST_WORDS
    if len(words) <= most:
        return words
    # A word that occurs nowhere is the rarest of all and finds nothing.
    present = [word for word in words if weigh(word) < weigh("")] or list(words)
    rarest = set(sorted(present, key=weigh, reverse=True)[:most])
    return tuple(word for word in words if word in rarest)


def _direct(index: Index, question: str, words: tuple[str, ...]) -> dict[int, float]:
    """Scores from the question's own words and from the titles it names, the best being 1."""
    rows = index.search(words, CANDIDATES)
    top = max((score for _, score in rows), default=1.0) or 1.0
    scores = {row: score / top for row, score in rows}
    for _, carriers in _mentioned(index, {0: question})[0]:
        for row in carriers:
            scores[row] = scores.get(row, 0.0) + TITLE / math.sqrt(len(carriers))
    top = max(scores.values(), default=1.0) or 1.0
    return {row: score / top for row, score in scores.items()}


def _mentioned(index: Index, texts: dict[int, str]) -> dict[int, list[tuple[str, tuple[int, ...]]]]:
    """For each text the titles that it mentions, with the passages that carry them."""
    candidates = {key for text in texts.values() for run in runs(text) for key, _ in run}
    titled = index.titled(candidates)
    return {name: [(key, titled[key]) for key in mentions(text, titled)] for name, text in texts.items()}


def _hops(index: Index, words: tuple[str, ...], seeds: dict[int, float], weigh: Weights) -> dict[int, float]:
    """What each passage gains by being pointed to from the seeds: for every one the largest gain."""
    passages = index.passage(seeds)
    mentioned = _mentioned(index, {row: passage.text for row, passage in passages.items()})
    links = {row: _links(index, row, mentioned[row]) for row in passages}
    bags = {row: _bag(passage) for row, passage in index.passage(_ends(links)).items()}
    gains: dict[int, float] = {}
    for row, passage in passages.items():
        titled = {word.lower() for word in tokens(passage.heading)}
        open_words = [(word, weigh(word)) for word in words if word not in titled]
        whole = sum(weight for _, weight in open_words) or 1.0
        for end, weight in links[row].items():
            bag = bags.get(end, frozenset())
            covered = sum(weight for word, weight in open_words if word in bag) / whole
            gain = HOP * seeds[row] * weight * (0.5 + COVERAGE * covered)
            gains[end] = max(gains.get(end, 0.0), gain)
    return gains


def _links(index: Index, row: int, mentioned: list[tuple[str, tuple[int, ...]]]) -> dict[int, float]:
    """Where a passage points, by titles it mentions and by hyperlinks: passage id and weight."""
    found: dict[int, float] = {}
    for _, carriers in mentioned:
        for end in carriers:
            found[end] = max(found.get(end, 0.0), 1 / len(carriers))
    for end, weight in index.linked(row).items():
        found[end] = max(found.get(end, 0.0), weight)
    found.pop(row, None)
    return found


def _ends(links: dict[int, dict[int, float]]) -> Iterable[int]:
    return {end for ends in links.values() for end in ends}


def _bag(passage: Passage) -> frozenset[str]:
    return frozenset(word.lower() for word in tokens(f"{passage.heading} {passage.text}"))
