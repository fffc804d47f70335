"""HTML: documentation is walked block by block, articles go through readability first.

Why both: readability finds the article on a page full of furniture, but throws away the tables, lists and short
sections that documentation is made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from readability import Document as _Readability  # pyright: ignore

from spadework.engines.local.document import Document
from spadework.engines.local.extract import page, tree, walk
from spadework.engines.local.extract.decode import decode, nfc
from spadework.engines.local.extract.draft import Draft
from spadework.engines.local.extract.kinds import file_title

_readability: Any = _Readability
_HOMES = (
    "//article",
    "//div[contains(concat(' ',normalize-space(@class),' '),' body ')]",
    "//*[@role='main']",
    "//main",
)
# Readability's regular expressions are slow on long pages, and no article is this long (characters of HTML).
_ARTICLE_MAX = 1_500_000
# The share of text in links up to which a page that does not call itself an article is taken as it is: furniture is
# mostly links.
_LINKED = 0.2
_SHORT = 1_000
# An article with hardly any links around it, of which readability would keep less than half, is a page of tables or
# lists under an article's name; such a page is taken as it is. With links around it, a tenth of the page is enough, or
# what readability itself takes for long enough: comments can be many times longer than what they comment on.
_UNLINKED, _HALF, _TENTH, _LONG = 0.02, 0.5, 0.1, 250
# The class under which a post is quoted in an article; readability leaves out whatever is named after a social network.
_QUOTED_POST = "twitter-tweet"
# From this length on (code points) a block that stands twice in an article was not written twice.
_REPEATED = 60


class _Once(Draft):
    """A draft that leaves out a long block it already has, as the caption that a gallery repeats on every slide."""

    def __init__(self) -> None:
        super().__init__()
        self._had: set[str] = set()

    def add(self, text: str, kind: str = "text", level: int = 0, links: Iterable[tuple[int, int, str]] = ()) -> None:
        """Append a block, unless it is long and repeats an earlier one."""
        if len(text) >= _REPEATED:
            if text in self._had:
                return
            self._had.add(text)
        super().add(text, kind, level, links)


def extract(path: str, data: bytes) -> Document:
    """An HTML file as a document. Raises Unreadable: `empty` or `binary`."""
    text, warnings = decode(data)
    root = tree.parse(text)
    if root is None:
        return _flat(path, text, warnings)
    facts = page.facts(root)
    draft = Draft()
    tree.prune(root, numbered="lineno" in text)
    home = _home(root)
    if home is not None and not (facts.article and not facts.documentation):
        walk.blocks(home, draft)
    if not draft.blocks:
        draft = _whole(root, text, facts)
    title = facts.heading or facts.title or file_title(path)
    return draft.finish(path, title, "html@2", published=facts.published, lang=facts.lang, warnings=warnings)


def _home(root: Any) -> Any | None:
    """The one element that holds the documentation, or None where the page marks none.

    The narrowest candidate wins if it has at least half of the text of the widest.
    """
    found: list[tuple[Any, int]] = []
    for query in _HOMES:
        nodes = root.xpath(query)
        if len(nodes) == 1:
            found.append((nodes[0], len(nodes[0].xpath("string()"))))
    most = max((size for _, size in found), default=0)
    return next((node for node, size in found if size and size * 2 >= most), None)


def _whole(root: Any, text: str, facts: page.Facts) -> Draft:
    """The page without marked content: as it is when mostly prose, else what readability takes for the article."""
    draft = Draft()
    walk.blocks(root, draft)
    if facts.documentation or len(text) > _ARTICLE_MAX:
        return draft
    linked = sum(link.end - link.start for link in draft.links)
    if not facts.article and (linked <= draft.length * _LINKED or draft.length < _SHORT):
        return draft
    article = _article(text)
    if article is None:
        return draft
    return article if article.length >= _least(draft.length, linked, facts) else draft


def _least(length: int, linked: int, facts: page.Facts) -> float:
    """How long an article has to be (code points) to stand for a page of this length, of which so much is links."""
    if not facts.article:
        return _TENTH * length
    return _HALF * length if linked <= _UNLINKED * length else min(_TENTH * length, _LONG)


def _article(text: str) -> Draft | None:
    try:
        summary = str(_readability(text.replace(_QUOTED_POST, "quoted-post")).summary(html_partial=True))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Readability reports a page it can make nothing of by ValueError's kin, and trips over odd trees.
        return None
    root = tree.parse(summary)
    if root is None:
        return None
    tree.prune(root, numbered="lineno" in summary)
    draft = _Once()
    walk.blocks(root, draft)
    return draft


def _flat(path: str, text: str, warnings: tuple[str, ...]) -> Document:
    draft = Draft()
    for tag, raw in tree.flat(text):
        level = int(tag[1]) if tag[0] == "h" and tag[1:].isdigit() else 0
        if tag == "pre":
            draft.add(nfc(raw).strip("\n").rstrip(), "code")
        else:
            draft.add(nfc(" ".join(raw.split())), "heading" if level else "text", level)
    note = "The page nests too deeply, so it was read without its structure."
    title = draft.first_heading or file_title(path)
    return draft.finish(path, title, "html@2", warnings=(*warnings, note))
