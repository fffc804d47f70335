"""HTML bytes into an lxml tree without its inline mark-up, and the flat reading of what lxml refuses.

lxml ships no types, so its nodes are `Any` here and in the modules beside it that walk them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, cast

from lxml import etree as _etree  # pyright: ignore

etree = cast("Any", _etree)

_INLINE = (
    "span em strong code cite b i tt abbr acronym sub sup kbd var samp u font small big dfn q s strike mark time label "
    "ins del bdi bdo wbr img picture source nobr center data ruby rb math mi mo mn mrow msub msup"
)
_MUTE = "script style noscript nav footer svg iframe template button select textarea input rp rt head"
_LINE_NUMBERS = (
    "//*[contains(concat(' ',@class,' '),' linenos ') or contains(concat(' ',@class,' '),' lineno ') "
    "or contains(concat(' ',@class,' '),' linenodiv ')]"
)
_TOKEN = re.compile(r"<!--|-->|<(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*>")
_FLAT = "p div li dt dd td th tr table ul ol dl pre blockquote section article main body h1 h2 h3 h4 h5 h6 br hr"
_FLAT_BLOCKS = frozenset(_FLAT.split())


def parse(text: str) -> Any | None:
    """The page's root element, or None where libxml2's limits (depth 256, 10 MB in one run of text) were met."""
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=False, no_network=True)
    root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        return None
    return root


def prune(root: Any, *, numbered: bool) -> None:
    """Take out what is never content, and dissolve inline mark-up into plain text, in place.

    `numbered` says that the source names line numbers somewhere: looking for them is a third of the work.
    """
    for node in root.xpath(_LINE_NUMBERS) if numbered else ():
        _drop(node)
    etree.strip_elements(root, *_MUTE.split(), with_tail=False)
    etree.strip_tags(root, *_INLINE.split())


def flat(text: str) -> Iterator[tuple[str, str]]:
    """(tag, text) of each run between block tags, by tokens alone: no tree, no depth, linear time."""
    runs: list[str] = []
    tag, muted, position = "p", "", 0
    for match in _TOKEN.finditer(text):
        if not muted:
            runs.append(text[position : match.start()])
        position = match.end()
        name = (match[2] or match[0]).lower()
        muted = _mute(muted, name, closing=bool(match[1]))
        if name in _FLAT_BLOCKS and not muted:
            yield tag, html.unescape("".join(runs))
            runs, tag = [], "p" if match[1] else name
    yield tag, html.unescape("".join([*runs, "" if muted else text[position:]]))


def _mute(muted: str, name: str, *, closing: bool) -> str:
    """Which tag's contents are being left out after this token; empty for none."""
    if muted:
        over = name == "-->" if muted == "<!--" else closing and name == muted
        return "" if over else muted
    opens = name == "<!--" or (
        not closing and name in {"script", "style", "noscript", "svg", "template", "head", "title"}
    )
    return name if opens else ""


def _drop(node: Any) -> None:
    parent = node.getparent()
    if parent is None:
        return
    if node.tail:
        before = node.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + node.tail
        else:
            parent.text = (parent.text or "") + node.tail
    parent.remove(node)
