"""A source as the local engine reads it: one canonical text, cut into blocks with exact places.

The text is never rewritten after extraction, so every quote is a slice of it. Positions are code points.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from spadework_tools.errors import Trouble


class Unreadable(Trouble):
    """One source could not be read; the engine goes on with the others and names this one in its warnings.

    `reason` is a stable snake_case word: `corrupt`, `encrypted`, `no_text_layer`, `too_large`, `empty`, `binary`,
    `unknown_type`, `not_regular`, `moved`, `gone` or `denied`. `detail` is the sentence a person reads.
    """

    code = "unreadable"

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Block:
    """A half-open span of a document's text: a paragraph, list item, table cell, code block or heading.

    `level` is 1 to 6 for a heading and 0 for anything else. `kind` is `text`, `heading`, `item`, `cell`, `quote`,
    `code` or `table`; in the last two every line stands for itself.
    """

    start: int
    end: int
    level: int = 0
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Link:
    """A hyperlink found at `start:end`, as written in the source."""

    start: int
    end: int
    href: str


@dataclass(frozen=True, slots=True)
class Document:
    """One source's canonical text with its blocks; `pages` holds the start of each page (PDF), else nothing."""

    path: str
    title: str
    text: str
    blocks: tuple[Block, ...]
    pages: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    published: str | None = None
    lang: str | None = None
    extractor: str = ""
    warnings: tuple[str, ...] = ()
    sha256: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.sha256:
            digest = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()
            object.__setattr__(self, "sha256", digest)

    def page_at(self, position: int) -> int | None:
        """The 1-based page that holds a position, or None where the source has no pages."""
        if not self.pages:
            return None
        return sum(1 for start in self.pages if start <= position)

    def line_at(self, position: int) -> int:
        """The 1-based line that holds a position."""
        return self.text.count("\n", 0, position) + 1
