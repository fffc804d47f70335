"""HTML: documentation is walked block by block, articles go through readability first.

Why both: readability finds the article on a page full of furniture, but throws away the tables, lists and short
sections that documentation is made of.
"""

from __future__ import annotations

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
# The share of text in links up to which a page is taken as it is: furniture is mostly links. An article's page may
# have hardly any, since what is around it is mostly short teasers (tuned on scrapinghub's article benchmark).
_LINKED_ARTICLE, _LINKED_PAGE = 0.02, 0.2
_SHORT = 1_000


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
    return draft.finish(path, title, "html@1", published=facts.published, lang=facts.lang, warnings=warnings)


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
    linked = sum(link.end - link.start for link in draft.links)
    clean = linked <= draft.length * (_LINKED_ARTICLE if facts.article else _LINKED_PAGE)
    if clean or facts.documentation or draft.length < _SHORT or len(text) > _ARTICLE_MAX:
        return draft
    article = _article(text)
    return article if article is not None and article.length * 10 >= draft.length else draft


def _article(text: str) -> Draft | None:
    try:
        summary = str(_readability(text).summary(html_partial=True))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # Readability reports a page it can make nothing of by ValueError's kin, and trips over odd trees.
        return None
    root = tree.parse(summary)
    if root is None:
        return None
    tree.prune(root, numbered="lineno" in summary)
    draft = Draft()
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
    return draft.finish(path, title, "html@1", warnings=(*warnings, note))
