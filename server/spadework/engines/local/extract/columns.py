"""The columns of a PDF page that was drawn line by line across them, put one after the other.

Most programs draw a column and then the next one, and pdfium gives the text in the order in which it was drawn. Some
typesetters (tax forms, gazettes) draw each line of all columns in turn, so that every sentence is torn apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from typing import Any

import pypdfium2 as _pypdfium2  # pyright: ignore

_pdfium: Any = _pypdfium2
# How often a run of text must stand to the right of the one before it, on the same line, for a page to be looked at.
_JUMPS, _FEWEST = 0.25, 30
# A gutter is at least so wide and a column as well (points); so many of the lines may cross a gutter, as headings do.
_GUTTER, _COLUMN, _CROSSED = 6, 90, 0.15
# Cells of a table are shorter than this on average (characters); tables are read by their rows.
_CELL = 22
# Words are on one line whose middles differ by less than this share of their height.
_LEVEL = 0.3
# The share of a page's lines that must have been drawn after a line of another column.
_TORN = 0.6
# Beyond these a page is no page of columns that anyone reads, and costs too much to look at (characters, points).
_MOST_CHARS, _WIDEST = 40_000, 5_000


@dataclass(frozen=True, slots=True)
class _Word:
    left: float
    bottom: float
    right: float
    top: float
    text: str

    @property
    def middle(self) -> float:
        return (self.bottom + self.top) / 2


def columns(page: Any, bounds: Sequence[float]) -> str | None:
    """The text of a pdfium text page column by column, within its bounds; None where its own order is right."""
    try:
        return _columns(page, *bounds)
    except _pdfium.PdfiumError:
        return None  # a page whose places pdfium cannot tell is read as it was drawn


def _columns(page: Any, left: float, bottom: float, right: float, top: float) -> str | None:
    if page.count_chars() > _MOST_CHARS or right - left > _WIDEST or not _suspect(page):
        return None
    words = [one for one in _words(page) if left <= one.left <= one.right <= right and bottom <= one.middle <= top]
    lines = _lines(words)
    edges = _gutters(lines)
    if not edges or not _prose(lines, edges) or not _torn(words, lines, edges):
        return None
    return "\n".join(_ordered(lines, edges))


def _suspect(page: Any) -> bool:
    """Whether many runs of text stand beside the one drawn before: a table, or columns drawn line by line."""
    rects = [page.get_rect(number) for number in range(page.count_rects())]
    return len(rects) >= _FEWEST and sum(_beside(*pair) for pair in pairwise(rects)) >= _JUMPS * len(rects)


def _beside(one: Sequence[float], other: Sequence[float]) -> bool:
    middle = (other[1] + other[3]) / 2
    return other[0] > one[2] + _GUTTER and one[1] - _GUTTER < middle < one[3] + _GUTTER


def _words(page: Any) -> list[_Word]:
    """The page's words with their places, in the order in which they were drawn."""
    words: list[_Word] = []
    text = str(page.get_text_range())
    if len(text) != page.count_chars():
        return words  # the places of characters cannot be told
    boxes: list[tuple[float, float, float, float]] = []
    letters: list[str] = []
    for number, char in enumerate(text):
        box = page.get_charbox(number, loose=True)
        apart = bool(boxes) and (abs(box[1] - boxes[-1][1]) > _GUTTER or not -_GUTTER < box[0] - boxes[-1][2] < _GUTTER)
        if letters and (char.isspace() or apart):
            words.append(_word(boxes, letters))
            boxes, letters = [], []
        if not char.isspace():
            boxes.append(box)
            letters.append(char)
    return [*words, _word(boxes, letters)] if letters else words


def _word(boxes: list[tuple[float, float, float, float]], letters: list[str]) -> _Word:
    left, bottom, right, top = zip(*boxes, strict=True)
    return _Word(min(left), min(bottom), max(right), max(top), "".join(letters))


def _lines(words: list[_Word]) -> list[list[_Word]]:
    """The words by lines over the whole width of the page, from the top; columns may keep lines of their own."""
    lines: list[list[_Word]] = []
    for word in sorted(words, key=lambda one: -one.middle):
        if lines and abs(word.middle - lines[-1][0].middle) < _LEVEL * (word.top - word.bottom):
            lines[-1].append(word)
        else:
            lines.append([word])
    return [sorted(line, key=lambda one: one.left) for line in lines]


def _gutters(lines: list[list[_Word]]) -> list[float]:
    """The middles of the white stripes between columns, from the left; none where the page has one column."""
    if not lines:
        return []
    first = int(min(line[0].left for line in lines))
    held = _held(lines, first)
    edges: list[float] = []
    column = at = 0
    for white, stripe in groupby(held, lambda count: count <= _CROSSED * len(lines)):
        began, at = at, at + sum(1 for _ in stripe)
        if white and at - began >= _GUTTER and min(began - column, len(held) - at) >= _COLUMN:
            edges.append(first + (began + at) / 2)
            column = at
    return edges


def _held(lines: list[list[_Word]], first: int) -> list[int]:
    """How many lines have text at each point of the page's width, from `first` on."""
    steps = [0] * (int(max(word.right for line in lines for word in line)) - first + 2)
    for line in lines:
        reached = first
        for word in line:
            # A line counts once at each place, however many of its words overlap there.
            began, ended = max(int(word.left), reached), int(word.right) + 1
            if began < ended:
                steps[began - first] += 1
                steps[ended - first] -= 1
                reached = ended
    return list(accumulate(steps))[:-1]


def _prose(lines: list[list[_Word]], edges: list[float]) -> bool:
    """Whether what stands between the gutters is running text."""
    sizes: dict[int, list[int]] = {}
    for line in lines:
        for place, part in _split(line, edges).items():
            sizes.setdefault(place, []).append(sum(len(word.text) + 1 for word in part))
    return len(sizes) > len(edges) and all(sum(size) >= _CELL * len(size) for size in sizes.values())


def _torn(words: list[_Word], lines: list[list[_Word]], edges: list[float]) -> bool:
    """Whether most lines were drawn after one of another column, as they are not where a page only holds a table."""
    drawn = [_place(word, edges) for word in words]
    changes = sum(one != other for one, other in pairwise(drawn))
    return changes >= _TORN * sum(len(_split(line, edges)) for line in lines)


def _place(word: _Word, edges: list[float]) -> int:
    """The number of the column that a word begins in."""
    return sum(word.left > edge for edge in edges)


def _split(line: list[_Word], edges: list[float]) -> dict[int, list[_Word]]:
    parts: dict[int, list[_Word]] = {}
    for word in line:
        parts.setdefault(_place(word, edges), []).append(word)
    return parts


def _ordered(lines: list[list[_Word]], edges: list[float]) -> list[str]:
    """The lines column by column; a line that crosses a gutter stands between what is above it and what is below."""
    ordered: list[str] = []
    waiting: dict[int, list[str]] = {}
    for line in [*lines, []]:
        whole = not line or any(word.left < edge < word.right for word in line for edge in edges)
        if whole:
            ordered += [text for place in sorted(waiting) for text in waiting[place]]
            waiting = {}
            ordered += [_text(line)] if line else []
            continue
        for place, part in _split(line, edges).items():
            waiting.setdefault(place, []).append(_text(part))
    return ordered


def _text(words: list[_Word]) -> str:
    """A line's text; a hyphen at its end becomes the mark that pdfium sets for one."""
    text = " ".join(word.text for word in words)
    return f"{text[:-1]}\x02" if len(text) > 1 and text[-1] == "-" and text[-2].isalpha() else text
