"""Numbers that disagree: two sources that say nearly the same sentence with different figures.

Conservative: both sentences must share most of their words and the figure's unit, or the words right before it. A
pair that is left out costs the reader little; a false alarm costs trust.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from spadework.engines.local.select import Quote
from spadework.engines.local.words import STOP, stem, tokens

_FIGURE = re.compile(r"(?<![\w.])(?P<sign>[-−$€£]?)(?P<number>\d[\d,]*(?:\.\d+)?)\s?(?P<unit>%|[A-Za-zµ°]+)?(?![\w])")
#: Two sentences speak of the same thing when they share this part of their words.
_ALIKE = 0.5
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A number as written, its value without thousands commas, and what it counts."""

    written: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two quotes, by their places in the list, and the figures in which they differ."""

    left: int
    right: int
    figures: tuple[str, str]


def conflicts(quotes: Sequence[Quote]) -> tuple[Conflict, ...]:
    """The pairs of quotes from different documents that give different figures for the same thing."""
    return tuple(_conflicts(quotes))


def _conflicts(quotes: Sequence[Quote]) -> Iterator[Conflict]:
    read = [(_words(quote.text), tuple(_figures(quote.text))) for quote in quotes]
    for left, right in combinations(range(len(quotes)), 2):
        (ours, our_figures), (theirs, their_figures) = read[left], read[right]
        shared = ours & theirs
        if quotes[left].path == quotes[right].path or len(shared) < _FEWEST:
            continue
        if len(shared) < _ALIKE * len(ours | theirs):
            continue
        for one, other in _differing(our_figures, their_figures):
            yield Conflict(left, right, (one.written, other.written))


def _differing(ours: Sequence[Figure], theirs: Sequence[Figure]) -> Iterator[tuple[Figure, Figure]]:
    """Figures of the same unit, each side giving exactly one, with unlike values."""
    for unit in {figure.unit for figure in ours} & {figure.unit for figure in theirs}:
        mine = [figure for figure in ours if figure.unit == unit]
        other = [figure for figure in theirs if figure.unit == unit]
        if len(mine) == len(other) == 1 and mine[0].value != other[0].value:
            yield mine[0], other[0]


def _figures(text: str) -> Iterator[Figure]:
    for match in _FIGURE.finditer(text):
        unit = (match["unit"] or "").lower()
        if not unit or unit in STOP:
            # Without a unit the words right before it say what it is: "the port is 8080".
            before = [stem(word.lower()) for word in tokens(text[: match.start()]) if word.lower() not in STOP]
            unit = "after " + " ".join(before[-2:])
        number = match["number"].replace(",", "")
        written = (
            match[0].strip() if match["unit"] and not unit.startswith("after ") else match["sign"] + match["number"]
        )
        yield Figure(written, match["sign"].replace("−", "-") + _plain(number), stem(unit))


def _plain(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def _words(text: str) -> frozenset[str]:
    words = (word.lower() for word in tokens(text))
    return frozenset(stem(word) for word in words if word not in STOP and not word[0].isdigit())
