"""A pruned HTML tree into blocks, in reading order: all text between two block borders is one block."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from spadework.engines.local.extract.decode import nfc
from spadework.engines.local.extract.draft import Draft
from spadework.engines.local.extract.tree import etree

# Every tag that begins and ends a block, by the kind its text takes ("": that of the block around it).
_TAGS = {
    "": (
        "p div section article main body html header aside form fieldset figure figcaption hgroup details summary "
        "address ul ol menu dl table thead tbody tfoot tr caption colgroup hr dd legend nav"
    ),
    "item": "li dt",
    "cell": "td th",
    "heading": "h1 h2 h3 h4 h5 h6",
    "code": "pre listing xmp",
    "quote": "blockquote",
}
_BLOCKS = {tag: kind for kind, tags in _TAGS.items() for tag in tags.split()}
_FURNITURE = (
    "sphinxsidebar sidebar toc table-of-contents breadcrumb breadcrumbs wy-breadcrumbs rst-footer-buttons md-sidebar "
    "md-footer headerlink hash-link anchor-link anchorjs-link skip-link sr-only visually-hidden screen-reader-text "
    "edit-link mw-editsection mw-jump-link navbox navbar navigation noprint pagination prev-next-area related "
    "page-toc bd-sidebar theme-doc-sidebar-container theme-doc-breadcrumbs cookie-banner share-buttons"
)
_LEFT_OUT = frozenset(_FURNITURE.split())
_ROLES = frozenset(("navigation", "search", "banner", "contentinfo", "complementary", "menu", "dialog", "tablist"))
_KEPT_ASIDES = ("footnote", "admonition", "note", "warning", "callout", "citation")


class _Run:
    """The text since the last block border, piece by piece, and the links within it."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.links: list[tuple[int, int, str]] = []
        self.href = ""
        self.opened = 0

    def open(self, href: str) -> None:
        self.href, self.opened = href, len(self.pieces)

    def close(self) -> None:
        if self.href and len(self.pieces) > self.opened:
            self.links.append((self.opened, len(self.pieces), self.href))
        self.href = ""

    def flush(self, draft: Draft, kind: str, level: int) -> None:
        """Hand the run over as one block; a link that is still open goes on in the next run."""
        if not self.pieces or (len(self.pieces) == 1 and self.pieces[0].isspace()):
            # The white space between two tags, most of the time: not worth the rest.
            self.pieces.clear()
            self.links, self.opened = [], 0
            return
        href = self.href
        self.close()
        if kind == "code":
            draft.add(nfc("".join(self.pieces)).strip("\n").rstrip(), kind)
        elif self.links:
            text, links = _collapsed(self.pieces, self.links)
            draft.add(text, kind, level, links)
        else:
            draft.add(nfc(" ".join("".join(self.pieces).split())), kind, level)
        self.pieces, self.links, self.href, self.opened = [], [], href, 0


def blocks(root: Any, draft: Draft) -> None:
    """Add every block below an element (the element itself is never left out)."""
    run, kinds = _Run(), ["text"]
    walker = etree.iterwalk(root, events=("start", "end"))
    skipped: Any = None
    for event, node in walker:
        tag = node.tag
        if event == "start":
            if node is not root and _left_out(tag, node):
                skipped = node
                walker.skip_subtree()
                continue
            _enter(node, tag, run, kinds, draft)
            if node.text:
                run.pieces.append(node.text)
            continue
        if skipped is not node:
            _leave(tag, run, kinds, draft)
        skipped = None
        if node.tail and node is not root:
            run.pieces.append(node.tail)
    run.flush(draft, "text", 0)


def _enter(node: Any, tag: str, run: _Run, kinds: list[str], draft: Draft) -> None:
    if tag == "a":
        href = node.get("href")
        if href and not href.startswith(("#", "javascript:", "mailto:", "data:")):
            run.open(href.strip())
    elif tag == "br":
        run.pieces.append("\n")
    elif tag in _BLOCKS:
        run.flush(draft, kinds[-1], _level(kinds[-1], node.getparent()))
        kinds.append(_BLOCKS[tag] or kinds[-1])


def _leave(tag: str, run: _Run, kinds: list[str], draft: Draft) -> None:
    if tag == "a":
        run.close()
    elif tag in _BLOCKS:
        kind = kinds.pop()
        run.flush(draft, kind, int(tag[1]) if kind == "heading" and tag[1:].isdigit() else 0)


def _level(kind: str, parent: Any) -> int:
    if kind != "heading" or parent is None or not parent.tag[1:].isdigit():
        return 0
    return int(parent.tag[1])


def _left_out(tag: str, node: Any) -> bool:
    """Whether an element is furniture: a sidebar, a permalink, hidden, a page header."""
    words = node.get("class")
    if words and not _LEFT_OUT.isdisjoint(words.split()):
        return True
    return _hidden(node) or _furniture(tag, node, words or "")


def _hidden(node: Any) -> bool:
    style = node.get("style")
    if style and "display:none" in style.replace(" ", "").lower():
        return True
    return node.get("role") in _ROLES or node.get("hidden") is not None or node.get("aria-hidden") == "true"


def _furniture(tag: str, node: Any, words: str) -> bool:
    if tag == "header":
        return not any(True for _ in node.iterancestors("main", "article"))
    if tag == "aside":
        return not any(word in words for word in _KEPT_ASIDES)
    # Some generators wrap the whole page in one form; a form with prose in it is the page.
    return tag == "form" and sum(1 for _ in node.iter("p", "h1", "h2")) < 3


def _collapsed(pieces: list[str], links: list[tuple[int, int, str]]) -> tuple[str, list[tuple[int, int, str]]]:
    """The run with white space collapsed, and its links with their places in that text."""
    cuts = sorted({0, len(pieces), *(cut for first, last, _ in links for cut in (first, last))})
    parts: list[str] = []
    length, space = 0, False
    starts: dict[int, int] = {}
    ends: dict[int, int] = {0: 0}
    for first, last in pairwise(cuts):
        raw = "".join(pieces[first:last])
        words = nfc(" ".join(raw.split()))
        if words:
            if length and (space or raw[0].isspace()):
                parts.append(" ")
                length += 1
            starts[first] = length
            parts.append(words)
            length += len(words)
            space = raw[-1].isspace()
        else:
            space = space or bool(raw)
        ends[last] = length
    placed = [(starts[first], ends[last], href) for first, last, href in links if first in starts]
    return "".join(parts), [link for link in placed if link[0] < link[1]]
