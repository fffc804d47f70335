"""A document cut into chunks to search: half-open spans at block borders, with the way of headings down to each.

Why no overlap: a quote then lies in one chunk only, and the index holds every text once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spadework.engines.local.document import Block, Document
from spadework.engines.local.sentences import Span, sentences

ARROW = " › "
_LINEWISE = frozenset(("code", "table"))
_HEADING_MAX = 200
# A paragraph of more characters than this is none.
_PROSE_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """A half-open span of a document's text. `heading` is `title › heading › …`, `level` the last one's (0: none)."""

    start: int
    end: int
    heading: str
    level: int = 0


def chunks(document: Document, size: int = 1200) -> tuple[Chunk, ...]:
    """Cut a document at its blocks and headings into chunks of about `size` characters, in order and apart.

    A heading always starts a chunk. A block longer than one and a half sizes is cut between sentences, or between
    lines if it is code or a table. A short document (two sizes) with no heading but its title is one chunk.
    """
    blocks = document.blocks
    if not blocks:
        return ()
    cut = _Cut(document, size)
    if blocks[-1].end - blocks[0].start <= 2 * size and not any(block.level for block in blocks[1:]):
        cut.take(Block(blocks[0].start, blocks[-1].end, 0, "whole"), blocks[0])
        return cut.done()
    for block in blocks:
        cut.take(block, block)
    return cut.done()


class _Cut:
    """The chunks so far, the one being filled, and the headings above it."""

    def __init__(self, document: Document, size: int) -> None:
        self._text = document.text
        self._size = size
        self._title = document.title
        self._chunks: list[Chunk] = []
        self._above: list[tuple[int, str]] = []
        self._open: Span | None = None
        self._bare = False

    def take(self, block: Block, head: Block) -> None:
        """Add a block; `head` is the block that is a heading, if any is."""
        if head.level:
            self._close()
            self._above = [one for one in self._above if one[0] < head.level]
            self._above.append((head.level, _line(self._text[head.start : head.end])))
        if head.level or block.kind == "whole":
            self._open, self._bare = (block.start, block.end), True
            return
        for start, end in _pieces(self._text, block, self._size):
            # A heading is never left alone when text follows it.
            if self._open and (self._bare or end - self._open[0] <= self._size):
                self._open = (self._open[0], end)
            else:
                self._close()
                self._open = (start, end)
            self._bare = False

    def done(self) -> tuple[Chunk, ...]:
        """All chunks."""
        self._close()
        return tuple(self._chunks)

    def _close(self) -> None:
        if self._open:
            names = [name for _, name in self._above]
            if names[:1] != [self._title]:
                names.insert(0, self._title)
            self._chunks.append(Chunk(*self._open, ARROW.join(names), self._above[-1][0] if self._above else 0))
        self._open = None


def _pieces(text: str, block: Block, size: int) -> Iterator[Span]:
    """The block, or if it is far too long its parts of at most `size` characters."""
    if block.end - block.start <= size * 3 // 2:
        yield block.start, block.end
        return
    units = list(_units(text, block, size))
    first = 0
    for index in range(1, len(units)):
        while units[index][1] - units[first][0] > size:
            last = _best(text, units, first, index, size)
            yield units[first][0], units[last - 1][1]
            first = last
    yield units[first][0], units[-1][1]


def _best(text: str, units: list[Span], first: int, over: int, size: int) -> int:
    """Where to cut before the unit that is over: at a blank line in the second half if there is one."""
    for index in range(over, first, -1):
        gap_start, gap_end = units[index - 1][1], units[index][0]
        if gap_end - units[first][0] < size // 2:
            break
        if text.count("\n", gap_start, gap_end) > 1:
            return index
    return over


def _units(text: str, block: Block, size: int) -> Iterator[Span]:
    """The smallest spans a block is cut into: lines or sentences, and what is still too long at spaces."""
    linewise = block.kind in _LINEWISE or block.end - block.start > _PROSE_MAX
    spans = _lines(text, block) if linewise else sentences(text, block.start, block.end)
    for start, end in spans:
        while end - start > size:
            space = text.rfind(" ", start + size // 2, start + size)
            cut = space if space > start else start + size
            yield start, cut
            start = cut + (cut == space)  # noqa: PLW2901
        if start < end:
            yield start, end


def _lines(text: str, block: Block) -> Iterator[Span]:
    start = block.start
    while start < block.end:
        end = text.find("\n", start, block.end)
        end = block.end if end < 0 else end
        if text[start:end].strip():
            yield start, end
        start = end + 1


def _line(text: str) -> str:
    return " ".join(text.split())[:_HEADING_MAX]
