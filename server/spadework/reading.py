"""A fetched answer as the page that quotes are looked up in: the extraction that holds most of them.

Article extraction leaves out what it takes for furniture, and a vendor may quote just that. So where a quote is
missing the whole page is read too, and the text that holds more quotes is the one that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from spadework.egress import Reply
from spadework.engines.local.document import Document, Unreadable
from spadework.engines.local.extract import extract
from spadework.engines.local.extract.decode import decode
from spadework.engines.local.extract.draft import Draft
from spadework.engines.local.extract.kinds import Kind
from spadework.evidence.quotes import Canon
from spadework.evidence.verdicts import Page

_KINDS: Final[dict[str, Kind]] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "text/plain": "text",
    "text/markdown": "markdown",
    "application/json": "text",
    "text/csv": "text",
}


def page_of(reply: Reply, quotes: Sequence[str] = ()) -> Page | None:
    """The text of an answer, or None where no text can be had of it. Blocks; for a worker thread."""
    stated = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = _KINDS.get(stated)
    if kind is None and stated:
        return None
    try:
        document = extract(urlsplit(reply.url).path or "/", reply.body, kind or "html")
    except Unreadable:
        return None
    texts = [quote for quote in quotes if quote.strip()]
    if kind == "html" and (held := _held(document, texts)) < len(texts):
        whole = _whole(document, reply.body)
        document = whole if whole is not None and _held(whole, texts) > held else document
    headings = tuple(
        (block.start, " ".join(document.text[block.start : block.end].split())[:200])
        for block in document.blocks
        if block.level
    )
    return Page(document.text, document.sha256, document.pages, headings[:500])


def _held(document: Document, quotes: Sequence[str]) -> int:
    canon = Canon(document.text)
    return sum(canon.check(quote).accepted for quote in quotes)


def _whole(article: Document, body: bytes) -> Document | None:
    """Every block of a page, furniture included."""
    # With the HTML library, for which a desk that is just starting would wait.
    from spadework.engines.local.extract import tree, walk

    root = tree.parse(decode(body)[0])
    if root is None:
        return None
    tree.prune(root, numbered=False)
    draft = Draft()
    walk.blocks(root, draft)
    return draft.finish(article.path, article.title, f"{article.extractor}+whole") if draft.blocks else None
