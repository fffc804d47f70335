"""A document in the making: blocks are added in reading order, each on lines of its own."""

from __future__ import annotations

from collections.abc import Iterable

from spadework.engines.local.document import Block, Document, Link, Unreadable


class Draft:
    """Collects blocks into one canonical text; every place is exact from the moment a block is added."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.links: list[Link] = []
        self.length = 0
        self.first_heading = ""
        self._parts: list[str] = []

    def add(self, text: str, kind: str = "text", level: int = 0, links: Iterable[tuple[int, int, str]] = ()) -> None:
        """Append a block (already trimmed; nothing happens when empty). Link places count from the block's start."""
        if not text:
            return
        start = self.next
        self._parts.append(text)
        self.length = start + len(text)
        if level and not self.first_heading:
            self.first_heading = text
        self.blocks.append(Block(start, self.length, level, kind))
        self.links.extend(Link(start + first, start + last, href) for first, last, href in links)

    @property
    def next(self) -> int:
        """Where the next block will start."""
        return self.length + 1 if self._parts else 0

    def finish(
        self,
        path: str,
        title: str,
        extractor: str,
        *,
        pages: tuple[int, ...] = (),
        published: str | None = None,
        lang: str | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Document:
        """The finished document. Raises Unreadable (`empty`) when no block was added."""
        if not self.blocks:
            raise Unreadable("empty", "The file holds no text.")
        return Document(
            path=path,
            title=title,
            text="\n".join(self._parts),
            blocks=tuple(self.blocks),
            pages=pages,
            links=tuple(self.links),
            published=published,
            lang=lang,
            extractor=extractor,
            warnings=warnings,
        )
