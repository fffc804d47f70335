"""A report's Markdown as HTML that can do nothing: no raw HTML, no images, no link but to the job's own sources.

Safe by construction: markdown-it escapes all text and knows no HTML tags here, what it makes tags of is written out
below, and every address that is not among the known ones becomes plain words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from spadework_tools.clean import clean

_MARK = re.compile(r"\[(c\d{1,6})\]")
_CITED = "citation"
_LOWEST = 6


def markup(text: str, known: Collection[str], mark: Callable[[str], str | None]) -> str:
    """The HTML of a report's text.

    Args:
        text: Markdown with `[c12]` marks.
        known: the addresses that links may lead to.
        mark: the HTML for a citation's mark, or None where there is no such citation and the mark stays text.
    """
    parser = (
        MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable(["image", "html_block"])
    )
    parser.add_render_rule("link_open", _opened)
    parser.add_render_rule("link_close", _closed)
    parser.add_render_rule(_CITED, _cited)
    tokens = parser.parse(_unmarked(clean(text)))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(_LOWEST, int(token.tag[1]) + 1)}"
        if token.children:
            token.children = _woven(_inert(token.children, known), mark)
    return parser.renderer.render(tokens, parser.options, {})


def _unmarked(text: str) -> str:
    """The text without link definitions that would take a citation's mark for a link's name."""
    return re.sub(r"^( {0,3})\[(c\d{1,6})\]:", r"\1\\[\2\\]:", text, flags=re.MULTILINE)


def _inert(tokens: Sequence[Token], known: Collection[str]) -> list[Token]:
    """The inline tokens; a link's two ends say whether it leads anywhere."""
    live: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            live.append(str(token.attrs.get("href", "")) in known)
            token.meta["live"] = live[-1]
        elif token.type == "link_close":
            token.meta["live"] = live.pop() if live else False
    return list(tokens)


def _woven(tokens: Sequence[Token], mark: Callable[[str], str | None]) -> list[Token]:
    """The inline tokens with each known mark as a token of its own."""
    woven: list[Token] = []
    for token in tokens:
        if token.type != "text":
            woven.append(token)
            continue
        last = 0
        for found in _MARK.finditer(token.content):
            made = mark(found[1])
            if made is not None:
                woven += [Token("text", "", 0, content=token.content[last : found.start()])]
                woven += [Token(_CITED, "", 0, content=made)]
                last = found.end()
        woven.append(Token("text", "", 0, content=token.content[last:]))
    return woven


def _opened(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    href = str(tokens[place].attrs.get("href", ""))
    return f'<a href="{escape(href)}" rel="noreferrer noopener">' if tokens[place].meta.get("live") else "<span>"


def _closed(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    return "</a>" if tokens[place].meta.get("live") else "</span>"


def _cited(_self: Any, tokens: Sequence[Token], place: int, _options: Any, _env: Any) -> str:
    return tokens[place].content
