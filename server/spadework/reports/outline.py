"""A report's sections: its Markdown headings, with ids that an agent can name and spans that cover the whole text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+([^\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and all below it, up to the next heading of its rank; `depth` is 1 for the outermost.

    What stands before the first heading is section `s0`. Positions are code points of the report's text.
    """

    id: str
    title: str
    depth: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many characters the section has, its subsections included."""
        return self.end - self.start


def fences(text: str) -> tuple[tuple[int, int], ...]:
    """The spans of fenced code, fences included; one that is never closed runs to the end."""
    spans: list[tuple[int, int]] = []
    opened: tuple[int, str] | None = None
    for match in _FENCE.finditer(text):
        mark, rest = match.group(1), match.group(2)
        if opened is None:
            if not (mark[0] == "`" and "`" in rest):
                opened = (match.start(), mark)
        elif mark.startswith(opened[1]) and not rest.strip():
            spans.append((opened[0], match.end()))
            opened = None
    if opened is not None:
        spans.append((opened[0], len(text)))
    return tuple(spans)


def outline(text: str) -> tuple[Section, ...]:
    """The sections of a Markdown text in reading order; a text without headings is one section, `s1`."""
    found = list(_headings(text))
    if not found:
        return (Section("s1", "", 1, 0, len(text)),)
    sections: list[Section] = []
    if text[: found[0][0]].strip():
        sections.append(Section("s0", "", 1, 0, found[0][0]))
    counts: list[int] = []
    ranks: list[int] = []
    ends = _ends([rank for _, rank, _ in found], [at for at, _, _ in found], len(text))
    for (at, rank, title), end in zip(found, ends, strict=True):
        while ranks and ranks[-1] >= rank:
            ranks.pop()
        ranks.append(rank)
        depth = len(ranks)
        counts = [*counts[:depth], *([0] * (depth - len(counts)))]
        counts[depth - 1] += 1
        # Blank lines before the first heading belong to it, so that the sections cover the text.
        start = 0 if not sections else at
        sections.append(Section("s" + ".".join(map(str, counts)), title, depth, start, end))
    return tuple(sections)


def _headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each heading stands, its rank (1 to 6) and its title; none from fenced code."""
    code = iter(fences(text))
    span = next(code, None)
    for match in _HEADING.finditer(text):
        while span is not None and span[1] <= match.start():
            span = next(code, None)
        if span is not None and span[0] <= match.start():
            continue
        yield match.start(), len(match.group(1)), _title(match.group(2).strip())


def _title(heading: str) -> str:
    """A heading without the closing signs that Markdown allows behind it."""
    bare = heading.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else heading


def _ends(ranks: list[int], starts: list[int], length: int) -> list[int]:
    """Where each section ends: at the next heading of the same or a higher rank."""
    ends = [length] * len(ranks)
    waiting: list[int] = []
    for index, rank in enumerate(ranks):
        while waiting and ranks[waiting[-1]] >= rank:
            ends[waiting.pop()] = starts[index]
        waiting.append(index)
    return ends
